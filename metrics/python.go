package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/c0mpiler/ginkeycloak"
)

const (
	pythonNamespace = "fc_kc"
	labelErrorCode  = "error_code"
)

// pythonSeries are the metrics of fastapi-authlib-keycloak 0.3.6, as its documents list them. Its code had some other
// names, and counted the total without its method.
type pythonSeries struct {
	collectors

	judging, exchanging          *prometheus.HistogramVec
	fetchingKeys, fetchingConfig *prometheus.HistogramVec
	judged, accepted, rejected   *prometheus.CounterVec
	exchanges, exchanged, denied *prometheus.CounterVec
	keyHits, keyMisses, mishaps  *prometheus.CounterVec
}

func newPythonSeries() *pythonSeries {
	s := new(pythonSeries)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return s.counter(prometheus.CounterOpts{Namespace: pythonNamespace, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets durations, labels ...string) *prometheus.HistogramVec {
		return s.histogram(prometheus.HistogramOpts{
			Namespace: pythonNamespace, Name: name, Help: help, Buckets: buckets.in(milliseconds),
		}, labels)
	}
	s.judging = histogram("token_validation_latency_ms", "Time to judge a token, in milliseconds.", tokenBuckets, labelMethod)
	s.judged = counter("token_validation_total", "Tokens that were judged.", labelMethod)
	s.accepted = counter("token_validation_success_total", "Tokens that were accepted.", labelMethod)
	s.rejected = counter("token_validation_failure_total", "Tokens that were not.", labelMethod, labelErrorCode)
	s.exchanging = histogram("token_refresh_latency_ms", "Time to exchange a refresh token, in milliseconds.", callBuckets)
	s.exchanges = counter("token_refresh_total", "Refresh tokens that were sent to Keycloak.")
	s.exchanged = counter("token_refresh_success_total", "Refresh tokens that were exchanged.")
	s.denied = counter("token_refresh_failure_total", "Refresh tokens that were not.", labelErrorCode)
	s.fetchingKeys = histogram("jwks_fetch_latency_ms", "Time to fetch the key set, in milliseconds.", callBuckets)
	s.fetchingConfig = histogram("oidc_fetch_latency_ms", "Time to fetch the discovery document, in milliseconds.", callBuckets)
	s.keyHits = counter("jwks_cache_hits_total", "Keys that were held when they were looked up.")
	s.keyMisses = counter("jwks_cache_misses_total", "Keys that were not.")
	s.mishaps = counter("errors_total", "Tokens and requests that were refused, refreshes and fetches that failed.", labelErrorCode)
	return s
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// pythonMethods are the names of the ways to judge a token.
var pythonMethods = map[ginkeycloak.Method]string{
	ginkeycloak.MethodLocal:         "jwt",
	ginkeycloak.MethodIntrospection: "introspection",
}

// of returns what writes the series of one plugin.
func (s *pythonSeries) of(id identity) recorder {
	labels := id.labels()
	p := &pythonPlugin{
		judgements: make(map[ginkeycloak.Method]*judgements),
		exchanging: newHistogram(s.exchanging.MustCurryWith(labels)),
		exchanges:  s.exchanges.With(labels),
		exchanged:  s.exchanged.With(labels),
		denied:     newByCode(s.denied.MustCurryWith(labels)),
		fetching: map[ginkeycloak.Call]histogram{
			ginkeycloak.CallKeySet:    newHistogram(s.fetchingKeys.MustCurryWith(labels)),
			ginkeycloak.CallDiscovery: newHistogram(s.fetchingConfig.MustCurryWith(labels)),
		},
		keyHits:   s.keyHits.With(labels),
		keyMisses: s.keyMisses.With(labels),
		mishaps:   newByCode(s.mishaps.MustCurryWith(labels)),
	}
	for method, name := range pythonMethods {
		labels := id.labels(labelMethod, name)
		p.judgements[method] = &judgements{
			duration: newHistogram(s.judging.MustCurryWith(labels)),
			all:      newLazy(s.judged.MustCurryWith(labels)),
			accepted: newLazy(s.accepted.MustCurryWith(labels)),
			rejected: newByCode(s.rejected.MustCurryWith(labels)),
		}
	}
	return p
}

// pythonPlugin are the series of one plugin.
type pythonPlugin struct {
	judgements           map[ginkeycloak.Method]*judgements
	exchanging           histogram
	exchanges, exchanged prometheus.Counter
	denied               byCode
	fetching             map[ginkeycloak.Call]histogram
	keyHits, keyMisses   prometheus.Counter
	mishaps              byCode
}

// judgements of tokens by one method.
type judgements struct {
	duration      histogram
	all, accepted lazy
	rejected      byCode
}

func (p *pythonPlugin) authenticated(e ginkeycloak.Authenticated) {
	p.mishap(e.Code)
	j, ok := p.judgements[e.Method]
	if !ok || !hadToken(e.Code) {
		return
	}
	j.duration().Observe(milliseconds(e.Duration))
	j.all().Inc()
	if e.Code == "" {
		j.accepted().Inc()
		return
	}
	j.rejected.inc(e.Code)
}

func (p *pythonPlugin) mishap(code ginkeycloak.Code) {
	if code != "" {
		p.mishaps.inc(code)
	}
}

// refused counts what no other event tells of: a requirement that a good token does not meet, and a refresh request
// that is none.
func (p *pythonPlugin) refused(e ginkeycloak.Refused) {
	switch e.Code {
	case ginkeycloak.CodeNotAuthenticated, ginkeycloak.CodeMissingRoles, ginkeycloak.CodeMissingGroups,
		ginkeycloak.CodeMissingScope, ginkeycloak.CodeForbidden, ginkeycloak.CodeInvalidRequest,
		ginkeycloak.CodeCrossSite, ginkeycloak.CodeMethodNotAllowed, ginkeycloak.CodeRequestTooLarge,
		ginkeycloak.CodeUnsupportedMediaType:
		p.mishap(e.Code)
	}
}

func (p *pythonPlugin) keyLooked(e ginkeycloak.KeyLooked) {
	if e.Held {
		p.keyHits.Inc()
		return
	}
	p.keyMisses.Inc()
}

func (p *pythonPlugin) keysChanged(ginkeycloak.KeysChanged) {}

func (p *pythonPlugin) introspected(ginkeycloak.Introspected) {}

func (p *pythonPlugin) refreshed(e ginkeycloak.Refreshed) {
	p.mishap(e.Code)
	p.exchanging().Observe(milliseconds(e.Duration))
	p.exchanges.Inc()
	if e.Code == "" {
		p.exchanged.Inc()
		return
	}
	p.denied.inc(e.Code)
}

func (p *pythonPlugin) callDone(e ginkeycloak.CallDone) {
	fetching, ok := p.fetching[e.Call]
	if !ok {
		return // introspection and refresh are told of by their own events
	}
	p.mishap(e.Code)
	fetching().Observe(milliseconds(e.Duration))
}
