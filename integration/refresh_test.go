package integration_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func refreshForm(token string) url.Values {
	return values("grant_type", "refresh_token", "refresh_token", token)
}

func TestContractRefresh(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		first := kc.login(t, ordersAPI, "alice", "openid")
		got := kc.post(t, tokenPath, refreshForm(first.Refresh), ordersAPI)
		second := kc.tokens(t, got)
		kc.checkJSON(t, object(t, got.body), `{"access_token":"<jwt>", "expires_in":"<5 minutes>", "refresh_token":"<jwt>",
			"refresh_expires_in":"<30 minutes>", "token_type":"Bearer", "id_token":"<jwt>", "not-before-policy":0,
			"session_state":"<session>", "scope":"email openid profile"}`, "")
		checkHeader(t, got, "Cache-Control", "no-store")
		checkHeader(t, got, "Pragma", "no-cache")

		_, claims := decode(t, second.Access)
		want := strings.NewReplacer("onrtro:", "onrtrt:", "email profile", "email openid profile").Replace(aliceClaims)
		kc.checkJSON(t, claims, want, "")
		if claims["sid"] != first.Session || second.Session != first.Session {
			t.Errorf("the session is now %v and %s, want still %s", claims["sid"], second.Session, first.Session)
		}
		if second.Refresh == first.Refresh {
			t.Error("the refresh token is still the same")
		}
		kc.tokens(t, kc.post(t, tokenPath, refreshForm(second.Refresh), ordersAPI)) // the chain goes on
	})
}

func TestContractRefreshOfPublicClient(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		tok := kc.tokens(t, kc.post(t, tokenPath, public("spa", passwordForm("alice", "-")), basic{}))
		kc.tokens(t, kc.post(t, tokenPath, public("spa", refreshForm(tok.Refresh)), basic{}))
	})
}

func TestContractRefreshOfLightweightToken(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		first := kc.login(t, light, "alice", "-")
		_, claims := decode(t, kc.tokens(t, kc.post(t, tokenPath, refreshForm(first.Refresh), light)).Access)
		kc.checkJSON(t, claims, `{"exp":"<in 5 minutes>", "iat":"<now>", "jti":"onltrt:<uuid>", "iss":"<issuer>",
			"typ":"Bearer", "azp":"light", "sid":"<session>", "scope":"email profile"}`, `{"sub":"<uuid>"}`)
	})
}

func TestContractRefreshRefusals(t *testing.T) {
	invalid := refusal{http.StatusBadRequest, "invalid_grant", "Invalid refresh token"}
	wrongClient := refusal{http.StatusBadRequest, "invalid_grant", "Invalid refresh token. Token client and authorized client don't match"}
	badClient := refusal{http.StatusUnauthorized, "unauthorized_client", "Invalid client or Invalid client credentials"}
	tests := []struct {
		name   string
		token  func(tokens) string
		client basic
		want   refusal
	}{
		{"garbage", func(tokens) string { return "garbage" }, ordersAPI, invalid},
		{"4000 characters", func(tokens) string { return strings.Repeat("x", 4000) }, ordersAPI, invalid},
		{"nothing", func(tokens) string { return "" }, ordersAPI, invalid},
		{"no token", func(tokens) string { return "-" }, ordersAPI, refusal{http.StatusBadRequest, "invalid_request", "No refresh token"}},
		{"access token", func(tok tokens) string { return tok.Access }, ordersAPI, invalid},
		{"ID token", func(tok tokens) string { return tok.ID }, ordersAPI, invalid},
		{"another signature", func(tok tokens) string { return tok.Refresh[:len(tok.Refresh)-12] + "AAAAAAAAAAAA" }, ordersAPI, invalid},
		{"of another client", func(tok tokens) string { return tok.Refresh }, billing, wrongClient},
		{"wrong secret", func(tok tokens) string { return tok.Refresh }, basic{"orders-api", "wrong"}, badClient},
	}
	contract(t, func(t *testing.T, kc *target) {
		tok := kc.login(t, ordersAPI, "alice", "openid")
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				kc.checkTokenRefusal(t, kc.post(t, tokenPath, refreshForm(tt.token(tok)), tt.client), tt.want, refusal{})
			})
		}
		// Keycloak 26 takes no notice of longer parameters.
		got := kc.post(t, tokenPath, refreshForm(strings.Repeat("x", 4001)), ordersAPI)
		kc.checkTokenRefusal(t, got, refusal{http.StatusBadRequest, "invalid_request", "No refresh token"}, invalid)
		kc.tokens(t, kc.post(t, tokenPath, refreshForm(tok.Refresh), ordersAPI)) // none of it did any harm
	})
}

// Reuse of a refresh token ends the session for the client: even the newest refresh token is void then, and the access
// tokens are inactive.
func TestContractRefreshReuse(t *testing.T) {
	const lost = "Session doesn't have required client"
	contract(t, func(t *testing.T, kc *target) {
		first := kc.login(t, ordersAPI, "alice", "-")
		second := kc.tokens(t, kc.post(t, tokenPath, refreshForm(first.Refresh), ordersAPI))
		for _, step := range []struct{ name, token, want string }{
			{"the used token", first.Refresh, "Maximum allowed refresh token reuse exceeded"},
			{"then the newest token", second.Refresh, lost},
			{"then the used token again", first.Refresh, lost},
		} {
			t.Log(step.name)
			got := kc.post(t, tokenPath, refreshForm(step.token), ordersAPI)
			kc.checkTokenRefusal(t, got, refusal{http.StatusBadRequest, "invalid_grant", step.want}, refusal{})
		}
		if got := kc.introspect(t, second.Access, ordersAPI); got["active"] != false {
			t.Errorf("introspection of the newest access token = %v, want inactive", got)
		}
	})
}

// A refresh token from before the last refresh but one is stale. Keycloak tells that by whole seconds, so that within
// one second even such a token is taken; the test waits until it is told apart.
func TestContractRefreshStale(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		first := kc.login(t, ordersAPI, "alice", "-")
		time.Sleep(1100 * time.Millisecond)
		second := kc.tokens(t, kc.post(t, tokenPath, refreshForm(first.Refresh), ordersAPI))
		third := kc.tokens(t, kc.post(t, tokenPath, refreshForm(second.Refresh), ordersAPI))

		got := kc.post(t, tokenPath, refreshForm(first.Refresh), ordersAPI)
		kc.checkTokenRefusal(t, got, refusal{http.StatusBadRequest, "invalid_grant", "Stale token"}, refusal{})
		got = kc.post(t, tokenPath, refreshForm(third.Refresh), ordersAPI)
		kc.checkTokenRefusal(t, got, refusal{http.StatusBadRequest, "invalid_grant", "Session doesn't have required client"}, refusal{})
	})
}

func TestContractRefreshAfterLogout(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		tok := kc.login(t, ordersAPI, "bob", "-")
		do(t, kc.admin.LogoutUser(t.Context(), "bob"))
		got := kc.post(t, tokenPath, refreshForm(tok.Refresh), ordersAPI)
		kc.checkTokenRefusal(t, got, refusal{http.StatusBadRequest, "invalid_grant", "Session not active"}, refusal{})

		got = kc.post(t, tokenPath, passwordForm("bob", "-"), ordersAPI)
		policy, _ := object(t, got.body)["not-before-policy"].(float64)
		if age := time.Since(time.Unix(int64(policy), 0)); age < 0 || age > 30*time.Second {
			t.Errorf("not-before-policy of bob's next login = %.0f, want the time of the logout: %s", policy, got.body)
		}
	})
}

func TestContractLogout(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		tok := kc.login(t, ordersAPI, "alice", "openid")
		other := kc.login(t, ordersAPI, "alice", "-")
		for _, which := range []string{"first", "second"} {
			got := kc.post(t, logoutPath, values("refresh_token", tok.Refresh), ordersAPI)
			if got.status != http.StatusNoContent || got.body != "" {
				t.Errorf("the %s logout said %d %q, want 204 and no body", which, got.status, got.body)
			}
		}
		got := kc.post(t, tokenPath, refreshForm(tok.Refresh), ordersAPI)
		kc.checkTokenRefusal(t, got, refusal{http.StatusBadRequest, "invalid_grant", "Session not active"}, refusal{})
		for name, token := range map[string]string{"access": tok.Access, "ID": tok.ID} {
			if got := kc.introspect(t, token, ordersAPI); got["active"] != false {
				t.Errorf("introspection of the %s token = %v, want inactive", name, got)
			}
		}
		if got := kc.introspect(t, other.Access, ordersAPI); got["active"] != true {
			t.Errorf("introspection of alice's other session = %v, want active", got)
		}
	})
}

func TestContractLogoutRefusals(t *testing.T) {
	invalid := refusal{http.StatusBadRequest, "invalid_grant", "Invalid refresh token"}
	wrongClient := refusal{http.StatusBadRequest, "invalid_grant", "Invalid refresh token. Token client and authorized client don't match"}
	badClient := refusal{http.StatusUnauthorized, "unauthorized_client", "Invalid client or Invalid client credentials"}
	tests := []struct {
		name   string
		token  func(tokens) string
		client basic
		want   refusal
	}{
		{"garbage", func(tokens) string { return "garbage" }, ordersAPI, invalid},
		{"access token", func(tok tokens) string { return tok.Access }, ordersAPI, invalid},
		{"of another client", func(tok tokens) string { return tok.Refresh }, billing, wrongClient},
		{"wrong secret", func(tok tokens) string { return tok.Refresh }, basic{"orders-api", "wrong"}, badClient},
	}
	contract(t, func(t *testing.T, kc *target) {
		tok := kc.login(t, ordersAPI, "alice", "-")
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				got := kc.post(t, logoutPath, values("refresh_token", tt.token(tok)), tt.client)
				kc.checkRefusal(t, got, tt.want, refusal{})
			})
		}
		if got := kc.introspect(t, tok.Access, ordersAPI); got["active"] != true {
			t.Errorf("introspection after refused logouts = %v, want active", got)
		}
	})
}
