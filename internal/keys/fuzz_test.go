package keys_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/c0mpiler/ginkeycloak/internal/keys"
	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// The keys of RFC 7517 appendix A.1, RFC 7515 appendix A.3 and RFC 8037 appendix A.2, without kid, alg and use.
const (
	rfcRSA = `"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB"`
	rfcEC  = `"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`
	rfcOKP = `"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
)

// FuzzKeySet holds a set of two keys to a second reading of RFC 7517, made of encoding/json: a key is used only if it
// is public, strong, for signatures, of an ID of its own and on its curve; and only for its algorithm.
func FuzzKeySet(f *testing.F) {
	good := []string{
		`{"kid":"a","use":"sig","alg":"RS256",` + rfcRSA + `}`, `{"kid":"a","use":"sig","alg":"ES256",` + rfcEC + `}`, `{"kid":"a","alg":"EdDSA",` + rfcOKP + `}`,
		`{"kid":"a",` + rfcRSA + `}`, `{"kid":"a","key_ops":["verify"],` + rfcEC + `}`,
	}
	bad := []string{
		`{"kid":"b","use":"enc",` + rfcRSA + `}`, `{"kid":"b","key_ops":["encrypt"],` + rfcRSA + `}`, `{"kid":"b","d":"AQ",` + rfcRSA + `}`, `{"kid":"b","p":"AQ",` + rfcRSA + `}`,
		`{"kid":"b","k":"AA",` + rfcEC + `}`, `{"kid":"b","kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, `{"kid":"","alg":"ES256",` + rfcEC + `}`, `{"kid":1,` + rfcEC + `}`,
		`{"kid":"b","alg":"HS256",` + rfcRSA + `}`, `{"kid":"b","alg":"ES512",` + rfcEC + `}`, `{"kid":"b","kty":"RSA","n":"AQAB","e":"AQAB"}`, `{"kid":"b","x5c":["AA"],` + rfcRSA + `}`,
		`{"kid":"b",` + strings.Replace(rfcRSA, `"AQAB"`, `"AQ"`, 1) + `}`, `{"kid":"b",` + strings.Replace(rfcRSA, `"AQAB"`, `"AQAAAAAAAQAB"`, 1) + `}`,
		`{"kid":"b",` + strings.Replace(rfcEC, `"x":"f`, `"x":"A`, 1) + `}`, `{"kid":"b",` + strings.Replace(rfcEC, `"P-256"`, `"secp256k1"`, 1) + `}`, `{"kid":"b","Use":"enc",` + rfcEC + `}`,
		`{"kid":"b","kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, `{"kid":"b","kty":"AKP","pub":"AA"}`, `{}`, `null`, `[]`, `1`, `"key"`,
	}
	for _, a := range good {
		f.Add(a, a)
		for _, b := range bad {
			f.Add(a, b)
		}
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		var set struct {
			Keys []jsontext.Value `json:"keys"`
		}
		if json.Unmarshal([]byte(`{"keys":[`+first+`,`+second+`]}`), &set) != nil || len(set.Keys) == 0 {
			return // it does not get further than the client
		}
		entries := keys.Inspect(set.Keys, token.Algorithms())
		usable := make(map[string]stdjson.RawMessage)
		for i, entry := range entries {
			if entry.Reason != "" {
				continue
			}
			if _, twice := usable[entry.KeyID]; twice {
				t.Errorf("%s: two keys of the ID %q are used", set.Keys, entry.KeyID)
			}
			usable[entry.KeyID] = stdjson.RawMessage(set.Keys[i])
		}
		held := fuzzedSet(set.Keys)
		defer held.Close()
		for _, entry := range entries {
			for _, alg := range token.Algorithms() {
				got, err := held.Key(t.Context(), entry.KeyID, alg)
				value, ok := usable[entry.KeyID]
				switch want, why := readKey(value, alg); {
				case err != nil && ok && why == nil:
					t.Errorf("%s: key %q for %s: %v, want it", set.Keys, entry.KeyID, alg, err)
				case err == nil && (!ok || why != nil):
					t.Errorf("%s: key %q for %s is used, want it refused: %v", set.Keys, entry.KeyID, alg, why)
				case err == nil && !want.Equal(got.Public):
					t.Errorf("%s: key %q for %s = %v, want %v", set.Keys, entry.KeyID, alg, got.Public, want)
				}
			}
		}
	})
}

// fuzzedSet is a set whose fetches are answered at once, and for which time flies: it never has to wait for its turn.
func fuzzedSet(raw []jsontext.Value) *keys.Set {
	now := time.Unix(1_784_890_000, 0)
	return keys.New(keys.Config{
		Fetch:      func(context.Context) ([]jsontext.Value, error) { now = now.Add(time.Minute); return raw, nil },
		Algorithms: token.Algorithms(),
		TTL:        1000 * time.Hour,
		MaxStale:   1000 * time.Hour,
		Logger:     slog.New(slog.DiscardHandler),
		Changed:    func(keys.State, int) {},
		Now:        func() time.Time { return now },
	})
}

// public is a public key.
type public interface{ Equal(crypto.PublicKey) bool }

// readKey is the key of an entry for an algorithm, or why it must not be used.
func readKey(value []byte, alg string) (public, error) {
	var m map[string]any
	if err := stdjson.Unmarshal(value, &m); err != nil {
		return nil, err
	}
	for _, name := range []string{"d", "k", "p", "q", "dp", "dq", "qi", "oth"} {
		if list, _ := m[name].([]any); m[name] != nil && m[name] != "" && (name != "oth" || len(list) > 0) {
			return nil, errors.New("it is not public: " + name)
		}
	}
	text := func(name string) string { s, _ := m[name].(string); return s }
	ops, _ := m["key_ops"].([]any)
	switch {
	case text("use") == "enc", len(ops) > 0 && !slices.Contains(ops, any("verify")):
		return nil, errors.New("it is not for signatures")
	case text("kid") == "" || len(text("kid")) > 256 || strings.ContainsFunc(text("kid"), func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("no token can name it")
	case text("alg") != "" && text("alg") != alg:
		return nil, errors.New("it is for another algorithm")
	}
	number := func(name string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text(name), "="))
		if err != nil {
			return nil
		}
		return b
	}
	switch kind := text("kty") + text("crv"); {
	case text("kty") == "RSA" && strings.ContainsAny(alg[:1], "RP"):
		n, e := new(big.Int).SetBytes(number("n")), new(big.Int).SetBytes(number("e"))
		if n.BitLen() < 2048 || n.BitLen() > 8192 || n.Bit(0) == 0 || e.Bit(0) == 0 || e.BitLen() > 31 || e.Int64() < 3 {
			return nil, errors.New("it is a weak RSA key")
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
	case kind == "ECP-256" && alg == "ES256":
		return readPoint(elliptic.P256(), number("x"), number("y"))
	case kind == "ECP-384" && alg == "ES384":
		return readPoint(elliptic.P384(), number("x"), number("y"))
	case kind == "ECP-521" && alg == "ES512":
		return readPoint(elliptic.P521(), number("x"), number("y"))
	case kind == "OKPEd25519" && alg == "EdDSA":
		if x := number("x"); len(x) == ed25519.PublicKeySize {
			return ed25519.PublicKey(x), nil
		}
	}
	return nil, errors.New("it does not go with the algorithm")
}

func readPoint(curve elliptic.Curve, x, y []byte) (public, error) {
	size := (curve.Params().BitSize + 7) / 8
	point := []byte{4}
	for _, coordinate := range [][]byte{x, y} {
		coordinate = bytes.TrimLeft(coordinate, "\x00")
		point = append(point, make([]byte, max(size-len(coordinate), 0))...)
		point = append(point, coordinate...)
	}
	return ecdsa.ParseUncompressedPublicKey(curve, point)
}
