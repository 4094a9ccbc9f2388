package ginkeycloak_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// everyAlgorithm is the widest allow-list, so that only what must fails.
var everyAlgorithm = ginkeycloak.WithAlgorithms("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

// Signature and algorithm: RFC 8725 §3.1 to §3.3.
func TestSignature(t *testing.T) {
	t.Parallel()
	a := newAPI(t, everyAlgorithm)
	srv := a.keycloak
	public := srv.SigningKey().Public()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		token string
		code  ginkeycloak.Code
	}{
		{"alg none", srv.Token(keycloaktest.Unsigned("none")), ginkeycloak.CodeMalformedToken},
		{"alg None", srv.Token(keycloaktest.Unsigned("None")), ginkeycloak.CodeMalformedToken},
		{"alg none with a signature", srv.Token(keycloaktest.Header("alg", "none")), ginkeycloak.CodeInvalidAlgorithm},
		{"alg nOnE with a signature", srv.Token(keycloaktest.Header("alg", "nOnE")), ginkeycloak.CodeInvalidAlgorithm},
		{"alg empty", srv.Token(keycloaktest.Header("alg", "")), ginkeycloak.CodeMalformedToken},
		{"alg missing", srv.Token(keycloaktest.WithoutHeader("alg")), ginkeycloak.CodeMalformedToken},
		{"alg a number", srv.Token(keycloaktest.Header("alg", 256)), ginkeycloak.CodeMalformedToken},
		{"alg an array", srv.Token(keycloaktest.Header("alg", []string{"RS256"})), ginkeycloak.CodeMalformedToken},
		{"alg null", srv.Token(keycloaktest.Header("alg", nil)), ginkeycloak.CodeMalformedToken},
		{"alg in lower case", srv.Token(keycloaktest.Header("alg", "rs256")), ginkeycloak.CodeInvalidAlgorithm},
		{"HS256 with the public key as PEM", srv.Token(keycloaktest.HMAC("HS256", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))), ginkeycloak.CodeInvalidAlgorithm},
		{"HS384 with the public key as DER", srv.Token(keycloaktest.HMAC("HS384", der)), ginkeycloak.CodeInvalidAlgorithm},
		{"HS512 with the modulus", srv.Token(keycloaktest.HMAC("HS512", public.(*rsa.PublicKey).N.Bytes())), ginkeycloak.CodeInvalidAlgorithm},
		{"HS256 with the JWK", srv.Token(keycloaktest.HMAC("HS256", []byte(keycloaktest.KeyJSON(public, srv.KeyID(), "RS256")))), ginkeycloak.CodeInvalidAlgorithm},
		{"HS256 with no secret", srv.Token(keycloaktest.HMAC("HS256", nil)), ginkeycloak.CodeInvalidAlgorithm},
		{"RS512 on a key for RS256", srv.Token(keycloaktest.Algorithm("RS512")), ginkeycloak.CodeInvalidAlgorithm},
		{"PS256 on a key for RS256", srv.Token(keycloaktest.Algorithm("PS256")), ginkeycloak.CodeInvalidAlgorithm},
		{"ES256 in the header of an RS256 token", srv.Token(keycloaktest.Header("alg", "ES256")), ginkeycloak.CodeInvalidAlgorithm},
		{"a stranger's key under the realm's kid", srv.Token(keycloaktest.SignedBy(stranger), keycloaktest.KeyID(srv.KeyID())), ginkeycloak.CodeInvalidSignature},
		{"JWE of five segments", srv.Token() + ".AAAA.AAAA", ginkeycloak.CodeMalformedToken},
		{"two segments", cutSegments(srv.Token(), 2), ginkeycloak.CodeMalformedToken},
		{"one segment", cutSegments(srv.Token(), 1), ginkeycloak.CodeMalformedToken},
		{"four segments", srv.Token() + ".AAAA", ginkeycloak.CodeMalformedToken},
		{"detached payload", detach(srv.Token()), ginkeycloak.CodeMalformedToken},
		{"empty signature", cutSegments(srv.Token(), 2) + ".", ginkeycloak.CodeMalformedToken},
		{"empty header", "." + strings.SplitN(srv.Token(), ".", 2)[1], ginkeycloak.CodeMalformedToken},
		{"only dots", "..", ginkeycloak.CodeMalformedToken},
		{"a token within a token", srv.Token(keycloaktest.Header("cty", "JWT")), ginkeycloak.CodeMalformedToken},
		{"refresh token, HS512", srv.RefreshToken(), ginkeycloak.CodeInvalidAlgorithm},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checkToken(t, a, tt.name, tt.token, tt.code)
		})
	}
}

// checkToken asserts that the API answers a token with 401 and that code; an empty code means it is let in.
func checkToken(t *testing.T, a *api, name, token string, code ginkeycloak.Code) {
	t.Helper()
	r := request("GET", "/me", "")(t)
	r.Header["Authorization"] = []string{"Bearer " + token}
	got := a.do(t, r)
	if code == "" {
		checkKind(t, name, got, kindOK)
		return
	}
	checkKind(t, name, got, kindTok)
	if got.code != code {
		t.Errorf("%s: code %q, want %q", name, got.code, code)
	}
}

func cutSegments(token string, n int) string { return strings.Join(strings.Split(token, ".")[:n], ".") }

func detach(token string) string {
	s := strings.Split(token, ".")
	return s[0] + ".." + s[2]
}

// JSON serialisation (RFC 7515 §7.2) is no compact token, and cannot even be written into the header.
func TestJSONSerialisationIsRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	s := strings.Split(a.keycloak.Token(), ".")
	serialised := fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, s[1], s[0], s[2])
	checkKind(t, "in the header", a.get(t, "/me", serialised), kindReq)
	if _, err := a.kc.Authenticate(t.Context(), serialised); err == nil {
		t.Error("Authenticate of a JSON serialisation = no error, want one")
	}
}

// A key without alg verifies the algorithms of its type that are allowed, and no others.
func TestKeyWithoutAlgorithm(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	srv.AddKeyJSON(keycloaktest.KeyJSON(key.Public(), "open", ""))
	a := newAPIFor(t, srv, ginkeycloak.WithAlgorithms("RS256", "ES256"))
	sign := func(alg string) string {
		return srv.Token(keycloaktest.SignedBy(key), keycloaktest.KeyID("open"), keycloaktest.Algorithm(alg))
	}
	checkToken(t, a, "RS256, allowed", sign("RS256"), "")
	for _, alg := range []string{"RS384", "PS256", "PS384"} {
		checkToken(t, a, alg+", not allowed", sign(alg), ginkeycloak.CodeInvalidAlgorithm)
	}
}

// RFC 7518 §3.4: each algorithm has its curve. golang-jwt verifies ES512 with a key on P-256, r and s padded.
func TestCurveMustFitTheAlgorithm(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	srv.AddKeyJSON(keycloaktest.KeyJSON(key.Public(), "p256", ""))
	a := newAPIFor(t, srv, everyAlgorithm)
	es512 := keycloaktest.SignedWith("ES512", func(input []byte) []byte {
		digest := sha512.Sum512(input)
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			t.Error(err)
		}
		return append(r.FillBytes(make([]byte, 66)), s.FillBytes(make([]byte, 66))...)
	})
	checkToken(t, a, "ES512 on P-256", srv.Token(es512, keycloaktest.KeyID("p256")), ginkeycloak.CodeInvalidAlgorithm)
	checkToken(t, a, "ES256 on P-256", srv.Token(keycloaktest.SignedBy(key), keycloaktest.KeyID("p256")), "")
}

// RFC 7518 §3.5: the salt is as long as the hash. golang-jwt takes any length.
func TestSaltMustBeAsLongAsTheHash(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t, keycloaktest.WithAlgorithm("PS256"))
	a := newAPIFor(t, srv, everyAlgorithm)
	checkToken(t, a, "salt of 32 bytes", srv.Token(keycloaktest.SaltLength(32)), "")
	for _, length := range []int{1, 31, 33, 64, 222} {
		name := fmt.Sprintf("salt of %d bytes", length)
		checkToken(t, a, name, srv.Token(keycloaktest.SaltLength(length)), ginkeycloak.CodeInvalidSignature)
	}
}

// Values of r and s at the edges, and another encoding (the class of CVE-2022-21449).
func TestECDSAEdges(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t, keycloaktest.WithAlgorithm("ES256"))
	a := newAPIFor(t, srv, everyAlgorithm)
	n := elliptic.P256().Params().N
	bytes32 := func(x *big.Int) []byte { return x.FillBytes(make([]byte, 32)) }
	zero, one := new(big.Int), big.NewInt(1)
	tests := map[string][]byte{
		"r = s = 0":         append(bytes32(zero), bytes32(zero)...),
		"r = 0, s = 1":      append(bytes32(zero), bytes32(one)...),
		"r = s = 1":         append(bytes32(one), bytes32(one)...),
		"r = s = n":         append(bytes32(n), bytes32(n)...),
		"r = s = n-1":       append(bytes32(new(big.Int).Sub(n, one)), bytes32(new(big.Int).Sub(n, one))...),
		"a byte too long":   make([]byte, 65),
		"a byte too short":  make([]byte, 63),
		"twice as long":     make([]byte, 128),
		"DER of r = s = 1":  {0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01},
		"64 bytes of 0xff":  bytes.Repeat([]byte{0xff}, 64),
		"a single zero":     {0},
		"r and s of 33 (0)": append(append([]byte{0}, bytes32(one)...), append([]byte{0}, bytes32(one)...)...),
	}
	for name, signature := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := srv.Token(keycloaktest.SignedWith("ES256", func([]byte) []byte { return signature }), keycloaktest.KeyID(srv.KeyID()))
			checkToken(t, a, name, token, ginkeycloak.CodeInvalidSignature)
		})
	}
}

func TestDERSignatureIsRefused(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t, keycloaktest.WithAlgorithm("ES256"))
	a := newAPIFor(t, srv, everyAlgorithm)
	der := keycloaktest.SignedWith("ES256", func(input []byte) []byte {
		h := crypto.SHA256.New()
		h.Write(input)
		signature, err := srv.SigningKey().Sign(rand.Reader, h.Sum(nil), crypto.SHA256)
		if err != nil {
			t.Error(err)
		}
		return signature
	})
	checkToken(t, a, "a valid signature as DER", srv.Token(der, keycloaktest.KeyID(srv.KeyID())), ginkeycloak.CodeInvalidSignature)
}

// Members of the header that would have us use a key of the sender's choice are ignored, and fetch nothing.
func TestKeysOfferedByTheTokenAreIgnored(t *testing.T) {
	t.Parallel()
	var visits atomic.Int64
	trap := newServer(t, func(http.ResponseWriter, *http.Request) { visits.Add(1) })
	a := newAPI(t)
	srv := a.keycloak
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{
		"jwk": map[string]any{"kty": "RSA", "n": base64.RawURLEncoding.EncodeToString(stranger.N.Bytes()), "e": "AQAB"},
		"jku": trap + "/keys", "x5u": trap + "/cert", "x5c": []string{"MIIB"}, "x5t": "abc", "iss": trap,
	} {
		forged := srv.Token(keycloaktest.Header(name, value), keycloaktest.SignedBy(stranger), keycloaktest.KeyID(srv.KeyID()))
		checkToken(t, a, name+" with the sender's key", forged, ginkeycloak.CodeInvalidSignature)
		checkToken(t, a, name+" beside the realm's own signature", srv.Token(keycloaktest.Header(name, value)), "")
	}
	if got := visits.Load(); got != 0 {
		t.Errorf("%d requests were made to addresses in tokens, want 0", got)
	}
}

// A kid that cannot be a key's is refused without a look-up; one that could costs at most one fetch.
func TestKeyID(t *testing.T) {
	t.Parallel()
	implausible := map[string]keycloaktest.TokenOption{
		"missing":         keycloaktest.WithoutHeader("kid"),
		"empty":           keycloaktest.Header("kid", ""),
		"null":            keycloaktest.Header("kid", nil),
		"number":          keycloaktest.Header("kid", 7),
		"array":           keycloaktest.Header("kid", []string{"a"}),
		"object":          keycloaktest.Header("kid", map[string]any{}),
		"path":            keycloaktest.KeyID("../../dev/null"),
		"SQL":             keycloaktest.KeyID("' OR 1=1--"),
		"CR and LF":       keycloaktest.KeyID("a\r\nSet-Cookie: b"),
		"NUL":             keycloaktest.KeyID("a\x00b"),
		"escape sequence": keycloaktest.KeyID("\x1b[31mred"),
		"not ASCII":       keycloaktest.KeyID("schlüssel"),
		"257 bytes":       keycloaktest.KeyID(strings.Repeat("k", 257)),
		"10 000 bytes":    keycloaktest.KeyID(strings.Repeat("k", 10_000)),
	}
	a := newAPI(t)
	checkToken(t, a, "good", a.keycloak.Token(), "")
	a.keycloak.ResetCalls()
	for name, option := range implausible {
		checkToken(t, a, "kid "+name, a.keycloak.Token(option), ginkeycloak.CodeMalformedToken)
	}
	if got := a.keycloak.Calls(keycloaktest.All); got != 0 {
		t.Errorf("implausible kids caused %d calls, want 0", got)
	}
	checkToken(t, a, "kid of another", a.keycloak.Token(keycloaktest.KeyID("another")), ginkeycloak.CodeUnknownKID)
	checkToken(t, a, "kid in upper case", a.keycloak.Token(keycloaktest.KeyID(strings.ToUpper(a.keycloak.KeyID()))), ginkeycloak.CodeUnknownKID)
}

// The realm's key for encryption must not verify, nor any other entry that is not for signatures.
func TestKeysThatAreNotForSignatures(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	with := func(public any, members string) string {
		return strings.TrimSuffix(keycloaktest.KeyJSON(public, "bad", "RS256"), "}") + "," + members + "}"
	}
	without := func(public any, member, instead string) string {
		return strings.Replace(keycloaktest.KeyJSON(public, "bad", "RS256"), member, instead, 1)
	}
	tests := []struct {
		name   string
		keys   []string
		signer crypto.Signer
	}{
		{"use=enc", []string{without(key.Public(), `"sig"`, `"enc"`)}, key},
		{"use of no known kind", []string{without(key.Public(), `"sig"`, `"wrap"`)}, key},
		{"key_ops without verify", []string{with(key.Public(), `"key_ops":["encrypt"]`)}, key},
		{"private key", []string{with(key.Public(), `"d":"AAAA"`)}, key},
		{"1024 bits", []string{keycloaktest.KeyJSON(small.Public(), "bad", "RS256")}, small},
		{"two keys of one kid", []string{keycloaktest.KeyJSON(key.Public(), "bad", "RS256"), keycloaktest.KeyJSON(small.Public(), "bad", "RS256"), keycloaktest.KeyJSON(key.Public(), "bad", "RS256")}, key},
		{"symmetric key of one kid", []string{`{"kid":"bad","kty":"oct","alg":"HS256","k":"c2VjcmV0"}`}, key},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := keycloaktest.New(t)
			for _, k := range tt.keys {
				srv.AddKeyJSON(k)
			}
			a := newAPIFor(t, srv)
			checkToken(t, a, tt.name, srv.Token(keycloaktest.SignedBy(tt.signer), keycloaktest.KeyID("bad")), ginkeycloak.CodeUnknownKID)
			checkToken(t, a, "the good key beside it", srv.Token(), "")
		})
	}
}

// RFC 7515 §4.1.11: what is critical and not understood makes a token invalid. Nothing is understood here, and
// golang-jwt does not look.
func TestCriticalExtensions(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for name, options := range map[string][]keycloaktest.TokenOption{
		"unknown name":          {keycloaktest.Header("crit", []string{"x"}), keycloaktest.Header("x", 1)},
		"empty list":            {keycloaktest.Header("crit", []string{})},
		"not a list":            {keycloaktest.Header("crit", "exp")},
		"null":                  {keycloaktest.Header("crit", nil)},
		"a registered name":     {keycloaktest.Header("crit", []string{"alg"})},
		"a name twice":          {keycloaktest.Header("crit", []string{"x", "x"}), keycloaktest.Header("x", 1)},
		"b64 false":             {keycloaktest.Header("crit", []string{"b64"}), keycloaktest.Header("b64", false)},
		"b64 false, not listed": {keycloaktest.Header("b64", false)},
	} {
		checkToken(t, a, "crit: "+name, a.keycloak.Token(options...), ginkeycloak.CodeMalformedToken)
	}
}

// Every bit of a signature counts, and every byte.
func TestEveryBitOfTheSignatureCounts(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			srv := keycloaktest.New(t, keycloaktest.WithAlgorithm(alg))
			kc := newPlugin(t, srv, ginkeycloak.WithAlgorithms(alg))
			token := srv.Token()
			if _, err := kc.Authenticate(t.Context(), token); err != nil {
				t.Fatalf("the whole token: %v", err)
			}
			signed, encoded, _ := cutSignature(token)
			signature, err := base64.RawURLEncoding.DecodeString(encoded)
			if err != nil {
				t.Fatal(err)
			}
			for bit := range len(signature) * 8 {
				signature[bit/8] ^= 1 << (bit % 8)
				flipped := signed + "." + base64.RawURLEncoding.EncodeToString(signature)
				signature[bit/8] ^= 1 << (bit % 8)
				if _, err := kc.Authenticate(t.Context(), flipped); err == nil {
					t.Fatalf("%s with bit %d of the signature flipped was let in", alg, bit)
				}
			}
			for n := range len(encoded) {
				if _, err := kc.Authenticate(t.Context(), signed+"."+encoded[:n]); err == nil {
					t.Fatalf("%s with the signature cut to %d characters was let in", alg, n)
				}
			}
		})
	}
}

func cutSignature(token string) (signed, signature string, ok bool) {
	i := strings.LastIndexByte(token, '.')
	return token[:i], token[i+1:], true
}
