package ginkeycloak_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// Credentials in the request: RFC 6750 §2 and §3, RFC 9110 §11.6.2.
func TestCredentials(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	token := a.keycloak.Token()
	tests := []struct {
		name   string
		fields []string
		want   string
	}{
		{"no header", nil, kindNone},
		{"empty header", []string{""}, kindNone},
		{"another scheme", []string{"Basic eDp5"}, kindNone},
		{"scheme run into the token", []string{"Bearer" + token}, kindNone},
		{"DPoP is not taken for bearer", []string{"DPoP " + token}, kindNone},
		{"scheme in lower case", []string{"bearer " + token}, kindOK},
		{"scheme in upper case", []string{"BEARER " + token}, kindOK},
		{"scheme alone", []string{"Bearer"}, kindReq},
		{"scheme and a space", []string{"Bearer "}, kindReq},
		{"two spaces", []string{"Bearer  " + token}, kindReq},
		{"tab", []string{"Bearer\t" + token}, kindReq},
		{"trailing space", []string{"Bearer " + token + " "}, kindReq},
		{"quote in the token", []string{`Bearer an"x"`}, kindReq},
		{"control character", []string{"Bearer a\x01b"}, kindReq},
		{"NUL", []string{"Bearer a\x00b"}, kindReq},
		{"not ASCII", []string{"Bearer tokén"}, kindReq},
		{"padding in the middle", []string{"Bearer a=b"}, kindReq},
		{"only padding", []string{"Bearer =="}, kindReq},
		{"two tokens in one field", []string{"Bearer " + token + ", Bearer " + token}, kindReq},
		{"two fields", []string{"Bearer " + token, "Bearer " + token}, kindReq},
		{"two fields, the first of another scheme", []string{"Basic eDp5", "Bearer " + token}, kindReq},
		{"characters of b64token that no JWT has", []string{"Bearer a+b/c~d"}, kindTok},
		{"well-formed nonsense", []string{"Bearer nonsense"}, kindTok},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/me", http.NoBody)
			if tt.fields != nil {
				r.Header["Authorization"] = tt.fields
			}
			checkKind(t, tt.name, a.do(t, r), tt.want)
		})
	}
}

// What a client writes on the wire, before net/http has had its way with it.
func TestCredentialsOnTheWire(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	token := a.keycloak.Token()
	tests := []struct {
		name   string
		header string
		status int
	}{
		{"one field", "Authorization: Bearer " + token + "\r\n", 200},
		{"name in lower case", "authorization: Bearer " + token + "\r\n", 200},
		{"name in mixed case", "aUTHORIZATION: Bearer " + token + "\r\n", 200},
		{"two fields", "Authorization: Bearer " + token + "\r\nAuthorization: Bearer x\r\n", 400},
		{"two fields of different case", "Authorization: Bearer " + token + "\r\nauthorization: Bearer " + token + "\r\n", 400},
		{"folded field", "Authorization: Bearer abc\r\n def\r\n", 400},
		{"underscore in place of a hyphen is another field", "Author_ization: Bearer " + token + "\r\n", 401},
		{"more than a megabyte", "Authorization: Bearer " + strings.Repeat("a", 1_100_000) + "\r\n", 431},
		{"a hundred kilobytes", "Authorization: Bearer " + strings.Repeat("a", 100_000) + "\r\n", 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			go func() {
				_, _ = fmt.Fprintf(conn, "GET /me HTTP/1.1\r\nHost: api\r\nConnection: close\r\n%s\r\n", tt.header)
			}()
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // readAnswer closes it
			if err != nil {
				t.Fatal(err)
			}
			if got := readAnswer(t, resp); got.status != tt.status {
				t.Errorf("%s: status %d %s, want %d", tt.name, got.status, got.body, tt.status)
			}
		})
	}
}

// Tokens in other places than the header: only where asked for, and never in two places at once.
func TestCredentialsElsewhere(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	b := newAPIFor(t, a.keycloak, ginkeycloak.WithTokenExtractor(
		ginkeycloak.TokenFromCookie("token"), ginkeycloak.TokenFromQuery("access_token"), ginkeycloak.TokenFromForm()))
	a.POST("/me", a.me)
	b.POST("/me", b.me)
	token := a.keycloak.Token()
	query := "/me?access_token=" + token
	form := url.Values{"access_token": {token}}.Encode()

	tests := []struct {
		name    string
		request func(t *testing.T) *http.Request
		off, on string // without and with the extractors
	}{
		{"query", request("GET", query, ""), kindNone, kindOK},
		{"query twice", request("GET", query+"&access_token="+token, ""), kindNone, kindReq},
		{"query and header", request("GET", query, "", "Authorization", "Bearer "+token), kindOK, kindReq},
		{"cookie", request("GET", "/me", "", "Cookie", "token="+token), kindNone, kindOK},
		{"cookie twice", request("GET", "/me", "", "Cookie", "token="+token+"; token="+token), kindNone, kindReq},
		{"cookie and query", request("GET", query, "", "Cookie", "token="+token), kindNone, kindReq},
		{"cookie and another scheme", request("GET", "/me", "", "Cookie", "token="+token, "Authorization", "Basic eDp5"), kindNone, kindOK},
		{"another cookie", request("GET", "/me", "", "Cookie", "session="+token), kindNone, kindNone},
		{"form", request("POST", "/me", form, "Content-Type", "application/x-www-form-urlencoded"), kindNone, kindOK},
		{"form twice", request("POST", "/me", form+"&"+form, "Content-Type", "application/x-www-form-urlencoded"), kindNone, kindReq},
		{"form and header", request("POST", "/me", form, "Content-Type", "application/x-www-form-urlencoded", "Authorization", "Bearer "+token), kindOK, kindReq},
		{"form on GET", request("GET", "/me", form, "Content-Type", "application/x-www-form-urlencoded"), kindNone, kindNone},
		{"form of another type", request("POST", "/me", form, "Content-Type", "text/plain"), kindNone, kindNone},
		{"multipart form", request("POST", "/me", "--b\r\nContent-Disposition: form-data; name=\"access_token\"\r\n\r\n"+token+"\r\n--b--\r\n",
			"Content-Type", "multipart/form-data; boundary=b"), kindNone, kindNone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checkKind(t, "extractors off", a.do(t, tt.request(t)), tt.off)
			checkKind(t, "extractors on", b.do(t, tt.request(t)), tt.on)
		})
	}
}

// request returns what makes a request; headers are names and values in turn.
func request(method, target, body string, headers ...string) func(*testing.T) *http.Request {
	return func(t *testing.T) *http.Request {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		return r
	}
}

// Nothing a client says about where it comes from or what it really wants decides about access.
func TestHeadersThatDecideNothing(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithPublicRoutes("GET /open"))
	a.GET("/open", a.me)
	for _, header := range []string{
		"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: internal", "X-Forwarded-Prefix: /open", "X-Forwarded-Uri: /open",
		"X-Original-Url: /open", "X-Rewrite-Url: /open", "X-Envoy-Original-Path: /open", "X-Http-Method-Override: OPTIONS",
		"X-Auth-Request-User: admin", "X-Remote-User: admin", "Origin: https://evil.example", "Upgrade: websocket",
	} {
		name, value, _ := strings.Cut(header, ": ")
		checkKind(t, header, a.do(t, request("GET", "/me", "", name, value)(t)), kindNone)
	}
}

// The realm in the challenge comes from the configuration and cannot break out of its quotes.
func TestChallengeQuotesTheRealm(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newAPIFor(t, srv)
	kc := newPlugin(t, srv, ginkeycloak.WithRealm(`my "realm"`))
	a.Engine = gin.New()
	a.GET("/", kc.Middleware())
	got := a.get(t, "/", "").header.Get("WWW-Authenticate")
	if want := `Bearer realm="my \"realm\""`; got != want {
		t.Errorf("WWW-Authenticate = %s, want %s", got, want)
	}
}
