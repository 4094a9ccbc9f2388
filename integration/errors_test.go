package integration_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// checkTokenRefusal is checkRefusal for the token endpoint, whose answers no cache may keep (RFC 6749 §5.1).
func (kc *target) checkTokenRefusal(t *testing.T, got answer, want, before26 refusal) {
	t.Helper()
	kc.checkRefusal(t, got, want, before26)
	checkHeader(t, got, "Cache-Control", "no-store")
	checkHeader(t, got, "Pragma", "no-cache")
}

func TestContractTokenEndpointRefusals(t *testing.T) {
	badSecret := refusal{http.StatusUnauthorized, "unauthorized_client", "Invalid client or Invalid client credentials"}
	badClient := refusal{http.StatusUnauthorized, "invalid_client", "Invalid client or Invalid client credentials"}
	badUser := refusal{http.StatusBadRequest, "invalid_grant", "Invalid user credentials"}
	oldBadUser := refusal{http.StatusUnauthorized, "invalid_grant", "Invalid user credentials"} // 400, as RFC 6749 §5.2 asks, came later
	notService := refusal{http.StatusUnauthorized, "unauthorized_client", "Public client not allowed to retrieve service account"}
	invalidRequest := func(description string) refusal {
		return refusal{http.StatusBadRequest, "invalid_request", description}
	}
	password := passwordForm("alice", "-")
	service := values("grant_type", "client_credentials")
	code := values("grant_type", "authorization_code", "client_id", "swagger")
	tests := []struct {
		name           string
		form           url.Values
		client         basic
		want, before26 refusal
	}{
		{"wrong secret", service, basic{"orders-api", "wrong"}, badSecret, refusal{}},
		{"wrong secret in the form", with(public("orders-api", password), "client_secret", "wrong"), basic{}, badSecret, refusal{}},
		{"no secret", public("orders-api", password), basic{}, badSecret, refusal{}},
		{"unknown client", service, basic{"nobody", "s3cret"}, badClient, refusal{}},
		{"unknown client in the form", with(public("nobody", password), "client_secret", "s3cret"), basic{}, badClient, refusal{}},
		{"no client", password, basic{}, badClient, refusal{}},
		{"wrong password", with(password, "password", "wrong"), ordersAPI, badUser, oldBadUser},
		{"no password", with(password, "password", "-"), ordersAPI, badUser, oldBadUser},
		{"unknown user", with(password, "username", "nobody"), ordersAPI, badUser, oldBadUser},
		{
			"no user", with(password, "username", "-"), ordersAPI,
			refusal{http.StatusUnauthorized, "invalid_request", "Missing parameter: username"}, refusal{},
		},
		{"nothing at all", url.Values{}, basic{}, invalidRequest("Missing form parameter: grant_type"), refusal{}},
		{"no grant", public("spa", url.Values{}), basic{}, invalidRequest("Missing form parameter: grant_type"), refusal{}},
		{
			"unknown grant", values("grant_type", "nonsense"), ordersAPI,
			refusal{http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant_type"}, refusal{},
		},
		{
			"password grant of a client that has none", public("swagger", password), basic{},
			refusal{http.StatusBadRequest, "unauthorized_client", "Client not allowed for direct access grants"}, refusal{},
		},
		{"service account of a public client", public("spa", service), basic{}, notService, refusal{}},
		{
			"unknown scope", with(password, "scope", "nonsense"), ordersAPI,
			refusal{http.StatusBadRequest, "invalid_scope", "Invalid scopes: nonsense"}, refusal{},
		},
		{"no code", code, basic{}, invalidRequest("Missing parameter: code"), refusal{}},
		{"unknown code", with(code, "code", "nonsense"), basic{}, refusal{http.StatusBadRequest, "invalid_grant", "Code not valid"}, refusal{}},
	}
	contract(t, func(t *testing.T, kc *target) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				kc.checkTokenRefusal(t, kc.post(t, tokenPath, tt.form, tt.client), tt.want, tt.before26)
			})
		}
	})
}

func TestContractUnknownRealm(t *testing.T) {
	want := refusal{http.StatusNotFound, "Realm does not exist", ""}
	before26 := refusal{http.StatusNotFound, "Realm does not exist", "For more on this error consult the server log at the debug level."}
	contract(t, func(t *testing.T, kc *target) {
		nowhere := *kc
		nowhere.issuer = kc.server + "/realms/nowhere"
		for _, path := range []string{"", discoveryPath, keySetPath} {
			t.Run("GET "+path, func(t *testing.T) { kc.checkRefusal(t, nowhere.get(t, path), want, before26) })
		}
		for _, path := range []string{tokenPath, introspectionPath} {
			t.Run("POST "+path, func(t *testing.T) {
				kc.checkRefusal(t, nowhere.post(t, path, passwordForm("alice", "-"), ordersAPI), want, before26)
			})
		}
	})
}

func TestContractWrongMethod(t *testing.T) {
	want := refusal{http.StatusMethodNotAllowed, "HTTP 405 Method Not Allowed", ""}
	before26 := refusal{http.StatusMethodNotAllowed, "HTTP 405 Method Not Allowed", "For more on this error consult the server log at the debug level."}
	contract(t, func(t *testing.T, kc *target) {
		for _, path := range []string{tokenPath, introspectionPath} {
			t.Run("GET "+path, func(t *testing.T) { kc.checkRefusal(t, kc.get(t, path), want, before26) })
		}
	})
}

// A browser may call the token endpoint from the client's web origins only.
func TestContractTokenEndpointOrigin(t *testing.T) {
	call := func(t *testing.T, kc *target, origin string) answer {
		form := public("spa", passwordForm("alice", "-")).Encode()
		req := newRequest(t, http.MethodPost, kc.issuer+tokenPath, strings.NewReader(form))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", origin)
		return roundTrip(t, http.DefaultClient, req)
	}
	contract(t, func(t *testing.T, kc *target) {
		t.Run("the client's", func(t *testing.T) {
			got := call(t, kc, "http://localhost:8080")
			kc.tokens(t, got)
			checkHeader(t, got, "Access-Control-Allow-Origin", "http://localhost:8080")
			checkHeader(t, got, "Access-Control-Allow-Credentials", "true")
		})
		t.Run("another", func(t *testing.T) {
			kc.since26(t, "foreign origins get the tokens, without a header that would let the browser read them")
			got := call(t, kc, "http://evil.example")
			kc.checkRefusal(t, got, refusal{http.StatusForbidden, "Invalid origin", ""}, refusal{})
			checkHeader(t, got, "Access-Control-Allow-Origin", "")
		})
		t.Run("preflight", func(t *testing.T) {
			req := newRequest(t, http.MethodOptions, kc.issuer+tokenPath, nil)
			req.Header.Set("Origin", "http://localhost:8080")
			req.Header.Set("Access-Control-Request-Method", "POST")
			got := roundTrip(t, http.DefaultClient, req)
			if got.status != http.StatusOK {
				t.Errorf("status = %d, want 200", got.status)
			}
			checkHeader(t, got, "Access-Control-Allow-Origin", "http://localhost:8080")
			checkHeader(t, got, "Access-Control-Allow-Methods", "post, options")
			checkHeader(t, got, "Access-Control-Max-Age", "3600")
		})
	})
}

func TestContractUserinfo(t *testing.T) {
	const invalidToken = `Bearer realm="demo", error="invalid_token", error_description=`
	tests := []struct {
		name      string
		token     func(*testing.T, *target) string
		status    int
		challenge string
		before26  string // where the challenge differs
		since26   string
	}{
		{
			name:   "access token",
			token:  func(t *testing.T, kc *target) string { return kc.login(t, ordersAPI, "alice", "openid").Access },
			status: http.StatusOK,
		},
		{
			name:   "access token without scope openid",
			token:  func(t *testing.T, kc *target) string { return kc.login(t, ordersAPI, "alice", "-").Access },
			status: http.StatusForbidden, challenge: `Bearer realm="demo", error="insufficient_scope", error_description="Missing openid scope"`,
		},
		{
			name:   "no token",
			token:  func(*testing.T, *target) string { return "" },
			status: http.StatusUnauthorized, challenge: `Bearer realm="demo"`,
		},
		{
			name:   "garbage",
			token:  func(*testing.T, *target) string { return "garbage" },
			status: http.StatusUnauthorized, challenge: invalidToken + `"Token verification failed"`,
		},
		{
			name:   "ID token",
			token:  func(t *testing.T, kc *target) string { return kc.login(t, ordersAPI, "alice", "openid").ID },
			status: http.StatusUnauthorized, challenge: invalidToken + `"Token verification failed"`,
		},
		{
			name:   "lightweight token",
			token:  func(t *testing.T, kc *target) string { return kc.login(t, light, "alice", "openid").Access },
			status: http.StatusUnauthorized, challenge: invalidToken + `"Lightweight access token not allowed for userinfo endpoint"`,
			since26: "they are refused since 26.6.2 only",
		},
		{
			name: "access token of a session that is over",
			token: func(t *testing.T, kc *target) string {
				tok := kc.login(t, ordersAPI, "alice", "openid")
				kc.post(t, logoutPath, values("refresh_token", tok.Refresh), ordersAPI)
				return tok.Access
			},
			status: http.StatusUnauthorized, challenge: invalidToken + `"user_session_not_found"`,
			before26: invalidToken + `"User session not found or doesn't have client attached on it"`,
		},
	}
	contract(t, func(t *testing.T, kc *target) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				kc.since26(t, tt.since26)
				req := newRequest(t, http.MethodGet, kc.issuer+userinfoPath, nil)
				if token := tt.token(t, kc); token != "" {
					req.Header.Set("Authorization", "Bearer "+token)
				}
				got := roundTrip(t, http.DefaultClient, req)
				if got.status != tt.status {
					t.Errorf("status = %d, want %d", got.status, tt.status)
				}
				challenge := tt.challenge
				if kc.major < 26 && tt.before26 != "" {
					challenge = tt.before26
				}
				if have := got.header.Get("WWW-Authenticate"); have != challenge {
					t.Errorf("WWW-Authenticate = %s, want %s", have, challenge)
				}
				if tt.status == http.StatusOK {
					kc.checkJSON(t, object(t, got.body), `{"sub":"<uuid>", "email_verified":true, "name":"Alice A",
						"groups":["/eng/sre"], "preferred_username":"alice", "given_name":"Alice", "family_name":"A",
						"email":"alice@example.com"}`, "")
				} else if got.body != "" {
					t.Errorf("body = %q, want none", got.body)
				}
			})
		}
	})
}
