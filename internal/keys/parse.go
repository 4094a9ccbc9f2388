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

// Entry is an entry of a key set, and what becomes of it.
type Entry struct {
	KeyID, Type, Algorithm, Use string

	Reason string // why it is not used; "" if it is
	Proper bool   // it is rightly in the set and not for us, such as Keycloak's key for encryption

	key jwkset.JWK
}

// Inspect says of each entry of a set whether it can be used, and why not. A bad key does not take the good ones
// with it.
func Inspect(raw []jsontext.Value, algorithms []string) []Entry {
	entries := make([]Entry, 0, len(raw))
	count := make(map[string]int)
	for _, value := range raw {
		e := inspect(value, algorithms)
		if e.Reason == "" {
			count[e.KeyID]++
		}
		entries = append(entries, e)
	}
	// Two keys of one ID: which one is meant is anybody's guess, so neither is.
	for i := range entries {
		if n := count[entries[i].KeyID]; entries[i].Reason == "" && n > 1 {
			entries[i].Reason = fmt.Sprintf("%d keys have this ID", n)
		}
	}
	return entries
}

func inspect(value jsontext.Value, algorithms []string) Entry {
	var m jwkset.JWKMarshal
	if err := json.Unmarshal(value, &m); err != nil {
		return Entry{Reason: "an entry is no JSON Web Key"}
	}
	e := Entry{KeyID: m.KID, Type: m.KTY.String(), Algorithm: m.ALG.String(), Use: m.USE.String()}
	jwk, err := parseKey(m, algorithms)
	if err != nil {
		e.Reason = strings.ReplaceAll(err.Error(), "\n", ": ")
		e.Proper = errors.Is(err, errNotForSignatures) || errors.Is(err, jwkset.ErrUnsupportedKey)
	}
	e.key = jwk
	return e
}

// parse reads the keys of a set. skipped says which cannot be used and why, but for keys that are not meant for us.
func parse(raw []jsontext.Value, algorithms []string) (usable []jwkset.JWK, skipped string) {
	var reasons []string
	for _, e := range Inspect(raw, algorithms) {
		switch {
		case e.Reason == "":
			usable = append(usable, e.key)
		case e.Proper:
		case e.KeyID == "" && e.Type == "":
			reasons = append(reasons, e.Reason)
		default:
			reasons = append(reasons, fmt.Sprintf("%.80q: %s", e.KeyID, e.Reason))
		}
	}
	slices.Sort(reasons)
	return usable, strings.Join(slices.Compact(reasons), "; ")
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
	case hasPrivatePart(m):
		return errors.New("its private part is published, so it proves nothing")
	case !token.PlausibleKeyID(m.KID):
		return errors.New("it has no ID that a token could name")
	}
	return nil
}

// hasPrivatePart reports whether a key has a private parameter of RFC 7518 §6.2.2 or §6.3.2: of an RSA key each of
// them gives the others away.
func hasPrivatePart(m jwkset.JWKMarshal) bool {
	return m.D != "" || m.P != "" || m.Q != "" || m.DP != "" || m.DQ != "" || m.QI != "" || len(m.OTH) > 0
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
