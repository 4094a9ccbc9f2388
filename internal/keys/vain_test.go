package keys_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/c0mpiler/ginkeycloak/internal/keys"
)

// vainly asks for a key that the issuer does not have.
func vainly(t *testing.T, s *keys.Set, kid string) {
	t.Helper()
	if err := read(s, kid); !errors.Is(err, keys.ErrUnknownKey) {
		t.Errorf("Key(%q) = %v, want ErrUnknownKey", kid, err)
	}
}

// gaps are the times between fetches, but for the first.
func (i *issuer) gaps() []time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	var gaps []time.Duration
	for n := 2; n < len(i.starts); n++ {
		gaps = append(gaps, i.starts[n].Sub(i.starts[n-1]))
	}
	return gaps
}

// An ID asked for in vain is asked for again after a second, and after twice as long each time, up to a minute.
func TestVainWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}}
		s := newSet(t, i)
		for range 4 * 60 {
			vainly(t, s, "gone")
			time.Sleep(500 * time.Millisecond)
		}
		want := []time.Duration{1, 2, 4, 8, 16, 32}
		for n := range want {
			want[n] *= time.Second
		}
		if got := i.gaps(); !slices.Equal(got, want) {
			t.Errorf("an ID that is not there was looked for with waits of %v, want %v", got, want)
		}
		for range 4 * 60 * 5 {
			vainly(t, s, "gone")
			time.Sleep(500 * time.Millisecond)
		}
		for _, gap := range i.gaps()[len(want):] {
			if gap != time.Minute {
				t.Errorf("after that, a wait of %v, want 1 min", gap)
			}
		}
	})
}

// After two minutes of rest an ID starts anew.
func TestVainIsForgotten(t *testing.T) {
	for rest, want := range map[time.Duration]time.Duration{
		2*time.Minute - time.Second: 2 * time.Second, 2 * time.Minute: time.Second, time.Hour: time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			i := &issuer{keys: []string{ec("a")}}
			s := newSet(t, i)
			vainly(t, s, "gone")
			time.Sleep(rest)
			vainly(t, s, "gone")
			begin, fetches := time.Now(), i.fetches()
			for i.fetches() == fetches {
				time.Sleep(100 * time.Millisecond)
				vainly(t, s, "gone")
			}
			if got := time.Since(begin); got != want {
				t.Errorf("looked for again %v after a rest of %v, want %v", got, rest, want)
			}
		})
	}
}

// Of IDs asked for in vain, 1024 are remembered.
func TestVainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}, delay: time.Millisecond} // all have asked before an answer makes room for another
		s := newSet(t, i)
		const flood = 1500
		var wg sync.WaitGroup
		var atOnce atomic.Int64
		for range 2 {
			atOnce.Store(0)
			for n := range flood {
				wg.Go(func() {
					begin := time.Now()
					vainly(t, s, fmt.Sprint("bogus-", n))
					if time.Since(begin) == 0 {
						atOnce.Add(1)
					}
				})
			}
			wg.Wait()
		}
		if got := atOnce.Load(); got != 1024 {
			t.Errorf("%d of %d IDs were remembered, want 1024", got, flood)
		}
	})
}
