package token_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unsafe"

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

// longType is too long for the decoder to keep it in its table of strings.
var longType = strings.Repeat("x", 1000)

// knows reports whether a header needs no decoding: then its strings are the same memory each time.
func knows(t *testing.T, h *token.Headers, raw string) bool {
	t.Helper()
	parse := func() token.JWS {
		jws, err := h.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return jws
	}
	one, other := parse(), parse()
	return unsafe.StringData(one.Header.Type) == unsafe.StringData(other.Header.Type)
}

// Of headers that were learned, 64 are known at the most; the last one is always.
func TestHeadersAreBounded(t *testing.T) {
	const most = 64
	var h token.Headers
	raw := make([]string, 0, 3*most)
	for n := range 3 * most {
		raw = append(raw, compact(fmt.Sprintf(`{"alg":"RS256","kid":"k%d","typ":%q}`, n, longType), `{}`, "sig"))
		if knows(t, &h, raw[n]) {
			t.Errorf("header %d is known before it was learned", n)
		}
		jws, err := h.Parse(raw[n])
		if err != nil {
			t.Fatal(err)
		}
		h.Learn(jws)
		if !knows(t, &h, raw[n]) {
			t.Errorf("header %d is not known after it was learned", n)
		}
		if n != most-1 && n != most && n != 3*most-1 {
			continue
		}
		known := 0
		for _, r := range raw {
			if knows(t, &h, r) {
				known++
			}
		}
		if known > most || n == most-1 && known != most {
			t.Errorf("%d of %d headers are known, want %d", known, n+1, most)
		}
	}
}

// Nearly all tokens have a header that is known.
func TestLearningAKnownHeaderCostsNothing(t *testing.T) {
	var h token.Headers
	jws, err := h.Parse(compact(goodHeader, `{}`, "sig"))
	if err != nil {
		t.Fatal(err)
	}
	h.Learn(jws)
	if got := testing.AllocsPerRun(100, func() { h.Learn(jws) }); got != 0 {
		t.Errorf("Learn of a known header costs %v allocations, want 0", got)
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
