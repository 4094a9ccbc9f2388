package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// The cases, by what the table calls them.
const (
	caseGin      = "Gin alone"
	caseBare     = "Gin with one bare crypto/rsa check, every token new"
	caseOne      = "ours, one token"
	caseNew      = "ours, every token new"
	caseForgets  = "ours, one token, WithTokenCache(0, 0)"
	caseAway     = "ours, one token, Keycloak away"
	caseCalm     = "nothing"
	caseFlood    = "a flood of bad tokens"
	caseHarmless = "the same flood at a public route"
	caseQuarter  = "a quarter of the flood"
	caseMild     = "a quarter of the flood at a public route"

	// The same at a server that does nothing but check each token's signature.
	caseBareCalm  = "nothing, at Gin with one bare check"
	caseBareFlood = "the same flood, at Gin with one bare check"
)

// The flood, and the valid traffic beside it. They go at a steady pace that leaves the machine air: generators that go
// as fast as they can would measure how the kernel shares two cores among three processes. Tokens with unknown keys
// have a generator of their own, because the server makes them wait and they would hold the others up.
const (
	validConnections = 8
	validPause       = 8 * time.Millisecond

	floodConnections   = 64
	floodPause         = 8 * time.Millisecond
	unknownConnections = 64
	unknownPause       = 500 * time.Millisecond

	floodHeadStart = time.Second
	floodTail      = 2 * time.Second // starting the generator included
)

// scenario is a server, and what is sent to it.
type scenario struct {
	name   string
	server setup
	warmUp string // the file of tokens for it
	load   load
	beside []load
	away   bool // Keycloak is
}

// measurement is what one scenario came to in one round.
type measurement struct {
	result
	beside float64 // requests per second of the other generators
}

// measurements are all there are, a value for each round.
type measurements struct {
	options
	machine    string
	wrk        string
	tokenBytes int
	of         map[string][]measurement
}

// bench is what scenarios are measured with.
type bench struct {
	options
	wrk    wrk
	idp    *keycloaktest.Server
	tokens tokenFiles
}

// prepare makes what is needed for measuring: the generator's script, Keycloak and tokens.
func prepare(o options, dir string) (*bench, error) {
	path, err := findWrk()
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, wrk: wrk{path: path, script: filepath.Join(dir, "wrk.lua")}}
	if err := os.WriteFile(b.wrk.script, []byte(script), 0o600); err != nil {
		return nil, err
	}
	if b.idp, err = keycloaktest.Start(keycloaktest.WithTokenLifespan(time.Hour)); err != nil {
		return nil, err
	}
	o.say("minting %d tokens", o.tokens)
	if b.tokens, err = mint(b.idp, dir, o.tokens); err != nil {
		b.idp.Close()
		return nil, err
	}
	return b, nil
}

// measure runs all scenarios in turn, round by round, each on a server of its own.
func measure(ctx context.Context, o options) (*measurements, error) {
	dir, err := os.MkdirTemp("", "load")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, err := prepare(o, dir)
	if err != nil {
		return nil, err
	}
	defer b.idp.Close()

	m := &measurements{options: o, machine: machine(), wrk: b.wrk.version(ctx), tokenBytes: len(b.tokens.probe), of: make(map[string][]measurement)}
	scenarios := b.scenarios()
	for round := range o.rounds {
		for i := range scenarios {
			// Each round begins with another one, so that none always comes after the same.
			s := scenarios[(i+round)%len(scenarios)]
			if !o.only.MatchString(s.name) {
				continue
			}
			got, err := b.run(ctx, s, round)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			o.say("%d/%d  %-52s %7.0f/s  p50 %-8v p99 %-8v beside %.0f/s",
				round+1, o.rounds, s.name, got.rate(), got.p50, got.p99, got.beside)
			m.of[s.name] = append(m.of[s.name], got)
		}
	}
	return m, nil
}

func (b *bench) scenarios() []scenario {
	ours := setup{kind: plugin, keycloak: b.idp.URL(), realm: b.idp.Realm()}
	checks := setup{kind: bare, key: publicKey(b.idp)}
	forgets, stale := ours, ours
	forgets.forgets = true
	stale.keyCache = time.Second // so that keys are due, and cannot be had, while it is measured

	one := load{path: protected, tokens: b.tokens.one, connections: b.connections, threads: 2, pause: b.pause}
	fresh := one
	fresh.tokens, fresh.once = b.tokens.fresh, true

	valid := load{path: protected, tokens: b.tokens.users, connections: validConnections, threads: 1, pause: max(validPause, b.pause)}
	bad := load{path: protected, tokens: b.tokens.bad, answered: refused, connections: floodConnections, threads: 1, pause: max(floodPause, b.pause)}
	unknown := load{path: protected, tokens: b.tokens.unknown, answered: refused, connections: unknownConnections, threads: 1, pause: unknownPause}
	fewer := bad
	fewer.pause *= 4

	return []scenario{
		{name: caseGin, server: setup{kind: plain}, warmUp: b.tokens.one, load: one},
		{name: caseOne, server: ours, warmUp: b.tokens.one, load: one},
		{name: caseBare, server: checks, warmUp: b.tokens.one, load: fresh},
		{name: caseNew, server: ours, warmUp: b.tokens.one, load: fresh},
		{name: caseForgets, server: forgets, warmUp: b.tokens.one, load: one},
		{name: caseAway, server: stale, warmUp: b.tokens.one, load: one, away: true},
		{name: caseCalm, server: ours, warmUp: b.tokens.users, load: valid},
		{name: caseFlood, server: ours, warmUp: b.tokens.users, load: valid, beside: []load{bad, unknown}},
		{name: caseHarmless, server: ours, warmUp: b.tokens.users, load: valid, beside: []load{bad.harmless(), unknown.harmless()}},
		{name: caseBareCalm, server: checks, warmUp: b.tokens.users, load: valid},
		{name: caseBareFlood, server: checks, warmUp: b.tokens.users, load: valid, beside: []load{bad.unjudged(), unknown.unjudged()}},
		{name: caseQuarter, server: ours, warmUp: b.tokens.users, load: valid, beside: []load{fewer, unknown}},
		{name: caseMild, server: ours, warmUp: b.tokens.users, load: valid, beside: []load{fewer.harmless(), unknown.harmless()}},
	}
}

// harmless is a load of bad tokens that goes to a public route.
func (l load) harmless() load {
	l.path, l.answered = public, letIn
	return l
}

// unjudged is a load of bad tokens that goes to a server which lets some of them in, those that have expired.
func (l load) unjudged() load {
	l.answered = anyhow
	return l
}

// run measures a scenario once, on a server that has seen nothing yet.
func (b *bench) run(ctx context.Context, s scenario, round int) (got measurement, err error) {
	if b.profiles != "" {
		name := strings.NewReplacer(" ", "-", ",", "", "/", "-").Replace(s.name)
		s.server.profile = filepath.Join(b.profiles, name+"-"+strconv.Itoa(round+1)+".prof")
	}
	server, err := startServer(ctx, s.server)
	if err != nil {
		return measurement{}, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	if err := probe(ctx, server.url, b.tokens.probe, s.server.kind != plain); err != nil {
		return measurement{}, err
	}
	probed := time.Now()
	if b.warmUp > 0 {
		warm := s.load
		warm.tokens, warm.once = s.warmUp, false
		if _, err := b.wrk.run(ctx, server.url, warm, b.warmUp); err != nil {
			return measurement{}, fmt.Errorf("warm up: %w", err)
		}
	}
	if s.away {
		b.idp.Stop()
		defer b.idp.Restart()
		if err := sleep(ctx, time.Until(probed.Add(s.server.keyCache))); err != nil {
			return measurement{}, err
		}
	}
	return b.runBeside(ctx, server.url, s)
}

// runBeside measures a scenario's load while the others are under way.
func (b *bench) runBeside(ctx context.Context, server string, s scenario) (got measurement, err error) {
	if len(s.beside) == 0 {
		got.result, err = b.wrk.run(ctx, server, s.load, b.duration)
		return got, err
	}
	type outcome struct {
		result
		err   error
		ended time.Time
	}
	outcomes := make(chan outcome, len(s.beside))
	for _, l := range s.beside {
		go func() {
			r, err := b.wrk.run(ctx, server, l, floodHeadStart+b.duration+floodTail)
			outcomes <- outcome{r, err, time.Now()}
		}()
	}
	err = sleep(ctx, floodHeadStart)
	if err == nil {
		got.result, err = b.wrk.run(ctx, server, s.load, b.duration)
	}
	ended := time.Now()
	for range s.beside {
		o := <-outcomes
		if o.err != nil {
			err = errors.Join(err, fmt.Errorf("beside: %w", o.err))
			continue
		}
		if o.ended.Before(ended) {
			err = errors.Join(err, errors.New("the flood ended before the measurement"))
		}
		got.beside += o.rate()
	}
	return got, err
}

// probe sees that a server lets a good token in, and keeps out what has none if it protects anything.
func probe(ctx context.Context, server, token string, protects bool) error {
	want := http.StatusOK
	if protects {
		want = http.StatusUnauthorized
	}
	for _, p := range []struct {
		authorization string
		want          int
	}{{"Bearer " + token, http.StatusOK}, {"", want}} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server+protected, http.NoBody)
		if err != nil {
			return err
		}
		if p.authorization != "" {
			r.Header.Set("Authorization", p.authorization)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != p.want {
			return fmt.Errorf("probe: the server answers %d, not %d", answer.StatusCode, p.want)
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
