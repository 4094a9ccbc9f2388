package keys_test

import (
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/c0mpiler/ginkeycloak/internal/keys"
)

// odd is an odd number of that many bits, which serves for an RSA modulus where nothing is verified with it.
func odd(bits int) *big.Int { return new(big.Int).SetBit(big.NewInt(1), bits-1, 1) }

func inspect(entries ...string) []keys.Entry {
	var raw []jsontext.Value
	for _, e := range entries {
		raw = append(raw, jsontext.Value(e))
	}
	return keys.Inspect(raw, []string{"RS256", "ES256"})
}

func TestInspect(t *testing.T) {
	exponent := func(e int64) string { return base64.RawURLEncoding.EncodeToString(big.NewInt(e).Bytes()) }
	tests := []struct {
		name, key string
		want      string // of the reason; "" if it is used
		proper    bool
	}{
		{"EC", ec("k"), "", false},
		{"EC for ES256", ec("k", `"alg":"ES256"`, `"use":"sig"`), "", false},
		{"key_ops", ec("k", `"key_ops":["verify"]`), "", false},
		{"key_ops, others too", ec("k", `"key_ops":["sign","verify"]`), "", false},
		{"key_ops empty", ec("k", `"key_ops":[]`), "", false},
		{"RSA of the fewest bits", rsaKey("k", odd(2048), "AQAB"), "", false},
		{"RSA of the most bits", rsaKey("k", odd(8192), "AQAB"), "", false},
		{"RSA of the smallest exponent", rsaKey("k", odd(2048), exponent(3)), "", false},
		{"RSA of the largest exponent", rsaKey("k", odd(2048), exponent(1<<31-1)), "", false},
		{"unknown members", ec("k", `"ext":[{}]`), "", false},

		{"for encryption", ec("k", `"use":"enc"`), "not a key for signatures", true},
		{"key_ops without verify", ec("k", `"key_ops":["encrypt"]`), "not a key for signatures", true},
		{"another key type", `{"kid":"k","kty":"AKP","pub":"AAAA"}`, "unsupported", true},
		{"a symmetric key", `{"kid":"k","kty":"oct","k":"AAAA"}`, "a symmetric key", false},
		{"a symmetric key that is not there", `{"kid":"k","kty":"oct"}`, "a symmetric key", false},
		{"a secret in a public key", ec("k", `"k":"AAAA"`), "a symmetric key", false},
		{"private part", ec("k", `"d":"AAAA"`), "its private part", false},
		{"private part p", ec("k", `"p":"AAAA"`), "its private part", false},
		{"private part q", ec("k", `"q":"AAAA"`), "its private part", false},
		{"private part dp", ec("k", `"dp":"AAAA"`), "its private part", false},
		{"private part dq", ec("k", `"dq":"AAAA"`), "its private part", false},
		{"private part qi", ec("k", `"qi":"AAAA"`), "its private part", false},
		{"private part oth", ec("k", `"oth":[{"r":"AAAA","d":"AAAA","t":"AAAA"}]`), "its private part", false},
		{"no ID", strings.Replace(ec("k"), `"kid":"k",`, "", 1), "it has no ID", false},
		{"an ID with a space", ec("a b"), "it has no ID", false},
		{"a bit too few", rsaKey("k", odd(2047), "AQAB"), "an RSA modulus of 2047 bits", false},
		{"a bit too many", rsaKey("k", odd(8193), "AQAB"), "an RSA modulus of 8193 bits", false},
		{"even modulus", rsaKey("k", new(big.Int).Sub(odd(2049), big.NewInt(1)), "AQAB"), "an even RSA modulus", false},
		{"even modulus, but for the last bit but one", rsaKey("k", new(big.Int).Add(odd(2048), big.NewInt(1)), "AQAB"), "an even RSA modulus", false},
		{"exponent 0", rsaKey("k", odd(2048), exponent(0)), "e", false},
		{"exponent 1", rsaKey("k", odd(2048), exponent(1)), "out of range", false},
		{"exponent 2", rsaKey("k", odd(2048), exponent(2)), "an RSA exponent", false},
		{"even exponent", rsaKey("k", odd(2048), exponent(65536)), "an RSA exponent", false},
		{"exponent of 32 bits", rsaKey("k", odd(2048), exponent(1<<31+1)), "out of range", false},
		{"fingerprint of ROCA", rsaKey("k", rocaModulus(), "AQAB"), "its modulus has the fingerprint of ROCA", false},
		{"for an algorithm not in use", ec("k", `"alg":"ES384"`), `its kty "EC" and alg "ES384" go with none`, false},
		{"for an algorithm of another key type", ec("k", `"alg":"RS256"`), `its kty "EC" and alg "RS256" go with none`, false},
		{"for no algorithm of signatures", `{"kid":"k","kty":"OKP","crv":"X25519","x":"` + strings.Repeat("A", 43) + `"}`, `its kty "OKP"`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := inspect(tt.key)[0]
			if (tt.want == "") != (got.Reason == "") || !strings.Contains(got.Reason, tt.want) || got.Proper != tt.proper {
				t.Errorf("Inspect(%.80s) = %q, proper %t, want %q, %t", tt.key, got.Reason, got.Proper, tt.want, tt.proper)
			}
		})
	}
}

func TestInspectReadsWhatAnEntrySays(t *testing.T) {
	got := inspect(ec("k", `"alg":"ES256"`, `"use":"sig"`))[0]
	if got.KeyID != "k" || got.Type != "EC" || got.Algorithm != "ES256" || got.Use != "sig" {
		t.Errorf("Inspect = %+v, want what the key says", got)
	}
	for _, entry := range []string{`null`, `7`, `"k"`, `[]`, `{"kid":1}`, ec("k", `"kid":"k"`)} {
		if got := inspect(entry)[0]; got.Reason == "" || got.Proper {
			t.Errorf("Inspect(%.80s) = %+v, want a reason", entry, got)
		}
	}
}

// Two keys of one ID are both out, unless only one of them could be used anyway.
func TestInspectDuplicates(t *testing.T) {
	tests := []struct {
		name string
		keys []string
		want []string
	}{
		{"two", []string{ec("k"), ec("k"), ec("other")}, []string{"2 keys have this ID", "2 keys have this ID", ""}},
		{"three", []string{ec("k"), ec("k"), ec("k")}, []string{"3 keys have this ID", "3 keys have this ID", "3 keys have this ID"}},
		{"one for encryption", []string{ec("k", `"use":"enc"`), ec("k")}, []string{"not a key for signatures", ""}},
		{"two and one for encryption", []string{ec("k"), ec("k", `"use":"enc"`), ec("k")}, []string{"2 keys have this ID", "not a key for signatures", "2 keys have this ID"}},
		{"IDs in other case", []string{ec("k"), ec("K")}, []string{"", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i, e := range inspect(tt.keys...) {
				if e.Reason != tt.want[i] {
					t.Errorf("entry %d: %q, want %q", i, e.Reason, tt.want[i])
				}
			}
		})
	}
}

// rocaMultiple is the product of the primes at which the fingerprint is taken.
func rocaMultiple() *big.Int {
	m := big.NewInt(1)
	for p := int64(3); p <= 167; p += 2 {
		if big.NewInt(p).ProbablyPrime(20) {
			m.Mul(m, big.NewInt(p))
		}
	}
	return m
}

// The fingerprint is taken at these primes and nowhere else.
func TestROCAFingerprintIsFound(t *testing.T) {
	n := rocaModulus()
	step := new(big.Int).Lsh(rocaMultiple(), 1) // to keep n odd
	for range 40 {
		if got := inspect(rsaKey("k", n, "AQAB"))[0]; !strings.Contains(got.Reason, "ROCA") {
			t.Errorf("a modulus with the fingerprint: %q, want it found", got.Reason)
		}
		n.Add(n, step)
	}
}

// A modulus has the fingerprint only if it has it at every prime: one prime that divides it tells.
func TestROCAFingerprintIsTakenAtEveryPrime(t *testing.T) {
	for odd := int64(3); odd <= 167; odd += 2 {
		p := big.NewInt(odd)
		if !p.ProbablyPrime(20) {
			continue
		}
		others := new(big.Int).Div(rocaMultiple(), p)
		// A multiple of the others is added, so that the sum is one of p and nothing else changes.
		n := rocaModulus()
		times := new(big.Int).ModInverse(others, p)
		times.Mul(times, n).Neg(times).Mod(times, p)
		if times.Bit(0) == 1 {
			times.Add(times, p) // to keep n odd
		}
		n.Add(n, times.Mul(times, others))
		if got := inspect(rsaKey("k", n, "AQAB"))[0]; got.Reason != "" {
			t.Errorf("a modulus with the fingerprint at all primes but %d: %q, want it used", p, got.Reason)
		}
	}
}
