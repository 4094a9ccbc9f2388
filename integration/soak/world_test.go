package soak_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/c0mpiler/ginkeycloak"
)

// The windows in which a good request may be refused, with 503 and nothing else:
//
//   - away: from when Keycloak is stopped until it is back, and then as long as a failure keeps the library from asking
//     again. A request with a token whose key was used before is served all the same; one that Keycloak itself must be
//     asked about, or that renews tokens, is not.
//   - unanswered: on a real Keycloak the same, from when a call began that it answered with a 5xx status or not within
//     the time limit. A busy machine has such calls.
//   - trying: after either of the two, until a first call to that endpoint was answered, where that takes longer than
//     the others wait for it.
//   - closing: requests that were with a plugin when it was closed.
const (
	afterKeys    = 1250 * time.Millisecond // the longest wait between two fetches of the key set, and a quarter more
	afterBreaker = 5 * time.Second         // the pause of a breaker
	probing      = time.Second             // for the one request that a breaker lets try, while the others wait
	unanswered   = 5 * time.Second         // the time limit for the header of an answer
)

// Bounds of the tables, lower than their defaults so that they are reached.
const (
	maxVerified = 300
	maxActive   = 100
)

// grace is how long after Keycloak is back a request of that kind may still be refused.
func (k kind) grace() time.Duration {
	if k == local {
		return afterKeys
	}
	return afterBreaker + probing
}

// kind is what a request needs.
type kind string

const (
	local     kind = "local"     // a key
	confirmed kind = "confirmed" // Keycloak's word, at once
	renewal   kind = "renewal"   // new tokens
)

// instance is one run of the API's program: a plugin and its routes.
type instance struct {
	engine *gin.Engine
	kc     *ginkeycloak.Plugin
	born   time.Time

	mu       sync.Mutex                       // guards what follows
	held     map[string]bool                  // keys that were used
	answered map[ginkeycloak.Call][]time.Time // when calls were, in order
	closed   time.Time                        // when Close began; zero while it runs
}

// isTrying reports whether between an outage that ended and a moment no call was answered, but for the very last
// second, when the one that was tried may not have been told yet.
func (i *instance) isTrying(call ginkeycloak.Call, outage, moment time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return outage.After(i.born) && !slices.ContainsFunc(i.answered[call], func(at time.Time) bool { return at.After(outage) && at.Before(moment.Add(-probing)) })
}

func (i *instance) holds(kid string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.held[kid]
}

func (i *instance) used(kid string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.held[kid] = true
}

// world is an API, its clients, and what they were told.
type world struct {
	t       *testing.T
	opts    []ginkeycloak.Option
	genuine bool // its Keycloak is no fake

	now    atomic.Pointer[instance]
	latest atomic.Pointer[string] // the last access token that a client got by logging in
	away   atomic.Pointer[[]*window]

	mu         sync.Mutex // guards what follows
	refusals   []refusal
	served     map[kind]int
	bad        map[string]int // answers to bad tokens, by code
	left       int            // clients that did not wait
	peak       int            // goroutines
	keys       int            // fetches of the key set that were told to the hooks
	unanswered []span         // calls
}

// window is a time in which Keycloak was away. Its end is the zero time until it is known.
type window struct {
	from time.Time
	to   atomic.Pointer[time.Time]
}

// refusal is a good request that was refused.
type refusal struct {
	kind     kind
	code     ginkeycloak.Code
	status   int
	held     bool // the key was used before
	from, to time.Time
	instance *instance
}

func newWorld(t *testing.T, genuine bool, opts ...ginkeycloak.Option) *world {
	w := &world{t: t, opts: opts, genuine: genuine, served: map[kind]int{}, bad: map[string]int{}}
	w.away.Store(&[]*window{})
	w.start()
	return w
}

// start replaces the API's program by a new one.
func (w *world) start() {
	w.t.Helper()
	next := &instance{engine: gin.New(), born: time.Now(), held: map[string]bool{}, answered: map[ginkeycloak.Call][]time.Time{}}
	kc, err := ginkeycloak.New(append([]ginkeycloak.Option{
		ginkeycloak.WithClientID("orders-api"), ginkeycloak.WithClientSecret("s3cret"),
		ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOnDemand(), ginkeycloak.IntrospectionCache(maxActive, time.Minute)),
		ginkeycloak.WithTokenCache(maxVerified, 10*time.Minute),
		ginkeycloak.WithLogger(slog.New(slog.DiscardHandler)),
		ginkeycloak.WithTrace(&ginkeycloak.Trace{CallDone: func(_ context.Context, e ginkeycloak.CallDone) { w.called(next, e) }}),
	}, w.opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	next.kc = kc
	ok := func(c *gin.Context) { c.Status(http.StatusOK) }
	next.engine.Use(kc.Middleware())
	next.engine.GET("/me", ok)
	next.engine.GET("/active", kc.RequireActive(), ok)
	kc.RegisterRefreshRoute(next.engine)
	w.now.Store(next)
}

// called counts calls, and notes those that Keycloak did not answer.
func (w *world) called(i *instance, e ginkeycloak.CallDone) {
	if e.Code == "" {
		i.mu.Lock()
		i.answered[e.Call] = append(i.answered[e.Call], time.Now())
		i.mu.Unlock()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Call == ginkeycloak.CallKeySet {
		w.keys++
	}
	if w.genuine && (e.Status >= http.StatusInternalServerError || e.Code != "" && e.Duration >= unanswered) {
		end := time.Now()
		w.unanswered = append(w.unanswered, span{end.Add(-e.Duration), end})
	}
}

// isUnanswered reports whether a call went without an answer in some part of that time, or shortly before.
func (w *world) isUnanswered(from, to time.Time, grace time.Duration) bool {
	return slices.ContainsFunc(w.unanswered, func(s span) bool { return !to.Before(s.from) && from.Before(s.to.Add(grace)) })
}

// lastOutage is when the last one of either kind ended before a moment, the zero time if there was none.
func (w *world) lastOutage(moment time.Time) (end time.Time) {
	for _, away := range *w.away.Load() {
		if to := away.to.Load(); to != nil && to.Before(moment) && to.After(end) {
			end = *to
		}
	}
	for _, s := range w.unanswered {
		if s.to.Before(moment) && s.to.After(end) {
			end = s.to
		}
	}
	return end
}

// isTrying reports whether a refusal was while a breaker had not seen an answer since an outage.
func (w *world) isTrying(r refusal) bool {
	call := map[kind]ginkeycloak.Call{confirmed: ginkeycloak.CallIntrospection, renewal: ginkeycloak.CallToken}[r.kind]
	outage := w.lastOutage(r.from)
	return call != "" && !outage.IsZero() && r.instance.isTrying(call, outage, r.from)
}

// span is from when to when.
type span struct{ from, to time.Time }

// restart has a new program take over and then closes the one before.
func (w *world) restart() {
	old := w.now.Load()
	w.start()
	time.Sleep(100 * time.Millisecond)
	w.close(old)
}

func (w *world) close(i *instance) {
	i.mu.Lock()
	i.closed = time.Now()
	i.mu.Unlock()
	begin := time.Now()
	if err := i.kc.Close(); err != nil || !w.genuine && time.Since(begin) > time.Second { // real clocks depend on the machine
		w.t.Errorf("Close = %v after %v, want none within 1 s", err, time.Since(begin))
	}
}

// goesAway notes that Keycloak is going away; what it returns, that it is back.
func (w *world) goesAway() (back func()) {
	next := &window{from: time.Now()}
	windows := append([]*window{next}, *w.away.Load()...)
	w.away.Store(&windows)
	return func() { end := time.Now(); next.to.Store(&end) }
}

// isAway reports whether Keycloak was away in some part of that time, or shortly before.
func (w *world) isAway(from, to time.Time, grace time.Duration) bool {
	for _, away := range *w.away.Load() {
		end := away.to.Load()
		if !to.Before(away.from) && (end == nil || from.Before(end.Add(grace))) {
			return true
		}
	}
	return false
}

// tokens are what a client has.
type tokens struct {
	access, refresh string
	end             time.Time // of the access token
}

// client behaves as an application does: it renews its tokens in time and sends requests with them. login gets it new
// ones where renewal did not work; it may fail while Keycloak is away.
func (w *world) client(ctx context.Context, pause, lifespan time.Duration, login func() (tokens, error)) {
	var have tokens
	for ctx.Err() == nil {
		sleep(ctx, pause/2+rand.N(pause))
		if ctx.Err() != nil {
			return
		}
		if have.refresh != "" && time.Until(have.end) < lifespan/2 {
			w.renew(&have)
		}
		if time.Until(have.end) < lifespan/4 { // what slow answers may take
			fresh, err := login()
			if err != nil {
				continue // Keycloak is away, so nobody can log in
			}
			have = fresh
			w.latest.Store(&fresh.access)
		}
		kind, path := local, "/me"
		if rand.N(5) == 0 {
			kind, path = confirmed, "/active"
		}
		if rand.N(20) == 0 {
			w.leave(ctx, path, have.access)
			continue
		}
		w.good(kind, httptest.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody), have.access)
	}
}

// renew exchanges the refresh token by way of the API.
func (w *world) renew(have *tokens) {
	body := url.Values{"refresh_token": {have.refresh}}.Encode()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/auth/refresh", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := w.good(renewal, r, "")
	have.refresh = "" // it may have been used up
	var got ginkeycloak.TokenSet
	if answer.Code == http.StatusOK && json.Unmarshal(answer.Body.Bytes(), &got) == nil {
		*have = tokens{got.AccessToken, got.RefreshToken, time.Now().Add(time.Duration(got.ExpiresIn) * time.Second)}
	}
}

// good sends a request that is to be served.
func (w *world) good(kind kind, r *http.Request, token string) *httptest.ResponseRecorder {
	i := w.now.Load()
	kid := ""
	if token != "" {
		kid = keyID(token)
		r.Header.Set("Authorization", "Bearer "+token)
	}
	what := refusal{kind: kind, held: i.holds(kid), from: time.Now(), instance: i}
	answer := httptest.NewRecorder()
	i.engine.ServeHTTP(answer, r)
	what.to = time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peak = max(w.peak, runtime.NumGoroutine())
	if answer.Code == http.StatusOK {
		w.served[kind]++
		i.used(kid)
		return answer
	}
	if r.Context().Err() != nil {
		w.left++ // the test is over
		return answer
	}
	what.status, what.code = answer.Code, codeOf(answer)
	w.refusals = append(w.refusals, what)
	return answer
}

// leave sends a request of a client that does not wait for the answer.
func (w *world) leave(ctx context.Context, path, token string) {
	ctx, cancel := context.WithTimeout(ctx, rand.N(5*time.Millisecond))
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+token)
	w.now.Load().engine.ServeHTTP(httptest.NewRecorder(), r)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left++
}

// flood sends bad tokens, made out of a good one, until ctx ends. None may get in.
func (w *world) flood(ctx context.Context, pause time.Duration, good string) {
	for n := 0; ctx.Err() == nil; n++ {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/me", http.NoBody)
		name, token := badToken(n, good)
		r.Header.Set("Authorization", "Bearer "+token)
		answer := httptest.NewRecorder()
		from := time.Now()
		w.now.Load().engine.ServeHTTP(answer, r)
		refused := []int{http.StatusUnauthorized, http.StatusBadRequest}
		if w.isAway(from, time.Now(), afterKeys) {
			refused = append(refused, http.StatusServiceUnavailable)
		}
		if ctx.Err() == nil {
			w.mu.Lock()
			w.bad[string(codeOf(answer))]++
			w.mu.Unlock()
			if !slices.Contains(refused, answer.Code) {
				w.t.Errorf("a token %s at %s, for %v: status %d %s, want one of %v",
					name, from.Format("15:04:05.000"), time.Since(from), answer.Code, answer.Body, refused)
			}
		}
		sleep(ctx, pause)
	}
}

// badToken is one of several ways to spoil a good token.
func badToken(n int, good string) (name, token string) {
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	switch n % 6 {
	case 0:
		made := fmt.Sprintf(`{"alg":%q,"typ":"JWT","kid":"made-up-%d"}`, headerOf(header).Algorithm, rand.Uint64())
		return "of a made-up key", base64.RawURLEncoding.EncodeToString([]byte(made)) + "." + rest
	case 1:
		return "with another's signature", header + "." + payload + "." + reversed(signature)
	case 2:
		return "that has expired", header + "." + edited(payload, "exp", time.Now().Add(-time.Hour).Unix()) + "." + signature
	case 3:
		return "that is too long", good + strings.Repeat("A", 20_000)
	case 4:
		return "of another issuer", header + "." + edited(payload, "iss", "https://evil.example") + "." + signature
	}
	return "that is none", strings.Repeat("x", 40)
}

func reversed(signature string) string {
	b := []byte(signature)
	for i, j := 0, len(b)-2; i < j; i, j = i+1, j-1 { // the last character has bits that do not count
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// edited is a payload with one claim changed.
func edited(payload, claim string, value any) string {
	var claims map[string]any
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(text, &claims) != nil {
		panic("the good token has no claims")
	}
	claims[claim] = value
	text, err = json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

type header struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
}

func headerOf(segment string) (h header) {
	text, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil || json.Unmarshal(text, &h) != nil {
		panic("the good token has no header")
	}
	return h
}

func keyID(token string) string {
	segment, _, _ := strings.Cut(token, ".")
	return headerOf(segment).KeyID
}

func codeOf(answer *httptest.ResponseRecorder) ginkeycloak.Code {
	var body struct {
		Error struct {
			Code ginkeycloak.Code `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(answer.Body.Bytes(), &body) != nil {
		return ""
	}
	return body.Error.Code
}

// checkTables asserts that the tables of tokens are within their bounds.
func (w *world) checkTables() {
	w.t.Helper()
	stats := w.now.Load().kc.Stats()
	if stats.VerifiedTokens > maxVerified || stats.ActiveTokens > maxActive {
		w.t.Errorf("%d verified and %d active tokens are remembered, want at most %d and %d",
			stats.VerifiedTokens, stats.ActiveTokens, maxVerified, maxActive)
	}
}

// checkRefusals asserts that nobody was refused outside of the windows, and counts those inside.
func (w *world) checkRefusals() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	inside := map[string]int{}
	for _, r := range w.refusals {
		r.instance.mu.Lock()
		closed := r.instance.closed
		r.instance.mu.Unlock()
		switch {
		case r.status != http.StatusServiceUnavailable:
			w.t.Errorf("a good request (%s) at %s: %d %s, want none to be refused but with 503", r.kind, r.from.Format(time.TimeOnly), r.status, r.code)
		case !closed.IsZero() && r.to.After(closed):
			inside["closing "+string(r.kind)]++
		case r.kind == local && r.held:
			w.t.Errorf("a good request with a key that was used before, at %s, for %v: %d %s", r.from.Format("15:04:05.000"), r.to.Sub(r.from), r.status, r.code)
		case w.isAway(r.from, r.to, r.kind.grace()):
			inside["away "+string(r.kind)]++
		case w.isUnanswered(r.from, r.to, r.kind.grace()):
			inside["unanswered "+string(r.kind)]++
		case w.isTrying(r):
			inside["trying "+string(r.kind)]++
		default:
			w.t.Errorf("a good request (%s, key held %t) at %s, for %v: %d %s, outside of the windows",
				r.kind, r.held, r.from.Format("15:04:05.000"), r.to.Sub(r.from), r.status, r.code)
		}
	}
	for _, kind := range []kind{local, confirmed, renewal} {
		if w.served[kind] == 0 {
			w.t.Errorf("no request (%s) was served", kind)
		}
	}
	w.t.Logf("served: %v; refused inside of the windows: %v; clients that left: %d; bad tokens: %v; unanswered calls: %d; at most %d goroutines",
		w.served, inside, w.left, w.bad, len(w.unanswered), w.peak)
}

// heap is what is in use after a collection, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
