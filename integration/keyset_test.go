package integration_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"testing"
)

func TestContractDiscovery(t *testing.T) {
	endpoints := map[string]string{
		"issuer":                 "",
		"authorization_endpoint": authPath,
		"token_endpoint":         tokenPath,
		"introspection_endpoint": introspectionPath,
		"userinfo_endpoint":      userinfoPath,
		"end_session_endpoint":   logoutPath,
		"revocation_endpoint":    "/protocol/openid-connect/revoke",
		"jwks_uri":               keySetPath,
	}
	lists := map[string][]string{ // what they must name, among others
		"grant_types_supported":                            {"authorization_code", "client_credentials", "password", "refresh_token"},
		"response_types_supported":                         {"code"},
		"subject_types_supported":                          {"public"},
		"id_token_signing_alg_values_supported":            {"ES256", "RS256"},
		"token_endpoint_auth_methods_supported":            {"client_secret_basic", "client_secret_post", "private_key_jwt"},
		"introspection_endpoint_auth_methods_supported":    {"client_secret_basic", "client_secret_post", "private_key_jwt"},
		"code_challenge_methods_supported":                 {"S256"},
		"scopes_supported":                                 {"email", "openid", "profile"},
		"claims_supported":                                 {"aud", "iss", "sub"},
		"token_endpoint_auth_signing_alg_values_supported": {"ES256", "RS256"},
	}
	contract(t, func(t *testing.T, kc *target) {
		got := kc.get(t, discoveryPath)
		if got.status != http.StatusOK {
			t.Fatalf("status = %d, want 200", got.status)
		}
		checkHeader(t, got, "Content-Type", "application/json")
		checkHeader(t, got, "Cache-Control", "no-cache, must-revalidate, no-transform, no-store")
		doc := object(t, got.body)
		for name, path := range endpoints {
			if doc[name] != kc.issuer+path {
				t.Errorf("%s = %v, want %s", name, doc[name], kc.issuer+path)
			}
		}
		for name, want := range lists {
			have, _ := doc[name].([]any)
			for _, value := range want {
				if !slices.Contains(have, any(value)) {
					t.Errorf("%s = %v, want %s in it", name, doc[name], value)
				}
			}
		}
	})
}

func TestContractKeySet(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		got := kc.get(t, keySetPath)
		checkHeader(t, got, "Content-Type", "application/json")
		checkHeader(t, got, "Cache-Control", "no-cache")
		keys := map[string]map[string]any{}
		for _, key := range kc.keys(t) {
			keys[fmt.Sprint(key["use"])] = key
		}
		if len(keys) != 2 || len(kc.keys(t)) != 2 {
			t.Fatalf("got %d keys, want one to sign and one to encrypt", len(kc.keys(t)))
		}
		checkKey(t, kc, keys["sig"], `{"kty":"RSA","use":"sig","alg":"RS256","kid":"<kid>","e":"AQAB"}`)
		checkKey(t, kc, keys["enc"], `{"kty":"RSA","use":"enc","alg":"RSA-OAEP","kid":"<kid>","e":"AQAB"}`)
	})
}

// checkKey checks a key and its certificate, which is of the same key and has the thumbprints that the set names.
func checkKey(t *testing.T, kc *target, key map[string]any, want string) {
	t.Helper()
	chain, _ := key["x5c"].([]any)
	if len(chain) != 1 {
		t.Fatalf("x5c has %d certificates, want 1", len(chain))
	}
	der, err := base64.StdEncoding.DecodeString(fmt.Sprint(chain[0]))
	do(t, err)
	cert, err := x509.ParseCertificate(der)
	do(t, err)
	if !publicKey(t, key).Equal(cert.PublicKey) {
		t.Errorf("the certificate of %v is of another key", key["kid"])
	}
	short, long := sha1.Sum(der), sha256.Sum256(der)
	for name, sum := range map[string][]byte{"x5t": short[:], "x5t#S256": long[:]} {
		if want := base64.RawURLEncoding.EncodeToString(sum); key[name] != want {
			t.Errorf("%s = %v, want %s", name, key[name], want)
		}
	}
	if bits := publicKey(t, key).N.BitLen(); bits != 2048 {
		t.Errorf("the key has %d bits, want 2048", bits)
	}
	for _, name := range []string{"n", "x5c", "x5t", "x5t#S256"} {
		delete(key, name)
	}
	kc.checkJSON(t, key, want, "")
}

func TestContractRealm(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		got := kc.get(t, "")
		checkHeader(t, got, "Content-Type", "application/json")
		checkHeader(t, got, "Cache-Control", "no-cache")
		realm := object(t, got.body)
		_, signing := kc.signingKey(t)
		der, err := x509.MarshalPKIXPublicKey(publicKey(t, signing))
		do(t, err)
		if want := base64.StdEncoding.EncodeToString(der); realm["public_key"] != want {
			t.Errorf("public_key = %v, want that of the key set, %s", realm["public_key"], want)
		}
		delete(realm, "public_key")
		kc.checkJSON(t, realm, `{"realm":"demo","token-service":"<issuer>/protocol/openid-connect",
			"account-service":"<issuer>/account","tokens-not-before":0}`, "")
	})
}

// signingKey is the key that signs tokens now: what a new token names.
func (kc *target) signingKey(t *testing.T) (kid string, key map[string]any) {
	t.Helper()
	header, _ := decode(t, kc.login(t, ordersAPI, "bob", "-").Access)
	kid = fmt.Sprint(header["kid"])
	for _, key := range kc.keys(t) {
		if key["kid"] == kid {
			return kid, key
		}
	}
	t.Fatalf("the key set has no key %s", kid)
	return "", nil
}

func TestContractRotation(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		kc = kc.fresh(t)
		before, _ := kc.signingKey(t)
		early := kc.login(t, ordersAPI, "alice", "-").Access

		do(t, kc.admin.RotateRealmKey(t.Context()))
		after, _ := kc.signingKey(t)
		late := kc.login(t, ordersAPI, "alice", "-").Access
		if after == before {
			t.Errorf("new tokens still name key %s", before)
		}
		if n := len(kc.keys(t)); n != 3 {
			t.Errorf("%d keys after the rotation, want the old, the new and the one to encrypt", n)
		}
		for name, token := range map[string]string{"early": early, "late": late} {
			if err := kc.verify(t, token); err != nil {
				t.Errorf("%s token after the rotation: %v", name, err)
			}
			if got := kc.introspect(t, token, ordersAPI); got["active"] != true {
				t.Errorf("introspection of the %s token after the rotation: %v, want active", name, got)
			}
		}

		do(t, kc.admin.RemoveOldKeys(t.Context()))
		if err := kc.verify(t, late); err != nil {
			t.Errorf("late token after the old key is gone: %v", err)
		}
		if kc.verify(t, early) == nil {
			t.Error("the early token still verifies after its key is gone")
		}
		if got := kc.introspect(t, early, ordersAPI); got["active"] != false {
			t.Errorf("introspection of the early token after its key is gone: %v, want inactive", got)
		}
	})
}
