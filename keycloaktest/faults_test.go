package keycloaktest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// TestFaults lets every fault happen over a socket and in memory: both must tell the same story.
func TestFaults(t *testing.T) {
	const big = 3<<20 + 17
	tests := []struct {
		name   string
		fault  keycloaktest.Fault
		status int   // 0: no answer at all
		err    error // while waiting for the answer or reading it
		body   func(string) bool
	}{
		{"hangup", keycloaktest.Hangup(), 0, io.EOF, nil},
		{"hang", keycloaktest.Hang(), 0, context.DeadlineExceeded, nil},
		{"too slow", keycloaktest.Slow(time.Hour), 0, context.DeadlineExceeded, nil},
		{"slow", keycloaktest.Slow(time.Millisecond), 200, nil, isRealm},
		{"stalled", keycloaktest.Stalled(), 200, context.DeadlineExceeded, nil},
		{"truncated", keycloaktest.Truncated(), 200, io.ErrUnexpectedEOF, nil},
		{"status", keycloaktest.Status(503), 503, nil, func(b string) bool { return strings.Contains(b, `"error":"unknown_error"`) }},
		{"answer", keycloaktest.Answer(200, "text/html", "<p>"), 200, nil, func(b string) bool { return b == "<p>" }},
		{"empty answer", keycloaktest.Answer(200, "", ""), 200, nil, func(b string) bool { return b == "" }},
		{"redirect", keycloaktest.RedirectTo("http://evil.example/x"), 302, nil, nil},
		{"huge", keycloaktest.Huge(big), 200, nil, func(b string) bool { return len(b) == big && isRealm(b) }},
		{"gzip bomb", keycloaktest.GzipBomb(big), 200, nil, func(b string) bool { return len(b) == big && isRealm(b) }},
		{
			"edited", keycloaktest.Edited(func(o map[string]any) { o["realm"] = 5; delete(o, "public_key") }), 200, nil,
			func(b string) bool { return strings.Contains(b, `"realm":5`) && !strings.Contains(b, "public_key") },
		},
		{"no longer", keycloaktest.Times(0, keycloaktest.Hangup()), 200, nil, isRealm},
	}
	s := keycloaktest.New(t, keycloaktest.WithAlgorithm("ES256"))
	network := &http.Transport{DisableKeepAlives: true} // a connection reused after Hangup would be tried again
	defer network.CloseIdleConnections()
	for via, transport := range map[string]http.RoundTripper{"network": network, "memory": s.Transport()} {
		for _, tt := range tests {
			t.Run(tt.name+" over "+via, func(t *testing.T) {
				s.Fail(keycloaktest.RealmInfo, tt.fault)
				defer s.Heal()
				s.ResetCalls()
				status, body, err := read(t, transport, s.Issuer())
				if !errors.Is(err, tt.err) || status != tt.status {
					t.Errorf("GET = %d, %v, want %d, %v", status, err, tt.status, tt.err)
				}
				if tt.body != nil && !tt.body(body) {
					t.Errorf("GET = body of %d bytes: %.200q", len(body), strings.TrimSpace(body))
				}
				if got := s.Calls(keycloaktest.RealmInfo); got != 1 {
					t.Errorf("Calls = %d, want 1", got)
				}
			})
		}
	}
}

func isRealm(body string) bool { return strings.Contains(body, `"realm":"demo"`) }

// read gets target in at most 100 ms, or 30 s where no time limit is waited for.
func read(t *testing.T, via http.RoundTripper, target string) (status int, body string, err error) {
	t.Helper()
	limit := 30 * time.Second
	if n := t.Name(); strings.Contains(n, "hang_") || strings.Contains(n, "too_slow") || strings.Contains(n, "stalled") {
		limit = 100 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	response, err := via.RoundTrip(newRequest(t, http.MethodGet, target, nil).WithContext(ctx))
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

func TestFaultsGoByEndpoint(t *testing.T) {
	s := es256(t)
	s.Fail(keycloaktest.All, keycloaktest.Status(500))
	s.Fail(keycloaktest.KeySet, keycloaktest.Status(502))
	status := func(path string) int { return get(t, s, path).status }
	if a, b, c := status("/realms/demo"), status(certs), status("/x"); a != 500 || b != 502 || c != 500 {
		t.Errorf("statuses = %d, %d, %d, want 500, 502, 500", a, b, c)
	}
	s.Heal(keycloaktest.KeySet)
	if got := status(certs); got != 500 {
		t.Errorf("key set after Heal(KeySet) = %d, want All's 500", got)
	}
	s.Heal(keycloaktest.All)
	if got := status(certs); got != 200 {
		t.Errorf("key set after Heal(All) = %d, want 200", got)
	}
	s.Fail(keycloaktest.KeySet, keycloaktest.Times(2, keycloaktest.Status(503)))
	if a, b, c := status(certs), status(certs), status(certs); a != 503 || b != 503 || c != 200 {
		t.Errorf("statuses with Times(2) = %d, %d, %d, want 503, 503, 200", a, b, c)
	}
}

func TestCallsAndOnRequest(t *testing.T) {
	s := es256(t)
	type seen struct {
		endpoint keycloaktest.Endpoint
		token    string
		body     string
	}
	var all []seen
	s.OnRequest(func(e keycloaktest.Endpoint, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		all = append(all, seen{e, r.PostForm.Get("token"), string(body)})
	})
	post(t, s, "/token/introspect", form{"token": "x"})
	get(t, s, "/nowhere")
	s.OnRequest(nil)
	get(t, s, "/realms/demo")
	want := []seen{{keycloaktest.Introspection, "x", "token=x"}, {keycloaktest.All, "", ""}}
	if len(all) != 2 || all[0] != want[0] || all[1] != want[1] {
		t.Errorf("OnRequest saw %v, want %v", all, want)
	}
	if a, b := s.Calls(keycloaktest.Introspection), s.Calls(keycloaktest.All); a != 1 || b != 3 {
		t.Errorf("Calls = %d of introspection, %d of all, want 1 and 3", a, b)
	}
	s.ResetCalls()
	if got := s.Calls(keycloaktest.All); got != 0 {
		t.Errorf("Calls after ResetCalls = %d", got)
	}
}

func TestStopEndsRequestsThatHang(t *testing.T) {
	s := keycloaktest.New(t, keycloaktest.WithAlgorithm("ES256"))
	arrived := make(chan struct{})
	s.OnRequest(func(keycloaktest.Endpoint, *http.Request) { close(arrived) })
	s.Fail(keycloaktest.All, keycloaktest.Hang())
	failed := make(chan error, 1)
	network := &http.Transport{}
	defer network.CloseIdleConnections()
	r := newRequest(t, http.MethodGet, s.URL(), nil)
	go func() {
		response, err := network.RoundTrip(r)
		if err == nil {
			err = response.Body.Close()
		}
		failed <- err
	}()
	<-arrived
	s.Stop()
	if err := <-failed; err == nil {
		t.Error("a request that hangs got an answer from Stop")
	}
}

func TestServerTakesRequestsFromMany(t *testing.T) {
	s := es256(t)
	done := make(chan struct{})
	for range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 20 {
				token := s.Token(keycloaktest.ForUser("alice"), keycloaktest.Lightweight())
				post(t, s, "/token/introspect", form{"token": token})
				get(t, s, certs)
				tokens(t, s, nil)
				s.Fail(keycloaktest.UserInfo, keycloaktest.Hangup())
				s.Heal(keycloaktest.UserInfo)
				s.LogoutUser("alice")
			}
		}()
	}
	for range 4 {
		s.RotateKeys()
		s.RemoveOldKeys()
	}
	for range 8 {
		<-done
	}
}
