package integration_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

const swaggerRedirect = "http://localhost:8080/swagger/oauth2-redirect.html"

// browser is one that shows pages instead of following redirects, so that nobody needs to listen at the redirect URI.
type browser struct{ client *http.Client }

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	do(t, err)
	return &browser{&http.Client{
		Transport:     http.DefaultTransport,
		Jar:           trustingJar{jar},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// trustingJar sends Secure cookies by plain HTTP too. Keycloak 26 marks all of its cookies Secure, and browsers send
// those to the local host, which they take for trustworthy; Go's jar does not.
type trustingJar struct{ http.CookieJar }

func (j trustingJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	for _, c := range cookies {
		c.Secure = false
	}
	j.CookieJar.SetCookies(u, cookies)
}

func (b *browser) open(t *testing.T, kc *target, query url.Values) answer {
	t.Helper()
	return roundTrip(t, b.client, newRequest(t, http.MethodGet, kc.issuer+authPath+"?"+query.Encode(), nil))
}

// submit fills in the login form of a page.
func (b *browser) submit(t *testing.T, page answer, username, password string) answer {
	t.Helper()
	action := loginForm.FindStringSubmatch(page.body)
	if action == nil {
		t.Fatalf("status %d, and no login form on the page:\n%.500s", page.status, page.body)
	}
	to, err := page.url.Parse(html.UnescapeString(action[1]))
	do(t, err)
	form := values("username", username, "password", password)
	req := newRequest(t, http.MethodPost, to.String(), strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return roundTrip(t, b.client, req)
}

// loginForm finds where the login form is sent. Its IDs are what scripts that drive the page rely on.
var loginForm = regexp.MustCompile(`<form[^>]*\sid="kc-form-login"[^>]*\saction="([^"]+)"`)

// pkce is a code verifier and what an authorization request says about it (RFC 7636).
func pkce() (verifier string, challenge []string) {
	verifier = rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	return verifier, []string{
		"code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method", "S256",
	}
}

func authorizationQuery(challenge []string) url.Values {
	query := values("response_type", "code", "client_id", "swagger", "redirect_uri", swaggerRedirect, "scope", "openid",
		"state", "a state", "nonce", "a nonce")
	return with(query, challenge...)
}

// authorize logs alice in and returns the code and its verifier.
func (kc *target) authorize(t *testing.T) (code, verifier string) {
	t.Helper()
	verifier, challenge := pkce()
	b := newBrowser(t)
	got := b.submit(t, b.open(t, kc, authorizationQuery(challenge)), "alice", "alice")
	return redirectQuery(t, kc, got, swaggerRedirect).Get("code"), verifier
}

// redirectQuery checks a redirect to target and returns what it brings along.
func redirectQuery(t *testing.T, kc *target, got answer, target string) url.Values {
	t.Helper()
	at, rawQuery, _ := strings.Cut(got.header.Get("Location"), "?")
	if got.status != http.StatusFound || at != target {
		t.Fatalf("got %d to %q, want 302 to %q; %.300s", got.status, at, target, got.body)
	}
	query, err := url.ParseQuery(rawQuery)
	do(t, err)
	for name, want := range map[string]string{"state": "a state", "iss": kc.issuer} { // RFC 9207 for iss
		if query.Get(name) != want {
			t.Errorf("%s of the redirect = %q, want %q", name, query.Get(name), want)
		}
	}
	return query
}

func exchangeForm(code, verifier string) url.Values {
	return values("grant_type", "authorization_code", "client_id", "swagger", "code", code, "redirect_uri", swaggerRedirect,
		"code_verifier", verifier)
}

func TestContractAuthorizationCode(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		verifier, challenge := pkce()
		b := newBrowser(t)
		page := b.open(t, kc, authorizationQuery(challenge))
		if page.status != http.StatusOK {
			t.Errorf("the login page's status = %d, want 200", page.status)
		}
		checkHeader(t, page, "Content-Type", "text/html")
		for _, id := range []string{`id="username"`, `id="password"`, `id="kc-login"`} {
			if !strings.Contains(page.body, id) {
				t.Errorf("the login page has no element with %s", id)
			}
		}

		again := b.submit(t, page, "alice", "wrong")
		if again.status != http.StatusOK || !strings.Contains(again.body, "Invalid username or password.") {
			t.Errorf("a wrong password leads to %d %.300s, want the login page with a remark", again.status, again.body)
		}
		query := redirectQuery(t, kc, b.submit(t, again, "alice", "alice"), swaggerRedirect)

		got := kc.post(t, tokenPath, exchangeForm(query.Get("code"), verifier), basic{})
		tok := kc.tokens(t, got)
		if tok.Session != query.Get("session_state") {
			t.Errorf("session_state = %s, want that of the redirect, %s", tok.Session, query.Get("session_state"))
		}
		checkCodeTokens(t, kc, tok)

		got = kc.post(t, tokenPath, exchangeForm(query.Get("code"), verifier), basic{})
		kc.checkTokenRefusal(t, got, refusal{http.StatusBadRequest, "invalid_grant", "Code not valid"}, refusal{})
		if got := kc.introspect(t, tok.Access, ordersAPI); got["active"] != false {
			t.Errorf("after the code was used twice the access token is %v, want inactive", got)
		}
	})
}

func checkCodeTokens(t *testing.T, kc *target, tok tokens) {
	t.Helper()
	_, claims := decode(t, tok.Access)
	kc.checkJSON(t, claims, `{"exp":"<in 5 minutes>", "iat":"<now>", "auth_time":"<now>", "jti":"onrtac:<uuid>",
		"iss":"<issuer>", "aud":"orders-api", "sub":"<uuid>", "typ":"Bearer", "azp":"swagger", "sid":"<session>",
		"acr":"1", "allowed-origins":["http://127.0.0.1:8080","http://localhost:8080"],
		"realm_access":{"roles":["admin","viewer"]}, "resource_access":{"orders-api":{"roles":["manage"]}},
		"scope":"email openid profile", "email_verified":true, "name":"Alice A", "preferred_username":"alice",
		"given_name":"Alice", "family_name":"A", "email":"alice@example.com"}`, `{"nonce":"a nonce"}`)
	_, claims = decode(t, tok.ID)
	delete(claims, "at_hash") // TestContractIDToken
	kc.checkJSON(t, claims, `{"exp":"<in 5 minutes>", "iat":"<now>", "auth_time":"<now>", "jti":"<uuid>",
		"iss":"<issuer>", "aud":"swagger", "sub":"<uuid>", "typ":"ID", "azp":"swagger", "nonce":"a nonce",
		"sid":"<session>", "acr":"1", "email_verified":true, "name":"Alice A", "preferred_username":"alice",
		"given_name":"Alice", "family_name":"A", "email":"alice@example.com"}`, "")
}

func TestContractCodeExchangeRefusals(t *testing.T) {
	refused := func(description string) refusal {
		return refusal{http.StatusBadRequest, "invalid_grant", description}
	}
	tests := []struct {
		name           string
		change         []string
		want, before26 refusal
	}{
		{"no verifier", []string{"code_verifier", "-"}, refused("PKCE code verifier not specified"), refusal{}},
		{
			"short verifier", []string{"code_verifier", "short"},
			refused("PKCE verification failed: Invalid code verifier"), refused("PKCE invalid code verifier"),
		},
		{
			"another verifier", []string{"code_verifier", strings.Repeat("b", 50)},
			refused("PKCE verification failed: Code mismatch"), refused("PKCE verification failed"),
		},
		{"another redirect URI", []string{"redirect_uri", "http://localhost:8080/"}, refused("Incorrect redirect_uri"), refusal{}},
		{
			"another client", []string{"client_id", "spa"},
			refused("Auth error: Found different client_id in clientSession"), refused("Auth error"),
		},
	}
	contract(t, func(t *testing.T, kc *target) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				code, verifier := kc.authorize(t)
				got := kc.post(t, tokenPath, with(exchangeForm(code, verifier), tt.change...), basic{})
				kc.checkTokenRefusal(t, got, tt.want, tt.before26)
			})
		}
	})
}

func TestContractAuthorizationRefusals(t *testing.T) {
	tests := []struct {
		name   string
		change []string
		page   string // a remark on a page of Keycloak's own, where it is not safe to go back
		code   string // or an error sent back
		reason string
		old    string // the reason before 26
	}{
		{name: "unknown redirect URI", change: []string{"redirect_uri", "http://evil.example/"}, page: "Invalid parameter: redirect_uri"},
		{name: "unknown client", change: []string{"client_id", "nobody"}, page: "Client not found."},
		{
			name: "no response type", change: []string{"response_type", "-"},
			code: "invalid_request", reason: "Missing parameter: response_type",
		},
		{
			name: "no PKCE", change: []string{"code_challenge", "-", "code_challenge_method", "-"},
			code: "invalid_request", reason: "Missing parameter: code_challenge_method",
		},
		{
			name: "plain PKCE", change: []string{"code_challenge_method", "plain"},
			code: "invalid_request", reason: "Invalid parameter: code challenge method is not matching the configured one",
			old: "Invalid parameter: code challenge method is not configured one",
		},
	}
	contract(t, func(t *testing.T, kc *target) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				_, challenge := pkce()
				got := newBrowser(t).open(t, kc, with(authorizationQuery(challenge), tt.change...))
				if tt.page != "" {
					if got.status != http.StatusBadRequest || !strings.Contains(got.body, tt.page) {
						t.Errorf("got %d %.300s, want 400 and %q", got.status, got.body, tt.page)
					}
					return
				}
				reason := tt.reason
				if kc.major < 26 && tt.old != "" {
					reason = tt.old
				}
				query := redirectQuery(t, kc, got, swaggerRedirect)
				if query.Get("error") != tt.code || query.Get("error_description") != reason {
					t.Errorf("error = %q, %q, want %q, %q", query.Get("error"), query.Get("error_description"), tt.code, reason)
				}
			})
		}
	})
}
