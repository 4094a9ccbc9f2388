package ginkeycloak_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// Attacks and faults of docs/security.md that belong to no other file.

// An encrypted token is not opened: its header could ask for 2^31 rounds of hashing, or for the inflation of megabytes.
func TestEncryptedTokensAreNotOpened(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	encode := base64.RawURLEncoding.EncodeToString
	for name, header := range map[string]string{
		"many rounds": `{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":2147483647,"p2s":"c2FsdA"}`,
		"compressed":  `{"alg":"dir","enc":"A128GCM","zip":"DEF"}`,
		"nested":      `{"alg":"RSA-OAEP","enc":"A128GCM","cty":"JWT","kid":"` + a.keycloak.KeyID() + `"}`,
	} {
		jwe := strings.Join([]string{encode([]byte(header)), encode([]byte("key")), encode([]byte("iv")), encode([]byte("text")), encode([]byte("tag"))}, ".")
		checkToken(t, a, name, jwe, ginkeycloak.CodeMalformedToken)
	}
	checkToken(t, a, "zip in the header of a signed token", a.keycloak.Token(keycloaktest.Header("zip", "DEF")), "")
	if got := a.keycloak.Calls(keycloaktest.All); got > 2 {
		t.Errorf("%d calls, want those for the good token only", got)
	}
}

// Which error comes first must not let the other pass (golang-jwt CVE-2024-51744): each alone refuses.
func TestExpiryDoesNotHideABadSignature(t *testing.T) {
	t.Parallel()
	now, leap := leapingClock()
	a := newAPI(t, ginkeycloak.WithClock(now))
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged := keycloaktest.SignedBy(stranger)
	for name, options := range map[string][]keycloaktest.TokenOption{
		"expired":                               {keycloaktest.ExpiresIn(-time.Hour)},
		"a wrong signature":                     {forged, keycloaktest.KeyID(a.keycloak.KeyID())},
		"expired, with a wrong signature":       {forged, keycloaktest.KeyID(a.keycloak.KeyID()), keycloaktest.ExpiresIn(-time.Hour)},
		"not yet valid, with a wrong signature": {forged, keycloaktest.KeyID(a.keycloak.KeyID()), keycloaktest.NotBeforeIn(time.Hour)},
	} {
		leap()
		checkKind(t, name, a.get(t, "/me", a.keycloak.Token(options...)), kindTok)
	}
}

// From https to http there is no way, not on the same host either: whoever is on the line would give us the keys.
func TestRedirectToPlainHTTPIsNotFollowed(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t, keycloaktest.InMemory(), keycloaktest.WithIssuer("https://sso.example.test/realms/demo"))
	plain := 0
	a := newAPIFor(t, srv, ginkeycloak.WithServerURL("https://sso.example.test"),
		ginkeycloak.WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Scheme == "http" {
				plain++
			}
			r = r.Clone(r.Context())
			address, err := url.Parse(srv.URL())
			r.URL.Scheme, r.URL.Host, r.Host = address.Scheme, address.Host, address.Host
			if err != nil {
				return nil, err
			}
			return srv.Transport().RoundTrip(r)
		})}))
	srv.Fail(keycloaktest.KeySet, keycloaktest.RedirectTo("http://sso.example.test/realms/demo/protocol/openid-connect/certs"))
	got := a.get(t, "/me", srv.Token())
	checkKind(t, "redirected", got, kindDown)
	if plain != 0 || got.code != ginkeycloak.CodeConfig {
		t.Errorf("a key set that redirects to http = %q after %d requests without TLS, want keycloak_config_error and none", got.code, plain)
	}
	srv.Heal()
	time.Sleep(1100 * time.Millisecond) // the turn for the next fetch
	checkKind(t, "mended", a.get(t, "/me", srv.Token()), kindOK)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Request targets that are no plain path (RFC 9112 §3.2), as they come over the wire.
func TestStrangeRequestTargets(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithPublicRoutes("/public", "/files/*path"))
	a.Any("/public", a.me)
	a.Any("/files/*path", a.me)
	a.Any("/admin", a.me)
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	for line, want := range map[string]int{
		"GET http://api/public HTTP/1.1":                 200,
		"GET http://api/admin HTTP/1.1":                  401,
		"GET http://api/public/../admin HTTP/1.1":        401,
		"GET http://api/files/..%2fadmin HTTP/1.1":       401,
		"GET http://evil.example/admin?/public HTTP/1.1": 401,
		"CONNECT api:443 HTTP/1.1":                       401,
		"PROPFIND /admin HTTP/1.1":                       401,
		"OPTIONS /admin HTTP/1.1":                        401,
	} {
		before := a.ran.Load()
		if got := wire(t, server, line); got != want || want != 200 && a.ran.Load() != before {
			t.Errorf("%s = %d, a handler ran: %t; want %d", line, got, a.ran.Load() != before, want)
		}
	}
	before := a.ran.Load()
	if got := wire(t, server, "OPTIONS * HTTP/1.1"); got != 200 || a.ran.Load() != before { // net/http answers it itself
		t.Errorf("OPTIONS * = %d, a handler ran: %t; want 200 and none", got, a.ran.Load() != before)
	}
}

// wire sends a request line as it is and returns the status of the answer.
func wire(t *testing.T, server *httptest.Server, line string) int {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, line+"\r\nHost: api\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	status, err := strconv.Atoi(string(answer[len("HTTP/1.1 "):]))
	if err != nil {
		t.Fatalf("%s: answer %q", line, answer)
	}
	return status
}

// The log names who is at the other end of the connection, not who somebody says he is.
func TestLogNamesThePeer(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	r := request("GET", "/me", "", "Authorization", "Bearer nonsense", "X-Forwarded-For", "6.6.6.6", "X-Real-Ip", "6.6.6.6", "Forwarded", "for=6.6.6.6")(t)
	r.RemoteAddr = "192.0.2.7:4711"
	checkKind(t, "nonsense", a.do(t, r), kindTok)
	if log := a.log.String(); !strings.Contains(log, "192.0.2.7") || strings.Contains(log, "6.6.6.6") {
		t.Errorf("log = %s, want the peer's address and not the one it claims", log)
	}
}

// No origin is allowed by this library, and none because a token names the client it belongs to (Keycloak CVE-2026-37977).
func TestNoOriginIsAllowed(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithCORSPreflight(true))
	a.kc.RegisterRefreshRoute(a)
	a.OPTIONS("/me", a.me)
	token := a.keycloak.Token(keycloaktest.Claim("allowed-origins", []string{"https://evil.example"}), keycloaktest.AuthorizedParty("https://evil.example"))
	for name, r := range map[string]*http.Request{
		"good token":  request("GET", "/me", "", "Authorization", "Bearer "+token, "Origin", "https://evil.example")(t),
		"bad token":   request("GET", "/me", "", "Authorization", "Bearer "+token+"x", "Origin", "https://evil.example")(t),
		"preflight":   request("OPTIONS", "/me", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "GET")(t),
		"refresh":     request("POST", "/auth/refresh", "{}", "Origin", "https://evil.example", "Content-Type", "application/json")(t),
		"another way": request("OPTIONS", "/auth/refresh", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")(t),
	} {
		got := a.do(t, r)
		for header, value := range got.header {
			if strings.HasPrefix(header, "Access-Control-") || strings.Contains(strings.Join(value, ""), "evil.example") {
				t.Errorf("%s: %s: %s, want no word on origins", name, header, value)
			}
		}
	}
}

// A flood of tokens that are not active takes no room from those that are, and the tables keep their size.
func TestFloodOfInactiveTokens(t *testing.T) {
	t.Parallel()
	const size = 100
	began := time.Now()
	now := func() time.Time { return began } // on a slow machine the flood outlasts the minute
	srv := keycloaktest.New(t, keycloaktest.WithAlgorithm("ES256"), keycloaktest.WithClock(now))
	a := newAPIFor(t, srv, ginkeycloak.WithAlgorithms("ES256"), ginkeycloak.WithIntrospection(ginkeycloak.IntrospectionCache(size, time.Minute)),
		ginkeycloak.WithClock(now))
	good := srv.Token(keycloaktest.ForUser("alice"))
	checkKind(t, "before the flood", a.get(t, "/me", good), kindOK)
	for i := range 10 * size {
		if _, err := a.kc.Authenticate(t.Context(), "opaque-"+strconv.Itoa(i)); !errors.Is(err, ginkeycloak.ErrTokenInactive) {
			t.Fatalf("Authenticate of an opaque token = %v, want ErrTokenInactive", err)
		}
	}
	srv.ResetCalls()
	checkKind(t, "after the flood", a.get(t, "/me", good), kindOK)
	if got := srv.Calls(keycloaktest.Introspection); got != 0 {
		t.Errorf("%d introspections of a token that was remembered, want none: the flood has driven it out", got)
	}
	for i := range 3 * size {
		checkKind(t, "one of many", a.get(t, "/me", srv.Token(keycloaktest.ForUser("alice"), keycloaktest.Claim("jti", strconv.Itoa(i)))), kindOK)
	}
	if got := a.kc.Stats().ActiveTokens; got > size || got == 0 {
		t.Errorf("%d tokens are remembered as active, want at most %d", got, size)
	}
}

// What a server writes into its certificate comes out of log, errors and reports with nothing that a terminal obeys
// (Go CVE-2025-58189, CVE-2026-42507: errors hold text of the peer).
func TestCertificatesWordsAreEscaped(t *testing.T) {
	t.Parallel()
	const evil = "x\r\nlevel=ERROR msg=forged \x1b[31m"
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, evil)}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of a client that does not trust it
	server.StartTLS()
	t.Cleanup(server.Close)
	a := newAPI(t, ginkeycloak.WithServerURL(server.URL))
	if err := a.kc.Connect(t.Context()); err == nil || strings.ContainsAny(err.Error(), "\r\x1b") {
		t.Errorf("Connect = %q, want an error without control characters", err)
	}
	got := a.get(t, "/me", a.keycloak.Token(keycloaktest.Issuer(server.URL+"/realms/demo")))
	checkKind(t, "a certificate with a story to tell", got, kindDown)
	logged, report := a.log.String(), a.kc.Diagnose(t.Context()).String()
	if !strings.Contains(report, "forged") {
		t.Errorf("the report says nothing of the certificate's name, so this test proves nothing: %s", report)
	}
	for where, text := range map[string]string{"log": logged, "report": report} {
		if strings.ContainsAny(text, "\r\x1b") {
			t.Errorf("the %s holds control characters of the peer: %q", where, text)
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "level=ERROR msg=forged") {
				t.Errorf("a forged line in the %s: %s", where, text)
			}
		}
	}
}

// certificate makes one that nobody vouches for, with a name of the caller's choice in every place for names.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		Subject: pkix.Name{CommonName: name, Organization: []string{name}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A server that ends each HTTP/2 connection after one answer (GOAWAY) is asked again on a new one, and nobody notices.
func TestKeycloakSaysGoAway(t *testing.T) {
	t.Parallel()
	front := httptest.NewUnstartedServer(nil)
	address := "https://" + front.Listener.Addr().String()
	srv := keycloaktest.New(t, keycloaktest.InMemory(), keycloaktest.WithIssuer(address+"/realms/demo"))
	inner, err := url.Parse(srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: srv.Transport(), Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(inner) }}
	var protocol string
	front.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol = r.Proto
		w.Header().Set("Connection", "close") // in HTTP/2, net/http makes a GOAWAY of it
		proxy.ServeHTTP(w, r)
	})
	front.EnableHTTP2 = true
	front.StartTLS()
	t.Cleanup(front.Close)
	roots := x509.NewCertPool()
	roots.AddCert(front.Certificate())
	a := newAPIFor(t, srv, ginkeycloak.WithServerURL(address), ginkeycloak.WithRootCAs(roots),
		ginkeycloak.WithIntrospection(ginkeycloak.IntrospectionCache(0, 0)))
	for range 10 {
		checkKind(t, "a connection each", a.get(t, "/me", srv.Token()), kindOK)
	}
	if protocol != "HTTP/2.0" {
		t.Errorf("Keycloak was asked by %s, want HTTP/2.0: else this test proves nothing", protocol)
	}
}

func TestKeycloakByIPv6(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	_ = listener.Close()
	srv := keycloaktest.New(t, keycloaktest.WithAddr("[::1]:0"))
	a := newAPIFor(t, srv)
	checkKind(t, "by "+srv.URL(), a.get(t, "/me", srv.Token()), kindOK)
}
