// Package bench_test holds the ordinary benchmarks, from the middleware of a Gin engine to a handler that does nothing.
// Each reports, besides the whole, what is added to a bare route (added-ns/op), and that as a share of a bare check of a
// signature (of-floor), which runs in turns with it.
package bench_test

import (
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/bench/stand"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// pool is how many tokens there are of those that must not be known. With the token cache off, they may come round.
const pool = 512

// realm is a fake Keycloak with good tokens.
type realm struct {
	*keycloaktest.Server
	algorithm string
	tokens    []string
}

func newRealm(algorithm string) func() *realm {
	return sync.OnceValue(func() *realm {
		server, err := stand.Start(algorithm)
		if err != nil {
			panic(err)
		}
		return &realm{server, algorithm, stand.Good(server, pool)}
	})
}

var (
	rs256 = newRealm("RS256")
	es256 = newRealm("ES256")
)

// plugin returns the library set up for the realm, with its keys fetched.
func plugin(b *testing.B, r *realm, opts ...ginkeycloak.Option) *ginkeycloak.Plugin {
	b.Helper()
	kc, err := ginkeycloak.New(append([]ginkeycloak.Option{
		ginkeycloak.WithServerURL(r.URL()),
		ginkeycloak.WithRealm(r.Realm()),
		ginkeycloak.WithClientID(stand.Audience),
		ginkeycloak.WithAlgorithms(r.algorithm),
	}, opts...)...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = kc.Close() })
	if err := kc.Connect(b.Context()); err != nil {
		b.Fatal(err)
	}
	return kc
}

var cacheOff = ginkeycloak.WithTokenCache(0, 0)

// measure sends tokens through the handlers on all cores and wants that status; then it does the same with a bare route.
func measure(b *testing.B, r *realm, tokens []string, want int, handlers ...gin.HandlerFunc) {
	b.Helper()
	authorizations := stand.Authorizations(tokens...)
	engine := stand.Engine(append(handlers, stand.Bare)...)
	if status := stand.NewClient(engine).Get(authorizations[0]); status != want {
		b.Fatalf("the first token = %d, want %d", status, want)
	}
	b.ReportAllocs()
	b.ResetTimer()
	onAllCores(b, engine, authorizations, want)
	b.StopTimer()

	whole := b.Elapsed()
	begin := time.Now()
	onAllCores(b, stand.Engine(stand.Bare), authorizations, http.StatusOK)
	added := float64(whole-time.Since(begin)) / float64(b.N)
	b.ReportMetric(added, "added-ns/op")
	b.ReportMetric(added/floor(b, r), "of-floor")
}

func onAllCores(b *testing.B, engine http.Handler, authorizations []string, want int) {
	b.Helper()
	var workers atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		client := stand.NewClient(engine)
		for i := int(workers.Add(1)) * len(authorizations) / 2; pb.Next(); i++ {
			if status := client.Get(authorizations[i%len(authorizations)]); status != want {
				b.Errorf("a token = %d, want %d", status, want)
				return
			}
		}
	})
}

// signaturesOf are the realm's tokens taken apart.
func signaturesOf(b *testing.B, r *realm) []*stand.Signature {
	b.Helper()
	signatures := make([]*stand.Signature, len(r.tokens))
	for i, token := range r.tokens {
		var err error
		if signatures[i], err = stand.NewSignature(token); err != nil {
			b.Fatal(err)
		}
	}
	return signatures
}

// floor is how long a bare check of a signature takes, in nanoseconds, on all cores.
func floor(b *testing.B, r *realm) float64 {
	b.Helper()
	signatures, key := signaturesOf(b, r), r.SigningKey().Public()
	var group sync.WaitGroup
	var wrong atomic.Int64
	cores := runtime.GOMAXPROCS(0)
	begin := time.Now()
	for range cores {
		group.Go(func() {
			for _, s := range signatures {
				if !s.Verify(key) {
					wrong.Add(1)
				}
			}
		})
	}
	group.Wait()
	took := time.Since(begin)
	if n := wrong.Load(); n > 0 {
		b.Fatalf("%d signatures are wrong", n)
	}
	return float64(took.Nanoseconds()) / float64(cores*len(signatures))
}

func checkSignatures(b *testing.B, r *realm) {
	b.Helper()
	signatures, key := signaturesOf(b, r), r.SigningKey().Public()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if !signatures[i%len(signatures)].Verify(key) {
				b.Error("a signature is wrong")
				return
			}
		}
	})
}

func BenchmarkFloor(b *testing.B) {
	b.Run("RS256", func(b *testing.B) { checkSignatures(b, rs256()) })
	b.Run("ES256", func(b *testing.B) { checkSignatures(b, es256()) })
	b.Run("bare Gin route", func(b *testing.B) {
		b.ReportAllocs()
		onAllCores(b, stand.Engine(stand.Bare), stand.Authorizations(rs256().tokens...), http.StatusOK)
	})
}

func BenchmarkFirstSeen(b *testing.B) {
	for _, r := range []*realm{rs256(), es256()} {
		b.Run(r.algorithm, func(b *testing.B) {
			measure(b, r, r.tokens, http.StatusOK, plugin(b, r, cacheOff).Middleware())
		})
	}
}

func BenchmarkRepeated(b *testing.B) {
	r := rs256()
	measure(b, r, r.tokens[:1], http.StatusOK, plugin(b, r).Middleware())
}

// The tokens of many users, all of them known.
func BenchmarkRepeatedMany(b *testing.B) {
	r := rs256()
	kc := plugin(b, r)
	for _, token := range r.tokens {
		if _, err := kc.Authenticate(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
	measure(b, r, r.tokens, http.StatusOK, kc.Middleware())
}

// A role, a group and a scope are asked of a known user; compare with BenchmarkRepeated.
func BenchmarkRequirements(b *testing.B) {
	r := rs256()
	kc := plugin(b, r)
	measure(b, r, r.tokens[:1], http.StatusOK, kc.Middleware(),
		kc.RequireRoles("admin"), kc.RequireGroups("/eng"), kc.RequireScopes("openid"))
}

func BenchmarkRefused(b *testing.B) {
	r := rs256()
	tests := []struct{ name, token string }{
		{"expired", stand.Expired(r.Server)},
		{"bad signature", stand.BadSignature(r.Server)},
		{"garbage of 16 KiB", stand.Garbage(16 << 10)},
		{"wrong issuer", stand.ForStrangers(r.Server)},
		{"oversized", stand.Garbage(20 << 10)},
	}
	for _, tt := range tests {
		b.Run(tt.name, func(b *testing.B) {
			kc := plugin(b, r)
			if _, err := kc.Authenticate(b.Context(), r.tokens[0]); err != nil { // makes the header known
				b.Fatal(err)
			}
			measure(b, r, []string{tt.token}, http.StatusUnauthorized, kc.Middleware())
		})
	}
}
