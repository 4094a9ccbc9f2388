package ginkeycloak

import (
	"context"
	"net/http"
	"time"

	"github.com/c0mpiler/ginkeycloak/internal/keycloak"
	"github.com/c0mpiler/ginkeycloak/internal/keys"
)

// Trace is a set of hooks that are told what the library does, in the manner of net/http/httptrace. Each may be
// nil. They run on the goroutine that does the work, so they should be quick and must be safe for concurrent
// use. What they are told holds no token, no secret and nothing of a user; package metrics and module
// otelkeycloak are made of them.
type Trace struct {
	// Created is called by New, with the plugin whose Stats can be read from then on.
	Created func(p *Plugin)
	// Authenticated is called when a token was judged, or found missing.
	Authenticated func(ctx context.Context, e Authenticated)
	// Refused is called for each refusal that is written, those for lack of a role included.
	Refused func(ctx context.Context, e Refused)
	// KeyLooked is called when the key of a token's signature was looked up.
	KeyLooked func(ctx context.Context, e KeyLooked)
	// KeysChanged is called when the state of the key set changed.
	KeysChanged func(e KeysChanged)
	// Introspected is called when Keycloak's word about a token was had, from memory or by a call.
	Introspected func(ctx context.Context, e Introspected)
	// Refreshed is called when a refresh token was exchanged, or not.
	Refreshed func(ctx context.Context, e Refreshed)
	// CallStarted is called before a call to Keycloak, which is then made with the context it returns. It may add
	// fields to the request's header.
	CallStarted func(ctx context.Context, e CallStarted) context.Context
	// CallDone is called after a call to Keycloak, with the context that CallStarted returned.
	CallDone func(ctx context.Context, e CallDone)
}

// Method says how a token was judged.
type Method string

// The ways to judge a token.
const (
	MethodLocal         Method = "local"         // by its signature
	MethodIntrospection Method = "introspection" // by asking Keycloak
)

// Authenticated tells of a token that was judged.
type Authenticated struct {
	Method   Method
	Code     Code // "" if it was accepted
	Cached   bool // it was validated before and recognised
	Duration time.Duration
}

// Refused tells of a refusal.
type Refused struct {
	Code  Code
	Route string // pattern of the route, "" if there is none
}

// KeyLooked tells of a look-up of a key.
type KeyLooked struct {
	Held bool // without waiting for a fetch
}

// KeySetState is a state of the key set.
type KeySetState string

// The states of the key set.
const (
	KeysFresh     KeySetState = "fresh"     // fetched
	KeysRotated   KeySetState = "rotated"   // fetched, and not the same keys as before
	KeysUnfetched KeySetState = "unfetched" // could not be fetched; those that are held, if any, are used
	KeysStale     KeySetState = "stale"     // could not be fetched for so long that those held are not used any more
)

// KeysChanged tells of a change of the key set's state.
type KeysChanged struct {
	State KeySetState
	Keys  int // usable keys that are held
}

// Introspected tells of an introspection.
type Introspected struct {
	Code       Code // "" if the token is active and good
	Remembered bool // without a call
	Duration   time.Duration
}

// Refreshed tells of an exchange of a refresh token.
type Refreshed struct {
	Code     Code // "" if there are new tokens
	Duration time.Duration
}

// Call says what is called.
type Call string

// The calls to Keycloak.
const (
	CallDiscovery     Call = "discovery"
	CallKeySet        Call = "key_set"
	CallIntrospection Call = "introspection"
	CallToken         Call = "token"
	CallLogout        Call = "logout"
)

// CallStarted tells of a call that is about to be made.
type CallStarted struct {
	Call   Call
	Method string // of HTTP
	URL    string
	Header http.Header // of the request, to which fields may be added
}

// CallDone tells of a call that was made.
type CallDone struct {
	Call     Call
	Status   int  // of HTTP, 0 without an answer
	Code     Code // "" if the answer was as it should be
	Duration time.Duration
}

// Stats is the state of a Plugin at one moment, for gauges.
type Stats struct {
	Realm, ClientID string
	Keys            int       // usable keys held
	KeysFetchedAt   time.Time // the zero time if never
	VerifiedTokens  int       // tokens remembered that were validated locally
	ActiveTokens    int       // tokens remembered as active by introspection
	Breakers        map[Call]BreakerState
}

// BreakerState is the state of the breaker before an endpoint.
type BreakerState string

// The states of a breaker.
const (
	BreakerClosed   BreakerState = "closed" // calls are made
	BreakerHalfOpen BreakerState = "half-open"
	BreakerOpen     BreakerState = "open" // calls are not made, the endpoint has failed too often
)

// Stats returns the plugin's state, without any call.
func (p *Plugin) Stats() Stats {
	s := Stats{Realm: p.cfg.realm, ClientID: p.cfg.clientID, Breakers: make(map[Call]BreakerState)}
	s.Keys, s.KeysFetchedAt = p.home.keys.Snapshot()
	s.VerifiedTokens = p.home.verified.len()
	if p.home.introspector != nil {
		s.ActiveTokens = p.home.introspector.active.Len()
	}
	for call, state := range p.home.client.Breakers() {
		s.Breakers[Call(call)] = BreakerState(state)
	}
	return s
}

// WithTrace has hooks told what the library does. It can be repeated; all are called, in the order given.
func WithTrace(traces ...*Trace) Option {
	return func(c *config) {
		for _, t := range traces {
			if t == nil {
				c.mistake("WithTrace", nil, "a trace is nil: leave the option out for none")
				continue
			}
			c.traces = append(c.traces, t)
		}
	}
}

// tracers are all traces of a plugin. A nil one costs a comparison.
type tracers []*Trace

func (ts tracers) created(p *Plugin) {
	for _, t := range ts {
		if t.Created != nil {
			t.Created(p)
		}
	}
}

func (ts tracers) authenticated(ctx context.Context, e Authenticated) {
	for _, t := range ts {
		if t.Authenticated != nil {
			t.Authenticated(ctx, e)
		}
	}
}

func (ts tracers) refused(ctx context.Context, e Refused) {
	for _, t := range ts {
		if t.Refused != nil {
			t.Refused(ctx, e)
		}
	}
}

// looked adapts the traces to what internal/keys calls; nil if there is none.
func (ts tracers) looked() func(context.Context, bool) {
	if len(ts) == 0 {
		return nil
	}
	return func(ctx context.Context, held bool) {
		for _, t := range ts {
			if t.KeyLooked != nil {
				t.KeyLooked(ctx, KeyLooked{Held: held})
			}
		}
	}
}

// changed adapts the traces to what internal/keys calls.
func (ts tracers) changed() func(keys.State, int) {
	return func(state keys.State, held int) {
		for _, t := range ts {
			if t.KeysChanged != nil {
				t.KeysChanged(KeysChanged{State: KeySetState(state), Keys: held})
			}
		}
	}
}

func (ts tracers) introspected(ctx context.Context, e Introspected) {
	for _, t := range ts {
		if t.Introspected != nil {
			t.Introspected(ctx, e)
		}
	}
}

func (ts tracers) refreshed(ctx context.Context, e Refreshed) {
	for _, t := range ts {
		if t.Refreshed != nil {
			t.Refreshed(ctx, e)
		}
	}
}

// calls adapts the traces to what internal/keycloak knows of them; nil if no trace asks for calls.
func (ts tracers) calls() *keycloak.Trace {
	if len(ts) == 0 {
		return nil
	}
	return &keycloak.Trace{
		Started: func(ctx context.Context, call string, r *http.Request) context.Context {
			for _, t := range ts {
				if t.CallStarted != nil {
					ctx = t.CallStarted(ctx, CallStarted{Call: Call(call), Method: r.Method, URL: r.URL.String(), Header: r.Header}) //nolint:fatcontext // one for each trace, which are few
				}
			}
			return ctx
		},
		Done: func(ctx context.Context, call string, status int, err error, took time.Duration) {
			e := CallDone{Call: Call(call), Status: status, Duration: took}
			if err != nil {
				e.Code = connectionCode(err)
			}
			for _, t := range ts {
				if t.CallDone != nil {
					t.CallDone(ctx, e)
				}
			}
		},
	}
}

// codeOf is the code of an error, "" for none.
func codeOf(err error) Code {
	if err == nil {
		return ""
	}
	return asError(err).Code
}
