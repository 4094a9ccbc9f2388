package ginkeycloak_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// What is wrong with the credentials is said in the log: the caller is told no more than that they cannot be read.
func TestReasonOfWrongCredentials(t *testing.T) {
	t.Parallel()
	broken := func(r *http.Request) (string, error) {
		if r.Header.Get("X-Broken") != "" {
			return "", errors.New("not readable")
		}
		return "", nil
	}
	tests := []struct {
		name    string
		request func(*testing.T) *http.Request
		want    string
	}{
		{"nothing behind the scheme", request("GET", "/me", "", "Authorization", "Bearer "), "not exactly one well-formed bearer token"},
		{"header and query", request("GET", "/me?access_token=x", "", "Authorization", "Bearer x"), "more than one token"},
		{"query twice", request("GET", "/me?access_token=x&access_token=x", ""), "more than one token"},
		{"an extractor's error", request("GET", "/me", "", "X-Broken", "1"), "not readable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, ginkeycloak.WithTokenExtractor(ginkeycloak.TokenFromQuery("access_token"), broken))
			checkKind(t, tt.name, a.do(t, tt.request(t)), kindReq)
			if log := a.log.String(); !strings.Contains(log, tt.want) {
				t.Errorf("%s: log = %s, want %q in it", tt.name, log, tt.want)
			}
		})
	}
}

// A request that can have no form is not refused for one that cannot be read.
func TestFormIsReadOnlyWhereOneCanBe(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	a := newAPI(t, ginkeycloak.WithTokenExtractor(ginkeycloak.TokenFromForm()))
	a.POST("/me", a.me)
	a.HEAD("/me", a.me)
	for name, tt := range map[string]struct {
		request func(*testing.T) *http.Request
		want    string
	}{
		"GET with a query that cannot be read":     {request("GET", "/me?%zz", "", "Content-Type", form), kindNone},
		"HEAD with a query that cannot be read":    {request("HEAD", "/me?%zz", "", "Content-Type", form), kindNone},
		"POST of a type that cannot be read":       {request("POST", "/me", "access_token=x", "Content-Type", "text/plain; x"), kindNone},
		"POST of a form that cannot be read":       {request("POST", "/me", "access_token=%zz", "Content-Type", form), kindReq},
		"POST of a form, type with a parameter":    {request("POST", "/me", "access_token=x", "Content-Type", form+"; charset=utf-8"), kindTok},
		"POST of a form, type in upper case":       {request("POST", "/me", "access_token=x", "Content-Type", strings.ToUpper(form)), kindTok},
		"POST of a form with the token in the URL": {request("POST", "/me?access_token=x", "", "Content-Type", form), kindNone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := tt.request(t)
			got := a.do(t, r)
			if r.Method == http.MethodHead {
				if got.status != http.StatusUnauthorized {
					t.Errorf("%s: status %d, want 401", name, got.status)
				}
				return
			}
			checkKind(t, name, got, tt.want)
		})
	}
}

// The log says what was asked for.
func TestRequirementsSayWhatIsRequired(t *testing.T) {
	t.Parallel()
	for want, require := range map[string]requirement{
		`required is all of role`: roles("a", "b"), `required is one of role`: anyRole("a", "b"),
		`required is all of group`: groups("/a"), `required is one of scope`: anyScope("a", "b"),
	} {
		a := newAPI(t)
		checkKind(t, want, a.behind(require(a.kc)).get(t, "/guarded", a.keycloak.Token()), kindScope)
		if log := a.log.String(); !strings.Contains(log, want) {
			t.Errorf("log = %s, want %q in it", log, want)
		}
	}
}

// What is a mistake in a group is none in a role or a scope, and the other way round.
func TestRequirementsOfUnusualNames(t *testing.T) {
	t.Parallel()
	kc := newAPI(t).kc
	kc.RequireRoles("a/", "a b")
	kc.RequireClientRoles("client", "a/", "a b")
	kc.RequireGroups("/a b")
	kc.RequireScopes("https://api.example/")
}

// However many handlers ask for the user, a request is authenticated once.
func TestRequirementsShareTheUser(t *testing.T) {
	t.Parallel()
	var judged atomic.Int64
	a := newAPI(t, ginkeycloak.WithTrace(&ginkeycloak.Trace{
		Authenticated: func(context.Context, ginkeycloak.Authenticated) { judged.Add(1) },
	}))
	token := a.keycloak.Token(keycloaktest.RealmRoles("a", "b"))
	for name, guarded := range map[string]*api{
		"behind the middleware": a.behind(a.kc.Middleware(), a.kc.RequireRoles("a"), a.kc.RequireRoles("b")),
		"alone":                 a.behind(a.kc.RequireRoles("a"), a.kc.RequireRoles("b")),
	} {
		judged.Store(0)
		checkKind(t, name, guarded.get(t, "/guarded", token), kindOK)
		if got := judged.Load(); got != 1 {
			t.Errorf("%s: authenticated %d times, want once", name, got)
		}
	}
}

// The discovery document is kept twice as long as the keys.
func TestMetadataIsKeptTwiceAsLongAsKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := inMemory(t, ginkeycloak.WithKeyCache(10*time.Minute))
		for _, want := range []struct{ keys, documents int }{{1, 1}, {2, 1}, {3, 2}, {4, 2}, {5, 3}} {
			checkKind(t, "a good token", a.get(t, "/me", a.keycloak.Token()), kindOK)
			synctest.Wait()
			if keys, documents := a.keycloak.Calls(keycloaktest.KeySet), a.keycloak.Calls(keycloaktest.Discovery); keys != want.keys || documents != want.documents {
				t.Errorf("key set fetched %d times, discovery document %d times, want %d and %d", keys, documents, want.keys, want.documents)
			}
			time.Sleep(10*time.Minute + time.Second)
		}
	})
}

// A certificate of the right host and CA that is not for servers.
func TestCertificateForAnotherUse(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.Config.ErrorLog = log.New(new(logBuffer), "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(cert)
	kc, err := ginkeycloak.New(ginkeycloak.WithServerURL(server.URL), ginkeycloak.WithRealm("demo"), ginkeycloak.WithClientID("orders-api"), ginkeycloak.WithRootCAs(roots))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kc.Close() })
	if err := kc.Connect(t.Context()); !errors.Is(err, ginkeycloak.ErrCertVerify) {
		t.Errorf("Connect to a server with a client's certificate = %v, want %v", err, ginkeycloak.ErrCertVerify)
	}
}

// A token is good until the last moment of its time.
func TestLastMomentOfAToken(t *testing.T) {
	t.Parallel()
	issued := time.Unix(1_900_000_000, 0)
	now := issued
	clock := func() time.Time { return now }
	srv := keycloaktest.New(t, keycloaktest.WithClock(clock))
	a := newAPIFor(t, srv, ginkeycloak.WithClock(clock), ginkeycloak.WithLeeway(0))
	token := srv.Token(keycloaktest.ExpiresIn(time.Minute))
	now = issued.Add(time.Minute - 1)
	checkToken(t, a, "a nanosecond before exp", token, "")
	now = issued.Add(time.Minute)
	checkToken(t, a, "at exp", token, ginkeycloak.CodeTokenExpired)
}

// A lightweight token of the right signature is not let in before Keycloak has said what it left out.
func TestLightweightTokenNeedsAnAnswer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault keycloaktest.Fault
		kind  string
		code  ginkeycloak.Code
	}{
		"inactive":       {keycloaktest.Answer(200, "application/json", `{"active":false}`), kindTok, ginkeycloak.CodeTokenInactive},
		"no answer":      {keycloaktest.Status(500), kindDown, ginkeycloak.CodeIntrospection},
		"active, no aud": {keycloaktest.Edited(func(a map[string]any) { delete(a, "aud") }), kindTok, ginkeycloak.CodeMissingClaim},
	} {
		a := newAPI(t, ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOpaque()))
		token := light(a.keycloak)
		a.keycloak.Fail(keycloaktest.Introspection, tt.fault)
		got := a.get(t, "/me", token)
		checkKind(t, name, got, tt.kind)
		if got.code != tt.code {
			t.Errorf("%s: code %q, want %q", name, got.code, tt.code)
		}
	}
}

// After Close nothing calls Keycloak any more.
func TestNoCallsAfterClose(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithIntrospection())
	checkKind(t, "before Close", a.get(t, "/me", good(a.keycloak)), kindOK)
	if err := a.kc.Close(); err != nil {
		t.Fatal(err)
	}
	before := a.keycloak.Calls(keycloaktest.All)
	checkKind(t, "after Close", a.get(t, "/me", good(a.keycloak)), kindDown)
	if _, err := a.kc.Refresh(t.Context(), a.keycloak.RefreshToken()); err == nil {
		t.Error("Refresh after Close = no error, want one")
	}
	if got := a.keycloak.Calls(keycloaktest.All); got != before {
		t.Errorf("%d calls after Close, want 0", got-before)
	}
}

// A refusal is the end of it: what comes after has no user to look at.
func TestRequireEndsWithTheRefusal(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	checkKind(t, "no token", a.behind(a.kc.RequireRoles("admin")).get(t, "/guarded", ""), kindNone)
	if log := a.log.String(); strings.Contains(log, "panic") {
		t.Errorf("log = %s, want no panic", log)
	}
}

// Close ends what is under way, long before its time limit, and who waits for it is told as if Keycloak were away.
func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		endpoint keycloaktest.Endpoint
		opts     []ginkeycloak.Option
		want     error
	}{
		"key set":       {keycloaktest.KeySet, nil, ginkeycloak.ErrConnection},
		"introspection": {keycloaktest.Introspection, []ginkeycloak.Option{ginkeycloak.WithIntrospection()}, ginkeycloak.ErrIntrospection},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, tt.opts...)
			a.keycloak.Fail(tt.endpoint, keycloaktest.Hang())
			token := good(a.keycloak)
			got := make(chan error)
			go func() {
				_, err := a.kc.Authenticate(context.Background(), token)
				got <- err
			}()
			for a.keycloak.Calls(tt.endpoint) == 0 {
				time.Sleep(time.Millisecond)
			}
			begin := time.Now()
			if err := a.kc.Close(); err != nil {
				t.Fatal(err)
			}
			if err := <-got; !errors.Is(err, tt.want) || strings.Contains(err.Error(), "panic") {
				t.Errorf("Authenticate during Close = %v, want %v", err, tt.want)
			}
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("it ended %v after Close, want at once", took)
			}
		})
	}
}
