package keycloaktest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

const (
	callback = "http://localhost:4711/swagger/oauth2-redirect.html"
	verifier = "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz"
)

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// request is a good authorization request of the client swagger, changed; an empty value takes a parameter out.
func request(change form) url.Values {
	v := form{
		"client_id": "swagger", "response_type": "code", "redirect_uri": callback, "state": "a&b", "nonce": "n",
		"scope": "openid", "code_challenge": challenge(), "code_challenge_method": "S256",
	}.values()
	for name, value := range change {
		v.Set(name, value)
		if value == "" {
			v.Del(name)
		}
	}
	return v
}

func authorize(t *testing.T, s *keycloaktest.Server, change form) answer {
	t.Helper()
	return get(t, s, "/realms/demo/protocol/openid-connect/auth?"+request(change).Encode())
}

var action = regexp.MustCompile(`<form [^>]*action="([^"]*)"`)

// submit fills the login page in.
func submit(t *testing.T, s *keycloaktest.Server, page answer, username, password string) answer {
	t.Helper()
	found := action.FindStringSubmatch(page.body)
	if found == nil {
		t.Fatalf("no form on the page %d %s", page.status, page.body)
	}
	target, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	target, err = target.Parse(html.UnescapeString(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return do(t, s, newRequest(t, http.MethodPost, target.String(), form{"username": username, "password": password}))
}

// login logs alice in and returns the parameters of the redirect.
func login(t *testing.T, s *keycloaktest.Server, change form) url.Values {
	t.Helper()
	a := submit(t, s, authorize(t, s, change), "alice", "alice")
	to, err := url.Parse(a.header.Get("Location"))
	if a.status != http.StatusFound || err != nil {
		t.Fatalf("login = %d to %q (%v)", a.status, a.header.Get("Location"), err)
	}
	return to.Query()
}

func exchange(t *testing.T, s *keycloaktest.Server, code string, change form) answer {
	t.Helper()
	f := form{
		"grant_type": "authorization_code", "client_id": "swagger", "code": code, "redirect_uri": callback,
		"code_verifier": verifier,
	}
	for name, value := range change {
		f[name] = value
	}
	return post(t, s, "/token", f)
}

func TestLogin(t *testing.T) {
	for _, base := range []string{"", "/auth"} {
		s := es256(t, keycloaktest.WithBasePath(base))
		page := authorize(t, s, nil)
		for _, want := range []string{`id="username"`, `id="password"`, `id="kc-login"`, `id="kc-form-login"`} {
			if page.status != http.StatusOK || !strings.Contains(page.body, want) {
				t.Errorf("login page %d has no %s", page.status, want)
			}
		}
		again := submit(t, s, page, "alice", "wrong")
		if again.status != http.StatusOK || !strings.Contains(again.body, "Invalid username or password.") {
			t.Errorf("wrong password = %d %s", again.status, again.body)
		}
		a := submit(t, s, again, "alice", "alice")
		want := regexp.MustCompile(`^` + regexp.QuoteMeta(callback) + `\?state=a%26b&session_state=[\w-]{24}&iss=` +
			regexp.QuoteMeta(url.QueryEscape(s.Issuer())) + `&code=` + uuid + `\.[\w-]{24}\.` + uuid + `$`)
		if got := a.header.Get("Location"); a.status != http.StatusFound || !want.MatchString(got) {
			t.Fatalf("login = %d to %s, want %s", a.status, got, want)
		}
		if twice := submit(t, s, again, "alice", "alice"); twice.status != http.StatusBadRequest {
			t.Errorf("form sent twice = %d, want 400", twice.status)
		}
	}
}

func TestCodeForTokens(t *testing.T) {
	s := es256(t)
	got := login(t, s, nil)
	a := exchange(t, s, got.Get("code"), nil)
	if a.status != http.StatusOK {
		t.Fatalf("code for tokens = %d %s", a.status, a.body)
	}
	response := a.json(t)
	_, access := decode(t, response["access_token"].(string))
	_, id := decode(t, response["id_token"].(string))
	if access["azp"] != "swagger" || access["aud"] != "orders-api" || access["sid"] != got.Get("session_state") || access["auth_time"] == nil {
		t.Errorf("access token = %v", access)
	}
	if id["aud"] != "swagger" || id["nonce"] != "n" || id["groups"] != nil {
		t.Errorf("ID token = %v", id)
	}
	if again := exchange(t, s, got.Get("code"), nil); again.json(t)["error_description"] != "Code not valid" {
		t.Errorf("code used again = %d %s", again.status, again.body)
	}
	if a := post(t, s, "/token/introspect", form{"token": response["access_token"].(string)}); a.body != `{"active":false}` {
		t.Errorf("introspection after the code was used again = %s, want inactive", a.body)
	}
}

func TestCodeIsRefused(t *testing.T) {
	s := es256(t)
	tests := []struct {
		name    string
		request form
		change  form
		want    string
	}{
		{"without verifier", nil, form{"code_verifier": ""}, "PKCE code verifier not specified"},
		{"with another verifier", nil, form{"code_verifier": verifier + "x"}, "PKCE verification failed: Code mismatch"},
		{"with a short verifier", nil, form{"code_verifier": "x"}, "PKCE verification failed: Invalid code verifier"},
		{"for another redirect URI", nil, form{"redirect_uri": callback + "?"}, "Incorrect redirect_uri"},
		{"for another client", nil, form{"client_id": "spa"}, "Auth error: Found different client_id in clientSession"},
		{
			"with a verifier nobody announced",
			form{"client_id": "spa", "code_challenge": "", "code_challenge_method": ""}, form{"client_id": "spa"},
			"PKCE code verifier specified but challenge not present in authorization",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := exchange(t, s, login(t, s, tt.request).Get("code"), tt.change)
			if a.status != 400 || a.json(t)["error_description"] != tt.want {
				t.Errorf("code %s = %d %s, want %s", tt.name, a.status, a.body, tt.want)
			}
		})
	}
}

func TestPlainChallenge(t *testing.T) {
	s := es256(t)
	change := form{"client_id": "spa", "code_challenge": verifier, "code_challenge_method": ""}
	if a := exchange(t, s, login(t, s, change).Get("code"), form{"client_id": "spa"}); a.status != http.StatusOK {
		t.Errorf("code with a plain challenge = %d %s", a.status, a.body)
	}
}

func TestAuthorizationRefuses(t *testing.T) {
	s := es256(t)
	tests := []struct {
		name   string
		change form
		want   string // parameters of the redirect; "" for a page without redirect
	}{
		{"unknown client", form{"client_id": "x"}, ""},
		{"no redirect URI", form{"redirect_uri": ""}, ""},
		{"redirect URI of another host", form{"redirect_uri": "http://evil.example/swagger/oauth2-redirect.html"}, ""},
		{"redirect URI with a user", form{"redirect_uri": "http://localhost:80@evil.example/swagger/oauth2-redirect.html"}, ""},
		{"redirect URI of another scheme", form{"redirect_uri": "javascript://localhost:80/swagger/oauth2-redirect.html"}, ""},
		{"redirect URI with more host", form{"redirect_uri": "http://localhost:80.evil.example/swagger/oauth2-redirect.html"}, ""},
		{"redirect URI with a backslash", form{"redirect_uri": `http://localhost:80\evil.example/swagger/oauth2-redirect.html`}, ""},
		{"redirect URI with more path", form{"redirect_uri": callback + "/x"}, ""},
		{"redirect URI with a query", form{"redirect_uri": callback + "?x=1"}, ""},
		{"redirect URI with a fragment", form{"redirect_uri": callback + "#x"}, ""},
		{"redirect URI with a line break", form{"redirect_uri": callback + "\r\nX: y"}, ""},
		{"redirect URI that is the pattern", form{"redirect_uri": "http://localhost:*/swagger/oauth2-redirect.html"}, ""},
		{"wildcard with dots", form{"client_id": "spa", "redirect_uri": "http://localhost:80/a/../b"}, ""},
		{"wildcard with escaped dots", form{"client_id": "spa", "redirect_uri": "http://localhost:80/a/%2e%2e%2fb"}, ""},
		{"wildcard of a password client", form{"client_id": "billing"}, ""},
		{"no response type", form{"response_type": ""}, "error=invalid_request&error_description=Missing+parameter%3A+response_type"},
		{"unknown response type", form{"response_type": "x"}, "error=unsupported_response_type"},
		{"unknown response mode", form{"response_mode": "x"}, "error=invalid_request&error_description=Invalid+parameter%3A+response_mode"},
		{"unknown scope", form{"scope": "x"}, "error=invalid_scope&error_description=Invalid+scopes%3A+x"},
		{"no challenge method", form{"code_challenge_method": ""}, "error=invalid_request&error_description=Missing+parameter%3A+code_challenge_method"},
		{
			"plain challenge", form{"code_challenge_method": "plain"},
			"error=invalid_request&error_description=Invalid+parameter%3A+code+challenge+method+is+not+matching+the+configured+one",
		},
		{"no challenge", form{"code_challenge": ""}, "error=invalid_request&error_description=Missing+parameter%3A+code_challenge"},
		{"short challenge", form{"code_challenge": "x"}, "error=invalid_request&error_description=Invalid+parameter%3A+code_challenge"},
		{"no page wanted", form{"prompt": "none"}, "error=login_required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := authorize(t, s, tt.change)
			if tt.want == "" {
				if a.status != http.StatusBadRequest || a.header.Get("Location") != "" {
					t.Errorf("%s = %d to %q, want 400 and no redirect", tt.name, a.status, a.header.Get("Location"))
				}
				return
			}
			want := callback + "?" + tt.want + "&state=a%26b&iss=" + url.QueryEscape(s.Issuer())
			if got := a.header.Get("Location"); a.status != http.StatusFound || got != want {
				t.Errorf("%s = %d to\n     %s\nwant %s", tt.name, a.status, got, want)
			}
		})
	}
}

func TestAnswersInTheFragment(t *testing.T) {
	s := es256(t)
	a := submit(t, s, authorize(t, s, form{"response_mode": "fragment"}), "alice", "alice")
	if got := a.header.Get("Location"); !strings.HasPrefix(got, callback+"#state=") {
		t.Errorf("fragment = %s", got)
	}
	a = authorize(t, s, form{"response_type": "token"})
	if got := a.header.Get("Location"); !strings.HasPrefix(got, callback+"#error=unauthorized_client&") {
		t.Errorf("implicit flow = %s", got)
	}
}

func TestLoginPageEscapes(t *testing.T) {
	const mark = `"><script>alert(1)</script>`
	s := es256(t, keycloaktest.WithRealm(`x"><script>y`))
	page := get(t, s, "/realms/"+url.PathEscape(s.Realm())+"/protocol/openid-connect/auth?"+request(form{"login_hint": mark}).Encode())
	pages := []answer{
		page, submit(t, s, page, mark, "x"),
		get(t, s, "/realms/"+url.PathEscape(s.Realm())+"/protocol/openid-connect/auth?client_id="+url.QueryEscape(mark)),
	}
	for i, a := range pages {
		if strings.Contains(a.body, "<script>") || !strings.Contains(a.body, "</html>") {
			t.Errorf("page %d = %s", i, a.body)
		}
		if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("page %d: Content-Security-Policy = %q", i, csp)
		}
	}
}

func TestDisabledUserMayNotLogIn(t *testing.T) {
	s := es256(t, keycloaktest.WithUser(keycloaktest.User{Username: "gone", Password: "gone", Disabled: true}))
	a := submit(t, s, authorize(t, s, nil), "gone", "gone")
	if a.status != http.StatusOK || !strings.Contains(a.body, "Account is disabled") {
		t.Errorf("login of a disabled user = %d %s", a.status, a.body)
	}
}

func TestLoginsAreBounded(t *testing.T) {
	s := es256(t)
	first := authorize(t, s, nil)
	for range 1_000 {
		authorize(t, s, nil)
	}
	if a := submit(t, s, first, "alice", "alice"); a.status != http.StatusBadRequest {
		t.Errorf("login page of 1 000 pages ago = %d, want 400", a.status)
	}
}

func TestLogoutInABrowser(t *testing.T) {
	s := es256(t)
	hint := exchange(t, s, login(t, s, nil).Get("code"), nil).json(t)["id_token"].(string)
	tests := []struct {
		name   string
		query  form
		status int
		want   string
	}{
		{"plain", form{}, 200, ""},
		{"back to the client", form{"id_token_hint": hint, "post_logout_redirect_uri": callback, "state": "a&b"}, 302, callback + "?state=a%26b"},
		{"back by client ID", form{"client_id": "swagger", "post_logout_redirect_uri": callback}, 302, callback},
		{"to nobody's address", form{"post_logout_redirect_uri": callback}, 400, ""},
		{"to another host", form{"client_id": "swagger", "post_logout_redirect_uri": "http://evil.example/"}, 400, ""},
		{"with the hint of a session that ended", form{"id_token_hint": hint, "post_logout_redirect_uri": callback}, 302, callback},
		{"with an access token as hint", form{"id_token_hint": s.Token(), "post_logout_redirect_uri": callback}, 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := get(t, s, "/realms/demo/protocol/openid-connect/logout?"+tt.query.values().Encode())
			if got := a.header.Get("Location"); a.status != tt.status || got != tt.want {
				t.Errorf("logout %s = %d to %q, want %d to %q", tt.name, a.status, got, tt.status, tt.want)
			}
		})
	}
}
