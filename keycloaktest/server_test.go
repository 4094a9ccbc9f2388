package keycloaktest_test

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

func TestStartRefusesMistakes(t *testing.T) {
	tests := []struct {
		name string
		opt  keycloaktest.Option
		want string
	}{
		{"empty realm", keycloaktest.WithRealm(""), "WithRealm"},
		{"realm with a slash", keycloaktest.WithRealm("a/b"), "WithRealm"},
		{"relative base path", keycloaktest.WithBasePath("auth"), "WithBasePath"},
		{"issuer without a scheme", keycloaktest.WithIssuer("sso.example.com"), "WithIssuer"},
		{"no clock", keycloaktest.WithClock(nil), "WithClock"},
		{"no lifespan", keycloaktest.WithTokenLifespan(0), "WithTokenLifespan"},
		{"symmetric algorithm", keycloaktest.WithAlgorithm("HS256"), "WithAlgorithm"},
		{"unknown TLS", keycloaktest.WithTLS(99), "WithTLS"},
		{"client without an ID", keycloaktest.WithClient(keycloaktest.Client{}), "WithClient"},
		{"client with a key of no kind", keycloaktest.WithClient(keycloaktest.Client{ID: "x", PublicKey: "key"}), "WithClient"},
		{"user without a name", keycloaktest.WithUser(keycloaktest.User{}), "WithUser"},
		{"address without a port", keycloaktest.WithAddr("localhost"), "WithAddr"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := keycloaktest.Start(tt.opt)
			if err == nil {
				s.Close()
				t.Fatalf("Start with %s = no error", tt.name)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Start with %s = %v, want it to name %s", tt.name, err, tt.want)
			}
			if got := fatal(func(tb keycloaktest.TB) { keycloaktest.New(tb, tt.opt) }); !strings.Contains(got, tt.want) {
				t.Errorf("New with %s ends the test with %q, want it to name %s", tt.name, got, tt.want)
			}
		})
	}
}

func TestDiscovery(t *testing.T) {
	tests := []struct {
		name   string
		opts   []keycloaktest.Option
		prefix string // of the server URL, in the path
		issuer string // "" for the server's own
	}{
		{"default", nil, "", ""},
		{"realm", []keycloaktest.Option{keycloaktest.WithRealm("shop")}, "", ""},
		{"base path", []keycloaktest.Option{keycloaktest.WithBasePath("/auth/")}, "/auth", ""},
		{
			"hostname setting", []keycloaktest.Option{keycloaktest.WithIssuer("https://sso.example.com/realms/demo")},
			"", "https://sso.example.com/realms/demo",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := es256(t, tt.opts...)
			issuer := tt.issuer
			if issuer == "" {
				issuer = "http://keycloak.test" + tt.prefix + "/realms/" + s.Realm()
			}
			if s.URL() != "http://keycloak.test"+tt.prefix {
				t.Errorf("URL() = %q", s.URL())
			}
			a := get(t, s, "/realms/"+s.Realm()+"/.well-known/openid-configuration")
			document := a.json(t)
			for name, tail := range map[string]string{
				"issuer": "", "authorization_endpoint": "/protocol/openid-connect/auth",
				"token_endpoint": "/protocol/openid-connect/token", "jwks_uri": "/protocol/openid-connect/certs",
				"introspection_endpoint": "/protocol/openid-connect/token/introspect",
				"userinfo_endpoint":      "/protocol/openid-connect/userinfo",
				"end_session_endpoint":   "/protocol/openid-connect/logout",
			} {
				if document[name] != issuer+tail {
					t.Errorf("%s = %v, want %s", name, document[name], issuer+tail)
				}
			}
			if _, claims := decode(t, s.Token()); claims["iss"] != issuer || s.Issuer() != issuer {
				t.Errorf("iss = %v, Issuer() = %q, want %q", claims["iss"], s.Issuer(), issuer)
			}
		})
	}
}

func TestPathsThatAreNot(t *testing.T) {
	s := es256(t)
	tests := []struct {
		name, method, path string
		status             int
		body               string
	}{
		{"unknown realm", "GET", "/realms/nope", 404, `{"error":"Realm does not exist"}`},
		{"unknown realm's discovery", "GET", "/realms/nope/.well-known/openid-configuration", 404, `{"error":"Realm does not exist"}`},
		{"no such endpoint", "GET", "/realms/demo/nope", 404, `{"error":"HTTP 404 Not Found"}`},
		{"nothing", "GET", "/", 404, `{"error":"HTTP 404 Not Found"}`},
		{"wrong method", "GET", "/realms/demo/protocol/openid-connect/token", 405, `{"error":"HTTP 405 Method Not Allowed"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := do(t, s, newRequest(t, tt.method, s.URL()+tt.path, nil))
			if a.status != tt.status || a.body != tt.body {
				t.Errorf("%s %s = %d %s, want %d %s", tt.method, tt.path, a.status, a.body, tt.status, tt.body)
			}
		})
	}
}

func TestRealmInfo(t *testing.T) {
	s := es256(t)
	if got := get(t, s, "/realms/demo").json(t)["tokens-not-before"]; got != 0.0 {
		t.Errorf("tokens-not-before = %v, want 0", got)
	}
	s.RevokeBefore(time.Unix(1_800_000_000, 0))
	info := get(t, s, "/realms/demo").json(t)
	if info["tokens-not-before"] != 1.8e9 || info["realm"] != "demo" || info["public_key"] == "" {
		t.Errorf("realm info = %v", info)
	}
}

func TestStopAndRestart(t *testing.T) {
	s := keycloaktest.New(t, keycloaktest.WithAlgorithm("ES256"))
	network := &http.Transport{}
	defer network.CloseIdleConnections()
	for _, via := range []http.RoundTripper{network, s.Transport()} {
		if err := fetch(t, via, s.Issuer()); err != nil {
			t.Fatalf("before Stop: %v", err)
		}
		s.Stop()
		s.Stop()
		if err := fetch(t, via, s.Issuer()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("after Stop: %v, want connection refused", err)
		}
		s.Restart()
		s.Restart()
		if err := fetch(t, via, s.Issuer()); err != nil {
			t.Errorf("after Restart: %v", err)
		}
	}
	s.Close()
	s.Close()
}

func fetch(t *testing.T, via http.RoundTripper, target string) error {
	t.Helper()
	response, err := (&http.Client{Transport: via}).Do(newRequest(t, http.MethodGet, target, nil))
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func TestAddrNamesTheHostAsWritten(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:0": "http://127.0.0.1:", "localhost:0": "http://localhost:", ":0": "http://localhost:",
	} {
		s := keycloaktest.New(t, keycloaktest.WithAlgorithm("ES256"), keycloaktest.WithAddr(addr))
		if !strings.HasPrefix(s.URL(), want) {
			t.Errorf("URL() with WithAddr(%q) = %q, want %q…", addr, s.URL(), want)
		}
	}
}

func TestTransportResolvesItsOwnHostsOnly(t *testing.T) {
	s := es256(t, keycloaktest.WithIssuer("https://sso.example.com/realms/demo"))
	for _, target := range []string{s.URL() + "/realms/demo", "https://sso.example.com/realms/demo"} {
		if err := fetch(t, s.Transport(), target); err != nil {
			t.Errorf("GET %s: %v", target, err)
		}
	}
	var dns *net.DNSError
	if err := fetch(t, s.Transport(), "http://evil.example/realms/demo"); !errors.As(err, &dns) {
		t.Errorf("GET of another host: %v, want a DNS error", err)
	}
}

func TestTransportLetsABubblesClockMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := es256(t)
		s.Fail(keycloaktest.KeySet, keycloaktest.Slow(10*time.Second))
		begin := time.Now()
		if a := get(t, s, "/realms/demo/protocol/openid-connect/certs"); a.status != http.StatusOK {
			t.Errorf("key set = %d", a.status)
		}
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("Slow(10s) took %s", took)
		}
		token := s.Token()
		time.Sleep(6 * time.Minute)
		if a := post(t, s, "/token/introspect", form{"token": token}); a.body != `{"active":false}` {
			t.Errorf("introspection of a token 6 minutes old = %s", a.body)
		}
	})
}

func TestClockRules(t *testing.T) {
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	s := es256(t, keycloaktest.WithClock(func() time.Time { return at }), keycloaktest.WithTokenLifespan(time.Minute))
	_, claims := decode(t, s.Token())
	if claims["iat"] != float64(at.Unix()) || claims["exp"] != float64(at.Add(time.Minute).Unix()) {
		t.Errorf("iat, exp = %v, %v at %d with a lifespan of a minute", claims["iat"], claims["exp"], at.Unix())
	}
	if !s.Now().Equal(at) {
		t.Errorf("Now() = %s, want %s", s.Now(), at)
	}
}
