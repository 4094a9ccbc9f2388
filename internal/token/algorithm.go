package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"maps"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// algorithm is a signature algorithm of RFC 7518 §3.1 or RFC 8037, and the keys that it takes.
type algorithm struct {
	method jwt.SigningMethod
	fits   func(crypto.PublicKey) bool
}

// algorithms are the signature algorithms a realm may use. All are asymmetric: with a shared secret, whoever
// can check a token could also make one (RFC 8725 §3.1).
var algorithms = map[string]algorithm{
	"RS256": {jwt.SigningMethodRS256, isRSA},
	"RS384": {jwt.SigningMethodRS384, isRSA},
	"RS512": {jwt.SigningMethodRS512, isRSA},
	"PS256": {exactSalt(jwt.SigningMethodPS256), isRSA},
	"PS384": {exactSalt(jwt.SigningMethodPS384), isRSA},
	"PS512": {exactSalt(jwt.SigningMethodPS512), isRSA},
	"ES256": {jwt.SigningMethodES256, isCurve(elliptic.P256())},
	"ES384": {jwt.SigningMethodES384, isCurve(elliptic.P384())},
	"ES512": {jwt.SigningMethodES512, isCurve(elliptic.P521())},
	"EdDSA": {jwt.SigningMethodEdDSA, isEd25519},
}

// Algorithms lists the names of the supported signature algorithms, sorted.
func Algorithms() []string { return slices.Sorted(maps.Keys(algorithms)) }

// Fits reports whether key is of the type, and on the curve, that the algorithm of that name takes.
func Fits(alg string, key crypto.PublicKey) bool {
	a, ok := algorithms[alg]
	return ok && a.fits(key)
}

// exactSalt returns a copy of m that takes a salt as long as the hash and no other (RFC 7518 §3.5).
func exactSalt(m *jwt.SigningMethodRSAPSS) *jwt.SigningMethodRSAPSS {
	strict := *m
	strict.VerifyOptions = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: m.Hash}
	return &strict
}

func isRSA(key crypto.PublicKey) bool {
	_, ok := key.(*rsa.PublicKey)
	return ok
}

func isEd25519(key crypto.PublicKey) bool {
	_, ok := key.(ed25519.PublicKey)
	return ok
}

// isCurve ties an ECDSA algorithm to its curve (RFC 7518 §3.4): golang-jwt would verify an ES512 signature
// with a key on P-256.
func isCurve(curve elliptic.Curve) func(crypto.PublicKey) bool {
	return func(key crypto.PublicKey) bool {
		ec, ok := key.(*ecdsa.PublicKey)
		return ok && ec.Curve == curve
	}
}

// Verify checks the signature with key. The caller has chosen the key by the header's kid and alg, and has
// made sure that the algorithm is one that the realm uses.
func (t JWS) Verify(key crypto.PublicKey) error {
	alg, ok := algorithms[t.Header.Algorithm]
	if !ok {
		return fmt.Errorf("%w: not an asymmetric signature", ErrAlgorithm)
	}
	if !alg.fits(key) {
		return fmt.Errorf("%w: %s does not go with a %T", ErrAlgorithm, t.Header.Algorithm, key)
	}
	scratch := borrow()
	defer scratch.giveBack()
	*scratch = append(*scratch, t.signature...)
	if err := alg.method.Verify(t.signed, *scratch, key); err != nil {
		return ErrSignature // the library's error says no more than that
	}
	return nil
}
