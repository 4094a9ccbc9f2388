package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// outcome is what a run of the command shows.
type outcome struct {
	code     int
	out, err string
}

// first is the first line of the output.
func (o outcome) first() string {
	line, _, _ := strings.Cut(o.out, "\n")
	return line
}

// doctor runs the command with the secret of orders-api in SECRET and a token on its standard input.
func doctor(t *testing.T, colour bool, token string, args ...string) outcome {
	t.Helper()
	var out, stderr bytes.Buffer
	p := &program{
		in: strings.NewReader(token), out: &out, err: &stderr, colour: colour,
		getenv: func(name string) string { return map[string]string{"SECRET": "s3cret", "WRONG": "guessed-wr0ng"}[name] },
	}
	code := p.run(t.Context(), args)
	return outcome{code, out.String(), stderr.String()}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	client := []string{"-client-id", "orders-api", "-client-secret-env", "SECRET"}
	tests := []struct {
		name  string
		token string
		args  []string
		code  int
		first string
	}{
		{"a good set-up", "", client, exitWell, `ok    Keycloak answers for realm "demo"`},
		{"without a client", "", []string{"-audience", "orders-api"}, exitWell, "ok    Keycloak answers"},
		{"a good token", srv.Token(), append(client, "-token", "-"), exitWell, "ok    The token is valid"},
		{"a good token with a line break", srv.Token() + "\r\n", append(client, "-token", "-"), exitWell, "ok    The token is valid"},
		{"a good token, introspected", srv.Token(), append(client, "-token", "-", "-introspect"), exitWell, "ok    The token is valid"},
		{"no token where one should be", "", append(client, "-token", "-"), exitFound, "FAIL  There is no token"},
		{"an ID token", srv.IDToken(), append(client, "-token", "-"), exitFound, "FAIL  This is an ID token"},
		{"a token for others", srv.Token(keycloaktest.Audience("account")), append(client, "-token", "-"), exitFound, `FAIL  aud is ["account"]; this API expects "orders-api"`},
		{"any audience", srv.Token(keycloaktest.Audience("account")), []string{"-any-audience", "-token", "-"}, exitWell, "ok    The token is valid"},
		{"a role that is not there", srv.Token(), append(client, "-token", "-", "-role", "admin"), exitFound, `FAIL  The token lacks the role ["admin"]`},
		{"roles and all that are there", srv.Token(keycloaktest.ForUser("alice")),
			append(client, "-token", "-", "-role", "admin,viewer", "-client-role", "orders-api:manage", "-group", "/eng", "-scope", "email"), exitWell, "ok    The token is valid"},
		{"a wrong secret", srv.Token(), []string{"-client-id", "orders-api", "-client-secret-env", "WRONG", "-token", "-"}, exitFound, `FAIL  Keycloak does not accept the credentials of client "orders-api"`},
		{"other algorithms", "", append(client, "-alg", "ES256"), exitFound, "FAIL  None of the"},
		{"an internal address", "", append(client, "-internal-url", srv.URL()), exitWell, "ok    Keycloak answers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := slices.Concat([]string{"-issuer", srv.Issuer()}, tt.args)
			got := doctor(t, false, tt.token, args...)
			if got.code != tt.code || !strings.HasPrefix(got.first(), tt.first) {
				t.Errorf("kcdoctor %q = %d\n%s%s\nwant %d and first %q", tt.args, got.code, got.out, got.err, tt.code, tt.first)
			}
			if got.err != "" {
				t.Errorf("standard error = %s, want nothing", got.err)
			}
			checkSilent(t, tt.token, got)
			if coloured := doctor(t, true, tt.token, args...); !strings.HasPrefix(coloured.out, "\x1b[") || strings.Contains(got.out, "\x1b") {
				t.Errorf("with colour the output begins with %.20q; without, it has an escape: %t", coloured.out, strings.Contains(got.out, "\x1b"))
			}

			var decoded struct {
				OK          bool
				Headline    string
				Report      struct{ Realm string }
				Explanation *struct{ Valid bool }
			}
			asJSON := doctor(t, true, tt.token, append(args, "-json")...)
			if err := json.Unmarshal([]byte(asJSON.out), &decoded); err != nil {
				t.Fatalf("-json = %s: %v", asJSON.out, err)
			}
			if asJSON.code != got.code || decoded.OK != (got.code == exitWell) || !strings.Contains(got.first(), decoded.Headline) || decoded.Report.Realm != "demo" {
				t.Errorf("-json = %d %+v, want what %q says", asJSON.code, decoded, got.first())
			}
			checkSilent(t, tt.token, asJSON)
		})
	}
}

// checkSilent checks that neither the token nor a secret is shown.
func checkSilent(t *testing.T, token string, got outcome) {
	t.Helper()
	secrets := []string{"s3cret", "guessed-wr0ng"}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 24 {
			secrets = append(secrets, part[:24])
		}
	}
	for _, secret := range secrets {
		if strings.Contains(got.out+got.err, secret) {
			t.Errorf("the output shows %q: %s%s", secret, got.out, got.err)
		}
	}
}

func TestDoctorIsNotAskedProperly(t *testing.T) {
	t.Parallel()
	const secret = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9"
	issuer := []string{"-issuer", "https://sso.example.com/realms/demo"}
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, "-issuer is missing"},
		{"no audience", issuer, "WithAudience"},
		{"no address", []string{"-issuer", "demo", "-audience", "a"}, "WithIssuer"},
		{"an unknown flag", append(issuer, "-nosuch"), "-nosuch"},
		{"a token as argument", append(issuer, "-audience", "a", secret), "without a flag"},
		{"a token in place of its file", append(issuer, "-audience", "a", "-token", secret), "names a file"},
		{"a secret in place of its variable", append(issuer, "-client-id", "a", "-client-secret-env", secret), "no such environment variable"},
		{"an empty audience", append(issuer, "-audience", ""), "empty"},
		{"a client role without a client", append(issuer, "-audience", "a", "-client-role", "admin"), "client:role"},
		{"introspection without a secret", append(issuer, "-audience", "a", "-introspect"), "WithIntrospection"},
		{"a CA that is not there", append(issuer, "-audience", "a", "-ca", "nosuch.pem"), "nosuch.pem"},
		{"a CA that is none", append(issuer, "-audience", "a", "-ca", "main.go"), "no certificate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := doctor(t, false, "", tt.args...)
			if got.code != exitUsage || !strings.Contains(got.err, tt.want) || got.out != "" {
				t.Errorf("kcdoctor %q = %d, %q, %q; want %d and %q", tt.args, got.code, got.out, got.err, exitUsage, tt.want)
			}
			if strings.Contains(got.err, secret) {
				t.Errorf("the message shows what may be a secret: %s", got.err)
			}
		})
	}
	if got := doctor(t, false, "", "-help"); got.code != exitWell || !strings.Contains(got.err, "exits with 0") {
		t.Errorf("kcdoctor -help = %d %s, want 0 and the exit codes", got.code, got.err)
	}
}

func TestDoctorReadsATokenFromAFile(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(srv.Token()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := doctor(t, false, "", "-issuer", srv.Issuer(), "-audience", "orders-api", "-token", file); got.code != exitWell {
		t.Errorf("kcdoctor -token file = %d %s %s, want 0", got.code, got.out, got.err)
	}
}

// TestDoctorAndCertificates: a CA of one's own mends what its absence breaks, and -insecure does not hide it.
func TestDoctorAndCertificates(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t, keycloaktest.WithTLS(keycloaktest.Valid))
	args := []string{"-issuer", srv.Issuer(), "-audience", "orders-api"}
	if got := doctor(t, false, "", args...); got.code != exitFound || !strings.Contains(got.first(), "whom nobody here trusts") {
		t.Errorf("kcdoctor with an unknown CA = %d %s, want 1 and its name", got.code, got.first())
	}
	if got := doctor(t, false, "", append(args, "-insecure")...); got.code != exitWell || !strings.Contains(got.out, "not verified") ||
		!strings.Contains(got.out, "this one would be refused") {
		t.Errorf("kcdoctor -insecure = %d %s, want 0 and a warning", got.code, got.out)
	}
}

func TestDoctorEndsInTime(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	srv.Fail(keycloaktest.All, keycloaktest.Hang())
	got := doctor(t, false, "", "-issuer", srv.Issuer(), "-audience", "orders-api", "-timeout", "200ms")
	if got.code != exitFound || !strings.Contains(got.first(), "does not answer") {
		t.Errorf("kcdoctor of a server that hangs = %d %s, want 1 and that it does not answer", got.code, got.out)
	}
}
