package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/c0mpiler/ginkeycloak/bench/peer"
	"github.com/c0mpiler/ginkeycloak/bench/stand"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// What Keycloak is asked in bad moments, and who suffers from it. Times are no part of it, but for an end.
type (
	coldStart struct {
		requests, discoveries, fetches, failures int
	}
	unknownKids struct {
		requests, fetches int
		good, refused     int // requests with a good token meanwhile
		lasting           time.Duration
	}
	rotations struct {
		rotations, fetches int
		good, refused      int
	}
)

// rate is how many fetches there are per second.
func (u unknownKids) rate() float64 { return float64(u.fetches) / u.lasting.Seconds() }

// answerDelay is how long the fake takes for an answer, so that requests meet.
const answerDelay = 50 * time.Millisecond

// site is a fake Keycloak of its own, with a peer before it.
type site struct {
	server *keycloaktest.Server
	engine http.Handler
	stop   func()
}

func newSite(ctx context.Context, p peer.Peer) (*site, error) {
	server, err := stand.Start("ES256") // a new key costs nothing
	if err != nil {
		return nil, err
	}
	server.Fail(keycloaktest.All, keycloaktest.Slow(answerDelay))
	ctx, cancel := context.WithCancel(ctx)
	stop := func() { cancel(); server.Close() }
	guard, err := p.Start(ctx, peer.RealmOf(server, "ES256"))
	if err != nil {
		stop()
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	return &site{server, guard.Engine(), stop}, nil
}

func (s *site) get(token string) int {
	return stand.NewClient(s.engine).Get(stand.Authorizations(token)[0])
}

// measureColdStart sends that many requests at once to an API that has just started. What is fetched before it serves
// counts, too.
func measureColdStart(ctx context.Context, p peer.Peer, requests int) (coldStart, error) {
	s, err := newSite(ctx, p)
	if err != nil {
		return coldStart{}, err
	}
	defer s.stop()
	token := stand.Good(s.server, 1)[0]
	var failures atomic.Int64
	var crowd sync.WaitGroup
	gate := make(chan struct{})
	for range requests {
		crowd.Go(func() {
			<-gate
			if s.get(token) != http.StatusOK {
				failures.Add(1)
			}
		})
	}
	close(gate)
	crowd.Wait()
	return coldStart{
		requests, s.server.Calls(keycloaktest.Discovery), s.server.Calls(keycloaktest.KeySet), int(failures.Load()),
	}, nil
}

// measureUnknownKids sends tokens whose kid is a new one each time, from many clients, and good tokens from one more.
func measureUnknownKids(ctx context.Context, p peer.Peer, lasting time.Duration) (unknownKids, error) {
	const clients = 100
	s, err := newSite(ctx, p)
	if err != nil {
		return unknownKids{}, err
	}
	defer s.stop()
	good := stand.Good(s.server, 1)[0]
	if status := s.get(good); status != http.StatusOK {
		return unknownKids{}, fmt.Errorf("%s answers a good token with %d", p.Name, status)
	}
	s.server.ResetCalls()

	result := unknownKids{lasting: lasting}
	over := make(chan struct{})
	var requests, letIn atomic.Int64
	var flood sync.WaitGroup
	for range clients {
		flood.Go(func() {
			for !closed(over) {
				requests.Add(1)
				if s.get(withUnknownKid(good)) == http.StatusOK {
					letIn.Add(1)
				}
			}
		})
	}
	end := time.AfterFunc(lasting, func() { close(over) })
	defer end.Stop()
	result.good, result.refused = s.visit(over, func(int) string { return good })
	result.fetches = s.server.Calls(keycloaktest.KeySet)
	flood.Wait()
	result.requests = int(requests.Load())
	if n := letIn.Load(); n > 0 {
		return result, fmt.Errorf("%s lets in %d tokens of an unknown key", p.Name, n)
	}
	return result, nil
}

// withUnknownKid gives a token another header. Its signature is wrong then, but nobody can know without the key.
func withUnknownKid(token string) string {
	header := `{"alg":"ES256","typ":"JWT","kid":"` + rand.Text() + `"}`
	_, rest, _ := strings.Cut(token, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + rest
}

func closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// visit sends tokens one after the other until it is over, and counts them and those that were refused.
func (s *site) visit(over <-chan struct{}, token func(i int) string) (sent, refused int) {
	pause := time.NewTicker(2 * time.Millisecond)
	defer pause.Stop()
	for {
		if s.get(token(sent)) != http.StatusOK {
			refused++
		}
		sent++
		select {
		case <-over:
			return sent, refused
		case <-pause.C:
		}
	}
}

// measureRotations gives the realm a new key that many times, while users come with tokens of the newest key and of the
// first one, which the key set still has.
func measureRotations(ctx context.Context, p peer.Peer, times int, every time.Duration) (rotations, error) {
	const users = 4
	s, err := newSite(ctx, p)
	if err != nil {
		return rotations{}, err
	}
	defer s.stop()
	first := stand.Good(s.server, 1)[0]
	if status := s.get(first); status != http.StatusOK {
		return rotations{}, fmt.Errorf("%s answers a good token with %d", p.Name, status)
	}
	var newest atomic.Pointer[string]
	newest.Store(&first)
	s.server.ResetCalls()

	over := make(chan struct{})
	var good, refused atomic.Int64
	var traffic sync.WaitGroup
	for range users {
		traffic.Go(func() {
			g, r := s.visit(over, func(i int) string {
				if i%2 == 0 {
					return *newest.Load()
				}
				return first
			})
			good.Add(int64(g))
			refused.Add(int64(r))
		})
	}
	for range times {
		s.server.RotateKeys()
		token := stand.Good(s.server, 1)[0]
		newest.Store(&token)
		time.Sleep(every)
	}
	close(over)
	traffic.Wait()
	return rotations{times, s.server.Calls(keycloaktest.KeySet), int(good.Load()), int(refused.Load())}, nil
}
