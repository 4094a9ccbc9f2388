package ginkeycloak_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// recorder notes what its trace is told, a line for each.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

// take returns the lines since the last take.
func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := strings.Join(r.lines, "\n")
	r.lines = nil
	return lines
}

func (r *recorder) trace() *ginkeycloak.Trace {
	return &ginkeycloak.Trace{
		Created: func(p *ginkeycloak.Plugin) { r.note("created %s", p.Stats().Realm) },
		Authenticated: func(_ context.Context, e ginkeycloak.Authenticated) {
			r.note("authenticated %s %q cached %t", e.Method, e.Code, e.Cached)
		},
		Refused:     func(_ context.Context, e ginkeycloak.Refused) { r.note("refused %s %s", e.Code, e.Route) },
		KeyLooked:   func(_ context.Context, e ginkeycloak.KeyLooked) { r.note("key held %t", e.Held) },
		KeysChanged: func(e ginkeycloak.KeysChanged) { r.note("keys %s %d", e.State, e.Keys) },
		Introspected: func(_ context.Context, e ginkeycloak.Introspected) {
			r.note("introspected %q remembered %t", e.Code, e.Remembered)
		},
		Refreshed: func(_ context.Context, e ginkeycloak.Refreshed) { r.note("refreshed %q", e.Code) },
		CallStarted: func(ctx context.Context, e ginkeycloak.CallStarted) context.Context {
			e.Header.Set("X-Trace", string(e.Call))
			return context.WithValue(ctx, r, e.Call)
		},
		CallDone: func(ctx context.Context, e ginkeycloak.CallDone) {
			r.note("call %s %d %q context %v", e.Call, e.Status, e.Code, ctx.Value(r))
		},
	}
}

// tracedAPI is an API with a recorder on it.
func tracedAPI(t *testing.T, opts ...ginkeycloak.Option) (*api, *recorder) {
	t.Helper()
	r := new(recorder)
	a := inMemory(t, append(opts, ginkeycloak.WithTrace(r.trace()))...)
	return a, r
}

func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var header sync.Map
		a, r := tracedAPI(t)
		a.keycloak.OnRequest(func(e keycloaktest.Endpoint, req *http.Request) { header.Store(e, req.Header.Get("X-Trace")) })
		a.GET("/admin", a.kc.RequireRoles("admin"))
		a.kc.RegisterRefreshRoute(a)
		expect := func(what, want string) {
			t.Helper()
			if got := r.take(); got != want {
				t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
			}
		}
		expect("New", "created demo")

		token := a.keycloak.Token()
		a.get(t, "/me", token)
		expect("first request", `key held false
call discovery 200 "" context discovery
call key_set 200 "" context key_set
keys fresh 1
authenticated local "" cached false`)
		for _, e := range []keycloaktest.Endpoint{keycloaktest.Discovery, keycloaktest.KeySet} {
			if got, _ := header.Load(e); got == "" || got == nil {
				t.Errorf("the field that CallStarted added did not reach %v", e)
			}
		}
		a.get(t, "/admin", token)
		expect("no role", "authenticated local \"\" cached true\nrefused missing_roles /admin")
		a.get(t, "/me", "")
		expect("no token", "authenticated local \"missing_header\" cached false\nrefused missing_header /me")

		a.keycloak.RotateKeys()
		time.Sleep(time.Second)
		a.get(t, "/me", a.keycloak.Token())
		expect("rotation", `key held false
call key_set 200 "" context key_set
keys rotated 2
authenticated local "" cached false`)

		refreshed := a.keycloak.RefreshToken()
		a.post(t, "/auth/refresh", refreshed)
		a.post(t, "/auth/refresh", "nonsense")
		expect("refresh", `call token 200 "" context token
refreshed ""
call token 400 "" context token
refreshed "token_refresh_failed"
refused token_refresh_failed /auth/refresh`)

		a.keycloak.Stop()
		time.Sleep(25 * time.Hour)
		a.get(t, "/me", a.keycloak.Token())
		expect("stale", `key held false
call discovery 0 "keycloak_connection_error" context discovery
call key_set 0 "keycloak_connection_error" context key_set
keys unfetched 2
keys stale 0
authenticated local "keycloak_connection_error" cached false
refused keycloak_connection_error /me`)
		if s := a.kc.Stats(); s.Keys != 0 || s.KeysFetchedAt.IsZero() {
			t.Errorf("Stats = %+v, want no usable keys and when they were fetched", s)
		}
	})
}

func TestTraceOfIntrospection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, r := tracedAPI(t, ginkeycloak.WithIntrospection())
		token := a.keycloak.Token()
		r.take()
		a.get(t, "/me", token)
		a.get(t, "/me", token)
		if got, want := r.take(), `call discovery 200 "" context discovery
call introspection 200 "" context introspection
introspected "" remembered false
authenticated introspection "" cached false
introspected "" remembered true
authenticated introspection "" cached false`; got != want {
			t.Errorf("two requests:\n%s\nwant:\n%s", got, want)
		}
		s := a.kc.Stats()
		if s.ActiveTokens != 1 || s.Breakers[ginkeycloak.CallIntrospection] != ginkeycloak.BreakerClosed || s.ClientID != "orders-api" {
			t.Errorf("Stats = %+v, want one active token and a closed breaker", s)
		}
	})
}

// A certificate that is about to expire is told of once, while there is still time.
func TestExpiringCertificateIsLoggedOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		until time.Duration // from now to the end of the certificate
		lines int
	}{
		"29 days left": {29 * 24 * time.Hour, 1},
		"31 days left": {31 * 24 * time.Hour, 0},
	} {
		srv := keycloaktest.New(t, keycloaktest.WithTLS(keycloaktest.Valid))
		conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: srv.RootCAs(), MinVersion: tls.VersionTLS12}}).
			DialContext(t.Context(), "tcp", strings.TrimPrefix(srv.URL(), "https://"))
		if err != nil {
			t.Fatal(err)
		}
		end := conn.(*tls.Conn).ConnectionState().PeerCertificates[0].NotAfter
		_ = conn.Close()
		log := new(logBuffer)
		kc := newPlugin(t, srv, ginkeycloak.WithRootCAs(srv.RootCAs()), ginkeycloak.WithLogger(log.logger()),
			ginkeycloak.WithClock(func() time.Time { return end.Add(-tt.until) }))
		for range 2 {
			if err := kc.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Count(log.String(), "certificate expires soon"); got != tt.lines {
			t.Errorf("%s: %d lines in the log, want %d: %s", name, got, tt.lines, log)
		}
	}
}

// Several traces are all told, and one with no hooks at all is fine.
func TestTracesAddUp(t *testing.T) {
	t.Parallel()
	one, two := new(recorder), new(recorder)
	a := newAPI(t, ginkeycloak.WithTrace(one.trace(), &ginkeycloak.Trace{}), ginkeycloak.WithTrace(two.trace()))
	a.get(t, "/me", a.keycloak.Token())
	if got, want := one.take(), two.take(); got != want || got == "" {
		t.Errorf("one was told:\n%s\nthe other:\n%s", got, want)
	}
}

// A trace that panics lets nobody in and does not end the process.
func TestTraceThatPanics(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithTrace(&ginkeycloak.Trace{
		CallDone: func(context.Context, ginkeycloak.CallDone) { panic("trace") },
	}))
	a.Engine = gin.New()
	a.Use(a.kc.Middleware())
	a.GET("/me", a.me)
	if got := a.get(t, "/me", a.keycloak.Token()); got.status != http.StatusServiceUnavailable || got.ran {
		t.Errorf("with a panicking trace: %d %s, want 503", got.status, got.body)
	}
}

// What nobody listens to costs nothing.
func TestAllocTrace(t *testing.T) {
	skipUnderRace(t)
	srv := keycloaktest.New(t)
	token := srv.Token()
	count := func(opts ...ginkeycloak.Option) float64 {
		kc := newPlugin(t, srv, opts...)
		return testing.AllocsPerRun(100, func() {
			if _, err := kc.Authenticate(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
	if without, with := count(), count(ginkeycloak.WithTrace(&ginkeycloak.Trace{})); with > without {
		t.Errorf("%v allocations with an empty trace, %v without one, want no more", with, without)
	}
}
