package ginkeycloak_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// newRefreshAPI returns an API with the refresh and logout routes behind the middleware.
func newRefreshAPI(t *testing.T, srv *keycloaktest.Server, opts ...ginkeycloak.Option) *api {
	t.Helper()
	a := newAPIFor(t, srv, opts...)
	a.kc.RegisterRefreshRoute(a)
	a.kc.RegisterLogoutRoute(a)
	return a
}

// post sends a refresh token as JSON.
func (a *api) post(t *testing.T, path, refreshToken string) answer {
	t.Helper()
	body, err := json.Marshal(map[string]string{"refresh_token": refreshToken})
	if err != nil {
		t.Fatal(err)
	}
	return a.do(t, request(http.MethodPost, path, string(body), "Content-Type", "application/json")(t))
}

// tokens reads an answer of the refresh route.
func tokens(t *testing.T, got answer) ginkeycloak.TokenSet {
	t.Helper()
	var set ginkeycloak.TokenSet
	if err := json.Unmarshal([]byte(got.body), &set); err != nil || got.status != http.StatusOK {
		t.Fatalf("refresh = %d %s, want tokens", got.status, got.body)
	}
	return set
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newRefreshAPI(t, srv)
	for name, send := range map[string]func(token string) *http.Request{
		"JSON": func(token string) *http.Request {
			return request("POST", "/auth/refresh", `{"refresh_token":"`+token+`"}`, "Content-Type", "application/json; charset=utf-8")(t)
		},
		"form": func(token string) *http.Request {
			return request("POST", "/auth/refresh", "refresh_token="+token, "Content-Type", "application/x-www-form-urlencoded")(t)
		},
		"with an expired access token": func(token string) *http.Request {
			return request("POST", "/auth/refresh", `{"refresh_token":"`+token+`"}`, "Content-Type", "application/json",
				"Authorization", "Bearer "+srv.Token(keycloaktest.ExpiresIn(-time.Hour)))(t)
		},
	} {
		got := a.do(t, send(srv.RefreshToken(keycloaktest.ForUser("alice"))))
		set := tokens(t, got)
		if got.header.Get("Cache-Control") != "no-store" || set.AccessToken == "" || set.RefreshToken == "" || set.TokenType != "Bearer" || set.ExpiresIn == 0 {
			t.Errorf("%s = %v %s, want new tokens and no-store", name, got.header, got.body)
		}
		checkKind(t, name+": the new access token", a.get(t, "/me", set.AccessToken), kindOK)
		set = tokens(t, a.post(t, "/auth/refresh", set.RefreshToken))
		if set.AccessToken == "" {
			t.Errorf("%s: the new refresh token gives no tokens", name)
		}
	}
}

// The refresh route says nothing that Keycloak did not say.
func TestRefreshAnswerHasKeycloaksFields(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newRefreshAPI(t, srv)
	srv.Fail(keycloaktest.TokenEndpoint, keycloaktest.Edited(func(answer map[string]any) {
		answer["unexpected"] = mark
	}))
	var got map[string]any
	if err := json.Unmarshal([]byte(a.post(t, "/auth/refresh", srv.RefreshToken()).body), &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"access_token", "expires_in", "refresh_expires_in", "refresh_token", "token_type", "not-before-policy", "session_state", "scope"} {
		if _, ok := got[name]; !ok {
			t.Errorf("the answer lacks %s: %v", name, got)
		}
	}
	if _, ok := got["unexpected"]; ok {
		t.Errorf("the answer hands on what it does not know: %v", got)
	}
}

func TestRefreshRefusals(t *testing.T) {
	t.Parallel()
	const jsonType, formType = "application/json", "application/x-www-form-urlencoded"
	srv := keycloaktest.New(t)
	a := newRefreshAPI(t, srv)
	used := srv.RefreshToken()
	tokens(t, a.post(t, "/auth/refresh", used))
	tests := []struct {
		name, method, contentType, body string
		status                          int
		code                            ginkeycloak.Code
	}{
		{"garbage", "POST", jsonType, `{"refresh_token":"nonsense"}`, 400, ginkeycloak.CodeTokenRefreshFailed},
		{"an access token", "POST", jsonType, `{"refresh_token":"` + srv.Token() + `"}`, 400, ginkeycloak.CodeTokenRefreshFailed},
		{"another client's token", "POST", jsonType, `{"refresh_token":"` + srv.RefreshToken(keycloaktest.ForClient("spa")) + `"}`, 400, ginkeycloak.CodeTokenRefreshFailed},
		{"no token", "POST", jsonType, `{}`, 400, ginkeycloak.CodeInvalidRequest},
		{"an empty token", "POST", jsonType, `{"refresh_token":""}`, 400, ginkeycloak.CodeInvalidRequest},
		{"a token of another type", "POST", jsonType, `{"refresh_token":7}`, 400, ginkeycloak.CodeInvalidRequest},
		{"the token twice", "POST", jsonType, `{"refresh_token":"a","refresh_token":"b"}`, 400, ginkeycloak.CodeInvalidRequest},
		{"broken JSON", "POST", jsonType, `{"refresh_token":`, 400, ginkeycloak.CodeInvalidRequest},
		{"an array", "POST", jsonType, `["refresh_token"]`, 400, ginkeycloak.CodeInvalidRequest},
		{"no body", "POST", jsonType, ``, 400, ginkeycloak.CodeInvalidRequest},
		{"a form without it", "POST", formType, `a=b`, 400, ginkeycloak.CodeInvalidRequest},
		{"a form with two", "POST", formType, `refresh_token=a&refresh_token=b`, 400, ginkeycloak.CodeInvalidRequest},
		{"a broken form", "POST", formType, `refresh_token=%zz`, 400, ginkeycloak.CodeInvalidRequest},
		{"no content type", "POST", "", `{"refresh_token":"a"}`, 415, ginkeycloak.CodeUnsupportedMediaType},
		{"text", "POST", "text/plain", `{"refresh_token":"a"}`, 415, ginkeycloak.CodeUnsupportedMediaType},
		{"multipart", "POST", "multipart/form-data; boundary=x", `--x--`, 415, ginkeycloak.CodeUnsupportedMediaType},
		{"too long", "POST", jsonType, `{"refresh_token":"` + strings.Repeat("a", 64<<10) + `"}`, 413, ginkeycloak.CodeRequestTooLarge},
		{"GET", "GET", "", ``, 405, ginkeycloak.CodeMethodNotAllowed},
		{"PUT", "PUT", jsonType, `{"refresh_token":"a"}`, 405, ginkeycloak.CodeMethodNotAllowed},
		{"DELETE", "DELETE", "", ``, 405, ginkeycloak.CodeMethodNotAllowed},
	}
	for _, tt := range tests {
		for _, path := range []string{"/auth/refresh", "/auth/logout"} {
			if path == "/auth/logout" && tt.code == ginkeycloak.CodeTokenRefreshFailed {
				continue // a session that has ended is what a logout wants
			}
			r := request(tt.method, path, tt.body)(t)
			if tt.contentType != "" {
				r.Header.Set("Content-Type", tt.contentType)
			}
			got := a.do(t, r)
			if got.status != tt.status || got.code != tt.code || got.header.Get("WWW-Authenticate") != "" || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s to %s = %d %q %v, want %d %q", tt.name, path, got.status, got.code, got.header, tt.status, tt.code)
			}
			if allow := got.header.Get("Allow"); (allow == "POST") != (tt.status == 405) {
				t.Errorf("%s to %s: Allow %q", tt.name, path, allow)
			}
			for _, text := range []string{"Invalid refresh token", "Session", "invalid_grant", "Unmatched"} {
				if strings.Contains(got.body, text) {
					t.Errorf("%s to %s: Keycloak's text in %s", tt.name, path, got.body)
				}
			}
		}
	}
}

// Keycloak's faults are Keycloak's, and our own credentials are ours: never the caller's.
func TestRefreshFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault func(*testing.T) keycloaktest.Fault
		code  ginkeycloak.Code
	}{
		"status 500":                   {always(keycloaktest.Status(500)), ginkeycloak.CodeConnection},
		"status 429":                   {always(keycloaktest.Status(429)), ginkeycloak.CodeConnection},
		"HTML":                         {always(keycloaktest.Answer(200, "text/html", "<html>")), ginkeycloak.CodeConnection},
		"{}":                           {always(keycloaktest.Answer(200, "application/json", "{}")), ginkeycloak.CodeConnection},
		"connection closed":            {always(keycloaktest.Hangup()), ginkeycloak.CodeConnection},
		"no answer":                    {always(keycloaktest.Hang()), ginkeycloak.CodeConnection},
		"64 MiB":                       {always(keycloaktest.Huge(64 << 20)), ginkeycloak.CodeConnection},
		"redirect":                     {redirectElsewhere, ginkeycloak.CodeConfig},
		"credentials refused":          {always(keycloaktest.Answer(401, "application/json", `{"error":"unauthorized_client"}`)), ginkeycloak.CodeConfig},
		"credentials refused with 400": {always(keycloaktest.Answer(400, "application/json", `{"error":"invalid_client"}`)), ginkeycloak.CodeConfig},
		"grant not supported":          {always(keycloaktest.Answer(400, "application/json", `{"error":"unsupported_grant_type"}`)), ginkeycloak.CodeConfig},
		"status 204":                   {always(keycloaktest.Answer(204, "", "")), ginkeycloak.CodeConfig},
		"status 404":                   {always(keycloaktest.Status(404)), ginkeycloak.CodeConfig},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := keycloaktest.New(t)
			a := newRefreshAPI(t, srv, ginkeycloak.WithTimeouts(3*time.Second, 3*time.Second))
			srv.Fail(keycloaktest.TokenEndpoint, tt.fault(t))
			got := a.post(t, "/auth/refresh", srv.RefreshToken())
			checkKind(t, name, got, kindDown)
			if got.code != tt.code {
				t.Errorf("%s: %q, want %q", name, got.code, tt.code)
			}
			srv.Heal()
			if got := a.post(t, "/auth/refresh", srv.RefreshToken()); got.status != 200 {
				t.Errorf("%s, mended = %d %s, want 200", name, got.status, got.body)
			}
		})
	}
}

func TestRefreshWithAWrongSecretIsLoud(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newRefreshAPI(t, srv, ginkeycloak.WithClientSecret(mark))
	for range 3 {
		checkKind(t, "wrong secret", a.post(t, "/auth/refresh", srv.RefreshToken()), kindDown)
	}
	if log := a.log.String(); strings.Count(log, "level=ERROR") != 1 || strings.Contains(log, mark) {
		t.Errorf("log = %s, want one loud line without the secret", log)
	}
}

// Two tabs and more: one call, one answer, and the session lives on.
func TestSimultaneousRefreshes(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newRefreshAPI(t, srv)
	srv.Fail(keycloaktest.TokenEndpoint, keycloaktest.Slow(100*time.Millisecond))
	token := srv.RefreshToken()
	results := make([]string, 50)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i] = a.post(t, "/auth/refresh", token).body })
	}
	wg.Wait()
	for _, got := range results {
		if got != results[0] {
			t.Fatalf("one got %s, another %s, want the same", got, results[0])
		}
	}
	if got := srv.Calls(keycloaktest.TokenEndpoint); got != 1 {
		t.Errorf("50 refreshes with one token: %d calls, want 1", got)
	}
	next := tokens(t, answer{status: 200, body: results[0]}).RefreshToken
	tokens(t, a.post(t, "/auth/refresh", next))
}

// The latecomer is served for 10 s; after that, reuse is Keycloak's to judge.
func TestRefreshReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := keycloaktest.New(t, keycloaktest.InMemory(), keycloaktest.WithAlgorithm("ES256"))
		a := newRefreshAPI(t, srv, ginkeycloak.WithHTTPClient(&http.Client{Transport: srv.Transport()}))
		token := srv.RefreshToken()
		first := a.post(t, "/auth/refresh", token).body
		time.Sleep(9 * time.Second)
		if got := a.post(t, "/auth/refresh", token).body; got != first {
			t.Errorf("9 s later = %s, want %s again", got, first)
		}
		time.Sleep(2 * time.Second)
		if got := a.post(t, "/auth/refresh", token); got.code != ginkeycloak.CodeTokenRefreshFailed {
			t.Errorf("11 s later = %d %s, want token_refresh_failed", got.status, got.body)
		}
		if got := srv.Calls(keycloaktest.TokenEndpoint); got != 2 {
			t.Errorf("%d calls, want 2", got)
		}
	})
}

// Without a replay window an answer is shared only at the same time: reuse is Keycloak's to judge at once.
func TestRefreshWithoutReplay(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newRefreshAPI(t, srv, ginkeycloak.WithRefresh(0))
	token := srv.RefreshToken()
	tokens(t, a.post(t, "/auth/refresh", token))
	if got := a.post(t, "/auth/refresh", token); got.code != ginkeycloak.CodeTokenRefreshFailed {
		t.Errorf("the same token again = %d %s, want token_refresh_failed", got.status, got.body)
	}
}

// What one caller does with his tokens does not show in another's.
func TestRefreshAnswersAreNotShared(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	kc := newPlugin(t, srv)
	token := srv.RefreshToken()
	first, err := kc.Refresh(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	first.AccessToken = "changed"
	second, err := kc.Refresh(t.Context(), token)
	if err != nil || second.AccessToken == "changed" {
		t.Errorf("the second caller got %q, %v", second.AccessToken, err)
	}
	if printed := fmt.Sprintf("%v %+v %#v", second, *second, second); strings.Contains(printed, second.AccessToken) {
		t.Errorf("printed: %s, want no token", printed)
	}
}

func TestRefreshForPublicClient(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newRefreshAPI(t, srv, ginkeycloak.WithClientID("spa"), ginkeycloak.WithClientSecret(""), ginkeycloak.WithAudience("orders-api"))
	tokens(t, a.post(t, "/auth/refresh", srv.RefreshToken(keycloaktest.ForClient("spa"))))
}

func TestLogout(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newRefreshAPI(t, srv)
	token := srv.RefreshToken()
	for range 2 {
		if got := a.post(t, "/auth/logout", token); got.status != http.StatusNoContent || got.body != "" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("logout = %d %s %v, want 204", got.status, got.body, got.header)
		}
	}
	if got := a.post(t, "/auth/refresh", token); got.code != ginkeycloak.CodeTokenRefreshFailed {
		t.Errorf("refresh after logout = %d %s, want token_refresh_failed", got.status, got.body)
	}
	if got := a.post(t, "/auth/logout", "nonsense"); got.status != http.StatusNoContent {
		t.Errorf("logout with nonsense = %d %s, want 204", got.status, got.body)
	}
	// Nor is what was remembered of the session given out again.
	old := srv.RefreshToken()
	renewed := tokens(t, a.post(t, "/auth/refresh", tokens(t, a.post(t, "/auth/refresh", old)).RefreshToken))
	if got := a.post(t, "/auth/logout", renewed.RefreshToken); got.status != http.StatusNoContent {
		t.Errorf("logout = %d %s, want 204", got.status, got.body)
	}
	if got := a.post(t, "/auth/refresh", old); got.code != ginkeycloak.CodeTokenRefreshFailed {
		t.Errorf("replay after logout = %d %s, want token_refresh_failed", got.status, got.body)
	}
	srv.Stop()
	checkKind(t, "Keycloak away", a.post(t, "/auth/logout", token), kindDown)
}

// A stranger cannot make the token endpoint look dead to everybody else.
func TestRefreshBreakerIsNotForStrangers(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newRefreshAPI(t, srv)
	good := srv.RefreshToken()
	srv.Fail(keycloaktest.TokenEndpoint, keycloaktest.Times(10, keycloaktest.Answer(400, "application/json", `{"error":"odd"}`)))
	for i := range 10 {
		checkKind(t, "a request that Keycloak finds fault with", a.post(t, "/auth/refresh", "odd"+strings.Repeat("x", i)), kindDown)
	}
	if got := a.post(t, "/auth/refresh", strings.Repeat("x", 30_000)); got.code != ginkeycloak.CodeTokenRefreshFailed {
		t.Errorf("a refresh token of 30 000 bytes = %d %s, want token_refresh_failed", got.status, got.body)
	}
	tokens(t, a.post(t, "/auth/refresh", good))
}

// The ways in which the token endpoint says that it is the refresh token: invalid_scope where a consent was withdrawn,
// invalid_request where the token was too long for Keycloak to look at.
func TestErrorsThatAreAboutTheRefreshToken(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"invalid_grant", "invalid_scope", "invalid_request", "access_denied"} {
		srv := keycloaktest.New(t)
		a := newRefreshAPI(t, srv)
		srv.Fail(keycloaktest.TokenEndpoint, keycloaktest.Answer(400, "application/json", `{"error":"`+code+`"}`))
		if got := a.post(t, "/auth/refresh", srv.RefreshToken()); got.code != ginkeycloak.CodeTokenRefreshFailed {
			t.Errorf("%s = %d %s, want token_refresh_failed", code, got.status, got.body)
		}
	}
}

func TestRefreshCookie(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newRefreshAPI(t, srv, ginkeycloak.WithRefreshCookie("rt", "https://app.example.com"))
	engine := gin.New() // login is before any token
	engine.POST("/login", func(c *gin.Context) {
		a.kc.SetRefreshCookie(c, &ginkeycloak.TokenSet{RefreshToken: srv.RefreshToken(), RefreshExpiresIn: 1800})
	})
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/login", nil))
	cookie := refreshCookie(t, w.Result().Cookies(), "/auth/refresh")

	got := a.do(t, request("POST", "/auth/refresh", "", "Cookie", "rt="+cookie.Value)(t))
	set := tokens(t, got)
	if set.AccessToken == "" || strings.Contains(got.body, "refresh_token") {
		t.Errorf("refresh by cookie = %s, want an access token and no refresh token", got.body)
	}
	rotated := refreshCookie(t, (&http.Response{Header: got.header}).Cookies(), "/auth/refresh")
	if rotated.Value == cookie.Value {
		t.Error("the cookie was not rotated")
	}
	for name, tt := range map[string]struct {
		headers []string
		status  int
	}{
		"another site":            {[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		"a sister site":           {[]string{"Sec-Fetch-Site", "same-site"}, 403},
		"another origin":          {[]string{"Origin", "https://evil.example"}, 403},
		"origin null":             {[]string{"Origin", "null"}, 403},
		"a trusted origin":        {[]string{"Origin", "https://app.example.com", "Sec-Fetch-Site", "cross-site"}, 200},
		"the same origin":         {[]string{"Sec-Fetch-Site", "same-origin"}, 200},
		"no browser":              {nil, 200},
		"two cookies":             {[]string{"Cookie", "rt=a; rt=b"}, 400},
		"another cookie":          {[]string{"Cookie", "other=a"}, 400},
		"a token in the body too": {[]string{"Cookie", "other=a", "Content-Type", "application/json"}, 400},
	} {
		r := request("POST", "/auth/refresh", `{"refresh_token":"`+srv.RefreshToken()+`"}`, "Cookie", "rt="+srv.RefreshToken())(t)
		for i := 0; i < len(tt.headers); i += 2 {
			r.Header.Set(tt.headers[i], tt.headers[i+1])
		}
		if got := a.do(t, r); got.status != tt.status || tt.status == 403 && got.code != ginkeycloak.CodeCrossSite {
			t.Errorf("%s = %d %s, want %d", name, got.status, got.body, tt.status)
		}
	}

	if got := a.do(t, request("POST", "/auth/logout", "")(t)); got.status != http.StatusNoContent {
		t.Errorf("logout without a cookie, as after a logout = %d %s, want 204", got.status, got.body)
	}
	srv.LogoutUser("alice")
	got = a.do(t, request("POST", "/auth/refresh", "", "Cookie", "rt="+rotated.Value)(t))
	if got.code != ginkeycloak.CodeTokenRefreshFailed {
		t.Errorf("after a logout = %d %s, want token_refresh_failed", got.status, got.body)
	}
	for _, cleared := range (&http.Response{Header: got.header}).Cookies() {
		if cleared.MaxAge != -1 || cleared.Value != "" {
			t.Errorf("after a logout the cookie is %v, want it cleared", cleared)
		}
	}
}

// refreshCookie finds the cookie for a path and asserts that scripts and other sites do not get at it.
func refreshCookie(t *testing.T, cookies []*http.Cookie, path string) *http.Cookie {
	t.Helper()
	for _, c := range cookies {
		if c.Path != path {
			continue
		}
		if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.MaxAge <= 0 || c.Domain != "" || c.Value == "" {
			t.Errorf("Set-Cookie %v, want HttpOnly, Secure, SameSite=Strict, Max-Age and no Domain", c)
		}
		return c
	}
	t.Fatalf("no cookie for %s in %v", path, cookies)
	return nil
}

// The routes are open by themselves, in a group with a prefix too, and nothing beside them is.
func TestRefreshRouteIsOpenByItself(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newAPIFor(t, srv)
	group := a.Group("/api/v1")
	a.kc.RegisterRefreshRoute(group, "/session/refresh")
	group.POST("/session/other", a.me)
	tokens(t, a.post(t, "/api/v1/session/refresh", srv.RefreshToken()))
	checkKind(t, "a route beside it", a.post(t, "/api/v1/session/other", srv.RefreshToken()), kindNone)
}
