package keycloaktest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

func TestIntrospection(t *testing.T) {
	s := es256(t)
	other := es256(t, keycloaktest.WithRealm("other"))
	tests := []struct {
		name, token, want string // want: parts of the answer, between spaces
	}{
		{"access token", s.Token(keycloaktest.ForUser("alice")), `"active":true "client_id":"orders-api" "username":"alice" "token_type":"Bearer" "groups":["/eng/sre"]`},
		{"ID token", s.IDToken(keycloaktest.ForUser("alice")), `"active":true "typ":"ID" "token_type":"ID" "realm_access":{"roles":["admin","viewer"]}`},
		{"service account", s.Token(keycloaktest.ForServiceAccount("orders-api")), `"active":true "username":"service-account-orders-api"`},
		{"without sid", s.Token(keycloaktest.WithoutClaim("sid")), `"active":true`},
		{"session the realm never had", s.Token(keycloaktest.Claim("sid", "x")), `"active":true`},
		{"lightweight", s.Token(keycloaktest.Lightweight(), keycloaktest.ForUser("alice")), `"active":true "aud":"orders-api" "username":"alice" "realm_access":`},
		{"for another API", s.Token(keycloaktest.Audience("billing")), `{"active":false}`},
		{"for no API", s.Token(keycloaktest.WithoutClaim("aud")), `{"active":false}`},
		{"expired", s.Token(keycloaktest.ExpiresIn(-time.Second)), `{"active":false}`},
		{"not yet valid", s.Token(keycloaktest.NotBeforeIn(time.Minute)), `{"active":false}`},
		{"another issuer", s.Token(keycloaktest.Issuer("x")), `{"active":false}`},
		{"another realm", other.Token(), `{"active":false}`},
		{"unsigned", s.Token(keycloaktest.Unsigned("none")), `{"active":false}`},
		{"another key", s.Token(keycloaktest.SignedBy(other.SigningKey())), `{"active":false}`},
		{"refresh token", s.RefreshToken(), `{"active":false}`},
		{"garbage", "x", `{"active":false}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := post(t, s, "/token/introspect", form{"token": tt.token})
			if a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-cache" {
				t.Errorf("introspection = %d, %v", a.status, a.header)
			}
			for _, want := range strings.Fields(tt.want) {
				if !strings.Contains(a.body, want) {
					t.Errorf("introspection of a token %s = %s, want %s in it", tt.name, a.body, want)
				}
			}
			if strings.Contains(a.body, "clientHost") {
				t.Errorf("introspection shows clientHost: %s", a.body)
			}
		})
	}
}

func TestIntrospectionRefuses(t *testing.T) {
	s := es256(t)
	tests := []struct {
		name   string
		form   form
		status int
		body   string
	}{
		{
			"wrong secret", form{"client_id": "orders-api", "client_secret": "x", "token": "x"},
			401, `{"error":"invalid_client","error_description":"Client authentication failed."}`,
		},
		{
			"public client", form{"client_id": "spa", "token": "x"},
			403, `{"error":"invalid_request","error_description":"Client not allowed."}`,
		},
		{
			"unknown client", form{"client_id": "nobody", "client_secret": "x", "token": "x"},
			401, `{"error":"invalid_client","error_description":"Invalid client or Invalid client credentials"}`,
		},
		{"no token", form{"x": "y"}, 400, `{"error":"invalid_request","error_description":"Token not provided."}`},
		{"empty token", form{"token": ""}, 200, `{"active":false}`},
		{
			"unknown hint", form{"token": "x", "token_type_hint": "y"},
			400, `{"error":"invalid_request","error_description":"Unsupported token type."}`,
		},
		{"refresh token's hint", form{"token": s.Token(), "token_type_hint": "refresh_token"}, 200, `{"active":false}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if a := post(t, s, "/token/introspect", tt.form); a.status != tt.status || a.body != tt.body {
				t.Errorf("introspection with %s = %d %s, want %d %s", tt.name, a.status, a.body, tt.status, tt.body)
			}
		})
	}
}

func TestLightweightClient(t *testing.T) {
	s := es256(t)
	access := tokens(t, s, form{"client_id": "light", "client_secret": "s3cret"})["access_token"].(string)
	if _, claims := decode(t, access); claims["sub"] != nil || claims["aud"] != nil || claims["realm_access"] != nil {
		t.Errorf("lightweight token = %v", claims)
	}
	for _, client := range []string{"light", "orders-api"} {
		a := post(t, s, "/token/introspect", form{"token": access, "client_id": client, "client_secret": "s3cret"})
		if got := a.json(t); got["active"] != true || got["sub"] != s.User("alice").ID || got["groups"] == nil {
			t.Errorf("introspection by %s = %s", client, a.body)
		}
	}
	if a := userinfo(t, s, access); a.status != http.StatusUnauthorized {
		t.Errorf("userinfo of a lightweight token = %d, want 401", a.status)
	}
}

func TestLogoutAndRevocationRefuse(t *testing.T) {
	s := es256(t)
	tests := []struct {
		name, tail string
		form       form
		status     int
		want       string
	}{
		{"logout, wrong secret", "/logout", form{"client_id": "orders-api", "refresh_token": "x"}, 401, "unauthorized_client"},
		{"logout, garbage", "/logout", form{"refresh_token": "x"}, 400, "Invalid refresh token"},
		{"logout, another client", "/logout", form{"client_id": "spa", "refresh_token": s.RefreshToken()}, 400, "don't match"},
		{"revocation, wrong secret", "/revoke", form{"client_id": "orders-api", "token": "x"}, 401, "unauthorized_client"},
		{"revocation, nothing", "/revoke", form{"x": "y"}, 400, "Token not provided"},
		{"revocation, garbage", "/revoke", form{"token": "x"}, 200, "Invalid token"},
		{"revocation, another client", "/revoke", form{"client_id": "spa", "token": s.Token()}, 200, "Invalid token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if a := post(t, s, tt.tail, tt.form); a.status != tt.status || !strings.Contains(a.body, tt.want) {
				t.Errorf("%s = %d %s, want %d %s", tt.name, a.status, a.body, tt.status, tt.want)
			}
		})
	}
}

// TestEndsOfSessions ends the session of a token in every way there is.
func TestEndsOfSessions(t *testing.T) {
	tests := []struct {
		name    string
		end     func(*testing.T, *keycloaktest.Server, map[string]any)
		refresh string // what the token endpoint says afterwards
	}{
		{
			"by an administrator", func(_ *testing.T, s *keycloaktest.Server, _ map[string]any) { s.LogoutUser("alice") },
			"Session not active",
		},
		{
			"by logout with the refresh token", func(t *testing.T, s *keycloaktest.Server, got map[string]any) {
				for range 2 { // the second time is no mistake either
					if a := post(t, s, "/logout", form{"refresh_token": got["refresh_token"].(string)}); a.status != http.StatusNoContent {
						t.Errorf("POST logout = %d %s, want 204", a.status, a.body)
					}
				}
			}, "Session not active",
		},
		{
			"by logout in a browser", func(t *testing.T, s *keycloaktest.Server, got map[string]any) {
				get(t, s, "/realms/demo/protocol/openid-connect/logout?id_token_hint="+got["id_token"].(string))
			}, "Session not active",
		},
		{
			"by revocation of the refresh token", func(t *testing.T, s *keycloaktest.Server, got map[string]any) {
				if a := post(t, s, "/revoke", form{"token": got["refresh_token"].(string)}); a.status != http.StatusOK {
					t.Errorf("POST revoke = %d %s, want 200", a.status, a.body)
				}
			}, "Session not active",
		},
		{
			"by revocation of the access token", func(t *testing.T, s *keycloaktest.Server, got map[string]any) {
				post(t, s, "/revoke", form{"token": got["access_token"].(string)})
			}, "",
		},
		{
			"by a not-before policy", func(_ *testing.T, s *keycloaktest.Server, _ map[string]any) {
				s.RevokeBefore(s.Now().Add(2 * time.Second))
			}, "Stale token",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := es256(t)
			got := tokens(t, s, nil)
			bob := s.Token(keycloaktest.ForUser("bob"), keycloaktest.IssuedIn(time.Minute-time.Second))
			tt.end(t, s, got)
			if a := post(t, s, "/token/introspect", form{"token": got["access_token"].(string)}); a.body != `{"active":false}` {
				t.Errorf("introspection = %s, want inactive", a.body)
			}
			if a := userinfo(t, s, got["access_token"].(string)); a.status != http.StatusUnauthorized || a.body != "" {
				t.Errorf("userinfo = %d %q, want 401 and nothing", a.status, a.body)
			}
			a := post(t, s, "/token", form{"grant_type": "refresh_token", "refresh_token": got["refresh_token"].(string)})
			if text, _ := a.json(t)["error_description"].(string); text != tt.refresh {
				t.Errorf("refresh = %s, want %q", a.body, tt.refresh)
			}
			if _, claims := decode(t, bob); claims["sid"] == got["session_state"] {
				t.Error("bob has alice's session")
			}
		})
	}
}

func TestLogoutUserEndsTheSessionOfMintedTokens(t *testing.T) {
	s := es256(t)
	active := func(token string) bool {
		return post(t, s, "/token/introspect", form{"token": token}).json(t)["active"] == true
	}
	alice, again, bob := s.Token(), s.Token(), s.Token(keycloaktest.ForUser("bob"))
	if !active(alice) || !active(again) || !active(bob) {
		t.Fatal("fresh tokens are inactive")
	}
	s.LogoutUser("alice")
	if active(alice) || active(again) {
		t.Error("alice's tokens are active after her logout")
	}
	if !active(bob) || !active(s.Token()) {
		t.Error("bob's token, or alice's new one, is inactive after her logout")
	}
	for user, want := range map[string]bool{"alice": true, "bob": false} {
		a := post(t, s, "/token", form{"grant_type": "password", "username": user, "password": user})
		if policy := a.json(t)["not-before-policy"].(float64); (policy > 0) != want {
			t.Errorf("not-before-policy of %s's next login = %.0f, want the time of a logout: %t", user, policy, want)
		}
	}
}

func userinfo(t *testing.T, s *keycloaktest.Server, token string) answer {
	t.Helper()
	r := newRequest(t, http.MethodGet, s.URL()+"/realms/demo/protocol/openid-connect/userinfo", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return do(t, s, r)
}

func TestUserInfo(t *testing.T) {
	s := es256(t)
	const challenge = `Bearer realm="demo"`
	const invalid = challenge + `, error="invalid_token", error_description="Token verification failed"`
	tests := []struct {
		name, token string
		status      int
		challenge   string
	}{
		{"access token", s.Token(keycloaktest.ForUser("alice")), 200, ""},
		{"nothing", "", 401, challenge},
		{"garbage", "x", 401, invalid},
		{"ID token", s.IDToken(), 401, invalid},
		{"no openid scope", s.Token(keycloaktest.Scope("profile email")), 403, challenge + `, error="insufficient_scope", error_description="Missing openid scope"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := userinfo(t, s, tt.token)
			if got := a.header.Get("WWW-Authenticate"); a.status != tt.status || got != tt.challenge {
				t.Errorf("userinfo with %s = %d, challenge %q, want %d, %q", tt.name, a.status, got, tt.status, tt.challenge)
			}
			want := `{"sub":"` + s.User("alice").ID + `","email_verified":true,"name":"Alice A","groups":["/eng/sre"],` +
				`"preferred_username":"alice","given_name":"Alice","family_name":"A","email":"alice@example.com"}`
			if tt.status == 200 && a.body != want {
				t.Errorf("userinfo = %s, want %s", a.body, want)
			}
		})
	}
}
