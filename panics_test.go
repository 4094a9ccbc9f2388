package ginkeycloak_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// charge is what a callback of these tests panics with once it is armed. Its value holds the mark, because nobody
// knows what a panic's value holds.
type charge struct {
	armed atomic.Bool
	value any
}

func newCharge() *charge { return &charge{value: errors.New("boom " + mark)} }

func (c *charge) fire() {
	if c.armed.Load() {
		panic(c.value)
	}
}

// panickyHandler is a slog.Handler that panics where it is told to.
type panickyHandler struct {
	slog.Handler

	enabled, handle *charge // nil where it does not
	level           slog.Level
}

func (h panickyHandler) Enabled(_ context.Context, level slog.Level) bool {
	if h.enabled != nil {
		h.enabled.fire()
	}
	return level >= h.level
}

func (h panickyHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.handle != nil {
		h.handle.fire()
	}
	return h.Handler.Handle(ctx, r)
}

type panickyTransport struct {
	*charge

	next http.RoundTripper
}

func (t panickyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.fire()
	return t.next.RoundTrip(r)
}

type panickyDocument struct{ *charge }

func (d panickyDocument) ReadDoc() string {
	d.fire()
	return `{"swagger":"2.0","info":{"title":"t","version":"1"},"paths":{}}`
}

// The requests that make callbacks run.
type visit func(*testing.T, *api) answer

func visitMe(t *testing.T, a *api) answer     { return a.get(t, "/me", a.keycloak.Token()) }
func visitNobody(t *testing.T, a *api) answer { return a.get(t, "/me", "") }
func visitActive(t *testing.T, a *api) answer { return a.get(t, "/active", a.keycloak.Token()) }
func visitOpen(path string) visit {
	return func(t *testing.T, a *api) answer { return a.get(t, path, "") }
}

func visitRefresh(t *testing.T, a *api) answer {
	return a.post(t, "/auth/refresh", a.keycloak.RefreshToken())
}

func visitLogout(t *testing.T, a *api) answer {
	return a.post(t, "/auth/logout", a.keycloak.RefreshToken())
}

// Whatever panics that the program plugged in, there is no recovery in front of it, and the process goes on: the
// request is answered, nobody gets in, and the next one is served as if nothing had been.
func TestPanicsInCallbacks(t *testing.T) {
	t.Parallel()
	const (
		broken = http.StatusInternalServerError // on the request's own goroutine
		down   = http.StatusServiceUnavailable  // on that of a call which several may wait for
	)
	trace := func(hooks func(*charge) *ginkeycloak.Trace) func(*charge) ginkeycloak.Option {
		return func(c *charge) ginkeycloak.Option { return ginkeycloak.WithTrace(hooks(c)) }
	}
	extractor := func(c *charge) ginkeycloak.Option {
		return ginkeycloak.WithTokenExtractor(func(*http.Request) (string, error) { c.fire(); return "", nil })
	}
	errorHandler := func(c *charge) ginkeycloak.Option {
		return ginkeycloak.WithErrorHandler(func(*gin.Context, *ginkeycloak.Error) { c.fire() })
	}
	halfWritten := func(c *charge) ginkeycloak.Option {
		return ginkeycloak.WithErrorHandler(func(g *gin.Context, _ *ginkeycloak.Error) { g.Writer.WriteHeaderNow(); c.fire() })
	}
	authenticated := trace(func(c *charge) *ginkeycloak.Trace {
		return &ginkeycloak.Trace{Authenticated: func(context.Context, ginkeycloak.Authenticated) { c.fire() }}
	})
	refused := trace(func(c *charge) *ginkeycloak.Trace {
		return &ginkeycloak.Trace{Refused: func(context.Context, ginkeycloak.Refused) { c.fire() }}
	})
	looked := trace(func(c *charge) *ginkeycloak.Trace {
		return &ginkeycloak.Trace{KeyLooked: func(context.Context, ginkeycloak.KeyLooked) { c.fire() }}
	})
	changed := trace(func(c *charge) *ginkeycloak.Trace {
		return &ginkeycloak.Trace{KeysChanged: func(ginkeycloak.KeysChanged) { c.fire() }}
	})
	introspected := trace(func(c *charge) *ginkeycloak.Trace {
		return &ginkeycloak.Trace{Introspected: func(context.Context, ginkeycloak.Introspected) { c.fire() }}
	})
	refreshed := trace(func(c *charge) *ginkeycloak.Trace {
		return &ginkeycloak.Trace{Refreshed: func(context.Context, ginkeycloak.Refreshed) { c.fire() }}
	})
	started := trace(func(c *charge) *ginkeycloak.Trace {
		return &ginkeycloak.Trace{CallStarted: func(ctx context.Context, _ ginkeycloak.CallStarted) context.Context { c.fire(); return ctx }}
	})
	noContext := trace(func(c *charge) *ginkeycloak.Trace {
		return &ginkeycloak.Trace{CallStarted: func(ctx context.Context, _ ginkeycloak.CallStarted) context.Context {
			if c.armed.Load() {
				return nil
			}
			return ctx
		}}
	})
	done := trace(func(c *charge) *ginkeycloak.Trace {
		return &ginkeycloak.Trace{CallDone: func(context.Context, ginkeycloak.CallDone) { c.fire() }}
	})
	clock := func(c *charge) ginkeycloak.Option {
		return ginkeycloak.WithClock(func() time.Time { c.fire(); return time.Now() })
	}
	transport := func(c *charge) ginkeycloak.Option {
		return ginkeycloak.WithHTTPClient(&http.Client{Transport: panickyTransport{c, keyless{}}})
	}
	opaque := ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOpaque())

	tests := []struct {
		name   string
		plug   func(*charge) ginkeycloak.Option
		warm   bool  // what is there has been fetched before
		visit  visit // sets it off
		want   int
		silent bool // there is no panic to be logged, or no logger to do it
	}{
		{name: "token extractor", plug: extractor, warm: true, visit: visitMe, want: broken},
		{name: "token extractor, RequireActive", plug: extractor, warm: true, visit: visitActive, want: broken},
		{name: "error handler", plug: errorHandler, warm: true, visit: visitNobody, want: broken},
		{name: "error handler that wrote the status before", plug: halfWritten, warm: true, visit: visitNobody, want: http.StatusUnauthorized},
		{name: "error handler, refresh", plug: errorHandler, warm: true, visit: func(t *testing.T, a *api) answer { return a.post(t, "/auth/refresh", "") }, want: broken},
		{name: "error handler, missing role", plug: errorHandler, warm: true, visit: func(t *testing.T, a *api) answer { return a.get(t, "/role", a.keycloak.Token()) }, want: broken},
		{name: "Authenticated, good token", plug: authenticated, warm: true, visit: visitMe, want: broken},
		{name: "Authenticated, no token", plug: authenticated, warm: true, visit: visitNobody, want: broken},
		{name: "Authenticated, anonymous", plug: authenticated, warm: true, visit: visitOpen("/optional"), want: broken},
		{name: "Refused", plug: refused, warm: true, visit: visitNobody, want: broken},
		{name: "KeyLooked", plug: looked, warm: true, visit: visitMe, want: broken},
		{name: "KeysChanged", plug: changed, visit: visitMe, want: down},
		{name: "Introspected", plug: introspected, warm: true, visit: visitActive, want: down},
		{name: "Refreshed", plug: refreshed, warm: true, visit: visitRefresh, want: down},
		{name: "CallStarted, keys", plug: started, visit: visitMe, want: down},
		{name: "CallStarted, introspection", plug: started, warm: true, visit: visitActive, want: down},
		{name: "CallStarted, refresh", plug: started, warm: true, visit: visitRefresh, want: down},
		{name: "CallStarted, logout", plug: started, warm: true, visit: visitLogout, want: down},
		{name: "CallStarted without a context", plug: noContext, visit: visitMe, want: down},
		{name: "CallDone, keys", plug: done, visit: visitMe, want: down},
		{name: "CallDone, introspection", plug: done, warm: true, visit: visitActive, want: down},
		{name: "CallDone, refresh", plug: done, warm: true, visit: visitRefresh, want: down},
		{name: "CallDone, logout", plug: done, warm: true, visit: visitLogout, want: down},
		{name: "clock", plug: clock, warm: true, visit: visitMe, want: broken},
		{name: "clock, cold", plug: clock, visit: visitMe, want: broken},
		{name: "clock, readiness", plug: clock, warm: true, visit: visitOpen("/health/ready"), want: broken},
		{name: "clock, logout", plug: clock, warm: true, visit: visitLogout, want: down},
		{name: "transport, keys", plug: transport, visit: visitMe, want: down},
		{name: "transport, introspection", plug: transport, warm: true, visit: visitActive, want: down},
		{name: "transport, refresh", plug: transport, warm: true, visit: visitRefresh, want: down},
		{name: "transport, logout", plug: transport, warm: true, visit: visitLogout, want: down},
		{name: "transport, diagnostics", plug: transport, warm: true, visit: visitOpen("/diagnostics"), want: http.StatusOK},
		{
			name: "logger's Enabled", warm: true, visit: visitNobody, want: broken, silent: true,
			plug: func(c *charge) ginkeycloak.Option {
				return ginkeycloak.WithLogger(slog.New(panickyHandler{Handler: slog.DiscardHandler, enabled: c}))
			},
		},
		{
			name: "logger's Handle", warm: true, visit: visitNobody, want: broken, silent: true,
			plug: func(c *charge) ginkeycloak.Option {
				return ginkeycloak.WithLogger(slog.New(panickyHandler{Handler: slog.DiscardHandler, handle: c, level: slog.LevelDebug}))
			},
		},
		{
			name: "logger, Keycloak away", want: down, silent: true,
			plug: func(c *charge) ginkeycloak.Option {
				return ginkeycloak.WithLogger(slog.New(panickyHandler{Handler: slog.DiscardHandler, handle: c}))
			},
			visit: func(t *testing.T, a *api) answer {
				a.keycloak.Stop()
				defer a.keycloak.Restart()
				return visitMe(t, a)
			},
		},
		{
			name: "Swagger document", warm: true, visit: visitOpen("/swagger/doc.json"), want: broken,
			plug: func(*charge) ginkeycloak.Option { return ginkeycloak.WithErrorDetails(true) },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			boom := newCharge()
			a := newAPIFor(t, keycloaktest.New(t, keycloaktest.WithAlgorithm("ES256")), ginkeycloak.WithAlgorithms("ES256"),
				opaque, ginkeycloak.WithErrorDetails(true), tt.plug(boom))
			a.GET("/active", a.kc.RequireActive(), a.me)
			a.GET("/role", a.kc.RequireRoles("nobody"), a.me)
			a.kc.RegisterRefreshRoute(a)
			a.kc.RegisterLogoutRoute(a)
			a.kc.RegisterHealth(a)
			open := a.outside()
			open.GET("/optional", a.kc.OptionalMiddleware(), a.me)
			open.GET("/diagnostics", a.kc.DiagnosticsHandler())
			a.kc.RegisterSwagger(open, panickyDocument{boom})
			if tt.warm {
				checkKind(t, "before", visitMe(t, a), kindOK)
			}

			boom.armed.Store(true)
			got := tt.visit(t, a)
			boom.armed.Store(false)

			if got.status != tt.want || got.ran {
				t.Errorf("with a panic: status %d, handler ran %t, want %d and not: %s", got.status, got.ran, tt.want, got.body)
			}
			if got.status == broken && (got.body != "" || got.header.Get("Cache-Control") != "no-store" ||
				len(got.header["Www-Authenticate"]) > 0 || len(got.header["Retry-After"]) > 0) {
				t.Errorf("the answer to a panic = %v %q, want no-store, nothing of a refusal, and no body", got.header, got.body)
			}
			checkNoMark(t, "answer", "", fmt.Sprint(got.header, got.body))
			if log := a.log.String(); !tt.silent && (!strings.Contains(log, "PANIC") || !strings.Contains(log, "panics_test.go") && !strings.Contains(tt.name, "without")) {
				t.Errorf("log = %s, want a line with the panic and where it was", log)
			}

			for name, visit := range map[string]visit{"token": visitMe, "introspection": visitActive} {
				if got := visit(t, a); got.status != http.StatusOK || !got.ran {
					t.Errorf("%s after the panic: status %d %s, want 200", name, got.status, got.body)
				}
			}
			if got := visitRefresh(t, a); got.status != http.StatusOK {
				t.Errorf("refresh after the panic: status %d %s, want 200", got.status, got.body)
			}
		})
	}
}

// keyless is a transport with a connection for each request, so that none is left.
type keyless struct{}

func (keyless) RoundTrip(r *http.Request) (*http.Response, error) {
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
}

// outside is a group of routes that the API's middleware is not in front of.
func (a *api) outside() *gin.RouterGroup {
	group := a.Group("")
	group.Handlers = nil
	return group
}

// Calls outside of Gin fail as if Keycloak were away: their goroutine is the program's, where nobody may recover.
func TestPanicsOutsideOfGin(t *testing.T) {
	t.Parallel()
	boom := newCharge()
	a := newAPI(t,
		ginkeycloak.WithTrace(&ginkeycloak.Trace{
			Authenticated: func(context.Context, ginkeycloak.Authenticated) { boom.fire() },
			CallStarted:   func(ctx context.Context, _ ginkeycloak.CallStarted) context.Context { boom.fire(); return ctx },
		}),
		ginkeycloak.WithHTTPClient(&http.Client{Transport: panickyTransport{boom, keyless{}}}),
		ginkeycloak.WithClock(func() time.Time { boom.fire(); return time.Now() }))
	checkKind(t, "before", visitMe(t, a), kindOK)
	good, refreshToken := a.keycloak.Token(), a.keycloak.RefreshToken()
	boom.armed.Store(true)
	user, err := a.kc.Authenticate(t.Context(), good)
	if user != nil {
		t.Error("Authenticate with a panic = a user, want none")
	}
	tokens, refreshErr := a.kc.Refresh(t.Context(), refreshToken)
	if tokens != nil {
		t.Error("Refresh with a panic = tokens, want none")
	}
	for name, err := range map[string]error{
		"Authenticate": err, "Refresh": refreshErr,
		"Connect": a.kc.Connect(t.Context()), "Logout": a.kc.Logout(t.Context(), refreshToken),
	} {
		if !errors.Is(err, ginkeycloak.ErrConnection) {
			t.Errorf("%s with a panic = %v, want %v", name, err, ginkeycloak.ErrConnection)
		}
		checkNoMark(t, name, "", fmt.Sprint(err))
	}
	boom.armed.Store(false)
	if _, err := a.kc.Authenticate(t.Context(), good); err != nil {
		t.Errorf("Authenticate after the panic = %v, want none", err)
	}
	boom.armed.Store(true)
	if err := a.kc.Close(); err != nil {
		t.Errorf("Close = %v, want none", err)
	}
}

// What panics in the background, where no request waits, ends nothing and is made good.
func TestPanicsInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := newCharge()
		a := inMemory(t, ginkeycloak.WithTrace(&ginkeycloak.Trace{
			KeysChanged: func(ginkeycloak.KeysChanged) { boom.fire() },
			CallDone:    func(context.Context, ginkeycloak.CallDone) { boom.fire() },
		}))
		a.kc.RegisterHealth(a)
		boom.armed.Store(true)
		a.get(t, "/health/ready", "")
		synctest.Wait()
		if !strings.Contains(a.log.String(), "PANIC") {
			t.Errorf("log = %s, want the panic of a fetch that a probe began", a.log.String())
		}
		boom.armed.Store(false)
		time.Sleep(2 * time.Second)
		checkKind(t, "after the first", visitMe(t, a), kindOK)

		token := a.keycloak.Token(keycloaktest.ExpiresIn(time.Hour))
		a.keycloak.RotateKeys()
		time.Sleep(10 * time.Minute)
		boom.armed.Store(true)
		checkKind(t, "keys that are due, refreshed in the background", a.get(t, "/me", token), kindOK)
		synctest.Wait()
		boom.armed.Store(false)
		if got := strings.Count(a.log.String(), "PANIC"); got < 2 {
			t.Errorf("%d panics in the log, want that of the refresh in the background, too", got)
		}
		time.Sleep(2 * time.Second)
		checkKind(t, "a rotated key after the second", visitMe(t, a), kindOK)
	})
}

// A breaker tells the logger while it holds its lock. A logger that panics there must not leave it locked.
func TestPanicInTheBreakersLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := newCharge()
		a := inMemory(t, ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOnDemand()),
			ginkeycloak.WithLogger(slog.New(panickyHandler{Handler: slog.DiscardHandler, handle: boom})))
		a.GET("/active", a.kc.RequireActive(), a.me)
		checkKind(t, "before", visitActive(t, a), kindOK)
		a.keycloak.Fail(keycloaktest.Introspection, keycloaktest.Status(500))
		boom.armed.Store(true)
		for range 7 {
			checkKind(t, "a failing endpoint and a panicking logger", visitActive(t, a), kindDown)
		}
		a.keycloak.Heal()
		time.Sleep(6 * time.Second)
		if got := visitActive(t, a); got.ran && got.status != http.StatusOK || !got.ran && got.status < 500 {
			t.Errorf("while the breaker closes: status %d, handler ran %t", got.status, got.ran)
		}
		boom.armed.Store(false)
		time.Sleep(6 * time.Second)
		checkKind(t, "after it", visitActive(t, a), kindOK)
	})
}

// A recovery that does not abort has Gin go on with the handlers behind: it must not get the chance.
func TestPanicBehindARecoveryThatDoesNotAbort(t *testing.T) {
	t.Parallel()
	for _, value := range []any{errors.New("boom"), "boom", []int{1}, http.ErrAbortHandler} {
		for name, guard := range map[string]func(*api) gin.HandlerFunc{
			"Middleware":   func(a *api) gin.HandlerFunc { return a.kc.Middleware() },
			"Optional":     func(a *api) gin.HandlerFunc { return a.kc.OptionalMiddleware() },
			"RequireRoles": func(a *api) gin.HandlerFunc { return a.kc.RequireRoles("admin") },
			"RequireActive": func(a *api) gin.HandlerFunc {
				return a.kc.RequireActive()
			},
		} {
			t.Run(fmt.Sprintf("%s/%v", name, value), func(t *testing.T) {
				t.Parallel()
				boom := &charge{value: value}
				boom.armed.Store(true)
				a := inMemory(t, ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOnDemand()),
					ginkeycloak.WithTokenExtractor(func(*http.Request) (string, error) { boom.fire(); return "", nil }))
				a.Engine = gin.New()
				a.Use(func(c *gin.Context) {
					defer func() { _ = recover() }()
					c.Next()
				})
				a.GET("/me", guard(a), a.me)
				if got := a.get(t, "/me", a.keycloak.Token()); got.ran {
					t.Error("the handler ran, want not")
				}
			})
		}
	}
}

// What is not ours passes: the panic of a handler, and the one value by which net/http is told to end the connection.
func TestPanicsThatPass(t *testing.T) {
	t.Parallel()
	mine := errors.New("mine")
	abort := func(*http.Request) (string, error) { panic(http.ErrAbortHandler) }
	tests := []struct {
		name string
		opts []ginkeycloak.Option
		path string
		want any
	}{
		{name: "of a handler behind the middleware", path: "/mine", want: mine},
		{name: "of a handler behind requirements", path: "/roles", want: mine},
		{name: "of a handler, http.ErrAbortHandler", path: "/abort", want: http.ErrAbortHandler},
		{name: "of an extractor, http.ErrAbortHandler", path: "/me", want: http.ErrAbortHandler, opts: []ginkeycloak.Option{ginkeycloak.WithTokenExtractor(abort)}},
		{name: "of an error handler, http.ErrAbortHandler", path: "/other", want: http.ErrAbortHandler, opts: []ginkeycloak.Option{
			ginkeycloak.WithErrorHandler(func(*gin.Context, *ginkeycloak.Error) { panic(http.ErrAbortHandler) }),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := inMemory(t, tt.opts...)
			a.GET("/mine", func(*gin.Context) { panic(mine) })
			a.GET("/roles", a.kc.RequireRoles("admin"), func(*gin.Context) { panic(mine) })
			a.GET("/abort", func(*gin.Context) { panic(http.ErrAbortHandler) })
			a.GET("/other", a.kc.RequireRoles("nobody"), a.me)
			defer func() {
				if got := recover(); got != tt.want {
					t.Errorf("what passed = %v, want %v", got, tt.want)
				}
				if log := a.log.String(); strings.Contains(log, "PANIC") {
					t.Errorf("log = %s, want nothing of it", log)
				}
			}()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, http.NoBody)
			r.Header.Set("Authorization", "Bearer "+a.keycloak.Token(keycloaktest.RealmRoles("admin")))
			a.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
}
