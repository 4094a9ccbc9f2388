package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"

	"github.com/c0mpiler/ginkeycloak/bench/peer"
	"github.com/c0mpiler/ginkeycloak/bench/stand"
)

// memory is what a library holds after many tokens, in bytes beyond what it held before.
type memory struct {
	tokens  int
	early   int64 // after a tenth of the tokens
	last    int64
	highest int64
}

// measureMemory sends that many valid tokens, all different, and looks at the heap in use, garbage collected, ten times.
func measureMemory(ctx context.Context, p peer.Peer, tokens int) (memory, error) {
	const steps, workers = 10, 2
	s, err := newSite(ctx, p)
	if err != nil {
		return memory{}, err
	}
	defer s.stop()
	mints := make([]*mint, workers)
	clients := make([]*stand.Client, workers)
	for i := range workers {
		if mints[i], err = newMint(s, i); err != nil {
			return memory{}, err
		}
		clients[i] = stand.NewClient(s.engine)
		if status := clients[i].Get(mints[i].next()); status != http.StatusOK {
			return memory{}, fmt.Errorf("%s answers a good token with %d", p.Name, status)
		}
	}

	m := memory{tokens: tokens}
	before := heapInUse()
	refused := make([]int, workers)
	for step := range steps {
		var group sync.WaitGroup
		for i := range workers {
			group.Go(func() {
				for range tokens / steps / workers {
					if clients[i].Get(mints[i].next()) != http.StatusOK {
						refused[i]++
					}
				}
			})
		}
		group.Wait()
		m.last = heapInUse() - before
		m.highest = max(m.highest, m.last)
		if step == 0 {
			m.early = m.last
		}
	}
	runtime.KeepAlive(s)
	for _, r := range refused {
		if r > 0 {
			return m, fmt.Errorf("%s refuses %d good tokens", p.Name, r)
		}
	}
	return m, nil
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // what the first one found only just unused
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// mint signs tokens that differ in their jti only, without keeping any. The fake's own tokens are remembered by the fake.
type mint struct {
	key            *ecdsa.PrivateKey
	header         string
	prefix, suffix string // of the claims, around the end of the jti
	id             int
	worker         int
}

// newMint takes a token of the fake apart.
func newMint(s *site, worker int) (*mint, error) {
	segments := strings.Split(stand.Good(s.server, 1)[0], ".")
	claims, err := base64.RawURLEncoding.DecodeString(segments[1])
	if err != nil {
		return nil, fmt.Errorf("decode claims: %w", err)
	}
	key, ok := s.server.SigningKey().(*ecdsa.PrivateKey)
	prefix, rest, found := strings.Cut(string(claims), `"jti":"`)
	_, suffix, closed := strings.Cut(rest, `"`)
	if !ok || !found || !closed {
		return nil, errors.New("the fake's token has no jti, or is not signed with ES256")
	}
	return &mint{key: key, header: segments[0], prefix: prefix + `"jti":"`, suffix: `"` + suffix, worker: worker}, nil
}

// next returns the Authorization field of another token.
func (m *mint) next() string {
	m.id++
	claims := fmt.Sprintf("%s00000000-0000-0000-%04d-%012d%s", m.prefix, m.worker, m.id, m.suffix)
	input := m.header + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	hash := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, m.key, hash[:])
	if err != nil {
		panic(err) // the key is one
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return "Bearer " + input + "." + base64.RawURLEncoding.EncodeToString(signature[:])
}
