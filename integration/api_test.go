package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
)

func init() { gin.SetMode(gin.ReleaseMode) }

// api is an API of a user of the library: client orders-api of a realm, a Gin engine behind a real socket.
type api struct {
	*ginkeycloak.Plugin
	*gin.Engine
	url   string
	realm string
	calls *calls
	log   *logBuffer
}

// newAPI serves an API with a route of every kind that a realm's orders-api protects. Options come after the
// standing ones, so that they can replace them. A test may register more routes before its first request.
func newAPI(t *testing.T, kc *target, opts ...ginkeycloak.Option) *api {
	t.Helper()
	a := &api{Engine: gin.New(), realm: path.Base(kc.issuer), log: new(logBuffer)}
	a.calls = &calls{next: http.DefaultTransport.(*http.Transport).Clone(), counts: make(map[string]int)}
	var err error
	a.Plugin, err = ginkeycloak.New(append([]ginkeycloak.Option{
		ginkeycloak.WithServerURL(kc.server),
		ginkeycloak.WithRealm(a.realm),
		ginkeycloak.WithClientID(ordersAPI.id),
		ginkeycloak.WithClientSecret(ordersAPI.secret),
		ginkeycloak.WithPublicRoutes("GET /public"),
		ginkeycloak.WithHTTPClient(&http.Client{Transport: a.calls}),
		ginkeycloak.WithLogger(a.log.logger()),
	}, opts...)...)
	do(t, err)

	a.Use(a.Middleware())
	a.GET("/public", func(c *gin.Context) { c.String(http.StatusOK, "open to everybody") })
	a.GET("/me", me)
	a.GET("/admin", a.RequireRoles("admin"), me)
	a.GET("/manage", a.RequireClientRoles("orders-api", "manage"), me)
	a.GET("/eng", a.RequireGroups("/eng"), me)
	a.GET("/openid", a.RequireScopes("openid"), me)
	a.RegisterRefreshRoute(a)
	a.RegisterLogoutRoute(a)

	server := httptest.NewServer(a.Engine)
	a.url = server.URL
	t.Cleanup(func() {
		server.Close()
		do(t, a.Close())
		a.calls.next.CloseIdleConnections()
	})
	return a
}

// newIntrospectingAPI is newAPI with introspection, and GET /active, where a revocation counts at once.
func newIntrospectingAPI(t *testing.T, kc *target, introspection []ginkeycloak.IntrospectionOption, opts ...ginkeycloak.Option) *api {
	t.Helper()
	a := newAPI(t, kc, append([]ginkeycloak.Option{ginkeycloak.WithIntrospection(introspection...)}, opts...)...)
	a.GET("/active", a.RequireActive(), me)
	return a
}

func me(c *gin.Context) {
	user, _ := ginkeycloak.UserFromContext(c)
	c.JSON(http.StatusOK, user)
}

// get asks for a path with a bearer token, or without any if it is empty.
func (a *api) get(t *testing.T, path, token string) answer {
	t.Helper()
	got, err := a.tryGet(t.Context(), path, token)
	do(t, err)
	return got
}

// tryGet is get for goroutines of their own, which must not end the test.
func (a *api) tryGet(ctx context.Context, path, token string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+path, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return send(http.DefaultClient, req)
}

// post sends a refresh token, as the API's own routes take it.
func (a *api) post(t *testing.T, path, refreshToken string) answer {
	t.Helper()
	got, err := a.tryPost(t.Context(), path, refreshToken)
	do(t, err)
	return got
}

func (a *api) tryPost(ctx context.Context, path, refreshToken string) (answer, error) {
	body := fmt.Sprintf(`{"refresh_token":%q}`, refreshToken)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	return send(http.DefaultClient, req)
}

// What a refusal looks like to a client: its status and the error member of its challenge, "-" for a challenge without
// one and "" for no challenge.
var refusals = map[ginkeycloak.Code]struct {
	status    int
	challenge string
}{
	ginkeycloak.CodeMissingHeader:      {401, "-"},
	ginkeycloak.CodeMalformedToken:     {401, "invalid_token"},
	ginkeycloak.CodeInvalidSignature:   {401, "invalid_token"},
	ginkeycloak.CodeInvalidAlgorithm:   {401, "invalid_token"},
	ginkeycloak.CodeUnknownKID:         {401, "invalid_token"},
	ginkeycloak.CodeTokenExpired:       {401, "invalid_token"},
	ginkeycloak.CodeInvalidClaims:      {401, "invalid_token"},
	ginkeycloak.CodeMissingClaim:       {401, "invalid_token"},
	ginkeycloak.CodeInvalidTokenType:   {401, "invalid_token"},
	ginkeycloak.CodeTokenInactive:      {401, "invalid_token"},
	ginkeycloak.CodeMissingRoles:       {403, "insufficient_scope"},
	ginkeycloak.CodeMissingGroups:      {403, "insufficient_scope"},
	ginkeycloak.CodeMissingScope:       {403, "insufficient_scope"},
	ginkeycloak.CodeTokenRefreshFailed: {400, ""},
	ginkeycloak.CodeLoginFailed:        {400, ""},
	ginkeycloak.CodeInvalidRequest:     {400, ""},
	ginkeycloak.CodeCrossSite:          {403, ""},
	ginkeycloak.CodeMethodNotAllowed:   {405, ""},
	ginkeycloak.CodeConnection:         {503, ""},
	ginkeycloak.CodeIntrospection:      {503, ""},
	ginkeycloak.CodeConfig:             {503, ""},
}

// checkRefused holds a refusal to everything that is promised of it, to the last character: no text of Keycloak has
// room in it. scopes are those that the challenge must name.
func (a *api) checkRefused(t *testing.T, input string, got answer, want ginkeycloak.Code, scopes ...string) {
	t.Helper()
	expected, ok := refusals[want]
	if !ok {
		t.Fatalf("%s: the test does not know what %s looks like", input, want)
	}
	message := (&ginkeycloak.Error{Code: want}).Message()
	body := fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, want, message)
	if got.status != expected.status || got.body != body {
		t.Errorf("%s:\ngot  %d %.500s\nwant %d %s", input, got.status, got.body, expected.status, body)
		return
	}
	challenge := ""
	switch expected.challenge {
	case "":
	case "-":
		challenge = fmt.Sprintf("Bearer realm=%q", a.realm)
	default:
		challenge = fmt.Sprintf("Bearer realm=%q, error=%q, error_description=%q", a.realm, expected.challenge, message)
	}
	if len(scopes) > 0 {
		challenge += fmt.Sprintf(", scope=%q", strings.Join(scopes, " "))
	}
	retryAfter := ""
	if expected.status == http.StatusServiceUnavailable {
		retryAfter = "5"
	}
	for name, want := range map[string]string{
		"WWW-Authenticate": challenge, "Retry-After": retryAfter, "Cache-Control": "no-store",
		"Content-Type": "application/json; charset=utf-8",
	} {
		if value := strings.Join(got.header.Values(name), " | "); value != want {
			t.Errorf("%s: %s = %q, want %q", input, name, value, want)
		}
	}
}

// checkCode is checkRefused, or for "" a check that the request was served.
func (a *api) checkCode(t *testing.T, input string, got answer, want ginkeycloak.Code, scopes ...string) {
	t.Helper()
	if want != "" {
		a.checkRefused(t, input, got, want, scopes...)
		return
	}
	if got.status != http.StatusOK {
		t.Errorf("%s: got %d %.500s, want 200", input, got.status, got.body)
	}
	checkHeader(t, got, "WWW-Authenticate", "")
	checkHeader(t, got, "Retry-After", "")
}

// eventually asks until done holds of the answer, which must be soon, and returns the last answer.
func eventually(t *testing.T, within time.Duration, ask func() answer, done func(answer) bool) answer {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		got := ask()
		if done(got) || time.Now().After(deadline) {
			return got
		}
	}
}

func served(got answer) bool  { return got.status == http.StatusOK }
func refused(got answer) bool { return got.status == http.StatusUnauthorized }

// calls counts what the library sends to Keycloak.
type calls struct {
	next *http.Transport

	mu     sync.Mutex // guards counts
	counts map[string]int
}

func (c *calls) RoundTrip(r *http.Request) (*http.Response, error) {
	_, endpoint, _ := strings.Cut(r.URL.Path, "/realms/")
	_, endpoint, _ = strings.Cut(endpoint, "/")
	c.mu.Lock()
	c.counts["/"+endpoint]++
	c.mu.Unlock()
	return c.next.RoundTrip(r)
}

// to is the number of calls to an endpoint, named by its path below the issuer.
func (c *calls) to(endpoint string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[endpoint]
}

// traffic is an API's daily business: requests with good tokens, one after the other in several goroutines.
type traffic struct {
	tokens atomic.Pointer[[]string]
	sent   atomic.Int64
	end    context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex // guards refused
	refused []string
}

// startTraffic requests /me with one of the tokens after the other until stop.
func (a *api) startTraffic(t *testing.T, tokens ...string) *traffic {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	tr := &traffic{end: end}
	tr.tokens.Store(&tokens)
	for range 4 {
		tr.wg.Go(func() {
			for ctx.Err() == nil {
				tokens := *tr.tokens.Load()
				got, err := a.tryGet(context.WithoutCancel(ctx), "/me", tokens[int(tr.sent.Add(1))%len(tokens)])
				if err != nil || got.status != http.StatusOK {
					tr.mu.Lock()
					tr.refused = append(tr.refused, fmt.Sprintf("%d %s %v", got.status, got.body, err))
					tr.mu.Unlock()
				}
				time.Sleep(2 * time.Millisecond) // the machine has other things to do
			}
		})
	}
	t.Cleanup(func() { end(); tr.wg.Wait() })
	return tr
}

// use has the traffic go on with these tokens, and waits until it does.
func (tr *traffic) use(tokens ...string) {
	tr.tokens.Store(&tokens)
	tr.settle()
}

// settle waits for some more requests.
func (tr *traffic) settle() {
	for goal := tr.sent.Load() + 50; tr.sent.Load() < goal; {
		time.Sleep(time.Millisecond)
	}
}

// stop ends the traffic, of which nothing may have been refused.
func (tr *traffic) stop(t *testing.T) {
	t.Helper()
	tr.end()
	tr.wg.Wait()
	if len(tr.refused) > 0 {
		t.Errorf("%d of %d requests with good tokens were refused, the first one with %s", len(tr.refused), tr.sent.Load(), tr.refused[0])
	}
	t.Logf("%d requests with good tokens", tr.sent.Load())
}

// logBuffer is a log that tests can read while others write.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// lines are those with all of the words in them.
func (l *logBuffer) lines(words ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
lines:
	for line := range strings.Lines(l.buf.String()) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue lines
			}
		}
		found = append(found, line)
	}
	return found
}
