package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// keyring is a private key of each kind.
type keyring struct {
	rsa              *rsa.PrivateKey
	p256, p384, p521 *ecdsa.PrivateKey
	ed25519          ed25519.PrivateKey
}

var keys = sync.OnceValue(func() keyring {
	var k keyring
	var err error
	if k.rsa, err = rsa.GenerateKey(rand.Reader, 1536); err != nil { // just long enough for PS512, and quickly made
		panic(err)
	}
	for curve, to := range map[elliptic.Curve]**ecdsa.PrivateKey{elliptic.P256(): &k.p256, elliptic.P384(): &k.p384, elliptic.P521(): &k.p521} {
		if *to, err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			panic(err)
		}
	}
	if _, k.ed25519, err = ed25519.GenerateKey(rand.Reader); err != nil {
		panic(err)
	}
	return k
})

// signers make a signature as RFC 7518 §3 and RFC 8037 §3.1 say, by hand, so that no library is checked by itself.
var signers = map[string]struct {
	public func() crypto.PublicKey
	sign   func(signed []byte) []byte
}{
	"RS256": {rsaPublic, pkcs1(crypto.SHA256)},
	"RS384": {rsaPublic, pkcs1(crypto.SHA384)},
	"RS512": {rsaPublic, pkcs1(crypto.SHA512)},
	"PS256": {rsaPublic, pss(crypto.SHA256, rsa.PSSSaltLengthEqualsHash)},
	"PS384": {rsaPublic, pss(crypto.SHA384, rsa.PSSSaltLengthEqualsHash)},
	"PS512": {rsaPublic, pss(crypto.SHA512, rsa.PSSSaltLengthEqualsHash)},
	"ES256": {func() crypto.PublicKey { return keys().p256.Public() }, curve(func() *ecdsa.PrivateKey { return keys().p256 }, crypto.SHA256, 32)},
	"ES384": {func() crypto.PublicKey { return keys().p384.Public() }, curve(func() *ecdsa.PrivateKey { return keys().p384 }, crypto.SHA384, 48)},
	"ES512": {func() crypto.PublicKey { return keys().p521.Public() }, curve(func() *ecdsa.PrivateKey { return keys().p521 }, crypto.SHA512, 66)},
	"EdDSA": {func() crypto.PublicKey { return keys().ed25519.Public() }, func(signed []byte) []byte { return ed25519.Sign(keys().ed25519, signed) }},
}

func rsaPublic() crypto.PublicKey { return keys().rsa.Public() }

func sum(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}

func pkcs1(h crypto.Hash) func([]byte) []byte {
	return func(signed []byte) []byte {
		sig, err := rsa.SignPKCS1v15(rand.Reader, keys().rsa, h, sum(h, signed))
		if err != nil {
			panic(err)
		}
		return sig
	}
}

func pss(h crypto.Hash, salt int) func([]byte) []byte {
	return func(signed []byte) []byte {
		sig, err := rsa.SignPSS(rand.Reader, keys().rsa, h, sum(h, signed), &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			panic(err)
		}
		return sig
	}
}

// curve makes a signature of which each half is size bytes long.
func curve(key func() *ecdsa.PrivateKey, h crypto.Hash, size int) func([]byte) []byte {
	return func(signed []byte) []byte {
		r, s, err := ecdsa.Sign(rand.Reader, key(), sum(h, signed))
		if err != nil {
			panic(err)
		}
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
}

// signed makes a token, signed by sign whatever the header says.
func signed(t *testing.T, alg string, sign func([]byte) []byte) token.JWS {
	t.Helper()
	head, _, _ := strings.Cut(compact(`{"alg":"`+alg+`","kid":"k1"}`, `{"sub":"alice"}`, ""), "..")
	head = strings.TrimSuffix(head, ".")
	jws, err := token.Parse(head + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(head))))
	if err != nil {
		t.Fatal(err)
	}
	return jws
}

func TestAlgorithms(t *testing.T) {
	want := []string{"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
	if got := token.Algorithms(); !slices.Equal(got, want) {
		t.Errorf("Algorithms = %q, want %q", got, want)
	}
}

// Each algorithm takes signatures that are its own, with a key that is of its kind, and nothing else.
func TestVerify(t *testing.T) {
	for alg, signer := range signers {
		good := signed(t, alg, signer.sign)
		for other, o := range signers {
			err := good.Verify(o.public())
			switch fits := token.Fits(alg, o.public()); {
			case alg == other && err != nil:
				t.Errorf("%s token, its key: %v, want none", alg, err)
			case alg[0] == other[0] && (alg[0] != 'E' || alg == other) || isRSA(alg) && isRSA(other):
				if !fits || err != nil {
					t.Errorf("%s token, the key of %s, which is the same: fits %t, %v, want true and none", alg, other, fits, err)
				}
			case fits || !errors.Is(err, token.ErrAlgorithm):
				t.Errorf("%s token, the key of %s: fits %t, %v, want false and %v", alg, other, fits, err, token.ErrAlgorithm)
			}
			if alg == other || !isRSA(alg) || !isRSA(other) {
				continue // a signature of another kind of key is not even of the right length
			}
			if err := signed(t, alg, o.sign).Verify(signer.public()); !errors.Is(err, token.ErrSignature) {
				t.Errorf("%s token, signed as for %s: %v, want %v", alg, other, err, token.ErrSignature)
			}
		}
	}
}

func isRSA(alg string) bool { return alg[0] == 'R' || alg[0] == 'P' }

func TestVerifyRefuses(t *testing.T) {
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	es256 := signers["ES256"]
	tests := []struct {
		name, alg string
		sign      func([]byte) []byte
		key       crypto.PublicKey
		want      error
	}{
		{"another key", "ES256", es256.sign, stranger.Public(), token.ErrSignature},
		{"something else was signed", "ES256", func(b []byte) []byte { return es256.sign(append(b, 'x')) }, es256.public(), token.ErrSignature},
		{"cut off", "ES256", func(b []byte) []byte { return es256.sign(b)[:63] }, es256.public(), token.ErrSignature},
		{"a byte too many", "ES256", func(b []byte) []byte { return append(es256.sign(b), 0) }, es256.public(), token.ErrSignature},
		{"zero", "ES256", func([]byte) []byte { return make([]byte, 64) }, es256.public(), token.ErrSignature},
		{"DER", "ES256", func(b []byte) []byte {
			der, err := ecdsa.SignASN1(rand.Reader, keys().p256, sum(crypto.SHA256, b))
			if err != nil {
				t.Fatal(err)
			}
			return der
		}, es256.public(), token.ErrSignature},
		{"PSS with a salt of no bytes", "PS256", pss(crypto.SHA256, 0), rsaPublic(), token.ErrSignature},
		{"PSS with a long salt", "PS256", pss(crypto.SHA256, 64), rsaPublic(), token.ErrSignature},
		{"PS384 with a short salt", "PS384", pss(crypto.SHA384, 32), rsaPublic(), token.ErrSignature},
		{"PS512 with a short salt", "PS512", pss(crypto.SHA512, 32), rsaPublic(), token.ErrSignature},
		{"ES512 by a key on P-256", "ES512", curve(func() *ecdsa.PrivateKey { return keys().p256 }, crypto.SHA512, 66), es256.public(), token.ErrAlgorithm},
		{"none", "none", es256.sign, es256.public(), token.ErrAlgorithm},
		{"HS256", "HS256", es256.sign, es256.public(), token.ErrAlgorithm},
		{"HS256, a secret for a key", "HS256", es256.sign, []byte("secret"), token.ErrAlgorithm},
		{"in lower case", "es256", es256.sign, es256.public(), token.ErrAlgorithm},
		{"a private key for a public one", "ES256", es256.sign, keys().p256, token.ErrAlgorithm},
		{"no key", "ES256", es256.sign, nil, token.ErrAlgorithm},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := signed(t, tt.alg, tt.sign).Verify(tt.key); !errors.Is(err, tt.want) {
				t.Errorf("Verify = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestFits(t *testing.T) {
	for name, got := range map[string]bool{
		"no algorithm":           token.Fits("none", rsaPublic()),
		"HS256, a secret":        token.Fits("HS256", []byte("secret")),
		"RS256, a private key":   token.Fits("RS256", keys().rsa),
		"EdDSA, a pointer":       token.Fits("EdDSA", new(ed25519.PublicKey)),
		"ES256, no key":          token.Fits("ES256", nil),
		"ES256, another curve":   token.Fits("ES256", keys().p384.Public()),
		"RS256, an integer":      token.Fits("RS256", big.NewInt(3)),
		"in lower case":          token.Fits("rs256", rsaPublic()),
		"RS256, a key for ECDSA": token.Fits("RS256", keys().p256.Public()),
	} {
		if got {
			t.Errorf("Fits(%s) = true, want false", name)
		}
	}
}
