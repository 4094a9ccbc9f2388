package integration_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"github.com/c0mpiler/ginkeycloak"
)

// Refresh and logout end to end, on a realm that takes a refresh token once only.

func TestRefreshRoute(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		a := newAPI(t, kc)
		first := kc.login(t, ordersAPI, "alice", "openid")
		got := a.post(t, "/auth/refresh", first.Refresh)
		second := kc.tokens(t, got)
		kc.checkJSON(t, object(t, got.body), `{"access_token":"<jwt>", "expires_in":"<5 minutes>", "refresh_token":"<jwt>",
			"refresh_expires_in":"<30 minutes>", "token_type":"Bearer", "id_token":"<jwt>", "not-before-policy":0,
			"session_state":"<session>", "scope":"email openid profile"}`, "")
		checkHeader(t, got, "Cache-Control", "no-store")
		if second.Refresh == first.Refresh || second.Access == first.Access || second.Session != first.Session {
			t.Error("the answer has not new tokens of the same session")
		}
		a.checkCode(t, "the new token", a.get(t, "/admin", second.Access), "")
		kc.tokens(t, a.post(t, "/auth/refresh", second.Refresh))
	})
}

// TestRefreshWithAnExpiredAccessToken is what the route is there for: it stands behind the same middleware as all.
func TestRefreshWithAnExpiredAccessToken(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		ahead := ginkeycloak.WithClock(func() time.Time { return time.Now().Add(10 * time.Minute) })
		a := newAPI(t, kc, ahead)
		tok := kc.login(t, ordersAPI, "alice", "-")
		a.checkRefused(t, "the access token", a.get(t, "/me", tok.Access), ginkeycloak.CodeTokenExpired)

		form := values("refresh_token", tok.Refresh).Encode()
		req := newRequest(t, http.MethodPost, a.url+"/auth/refresh", strings.NewReader(form))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Authorization", "Bearer "+tok.Access)
		a.checkCode(t, "the refresh token beside it, as a form", roundTrip(t, http.DefaultClient, req), "")
	})
}

// TestTabsRefreshTogether: Keycloak alone would fail all requests but one and end the session.
func TestTabsRefreshTogether(t *testing.T) {
	const tabs = 50
	contract(t, func(t *testing.T, kc *target) {
		a := newAPI(t, kc)
		first := kc.login(t, ordersAPI, "alice", "-")
		got := together(tabs, func() (answer, error) { return a.tryPost(t.Context(), "/auth/refresh", first.Refresh) })
		for _, r := range got {
			do(t, r.err)
			a.checkCode(t, "POST /auth/refresh", r.answer, "")
			if r.body != got[0].body {
				t.Error("two tabs got different tokens")
			}
		}
		if n := a.calls.to(tokenPath); n != 1 {
			t.Errorf("%d refreshes with one token: Keycloak was called %d times, want once", tabs, n)
		}
		second := kc.tokens(t, got[0].answer)
		if got := kc.introspect(t, second.Access, ordersAPI); got["active"] != true {
			t.Errorf("introspection of the new token = %v, want active: the session is alive", got)
		}
		late := a.post(t, "/auth/refresh", first.Refresh)
		a.checkCode(t, "a latecomer", late, "")
		if late.body != got[0].body {
			t.Error("a latecomer got other tokens")
		}
		third := kc.tokens(t, a.post(t, "/auth/refresh", second.Refresh))
		a.checkCode(t, "the token of the next refresh", a.get(t, "/me", third.Access), "")
		if n := a.calls.to(tokenPath); n != 2 {
			t.Errorf("Keycloak was called %d times, want twice", n)
		}
	})
}

// TestRefreshTokenIsReused after the time in which the same answer is given again: then it is Keycloak's to judge.
func TestRefreshTokenIsReused(t *testing.T) {
	var offset atomic.Int64
	clock := ginkeycloak.WithClock(func() time.Time { return time.Now().Add(time.Duration(offset.Load())) })
	tests := []struct {
		name string
		opts []ginkeycloak.Option
		wait time.Duration // by the API's clock
	}{
		{"11 s later", nil, 11 * time.Second},
		{"3 s later, where answers are kept for 2", []ginkeycloak.Option{ginkeycloak.WithRefresh(2 * time.Second)}, 3 * time.Second},
		{"at once, where answers are not kept", []ginkeycloak.Option{ginkeycloak.WithRefresh(0)}, 0},
	}
	contract(t, func(t *testing.T, kc *target) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				offset.Store(0)
				a := newAPI(t, kc, append(tt.opts, clock)...)
				first := kc.login(t, ordersAPI, "alice", "-")
				second := kc.tokens(t, a.post(t, "/auth/refresh", first.Refresh))
				offset.Store(int64(tt.wait))
				for _, input := range []struct{ name, token string }{
					{"the used token", first.Refresh}, {"then the newest", second.Refresh}, {"then the used one again", first.Refresh},
				} {
					a.checkRefused(t, input.name, a.post(t, "/auth/refresh", input.token), ginkeycloak.CodeTokenRefreshFailed)
				}
			})
		}
	})
}

func TestRefreshTokensThatAreRefused(t *testing.T) {
	tests := []struct {
		name  string
		token func(*testing.T, *target) string
		want  ginkeycloak.Code
	}{
		{"access token", func(t *testing.T, kc *target) string { return kc.login(t, ordersAPI, "alice", "-").Access }, ginkeycloak.CodeTokenRefreshFailed},
		{"ID token", func(t *testing.T, kc *target) string { return kc.login(t, ordersAPI, "alice", "openid").ID }, ginkeycloak.CodeTokenRefreshFailed},
		{"of another client", func(t *testing.T, kc *target) string { return kc.login(t, billing, "alice", "-").Refresh }, ginkeycloak.CodeTokenRefreshFailed},
		{"of another realm", func(t *testing.T, kc *target) string {
			return kc.fresh(t).login(t, ordersAPI, "alice", "-").Refresh
		}, ginkeycloak.CodeTokenRefreshFailed},
		{"of a user whom the administrator logged out", func(t *testing.T, kc *target) string {
			token := kc.login(t, ordersAPI, "bob", "-").Refresh
			do(t, kc.admin.LogoutUser(t.Context(), "bob"))
			return token
		}, ginkeycloak.CodeTokenRefreshFailed},
		{"garbage", func(*testing.T, *target) string { return "garbage" }, ginkeycloak.CodeTokenRefreshFailed},
		{"nothing", func(*testing.T, *target) string { return "" }, ginkeycloak.CodeInvalidRequest},
	}
	contract(t, func(t *testing.T, kc *target) {
		a := newAPI(t, kc)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				a.checkRefused(t, "POST /auth/refresh", a.post(t, "/auth/refresh", tt.token(t, kc)), tt.want)
			})
		}
		a.checkCode(t, "a good one", a.post(t, "/auth/refresh", kc.login(t, ordersAPI, "alice", "-").Refresh), "")
	})
}

func TestRefreshOfAPublicClient(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		a := newAPI(t, kc, ginkeycloak.WithClientID("spa"), ginkeycloak.WithClientSecret(""), ginkeycloak.WithAudience("orders-api"))
		tok := kc.tokens(t, kc.post(t, tokenPath, public("spa", passwordForm("alice", "-")), basic{}))
		next := kc.tokens(t, a.post(t, "/auth/refresh", tok.Refresh))
		a.checkCode(t, "the new token", a.get(t, "/me", next.Access), "")
		a.checkRefused(t, "a token of another client",
			a.post(t, "/auth/refresh", kc.login(t, ordersAPI, "alice", "-").Refresh), ginkeycloak.CodeTokenRefreshFailed)
		if got := a.post(t, "/auth/logout", next.Refresh); got.status != http.StatusNoContent {
			t.Errorf("logout = %d %s, want 204", got.status, got.body)
		}
		a.checkRefused(t, "after the logout", a.post(t, "/auth/refresh", next.Refresh), ginkeycloak.CodeTokenRefreshFailed)
	})
}

func TestRefreshWithAWrongSecret(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		a := newAPI(t, kc, ginkeycloak.WithClientSecret("wrong"))
		tok := kc.login(t, ordersAPI, "alice", "-")
		for range 7 {
			a.checkRefused(t, "refresh", a.post(t, "/auth/refresh", tok.Refresh), ginkeycloak.CodeConfig)
			a.checkRefused(t, "logout", a.post(t, "/auth/logout", tok.Refresh), ginkeycloak.CodeConfig)
		}
		if n := len(a.log.lines("level=ERROR", "CLIENT CREDENTIALS REFUSED", "orders-api")); n != 1 {
			t.Errorf("the log says it %d times, want once:\n%s", n, a.log.lines())
		}
		a.checkCode(t, "local validation, which needs no secret", a.get(t, "/me", tok.Access), "")
		right := newAPI(t, kc)
		right.checkCode(t, "with the right secret, as if nothing had been", right.post(t, "/auth/refresh", tok.Refresh), "")
	})
}

func TestLogoutRoute(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		a := newIntrospectingAPI(t, kc, onDemand)
		first := kc.login(t, ordersAPI, "alice", "-")
		other := kc.login(t, ordersAPI, "alice", "-")
		tok := kc.tokens(t, a.post(t, "/auth/refresh", first.Refresh))
		for _, which := range []string{"first", "second"} {
			got := a.post(t, "/auth/logout", tok.Refresh)
			if got.status != http.StatusNoContent || got.body != "" {
				t.Errorf("the %s logout = %d %q, want 204 and no body", which, got.status, got.body)
			}
			checkHeader(t, got, "Cache-Control", "no-store")
		}
		a.checkRefused(t, "refresh", a.post(t, "/auth/refresh", tok.Refresh), ginkeycloak.CodeTokenRefreshFailed)
		a.checkRefused(t, "RequireActive", a.get(t, "/active", tok.Access), ginkeycloak.CodeTokenInactive)
		a.checkCode(t, "RequireActive in alice's other session", a.get(t, "/active", other.Access), "")
		a.checkRefused(t, "without a token", a.post(t, "/auth/logout", ""), ginkeycloak.CodeInvalidRequest)
		if got := a.post(t, "/auth/logout", "garbage"); got.status != http.StatusNoContent {
			t.Errorf("logout with garbage = %d %s, want 204: nobody is logged in", got.status, got.body)
		}
		got := roundTrip(t, http.DefaultClient, newRequest(t, http.MethodGet, a.url+"/auth/logout", http.NoBody))
		a.checkRefused(t, "GET /auth/logout", got, ginkeycloak.CodeMethodNotAllowed)
	})
}

// TestLogoutEndsReplays: the answer that a latecomer would get again holds tokens of a session that is over.
func TestLogoutEndsReplays(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		a := newAPI(t, kc)
		first := kc.login(t, ordersAPI, "bob", "-")
		second := kc.tokens(t, a.post(t, "/auth/refresh", first.Refresh))
		a.checkCode(t, "a latecomer", a.post(t, "/auth/refresh", first.Refresh), "")
		if got := a.post(t, "/auth/logout", second.Refresh); got.status != http.StatusNoContent {
			t.Fatalf("logout = %d %s, want 204", got.status, got.body)
		}
		a.checkRefused(t, "the used token after the logout", a.post(t, "/auth/refresh", first.Refresh), ginkeycloak.CodeTokenRefreshFailed)
	})
}

// TestRefreshCookie goes through the life of a session in a browser: login, refresh, logout.
func TestRefreshCookie(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		a, client := newCookieAPI(t, kc)
		login := a.fromPage(t, client, "/login", "Sec-Fetch-Site", "same-origin")
		first := checkRefreshCookies(t, login)

		got := a.fromPage(t, client, "/auth/refresh", "Sec-Fetch-Site", "same-origin")
		a.checkCode(t, "refresh", got, "")
		second := checkRefreshCookies(t, got)
		body := object(t, got.body)
		if _, ok := body["refresh_token"]; ok || strings.Contains(got.body, second) || second == first {
			t.Errorf("the refresh token is in the body, or still the old one: %s", got.body)
		}
		a.checkCode(t, "the new access token", a.get(t, "/me", fmt.Sprint(body["access_token"])), "")
		if n := a.calls.to(tokenPath); n != 1 {
			t.Errorf("Keycloak was called %d times, want once", n)
		}

		tests := []struct{ name, header, value string }{
			{"from another site", "Sec-Fetch-Site", "cross-site"},
			{"from a sibling", "Sec-Fetch-Site", "same-site"},
			{"from an origin of an old browser", "Origin", "https://evil.example"},
		}
		for _, tt := range tests {
			for _, path := range []string{"/auth/refresh", "/auth/logout"} {
				got := a.fromPage(t, client, path, tt.header, tt.value)
				a.checkRefused(t, path+" "+tt.name, got, ginkeycloak.CodeCrossSite)
				if cookies := got.header.Values("Set-Cookie"); len(cookies) > 0 {
					t.Errorf("%s %s changes the cookie: %s", path, tt.name, cookies)
				}
			}
		}
		if n := a.calls.to(tokenPath) + a.calls.to(logoutPath); n != 1 {
			t.Errorf("other sites had %d calls made to Keycloak", n-1)
		}

		got = a.fromPage(t, client, "/auth/refresh", "Origin", "https://app.example")
		a.checkCode(t, "refresh from a trusted origin", got, "")
		third := checkRefreshCookies(t, got)
		got = a.fromPage(t, client, "/auth/logout", "Sec-Fetch-Site", "same-origin")
		if got.status != http.StatusNoContent || got.body != "" {
			t.Errorf("logout = %d %q, want 204 and no body", got.status, got.body)
		}
		checkCleared(t, got)
		a.checkRefused(t, "refresh after the logout", a.fromPage(t, client, "/auth/refresh", "Sec-Fetch-Site", "same-origin"), ginkeycloak.CodeInvalidRequest)
		ended := kc.post(t, tokenPath, refreshForm(third), ordersAPI)
		kc.checkTokenRefusal(t, ended, refusal{http.StatusBadRequest, "invalid_grant", "Session not active"}, refusal{})
	})
}

// TestRefreshCookieIsCleared when Keycloak does not take the token any more, and only then.
func TestRefreshCookieIsCleared(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		a, client := newCookieAPI(t, kc)
		a.fromPage(t, client, "/login", "Sec-Fetch-Site", "same-origin")
		do(t, kc.admin.LogoutUser(t.Context(), "bob"))
		got := a.fromPage(t, client, "/auth/refresh", "Sec-Fetch-Site", "same-origin")
		a.checkRefused(t, "refresh", got, ginkeycloak.CodeTokenRefreshFailed)
		checkCleared(t, got)
		a.checkRefused(t, "refresh again", a.fromPage(t, client, "/auth/refresh", "Sec-Fetch-Site", "same-origin"), ginkeycloak.CodeInvalidRequest)

		wrong, client := newCookieAPI(t, kc, ginkeycloak.WithClientSecret("wrong"))
		wrong.fromPage(t, client, "/login", "Sec-Fetch-Site", "same-origin")
		got = wrong.fromPage(t, client, "/auth/refresh", "Sec-Fetch-Site", "same-origin")
		wrong.checkRefused(t, "refresh with a wrong secret", got, ginkeycloak.CodeConfig)
		if cookies := got.header.Values("Set-Cookie"); len(cookies) > 0 {
			t.Errorf("our own mistake costs the user the session: %s", cookies)
		}
	})
}

// newCookieAPI is an API whose refresh token is in a cookie, and a browser. POST /login logs bob in.
func newCookieAPI(t *testing.T, kc *target, opts ...ginkeycloak.Option) (*api, *http.Client) {
	t.Helper()
	a := newAPI(t, kc, append([]ginkeycloak.Option{
		ginkeycloak.WithRefreshCookie("session", "https://app.example"), ginkeycloak.WithPublicRoutes("POST /login"),
	}, opts...)...)
	tok := kc.login(t, ordersAPI, "bob", "-")
	a.POST("/login", func(c *gin.Context) {
		a.SetRefreshCookie(c, &ginkeycloak.TokenSet{RefreshToken: tok.Refresh, RefreshExpiresIn: 1800})
		c.Status(http.StatusNoContent)
	})
	return a, newBrowser(t).client
}

// fromPage posts as the script of a page does, with what the browser adds.
func (a *api) fromPage(t *testing.T, client *http.Client, path, header, value string) answer {
	t.Helper()
	req := newRequest(t, http.MethodPost, a.url+path, http.NoBody)
	req.Header.Set(header, value)
	return roundTrip(t, client, req)
}

// checkRefreshCookies returns the refresh token of an answer that sets it, for the two routes that read it.
func checkRefreshCookies(t *testing.T, got answer) string {
	t.Helper()
	cookies := (&http.Response{Header: got.header}).Cookies()
	if len(cookies) != 2 {
		t.Fatalf("the answer %d %s sets %d cookies, want 2", got.status, got.body, len(cookies))
	}
	value := cookies[0].Value
	if !jwt.MatchString(value) {
		t.Errorf("the cookie's value is not a token")
	}
	for i, path := range []string{"/auth/refresh", "/auth/logout"} {
		want := "session=" + value + "; Path=" + path + "; Max-Age=1800; HttpOnly; Secure; SameSite=Strict"
		if diff := cmp.Diff(want, cookies[i].Raw); diff != "" {
			t.Errorf("Set-Cookie (-want +got):\n%s", diff)
		}
	}
	return value
}

func checkCleared(t *testing.T, got answer) {
	t.Helper()
	want := []string{
		"session=; Path=/auth/refresh; Max-Age=0; HttpOnly; Secure; SameSite=Strict",
		"session=; Path=/auth/logout; Max-Age=0; HttpOnly; Secure; SameSite=Strict",
	}
	if diff := cmp.Diff(want, got.header.Values("Set-Cookie")); diff != "" {
		t.Errorf("Set-Cookie (-want +got):\n%s", diff)
	}
}

// TestStrangeTokensDoNotStopRefresh: whoever sends nonsense must not open the breaker, which would refuse everybody
// else for a while.
func TestStrangeTokensDoNotStopRefresh(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		strange := strangeTokens(t, kc)
		strange["control characters"] = "\x00\x01\n#"
		strange["no UTF-8"] = "\xff\xfe#"
		strange["white space"] = " #"
		for name, token := range strange {
			t.Run(name, func(t *testing.T) {
				a := newAPI(t, kc)
				for _, path := range []string{"/auth/refresh", "/auth/logout"} {
					wrong := 0
					for i := range 7 {
						form := values("refresh_token", strings.ReplaceAll(token, "#", strconv.Itoa(i))).Encode()
						req := newRequest(t, http.MethodPost, a.url+path, strings.NewReader(form))
						req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
						got := roundTrip(t, http.DefaultClient, req)
						if got.status != http.StatusBadRequest && (got.status != http.StatusNoContent || path != "/auth/logout") {
							wrong = got.status
						}
					}
					if wrong != 0 {
						t.Errorf("POST %s = %d, want 400", path, wrong)
					}
				}
				tok := kc.login(t, ordersAPI, "bob", "-")
				a.checkCode(t, "a good token afterwards", a.post(t, "/auth/refresh", tok.Refresh), "")
			})
		}
	})
}
