package browser_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"github.com/c0mpiler/ginkeycloak/integration/keycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// realServer starts the one Keycloak of these tests, when the first of them asks for it.
var realServer = sync.OnceValues(func() (*keycloak.Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute) // a first download included
	defer cancel()
	s, err := keycloak.Start(ctx, keycloak.Options{RealmFile: "../testdata/demo-realm.json"})
	running = s
	return s, err
})

var (
	running   *keycloak.Server // for TestMain to stop
	leftovers []string         // for TestMain to remove
	skipped   string           // why something was left out, for TestMain to say so even where go test hides skips
)

// server is a Keycloak of either kind.
type server struct {
	url, realm string
	stop       func() // until restart
	restart    func()
	allow      func(redirectURI, origin string) // for the client swagger
}

// servers are the Keycloaks that a test is run with.
func servers(t *testing.T, test func(*testing.T, *server)) {
	t.Helper()
	t.Run("fake", func(t *testing.T) { test(t, fakeServer(t)) })
	t.Run("keycloak", func(t *testing.T) { test(t, realKeycloak(t)) })
}

func fakeServer(t *testing.T) *server {
	t.Helper()
	kc := keycloaktest.New(t, keycloaktest.WithClient(keycloaktest.Client{
		ID: "swagger", Public: true, StandardFlow: true, RequirePKCE: true, Audience: []string{"orders-api"},
		RedirectURIs: []string{"http://localhost:*/*"},
	}))
	return &server{
		url: kc.URL(), realm: kc.Realm(), stop: kc.Stop, restart: kc.Restart,
		allow: func(string, string) {}, // any page of this machine is fine
	}
}

func realKeycloak(t *testing.T) *server {
	t.Helper()
	requireChromium(t)
	s, err := realServer()
	var missing *keycloak.MissingError
	if errors.As(err, &missing) && os.Getenv("CI") != "true" {
		skipped = missing.Error()
		t.Skipf("NOT TESTED on a real Keycloak: %v", missing)
	}
	if err != nil {
		t.Fatalf("real Keycloak: %v", err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	return &server{
		url: s.URL(), realm: s.Realm(),
		stop:    func() { check(s.Stop()) },
		restart: func() { check(s.Restart(context.Background())) },
		allow: func(redirectURI, origin string) {
			check(s.Admin().UpdateClient(t.Context(), "swagger", func(client map[string]any) {
				client["redirectUris"] = []string{redirectURI}
				client["webOrigins"] = []string{origin}
			}))
		},
	}
}

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	code := m.Run()
	if running != nil {
		if err := running.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	for _, dir := range leftovers {
		os.RemoveAll(dir)
	}
	if skipped != "" {
		fmt.Println("NOT RUN in full:", skipped)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func accessToken(t *testing.T, resp *http.Response) string {
	t.Helper()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.UnmarshalRead(resp.Body, &answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("no access token: %s, %v", resp.Status, err)
	}
	return answer.AccessToken
}
