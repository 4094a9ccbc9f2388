package keycloaktest_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

func Example() {
	idp, err := keycloaktest.Start() // in a test: keycloaktest.New(t)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer idp.Close()

	client := &http.Client{Transport: idp.Transport()} // or any other, for idp listens on a port too
	status := func(token string) string {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, idp.Issuer()+"/protocol/openid-connect/userinfo", nil)
		if err != nil {
			return err.Error()
		}
		r.Header.Set("Authorization", "Bearer "+token)
		response, err := client.Do(r)
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		return response.Status
	}

	alice := idp.Token(keycloaktest.ForUser("alice"))
	fmt.Println("alice:", status(alice))
	fmt.Println("alice, a minute late:", status(idp.Token(keycloaktest.ExpiresIn(-time.Minute))))
	fmt.Println("her ID token:", status(idp.IDToken()))

	idp.Fail(keycloaktest.UserInfo, keycloaktest.Status(http.StatusBadGateway))
	fmt.Println("Keycloak in trouble:", status(alice))
	idp.Heal()

	idp.LogoutUser("alice")
	fmt.Println("alice logged out:", status(alice))
	fmt.Println("calls:", idp.Calls(keycloaktest.UserInfo))

	// Output:
	// alice: 200 OK
	// alice, a minute late: 401 Unauthorized
	// her ID token: 401 Unauthorized
	// Keycloak in trouble: 502 Bad Gateway
	// alice logged out: 401 Unauthorized
	// calls: 5
}

// Options go into a table as they are, and new ones are put together from them.
func ExampleTokenOption() {
	idp, err := keycloaktest.Start(keycloaktest.WithAlgorithm("ES256"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer idp.Close()

	fromBilling := func(t *keycloaktest.Token) {
		keycloaktest.Audience("billing")(t)
		keycloaktest.ClientRoles("billing", "admin")(t)
	}
	tests := []struct {
		name  string
		token keycloaktest.TokenOption
	}{
		{"expired", keycloaktest.ExpiresIn(-time.Hour)},
		{"for another API", fromBilling},
		{"not signed", keycloaktest.Unsigned("none")},
	}
	for _, tt := range tests {
		fmt.Println(tt.name, len(idp.Token(tt.token)) > 0)
	}

	// Output:
	// expired true
	// for another API true
	// not signed true
}
