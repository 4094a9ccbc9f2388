package ginkeycloak_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	stdjson "encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// trusting is the configuration of an API that trusts the CA of srv.
func trusting(srv *keycloaktest.Server) ginkeycloak.Option {
	return ginkeycloak.WithRootCAs(srv.RootCAs())
}

// mainProblem is the problem that a report begins with.
func mainProblem(t *testing.T, r ginkeycloak.Report) ginkeycloak.Problem {
	t.Helper()
	if len(r.Problems) == 0 {
		t.Fatalf("the report has no problem:\n%s", r)
	}
	return r.Problems[0]
}

// networkFault is a way not to reach Keycloak, what the report calls it, and the code of a request meanwhile.
type networkFault struct {
	name    string
	address func(*testing.T) (server string, opts []ginkeycloak.Option)
	problem string
	code    ginkeycloak.Code
	words   []string // of the first line
}

func overTLS(kind keycloaktest.TLSKind) func(*testing.T) (string, []ginkeycloak.Option) {
	return func(t *testing.T) (string, []ginkeycloak.Option) {
		t.Helper()
		srv := keycloaktest.New(t, keycloaktest.WithTLS(kind))
		return srv.URL(), []ginkeycloak.Option{trusting(srv)}
	}
}

func networkFaults() []networkFault {
	return []networkFault{
		{"certificate expired", overTLS(keycloaktest.Expired), "certificate_expired", ginkeycloak.CodeCertExpired, []string{"CN=keycloaktest", "expired on"}},
		{"certificate not yet valid", notYetValid, "certificate_not_yet_valid", ginkeycloak.CodeCertExpired, []string{"not valid before"}},
		{"unknown authority", overTLS(keycloaktest.UnknownCA), "certificate_unknown_authority", ginkeycloak.CodeCertUntrusted, []string{"CN=keycloaktest CA", "trusts"}},
		{"another host", overTLS(keycloaktest.WrongHost), "certificate_wrong_host", ginkeycloak.CodeHostnameMismatch, []string{"wrong.example.com"}},
		{"TLS 1.0", overTLS(keycloaktest.Outdated), "tls_too_old", ginkeycloak.CodeConnection, []string{"1.2"}},
		{"client certificate wanted", overTLS(keycloaktest.WantsClientCertificate), "client_certificate_wanted", ginkeycloak.CodeConnection, []string{"wants a client certificate"}},
		{"name unknown", func(*testing.T) (string, []ginkeycloak.Option) { return "https://keycloak.invalid", nil }, "dns_not_found", ginkeycloak.CodeConnection, []string{"keycloak.invalid", "DNS"}},
		{"refused", func(t *testing.T) (string, []ginkeycloak.Option) {
			srv := keycloaktest.New(t)
			srv.Stop()
			return srv.URL(), nil
		}, "connection_refused", ginkeycloak.CodeConnection, []string{"listens at"}},
		{"reset", resetting, "connection_closed", ginkeycloak.CodeConnection, []string{"closes the connection"}},
		{"closed without an answer", func(t *testing.T) (string, []ginkeycloak.Option) {
			srv := keycloaktest.New(t)
			srv.Fail(keycloaktest.All, keycloaktest.Hangup())
			return srv.URL(), nil
		}, "connection_closed", ginkeycloak.CodeConnection, []string{"closes the connection"}},
		{"no answer", func(t *testing.T) (string, []ginkeycloak.Option) {
			srv := keycloaktest.New(t)
			srv.Fail(keycloaktest.All, keycloaktest.Hang())
			return srv.URL(), []ginkeycloak.Option{ginkeycloak.WithTimeouts(100*time.Millisecond, 100*time.Millisecond)}
		}, "timeout", ginkeycloak.CodeConnection, []string{"time limits"}},
		{"http where TLS is spoken", func(t *testing.T) (string, []ginkeycloak.Option) {
			srv := keycloaktest.New(t, keycloaktest.WithTLS(keycloaktest.Valid))
			return strings.Replace(srv.URL(), "https:", "http:", 1), []ginkeycloak.Option{trusting(srv)}
		}, "https_expected", "", []string{"speaks TLS"}},
		{"https where none is spoken", func(t *testing.T) (string, []ginkeycloak.Option) {
			return strings.Replace(keycloaktest.New(t).URL(), "http:", "https:", 1), nil
		}, "http_expected", ginkeycloak.CodeConnection, []string{"does not speak TLS"}},
	}
}

// notYetValid is a server with a certificate of tomorrow.
func notYetValid(t *testing.T) (string, []ginkeycloak.Option) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tomorrow"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(24 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return srv.URL, []ginkeycloak.Option{ginkeycloak.WithRootCAs(pool)}
}

// resetting is a server that resets each connection.
func resetting(t *testing.T) (string, []ginkeycloak.Option) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	return "http://" + l.Addr().String(), nil
}

// TestDiagnoseTellsNetworkFaultsApart: each fault has a name of its own, in the report and in its first line, and
// requests meanwhile get the code that belongs to it.
func TestDiagnoseTellsNetworkFaultsApart(t *testing.T) {
	t.Parallel()
	for _, tt := range networkFaults() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, opts := tt.address(t)
			srv := keycloaktest.New(t) // for a token
			opts = append([]ginkeycloak.Option{patient}, opts...)
			kc := newPlugin(t, srv, append(opts, ginkeycloak.WithServerURL(server), ginkeycloak.WithIssuer(srv.Issuer()))...)
			report := kc.Diagnose(t.Context())
			got := mainProblem(t, report)
			if got.Code != tt.problem || report.OK || report.Discovery.Status != ginkeycloak.StatusError || report.Discovery.Problem != tt.problem {
				t.Errorf("Diagnose = %+v, discovery %+v; want %s", got, report.Discovery, tt.problem)
			}
			first, _, _ := strings.Cut(report.String(), "\n")
			for _, word := range tt.words {
				if !strings.HasPrefix(first, "FAIL") || !strings.Contains(first, word) {
					t.Errorf("first line = %q, want FAIL and %q", first, word)
				}
			}
			if got.Mend == "" {
				t.Errorf("Diagnose says %q, and not what mends it", got.Text)
			}
			if len(report.Problems) != 1 {
				t.Errorf("problems = %+v, want the cause alone", report.Problems)
			}
			if tt.code == "" {
				return // it is the scheme of the address that is wrong, whatever came back
			}
			if _, err := kc.Authenticate(t.Context(), srv.Token()); codeOf(err) != tt.code {
				t.Errorf("Authenticate meanwhile = %v, want %s", err, tt.code)
			}
		})
	}
}

// TestPythonFault10CertificateErrorClasses: the classes of certificate errors could never be raised, and no CA of one's
// own could be given.
func TestPythonFault10CertificateErrorClasses(t *testing.T) {
	t.Parallel()
	for kind, want := range map[keycloaktest.TLSKind]ginkeycloak.Code{
		keycloaktest.Expired: ginkeycloak.CodeCertExpired, keycloaktest.UnknownCA: ginkeycloak.CodeCertUntrusted,
		keycloaktest.WrongHost: ginkeycloak.CodeHostnameMismatch, keycloaktest.Valid: "",
	} {
		srv := keycloaktest.New(t, keycloaktest.WithTLS(kind))
		a := newAPIFor(t, srv, trusting(srv))
		got := a.get(t, "/me", srv.Token())
		if got.code != want || got.ran != (want == "") {
			t.Errorf("GET /me with TLS kind %d = %d %q, want %q", kind, got.status, got.code, want)
		}
		if want != "" {
			checkKind(t, string(want), got, kindDown)
		}
	}
	srv := keycloaktest.New(t, keycloaktest.WithTLS(keycloaktest.Valid))
	if got := newAPIFor(t, srv).get(t, "/me", srv.Token()); got.code != ginkeycloak.CodeCertUntrusted {
		t.Errorf("GET /me without WithRootCAs = %d %q, want cert_untrusted", got.status, got.code)
	}
}

// TestPythonFault11Diagnostics: endpoints were asked with HEAD where only POST works, 405 counted as fine, and with
// verification off the certificate was not read.
func TestPythonFault11Diagnostics(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	methods := make(map[keycloaktest.Endpoint][]string)
	var mu sync.Mutex // guards methods
	srv.OnRequest(func(e keycloaktest.Endpoint, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		methods[e] = append(methods[e], r.Method)
	})
	report := newPlugin(t, srv).Diagnose(t.Context())
	if !report.OK {
		t.Errorf("Diagnose of a good set-up:\n%s", report)
	}
	for endpoint, want := range map[keycloaktest.Endpoint]string{
		keycloaktest.Discovery: "GET", keycloaktest.KeySet: "GET", keycloaktest.Introspection: "POST", keycloaktest.TokenEndpoint: "POST",
	} {
		if got := methods[endpoint]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s was asked with %q, want %s once", endpoint, got, want)
		}
	}

	t.Run("405", func(t *testing.T) {
		t.Parallel()
		wrong := newPlugin(t, srv, ginkeycloak.WithIntrospection(), ginkeycloak.WithIntrospectionURL(srv.Issuer()+"/protocol/openid-connect/certs"))
		got := wrong.Diagnose(t.Context())
		if got.OK || got.Introspection.Status != ginkeycloak.StatusError || got.Introspection.Problem != "method_not_allowed" || got.Introspection.HTTPStatus != 405 {
			t.Errorf("Diagnose with an introspection endpoint that takes no POST = %+v, want an error", got.Introspection)
		}
	})
	t.Run("verification off", func(t *testing.T) {
		t.Parallel()
		for kind, want := range map[keycloaktest.TLSKind]string{
			keycloaktest.Valid: "", keycloaktest.Expired: "certificate_expired", keycloaktest.UnknownCA: "certificate_unknown_authority",
			keycloaktest.WrongHost: "certificate_wrong_host",
		} {
			tlsSrv := keycloaktest.New(t, keycloaktest.WithTLS(kind))
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: tlsSrv.RootCAs(), InsecureSkipVerify: true}}
			t.Cleanup(transport.CloseIdleConnections)
			got := newPlugin(t, tlsSrv, ginkeycloak.WithHTTPClient(&http.Client{Transport: transport})).Diagnose(t.Context())
			d := got.Discovery
			if !got.OK || got.TLSVerification || d.Status != ginkeycloak.StatusOK || d.CertValid == nil || *d.CertValid != (want == "") {
				t.Fatalf("Diagnose without verification, kind %d = %+v, want OK and the certificate judged", kind, d)
			}
			if d.TLS.Problem != want || d.CertDays == nil || d.TLS.Subject != "CN=keycloaktest" || (d.CertError == "") != (want == "") {
				t.Errorf("Diagnose without verification, kind %d = %+v, want the certificate and %q", kind, d.TLS, want)
			}
			if !slices.ContainsFunc(got.Problems, func(p ginkeycloak.Problem) bool { return p.Code == "verification_off" && p.Warning }) {
				t.Errorf("problems = %+v, want a warning about verification", got.Problems)
			}
		}
	})
}

// TestDiagnoseReadsTheCertificate: what a report says about a certificate that is in order.
func TestDiagnoseReadsTheCertificate(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t, keycloaktest.WithTLS(keycloaktest.Valid))
	got := newPlugin(t, srv, trusting(srv)).Diagnose(t.Context())
	d := got.Discovery
	if !got.OK || d.TLS == nil || d.TLS.Version != "TLS 1.3" || d.TLS.Issuer != "CN=keycloaktest CA" || !slices.Contains(d.TLS.Names, "localhost") ||
		!slices.Contains(d.TLS.Names, "127.0.0.1") || *d.CertDays < 3600 || !*d.CertValid {
		t.Errorf("Diagnose = %+v, TLS %+v", d, d.TLS)
	}
}

// TestDiagnoseSetUps: what is wrong with the set-up, though Keycloak answers.
func TestDiagnoseSetUps(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		server  []keycloaktest.Option
		fault   func(*keycloaktest.Server)
		opts    func(*keycloaktest.Server) []ginkeycloak.Option
		problem string
		words   []string
	}{
		{name: "another realm", opts: options(ginkeycloak.WithRealm("prod")), problem: "not_found", words: []string{`no realm "prod"`}},
		{name: "/auth missing", server: []keycloaktest.Option{keycloaktest.WithBasePath("/auth")}, problem: "not_found", words: []string{"/auth", "WithServerURL"},
			opts: func(srv *keycloaktest.Server) []ginkeycloak.Option {
				return []ginkeycloak.Option{ginkeycloak.WithServerURL(strings.TrimSuffix(srv.URL(), "/auth"))}
			}},
		{name: "/auth too much", problem: "not_found", words: []string{"It is at http://127.0.0.1"},
			opts: func(srv *keycloaktest.Server) []ginkeycloak.Option {
				return []ginkeycloak.Option{ginkeycloak.WithServerURL(srv.URL() + "/auth")}
			}},
		{name: "issuer of another host", server: []keycloaktest.Option{keycloaktest.WithIssuer("https://sso.example.com/realms/demo")}, problem: "issuer_differs",
			words: []string{"scheme, host and port", "https://sso.example.com", "WithInternalURL"}},
		{name: "issuer of another scheme", problem: "issuer_differs", words: []string{"only in the scheme", "https in the address"}, fault: func(srv *keycloaktest.Server) {
			srv.Fail(keycloaktest.Discovery, keycloaktest.Edited(func(body map[string]any) {
				body["issuer"] = strings.Replace(srv.Issuer(), "http:", "https:", 1)
			}))
		}},
		{name: "TLS ends at a proxy", problem: "issuer_differs", words: []string{"only in the scheme", "--proxy-headers"},
			fault: func(srv *keycloaktest.Server) {
				srv.Fail(keycloaktest.Discovery, keycloaktest.Edited(func(body map[string]any) { body["issuer"] = srv.Issuer() }))
			},
			opts: func(srv *keycloaktest.Server) []ginkeycloak.Option {
				secured := strings.Replace(srv.URL(), "http:", "https:", 1)
				return []ginkeycloak.Option{ginkeycloak.WithServerURL(secured), ginkeycloak.WithIssuer(secured + "/realms/demo"),
					ginkeycloak.WithInternalURL(strings.Replace(srv.URL(), "127.0.0.1", "localhost", 1))}
			}},
		{name: "issuer with a slash", problem: "issuer_differs", words: []string{"only in the trailing slash"}, fault: func(srv *keycloaktest.Server) {
			srv.Fail(keycloaktest.Discovery, keycloaktest.Edited(func(body map[string]any) { body["issuer"] = srv.Issuer() + "/" }))
		}},
		{name: "wrong secret", opts: options(ginkeycloak.WithClientSecret("guessed")), problem: "credentials_refused", words: []string{`client "orders-api"`, "Credentials"}},
		{name: "unknown client", opts: options(ginkeycloak.WithClientID("nobody")), problem: "credentials_refused", words: []string{`client "nobody"`}},
		{name: "no key for our algorithms", opts: options(ginkeycloak.WithAlgorithms("ES384")), problem: "no_usable_key", words: []string{"ES384", "WithAlgorithms"}},
		{name: "no keys", fault: failing(keycloaktest.KeySet, keycloaktest.Answer(200, "application/json", `{"keys":[]}`)), problem: "no_usable_key"},
		{name: "key set is a page", fault: failing(keycloaktest.KeySet, keycloaktest.Answer(200, "text/html", "<html>")), problem: "answer_not_json"},
		{name: "discovery is a page", fault: failing(keycloaktest.Discovery, keycloaktest.Answer(200, "text/html", "<html>")), problem: "answer_not_json"},
		{name: "discovery is huge", fault: failing(keycloaktest.Discovery, keycloaktest.Huge(2<<20)), problem: "answer_too_large"},
		{name: "discovery redirects", fault: failing(keycloaktest.Discovery, keycloaktest.RedirectTo("https://login.example.com/")), problem: "redirected", words: []string{"login.example.com"}},
		{name: "discovery names no key set", problem: "endpoint_missing", words: []string{"key set"}, fault: func(srv *keycloaktest.Server) {
			srv.Fail(keycloaktest.Discovery, keycloaktest.Edited(func(body map[string]any) { delete(body, "jwks_uri") }))
		}},
		{name: "key set elsewhere", problem: "endpoint_elsewhere", words: []string{"evil.example"}, fault: func(srv *keycloaktest.Server) {
			srv.Fail(keycloaktest.Discovery, keycloaktest.Edited(func(body map[string]any) { body["jwks_uri"] = "https://evil.example/keys" }))
		}},
		{name: "Keycloak is unwell", fault: failing(keycloaktest.All, keycloaktest.Status(503)), problem: "unexpected_status", words: []string{"503"}},
		{name: "SSL required", fault: failing(keycloaktest.All, keycloaktest.Status(403)), problem: "unexpected_status", words: []string{"requires SSL"}},
		{name: "introspection is unwell", fault: failing(keycloaktest.Introspection, keycloaktest.Status(500)), opts: options(introspecting), problem: "unexpected_status", words: []string{"500"}},
		{name: "clock ahead", opts: options(ahead(3 * time.Minute)), problem: "clock_differs", words: []string{"3 min ahead of Keycloak's"}},
		{name: "clock behind", opts: options(ahead(-3 * time.Minute)), problem: "clock_differs", words: []string{"behind Keycloak's"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := keycloaktest.New(t, tt.server...)
			if tt.fault != nil {
				tt.fault(srv)
			}
			var opts []ginkeycloak.Option
			if tt.opts != nil {
				opts = tt.opts(srv)
			}
			report := newPlugin(t, srv, opts...).Diagnose(t.Context())
			got := mainProblem(t, report)
			if got.Code != tt.problem || got.Warning || report.OK || got.Mend == "" {
				t.Errorf("Diagnose = %+v, want %s and what mends it\n%s", got, tt.problem, report)
			}
			for _, word := range tt.words {
				if !strings.Contains(got.Text+" "+got.Mend, word) {
					t.Errorf("Diagnose says %q, %q; want %q in it", got.Text, got.Mend, word)
				}
			}
		})
	}
}

func failing(e keycloaktest.Endpoint, f keycloaktest.Fault) func(*keycloaktest.Server) {
	return func(srv *keycloaktest.Server) { srv.Fail(e, f) }
}

// TestDiagnoseWarns: what does not keep the API from working now.
func TestDiagnoseWarns(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault   func(*keycloaktest.Server)
		problem string
	}{
		"introspection that is not used": {failing(keycloaktest.Introspection, keycloaktest.Status(500)), "unexpected_status"},
		"token endpoint":                 {failing(keycloaktest.TokenEndpoint, keycloaktest.Hangup()), "connection_closed"},
		"a bad key among good ones":      {func(srv *keycloaktest.Server) { srv.AddKeyJSON(`{"kid":"weak","kty":"oct","k":"AAAA"}`) }, "key_unusable"},
	} {
		srv := keycloaktest.New(t)
		tt.fault(srv)
		got := newPlugin(t, srv).Diagnose(t.Context())
		if p := mainProblem(t, got); !got.OK || p.Code != tt.problem || !p.Warning {
			t.Errorf("%s: Diagnose = %+v, want OK with a warning %s", name, got.Problems, tt.problem)
		}
		if text := got.String(); !strings.HasPrefix(text, "ok ") || !strings.Contains(text, "\nwarn ") {
			t.Errorf("%s: the report begins with %.80q, want ok and a warning", name, text)
		}
	}
}

// TestDiagnoseWithoutSecret: a public client, or none, is no reason to worry.
func TestDiagnoseWithoutSecret(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	for name, client := range map[string]ginkeycloak.Option{
		"no client": ginkeycloak.WithAudience("orders-api"), "a public client": ginkeycloak.WithClientID("spa"), "a confidential one": ginkeycloak.WithClientID("orders-api"),
	} {
		kc, err := ginkeycloak.New(ginkeycloak.WithServerURL(srv.URL()), ginkeycloak.WithRealm("demo"), client)
		if err != nil {
			t.Fatal(err)
		}
		if got := kc.Diagnose(t.Context()); !got.OK || len(got.Problems) > 0 || got.Credentials != "unchecked" {
			t.Errorf("%s: Diagnose = %s %+v, want OK, unchecked\n%s", name, got.Credentials, got.Problems, got)
		}
		_ = kc.Close()
	}
}

// TestDiagnoseOrdersKeys: Keycloak lists its keys in any order; the report begins with those that can be used.
func TestDiagnoseOrdersKeys(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t) // lists its key for encryption first
	got := newPlugin(t, srv).Diagnose(t.Context()).Keys
	if len(got) != 2 || !got[0].Usable || got[1].Usable {
		t.Errorf("Keys = %+v, want the usable one first", got)
	}
}

// TestDiagnoseJSON: the shape that dashboards of the Python package read.
func TestDiagnoseJSON(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t, keycloaktest.WithTLS(keycloaktest.Valid))
	report := newPlugin(t, srv, trusting(srv)).Diagnose(t.Context())
	for name, marshal := range map[string]func() ([]byte, error){
		"encoding/json": func() ([]byte, error) { return stdjson.Marshal(report) },
		"v2":            func() ([]byte, error) { return json.Marshal(&report) },
	} {
		text, err := marshal()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got map[string]any
		if err := stdjson.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if got["server_url"] != srv.URL() || got["realm"] != "demo" || got["ssl_verification_enabled"] != true || got["ok"] != true {
			t.Errorf("%s: %s", name, text)
		}
		for _, endpoint := range []string{"oidc_discovery_status", "jwks_uri_status", "introspection_endpoint_status", "token_endpoint_status"} {
			status, _ := got[endpoint].(map[string]any)
			if status["status"] != "OK" || status["cert_valid"] != true || status["latency_ms"] == 0.0 || status["message"] == "" {
				t.Errorf("%s: %s = %v", name, endpoint, status)
			}
			for _, member := range []string{"endpoint_url", "cert_expiry_days_remaining"} {
				if status[member] == nil {
					t.Errorf("%s: %s has no %s", name, endpoint, member)
				}
			}
		}
	}
}

// TestDiagnosticsHandler answers with the report.
func TestDiagnosticsHandler(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.GET("/diagnostics", a.kc.RequireRoles("admin"), a.kc.DiagnosticsHandler())
	checkKind(t, "without a token", a.get(t, "/diagnostics", ""), kindNone)
	got := a.get(t, "/diagnostics", a.keycloak.Token(keycloaktest.ForUser("alice")))
	if got.status != 200 || !strings.Contains(got.body, `"ok":true`) || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("GET /diagnostics = %d %s", got.status, got.body)
	}
}

// TestDiagnoseKeepsSecrets: a marked secret through all faults, and nothing of it in reports and logs.
func TestDiagnoseKeepsSecrets(t *testing.T) {
	t.Parallel()
	for _, fault := range []keycloaktest.Fault{nil, keycloaktest.Status(401), keycloaktest.Status(500), keycloaktest.Hangup(), keycloaktest.Answer(400, "text/plain", mark)} {
		srv := keycloaktest.New(t)
		if fault != nil {
			srv.Fail(keycloaktest.All, fault)
		}
		log := new(logBuffer)
		report := newPlugin(t, srv, ginkeycloak.WithClientSecret(mark), ginkeycloak.WithLogger(log.logger())).Diagnose(t.Context())
		encoded, err := stdjson.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		checkNoMark(t, "report", "", fmt.Sprintf("%v %+v %#v", report, report.Problems, report.Discovery)+string(encoded)+log.String())
	}
}

// TestReportFitsATerminal: what Keycloak, or whoever answers in its place, says does not command the terminal.
func TestReportFitsATerminal(t *testing.T) {
	t.Parallel()
	const evil = "\x1b[2J\r\n\u202e evil"
	srv := keycloaktest.New(t)
	srv.AddKeyJSON(`{"kid":"\u001b[2J","kty":"oct","k":"AAAA","alg":"\u001b","use":"\r\n"}`)
	srv.Fail(keycloaktest.Discovery, keycloaktest.Edited(func(body map[string]any) {
		body["issuer"] = evil + strings.Repeat("x", 100_000)
		body["token_endpoint"] = "https://evil.example/" + url.PathEscape(evil) + evil
	}))
	for _, line := range strings.Split(newPlugin(t, srv).Diagnose(t.Context()).String(), "\n") {
		if strings.ContainsAny(line, "\x1b\r\u202e") || len(line) > 2000 {
			t.Errorf("line %.300q, want visible characters, and not so many", line)
		}
	}
}

// TestDiagnoseLeavesThingsAlone: a look costs each endpoint one request and changes nothing here.
func TestDiagnoseLeavesThingsAlone(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithIntrospection())
	token := a.keycloak.Token(keycloaktest.ForUser("alice"))
	checkKind(t, "before", a.get(t, "/me", token), kindOK)
	a.keycloak.Fail(keycloaktest.Introspection, keycloaktest.Hangup())
	for range 10 {
		a.kc.Diagnose(t.Context())
	}
	a.keycloak.Heal()
	a.keycloak.ResetCalls()
	checkKind(t, "after ten failed diagnoses, which open no breaker", a.get(t, "/me", a.keycloak.Token()), kindOK)
	if text := a.log.String(); strings.Contains(text, "WARN") || strings.Contains(text, "ERROR") {
		t.Errorf("log = %s, want nothing: the report says it all", text)
	}
}

// TestDiagnoseEndsWithItsContext and leaves no goroutine, which TestMain sees.
func TestDiagnoseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	srv.Fail(keycloaktest.All, keycloaktest.Hang())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	got := newPlugin(t, srv, patient).Diagnose(ctx)
	if took := time.Since(begin); took > 30*time.Second || got.OK {
		t.Errorf("Diagnose with a context of 50 ms took %v, OK %t", took, got.OK)
	}
}

// TestDiagnoseThroughATransport: a transport that shows no connection is asked all the same.
func TestDiagnoseThroughATransport(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t, keycloaktest.InMemory())
	got := newPlugin(t, srv, ginkeycloak.WithHTTPClient(&http.Client{Transport: srv.Transport()})).Diagnose(t.Context())
	if !got.OK || got.Discovery.TLS != nil || got.Discovery.Address != "" {
		t.Errorf("Diagnose in memory:\n%s", got)
	}
}

// TestDiagnoseThroughAProxy: the layers below are the proxy's, so they are not looked at.
func TestDiagnoseThroughAProxy(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	direct := new(http.Transport)
	t.Cleanup(direct.CloseIdleConnections)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RequestURI = ""
		r.URL.Host = strings.TrimPrefix(srv.URL(), "http://")
		resp, err := direct.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(proxy.Close)
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(at)}
	t.Cleanup(transport.CloseIdleConnections)
	got := newPlugin(t, srv, ginkeycloak.WithHTTPClient(&http.Client{Transport: transport})).Diagnose(t.Context())
	if !got.OK || got.Discovery.Proxy != at.Host {
		t.Errorf("Diagnose through a proxy = %+v\n%s", got.Discovery, got)
	}
}

func codeOf(err error) ginkeycloak.Code {
	e, ok := err.(*ginkeycloak.Error) //nolint:errorlint // Authenticate promises just that
	if !ok {
		return ""
	}
	return e.Code
}

// TestPythonFault12ImplicitFlow: Swagger logged in by the implicit flow, which puts tokens into addresses.
func TestPythonFault12ImplicitFlow(t *testing.T) {
	t.Parallel()
	a := swaggerAPI(t) // its document asks for the implicit flow
	flows := 0
	for _, path := range swaggerFiles(t, a, "/swagger") {
		got := a.get(t, path, "")
		if !strings.HasSuffix(path, ".json") {
			continue // the code of Swagger UI, which knows all flows
		}
		if strings.Contains(got.body, "implicit") {
			t.Errorf("GET %s = %s, want no implicit flow", path, got.body)
		}
		flows += strings.Count(got.body, `"accessCode"`) + strings.Count(got.body, `"authorizationCode"`)
	}
	if flows == 0 {
		t.Error("no document names the authorization code flow")
	}
}
