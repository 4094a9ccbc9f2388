package metrics

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/c0mpiler/ginkeycloak"
)

// collectors are the vectors of a set of series.
type collectors []prometheus.Collector

func (cs *collectors) counter(opts prometheus.CounterOpts, labels []string) *prometheus.CounterVec {
	vec := prometheus.NewCounterVec(opts, withIdentity(labels))
	*cs = append(*cs, vec)
	return vec
}

func (cs *collectors) histogram(opts prometheus.HistogramOpts, labels []string) *prometheus.HistogramVec {
	opts.NativeHistogramBucketFactor = 1.1
	opts.NativeHistogramMaxBucketNumber = 100
	opts.NativeHistogramMinResetDuration = time.Hour
	vec := prometheus.NewHistogramVec(opts, withIdentity(labels))
	*cs = append(*cs, vec)
	return vec
}

func withIdentity(labels []string) []string {
	return slices.Concat([]string{labelRealm, labelClientID}, labels)
}

// Describe implements prometheus.Collector.
func (cs *collectors) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range *cs {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (cs *collectors) Collect(ch chan<- prometheus.Metric) {
	for _, c := range *cs {
		c.Collect(ch)
	}
}

type durations []time.Duration

// in gives the durations in a unit.
func (ds durations) in(unit func(time.Duration) float64) []float64 {
	values := make([]float64, len(ds))
	for i, d := range ds {
		values[i] = unit(d)
	}
	return values
}

const (
	codeOK    = "ok"    // what the label says where nothing went wrong
	codeOther = "other" // what it says where a plug of the program's made up a code of its own
)

// lazy is a counter that is made when it is first needed: a program sees few of the thirty codes.
type lazy func() prometheus.Counter

func newLazy(vec *prometheus.CounterVec, values ...string) lazy {
	return sync.OnceValue(func() prometheus.Counter { return vec.WithLabelValues(values...) })
}

// byCode is a counter for each code.
type byCode map[ginkeycloak.Code]lazy

// newByCode takes a vector of which only the code is still open.
func newByCode(vec *prometheus.CounterVec) byCode {
	c := byCode{"": newLazy(vec, codeOK), codeOther: newLazy(vec, codeOther)}
	for _, code := range ginkeycloak.Codes() {
		c[code] = newLazy(vec, string(code))
	}
	return c
}

func (c byCode) inc(code ginkeycloak.Code) {
	counter, ok := c[code]
	if !ok {
		counter = c[codeOther]
	}
	counter().Inc()
}

// histogram is a histogram that is made when it is first needed.
type histogram func() prometheus.Observer

// newHistogram takes a vector of which nothing is open any more.
func newHistogram(vec prometheus.ObserverVec) histogram {
	return sync.OnceValue(func() prometheus.Observer { return vec.WithLabelValues() })
}
