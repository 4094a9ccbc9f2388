package token_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// A header that was learned reads as it did before, and does not stand for another.
func TestHeadersAreRemembered(t *testing.T) {
	var h token.Headers
	header := func(n int) string { return fmt.Sprintf(`{"alg":"RS256","kid":"k%d","typ":"JWT"}`, n) }
	const many = 200 // more than are remembered
	for range 2 {
		for n := range many {
			raw := compact(header(n), `{}`, "sig")
			for range 2 {
				jws, err := h.Parse(raw)
				if err != nil {
					t.Fatal(err)
				}
				if want := fmt.Sprintf("k%d", n); jws.Header.KeyID != want || jws.Header.Algorithm != "RS256" {
					t.Errorf("header = %+v, want the one with kid %s", jws.Header, want)
				}
				h.Learn(jws)
			}
		}
	}
	for _, bad := range []string{`{"alg":"RS256","kid":"k1","typ":"JWT","crit":[]}`, `{"kid":"k1"}`} {
		if _, err := h.Parse(compact(bad, `{}`, "sig")); err == nil {
			t.Errorf("Parse with the header %s beside learned ones = no error, want one", bad)
		}
	}
}

// Parsing a token whose header is known does not decode it, which saves memory.
func TestKnownHeaderCostsLess(t *testing.T) {
	raw := compact(goodHeader, `{}`, "sig")
	var h token.Headers
	cost := func() float64 {
		return testing.AllocsPerRun(100, func() {
			if _, err := h.Parse(raw); err != nil {
				t.Fatal(err)
			}
		})
	}
	unknown := cost()
	jws, err := h.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	h.Learn(jws)
	if known := cost(); known >= unknown {
		t.Errorf("a known header costs %v allocations, an unknown one %v, want fewer", known, unknown)
	}
}

func TestHeadersAreLearnedAtTheSameTime(t *testing.T) {
	var h token.Headers
	var wg sync.WaitGroup
	for n := range 100 {
		wg.Go(func() {
			want := fmt.Sprintf("k%d", n%10)
			jws, err := h.Parse(compact(`{"alg":"RS256","kid":"`+want+`"}`, `{}`, "sig"))
			if err != nil || jws.Header.KeyID != want {
				t.Errorf("Parse = %+v, %v, want the kid %s", jws, err, want)
				return
			}
			h.Learn(jws)
		})
	}
	wg.Wait()
}
