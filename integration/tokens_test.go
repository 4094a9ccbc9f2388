package integration_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
)

// The claims of alice in a token that she got by password for orders-api.
const aliceClaims = `{
	"exp":"<in 5 minutes>", "iat":"<now>", "jti":"onrtro:<uuid>", "iss":"<issuer>", "aud":"orders-api", "sub":"<uuid>",
	"typ":"Bearer", "azp":"orders-api", "sid":"<session>", "acr":"1", "allowed-origins":["http://localhost:8080"],
	"realm_access":{"roles":["admin","viewer"]}, "resource_access":{"orders-api":{"roles":["manage"]}},
	"scope":"email profile", "email_verified":true, "name":"Alice A", "groups":["/eng/sre"],
	"preferred_username":"alice", "given_name":"Alice", "family_name":"A", "email":"alice@example.com"}`

func TestContractAccessToken(t *testing.T) {
	tests := []struct {
		name     string
		client   basic
		public   string // client ID of a public client
		user     string
		scope    string
		want     string
		before26 string
	}{
		{name: "alice", client: ordersAPI, user: "alice", scope: "-", want: aliceClaims},
		{
			name: "alice with scope openid", client: ordersAPI, user: "alice", scope: "openid",
			want: strings.Replace(aliceClaims, "email profile", "email openid profile", 1),
		},
		{
			name: "bob, who has no client role and no group, so no claim for them", client: ordersAPI, user: "bob", scope: "-",
			want: `{"exp":"<in 5 minutes>", "iat":"<now>", "jti":"onrtro:<uuid>", "iss":"<issuer>", "aud":"orders-api",
				"sub":"<uuid>", "typ":"Bearer", "azp":"orders-api", "sid":"<session>", "acr":"1",
				"allowed-origins":["http://localhost:8080"], "realm_access":{"roles":["viewer"]}, "scope":"email profile",
				"email_verified":true, "name":"Bob B", "preferred_username":"bob", "given_name":"Bob", "family_name":"B",
				"email":"bob@example.com"}`,
		},
		{
			name: "carol, whose role of another client brings its audience", client: ordersAPI, user: "carol", scope: "-",
			want: `{"exp":"<in 5 minutes>", "iat":"<now>", "jti":"onrtro:<uuid>", "iss":"<issuer>",
				"aud":["billing","orders-api"], "sub":"<uuid>", "typ":"Bearer", "azp":"orders-api", "sid":"<session>",
				"acr":"1", "allowed-origins":["http://localhost:8080"], "realm_access":{"roles":["viewer"]},
				"resource_access":{"billing":{"roles":["admin"]}}, "scope":"email profile", "email_verified":true,
				"name":"Carol C", "preferred_username":"carol", "given_name":"Carol", "family_name":"C",
				"email":"carol@example.com"}`,
		},
		{
			name: "alice at a public client without the groups mapper", public: "spa", user: "alice", scope: "-",
			want: `{"exp":"<in 5 minutes>", "iat":"<now>", "jti":"onrtro:<uuid>", "iss":"<issuer>", "aud":"orders-api",
				"sub":"<uuid>", "typ":"Bearer", "azp":"spa", "sid":"<session>", "acr":"1",
				"allowed-origins":["http://127.0.0.1:8080","http://localhost:8080"],
				"realm_access":{"roles":["admin","viewer"]}, "resource_access":{"orders-api":{"roles":["manage"]}},
				"scope":"email profile", "email_verified":true, "name":"Alice A", "preferred_username":"alice",
				"given_name":"Alice", "family_name":"A", "email":"alice@example.com"}`,
		},
		{
			name: "carol at billing: her role of it, its audience, no origins", client: billing, user: "carol", scope: "-",
			want: `{"exp":"<in 5 minutes>", "iat":"<now>", "jti":"onrtro:<uuid>", "iss":"<issuer>", "aud":"billing",
				"sub":"<uuid>", "typ":"Bearer", "azp":"billing", "sid":"<session>", "acr":"1",
				"realm_access":{"roles":["viewer"]}, "resource_access":{"billing":{"roles":["admin"]}},
				"scope":"email profile", "email_verified":true, "name":"Carol C", "preferred_username":"carol",
				"given_name":"Carol", "family_name":"C", "email":"carol@example.com"}`,
		},
		{
			name: "lightweight", client: light, user: "alice", scope: "-",
			want: `{"exp":"<in 5 minutes>", "iat":"<now>", "jti":"onltro:<uuid>", "iss":"<issuer>", "typ":"Bearer",
				"azp":"light", "sid":"<session>", "scope":"email profile"}`,
			before26: `{"sub":"<uuid>"}`,
		},
	}
	contract(t, func(t *testing.T, kc *target) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				form := passwordForm(tt.user, tt.scope)
				if tt.public != "" {
					form = public(tt.public, form)
				}
				tok := kc.tokens(t, kc.post(t, tokenPath, form, tt.client))
				header, claims := decode(t, tok.Access)
				kc.checkJSON(t, header, `{"alg":"RS256","typ":"JWT","kid":"<kid>"}`, "")
				kc.checkJSON(t, claims, tt.want, tt.before26)
				do(t, kc.verify(t, tok.Access))
			})
		}
	})
}

func TestContractServiceAccountToken(t *testing.T) {
	tests := []struct {
		name   string
		client basic
		want   string
	}{
		{
			name: "full", client: ordersAPI,
			want: `{"exp":"<in 5 minutes>", "iat":"<now>", "jti":"trrtcc:<uuid>", "iss":"<issuer>",
				"aud":["account","orders-api"], "sub":"<uuid>", "typ":"Bearer", "azp":"orders-api", "acr":"1",
				"allowed-origins":["http://localhost:8080"],
				"realm_access":{"roles":["default-roles-demo","offline_access","uma_authorization"]},
				"resource_access":{"account":{"roles":["manage-account","manage-account-links","view-profile"]}},
				"scope":"email profile", "email_verified":false, "clientHost":"127.0.0.1", "clientAddress":"127.0.0.1",
				"preferred_username":"service-account-orders-api", "client_id":"orders-api"}`,
		},
		{
			name: "lightweight, which has its subject where a user's has none", client: light,
			want: `{"exp":"<in 5 minutes>", "iat":"<now>", "jti":"trltcc:<uuid>", "iss":"<issuer>", "sub":"<uuid>",
				"typ":"Bearer", "azp":"light", "scope":"email profile"}`,
		},
	}
	contract(t, func(t *testing.T, kc *target) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				got := kc.post(t, tokenPath, values("grant_type", "client_credentials"), tt.client)
				tok := kc.tokens(t, got)
				kc.checkJSON(t, object(t, got.body), `{"access_token":"<jwt>", "expires_in":"<5 minutes>", "refresh_expires_in":0,
					"token_type":"Bearer", "not-before-policy":0, "scope":"email profile"}`, "")
				_, claims := decode(t, tok.Access)
				kc.checkJSON(t, claims, tt.want, "")
				do(t, kc.verify(t, tok.Access))
			})
		}
	})
}

func TestContractTokenResponse(t *testing.T) {
	tests := []struct{ name, scope, want string }{
		{"without scope openid there is no ID token", "-", `{"access_token":"<jwt>", "expires_in":"<5 minutes>",
			"refresh_token":"<jwt>", "refresh_expires_in":"<30 minutes>", "token_type":"Bearer", "not-before-policy":0,
			"session_state":"<session>", "scope":"email profile"}`},
		{"with scope openid", "openid", `{"access_token":"<jwt>", "expires_in":"<5 minutes>", "refresh_token":"<jwt>",
			"refresh_expires_in":"<30 minutes>", "token_type":"Bearer", "id_token":"<jwt>", "not-before-policy":0,
			"session_state":"<session>", "scope":"email openid profile"}`},
	}
	contract(t, func(t *testing.T, kc *target) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				got := kc.post(t, tokenPath, passwordForm("alice", tt.scope), ordersAPI)
				tok := kc.tokens(t, got)
				kc.checkJSON(t, object(t, got.body), tt.want, "")
				checkHeader(t, got, "Content-Type", "application/json")
				checkHeader(t, got, "Cache-Control", "no-store")
				checkHeader(t, got, "Pragma", "no-cache")
				if _, claims := decode(t, tok.Access); claims["sid"] != tok.Session {
					t.Errorf("sid = %v, want the session_state of the answer, %s", claims["sid"], tok.Session)
				}
			})
		}
	})
}

// Only typ tells an ID token from an access token: its issuer, its audience and its key are the same.
func TestContractIDToken(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		tok := kc.login(t, ordersAPI, "alice", "openid")
		header, claims := decode(t, tok.ID)
		kc.checkJSON(t, header, `{"alg":"RS256","typ":"JWT","kid":"<kid>"}`, "")
		sum := sha256.Sum256([]byte(tok.Access)) // OpenID Connect Core §3.1.3.6
		if want := base64.RawURLEncoding.EncodeToString(sum[:16]); claims["at_hash"] != want {
			t.Errorf("at_hash = %v, want %s", claims["at_hash"], want)
		}
		delete(claims, "at_hash")
		kc.checkJSON(t, claims, `{"exp":"<in 5 minutes>", "iat":"<now>", "jti":"<uuid>", "iss":"<issuer>",
			"aud":"orders-api", "sub":"<uuid>", "typ":"ID", "azp":"orders-api", "sid":"<session>", "acr":"1",
			"email_verified":true, "name":"Alice A", "groups":["/eng/sre"], "preferred_username":"alice",
			"given_name":"Alice", "family_name":"A", "email":"alice@example.com"}`,
			`{"auth_time":0}`)
		do(t, kc.verify(t, tok.ID))
	})
}

func TestContractRefreshToken(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		tok := kc.login(t, ordersAPI, "alice", "openid")
		header, claims := decode(t, tok.Refresh)
		if header["alg"] != "HS512" || header["typ"] != "JWT" {
			t.Errorf("header = %v, want HS512 and JWT", header)
		}
		for _, key := range kc.keys(t) {
			if key["kid"] == header["kid"] {
				t.Errorf("kid %v is in the key set", header["kid"])
			}
		}
		// How Keycloak writes down the hidden scopes, the access token's audience, the user's provider and the chain of
		// reuse is its own affair, and changes with every version; no client may read it.
		for _, private := range []string{"scope", "aud_x", "prov", "reuse_id"} {
			delete(claims, private)
		}
		kc.checkJSON(t, claims, `{"exp":"<in 30 minutes>", "iat":"<now>", "jti":"<uuid>", "iss":"<issuer>",
			"aud":"<issuer>", "sub":"<uuid>", "typ":"Refresh", "azp":"orders-api", "sid":"<session>"}`, "")
	})
}

// decode reads a token without a look at its signature.
func decode(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("the token has %d parts, want 3", len(parts))
	}
	return object(t, decodeSegment(t, parts[0])), object(t, decodeSegment(t, parts[1]))
}

func decodeSegment(t *testing.T, segment string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	do(t, err)
	return string(b)
}

// keys is the realm's key set.
func (kc *target) keys(t *testing.T) []map[string]any {
	t.Helper()
	got := kc.get(t, keySetPath)
	if got.status != http.StatusOK {
		t.Fatalf("the key set endpoint said %d %s, want 200", got.status, got.body)
	}
	var set struct{ Keys []map[string]any }
	do(t, json.Unmarshal([]byte(got.body), &set))
	return set.Keys
}

// verify checks the signature of an RS256 token with the realm's key set. It is written with nothing but the standard
// library, so that no library of ours can be wrong on both sides.
func (kc *target) verify(t *testing.T, token string) error {
	t.Helper()
	header, _ := decode(t, token)
	for _, key := range kc.keys(t) {
		if key["kid"] == header["kid"] {
			input, sig := token[:strings.LastIndexByte(token, '.')], token[strings.LastIndexByte(token, '.')+1:]
			sum := sha256.Sum256([]byte(input))
			return rsa.VerifyPKCS1v15(publicKey(t, key), crypto.SHA256, sum[:], []byte(decodeSegment(t, sig)))
		}
	}
	return fmt.Errorf("no key of ID %v", header["kid"])
}

func publicKey(t *testing.T, jwk map[string]any) *rsa.PublicKey {
	t.Helper()
	number := func(name string) *big.Int {
		return new(big.Int).SetBytes([]byte(decodeSegment(t, fmt.Sprint(jwk[name]))))
	}
	return &rsa.PublicKey{N: number("n"), E: int(number("e").Int64())}
}
