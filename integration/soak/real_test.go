//go:build soak

package soak_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/integration/keycloak"
	"github.com/c0mpiler/ginkeycloak/integration/wire"
)

// soakTime is how long to soak: SOAK_TIME, or ten minutes.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("SOAK_TIME")
	if text == "" {
		return 10 * time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Minute {
		t.Fatalf("SOAK_TIME=%q, want a duration of a minute at least, such as 10m", text)
	}
	return d
}

// realm is a real Keycloak's, reached by the API over a wire that can be made slow.
type realm struct {
	*keycloak.Server

	wire *wire.Proxy
}

func startRealm(t *testing.T) *realm {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // a first download included
	defer cancel()
	srv, err := keycloak.Start(ctx, keycloak.Options{RealmFile: "../testdata/demo-realm.json"})
	if err != nil {
		t.Fatalf("real Keycloak: %v", err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	slowable, err := wire.Start(strings.TrimPrefix(srv.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slowable.Close)
	return &realm{srv, slowable}
}

// dial connects to the wire instead of Keycloak, which knows itself by the name it is called by.
func (r *realm) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, r.wire.Addr())
}

var direct = &http.Client{Timeout: 30 * time.Second}

// login gets tokens of alice from Keycloak itself, not over the wire.
func (r *realm) login() (tokens, error) {
	form := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"alice"}}
	req, err := http.NewRequest(http.MethodPost, r.Issuer()+"/protocol/openid-connect/token", strings.NewReader(form.Encode())) //nolint:noctx // the client has a time limit
	if err != nil {
		return tokens{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("orders-api", "s3cret")
	resp, err := direct.Do(req)
	if err != nil {
		return tokens{}, err
	}
	defer resp.Body.Close()
	var got ginkeycloak.TokenSet
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != http.StatusOK {
		return tokens{}, fmt.Errorf("log in: %s, %w", resp.Status, err)
	}
	return tokens{got.AccessToken, got.RefreshToken, time.Now().Add(time.Duration(got.ExpiresIn) * time.Second)}, nil
}

// Each part of a soak has one event, and rotation goes on all the time.
const part = time.Minute

// TestSoak is an API's life on a real Keycloak, for as long as is asked for: many clients, tokens that are renewed, a
// new key each minute, restarts of Keycloak, slow answers, floods, and programs that end and begin.
func TestSoak(t *testing.T) {
	const (
		clients  = 16
		flooders = 4
		lifespan = time.Minute
		flooded  = 20 * time.Second // by one flood
	)
	total := soakTime(t)
	kc := startRealm(t)
	if err := kc.Admin().UpdateRealm(t.Context(), map[string]any{"accessTokenLifespan": int(lifespan.Seconds())}); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: kc.dial, MaxIdleConnsPerHost: 16, ResponseHeaderTimeout: unanswered}
	t.Cleanup(transport.CloseIdleConnections)
	w := newWorld(t, true, ginkeycloak.WithServerURL(kc.URL()), ginkeycloak.WithRealm(kc.Realm()),
		ginkeycloak.WithHTTPClient(&http.Client{Transport: transport}))

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() { w.client(ctx, time.Second, lifespan, kc.login) })
	}
	programs, rotations, failed, restarts, floods := 1, 0, 0, 0, 0
	var away time.Duration
	restartKeycloak := func() {
		back, begin := w.goesAway(), time.Now()
		if err := kc.Stop(); err != nil {
			t.Error(err)
		}
		if err := kc.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		back()
		restarts++
		away += time.Since(begin)
	}
	flood := func() {
		ctx, stop := context.WithTimeout(ctx, flooded)
		defer stop()
		for range flooders {
			wg.Go(func() { w.flood(ctx, 20*time.Millisecond, *w.latest.Load()) })
		}
		<-ctx.Done()
		floods++
	}
	slow := func() {
		kc.wire.Spoil(wire.Fault{Answer: wire.Late(time.Second, 500*time.Millisecond)})
		sleep(ctx, 20*time.Second)
		if err := kc.wire.Mend(); err != nil {
			t.Fatal(err)
		}
	}
	restart := func() { programs++; w.restart() }
	events := []func(){slow, flood, restartKeycloak, restart, flood}

	begin := time.Now()
	var first, last sample
	for n := 0; time.Since(begin) < total; n++ {
		until := begin.Add(time.Duration(n+1) * part)
		if err := kc.Admin().RotateRealmKey(ctx); err != nil {
			t.Logf("rotate: %v", err) // a Keycloak that is busy takes its time; it may have done it all the same
			failed++
		}
		rotations++
		sleep(ctx, 10*time.Second)
		events[n%len(events)]()
		w.checkTables()
		sleep(ctx, time.Until(until))
		last = take()
		if n == 0 {
			first = last
		}
		t.Logf("after %v: %v", time.Since(begin).Round(time.Second), last)
	}
	took := time.Since(begin)
	stop()
	wg.Wait()
	w.close(w.now.Load())
	direct.CloseIdleConnections()
	w.checkRefusals()

	// A flood has a fetch each second, the first at its begin and the last at its end. While Keycloak is away, failed
	// fetches follow each other within a second at the least, the first few faster.
	const ttl = 10 * time.Minute
	most := rotations + programs + int(took/ttl) + floods*(int(flooded/time.Second)+1) + 4*int(away/time.Second)/3 + 10*restarts
	if w.keys > most {
		t.Errorf("%d fetches of the key set, want at most %d", w.keys, most)
	}
	if grown := last.heap - first.heap; grown > 4<<20 {
		t.Errorf("the heap grew by %d KiB, want it flat: %v, then %v", grown>>10, first, last)
	}
	if last.goroutines > first.goroutines+50 { // idle connections and calls that happened to be under way
		t.Errorf("goroutines: %v, then %v, want them flat", first, last)
	}
	t.Logf("%v: %d programs, %d rotations, %d restarts of Keycloak, away for %v, %d floods; %d fetches of the key set (of at most %d); at first %v, at last %v",
		took.Round(time.Second), programs, rotations, restarts, away.Round(time.Second), floods, w.keys, most, first, last)
	if want := int(total/part) / len(events); restarts < want || failed > rotations/2 {
		t.Errorf("%d restarts of Keycloak and %d of %d rotations, want %d and most of them", restarts, rotations-failed, rotations, want)
	}
}

// sample is what the process takes at one moment.
type sample struct {
	heap       int64
	goroutines int
}

func take() sample { return sample{heap(), runtime.NumGoroutine()} }

func (s sample) String() string {
	return fmt.Sprintf("%d KiB of heap and %d goroutines", s.heap>>10, s.goroutines)
}
