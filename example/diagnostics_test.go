package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// TestDiagnostics: the report is for admins, and about the Keycloak that the program was given.
func TestDiagnostics(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	printed := start(t, map[string]string{
		"KEYCLOAK_URL": srv.URL(), "KEYCLOAK_REALM": srv.Realm(), "KEYCLOAK_CLIENT_ID": "orders-api", "KEYCLOAK_CLIENT_SECRET": "s3cret",
	})
	api := regexp.MustCompile(`http://[0-9.:]+`).FindString(printed)
	for user, want := range map[string]string{"alice": "200", "bob": "403"} {
		got := get(t, api+"/diagnostics", srv.Token(keycloaktest.ForUser(user)))
		if !strings.HasSuffix(got, "  "+want) {
			t.Errorf("GET /diagnostics as %s = %s, want %s", user, got, want)
		}
		if isReport := strings.Contains(got, `"oidc_discovery_status"`) && strings.Contains(got, srv.URL()); isReport != (want == "200") {
			t.Errorf("GET /diagnostics as %s = %s, want the report for admins only", user, got)
		}
	}
}
