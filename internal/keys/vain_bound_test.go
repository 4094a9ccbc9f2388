package keys

import (
	"strconv"
	"testing"
	"time"
)

// TestVainIsBounded: made-up IDs fill no memory, and the last one is known as well as the first was.
func TestVainIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	v := vain{now: func() time.Time { return now }}
	for i := range 10 * maxVain {
		kid := strconv.Itoa(i)
		if v.has(kid) {
			t.Fatalf("ID %s is held before it was looked up", kid)
		}
		v.add(kid)
		if !v.has(kid) {
			t.Fatalf("ID %s is not held after it was looked up in vain", kid)
		}
		if len(v.entries) > maxVain {
			t.Fatalf("%d IDs are held, want at most %d", len(v.entries), maxVain)
		}
	}
	now = now.Add(vainFirst)
	if v.has(strconv.Itoa(10*maxVain - 1)) {
		t.Errorf("an ID is held after %v", vainFirst)
	}
}
