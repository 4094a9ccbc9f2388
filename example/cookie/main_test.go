package main

import (
	"encoding/json"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/example/internal/exampletest"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// The page's own half is tested in a browser, in integration/browser.

// TestSession runs the program, logs alice in as the page does, and goes through the life of her session.
func TestSession(t *testing.T) {
	idp := keycloaktest.New(t)
	b := newBrowser(t, idp)
	login := url.Values{"code": {b.code("alice")}, "code_verifier": {verifier}, "redirect_uri": {b.api + "/app/"}}

	b.checkRefused("POST /auth/refresh before the login", b.do(http.MethodPost, "/auth/refresh", nil, nil), http.StatusBadRequest)
	crossSite := http.Header{"Sec-Fetch-Site": {"cross-site"}}
	b.checkRefused("POST /auth/login from another site", b.do(http.MethodPost, "/auth/login", login, crossSite), http.StatusForbidden)

	first, cookie := b.tokens(b.do(http.MethodPost, "/auth/login", login, nil))
	b.checkMe(first)
	second, rotated := b.tokens(b.do(http.MethodPost, "/auth/refresh", nil, http.Header{"Cookie": {cookie}}))
	if rotated == cookie || second == first {
		t.Error("POST /auth/refresh brought the old tokens")
	}
	b.checkMe(second)

	session := http.Header{"Cookie": {rotated}}
	if got := b.do(http.MethodPost, "/auth/logout", nil, session); got.status != http.StatusNoContent {
		t.Errorf("POST /auth/logout = %d %s, want 204", got.status, got.body)
	}
	b.checkRefused("POST /auth/refresh after the logout", b.do(http.MethodPost, "/auth/refresh", nil, session), http.StatusBadRequest)
	b.checkRefused("POST /auth/login with a code that was used", b.do(http.MethodPost, "/auth/login", login, nil), http.StatusBadRequest)
	idp.Stop()
	b.checkRefused("POST /auth/login without Keycloak", b.do(http.MethodPost, "/auth/login", login, nil), http.StatusServiceUnavailable)
}

func TestPage(t *testing.T) {
	b := newBrowser(t, keycloaktest.New(t))
	for _, path := range []string{"/app/", "/app/page.js"} {
		got := b.do(http.MethodGet, path, nil, nil)
		if got.status != http.StatusOK || path == "/app/" && !strings.Contains(got.body, `<meta http-equiv="Content-Security-Policy"`) {
			t.Errorf("GET %s = %d %s, want 200 and a policy", path, got.status, got.body)
		}
	}
	for _, path := range []string{"/app/main.go", "/app/../main.go", "/app/%2e%2e/main.go"} {
		if got := b.do(http.MethodGet, path, nil, nil); got.status == http.StatusOK {
			t.Errorf("GET %s = %d, want nothing but the page", path, got.status)
		}
	}
	b.checkRefused("GET /me without a token", b.do(http.MethodGet, "/me", nil, nil), http.StatusUnauthorized)
}

// The verifier and its challenge are those of RFC 7636, Appendix B.
const (
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// browser does what a browser does at the program's address.
type browser struct {
	*testing.T
	api string
}

func newBrowser(t *testing.T, idp *keycloaktest.Server) browser {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	return browser{t, exampletest.Run(t, main, map[string]string{"KEYCLOAK_URL": idp.URL()})}
}

// answer is a response that was read to its end.
type answer struct {
	status  int
	header  http.Header
	cookies []*http.Cookie
	body    string
}

// code logs in at Keycloak, by way of the program, and returns what the page finds in its address then.
func (b browser) code(user string) string {
	b.Helper()
	query := url.Values{
		"response_mode": {"fragment"}, "redirect_uri": {b.api + "/app/"},
		"state": {"1"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	atKeycloak := b.do(http.MethodGet, "/auth/login?"+query.Encode(), nil, nil).header.Get("Location")
	form := b.send(http.MethodGet, atKeycloak, nil, nil).body
	action := regexp.MustCompile(`action="([^"]+)"`).FindStringSubmatch(form)
	if action == nil {
		b.Fatalf("no form at %s: %s", atKeycloak, form)
	}
	origin, _, _ := strings.Cut(atKeycloak, "/realms/")
	login := url.Values{"username": {user}, "password": {user}}
	back := b.send(http.MethodPost, origin+html.UnescapeString(action[1]), login, nil).header.Get("Location")
	_, fragment, _ := strings.Cut(back, "#")
	found, err := url.ParseQuery(fragment)
	if err != nil || found.Get("code") == "" {
		b.Fatalf("no code in %s: %v", back, err)
	}
	return found.Get("code")
}

// tokens reads the access token and the cookie that came with it.
func (b browser) tokens(got answer) (accessToken, cookie string) {
	b.Helper()
	var tokens ginkeycloak.TokenSet
	if err := json.Unmarshal([]byte(got.body), &tokens); err != nil || tokens.AccessToken == "" || strings.Contains(got.body, `"refresh_token"`) {
		b.Fatalf("the answer is %d, %v, want an access token and no refresh token", got.status, err)
	}
	var paths []string
	for _, c := range got.cookies {
		if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Value == "" {
			b.Errorf("the cookie for %s has HttpOnly %t, Secure %t, SameSite %d", c.Path, c.HttpOnly, c.Secure, c.SameSite)
		}
		paths, cookie = append(paths, c.Path), c.Name+"="+c.Value
	}
	if got, want := strings.Join(paths, " "), "/auth/refresh /auth/logout"; got != want {
		b.Errorf("cookies for %q, want %q", got, want)
	}
	return tokens.AccessToken, cookie
}

func (b browser) checkMe(accessToken string) {
	b.Helper()
	got := b.do(http.MethodGet, "/me", nil, http.Header{"Authorization": {"Bearer " + accessToken}})
	if got.status != http.StatusOK || !strings.Contains(got.body, `"username":"alice"`) {
		b.Errorf("GET /me = %d %s, want alice", got.status, got.body)
	}
}

// checkRefused checks that a request brought no token of either kind.
func (b browser) checkRefused(request string, got answer, want int) {
	b.Helper()
	if got.status != want || strings.Contains(got.body, "_token") {
		b.Errorf("%s = %d %s, want %d", request, got.status, got.body, want)
	}
	for _, c := range got.cookies {
		if c.MaxAge >= 0 {
			b.Errorf("%s sets a cookie for %s, want none but one that is over", request, c.Path)
		}
	}
}

func (b browser) do(method, path string, form url.Values, header http.Header) answer {
	b.Helper()
	return b.send(method, b.api+path, form, header)
}

// send sends a request and follows no redirect.
func (b browser) send(method, address string, form url.Values, header http.Header) answer {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	maps.Copy(r.Header, header)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, resp.Cookies(), string(body)}
}
