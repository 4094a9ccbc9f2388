// Package metrics counts what a ginkeycloak.Plugin does, for Prometheus:
//
//	registry := prometheus.NewRegistry()
//	kc, err := ginkeycloak.New(
//		ginkeycloak.WithTrace(metrics.New(registry)),
//		// where Keycloak is, and so on
//	)
//
// Labels are the plugin's realm and client ID, and words that this library chose: how a token was judged, the code
// of a refusal, the call that was made. Nothing in them was read from a token or a request. dashboard.json, for
// Grafana, and alerts.yaml, for Prometheus, are beside this file.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/c0mpiler/ginkeycloak"
)

// An Option says what New registers.
type Option func(*config)

type config struct{ pythonNames bool }

// WithPythonNames registers, in addition, the thirteen fc_kc_… series of the Python package
// fastapi-authlib-keycloak, with its labels and in milliseconds, so that dashboards can move over. They are written
// from the same events; once the dashboards are moved, leave it out. Default: off.
func WithPythonNames() Option { return func(c *config) { c.pythonNames = true } }

// New returns a trace that counts what one plugin does, and registers the series with reg. It belongs to the plugin
// that it is given to: another one, of another realm perhaps, wants a trace of its own, and may share reg. The same
// series then hold both, told apart by the labels realm and client_id; of two plugins that have these in common the
// counters add up, and the gauges show the younger one.
//
// It panics, like prometheus.MustRegister, if reg has another metric of one of the names, and New of ginkeycloak
// does if a second plugin is given the same trace.
func New(reg prometheus.Registerer, opts ...Option) *ginkeycloak.Trace {
	var c config
	for _, opt := range opts {
		opt(&c)
	}
	if reg == nil {
		panic("metrics: New: the registerer is nil")
	}
	t := &trace{series: register(reg, newSeries())}
	if c.pythonNames {
		t.python = register(reg, newPythonSeries())
	}
	return &ginkeycloak.Trace{
		Created: t.created,
		Authenticated: func(_ context.Context, e ginkeycloak.Authenticated) {
			t.each(func(r recorder) { r.authenticated(e) })
		},
		Refused:      func(_ context.Context, e ginkeycloak.Refused) { t.each(func(r recorder) { r.refused(e) }) },
		KeyLooked:    func(_ context.Context, e ginkeycloak.KeyLooked) { t.each(func(r recorder) { r.keyLooked(e) }) },
		KeysChanged:  func(e ginkeycloak.KeysChanged) { t.each(func(r recorder) { r.keysChanged(e) }) },
		Introspected: func(_ context.Context, e ginkeycloak.Introspected) { t.each(func(r recorder) { r.introspected(e) }) },
		Refreshed:    func(_ context.Context, e ginkeycloak.Refreshed) { t.each(func(r recorder) { r.refreshed(e) }) },
		CallDone:     func(_ context.Context, e ginkeycloak.CallDone) { t.each(func(r recorder) { r.callDone(e) }) },
	}
}

// register registers a collector, or finds the one that a call of New before this one registered.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	err := reg.Register(c)
	if err == nil {
		return c
	}
	if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if earlier, ok := known.ExistingCollector.(C); ok {
			return earlier
		}
	}
	panic(fmt.Sprintf("metrics: New: another metric of this name is registered: %v", err))
}

// trace is what stands behind a ginkeycloak.Trace.
type trace struct {
	series    *series
	python    *pythonSeries // nil for none
	recorders atomic.Pointer[[]recorder]
}

// recorder writes what happens to one plugin.
type recorder interface {
	authenticated(e ginkeycloak.Authenticated)
	refused(e ginkeycloak.Refused)
	keyLooked(e ginkeycloak.KeyLooked)
	keysChanged(e ginkeycloak.KeysChanged)
	introspected(e ginkeycloak.Introspected)
	refreshed(e ginkeycloak.Refreshed)
	callDone(e ginkeycloak.CallDone)
}

// created looks the plugin's children of all series up, so that events need not.
func (t *trace) created(p *ginkeycloak.Plugin) {
	stats := p.Stats()
	id := identity{realm: strings.ToValidUTF8(stats.Realm, "?"), clientID: strings.ToValidUTF8(stats.ClientID, "?")}
	recorders := []recorder{t.series.of(id)}
	if t.python != nil {
		recorders = append(recorders, t.python.of(id))
	}
	if !t.recorders.CompareAndSwap(nil, &recorders) {
		panic("metrics: two plugins were given the same trace: call metrics.New for each")
	}
	t.series.watch(id, p)
}

func (t *trace) each(record func(recorder)) {
	recorders := t.recorders.Load()
	if recorders == nil {
		return // no plugin was made with this trace
	}
	for _, r := range *recorders {
		record(r)
	}
}

// identity are the labels that every series has.
type identity struct{ realm, clientID string }

// labels are those of the plugin, and further ones: name, value, name, value.
func (id identity) labels(further ...string) prometheus.Labels {
	labels := prometheus.Labels{labelRealm: id.realm, labelClientID: id.clientID}
	for pair := range slices.Chunk(further, 2) {
		labels[pair[0]] = pair[1]
	}
	return labels
}
