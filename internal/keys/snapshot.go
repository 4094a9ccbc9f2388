package keys

import (
	"context"
	"crypto"
	"fmt"
	"maps"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"

	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// snapshot is a key set as it was fetched once. It is never changed.
type snapshot struct {
	ids        map[string]struct{}
	byUse      map[use]crypto.PublicKey
	generation uint64 // changes with the keys
	skipped    string // report of keys that should be usable and are not
	number     uint64 // of the fetch it came from
	fetchedAt  time.Time
}

// use is what a key is looked up for.
type use struct{ kid, alg string }

// newSnapshot puts the usable keys into a jwkset.Storage and asks keyfunc for each of them, under each algorithm,
// so that a request finds the answer ready.
func newSnapshot(raw []jsontext.Value, algorithms []string) (*snapshot, error) {
	usable, skipped := parse(raw, algorithms)
	if len(usable) == 0 {
		return nil, fmt.Errorf("the key set has no usable key: %s", skipped)
	}
	ctx := context.Background()
	storage := jwkset.NewMemoryStorage()
	if err := storage.KeyReplaceAll(ctx, usable); err != nil {
		return nil, err
	}
	lookUp, err := keyfunc.New(keyfunc.Options{Ctx: ctx, Storage: storage})
	if err != nil {
		return nil, err
	}
	snap := &snapshot{skipped: skipped, ids: make(map[string]struct{}), byUse: make(map[use]crypto.PublicKey)}
	for _, jwk := range usable {
		kid := jwk.Marshal().KID
		snap.ids[kid] = struct{}{}
		for _, alg := range algorithms {
			key, err := lookUp.Keyfunc(&jwt.Token{Header: map[string]any{"kid": kid, "alg": alg}})
			if err == nil && token.Fits(alg, key) {
				snap.byUse[use{kid, alg}] = key
			}
		}
	}
	return snap, nil
}

// has reports whether the set has a key of that ID.
func (s *snapshot) has(kid string) bool {
	_, ok := s.ids[kid]
	return ok
}

// key returns the key of an ID that the set has, for an algorithm that it may not be for.
func (s *snapshot) key(kid, alg string) (Key, error) {
	public, ok := s.byUse[use{kid, alg}]
	if !ok {
		return Key{}, ErrWrongAlgorithm
	}
	return Key{Public: public, Generation: s.generation}, nil
}

// sameKeys reports whether two sets have the same keys under the same IDs.
func (s *snapshot) sameKeys(other *snapshot) bool {
	return maps.EqualFunc(s.byUse, other.byUse, func(a, b crypto.PublicKey) bool {
		key, ok := a.(interface{ Equal(x crypto.PublicKey) bool })
		return ok && key.Equal(b)
	})
}
