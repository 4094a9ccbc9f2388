package fuzz_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha512" // for crypto.SHA384 and crypto.SHA512
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/c0mpiler/ginkeycloak/internal/keys"
	"github.com/c0mpiler/ginkeycloak/internal/token"
)

//go:embed testdata/keys.json
var keysJSON []byte

// rfcKeys are the keys of the RFCs, in the order of the file.
func rfcKeys(tb testing.TB) []jose.JSONWebKey {
	tb.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(keysJSON, &set); err != nil {
		tb.Fatal(err)
	}
	return set.Keys
}

// keySet is a key set of their public parts, as a request would find it.
func keySet(tb testing.TB) *keys.Set {
	tb.Helper()
	var set []jsontext.Value
	for _, key := range rfcKeys(tb) {
		public := key.Public()
		text, err := public.MarshalJSON()
		if err != nil {
			tb.Fatal(err)
		}
		set = append(set, jsontext.Value(text))
	}
	s := keys.New(keys.Config{
		Fetch:      func(context.Context) ([]jsontext.Value, error) { return set, nil },
		Algorithms: token.Algorithms(),
		TTL:        24 * time.Hour,
		MaxStale:   24 * time.Hour,
		Logger:     slog.New(slog.DiscardHandler),
		Changed:    func(keys.State, int) {},
		Now:        time.Now,
	})
	tb.Cleanup(s.Close)
	return s
}

// reader reads tokens both ways.
type reader struct {
	set    *keys.Set
	public map[string]crypto.PublicKey
}

func newReader(tb testing.TB) *reader {
	tb.Helper()
	r := &reader{keySet(tb), make(map[string]crypto.PublicKey)}
	for _, key := range rfcKeys(tb) {
		public := key.Public()
		r.public[key.KeyID] = public.Key
	}
	return r
}

// ours is the token as this library takes it, or why not.
func (r *reader) ours(ctx context.Context, raw string) (token.JWS, token.Claims, error) {
	t, err := token.Parse(raw)
	if err != nil {
		return token.JWS{}, token.Claims{}, err
	}
	if r.public[t.Header.KeyID] == nil {
		return token.JWS{}, token.Claims{}, errors.New("an unknown key, which need not be looked for")
	}
	claims, err := t.Claims()
	if err != nil {
		return token.JWS{}, token.Claims{}, err
	}
	key, err := r.set.Key(ctx, t.Header.KeyID, t.Header.Algorithm)
	if err != nil {
		return token.JWS{}, token.Claims{}, err
	}
	err = t.Verify(key.Public)
	return t, claims, err
}

// theirs is the payload and the claims as go-jose takes the token with this key, or why not.
func (r *reader) theirs(raw, kid string) (payload []byte, claims jwt.Claims, err error) {
	var algorithms []jose.SignatureAlgorithm
	for _, alg := range token.Algorithms() {
		algorithms = append(algorithms, jose.SignatureAlgorithm(alg))
	}
	jws, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil {
		return nil, claims, err
	}
	if payload, err = jws.Verify(r.public[kid]); err != nil {
		return nil, claims, err
	}
	parsed, err := jwt.ParseSigned(raw, algorithms)
	if err != nil {
		return nil, claims, err
	}
	err = parsed.Claims(r.public[kid], &claims)
	return payload, claims, err
}

// check fails where this library takes a token that go-jose refuses or reads differently.
func (r *reader) check(t *testing.T, raw string) {
	t.Helper()
	jws, ours, err := r.ours(t.Context(), raw)
	if err != nil {
		return
	}
	payload, theirs, err := r.theirs(raw, jws.Header.KeyID)
	if err != nil {
		t.Fatalf("%q: taken, but go-jose: %v", raw, err)
	}
	if string(payload) != jws.Payload {
		t.Errorf("%q: the payload is %q, by go-jose %q", raw, jws.Payload, payload)
	}
	date := func(d *jwt.NumericDate) time.Time {
		if d == nil {
			return time.Time{}
		}
		return time.Unix(int64(*d), 0)
	}
	got := fmt.Sprintf("%q %q %q %q %v %v %v", ours.Issuer, ours.Subject, ours.ID, ours.Audience, ours.ExpiresAt.Time(), ours.NotBefore.Time(), ours.IssuedAt.Time())
	want := fmt.Sprintf("%q %q %q %q %v %v %v", theirs.Issuer, theirs.Subject, theirs.ID, []string(theirs.Audience), date(theirs.Expiry), date(theirs.NotBefore), date(theirs.IssuedAt))
	if got != want {
		t.Errorf("%q: the claims are %s, by go-jose %s", raw, got, want)
	}
}

const claims = `{"iss":"https://sso.example.com/realms/demo","sub":"alice","aud":["orders-api"],"exp":9999999999,"iat":1784889700,"jti":"1","typ":"Bearer"}`

// FuzzCompact changes signed tokens in every way.
func FuzzCompact(f *testing.F) {
	r := newReader(f)
	for i, key := range rfcKeys(f) {
		for _, alg := range token.Algorithms() {
			raw := sign(f, key, alg, `{"alg":"`+alg+`","kid":"`+key.KeyID+`"}`, claims)
			if public := key.Public(); raw == "" || !token.Fits(alg, public.Key) {
				continue
			}
			if _, _, err := r.ours(f.Context(), raw); err != nil {
				f.Fatalf("the seed of key %d for %s: %v", i, alg, err)
			}
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw string) { r.check(t, raw) })
}

// FuzzSigned signs any header and any payload.
func FuzzSigned(f *testing.F) {
	const p256 = uint8(1)
	for i, key := range rfcKeys(f) {
		for _, alg := range token.Algorithms() {
			f.Add(`{"alg":"`+alg+`","kid":"`+key.KeyID+`"}`, claims, uint8(i))
		}
	}
	for _, member := range []string{
		`"crit":["exp"]`, `"crit":[]`, `"b64":false`, `"cty":"JWT"`, `"typ":"JWT"`, `"typ":1`, `"jwk":{"kty":"oct","k":"AA"}`, `"x5c":["AA"]`, `"jku":"https://evil.example"`, `"x5u":1`, `"nonce":"a"`, `"nonce":1`, `"zip":"DEF"`, `"enc":"A128GCM"`,
		`"alg":"none"`, `"Alg":"none"`, `"ALG":"HS256"`, `"\u0061lg":"none"`, `"kid":"rsa"`, `"KID":"rsa"`, `"x":null`, `"x":[[[]]]`, `"iss":"a"`, `"exp":1`,
	} {
		f.Add(`{"alg":"ES256","kid":"p256",`+member+`}`, claims, p256)
	}
	for _, payload := range []string{
		`{}`, `null`, `[]`, ``, claims + "{}", " " + claims, `{"iss":"a","iss":"b"}`, `{"iss":"a","ISS":"b"}`, `{"iss":"\ud800"}`, "{\"iss\":\"\xff\"}", `{"iss":null,"aud":[],"exp":0}`, `{"aud":"a"}`, `{"aud":["a",null]}`, `{"aud":null}`,
		`{"exp":"1"}`, `{"exp":1.9}`, `{"exp":1e10,"nbf":0.5,"iat":1E3}`, `{"exp":-1}`, `{"exp":253402300799}`, `{"exp":1e400}`, `{"exp":null}`, `{"sub":1}`, `{"jti":{}}`, `{"sub":"\u0000"}`, `{"x":{"a":1,"a":2}}`,
	} {
		f.Add(`{"alg":"ES256","kid":"p256"}`, payload, p256)
	}
	r, all := newReader(f), rfcKeys(f)
	f.Fuzz(func(t *testing.T, header, payload string, which uint8) {
		key := all[int(which)%len(all)]
		var h map[string]any
		_ = json.Unmarshal([]byte(header), &h) // what cannot be read is signed by the key's own algorithm
		// go-jose refuses a header whose own keys, or whose nonce of RFC 8555, it cannot read. Here they are not looked at.
		if h["jwk"] != nil || h["x5c"] != nil || h["nonce"] != nil {
			return
		}
		alg, _ := h["alg"].(string)
		if public := key.Public(); !token.Fits(alg, public.Key) {
			alg = map[string]string{"rsa": "RS256", "p256": "ES256", "p521": "ES512", "ed25519": "EdDSA"}[key.KeyID]
		}
		r.check(t, sign(t, key, alg, header, payload))
	})
}

// sign makes the token of a header and a payload, whatever they are. A key that does not go with the algorithm gives "".
func sign(tb testing.TB, key jose.JSONWebKey, alg, header, payload string) string {
	tb.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	input := encode([]byte(header)) + "." + encode([]byte(payload))
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[strings.TrimLeft(alg, "RSPE")]
	sum := func() []byte { h := hash.New(); h.Write([]byte(input)); return h.Sum(nil) }
	var signature []byte
	var err error
	switch private := key.Key.(type) {
	case ed25519.PrivateKey:
		signature = ed25519.Sign(private, []byte(input))
	case *rsa.PrivateKey:
		switch {
		case strings.HasPrefix(alg, "RS"):
			signature, err = rsa.SignPKCS1v15(nil, private, hash, sum())
		case strings.HasPrefix(alg, "PS"):
			signature, err = rsa.SignPSS(rand.Reader, private, hash, sum(), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	case *ecdsa.PrivateKey:
		if !slices.Contains([]string{"ES256", "ES384", "ES512"}, alg) {
			return ""
		}
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, private, sum()); err == nil {
			size := (private.Curve.Params().BitSize + 7) / 8
			signature = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
	if signature == nil {
		return ""
	}
	return input + "." + encode(signature)
}
