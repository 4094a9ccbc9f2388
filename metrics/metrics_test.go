package metrics_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
	"github.com/c0mpiler/ginkeycloak/metrics"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

// newPlugin returns a plugin that is client orders-api of srv.
func newPlugin(t *testing.T, srv *keycloaktest.Server, opts ...ginkeycloak.Option) *ginkeycloak.Plugin {
	t.Helper()
	kc, err := ginkeycloak.New(append([]ginkeycloak.Option{
		ginkeycloak.WithServerURL(srv.URL()),
		ginkeycloak.WithRealm(srv.Realm()),
		ginkeycloak.WithClientID("orders-api"),
		ginkeycloak.WithClientSecret("s3cret"),
		ginkeycloak.WithLogger(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kc.Close() })
	return kc
}

// newAPI returns an API behind kc, with a route for everybody and one for admins.
func newAPI(kc *ginkeycloak.Plugin) *gin.Engine {
	api := gin.New()
	api.Use(kc.Middleware())
	api.GET("/me", func(*gin.Context) {})
	api.GET("/admin", kc.RequireRoles("admin"))
	kc.RegisterRefreshRoute(api)
	return api
}

// get sends a request with a token, or without one, and returns the status.
func get(t *testing.T, api http.Handler, path, token string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w.Code
}

func refresh(t *testing.T, api http.Handler, token string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/auth/refresh", strings.NewReader("refresh_token="+token))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	api.ServeHTTP(httptest.NewRecorder(), r)
}

// samples are what a registry has, by metric and labels: a counter's or gauge's value, of a histogram how often
// something was observed.
func samples(t *testing.T, reg prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			found[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetCounter().GetValue() + m.GetGauge().GetValue() +
				float64(m.GetHistogram().GetSampleCount())
		}
	}
	return found
}

// expect asserts that a registry has these samples.
func expect(t *testing.T, reg prometheus.Gatherer, want map[string]float64) {
	t.Helper()
	got := samples(t, reg)
	for _, sample := range slices.Sorted(maps.Keys(want)) {
		if value, ok := got[sample]; !ok || value != want[sample] {
			t.Errorf("%s = %v (there: %t), want %v", sample, value, ok, want[sample])
		}
	}
	if t.Failed() {
		for _, sample := range slices.Sorted(maps.Keys(got)) {
			t.Logf("%s = %v", sample, got[sample])
		}
	}
}

const who = `client_id="orders-api",`

func TestLocalValidation(t *testing.T) {
	t.Parallel()
	srv, reg := keycloaktest.New(t), prometheus.NewPedanticRegistry()
	api := newAPI(newPlugin(t, srv, ginkeycloak.WithTrace(metrics.New(reg, metrics.WithPythonNames()))))
	token := srv.Token(keycloaktest.ForUser("bob"))
	for _, request := range []struct{ path, token string }{
		{"/me", token}, {"/me", token}, {"/admin", token}, {"/me", ""}, {"/me", "two tokens"},
		{"/me", srv.Token(keycloaktest.ExpiresIn(-time.Hour))},
		{"/me", srv.Token()},
	} {
		get(t, api, request.path, request.token)
	}
	refresh(t, api, srv.RefreshToken())
	refresh(t, api, "nonsense")
	expect(t, reg, map[string]float64{
		`ginkeycloak_authentications_total{cached="false",` + who + `code="ok",method="local",realm="demo"}`:                    2,
		`ginkeycloak_authentications_total{cached="true",` + who + `code="ok",method="local",realm="demo"}`:                     2,
		`ginkeycloak_authentications_total{cached="false",` + who + `code="missing_header",method="local",realm="demo"}`:        1,
		`ginkeycloak_authentications_total{cached="false",` + who + `code="invalid_header_format",method="local",realm="demo"}`: 1,
		`ginkeycloak_authentications_total{cached="false",` + who + `code="token_expired",method="local",realm="demo"}`:         1,
		`ginkeycloak_authentication_duration_seconds{` + who + `method="local",realm="demo"}`:                                   5,
		`ginkeycloak_refusals_total{` + who + `code="missing_roles",realm="demo"}`:                                              1,
		`ginkeycloak_refusals_total{` + who + `code="token_expired",realm="demo"}`:                                              1,
		`ginkeycloak_refusals_total{` + who + `code="missing_header",realm="demo"}`:                                             1,
		`ginkeycloak_refusals_total{` + who + `code="token_refresh_failed",realm="demo"}`:                                       1,
		`ginkeycloak_key_lookups_total{` + who + `realm="demo",result="miss"}`:                                                  1,
		`ginkeycloak_key_lookups_total{` + who + `realm="demo",result="hit"}`:                                                   1,
		`ginkeycloak_key_set_changes_total{` + who + `realm="demo",state="fresh"}`:                                              1,
		`ginkeycloak_key_set_changes_total{` + who + `realm="demo",state="stale"}`:                                              0,
		`ginkeycloak_refreshes_total{` + who + `code="ok",realm="demo"}`:                                                        1,
		`ginkeycloak_refreshes_total{` + who + `code="token_refresh_failed",realm="demo"}`:                                      1,
		`ginkeycloak_calls_total{call="discovery",` + who + `code="ok",realm="demo"}`:                                           1,
		`ginkeycloak_calls_total{call="key_set",` + who + `code="ok",realm="demo"}`:                                             1,
		`ginkeycloak_calls_total{call="token",` + who + `code="ok",realm="demo"}`:                                               2,
		`ginkeycloak_call_duration_seconds{call="token",` + who + `realm="demo"}`:                                               2,
		`ginkeycloak_keys_held{` + who + `realm="demo"}`:                                                                        1,
		`ginkeycloak_cached_tokens{` + who + `kind="verified",realm="demo"}`:                                                    2,
		`ginkeycloak_cached_tokens{` + who + `kind="active",realm="demo"}`:                                                      0,
		`ginkeycloak_breaker_state{call="token",` + who + `realm="demo",state="closed"}`:                                        1,
		`ginkeycloak_breaker_state{call="token",` + who + `realm="demo",state="open"}`:                                          0,

		`fc_kc_token_validation_total{` + who + `method="jwt",realm="demo"}`:                                    5,
		`fc_kc_token_validation_success_total{` + who + `method="jwt",realm="demo"}`:                            4,
		`fc_kc_token_validation_failure_total{` + who + `error_code="token_expired",method="jwt",realm="demo"}`: 1,
		`fc_kc_token_validation_latency_ms{` + who + `method="jwt",realm="demo"}`:                               5,
		`fc_kc_token_refresh_total{` + who + `realm="demo"}`:                                                    2,
		`fc_kc_token_refresh_success_total{` + who + `realm="demo"}`:                                            1,
		`fc_kc_token_refresh_failure_total{` + who + `error_code="token_refresh_failed",realm="demo"}`:          1,
		`fc_kc_token_refresh_latency_ms{` + who + `realm="demo"}`:                                               2,
		`fc_kc_jwks_fetch_latency_ms{` + who + `realm="demo"}`:                                                  1,
		`fc_kc_oidc_fetch_latency_ms{` + who + `realm="demo"}`:                                                  1,
		`fc_kc_jwks_cache_hits_total{` + who + `realm="demo"}`:                                                  1,
		`fc_kc_jwks_cache_misses_total{` + who + `realm="demo"}`:                                                1,
		`fc_kc_errors_total{` + who + `error_code="missing_header",realm="demo"}`:                               1,
		`fc_kc_errors_total{` + who + `error_code="invalid_header_format",realm="demo"}`:                        1,
		`fc_kc_errors_total{` + who + `error_code="token_expired",realm="demo"}`:                                1,
		`fc_kc_errors_total{` + who + `error_code="missing_roles",realm="demo"}`:                                1,
		`fc_kc_errors_total{` + who + `error_code="token_refresh_failed",realm="demo"}`:                         1,
	})
	if age := samples(t, reg)[`ginkeycloak_key_set_age_seconds{`+who+`realm="demo"}`]; age <= 0 || age > 60 {
		t.Errorf("the age of the key set = %v s, want that of this test", age)
	}
}

func TestIntrospection(t *testing.T) {
	t.Parallel()
	srv, reg := keycloaktest.New(t), prometheus.NewPedanticRegistry()
	trace := metrics.New(reg, metrics.WithPythonNames())
	kc := newPlugin(t, srv, ginkeycloak.WithIntrospection(), ginkeycloak.WithTrace(trace))
	api := newAPI(kc)
	expect(t, reg, map[string]float64{`ginkeycloak_keys_held{` + who + `realm="demo"}`: 0})
	if _, ok := samples(t, reg)[`ginkeycloak_key_set_age_seconds{`+who+`realm="demo"}`]; ok {
		t.Error("keys have an age before they were fetched")
	}
	token := srv.Token()
	get(t, api, "/me", token)
	get(t, api, "/me", token)
	get(t, api, "/me", "opaque")
	srv.Fail(keycloaktest.Introspection, keycloaktest.Status(500))
	for range 6 {
		get(t, api, "/me", srv.Token())
	}
	expect(t, reg, map[string]float64{
		`ginkeycloak_authentications_total{cached="false",` + who + `code="ok",method="introspection",realm="demo"}`:                          2,
		`ginkeycloak_authentications_total{cached="false",` + who + `code="introspection_service_error",method="introspection",realm="demo"}`: 6,
		`ginkeycloak_introspections_total{cached="false",` + who + `code="ok",realm="demo"}`:                                                  1,
		`ginkeycloak_introspections_total{cached="true",` + who + `code="ok",realm="demo"}`:                                                   1,
		`ginkeycloak_introspections_total{cached="false",` + who + `code="token_inactive",realm="demo"}`:                                      1,
		`ginkeycloak_introspections_total{cached="false",` + who + `code="introspection_service_error",realm="demo"}`:                         6,
		`ginkeycloak_calls_total{call="introspection",` + who + `code="keycloak_connection_error",realm="demo"}`:                              5,
		`ginkeycloak_cached_tokens{` + who + `kind="active",realm="demo"}`:                                                                    1,
		`ginkeycloak_breaker_state{call="introspection",` + who + `realm="demo",state="closed"}`:                                              0,
		`ginkeycloak_breaker_state{call="introspection",` + who + `realm="demo",state="half-open"}`:                                           0,
		`ginkeycloak_breaker_state{call="introspection",` + who + `realm="demo",state="open"}`:                                                1,

		`fc_kc_token_validation_total{` + who + `method="introspection",realm="demo"}`:                                                  9,
		`fc_kc_token_validation_success_total{` + who + `method="introspection",realm="demo"}`:                                          2,
		`fc_kc_token_validation_failure_total{` + who + `error_code="introspection_service_error",method="introspection",realm="demo"}`: 6,
	})
}

// everything tells a trace of everything that there is to tell.
func everything(t *testing.T, opts ...metrics.Option) *prometheus.Registry {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	trace := metrics.New(reg, opts...)
	kc := newPlugin(t, keycloaktest.New(t), ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOpaque()), ginkeycloak.WithTrace(trace))
	if err := kc.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, code := range append(ginkeycloak.Codes(), "") {
		for _, method := range []ginkeycloak.Method{ginkeycloak.MethodLocal, ginkeycloak.MethodIntrospection} {
			trace.Authenticated(ctx, ginkeycloak.Authenticated{Method: method, Code: code, Duration: time.Microsecond})
		}
		trace.Refused(ctx, ginkeycloak.Refused{Code: code, Route: "/me"})
		trace.Introspected(ctx, ginkeycloak.Introspected{Code: code, Duration: time.Millisecond})
		trace.Refreshed(ctx, ginkeycloak.Refreshed{Code: code, Duration: time.Millisecond})
		for _, call := range []ginkeycloak.Call{
			ginkeycloak.CallDiscovery, ginkeycloak.CallKeySet, ginkeycloak.CallIntrospection, ginkeycloak.CallToken, ginkeycloak.CallLogout,
		} {
			trace.CallDone(ctx, ginkeycloak.CallDone{Call: call, Code: code, Duration: time.Millisecond})
		}
	}
	return reg
}

func TestConventions(t *testing.T) {
	t.Parallel()
	problems, err := testutil.GatherAndLint(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestPythonNames holds the series to the list of the package's documents: names, kinds, labels, and milliseconds.
func TestPythonNames(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"fc_kc_token_validation_latency_ms":    "HISTOGRAM client_id method realm",
		"fc_kc_token_validation_total":         "COUNTER client_id method realm",
		"fc_kc_token_validation_success_total": "COUNTER client_id method realm",
		"fc_kc_token_validation_failure_total": "COUNTER client_id error_code method realm",
		"fc_kc_token_refresh_latency_ms":       "HISTOGRAM client_id realm",
		"fc_kc_token_refresh_total":            "COUNTER client_id realm",
		"fc_kc_token_refresh_success_total":    "COUNTER client_id realm",
		"fc_kc_token_refresh_failure_total":    "COUNTER client_id error_code realm",
		"fc_kc_jwks_fetch_latency_ms":          "HISTOGRAM client_id realm",
		"fc_kc_oidc_fetch_latency_ms":          "HISTOGRAM client_id realm",
		"fc_kc_jwks_cache_hits_total":          "COUNTER client_id realm",
		"fc_kc_jwks_cache_misses_total":        "COUNTER client_id realm",
		"fc_kc_errors_total":                   "COUNTER client_id error_code realm",
	}
	families, err := everything(t, metrics.WithPythonNames()).Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "fc_kc_") {
			continue
		}
		description := []string{family.GetType().String()}
		for _, l := range family.GetMetric()[0].GetLabel() {
			description = append(description, l.GetName())
		}
		got[family.GetName()] = strings.Join(description, " ")
	}
	if !maps.Equal(got, want) {
		t.Errorf("the series are\n%v\nwant\n%v", got, want)
	}

	reg := prometheus.NewPedanticRegistry()
	trace := metrics.New(reg, metrics.WithPythonNames())
	newPlugin(t, keycloaktest.New(t), ginkeycloak.WithTrace(trace))
	trace.Authenticated(t.Context(), ginkeycloak.Authenticated{Method: ginkeycloak.MethodLocal, Duration: 1500 * time.Microsecond})
	trace.Refreshed(t.Context(), ginkeycloak.Refreshed{Duration: 1500 * time.Microsecond})
	trace.CallDone(t.Context(), ginkeycloak.CallDone{Call: ginkeycloak.CallKeySet, Duration: 1500 * time.Microsecond})
	trace.CallDone(t.Context(), ginkeycloak.CallDone{Call: ginkeycloak.CallDiscovery, Duration: 1500 * time.Microsecond})
	if families, err = reg.Gather(); err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		want := 0.0015
		if strings.HasSuffix(family.GetName(), "_ms") {
			want = 1.5
		}
		if h := family.GetMetric()[0].GetHistogram(); h != nil && h.GetSampleSum() != want {
			t.Errorf("%s of 1.5 ms = %v, want %v", family.GetName(), h.GetSampleSum(), want)
		}
	}
}

// TestPythonFault13TotalWithoutMethod: the total counter of the Python package lacked its method label, and the size of its cache was
// not used.
func TestPythonFault13TotalWithoutMethod(t *testing.T) {
	t.Parallel()
	srv, reg := keycloaktest.New(t), prometheus.NewPedanticRegistry()
	const size = 20
	for method, option := range map[string]ginkeycloak.Option{
		"jwt":           ginkeycloak.WithTokenCache(size, time.Minute),
		"introspection": ginkeycloak.WithIntrospection(ginkeycloak.IntrospectionCache(size, time.Minute)),
	} {
		kc := newPlugin(t, srv, ginkeycloak.WithTrace(metrics.New(reg, metrics.WithPythonNames())), option)
		const tokens = 5 * size
		for range tokens {
			if _, err := kc.Authenticate(t.Context(), srv.Token()); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, reg, map[string]float64{
			`fc_kc_token_validation_total{` + who + `method="` + method + `",realm="demo"}`:         tokens,
			`fc_kc_token_validation_success_total{` + who + `method="` + method + `",realm="demo"}`: tokens,
		})
		got := samples(t, reg)
		kind := map[string]string{"jwt": "verified", "introspection": "active"}[method]
		if held := got[`ginkeycloak_cached_tokens{`+who+`kind="`+kind+`",realm="demo"}`]; held == 0 || held > size {
			t.Errorf("%s: %v tokens are remembered, want 1 to %d", method, held, size)
		}
	}
}

// Plugins of several realms share a registry, each by its labels.
func TestSeveralPlugins(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	srv := keycloaktest.New(t)
	for _, id := range []string{"orders-api", "billing"} {
		kc := newPlugin(t, srv, ginkeycloak.WithClientID(id), ginkeycloak.WithAudience("orders-api"),
			ginkeycloak.WithTrace(metrics.New(reg, metrics.WithPythonNames())))
		get(t, newAPI(kc), "/me", srv.Token())
	}
	// A plugin that takes the place of another one.
	newPlugin(t, srv, ginkeycloak.WithTrace(metrics.New(reg)))
	expect(t, reg, map[string]float64{
		`ginkeycloak_authentications_total{cached="false",client_id="orders-api",code="ok",method="local",realm="demo"}`: 1,
		`ginkeycloak_authentications_total{cached="false",client_id="billing",code="ok",method="local",realm="demo"}`:    1,
		`ginkeycloak_keys_held{client_id="orders-api",realm="demo"}`:                                                     0,
		`ginkeycloak_keys_held{client_id="billing",realm="demo"}`:                                                        1,
		`fc_kc_token_validation_total{client_id="billing",method="jwt",realm="demo"}`:                                    1,
	})
}

// A registerer that adds labels or a prefix is a registerer like any other.
func TestWrappedRegisterer(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	wrapped := prometheus.WrapRegistererWith(prometheus.Labels{"team": "orders"}, reg)
	for range 2 {
		newPlugin(t, keycloaktest.New(t), ginkeycloak.WithTrace(metrics.New(wrapped)))
	}
	expect(t, reg, map[string]float64{`ginkeycloak_keys_held{` + who + `realm="demo",team="orders"}`: 0})
}

func TestMistakesPanic(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	trace := metrics.New(prometheus.NewRegistry())
	newPlugin(t, srv, ginkeycloak.WithTrace(trace))
	taken := prometheus.NewRegistry()
	taken.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "ginkeycloak_keys_held"}))
	tests := []struct {
		name, want string
		make       func()
	}{
		{"one trace for two plugins", "call metrics.New for each", func() { newPlugin(t, srv, ginkeycloak.WithTrace(trace)) }},
		{"a name that is taken", "another metric of this name is registered", func() { metrics.New(taken) }},
		{"no registerer", "the registerer is nil", func() { metrics.New(nil) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, tt.want) {
					t.Errorf("%s: panic %q, want one with %q", tt.name, got, tt.want)
				}
			}()
			tt.make()
		})
	}
}

// What this version does not know makes no label: a code that a program made up, and words of a later version.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	srv, reg := keycloaktest.New(t), prometheus.NewPedanticRegistry()
	const mark = "XmarkX"
	trace := metrics.New(reg, metrics.WithPythonNames())
	trace.Authenticated(t.Context(), ginkeycloak.Authenticated{Method: ginkeycloak.MethodLocal}) // of no plugin
	api := newAPI(newPlugin(t, srv, ginkeycloak.WithTrace(trace)))
	get(t, api, "/"+mark, "")
	for _, opt := range []keycloaktest.TokenOption{
		keycloaktest.Issuer(mark), keycloaktest.Audience(mark), keycloaktest.Type(mark), keycloaktest.KeyID(mark),
		keycloaktest.Header("alg", mark), keycloaktest.Subject(mark), keycloaktest.AuthorizedParty(mark),
	} {
		get(t, api, "/admin", srv.Token(opt, keycloaktest.Claim("email", mark)))
	}
	refresh(t, api, mark)
	ctx := context.Background()
	trace.Authenticated(ctx, ginkeycloak.Authenticated{Method: mark})
	trace.Authenticated(ctx, ginkeycloak.Authenticated{Method: ginkeycloak.MethodLocal, Code: mark})
	trace.CallDone(ctx, ginkeycloak.CallDone{Call: mark})
	trace.KeysChanged(ginkeycloak.KeysChanged{State: mark})
	for sample := range samples(t, reg) {
		if strings.Contains(sample, mark) {
			t.Errorf("the mark is in %s", sample)
		}
	}
	expect(t, reg, map[string]float64{
		`ginkeycloak_authentications_total{cached="false",` + who + `code="other",method="local",realm="demo"}`: 1,
		`fc_kc_errors_total{` + who + `error_code="other",realm="demo"}`:                                        1,
	})
}

// Events and scrapes at the same time.
func TestConcurrentScrapes(t *testing.T) {
	t.Parallel()
	srv, reg := keycloaktest.New(t), prometheus.NewPedanticRegistry()
	kc := newPlugin(t, srv, ginkeycloak.WithTrace(metrics.New(reg, metrics.WithPythonNames())))
	token := srv.Token()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := kc.Authenticate(t.Context(), token); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 10 {
				if _, err := reg.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() { newPlugin(t, srv, ginkeycloak.WithTrace(metrics.New(reg))) })
	}
	wg.Wait()
	if got := samples(t, reg)[`fc_kc_token_validation_total{`+who+`method="jwt",realm="demo"}`]; got != 400 {
		t.Errorf("fc_kc_token_validation_total = %v, want 400", got)
	}
}

// An event costs no memory, whichever it is.
func TestAllocEvents(t *testing.T) {
	ctx := t.Context()
	trace := metrics.New(prometheus.NewRegistry(), metrics.WithPythonNames())
	newPlugin(t, keycloaktest.New(t), ginkeycloak.WithTrace(trace))
	durations := []time.Duration{700 * time.Nanosecond, 40 * time.Microsecond, 3 * time.Millisecond, 2 * time.Second}
	i := 0
	duration := func() time.Duration { i++; return durations[i%len(durations)] }
	for name, event := range map[string]func(){
		"accepted": func() { trace.Authenticated(ctx, ginkeycloak.Authenticated{Method: "local", Duration: duration()}) },
		"recognised": func() {
			trace.Authenticated(ctx, ginkeycloak.Authenticated{Method: "local", Cached: true, Duration: duration()})
		},
		"expired": func() {
			trace.Authenticated(ctx, ginkeycloak.Authenticated{Method: "local", Code: ginkeycloak.CodeTokenExpired, Duration: duration()})
		},
		"refused":      func() { trace.Refused(ctx, ginkeycloak.Refused{Code: ginkeycloak.CodeMissingRoles, Route: "/me"}) },
		"key looked":   func() { trace.KeyLooked(ctx, ginkeycloak.KeyLooked{Held: true}) },
		"introspected": func() { trace.Introspected(ctx, ginkeycloak.Introspected{Remembered: true}) },
		"call":         func() { trace.CallDone(ctx, ginkeycloak.CallDone{Call: "token", Duration: duration()}) },
	} {
		for range durations {
			event() // what is made once, in both of the counts that a histogram has
		}
		if got := testing.AllocsPerRun(1000, event); got != 0 {
			t.Errorf("%s: %v allocations for each event, want 0", name, got)
		}
	}
}

// Nor does a request cost more with metrics than without.
func TestAllocAuthenticate(t *testing.T) {
	srv := keycloaktest.New(t)
	token := srv.Token()
	count := func(opts ...ginkeycloak.Option) float64 {
		kc := newPlugin(t, srv, opts...)
		return testing.AllocsPerRun(5000, func() { // many, because a new bucket of a histogram costs memory, once
			if _, err := kc.Authenticate(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
	with := ginkeycloak.WithTrace(metrics.New(prometheus.NewRegistry(), metrics.WithPythonNames()))
	if without, with := count(), count(with); with > without {
		t.Errorf("%v allocations with metrics, %v without, want no more", with, without)
	}
}

func BenchmarkAuthenticated(b *testing.B) {
	for name, opts := range map[string][]metrics.Option{"default": nil, "with Python names": {metrics.WithPythonNames()}} {
		b.Run(name, func(b *testing.B) {
			trace := metrics.New(prometheus.NewRegistry(), opts...)
			kc, err := ginkeycloak.New(ginkeycloak.WithIssuer("https://sso.example.com/realms/demo"),
				ginkeycloak.WithClientID("orders-api"), ginkeycloak.WithTrace(trace))
			if err != nil {
				b.Fatal(err)
			}
			defer kc.Close()
			b.ReportAllocs()
			for b.Loop() {
				trace.Authenticated(b.Context(), ginkeycloak.Authenticated{Method: ginkeycloak.MethodLocal, Duration: 40 * time.Microsecond})
			}
		})
	}
}
