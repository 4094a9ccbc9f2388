package ginkeycloak_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

// api is a protected API and the Keycloak that it trusts.
type api struct {
	*gin.Engine

	keycloak *keycloaktest.Server
	kc       *ginkeycloak.Plugin
	log      *logBuffer
	ran      atomic.Int64 // how often GET /me ran
}

// newAPI returns an API with GET /me behind the middleware. Its plugin is configured for a fresh fake Keycloak
// unless opts say otherwise.
func newAPI(t *testing.T, opts ...ginkeycloak.Option) *api {
	t.Helper()
	return newAPIFor(t, keycloaktest.New(t), opts...)
}

func newAPIFor(t *testing.T, srv *keycloaktest.Server, opts ...ginkeycloak.Option) *api {
	t.Helper()
	return newAPIWith(t, srv, append([]ginkeycloak.Option{patient}, opts...)...)
}

// patient is for tests that wait for no time limit: on a busy machine a handshake may take seconds.
var patient = ginkeycloak.WithTimeouts(time.Minute, time.Minute)

func newAPIWith(t *testing.T, srv *keycloaktest.Server, opts ...ginkeycloak.Option) *api {
	t.Helper()
	a := &api{Engine: gin.New(), keycloak: srv, log: new(logBuffer)}
	a.kc = newPlugin(t, srv, append([]ginkeycloak.Option{ginkeycloak.WithLogger(a.log.logger())}, opts...)...)
	a.Use(a.kc.Middleware())
	a.GET("/me", a.me)
	return a
}

// newPlugin returns a plugin for srv that is closed at the end of the test.
func newPlugin(t *testing.T, srv *keycloaktest.Server, opts ...ginkeycloak.Option) *ginkeycloak.Plugin {
	t.Helper()
	kc, err := ginkeycloak.New(append(forServer(srv), opts...)...)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() { _ = kc.Close() })
	return kc
}

// forServer is the configuration of an API that is client orders-api of srv.
func forServer(srv *keycloaktest.Server) []ginkeycloak.Option {
	return []ginkeycloak.Option{
		ginkeycloak.WithServerURL(srv.URL()),
		ginkeycloak.WithRealm(srv.Realm()),
		ginkeycloak.WithClientID("orders-api"),
		ginkeycloak.WithClientSecret("s3cret"),
		ginkeycloak.WithLogger(slog.New(slog.DiscardHandler)),
	}
}

// me answers with the user, and counts that it ran.
func (a *api) me(c *gin.Context) {
	a.ran.Add(1)
	if ran, ok := c.Request.Context().Value(ranKey{}).(*atomic.Bool); ok {
		ran.Store(true)
	}
	user, _ := ginkeycloak.UserFromContext(c)
	c.JSON(http.StatusOK, user)
}

// get asks for a path with a bearer token, or without any if it is empty.
func (a *api) get(t *testing.T, path, token string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return a.do(t, r)
}

// do serves a request and reads the answer.
func (a *api) do(t *testing.T, r *http.Request) answer {
	t.Helper()
	var ran atomic.Bool
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), ranKey{}, &ran)))
	got := readAnswer(t, w.Result())
	got.ran = ran.Load()
	return got
}

// ranKey is the key of the mark, in a request's context, that a handler ran for it.
type ranKey struct{}

// answer is what a client sees.
type answer struct {
	status  int
	header  http.Header
	body    string
	code    ginkeycloak.Code // of a refusal
	message string
	ran     bool // a handler ran
}

func readAnswer(t *testing.T, resp *http.Response) answer {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
	var refusal struct {
		Error struct {
			Code    ginkeycloak.Code `json:"code"`
			Message string           `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &refusal) == nil {
		got.code, got.message = refusal.Error.Code, refusal.Error.Message
	}
	return got
}

// The five kinds of answer of the response contract.
const (
	kindOK    = "OK"
	kindNone  = "NONE"  // 401, a challenge without an error
	kindReq   = "REQ"   // 400 invalid_request
	kindTok   = "TOK"   // 401 invalid_token
	kindScope = "SCOPE" // 403 insufficient_scope
	kindDown  = "DOWN"  // 503, Retry-After, no challenge
)

// checkKind asserts everything that the response contract says of an answer of a kind, what must be absent
// included. The error names the input.
func checkKind(t *testing.T, input string, got answer, kind string) {
	t.Helper()
	want := map[string]struct {
		status    int
		challenge string
	}{
		kindOK:    {200, ""},
		kindNone:  {401, `Bearer realm="demo"`},
		kindReq:   {400, `Bearer realm="demo", error="invalid_request", error_description="` + got.message + `"`},
		kindTok:   {401, `Bearer realm="demo", error="invalid_token", error_description="` + got.message + `"`},
		kindScope: {403, `Bearer realm="demo", error="insufficient_scope", error_description="` + got.message + `"`},
		kindDown:  {503, ""},
	}[kind]
	if got.status != want.status {
		t.Fatalf("%s: status %d %s, want %s = %d", input, got.status, got.body, kind, want.status)
	}
	challenges := got.header.Values("WWW-Authenticate")
	challenge := strings.Join(challenges, " | ")
	if kind == kindScope && got.code == ginkeycloak.CodeMissingScope {
		challenge, _, _ = strings.Cut(challenge, ", scope=")
	}
	if challenge != want.challenge {
		t.Errorf("%s: WWW-Authenticate %q, want %q", input, challenge, want.challenge)
	}
	if hasRetry := got.header.Get("Retry-After") != ""; hasRetry != (kind == kindDown) {
		t.Errorf("%s: Retry-After %q with %s", input, got.header.Get("Retry-After"), kind)
	}
	if kind == kindOK {
		return
	}
	if got.ran {
		t.Errorf("%s: a handler ran behind a refusal", input)
	}
	if cc := got.header.Get("Cache-Control"); cc != "no-store" {
		t.Errorf("%s: Cache-Control %q, want no-store", input, cc)
	}
	if ct := got.header.Get("Content-Type"); ct != "application/json; charset=utf-8" {
		t.Errorf("%s: Content-Type %q", input, ct)
	}
	if got.code == "" || got.message == "" || strings.Contains(got.body, "details") {
		t.Errorf("%s: body %s, want a code and a message and no details", input, got.body)
	}
}

// logBuffer is a log that tests can read while others write.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestMiddlewareAdmitsAGoodToken(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	token := a.keycloak.Token(keycloaktest.ForUser("alice"))
	for _, scheme := range []string{"Bearer", "bearer", "BEARER"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/me", http.NoBody)
		r.Header["Authorization"] = []string{scheme + " " + token}
		got := a.do(t, r)
		checkKind(t, scheme, got, kindOK)
		var user map[string]any
		if err := json.Unmarshal([]byte(got.body), &user); err != nil || user["username"] != "alice" || user["email"] != "alice@example.com" {
			t.Errorf("GET /me of alice = %s, want alice", got.body)
		}
	}
	if d, k := a.keycloak.Calls(keycloaktest.Discovery), a.keycloak.Calls(keycloaktest.KeySet); d != 1 || k != 1 {
		t.Errorf("three requests: %d discoveries and %d key fetches, want 1 and 1", d, k)
	}
}

func TestNewDoesNoIO(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newAPIFor(t, srv)
	checkKind(t, "no token", a.get(t, "/me", ""), kindNone)
	if got := srv.Calls(keycloaktest.All); got != 0 {
		t.Errorf("New and a request without a token made %d calls, want 0", got)
	}
}

func TestConnectReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	kc := newPlugin(t, srv)
	if err := kc.Connect(t.Context()); err != nil {
		t.Errorf("Connect to a good Keycloak = %v, want none", err)
	}
	wrongRealm := newPlugin(t, srv, ginkeycloak.WithRealm("nosuch"))
	if err := wrongRealm.Connect(t.Context()); !errors.Is(err, ginkeycloak.ErrConfig) {
		t.Errorf("Connect to a realm that is not there = %v, want ErrConfig", err)
	}
	srv.Stop()
	if err := newPlugin(t, srv).Connect(t.Context()); !errors.Is(err, ginkeycloak.ErrConnection) {
		t.Errorf("Connect to a Keycloak that is down = %v, want ErrConnection", err)
	}
}

func TestOptionalMiddleware(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	engine := gin.New()
	engine.Use(a.kc.OptionalMiddleware())
	engine.GET("/", func(c *gin.Context) {
		user, ok := ginkeycloak.UserFromContext(c)
		c.String(http.StatusOK, "%v %t", user, ok)
	})
	engine.GET("/admin", a.kc.RequireRoles("admin"), a.me)
	a.Engine = engine

	if got := a.get(t, "/", ""); got.status != 200 || got.body != "<nil> false" {
		t.Errorf("anonymous = %d %q, want 200 without a user", got.status, got.body)
	}
	if got := a.get(t, "/", a.keycloak.Token()); got.status != 200 || !strings.HasSuffix(got.body, "true") {
		t.Errorf("with a token = %d %q, want 200 with a user", got.status, got.body)
	}
	checkKind(t, "bad token", a.get(t, "/", a.keycloak.Token(keycloaktest.ExpiresIn(-3600e9))), kindTok)
	got := a.get(t, "/admin", "")
	checkKind(t, "anonymous to a role", got, kindNone)
	if got.code != ginkeycloak.CodeNotAuthenticated {
		t.Errorf("anonymous to a route with roles = %q, want not_authenticated", got.code)
	}
	checkKind(t, "admin to a role", a.get(t, "/admin", a.keycloak.Token(keycloaktest.RealmRoles("admin"))), kindOK)
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	kc := newPlugin(t, srv)
	user, err := kc.Authenticate(t.Context(), srv.Token(keycloaktest.ForUser("alice")))
	if err != nil || user.Username != "alice" {
		t.Errorf("Authenticate(alice's token) = %v, %v, want alice", user, err)
	}
	_, err = kc.Authenticate(t.Context(), "nonsense")
	var refused *ginkeycloak.Error
	if !errors.As(err, &refused) || refused.Status() != 401 || !errors.Is(err, ginkeycloak.ErrMalformedToken) {
		t.Errorf("Authenticate(nonsense) = %v, want ErrMalformedToken of status 401", err)
	}
}

func TestCloseIsIdempotentAndRefusesRequests(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	token := a.keycloak.Token()
	checkKind(t, "before Close", a.get(t, "/me", token), kindOK)
	for range 2 {
		if err := a.kc.Close(); err != nil {
			t.Errorf("Close = %v, want none", err)
		}
	}
	checkKind(t, "after Close", a.get(t, "/me", token), kindDown)
	if err := a.kc.Connect(t.Context()); err == nil {
		t.Error("Connect after Close = no error, want one")
	}
}

func TestUserReachesEveryKindOfContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	a := newAPI(t)
	var missing []string
	a.GET("/contexts", func(c *gin.Context) {
		for name, ctx := range map[string]context.Context{
			"gin.Context":                       c,
			"Request.Context()":                 c.Request.Context(),
			"a child of gin.Context":            context.WithValue(c, key{}, 1),
			"a child of Request.Context()":      context.WithValue(c.Request.Context(), key{}, 1),
			"a copy of gin.Context":             c.Copy(),
			"a context that cannot be canceled": context.WithoutCancel(c),
		} {
			if u, ok := ginkeycloak.UserFromContext(ctx); !ok || u.Username != "alice" {
				missing = append(missing, name)
			}
		}
	})
	if got := a.get(t, "/contexts", a.keycloak.Token(keycloaktest.ForUser("alice"))); got.status != 200 {
		t.Fatalf("GET /contexts = %d %s", got.status, got.body)
	}
	if len(missing) > 0 {
		t.Errorf("the user is not found in %q", missing)
	}
	if u, ok := ginkeycloak.UserFromContext(t.Context()); ok {
		t.Errorf("UserFromContext of a strange context = %v, want none", u)
	}
}

// skipUnderRace leaves a test that counts allocations out where the race detector makes them meaningless. `make
// check` runs these tests once without it.
func skipUnderRace(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("the race detector allocates; run without -race")
	}
}

// newServer serves a handler for the length of the test and returns its address.
func newServer(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}
