// Package kcdoctor_test runs the command kcdoctor against a real Keycloak: on a good set-up and on broken ones. What it
// says stands in docs/troubleshooting.md; go test ./kcdoctor -update writes it there.
package kcdoctor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/c0mpiler/ginkeycloak/integration/keycloak"
)

var update = flag.Bool("update", false, "write what kcdoctor says into docs/troubleshooting.md")

const (
	document  = "../../docs/troubleshooting.md"
	realmFile = "../testdata/demo-realm.json"
)

func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// start starts a Keycloak. Without Java or Maven it skips the test, or fails it where CI=true.
func start(t *testing.T) *keycloak.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // a first download included
	defer cancel()
	s, err := keycloak.Start(ctx, keycloak.Options{RealmFile: realmFile})
	var missing *keycloak.MissingError
	if errors.As(err, &missing) && os.Getenv("CI") != "true" {
		t.Skipf("NOT TESTED on a real Keycloak: %v", missing)
	}
	if err != nil {
		t.Fatalf("real Keycloak: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// build builds the command.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "kcdoctor")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/kcdoctor")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build kcdoctor: %v\n%s", err, out)
	}
	return binary
}

// secure puts TLS in front of a server, as a proxy does, and returns its address and the file of its certificate.
func secure(t *testing.T, server string) (address, ca string) {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	transport := new(http.Transport)
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
		},
	})
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // it will be asked over http
	front.StartTLS()
	t.Cleanup(func() {
		front.Close()
		transport.CloseIdleConnections()
	})
	ca = filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	if err := os.WriteFile(ca, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	return front.URL, ca
}

// login is alice's access token for orders-api.
func login(t *testing.T, issuer string) string {
	t.Helper()
	form := url.Values{"grant_type": {"password"}, "client_id": {"orders-api"}, "client_secret": {"s3cret"}, "username": {"alice"}, "password": {"alice"}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, issuer+"/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("login: status %d, %v", resp.StatusCode, err)
	}
	return answer.AccessToken
}

// setUp is a way to run kcdoctor, and what its first line has to name.
type setUp struct {
	name  string // as in the document
	args  []string
	token bool // alice's is on standard input
	code  int
	first []string // words of the first line
}

func TestDoctorOnARealKeycloak(t *testing.T) {
	s := start(t)
	binary := build(t)
	token := login(t, s.Issuer())
	https, ca := secure(t, s.URL())
	plain := strings.Replace(https, "https:", "http:", 1)
	elsewhere := strings.Replace(s.Issuer(), "127.0.0.1", "localhost", 1)

	admin, err := s.CreateRealm(t.Context(), "secured", realmFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.UpdateRealm(t.Context(), map[string]any{"attributes": map[string]any{"frontendUrl": https}}); err != nil {
		t.Fatal(err)
	}

	client := func(issuer string, more ...string) []string {
		return append([]string{"-issuer", issuer, "-client-id", "orders-api", "-client-secret-env", "SECRET"}, more...)
	}
	setUps := []setUp{
		{"good", client(s.Issuer()), false, 0, []string{"ok ", `realm "demo"`, `client "orders-api" are accepted`}},
		{"good token", client(s.Issuer(), "-token", "-", "-role", "admin"), true, 0, []string{"ok ", "The token is valid"}},
		{"wrong realm", client(s.URL() + "/realms/production"), false, 1, []string{"FAIL", `no realm "production"`}},
		{"wrong audience", []string{"-issuer", s.Issuer(), "-audience", "invoices-api", "-token", "-"}, true, 1, []string{"FAIL", `aud is ["orders-api"]`, `expects "invoices-api"`}},
		{"wrong secret", []string{"-issuer", s.Issuer(), "-client-id", "orders-api", "-client-secret-env", "WRONG"}, false, 1, []string{"FAIL", `credentials of client "orders-api"`}},
		{"http instead of https", client(plain + "/realms/demo"), false, 1, []string{"FAIL", "speaks TLS", "over http"}},
		{"another host name", client(elsewhere, "-token", "-"), true, 1, []string{"FAIL", "iss is", "localhost", "only in the host"}},
		{"proxy", client(https+"/realms/demo", "-ca", ca), false, 1, []string{"FAIL", "only in the scheme"}},
		{"https", client(https+"/realms/secured", "-ca", ca), false, 0, []string{"ok ", `realm "secured"`}},
		{"unknown authority", client(https + "/realms/demo"), false, 1, []string{"FAIL", "certificate", "trusts"}},
	}
	outputs := make(map[string]string)
	for _, tt := range setUps {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), binary, tt.args...)
			cmd.Env = append(os.Environ(), "SECRET=s3cret", "WRONG=guessed")
			if tt.token {
				cmd.Stdin = strings.NewReader(token + "\n")
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || stderr.Len() > 0 {
				t.Errorf("kcdoctor %q exits with %d, %v, want %d; standard error: %s", tt.args, code, err, tt.code, &stderr)
			}
			first, _, _ := strings.Cut(string(out), "\n")
			for _, word := range tt.first {
				if !strings.Contains(first, word) {
					t.Errorf("first line = %q, want %q in it\n%s", first, word, out)
				}
			}
			if lines := bytes.Count(out, []byte("\n")); lines > 40 {
				t.Errorf("%d lines, want no more than fit on a screen", lines)
			}
			for _, secret := range append(strings.Split(token, "."), "s3cret", "guessed") {
				if strings.Contains(string(out), secret) {
					t.Errorf("the output has %.20q in it: %s", secret, out)
				}
			}
			outputs[tt.name] = tame(string(out))
		})
	}
	if t.Failed() || s.Version() != keycloak.DefaultVersion {
		return // other versions have other features
	}
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	want := embed(t, string(text), outputs)
	if want == string(text) {
		return
	}
	if !*update {
		t.Errorf("%s does not show what kcdoctor says; go test ./kcdoctor -update writes:\n%s", document, want)
		return
	}
	if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tame replaces what is another one in each run: ports, times, and the IDs of keys.
func tame(text string) string {
	for _, r := range []struct{ pattern, with string }{
		{`(127\.0\.0\.1|localhost):\d+`, "$1:8080"},
		{` in \d+ ms`, " in 5 ms"},
		{`\bin \d+ (s|min)\b`, "in 4 min"},
		{`\b\d+ s ago`, "1 s ago"},
		{`(RS256 sig|RSA-OAEP enc) [\w-]{20,}`, "$1 AbCdEf…"},
		{`"[\w-]{43}"`, `"AbCdEf…"`},
		{` \(\d+ days\)`, " (3650 days)"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.with)
	}
	return strings.TrimRight(text, "\n")
}

var place = regexp.MustCompile("(?s)<!-- kcdoctor: ([^>]+) -->\n\n```text\n.*?\n?```")

// embed puts outputs where the document names them.
func embed(t *testing.T, text string, outputs map[string]string) string {
	t.Helper()
	return place.ReplaceAllStringFunc(text, func(block string) string {
		name := place.FindStringSubmatch(block)[1]
		output, ok := outputs[name]
		if !ok {
			t.Errorf("%s names a run %q that there is not", document, name)
			return block
		}
		delete(outputs, name)
		return fmt.Sprintf("<!-- kcdoctor: %s -->\n\n```text\n%s\n```", name, output)
	})
}
