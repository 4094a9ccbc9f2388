package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// newAPI is the program's router and a fake Keycloak before it. Its realm has the users alice, an admin, and bob, a viewer;
// keycloaktest.WithUser and WithClient add others.
func newAPI(t *testing.T) (*gin.Engine, *keycloaktest.Server) {
	t.Helper()
	idp := keycloaktest.New(t)
	kc, err := ginkeycloak.New(
		ginkeycloak.WithServerURL(idp.URL()),
		ginkeycloak.WithRealm(idp.Realm()),
		ginkeycloak.WithClientID("orders-api"),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kc.Close() })
	return newRouter(kc), idp
}

// do sends a request with a token, or with none if it is "".
func do(t *testing.T, api http.Handler, method, path, token string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}

// Who may do what.
func TestOrders(t *testing.T) {
	api, idp := newAPI(t)
	alice, bob := idp.Token(keycloaktest.ForUser("alice")), idp.Token(keycloaktest.ForUser("bob"))
	tests := []struct {
		name, method, token string
		status              int
		body                string // where it matters
	}{
		{"bob lists his orders", http.MethodGet, bob, http.StatusOK, `{"orders of":"bob"}`},
		{"nobody lists orders", http.MethodGet, "", http.StatusUnauthorized, ""},
		{"alice deletes orders", http.MethodDelete, alice, http.StatusNoContent, ""},
		{"bob deletes orders", http.MethodDelete, bob, http.StatusForbidden, `{"error":{"code":"missing_roles","message":"A required role is missing."}}`},
		{"nobody deletes orders", http.MethodDelete, "", http.StatusUnauthorized, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := do(t, api, tt.method, "/orders", tt.token)
			if got.Code != tt.status || tt.body != "" && got.Body.String() != tt.body {
				t.Errorf("%s /orders = %d %s, want %d %s", tt.method, got.Code, got.Body, tt.status, tt.body)
			}
		})
	}
}

// Tokens that are made to be refused. Each option changes one thing about a good one.
func TestBadTokens(t *testing.T) {
	api, idp := newAPI(t)
	tests := []struct {
		name  string
		token keycloaktest.TokenOption
	}{
		{"expired an hour ago", keycloaktest.ExpiresIn(-time.Hour)},
		{"for another API", keycloaktest.Audience("billing")},
		{"an ID token", keycloaktest.Type("ID")},
		{"not signed", keycloaktest.Unsigned("none")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := do(t, api, http.MethodGet, "/orders", idp.Token(tt.token)); got.Code != http.StatusUnauthorized {
				t.Errorf("GET /orders with a token %s = %d %s, want 401", tt.name, got.Code, got.Body)
			}
		})
	}
}

// A user's roles without a user: RealmRoles, ClientRoles and Groups give a token just these.
func TestRolesOfAToken(t *testing.T) {
	api, idp := newAPI(t)
	for role, want := range map[string]int{"admin": http.StatusNoContent, "administrator": http.StatusForbidden} {
		token := idp.Token(keycloaktest.ClientRoles("orders-api", role))
		if got := do(t, api, http.MethodDelete, "/orders", token); got.Code != want {
			t.Errorf("DELETE /orders with the role %s = %d, want %d", role, got.Code, want)
		}
	}
}

// Bad days: a program that was just started cannot judge tokens before it has seen Keycloak's keys, and says so.
func TestKeycloakIsAway(t *testing.T) {
	api, idp := newAPI(t)
	idp.Fail(keycloaktest.KeySet, keycloaktest.Status(http.StatusBadGateway))
	got := do(t, api, http.MethodGet, "/orders", idp.Token())
	if got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" {
		t.Errorf("GET /orders without Keycloak = %d, Retry-After %q, want 503 and some seconds", got.Code, got.Header().Get("Retry-After"))
	}
	idp.Heal()
	if got := do(t, api, http.MethodGet, "/orders", idp.Token()); got.Code != http.StatusOK {
		t.Errorf("GET /orders with Keycloak back = %d %s, want 200", got.Code, got.Body)
	}
}

// A handler alone, without routes, tokens and Keycloak.
func TestHandlerAlone(t *testing.T) {
	user, err := ginkeycloak.UserFromClaims("orders-api", map[string]any{"sub": "1", "preferred_username": "carol"})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(w)
	c.Request = httptest.NewRequestWithContext(ginkeycloak.ContextWithUser(t.Context(), user), http.MethodGet, "/orders", http.NoBody)
	listOrders(c)
	if got, want := w.Body.String(), `{"orders of":"carol"}`; got != want {
		t.Errorf("listOrders for carol = %s, want %s", got, want)
	}
}
