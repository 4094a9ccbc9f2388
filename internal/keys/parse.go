package keys

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// The sizes of RSA moduli that are used, in bits: below, RFC 7518 §3.3 forbids it; above, a verification costs
// more than a request should be able to.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// errNotForSignatures marks a key that is rightly in the set and not for us, such as Keycloak's key for
// encryption. It is not worth a word.
var errNotForSignatures = errors.New("not a key for signatures")

// parse reads the keys of a set. Those that cannot be used are skipped, one by one, so that a bad key does not
// take the good ones with it; skipped says which and why, but for keys that are not meant for signatures.
func parse(raw []jsontext.Value, algorithms []string) (usable []jwkset.JWK, skipped string) {
	var reasons []string
	count := make(map[string]int)
	for _, value := range raw {
		var m jwkset.JWKMarshal
		if err := json.Unmarshal(value, &m); err != nil {
			reasons = append(reasons, "an entry is no JSON Web Key")
			continue
		}
		jwk, err := parseKey(m, algorithms)
		if errors.Is(err, errNotForSignatures) || errors.Is(err, jwkset.ErrUnsupportedKey) {
			continue
		}
		if err != nil {
			reasons = append(reasons, fmt.Sprintf("%.80q: %s", m.KID, strings.ReplaceAll(err.Error(), "\n", ": ")))
			continue
		}
		count[m.KID]++
		usable = append(usable, jwk)
	}
	// Two keys of one ID: which one is meant is anybody's guess, so neither is.
	usable = slices.DeleteFunc(usable, func(jwk jwkset.JWK) bool { return count[jwk.Marshal().KID] > 1 })
	for kid, n := range count {
		if n > 1 {
			reasons = append(reasons, fmt.Sprintf("%.80q: %d keys have this ID", kid, n))
		}
	}
	slices.Sort(reasons)
	return usable, strings.Join(reasons, "; ")
}

// parseKey turns one entry of a set into a key that one of the algorithms can use.
func parseKey(m jwkset.JWKMarshal, algorithms []string) (jwkset.JWK, error) {
	if err := checkPurpose(m); err != nil {
		return jwkset.JWK{}, err
	}
	jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return jwkset.JWK{}, err
	}
	if key, ok := jwk.Key().(*rsa.PublicKey); ok {
		if err := checkRSA(key); err != nil {
			return jwkset.JWK{}, err
		}
	}
	fits := func(alg string) bool {
		return token.Fits(alg, jwk.Key()) && (m.ALG == "" || m.ALG.String() == alg)
	}
	if !slices.ContainsFunc(algorithms, fits) {
		return jwkset.JWK{}, fmt.Errorf("its kty %q and alg %q go with none of the algorithms in use, %v", m.KTY, m.ALG, algorithms)
	}
	return jwk, nil
}

// checkPurpose refuses keys that are not public, not for signatures (RFC 7517 §4.2, §4.3), or not to be named
// by a token.
func checkPurpose(m jwkset.JWKMarshal) error {
	switch {
	case m.USE == jwkset.UseEnc:
		return errNotForSignatures
	case len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify):
		return errNotForSignatures
	case m.KTY == jwkset.KtyOct || m.K != "":
		return errors.New("a symmetric key does not belong into a public key set")
	case m.D != "":
		return errors.New("its private part is published, so it proves nothing")
	case !token.PlausibleKeyID(m.KID):
		return errors.New("it has no ID that a token could name")
	}
	return nil
}

// checkRSA refuses moduli and exponents that make signatures easy to forge or dear to check.
func checkRSA(key *rsa.PublicKey) error {
	switch bits := key.N.BitLen(); {
	case bits < minRSABits || bits > maxRSABits:
		return fmt.Errorf("an RSA modulus of %d bits, not %d to %d", bits, minRSABits, maxRSABits)
	case key.N.Bit(0) == 0:
		return errors.New("an even RSA modulus")
	case key.E < 3 || key.E > maxExponent || key.E%2 == 0:
		return errors.New("an RSA exponent that is not odd and from 3 to 2³¹-1")
	case weakROCA(key.N):
		return errors.New("its modulus has the fingerprint of ROCA (CVE-2017-15361)")
	}
	return nil
}

// maxExponent is the largest RSA exponent that crypto/rsa takes.
const maxExponent = 1<<31 - 1

// rocaPrimes are the primes at which the fingerprint is taken, as in the detection tool of its discoverers
// (Nemec et al., "The Return of Coppersmith's Attack", CCS 2017).
var rocaPrimes = []int64{
	3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
	109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
}

// weakROCA reports whether the modulus was made by the flawed generator, whose moduli are, modulo each small
// prime, a power of 65537.
func weakROCA(n *big.Int) bool {
	for _, p := range rocaPrimes {
		residue := new(big.Int).Mod(n, big.NewInt(p)).Int64()
		if !powerOf65537(residue, p) {
			return false
		}
	}
	return true
}

// powerOf65537 reports whether residue is a power of 65537 modulo p.
func powerOf65537(residue, p int64) bool {
	generator, power := 65537%p, int64(1)
	for range p {
		if power == residue {
			return true
		}
		power = power * generator % p
	}
	return false
}
