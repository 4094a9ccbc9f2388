package main

import (
	"crypto"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/c0mpiler/ginkeycloak/bench/stand"
)

// A call does one piece of the work that is timed, with the i-th of the tokens, and reports whether it went as it should.
type call func(i int) bool

// An entrant is what is timed in a row. caller returns a call for one more goroutine, fetches counts the key sets that
// Keycloak was asked for.
type entrant struct {
	name    string
	caller  func() call
	fetches func() int
}

// floorOf is the entrant that does nothing but check the signatures.
func floorOf(name string, key crypto.PublicKey, tokens []string) (entrant, error) {
	signatures := make([]*stand.Signature, len(tokens))
	for i, token := range tokens {
		var err error
		if signatures[i], err = stand.NewSignature(token); err != nil {
			return entrant{}, err
		}
	}
	verify := func(i int) bool { return signatures[i%len(signatures)].Verify(key) }
	return entrant{name, func() call { return verify }, none}, nil
}

// through is the entrant that sends tokens through an engine and wants them let in, or refused.
func through(name string, engine http.Handler, authorizations []string, good bool) entrant {
	caller := func() call {
		client := stand.NewClient(engine)
		return func(i int) bool {
			status := client.Get(authorizations[i%len(authorizations)])
			return (status == http.StatusOK) == good && status < http.StatusInternalServerError
		}
	}
	return entrant{name, caller, none}
}

func none() int { return 0 }

// A sample is what one batch took, per call.
type sample struct {
	nanoseconds   float64 // of processor time
	passed        float64 // nanoseconds on the wall, which two cores share
	allocs, bytes float64
	fetches       float64
}

// batch makes n calls on as many goroutines as there are cores, each with other tokens.
func (e entrant) batch(cores, n int) (sample, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	calls := make([]call, cores)
	for i := range calls {
		calls[i] = e.caller()
	}
	wrong := make([]int, cores)
	work := func(worker int) {
		for i := worker; i < n; i += cores {
			if !calls[worker](i) {
				wrong[worker]++
			}
		}
	}

	runtime.GC() // nobody pays for the garbage of the one before
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fetched := e.fetches()
	begin, computed := time.Now(), processTime()
	if cores == 1 {
		work(0)
	} else {
		var group sync.WaitGroup
		for worker := range cores {
			group.Go(func() { work(worker) })
		}
		group.Wait()
	}
	passed, took := time.Since(begin), processTime()-computed
	runtime.ReadMemStats(&after)

	for _, w := range wrong {
		if w > 0 {
			return sample{}, fmt.Errorf("%s: %d answers on one goroutine are not what they should be", e.name, w)
		}
	}
	each := func(before, after uint64) float64 { return float64(after-before) / float64(n) }
	return sample{
		nanoseconds: float64(took.Nanoseconds()) / float64(n),
		passed:      float64(passed.Nanoseconds()) / float64(n),
		allocs:      each(before.Mallocs, after.Mallocs),
		bytes:       each(before.TotalAlloc, after.TotalAlloc),
		fetches:     float64(e.fetches()-fetched) / float64(n),
	}, nil
}

// calibrate returns how many calls take about that time.
func (e entrant) calibrate(budget time.Duration) (int, error) {
	const most = 1 << 20
	for n := 16; ; n *= 4 {
		s, err := e.batch(1, n)
		if err != nil {
			return 0, err
		}
		took := time.Duration(s.nanoseconds * float64(n))
		if took >= budget/8 || n >= most {
			return min(max(int(float64(budget)/max(s.nanoseconds, 1)), 8), most), nil
		}
	}
}
