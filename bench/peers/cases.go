package main

import (
	"context"
	"crypto"
	"fmt"
	"net/http"
	"time"

	"github.com/c0mpiler/ginkeycloak/bench/peer"
	"github.com/c0mpiler/ginkeycloak/bench/stand"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// A timedCase is a row of the timing tables: what tokens are sent, and what they are compared with.
type timedCase struct {
	row       peer.Row
	realm     *realm
	tokens    []string
	good      bool
	firstSeen bool  // each token once, to a library that has not seen it
	cores     []int // on how many it is timed
}

// realm is a fake Keycloak with what is measured on it.
type realm struct {
	server    *keycloaktest.Server
	algorithm string
	key       crypto.PublicKey
	tokens    []string // good ones, all different
}

func newRealm(algorithm string, tokens int) (*realm, error) {
	server, err := stand.Start(algorithm)
	if err != nil {
		return nil, err
	}
	return &realm{server, algorithm, server.SigningKey().Public(), stand.Good(server, tokens)}, nil
}

// timedCases are the rows, in the report's order.
func timedCases(rs256, es256 *realm) []timedCase {
	one, both := []int{1}, []int{1, 2}
	return []timedCase{
		{peer.FirstRS256, rs256, rs256.tokens, true, true, both},
		{peer.FirstES256, es256, es256.tokens, true, true, one},
		{peer.Repeated, rs256, rs256.tokens[:1], true, false, both},
		{peer.Expired, rs256, []string{stand.Expired(rs256.server)}, false, false, one},
		{peer.BadSignature, rs256, []string{stand.BadSignature(rs256.server)}, false, false, one},
		{peer.Garbage, rs256, []string{stand.Garbage(16 << 10)}, false, false, one},
	}
}

// Names of the entrants that are no peers.
const (
	floorName = "bare signature check"
	bareName  = "bare Gin route"
)

// A lane is one entrant of a case over the rounds.
type lane struct {
	entrant
	calls   int               // in a batch; calibrated if 0
	restart func(*lane) error // before each batch, where tokens would be remembered
	stop    context.CancelFunc
	samples map[int][]sample // by cores
}

// measure times all entrants of a case, one after the other, in each round.
func (c timedCase) measure(ctx context.Context, peers []peer.Peer, o options) (map[string]*lane, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lanes, err := c.lanes(ctx, peers)
	if err != nil {
		return nil, err
	}
	if c.firstSeen {
		for _, l := range lanes {
			l.calls = len(c.tokens)
		}
	}
	byName, err := inTurns(lanes, c.cores, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.row, err)
	}
	return byName, nil
}

// inTurns times the lanes one after the other, in each round.
func inTurns(lanes []*lane, cores []int, o options) (map[string]*lane, error) {
	byName := make(map[string]*lane, len(lanes))
	for _, l := range lanes {
		byName[l.name] = l
		if l.calls > 0 {
			continue
		}
		var err error
		if l.calls, err = l.calibrate(o.batch); err != nil {
			return nil, err
		}
	}
	for round := range o.rounds {
		for i := range lanes {
			l := lanes[(i+round)%len(lanes)] // who comes first changes
			for _, n := range cores {
				if err := l.round(n); err != nil {
					return nil, err
				}
			}
		}
	}
	return byName, nil
}

func (l *lane) round(cores int) error {
	if l.restart != nil {
		l.stop() // and with it goes what was remembered
		if err := l.restart(l); err != nil {
			return err
		}
	}
	s, err := l.batch(cores, l.calls)
	if err != nil {
		return err
	}
	l.samples[cores] = append(l.samples[cores], s)
	return nil
}

// lanes are the floor, the bare route and the peers.
func (c timedCase) lanes(ctx context.Context, peers []peer.Peer) ([]*lane, error) {
	signed := c.tokens
	if !c.good {
		signed = c.realm.tokens // what is refused is compared with a signature that is right
	}
	floor, err := floorOf(floorName, c.realm.key, signed)
	if err != nil {
		return nil, err
	}
	authorizations := stand.Authorizations(c.tokens...)
	bare := through(bareName, stand.Engine(stand.Bare), authorizations, true)
	lanes := []*lane{newLane(floor), newLane(bare)}
	for _, p := range peers {
		start := func(l *lane) error { return c.start(ctx, l, p, authorizations) }
		l := newLane(entrant{})
		if err := start(l); err != nil {
			return nil, err
		}
		if c.firstSeen && p.Remembers {
			l.restart = start
		}
		lanes = append(lanes, l)
	}
	return lanes, nil
}

func newLane(e entrant) *lane { return &lane{entrant: e, samples: map[int][]sample{}} }

// start sets a peer up and lets it fetch the keys.
func (c timedCase) start(ctx context.Context, l *lane, p peer.Peer, authorizations []string) error {
	ctx, l.stop = context.WithCancel(ctx)
	guard, err := p.Start(ctx, peer.RealmOf(c.realm.server, c.realm.algorithm))
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	engine := guard.Engine()
	warm := c.realm.server.Token(keycloaktest.ForUser("alice"), keycloaktest.ExpiresIn(time.Hour))
	if status := stand.NewClient(engine).Get(stand.Authorizations(warm)[0]); status != http.StatusOK {
		return fmt.Errorf("%s answers a good token with %d", p.Name, status)
	}
	l.entrant = through(p.Name, engine, authorizations, c.good)
	l.fetches = func() int { return c.realm.server.Calls(keycloaktest.KeySet) }
	return nil
}

// A timing is what an entrant took in a case, beyond a bare Gin route.
type timing struct {
	ratio         spread // of the floor's time
	nanoseconds   float64
	allocs, bytes float64
	fetches       float64 // of keys from Keycloak, per request
	speedup       float64 // of two cores against one; 0 where it was not measured
}

// timings are computed round by round, so that what disturbs a round disturbs both sides.
func timings(lanes map[string]*lane) map[string]timing {
	floor, bare := lanes[floorName].samples[1], lanes[bareName].samples[1]
	all := make(map[string]timing, len(lanes))
	for name, l := range lanes {
		base := bare
		if name == floorName {
			base = make([]sample, len(bare)) // it does not go through Gin
		}
		var ratio, added, allocs, bytes, fetches, speedup []float64
		for round, s := range l.samples[1] {
			extra := s.nanoseconds - base[round].nanoseconds
			ratio = append(ratio, extra/floor[round].nanoseconds)
			added = append(added, extra)
			allocs = append(allocs, s.allocs-base[round].allocs)
			bytes = append(bytes, s.bytes-base[round].bytes)
			fetches = append(fetches, s.fetches)
			if both := l.samples[2]; both != nil {
				speedup = append(speedup, s.passed/both[round].passed)
			}
		}
		all[name] = timing{
			ratio: spreadOf(ratio), nanoseconds: spreadOf(added).median,
			allocs: spreadOf(allocs).median, bytes: spreadOf(bytes).median,
			fetches: spreadOf(fetches).median, speedup: spreadOf(speedup).median,
		}
	}
	return all
}
