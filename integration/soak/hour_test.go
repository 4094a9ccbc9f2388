package soak_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// An hour in the life of an API, in a few seconds: rotation each minute, Keycloak away, slow and broken, floods, and
// programs that end and begin.
func TestAnHour(t *testing.T) {
	const (
		clients  = 20
		flooders = 10
		lifespan = time.Minute
	)
	before := runtime.NumGoroutine()
	synctest.Test(t, func(t *testing.T) {
		srv := keycloaktest.New(t, keycloaktest.InMemory(), keycloaktest.WithAlgorithm("ES256"), keycloaktest.WithTokenLifespan(lifespan))
		w := newWorld(t, false, ginkeycloak.WithServerURL(srv.URL()), ginkeycloak.WithRealm(srv.Realm()), ginkeycloak.WithAlgorithms("ES256"),
			ginkeycloak.WithHTTPClient(&http.Client{Transport: srv.Transport()}))
		login := func() (tokens, error) {
			if len(*w.away.Load()) > 0 && (*w.away.Load())[0].to.Load() == nil {
				return tokens{}, errors.New("away")
			}
			return tokens{srv.Token(), srv.RefreshToken(), time.Now().Add(lifespan)}, nil
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() { w.client(ctx, 5*time.Second, lifespan, login) })
		}

		programs, rotations := 1, 0
		var floods, outages, broken time.Duration
		lasts := func(sum *time.Duration, d time.Duration) { *sum += d; time.Sleep(d) } // of one at a time
		flood := func(d time.Duration) {
			ctx, stop := context.WithTimeout(ctx, d)
			defer stop()
			good := srv.Token(keycloaktest.ExpiresIn(time.Hour))
			for range flooders {
				wg.Go(func() { w.flood(ctx, 200*time.Millisecond, good) })
			}
			lasts(&floods, d)
		}
		away := func(d time.Duration) {
			back := w.goesAway()
			srv.Stop()
			lasts(&outages, d)
			srv.Restart()
			back()
		}
		restart := func() { programs++; w.restart() }
		fail := func(e keycloaktest.Endpoint, f keycloaktest.Fault, sum *time.Duration, d time.Duration) {
			srv.Fail(e, f)
			lasts(sum, d)
			srv.Heal()
		}
		var slow time.Duration
		var warm int64
		events := map[int]func(){
			3:  func() { flood(20 * time.Second) },
			7:  func() { away(30 * time.Second) },
			12: func() { fail(keycloaktest.All, keycloaktest.Slow(2*time.Second), &slow, 40*time.Second) },
			15: restart,
			18: func() {
				fail(keycloaktest.KeySet, keycloaktest.Slow(4*time.Second), &slow, 30*time.Second)
				flood(10 * time.Second)
			},
			23: func() { away(5 * time.Second); away(5 * time.Second) },
			27: func() { flood(30 * time.Second) },
			30: restart,
			34: func() {
				// Else it may be that nobody has come with the newest key yet, which cannot be had from here on.
				w.good(local, httptest.NewRequestWithContext(ctx, http.MethodGet, "/me", http.NoBody), srv.Token())
				fail(keycloaktest.KeySet, keycloaktest.Status(500), &broken, 20*time.Second)
			},
			41: func() { away(3 * time.Minute) },
			46: func() { flood(10 * time.Second); restart() },
			52: func() { fail(keycloaktest.Discovery, keycloaktest.Truncated(), &broken, 30*time.Second) },
			56: func() {
				wg.Go(func() { flood(40 * time.Second) })
				time.Sleep(5 * time.Second)
				away(20 * time.Second)
				time.Sleep(20 * time.Second)
			},
		}
		begin := time.Now()
		for minute := range 60 {
			if until := time.Until(begin.Add(time.Duration(minute) * time.Minute)); until > 0 {
				time.Sleep(until)
			}
			if minute == 10 {
				warm = heap()
			}
			if minute%10 == 9 {
				srv.RemoveOldKeys() // the last rotation was a minute ago, so no token of an older key is left
				continue
			}
			if minute%10 != 8 {
				srv.RotateKeys()
				rotations++
			}
			time.Sleep(5 * time.Second)
			if event := events[minute]; event != nil {
				event()
			}
			w.checkTables()
		}
		stop()
		wg.Wait()
		took := time.Since(begin)
		end := heap()
		w.close(w.now.Load())
		w.checkRefusals()

		fetches, discoveries := srv.Calls(keycloaktest.KeySet), srv.Calls(keycloaktest.Discovery)
		const ttl = 10 * time.Minute
		most := rotations + programs + int(took/ttl) + int(floods/time.Second) + 4*int(broken/time.Second)/3 + 10
		if fetches > most {
			t.Errorf("%d fetches of the key set, want at most %d: %d rotations, %d programs, one each %v, one a second in %v of floods, and those that failed",
				fetches, most, rotations, programs, ttl, floods)
		}
		const growth = 3 << 20 // most of it the fake Keycloak's, which remembers sessions
		if end-warm > growth {
			t.Errorf("the heap grew from %d KiB after 10 min to %d KiB after an hour, want it flat", warm>>10, end>>10)
		}
		t.Logf("%v: %d programs, %d rotations, away for %v, slow for %v, broken for %v, flooded for %v; %d fetches of the key set (of at most %d), %d discoveries; heap %d KiB after 10 min, %d KiB at the end",
			took, programs, rotations, outages, slow, broken, floods, fetches, most, discoveries, warm>>10, end>>10)
		if most := clients + 2*flooders + clients + before + 10; w.peak > most {
			t.Errorf("%d goroutines at the most, want no more than %d: one for each client, and one for its call", w.peak, most)
		}
	})
}
