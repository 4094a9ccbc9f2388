package keycloaktest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

func TestTokenEndpointRefuses(t *testing.T) {
	s := es256(t, keycloaktest.WithUser(keycloaktest.User{Username: "gone", Password: "gone", Disabled: true}))
	tests := []struct {
		name   string
		form   form
		status int
		code   string
		text   string
	}{
		{"no grant type", form{"a": "b"}, 400, "invalid_request", "Missing form parameter: grant_type"},
		{"unknown grant type", form{"grant_type": "x"}, 400, "unsupported_grant_type", "Unsupported grant_type"},
		{
			"unknown client", form{"grant_type": "password", "client_id": "x"},
			401, "invalid_client", "Invalid client or Invalid client credentials",
		},
		{
			"wrong secret", form{"grant_type": "client_credentials", "client_id": "orders-api", "client_secret": "x"},
			401, "unauthorized_client", "Invalid client or Invalid client credentials",
		},
		{
			"no secret", form{"grant_type": "client_credentials", "client_id": "orders-api"},
			401, "unauthorized_client", "Invalid client or Invalid client credentials",
		},
		{"no user name", form{"grant_type": "password"}, 401, "invalid_request", "Missing parameter: username"},
		{
			"wrong password", form{"grant_type": "password", "username": "alice", "password": "x"},
			400, "invalid_grant", "Invalid user credentials",
		},
		{
			"disabled user", form{"grant_type": "password", "username": "gone", "password": "gone"},
			400, "invalid_grant", "Account disabled",
		},
		{
			"unknown scope", form{"grant_type": "password", "username": "alice", "password": "alice", "scope": "x"},
			400, "invalid_scope", "Invalid scopes: x",
		},
		{
			"password grant off", form{"grant_type": "password", "client_id": "swagger"},
			400, "unauthorized_client", "Client not allowed for direct access grants",
		},
		{
			"public client without user", form{"grant_type": "client_credentials", "client_id": "spa"},
			401, "unauthorized_client", "Public client not allowed to retrieve service account",
		},
		{"no code", form{"grant_type": "authorization_code"}, 400, "invalid_request", "Missing parameter: code"},
		{"bad code", form{"grant_type": "authorization_code", "code": "x"}, 400, "invalid_grant", "Code not valid"},
		{"no refresh token", form{"grant_type": "refresh_token"}, 400, "invalid_request", "No refresh token"},
		{
			"long refresh token", form{"grant_type": "refresh_token", "refresh_token": strings.Repeat("x", 4001)},
			400, "invalid_request", "No refresh token",
		},
		{"empty refresh token", form{"grant_type": "refresh_token", "refresh_token": ""}, 400, "invalid_grant", "Invalid refresh token"},
		{
			"garbage as refresh token", form{"grant_type": "refresh_token", "refresh_token": "x"},
			400, "invalid_grant", "Invalid refresh token",
		},
		{
			"access token as refresh token", form{"grant_type": "refresh_token", "refresh_token": s.Token()},
			400, "invalid_grant", "Invalid refresh token",
		},
		{
			"expired refresh token", form{"grant_type": "refresh_token", "refresh_token": s.RefreshToken(keycloaktest.ExpiresIn(-time.Hour))},
			400, "invalid_grant", "Token is not active",
		},
		{
			"refresh token of another client", form{"grant_type": "refresh_token", "refresh_token": s.RefreshToken(keycloaktest.ForClient("spa"))},
			400, "invalid_grant", "Invalid refresh token. Token client and authorized client don't match",
		},
		{
			"refresh token of a disabled user", form{"grant_type": "refresh_token", "refresh_token": s.RefreshToken(keycloaktest.ForUser("gone"))},
			400, "invalid_grant", "User disabled",
		},
		{
			"refresh token of no session", form{"grant_type": "refresh_token", "refresh_token": s.RefreshToken(keycloaktest.Claim("sid", "x"))},
			400, "invalid_grant", "Session not active",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := post(t, s, "/token", tt.form)
			want := `{"error":"` + tt.code + `","error_description":"` + tt.text + `"}`
			if a.status != tt.status || a.body != want {
				t.Errorf("POST token with %s = %d %s, want %d %s", tt.name, a.status, a.body, tt.status, want)
			}
			if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
				t.Errorf("header = %v", a.header)
			}
		})
	}
}

func TestTokenResponse(t *testing.T) {
	s := es256(t, keycloaktest.WithClient(keycloaktest.Client{
		ID: "shop", Secret: "a b", DirectAccessGrants: true, Audience: []string{"shop"}, OptionalScopes: []string{"orders:write"},
	}))
	tests := []struct {
		name    string
		form    form
		members string
		scope   string
	}{
		{
			"password with openid", form{"grant_type": "password", "username": "alice", "password": "alice", "scope": "openid"},
			"access_token expires_in id_token not-before-policy refresh_expires_in refresh_token scope session_state token_type", "openid profile email",
		},
		{
			"password by email address", form{"grant_type": "password", "username": "alice@example.com", "password": "alice"},
			"access_token expires_in not-before-policy refresh_expires_in refresh_token scope session_state token_type", "profile email",
		},
		{
			"client credentials", form{"grant_type": "client_credentials"},
			"access_token expires_in not-before-policy refresh_expires_in scope token_type", "profile email",
		},
		{
			"optional scope", form{
				"grant_type": "password", "username": "bob", "password": "bob", "scope": "orders:write roles",
				"client_id": "shop", "client_secret": "a b",
			},
			"access_token expires_in not-before-policy refresh_expires_in refresh_token scope session_state token_type", "profile email orders:write",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := post(t, s, "/token", tt.form)
			got := a.json(t)
			for _, name := range strings.Fields(tt.members) {
				if _, ok := got[name]; !ok {
					t.Errorf("response has no %s", name)
				}
			}
			if len(got) != len(strings.Fields(tt.members)) || got["scope"] != tt.scope || got["expires_in"] != 300.0 {
				t.Errorf("response = %s", a.body)
			}
		})
	}
}

func TestParametersSentTwiceAreRefused(t *testing.T) {
	s := es256(t)
	for _, tail := range []string{"/token", "/token/introspect"} {
		r := newRequest(t, http.MethodPost, s.Issuer()+"/protocol/openid-connect"+tail+"?token=x", form{
			"grant_type": "client_credentials", "token": "x",
		})
		r.URL.RawQuery = ""
		r.Body = io.NopCloser(strings.NewReader("grant_type=client_credentials&token=x&token=y"))
		r.SetBasicAuth("orders-api", "s3cret")
		if a := do(t, s, r); a.status != 400 || !strings.Contains(a.body, "duplicated parameter") {
			t.Errorf("POST %s with a parameter twice = %d %s", tail, a.status, a.body)
		}
	}
}

func TestIDTokenComesWithItsHash(t *testing.T) {
	for _, alg := range []string{"ES256", "ES512", "EdDSA"} {
		_, claims := decode(t, tokens(t, es256(t, keycloaktest.WithAlgorithm(alg)), nil)["id_token"].(string))
		if claims["at_hash"] == nil || claims["typ"] != "ID" || claims["groups"] == nil {
			t.Errorf("ID token with %s = %v", alg, claims)
		}
	}
}

func TestRefreshRotates(t *testing.T) {
	s := es256(t)
	first := tokens(t, s, form{"client_id": "spa"})
	refresh := func(token any) answer {
		return post(t, s, "/token", form{"grant_type": "refresh_token", "client_id": "spa", "refresh_token": token.(string)})
	}
	second := refresh(first["refresh_token"]).json(t)
	_, claims := decode(t, second["access_token"].(string))
	if !strings.HasPrefix(claims["jti"].(string), "onrtrt:") || second["session_state"] != first["session_state"] {
		t.Errorf("refreshed: jti %v, session %v, want onrtrt:… of session %v", claims["jti"], second["session_state"], first["session_state"])
	}
	active := func() string {
		return post(t, s, "/token/introspect", form{"token": second["access_token"].(string)}).body
	}
	if got := active(); !strings.Contains(got, `"active":true`) {
		t.Errorf("introspection after refresh = %s", got)
	}
	for _, step := range []struct {
		token any
		want  string
	}{
		{first["refresh_token"], "Maximum allowed refresh token reuse exceeded"},
		{second["refresh_token"], "Session doesn't have required client"},
	} {
		if a := refresh(step.token); a.status != 400 || a.json(t)["error_description"] != step.want {
			t.Errorf("refresh = %d %s, want %s", a.status, a.body, step.want)
		}
	}
	if got := active(); got != `{"active":false}` {
		t.Errorf("introspection after reuse = %s", got)
	}
}

func TestRefreshWithATokenFromLongAgo(t *testing.T) {
	s := es256(t)
	first := s.RefreshToken(keycloaktest.ForUser("bob"))
	token := first
	for range 2 {
		a := post(t, s, "/token", form{"grant_type": "refresh_token", "refresh_token": token})
		if a.status != http.StatusOK {
			t.Fatalf("refresh = %d %s", a.status, a.body)
		}
		token = a.json(t)["refresh_token"].(string)
	}
	a := post(t, s, "/token", form{"grant_type": "refresh_token", "refresh_token": first})
	if a.json(t)["error_description"] != "Stale token" {
		t.Errorf("refresh with the token before the last = %s, want Stale token", a.body)
	}
}

func TestOneOfManyRefreshesWins(t *testing.T) {
	s := es256(t)
	token := s.RefreshToken()
	results := make(chan int)
	for range 8 {
		go func() {
			results <- post(t, s, "/token", form{"grant_type": "refresh_token", "refresh_token": token}).status
		}()
	}
	won := 0
	for range 8 {
		if <-results == http.StatusOK {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d of 8 refreshes with one token won, want 1", won)
	}
}

func TestPrivateKeyJWT(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := es256(t, keycloaktest.WithClient(keycloaktest.Client{ID: "robot", PublicKey: key.Public(), ServiceAccount: true}))
	good := func() jwt.MapClaims {
		return jwt.MapClaims{
			"iss": "robot", "sub": "robot", "aud": s.Issuer(), "jti": rand.Text(), "exp": time.Now().Add(time.Minute).Unix(),
		}
	}
	tests := []struct {
		name   string
		change func(jwt.MapClaims)
		status int
		want   string
	}{
		{"good", func(jwt.MapClaims) {}, 200, "access_token"},
		{"token endpoint as audience", func(c jwt.MapClaims) { c["aud"] = s.Issuer() + "/protocol/openid-connect/token" }, 200, "access_token"},
		{"another issuer", func(c jwt.MapClaims) { c["iss"] = "x" }, 401, "invalid_client"},
		{"another client", func(c jwt.MapClaims) { c["iss"], c["sub"] = "orders-api", "orders-api" }, 401, "invalid_client"},
		{"another audience", func(c jwt.MapClaims) { c["aud"] = "x" }, 400, "Invalid token audience"},
		{"two audiences", func(c jwt.MapClaims) { c["aud"] = []string{s.Issuer(), "x"} }, 400, "Multiple audiences not allowed"},
		{"no end", func(c jwt.MapClaims) { delete(c, "exp") }, 400, "Token exp claim is required"},
		{"expired", func(c jwt.MapClaims) { c["exp"] = 1 }, 400, "Token is not active"},
		{"no ID", func(c jwt.MapClaims) { delete(c, "jti") }, 400, "Token jti claim is required"},
	}
	send := func(t *testing.T, assertion string) answer {
		return post(t, s, "/token", form{
			"grant_type": "client_credentials", "client_assertion": assertion,
			"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
		})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			claims := good()
			tt.change(claims)
			assertion, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(key)
			if err != nil {
				t.Fatal(err)
			}
			if a := send(t, assertion); a.status != tt.status || !strings.Contains(a.body, tt.want) {
				t.Errorf("assertion %s = %d %s, want %d %s", tt.name, a.status, a.body, tt.status, tt.want)
			}
			if again := send(t, assertion); tt.status == 200 && !strings.Contains(again.body, "Token reuse detected") {
				t.Errorf("assertion sent again = %d %s", again.status, again.body)
			}
		})
	}
	t.Run("no token", func(t *testing.T) {
		if a := send(t, "x"); a.status != 401 {
			t.Errorf("assertion x = %d %s, want 401", a.status, a.body)
		}
	})
	t.Run("another key", func(t *testing.T) {
		assertion := s.Token(keycloaktest.Issuer("robot"), keycloaktest.Subject("robot"), keycloaktest.Audience(s.Issuer()))
		if a := send(t, assertion); a.status != 400 || !strings.Contains(a.body, "failed validation") {
			t.Errorf("assertion by another key = %d %s", a.status, a.body)
		}
	})
}

func TestPrivateKeyJWTOfANamedKey(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := es256(t, keycloaktest.WithClient(keycloaktest.Client{
		ID: "robot", PublicKey: key.Public(), KeyID: "robot-1", ServiceAccount: true,
	}))
	for kid, want := range map[string]string{"": "access_token", "robot-1": "access_token", "robot-2": "Unable to load public key"} {
		assertion := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
			"iss": "robot", "sub": "robot", "aud": s.Issuer(), "jti": rand.Text(), "exp": time.Now().Add(time.Minute).Unix(),
		})
		if kid != "" {
			assertion.Header["kid"] = kid
		}
		signed, err := assertion.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		a := post(t, s, "/token", form{
			"grant_type": "client_credentials", "client_assertion": signed,
			"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
		})
		if !strings.Contains(a.body, want) {
			t.Errorf("assertion with kid %q = %d %s, want %s", kid, a.status, a.body, want)
		}
	}
}

func TestCORS(t *testing.T) {
	s := es256(t)
	userinfo := s.Issuer() + "/protocol/openid-connect/userinfo"
	token := s.Issuer() + "/protocol/openid-connect/token"
	tests := []struct {
		name   string
		method string
		target string
		origin string
		status int
		allow  string
	}{
		{"preflight of any origin", "OPTIONS", token, "http://x.example", 200, "http://x.example"},
		{"token, own origin of the client", "POST", token, "http://localhost:5173", 200, "http://localhost:5173"},
		{"token, another origin", "POST", token, "http://x.example", 403, ""},
		{"token, an origin that starts alike", "POST", token, "http://localhost:5173.x.example", 403, ""},
		{"token, null", "POST", token, "null", 403, ""},
		{"token, no browser", "POST", token, "", 200, ""},
		{"userinfo, own origin of the client", "GET", userinfo, "http://localhost:8080", 200, "http://localhost:8080"},
		{"userinfo, another origin", "GET", userinfo, "http://x.example", 403, ""},
		{"key set, any origin", "GET", s.URL() + certs, "http://x.example", 200, "http://x.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var f form
			if tt.method == "POST" {
				f = form{"grant_type": "password", "client_id": "spa", "username": "alice", "password": "alice"}
			}
			r := newRequest(t, tt.method, tt.target, f)
			r.Header.Set("Origin", tt.origin)
			if tt.origin == "" {
				r.Header.Del("Origin")
			}
			if tt.target == userinfo {
				r.Header.Set("Authorization", "Bearer "+s.Token())
			}
			a := do(t, s, r)
			if got := a.header.Get("Access-Control-Allow-Origin"); a.status != tt.status || got != tt.allow {
				t.Errorf("%s = %d, allowed origin %q, want %d, %q", tt.name, a.status, got, tt.status, tt.allow)
			}
			if tt.status == 403 && a.body != `{"error":"Invalid origin"}` {
				t.Errorf("body = %s", a.body)
			}
		})
	}
}
