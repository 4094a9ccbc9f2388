package keycloaktest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"
)

// key is a key pair of the realm with what the key set says about it.
type key struct {
	kid    string
	alg    string
	signer crypto.Signer
	json   string
}

// keySet is the realm's keys. The newest key signs; the older ones only verify.
type keySet struct {
	signing []key // newest first
	enc     key
	extra   []string
}

// algorithm is what one value of alg stands for (RFC 7518 §3.1, RFC 8037).
type algorithm struct {
	kty  string
	hash crypto.Hash
	pss  bool
	size int // bytes of r and of s, for ECDSA
}

var algorithms = map[string]algorithm{
	"RS256": {kty: "RSA", hash: crypto.SHA256},
	"RS384": {kty: "RSA", hash: crypto.SHA384},
	"RS512": {kty: "RSA", hash: crypto.SHA512},
	"PS256": {kty: "RSA", hash: crypto.SHA256, pss: true},
	"PS384": {kty: "RSA", hash: crypto.SHA384, pss: true},
	"PS512": {kty: "RSA", hash: crypto.SHA512, pss: true},
	"ES256": {kty: "EC", hash: crypto.SHA256, size: 32},
	"ES384": {kty: "EC", hash: crypto.SHA384, size: 48},
	"ES512": {kty: "EC", hash: crypto.SHA512, size: 66},
	"EdDSA": {kty: "OKP"},
}

// firstRSA and encRSA are made once in a process: an RSA key takes 80 ms.
var (
	firstRSA = sync.OnceValues(newRSA)
	encRSA   = sync.OnceValues(newRSA)
)

func newRSA() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }

// generate makes a private key that fits alg.
func generate(alg string) (crypto.Signer, error) {
	switch alg {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return newRSA()
}

func newKeySet(alg string) (keySet, error) {
	first := func() (crypto.Signer, error) { return generate(alg) }
	if algorithms[alg].kty == "RSA" {
		first = firstRSA
	}
	signing, err := newKey(first, alg, "sig")
	if err != nil {
		return keySet{}, err
	}
	enc, err := newKey(encRSA, "RSA-OAEP", "enc")
	return keySet{signing: []key{signing}, enc: enc}, err
}

func newKey(pair func() (crypto.Signer, error), alg, use string) (key, error) {
	signer, err := pair()
	if err != nil {
		return key{}, err
	}
	kid, err := thumbprint(signer.Public())
	if err != nil {
		return key{}, err
	}
	entry, err := entryOf(signer.Public(), kid, alg, use)
	if err != nil {
		return key{}, err
	}
	if rsaKey, ok := signer.(*rsa.PrivateKey); ok {
		if err := certify(entry, rsaKey); err != nil {
			return key{}, err
		}
	}
	text, err := json.Marshal(entry)
	return key{kid: kid, alg: alg, signer: signer, json: string(text)}, err
}

// members are those of a JWK that make up the key itself (RFC 7518 §6, RFC 8037 §2).
func members(pub crypto.PublicKey) (*object, error) {
	o := newObject()
	switch k := pub.(type) {
	case *rsa.PublicKey:
		o.set("kty", "RSA")
		o.set("n", base64url(k.N.Bytes()))
		o.set("e", base64url(big.NewInt(int64(k.E)).Bytes()))
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 4, x, y
		if err != nil {
			return nil, err
		}
		half := len(point) / 2
		o.set("kty", "EC")
		o.set("crv", k.Curve.Params().Name)
		o.set("x", base64url(point[1:1+half]))
		o.set("y", base64url(point[1+half:]))
	case ed25519.PublicKey:
		o.set("kty", "OKP")
		o.set("crv", "Ed25519")
		o.set("x", base64url(k))
	default:
		return nil, fmt.Errorf("a key of type %T is not RSA, ECDSA or Ed25519", pub)
	}
	return o, nil
}

// entryOf is the entry of a key set.
func entryOf(pub crypto.PublicKey, kid, alg, use string) (*object, error) {
	own, err := members(pub)
	if err != nil {
		return nil, err
	}
	entry := newObject()
	entry.set("kid", kid)
	entry.set("kty", own.values["kty"])
	entry.set("alg", alg)
	entry.set("use", use)
	for _, name := range own.names {
		entry.set(name, own.values[name])
	}
	return entry, nil
}

// entryOrder is the order in which Keycloak writes the members of an entry.
var entryOrder = []string{"kid", "kty", "alg", "use", "x5c", "x5t", "x5t#S256", "n", "e", "crv", "x", "y"}

// certify adds a self-signed certificate, as Keycloak gives its RSA keys one.
func certify(entry *object, signer *rsa.PrivateKey) error {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "keycloaktest"},
		NotBefore:    time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return fmt.Errorf("certify a key: %w", err)
	}
	short, long := sha1.Sum(der), sha256.Sum256(der)
	entry.set("x5c", []string{base64.StdEncoding.EncodeToString(der)})
	entry.set("x5t", base64url(short[:]))
	entry.set("x5t#S256", base64url(long[:]))
	entry.sortBy(entryOrder)
	return nil
}

// thumbprint is the kid of a key: its RFC 7638 thumbprint, 43 characters.
func thumbprint(pub crypto.PublicKey) (string, error) {
	own, err := members(pub)
	if err != nil {
		return "", err
	}
	slices.Sort(own.names) // RFC 7638 §3.3: in lexicographic order
	text, err := json.Marshal(own)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return base64url(sum[:]), nil
}

// algorithmOf is the algorithm that a key naturally goes with.
func algorithmOf(pub crypto.PublicKey) (string, error) {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return "RS256", nil
	case ed25519.PublicKey:
		return "EdDSA", nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P384():
			return "ES384", nil
		case elliptic.P521():
			return "ES512", nil
		}
		return "ES256", nil
	}
	return "", fmt.Errorf("a key of type %T is not RSA, ECDSA or Ed25519", pub)
}

// KeyJSON is the entry of a key set for a public key, for [Server.AddKeyJSON]. pub may be the private key as well;
// only its public half is used.
func KeyJSON(pub any, kid, alg string) string {
	entry, err := entryOf(public(pub), kid, alg, "sig")
	if err != nil {
		panic("keycloaktest: KeyJSON: " + err.Error())
	}
	text, err := json.Marshal(entry)
	if err != nil {
		panic("keycloaktest: KeyJSON: " + err.Error())
	}
	return string(text)
}

// RotateKeys gives the realm a new signing key, of the realm's algorithm, and returns its key ID. Tokens are signed
// with it from now on; the older keys stay in the key set, as passive keys do in Keycloak.
func (s *Server) RotateKeys() (kid string) {
	pair := func() (crypto.Signer, error) { return generate(s.algorithm) }
	fresh, err := newKey(pair, s.algorithm, "sig")
	if err != nil {
		s.tb.Helper()
		s.tb.Fatalf("keycloaktest: rotate keys: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.signing = slices.Insert(s.keys.signing, 0, fresh)
	return fresh.kid
}

// RemoveOldKeys takes every key but the active one, and the encryption key, out of the key set. Tokens that older
// keys signed are void from now on.
func (s *Server) RemoveOldKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.signing = slices.Clone(s.keys.signing[:1])
	s.keys.extra = nil
}

// SigningKey is the private key that signs tokens now.
func (s *Server) SigningKey() crypto.Signer { return s.activeKey().signer }

// KeyID is the kid of the key that signs tokens now.
func (s *Server) KeyID() string { return s.activeKey().kid }

// AddKeyJSON adds an entry to the served key set, byte for byte, whether it is a key or not even JSON. It comes before
// the realm's own keys. [KeyJSON] makes a good one to start from.
func (s *Server) AddKeyJSON(raw string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.extra = append(s.keys.extra, raw)
}

func (s *Server) activeKey() key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys.signing[0]
}

// publicKey is the realm's signing key of that ID.
func (s *Server) publicKey(kid string) (key, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.keys.signing, func(k key) bool { return k.kid == kid })
	if i < 0 {
		return key{}, false
	}
	return s.keys.signing[i], true
}

// keySetJSON is the served document. The encryption key comes first, so that no client gets by with the first key.
func (s *Server) keySetJSON() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := slices.Clone(s.keys.extra)
	entries = append(entries, s.keys.enc.json)
	for _, k := range s.keys.signing {
		entries = append(entries, k.json)
	}
	return `{"keys":[` + strings.Join(entries, ",") + `]}`
}

// signature signs input as alg asks, in the form of RFC 7518 §3.
func signature(alg string, signer crypto.Signer, saltLength int, input []byte) ([]byte, error) {
	a, ok := algorithms[alg]
	if !ok {
		return nil, fmt.Errorf("%q is no algorithm to sign with; Unsigned, HMAC and Header are for the others", alg)
	}
	own, err := members(signer.Public())
	if err != nil {
		return nil, err
	}
	if kty := own.text("kty"); kty != a.kty {
		return nil, fmt.Errorf("%s does not fit a key of type %s", alg, kty)
	}
	if a.kty == "OKP" {
		return signer.Sign(rand.Reader, input, crypto.Hash(0))
	}
	h := a.hash.New()
	h.Write(input)
	digest := h.Sum(nil)
	switch {
	case a.pss:
		return signer.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: saltLength, Hash: a.hash})
	case a.kty == "RSA":
		return signer.Sign(rand.Reader, digest, a.hash)
	}
	der, err := signer.Sign(rand.Reader, digest, a.hash)
	if err != nil {
		return nil, err
	}
	return rawECDSA(der, a.size)
}

// rawECDSA turns the DER form of a signature into r||s, each padded to size: to the size of the algorithm, even where
// the key is on a smaller curve, because that is what an attacker would do.
func rawECDSA(der []byte, size int) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, err
	}
	size = max(size, len(sig.R.Bytes()), len(sig.S.Bytes()))
	raw := make([]byte, 2*size)
	sig.R.FillBytes(raw[:size])
	sig.S.FillBytes(raw[size:])
	return raw, nil
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// public is the public half of a key, for the places that take either half.
func public(key any) crypto.PublicKey {
	if signer, ok := key.(crypto.Signer); ok {
		return signer.Public()
	}
	return key
}
