package keycloaktest_test

import (
	"crypto"
	"crypto/rsa"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/MicahParks/jwkset"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

const certs = "/realms/demo/protocol/openid-connect/certs"

// keyIDs lists the kids of the served signing keys.
func keyIDs(t *testing.T, s *keycloaktest.Server) (kids []string) {
	t.Helper()
	var set struct{ Keys []struct{ Kid, Use string } }
	a := get(t, s, certs)
	if err := json.Unmarshal([]byte(a.body), &set); err != nil {
		t.Fatalf("key set %s: %v", a.body, err)
	}
	for _, key := range set.Keys {
		if key.Use == "sig" {
			kids = append(kids, key.Kid)
		}
	}
	return kids
}

func TestKeySet(t *testing.T) {
	s := keycloaktest.New(t, keycloaktest.InMemory())
	a := get(t, s, certs)
	if a.header.Get("Cache-Control") != "no-cache" || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("header = %v", a.header)
	}
	for _, want := range []string{`"use":"sig"`, `"alg":"RS256"`, `"use":"enc"`, `"alg":"RSA-OAEP"`, `"x5c":`, `"x5t#S256":`} {
		if strings.Count(a.body, want) == 0 {
			t.Errorf("key set has no %s", want)
		}
	}
	if len(s.KeyID()) != 43 {
		t.Errorf("KeyID() = %q, want 43 characters", s.KeyID())
	}
}

// TestKeySetOfEveryAlgorithm reads the served keys with another library, which checks thumbprints and certificates.
func TestKeySetOfEveryAlgorithm(t *testing.T) {
	for _, alg := range []string{"RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			s := es256(t, keycloaktest.WithAlgorithm(alg))
			var set jwkset.JWKSMarshal
			if err := json.Unmarshal([]byte(get(t, s, certs).body), &set); err != nil {
				t.Fatal(err)
			}
			for _, entry := range set.Keys {
				key, err := jwkset.NewJWKFromMarshal(entry, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
				if err != nil {
					t.Fatalf("entry %s: %v", entry.KID, err)
				}
				if entry.USE != "sig" {
					continue
				}
				if entry.KID != s.KeyID() || entry.ALG.String() != alg {
					t.Errorf("entry %s %s, want %s %s", entry.KID, entry.ALG, s.KeyID(), alg)
				}
				public, ok := s.SigningKey().Public().(interface{ Equal(x crypto.PublicKey) bool })
				if !ok || !public.Equal(key.Key()) {
					t.Error("the entry is not the signing key")
				}
			}
		})
	}
}

func TestRotation(t *testing.T) {
	s := es256(t)
	first := s.KeyID()
	old := s.Token()
	second := s.RotateKeys()
	if got := brief(keyIDs(t, s)); got != brief([]string{second, first}) {
		t.Errorf("key set after rotation = %s, want %s and %s", got, second, first)
	}
	if header, _ := decode(t, s.Token()); header["kid"] != second || s.KeyID() != second {
		t.Errorf("kid after rotation = %v, KeyID() = %s, want %s", header["kid"], s.KeyID(), second)
	}
	if a := post(t, s, "/token/introspect", form{"token": old}); a.json(t)["active"] != true {
		t.Errorf("token of the old key = %s, want active", a.body)
	}
	s.RemoveOldKeys()
	if got := brief(keyIDs(t, s)); got != brief([]string{second}) {
		t.Errorf("key set without old keys = %s, want %s", got, second)
	}
	if a := post(t, s, "/token/introspect", form{"token": old}); a.body != `{"active":false}` {
		t.Errorf("token of the removed key = %s, want inactive", a.body)
	}
}

func TestAddKeyJSON(t *testing.T) {
	s := es256(t)
	s.AddKeyJSON(`{"kty": "broken",}`)
	if body := get(t, s, certs).body; !strings.HasPrefix(body, `{"keys":[{"kty": "broken",},{"kid":`) {
		t.Errorf("key set = %s, want the raw entry first", body)
	}
	s.RemoveOldKeys()
	other := es256(t)
	s.AddKeyJSON(keycloaktest.KeyJSON(other.SigningKey(), "extra", "ES256"))
	if got := brief(keyIDs(t, s)); got != brief([]string{"extra", s.KeyID()}) {
		t.Errorf("key set = %s", got)
	}
	weak := keycloaktest.KeyJSON(&rsa.PublicKey{N: big.NewInt(255), E: 3}, "weak", "RS256")
	if weak != `{"kid":"weak","kty":"RSA","alg":"RS256","use":"sig","n":"_w","e":"Aw"}` {
		t.Errorf("KeyJSON of a weak key = %s", weak)
	}
}
