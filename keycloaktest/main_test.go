package keycloaktest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(a.body), &o); err != nil {
		t.Fatalf("body %q is no JSON object: %v", a.body, err)
	}
	return o
}

// do sends a request in memory, following no redirect.
func do(t *testing.T, s *keycloaktest.Server, r *http.Request) answer {
	t.Helper()
	response, err := s.Transport().RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

func get(t *testing.T, s *keycloaktest.Server, path string) answer {
	t.Helper()
	return do(t, s, newRequest(t, http.MethodGet, s.URL()+path, nil))
}

// form is what a test posts; the header is for clients that authenticate by it.
type form map[string]string

func (f form) values() url.Values {
	v := url.Values{}
	for name, value := range f {
		v.Set(name, value)
	}
	return v
}

func newRequest(t *testing.T, method, target string, f form) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(f.values().Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if f != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

// post posts to an endpoint below protocol/openid-connect, as orders-api unless the form says otherwise.
func post(t *testing.T, s *keycloaktest.Server, tail string, f form) answer {
	t.Helper()
	r := newRequest(t, http.MethodPost, s.URL()+"/realms/"+s.Realm()+"/protocol/openid-connect"+tail, f)
	if f["client_id"] == "" && f["client_assertion"] == "" {
		r.SetBasicAuth("orders-api", "s3cret")
	}
	return do(t, s, r)
}

// tokens gets tokens by the password grant.
func tokens(t *testing.T, s *keycloaktest.Server, more form) map[string]any {
	t.Helper()
	f := form{"grant_type": "password", "username": "alice", "password": "alice", "scope": "openid"}
	for name, value := range more {
		f[name] = value
	}
	a := post(t, s, "/token", f)
	if a.status != http.StatusOK {
		t.Fatalf("POST token %v = %d %s", f, a.status, a.body)
	}
	return a.json(t)
}

// decode reads header and claims of a token without looking at the signature.
func decode(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	for i, into := range []*map[string]any{&header, &claims} {
		if err := json.Unmarshal([]byte(part(t, token, i)), into); err != nil {
			t.Fatalf("part %d of the token: %v", i, err)
		}
	}
	return header, claims
}

func part(t *testing.T, token string, i int) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("token has %d parts, want 3", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		t.Fatalf("part %d of the token: %v", i, err)
	}
	return string(text)
}

// brief writes any JSON value in a form that compares well.
func brief(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// es256 starts a server that makes its own key at no cost and opens no socket.
func es256(t *testing.T, opts ...keycloaktest.Option) *keycloaktest.Server {
	t.Helper()
	return keycloaktest.New(t, append([]keycloaktest.Option{
		keycloaktest.WithAlgorithm("ES256"), keycloaktest.InMemory(),
	}, opts...)...)
}

// doomed is a test that is about to be ended.
type doomed struct{ cleanup []func() }

func (*doomed) Helper()                           {}
func (d *doomed) Cleanup(f func())                { d.cleanup = append(d.cleanup, f) }
func (*doomed) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// fatal is what f ends a test with, "" if nothing.
func fatal(f func(tb keycloaktest.TB)) (message string) {
	d := &doomed{}
	defer func() {
		if p := recover(); p != nil {
			message = fmt.Sprint(p)
		}
		for _, cleanup := range d.cleanup {
			cleanup()
		}
	}()
	f(d)
	return ""
}
