package ginkeycloak_test

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// The verifier and its challenge are those of RFC 7636, Appendix B.
const (
	verifier     = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge256 = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	redirectURI  = "http://localhost:3000/app/"
)

// newLoginAPI returns an API that logs users in for the public client spa.
func newLoginAPI(t *testing.T, srv *keycloaktest.Server, opts ...ginkeycloak.Option) *api {
	t.Helper()
	a := newRefreshAPI(t, srv, append([]ginkeycloak.Option{
		ginkeycloak.WithClientID("spa"), ginkeycloak.WithClientSecret(""), ginkeycloak.WithAudience("orders-api"),
	}, opts...)...)
	a.kc.RegisterLoginRoute(a)
	return a
}

// authorization is the query of a page that logs in; edits are names and values to set, or to leave out if empty.
func authorization(edits ...string) string {
	query := url.Values{"redirect_uri": {redirectURI}, "state": {"af0ifjsldkj"}, "code_challenge": {challenge256}, "code_challenge_method": {"S256"}}
	for i := 0; i < len(edits); i += 2 {
		query.Set(edits[i], edits[i+1])
	}
	return query.Encode()
}

// code logs alice in at Keycloak, where the API sends her, and returns the code that she comes back with.
func code(t *testing.T, a *api) string {
	t.Helper()
	at := a.do(t, request("GET", "/auth/login?"+authorization(), "")(t)).header.Get("Location")
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	send := func(r *http.Request) answer {
		resp, err := browser.Do(r.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		return readAnswer(t, resp)
	}
	page, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	form := send(page).body
	action := regexp.MustCompile(`action="([^"]+)"`).FindStringSubmatch(form)
	if action == nil {
		t.Fatalf("no form at %s: %s", at, form)
	}
	address, err := page.URL.Parse(html.UnescapeString(action[1]))
	if err != nil {
		t.Fatal(err)
	}
	password, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address.String(), strings.NewReader("username=alice&password=alice"))
	if err != nil {
		t.Fatal(err)
	}
	password.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	back, err := url.Parse(send(password).header.Get("Location"))
	if err != nil || !back.Query().Has("code") || back.Query().Get("state") != "af0ifjsldkj" {
		t.Fatalf("sent back to %v, %v, want a code and the state", back, err)
	}
	return back.Query().Get("code")
}

// finish sends what a page has to send with a code; edits are as for authorization.
func (a *api) finish(t *testing.T, code string, edits ...string) answer {
	t.Helper()
	form := url.Values{"code": {code}, "code_verifier": {verifier}, "redirect_uri": {redirectURI}}
	for i := 0; i < len(edits); i += 2 {
		form.Set(edits[i], edits[i+1])
	}
	return a.do(t, request("POST", "/auth/login", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")(t))
}

func TestLogin(t *testing.T) {
	t.Parallel()
	a := newLoginAPI(t, keycloaktest.New(t))
	got := a.finish(t, code(t, a))
	set := tokens(t, got)
	if set.RefreshToken == "" || got.header.Get("Cache-Control") != "no-store" || len(got.header.Values("Set-Cookie")) > 0 {
		t.Errorf("POST /auth/login without a cookie = %v %s, want both tokens in the body, not to be stored", got.header, got.body)
	}
	checkKind(t, "with the access token", a.get(t, "/me", set.AccessToken), kindOK)
	tokens(t, a.post(t, "/auth/refresh", set.RefreshToken))

	b := newLoginAPI(t, keycloaktest.New(t), ginkeycloak.WithRefreshCookie("rt"))
	got = b.finish(t, code(t, b))
	set = tokens(t, got)
	if set.AccessToken == "" || strings.Contains(got.body, "refresh_token") {
		t.Errorf("POST /auth/login with a cookie = %s, want an access token and no refresh token", got.body)
	}
	cookies := (&http.Response{Header: got.header}).Cookies()
	tokens(t, b.do(t, request("POST", "/auth/refresh", "", "Cookie", "rt="+refreshCookie(t, cookies, "/auth/refresh").Value)(t)))
	for _, c := range cookies {
		if c.Path == "/auth/login" {
			t.Errorf("Set-Cookie %v, want none for a route that does not read it", c)
		}
	}
}

// A page decides how its user is asked to log in, and not for which client, with what flow or without PKCE.
func TestLoginSendsToKeycloak(t *testing.T) {
	t.Parallel()
	a := newLoginAPI(t, keycloaktest.New(t))
	query := authorization("client_id", "admin-cli", "response_type", "token", "request_uri", "https://evil.example/r", "request", "x.y.z",
		"nonce", "n", "scope", "openid email", "login_hint", "alice", "response_mode", "fragment", "code_challenge_method", "")
	got := a.do(t, request("GET", "/auth/login?"+strings.Replace(query, "code_challenge_method=&", "", 1), "")(t))
	at, err := url.Parse(got.header.Get("Location"))
	if err != nil || got.status != http.StatusSeeOther || got.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("GET /auth/login = %d %v, want a redirect that is not stored", got.status, got.header)
	}
	want := url.Values{
		"client_id": {"spa"}, "response_type": {"code"}, "redirect_uri": {redirectURI}, "state": {"af0ifjsldkj"}, "code_challenge": {challenge256},
		"code_challenge_method": {"S256"}, "nonce": {"n"}, "scope": {"openid email"}, "login_hint": {"alice"}, "response_mode": {"fragment"},
	}
	if endpoint := a.keycloak.Issuer() + "/protocol/openid-connect/auth"; at.Query().Encode() != want.Encode() || !strings.HasPrefix(at.String(), endpoint+"?") {
		t.Errorf("Location: %s, want %s with %s", at, endpoint, want.Encode())
	}

	for name, query := range map[string]string{
		"no state":          authorization("state", ""),
		"no redirect URI":   authorization("redirect_uri", ""),
		"no challenge":      authorization("code_challenge", ""),
		"a plain challenge": authorization("code_challenge_method", "plain"),
		"two states":        authorization() + "&state=other",
		"two methods":       authorization() + "&code_challenge_method=plain",
		"two scopes":        authorization("scope", "openid") + "&scope=email",
	} {
		got := a.do(t, request("GET", "/auth/login?"+query, "")(t))
		if got.status != http.StatusBadRequest || got.code != ginkeycloak.CodeLoginFailed || got.header.Get("Location") != "" {
			t.Errorf("GET /auth/login with %s = %d %q to %q, want login_failed", name, got.status, got.code, got.header.Get("Location"))
		}
	}
}

// The browser is sent to the public address, wherever this program finds Keycloak.
func TestLoginAtThePublicAddress(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newLoginAPI(t, srv, ginkeycloak.WithServerURL("https://sso.example.com"), ginkeycloak.WithInternalURL(srv.URL()))
	srv.Fail(keycloaktest.Discovery, keycloaktest.Edited(func(d map[string]any) { d["issuer"] = "https://sso.example.com/realms/demo" }))
	got := a.do(t, request("GET", "/auth/login?"+authorization(), "")(t))
	if to := got.header.Get("Location"); !strings.HasPrefix(to, "https://sso.example.com/realms/demo/protocol/openid-connect/auth?") {
		t.Errorf("GET /auth/login = %d to %q, want to the public address", got.status, to)
	}
}

func TestLoginRefusals(t *testing.T) {
	t.Parallel()
	a := newLoginAPI(t, keycloaktest.New(t), ginkeycloak.WithRefreshCookie(""))
	used := code(t, a)
	tokens(t, a.finish(t, used))
	post := func(body string, header ...string) answer {
		return a.do(t, request("POST", "/auth/login", body, header...)(t))
	}
	const formType = "application/x-www-form-urlencoded"
	for name, tt := range map[string]struct {
		got    answer
		status int
		code   ginkeycloak.Code
	}{
		"a code that was used":     {a.finish(t, used), 400, ginkeycloak.CodeLoginFailed},
		"a made-up code":           {a.finish(t, "nonsense"), 400, ginkeycloak.CodeLoginFailed},
		"another verifier":         {a.finish(t, code(t, a), "code_verifier", strings.Repeat("x", 43)), 400, ginkeycloak.CodeLoginFailed},
		"another redirect URI":     {a.finish(t, code(t, a), "redirect_uri", redirectURI+"x"), 400, ginkeycloak.CodeLoginFailed},
		"no code":                  {a.finish(t, ""), 400, ginkeycloak.CodeLoginFailed},
		"no verifier":              {a.finish(t, code(t, a), "code_verifier", ""), 400, ginkeycloak.CodeLoginFailed},
		"no redirect URI":          {a.finish(t, code(t, a), "redirect_uri", ""), 400, ginkeycloak.CodeLoginFailed},
		"the code twice":           {post("code=a&code=b&code_verifier=c&redirect_uri=d", "Content-Type", formType), 400, ginkeycloak.CodeLoginFailed},
		"a broken form":            {post("code=%zz", "Content-Type", formType), 400, ginkeycloak.CodeLoginFailed},
		"JSON":                     {post(`{"code":"a"}`, "Content-Type", "application/json"), 415, ginkeycloak.CodeUnsupportedMediaType},
		"no content type":          {post("code=a"), 415, ginkeycloak.CodeUnsupportedMediaType},
		"too long":                 {a.finish(t, strings.Repeat("x", 64<<10)), 413, ginkeycloak.CodeRequestTooLarge},
		"another site":             {post("code=a", "Content-Type", formType, "Sec-Fetch-Site", "cross-site"), 403, ginkeycloak.CodeCrossSite},
		"another origin":           {post("code=a", "Content-Type", formType, "Origin", "https://evil.example"), 403, ginkeycloak.CodeCrossSite},
		"PUT":                      {a.do(t, request("PUT", "/auth/login", "")(t)), 405, ginkeycloak.CodeMethodNotAllowed},
		"HEAD, which follows none": {a.do(t, request("HEAD", "/auth/login?"+authorization(), "")(t)), 405, ginkeycloak.CodeMethodNotAllowed},
	} {
		if tt.got.status != tt.status || tt.got.body != "" && tt.got.code != tt.code || tt.got.header.Get("Cache-Control") != "no-store" || len(tt.got.header.Values("Set-Cookie")) > 0 {
			t.Errorf("%s = %d %q %v, want %d %q and no cookie", name, tt.got.status, tt.got.code, tt.got.header, tt.status, tt.code)
		}
		if allow := tt.got.header.Get("Allow"); (allow == "GET, POST") != (tt.status == 405) {
			t.Errorf("%s: Allow %q", name, allow)
		}
		for _, text := range []string{"PKCE", "Code", "Incorrect", "invalid_grant"} {
			if strings.Contains(tt.got.body, text) {
				t.Errorf("%s: Keycloak's text in %s", name, tt.got.body)
			}
		}
	}
}

// Keycloak's faults are never the caller's, and a code is offered once: Keycloak ends the session of one that comes twice.
func TestLoginFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]keycloaktest.Fault{
		"status 500": keycloaktest.Status(500), "HTML": keycloaktest.Answer(200, "text/html", "<html>"), "hangs up": keycloaktest.Hangup(),
		"credentials refused": keycloaktest.Answer(401, "application/json", `{"error":"invalid_client"}`),
		"status 204":          keycloaktest.Answer(204, "", ""), "no tokens": keycloaktest.Answer(200, "application/json", `{}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newLoginAPI(t, keycloaktest.New(t))
			got := code(t, a)
			a.keycloak.ResetCalls()
			a.keycloak.Fail(keycloaktest.TokenEndpoint, fault)
			checkKind(t, name, a.finish(t, got), kindDown)
			if n := a.keycloak.Calls(keycloaktest.TokenEndpoint); n > 1 {
				t.Errorf("%s: the code was offered %d times, want once", name, n)
			}
		})
	}
	a := newLoginAPI(t, keycloaktest.New(t))
	a.keycloak.Stop()
	checkKind(t, "GET without Keycloak", a.do(t, request("GET", "/auth/login?"+authorization(), "")(t)), kindDown)
	_ = a.kc.Close()
	checkKind(t, "after Close", a.finish(t, "x"), kindDown)
	if _, err := a.kc.Exchange(t.Context(), ginkeycloak.AuthorizationCode{Code: "x"}); !errors.Is(err, ginkeycloak.ErrConnection) {
		t.Errorf("Exchange after Close = %v, want ErrConnection", err)
	}
}

// The route is open by itself, in a group with a prefix too, and nothing beside it is.
func TestLoginRouteIsOpenByItself(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	group := a.Group("/api/v1")
	a.kc.RegisterLoginRoute(group, "/session")
	group.GET("/other", a.me)
	if got := a.do(t, request("GET", "/api/v1/session?"+authorization(), "")(t)); got.status != http.StatusSeeOther {
		t.Errorf("GET /api/v1/session = %d %s, want a redirect", got.status, got.body)
	}
	checkKind(t, "a route beside it", a.get(t, "/api/v1/other", ""), kindNone)
}

func TestAuthorizationCodeIsNotShown(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, ginkeycloak.AuthorizationCode{Code: mark, Verifier: mark}); strings.Contains(got, mark) {
			t.Errorf("%s of a code = %s, want nothing of it", verb, got)
		}
	}
}
