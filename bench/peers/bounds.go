package main

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/bench/peer"
	"github.com/c0mpiler/ginkeycloak/bench/stand"
)

// A bound is something that this library promises, and what was measured of it.
type bound struct {
	promise string
	value   float64
	limit   float64
	atLeast bool // the limit is the least and not the most
	format  func(float64) string
}

func (b bound) kept() bool {
	if b.atLeast {
		return b.value >= b.limit
	}
	return b.value <= b.limit
}

func (b bound) String() string {
	verdict, relation := "kept", "at most"
	if !b.kept() {
		verdict = "BROKEN"
	}
	if b.atLeast {
		relation = "at least"
	}
	return fmt.Sprintf("%-6s  %-62s %12s   %s %s", verdict, b.promise, b.format(b.value), relation, b.format(b.limit))
}

// Ways to write a value.
func times(v float64) string { return number(v) + " ×" }
func share(v float64) string { return number(100*v) + " %" }
func count(v float64) string { return fmt.Sprintf("%.0f", v) }
func nanos(v float64) string { return fmt.Sprintf("%.0f ns", v) }

// Limits, in the unit of their bound.
const (
	mostFirstSeen       = 1.15
	mostFirstSeenAllocs = 25
	mostRepeated        = 0.01
	mostRepeatedAllocs  = 3
	mostRequirements    = 100 // ns
	mostRefused         = 0.15
	mostRefusedBytes    = 4<<10 - 1
	leastSpeedup        = 1.8
	mostMemory          = 64 << 20
	mostGrowth          = 0.1 // which is flat
)

// checkBounds measures what is promised, prints it, and fails if a promise is not kept.
func checkBounds(ctx context.Context, o options, stdout io.Writer) error {
	bounds, err := measureBounds(ctx, o)
	if err != nil {
		return err
	}
	broken := 0
	for _, b := range bounds {
		if !b.kept() {
			broken++
		}
		_, _ = fmt.Fprintln(stdout, b)
	}
	if broken > 0 {
		return fmt.Errorf("%d of %d bounds are broken", broken, len(bounds))
	}
	return nil
}

func measureBounds(ctx context.Context, o options) ([]bound, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	rs256, err := newRealm("RS256", o.tokens)
	if err != nil {
		return nil, err
	}
	defer rs256.server.Close()
	var bounds []bound
	for _, measure := range []func(context.Context, *realm, options) ([]bound, error){
		firstSeenBounds, repeatedBounds, requirementBounds, refusedBounds, coldStartBounds, memoryBounds,
	} {
		more, err := measure(ctx, rs256, o)
		if err != nil {
			return nil, err
		}
		bounds = append(bounds, more...)
	}
	return bounds, nil
}

// Routes of the library that are held to a bound; their handlers do nothing.
const (
	guarded  = "guarded"
	required = "with requirements"
)

// plugin returns this library set up for the realm, with its keys fetched.
func plugin(ctx context.Context, r *realm, opts ...ginkeycloak.Option) (*ginkeycloak.Plugin, error) {
	kc, err := ginkeycloak.New(append([]ginkeycloak.Option{
		ginkeycloak.WithServerURL(r.server.URL()),
		ginkeycloak.WithRealm(r.server.Realm()),
		ginkeycloak.WithClientID(stand.Audience),
		ginkeycloak.WithAlgorithms(r.algorithm),
	}, opts...)...)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = kc.Close() })
	if err := kc.Connect(ctx); err != nil {
		return nil, err
	}
	return kc, nil
}

// turns times routes next to the floor and a bare one, in turns.
func turns(r *realm, o options, tokens []string, good bool, cores []int, routes map[string][]gin.HandlerFunc) (map[string]timing, error) {
	authorizations := stand.Authorizations(tokens...)
	floor, err := floorOf(floorName, r.key, r.tokens)
	if err != nil {
		return nil, err
	}
	lanes := []*lane{newLane(floor), newLane(through(bareName, stand.Engine(stand.Bare), authorizations, true))}
	for name, handlers := range routes {
		lanes = append(lanes, newLane(through(name, stand.Engine(append(handlers, stand.Bare)...), authorizations, good)))
	}
	byName, err := inTurns(lanes, cores, o)
	if err != nil {
		return nil, err
	}
	return timings(byName), nil
}

func firstSeenBounds(ctx context.Context, r *realm, o options) ([]bound, error) {
	kc, err := plugin(ctx, r, ginkeycloak.WithTokenCache(0, 0))
	if err != nil {
		return nil, err
	}
	got, err := turns(r, o, r.tokens, true, []int{1}, map[string][]gin.HandlerFunc{guarded: {kc.Middleware()}})
	if err != nil {
		return nil, err
	}
	return []bound{
		{promise: "first-seen RS256 token, cache off, of the floor", value: got[guarded].ratio.median, limit: mostFirstSeen, format: times},
		{promise: "  its allocations", value: math.Round(got[guarded].allocs), limit: mostFirstSeenAllocs, format: count},
	}, nil
}

func repeatedBounds(ctx context.Context, r *realm, o options) ([]bound, error) {
	kc, err := plugin(ctx, r)
	if err != nil {
		return nil, err
	}
	got, err := turns(r, o, r.tokens[:1], true, []int{1, 2}, map[string][]gin.HandlerFunc{guarded: {kc.Middleware()}})
	if err != nil {
		return nil, err
	}
	return []bound{
		{promise: "repeated token, of the floor", value: got[guarded].ratio.median, limit: mostRepeated, format: share},
		{promise: "  its allocations over a bare Gin route", value: math.Round(got[guarded].allocs), limit: mostRepeatedAllocs, format: count},
		{promise: "  on 2 cores against 1", value: got[guarded].speedup, limit: leastSpeedup, atLeast: true, format: times},
	}, nil
}

// requirementBounds compare a route with requirements to one without.
func requirementBounds(ctx context.Context, r *realm, o options) ([]bound, error) {
	kc, err := plugin(ctx, r)
	if err != nil {
		return nil, err
	}
	o.rounds *= 4 // what is asked for is a small difference of two times
	requirements := []gin.HandlerFunc{kc.Middleware(), kc.RequireRoles("admin"), kc.RequireGroups("/eng"), kc.RequireScopes("openid")}
	got, err := turns(r, o, r.tokens[:1], true, []int{1},
		map[string][]gin.HandlerFunc{guarded: {kc.Middleware()}, required: requirements})
	if err != nil {
		return nil, err
	}
	return []bound{
		{promise: "role, group and scope asked of a known user", value: got[required].nanoseconds - got[guarded].nanoseconds, limit: mostRequirements, format: nanos},
		{promise: "  its allocations", value: math.Round(got[required].allocs - got[guarded].allocs), limit: 0, format: count},
	}, nil
}

// refusedBounds are for tokens that are refused before any cryptography.
func refusedBounds(ctx context.Context, r *realm, o options) ([]bound, error) {
	kc, err := plugin(ctx, r)
	if err != nil {
		return nil, err
	}
	// One good token, as in an API at work, makes the header known that all of the realm's have.
	if _, err := kc.Authenticate(ctx, r.tokens[0]); err != nil {
		return nil, err
	}
	var bounds []bound
	for _, bad := range []struct{ name, token string }{
		{"expired token", stand.Expired(r.server)},
		{"token of another issuer", stand.ForStrangers(r.server)},
		{"oversized token", stand.Garbage(20 << 10)},
	} {
		got, err := turns(r, o, []string{bad.token}, false, []int{1}, map[string][]gin.HandlerFunc{guarded: {kc.Middleware()}})
		if err != nil {
			return nil, err
		}
		bounds = append(bounds,
			bound{promise: bad.name + " refused, of the floor", value: got[guarded].ratio.median, limit: mostRefused, format: share},
			bound{promise: "  bytes allocated", value: got[guarded].bytes, limit: mostRefusedBytes, format: size})
	}
	return bounds, nil
}

func coldStartBounds(ctx context.Context, _ *realm, o options) ([]bound, error) {
	cold, err := measureColdStart(ctx, peer.All()[0], o.crowd)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("cold start, %d at once: ", cold.requests)
	return []bound{
		{promise: name + "discoveries", value: float64(cold.discoveries), limit: 1, format: count},
		{promise: name + "key fetches", value: float64(cold.fetches), limit: 1, format: count},
		{promise: name + "failures", value: float64(cold.failures), limit: 0, format: count},
	}, nil
}

func memoryBounds(ctx context.Context, _ *realm, o options) ([]bound, error) {
	m, err := measureMemory(ctx, peer.All()[0], o.memory)
	if err != nil {
		return nil, err
	}
	return []bound{
		{promise: fmt.Sprintf("heap after %d tokens, at its highest", m.tokens), value: float64(m.highest), limit: mostMemory, format: size},
		{promise: "  what is added after the first tenth", value: float64(m.last-m.early) / float64(m.early), limit: mostGrowth, format: share},
	}, nil
}
