package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak/example/internal/exampletest"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// TestMe runs the program against a Keycloak of one's own, as go run ./example/smallest does, and asks it who somebody is.
func TestMe(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	idp := keycloaktest.New(t)
	api := exampletest.Run(t, main, map[string]string{
		"KEYCLOAK_URL": idp.URL(), "KEYCLOAK_REALM": idp.Realm(), "KEYCLOAK_CLIENT_ID": "orders-api",
	})
	tests := []struct {
		name, token string
		status      int
		body        string
	}{
		{"alice", idp.Token(keycloaktest.ForUser("alice")), http.StatusOK, `"username":"alice"`},
		{"nobody", "", http.StatusUnauthorized, `"code":"missing_header"`},
		{"with an expired token", idp.Token(keycloaktest.ExpiresIn(-time.Hour)), http.StatusUnauthorized, `"code":"token_expired"`},
		{"with a token for another API", idp.Token(keycloaktest.Audience("billing")), http.StatusUnauthorized, `"code":"invalid_claims"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if status, body := get(t, api+"/me", tt.token); status != tt.status || !strings.Contains(body, tt.body) {
				t.Errorf("GET /me = %d %s, want %d with %s", status, body, tt.status, tt.body)
			}
		})
	}
}

func get(t *testing.T, address, token string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}
