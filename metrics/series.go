package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/c0mpiler/ginkeycloak"
)

const (
	namespace = "ginkeycloak"

	labelRealm    = "realm"
	labelClientID = "client_id"
	labelMethod   = "method"
	labelCode     = "code"
	labelCall     = "call"
	labelState    = "state"
	labelCached   = "cached"
	labelResult   = "result"
	labelKind     = "kind"
)

// The words that become labels.
var (
	methods      = []ginkeycloak.Method{ginkeycloak.MethodLocal, ginkeycloak.MethodIntrospection}
	keySetStates = []ginkeycloak.KeySetState{
		ginkeycloak.KeysFresh, ginkeycloak.KeysRotated, ginkeycloak.KeysUnfetched, ginkeycloak.KeysStale,
	}
	calls = []ginkeycloak.Call{
		ginkeycloak.CallDiscovery, ginkeycloak.CallKeySet, ginkeycloak.CallIntrospection, ginkeycloak.CallToken,
		ginkeycloak.CallLogout,
	}
	breakerStates = []ginkeycloak.BreakerState{
		ginkeycloak.BreakerClosed, ginkeycloak.BreakerHalfOpen, ginkeycloak.BreakerOpen,
	}
)

// The buckets. A token is recognised in a microsecond, judged in tens of them, or waits for a call to Keycloak. Beside them there are
// native histograms, where Prometheus scrapes those.
var (
	tokenBuckets = durations{
		time.Microsecond, 10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond,
		250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond,
		10 * time.Millisecond, 50 * time.Millisecond, 250 * time.Millisecond, time.Second, 5 * time.Second, 10 * time.Second,
	}
	callBuckets = durations{
		time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
		50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
	}
)

// series are the metrics with conventional names. One value serves all plugins of a registry.
type series struct {
	collectors

	authentications *prometheus.CounterVec
	judging         *prometheus.HistogramVec
	refusals        *prometheus.CounterVec
	keyLookups      *prometheus.CounterVec
	keySetChanges   *prometheus.CounterVec
	introspections  *prometheus.CounterVec
	refreshes       *prometheus.CounterVec
	calls           *prometheus.CounterVec
	calling         *prometheus.HistogramVec
	keySetAge       *prometheus.Desc
	keysHeld        *prometheus.Desc
	cachedTokens    *prometheus.Desc
	breakerState    *prometheus.Desc

	mu      sync.Mutex // guards plugins
	plugins map[identity]*ginkeycloak.Plugin
}

func newSeries() *series {
	s := &series{plugins: make(map[identity]*ginkeycloak.Plugin)}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return s.counter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets durations, labels ...string) *prometheus.HistogramVec {
		return s.histogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: name, Help: help, Buckets: buckets.in(time.Duration.Seconds),
		}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, withIdentity(labels), nil)
	}
	s.authentications = counter("authentications_total",
		"Requests whose token was judged, or found missing: how it is judged, whether it was recognised, and the code it was refused with, or ok.",
		labelMethod, labelCached, labelCode)
	s.judging = histogram("authentication_duration_seconds",
		"Time to judge a token, waiting for Keycloak included.", tokenBuckets, labelMethod)
	s.refusals = counter("refusals_total",
		"Refusals that were written, those for lack of a role included, by code.", labelCode)
	s.keyLookups = counter("key_lookups_total",
		"Look-ups of the key of a token's signature: hit if it was held, miss if not.", labelResult)
	s.keySetChanges = counter("key_set_changes_total",
		"Changes of the key set's state: fresh, rotated, unfetched, stale.", labelState)
	s.introspections = counter("introspections_total",
		"Introspections, by whether the answer was remembered and by code, or ok.", labelCached, labelCode)
	s.refreshes = counter("refreshes_total",
		"Refresh tokens that were sent to Keycloak, by code or ok.", labelCode)
	s.calls = counter("calls_total",
		"Calls to Keycloak, by what is called and by code, or ok.", labelCall, labelCode)
	s.calling = histogram("call_duration_seconds",
		"Time that calls to Keycloak take.", callBuckets, labelCall)
	s.keySetAge = gauge("key_set_age_seconds",
		"Time since the keys were fetched. Not there before they are. Keys are fetched on demand: without requests it grows.")
	s.keysHeld = gauge("keys_held", "Keys of the realm that are held and can be used.")
	s.cachedTokens = gauge("cached_tokens", "Tokens that are remembered: as verified locally, or as active by introspection.", labelKind)
	s.breakerState = gauge("breaker_state",
		"State of the breaker before an endpoint of Keycloak: 1 for the one it is in, 0 for the others.", labelCall, labelState)
	return s
}

// watch has the gauges show a plugin. It takes the place of one with the same labels, which has likely been closed.
func (s *series) watch(id identity, p *ginkeycloak.Plugin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plugins[id] = p
}

// Describe implements prometheus.Collector.
func (s *series) Describe(ch chan<- *prometheus.Desc) {
	s.collectors.Describe(ch)
	for _, desc := range []*prometheus.Desc{s.keySetAge, s.keysHeld, s.cachedTokens, s.breakerState} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (s *series) Collect(ch chan<- prometheus.Metric) {
	s.collectors.Collect(ch)
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, p := range s.plugins {
		s.collectState(ch, id, p.Stats())
	}
}

func (s *series) collectState(ch chan<- prometheus.Metric, id identity, stats ginkeycloak.Stats) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		labels = append([]string{id.realm, id.clientID}, labels...)
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	if !stats.KeysFetchedAt.IsZero() {
		gauge(s.keySetAge, time.Since(stats.KeysFetchedAt).Seconds())
	}
	gauge(s.keysHeld, float64(stats.Keys))
	gauge(s.cachedTokens, float64(stats.VerifiedTokens), "verified")
	gauge(s.cachedTokens, float64(stats.ActiveTokens), "active")
	for call, current := range stats.Breakers {
		for _, state := range breakerStates {
			value := 0.0
			if state == current {
				value = 1
			}
			gauge(s.breakerState, value, string(call), string(state))
		}
	}
}

// of returns what writes the series of one plugin.
func (s *series) of(id identity) recorder {
	labels := id.labels()
	lookups, changes := s.keyLookups.MustCurryWith(labels), s.keySetChanges.MustCurryWith(labels)
	p := &pluginSeries{
		authentications: make(map[ginkeycloak.Method]*authentications),
		refusals:        newByCode(s.refusals.MustCurryWith(labels)),
		keyHits:         lookups.WithLabelValues("hit"),
		keyMisses:       lookups.WithLabelValues("miss"),
		keySetChanges:   make(map[ginkeycloak.KeySetState]prometheus.Counter),
		asked:           newByCode(s.introspections.MustCurryWith(id.labels(labelCached, "false"))),
		remembered:      newByCode(s.introspections.MustCurryWith(id.labels(labelCached, "true"))),
		refreshes:       newByCode(s.refreshes.MustCurryWith(labels)),
		calls:           make(map[ginkeycloak.Call]*callsOf),
	}
	for _, method := range methods {
		labels := id.labels(labelMethod, string(method))
		outcomes := s.authentications.MustCurryWith(labels)
		p.authentications[method] = &authentications{
			judged:     newByCode(outcomes.MustCurryWith(prometheus.Labels{labelCached: "false"})),
			recognised: newByCode(outcomes.MustCurryWith(prometheus.Labels{labelCached: "true"})),
			duration:   newHistogram(s.judging.MustCurryWith(labels)),
		}
	}
	for _, state := range keySetStates {
		p.keySetChanges[state] = changes.WithLabelValues(string(state))
	}
	for _, call := range calls {
		labels := id.labels(labelCall, string(call))
		p.calls[call] = &callsOf{
			outcomes: newByCode(s.calls.MustCurryWith(labels)),
			duration: newHistogram(s.calling.MustCurryWith(labels)),
		}
	}
	return p
}

// pluginSeries are the series of one plugin. A word that its maps do not have is not counted: it must not become a
// label that dashboards do not know.
type pluginSeries struct {
	authentications    map[ginkeycloak.Method]*authentications
	refusals           byCode
	keyHits, keyMisses prometheus.Counter
	keySetChanges      map[ginkeycloak.KeySetState]prometheus.Counter
	asked, remembered  byCode
	refreshes          byCode
	calls              map[ginkeycloak.Call]*callsOf
}

// authentications are those by one method.
type authentications struct {
	judged, recognised byCode
	duration           histogram
}

// callsOf are the calls to one endpoint.
type callsOf struct {
	outcomes byCode
	duration histogram
}

func (p *pluginSeries) authenticated(e ginkeycloak.Authenticated) {
	a, ok := p.authentications[e.Method]
	if !ok {
		return
	}
	outcomes := a.judged
	if e.Cached {
		outcomes = a.recognised
	}
	outcomes.inc(e.Code)
	if hadToken(e.Code) {
		a.duration().Observe(e.Duration.Seconds())
	}
}

// hadToken reports whether an authentication with that outcome got as far as judging a token.
func hadToken(code ginkeycloak.Code) bool {
	return code != ginkeycloak.CodeMissingHeader && code != ginkeycloak.CodeInvalidHeaderFormat
}

func (p *pluginSeries) refused(e ginkeycloak.Refused) { p.refusals.inc(e.Code) }

func (p *pluginSeries) keyLooked(e ginkeycloak.KeyLooked) {
	if e.Held {
		p.keyHits.Inc()
		return
	}
	p.keyMisses.Inc()
}

func (p *pluginSeries) keysChanged(e ginkeycloak.KeysChanged) {
	if counter, ok := p.keySetChanges[e.State]; ok {
		counter.Inc()
	}
}

func (p *pluginSeries) introspected(e ginkeycloak.Introspected) {
	if e.Remembered {
		p.remembered.inc(e.Code)
		return
	}
	p.asked.inc(e.Code)
}

func (p *pluginSeries) refreshed(e ginkeycloak.Refreshed) { p.refreshes.inc(e.Code) }

func (p *pluginSeries) callDone(e ginkeycloak.CallDone) {
	c, ok := p.calls[e.Call]
	if !ok {
		return
	}
	c.outcomes.inc(e.Code)
	c.duration().Observe(e.Duration.Seconds())
}
