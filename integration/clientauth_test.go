package integration_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"sync"
	"testing"
	"time"
)

// signerKey is the key of client signer, which authenticates by private_key_jwt (RFC 7523 §2.2).
var signerKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// signerClient is client signer for a real Keycloak. Its key is a new one in every run, so no realm file holds it.
func signerClient() map[string]any {
	pub := signerKey().PublicKey
	keys, err := json.Marshal(map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "signer-1",
		"n": base64.RawURLEncoding.EncodeToString(pub.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(pub.E)).Bytes()),
	}}})
	if err != nil {
		panic(err)
	}
	return map[string]any{
		"clientId": "signer", "publicClient": false, "serviceAccountsEnabled": true, "standardFlowEnabled": false,
		"clientAuthenticatorType": "client-jwt",
		"attributes": map[string]string{
			"use.jwks.string": "true", "jwks.string": string(keys), "token.endpoint.auth.signing.alg": "RS256",
		},
		"protocolMappers": []any{audienceMapper("signer")},
	}
}

// difficultClient is client difficult for a real Keycloak: its secret is written in characters that mean something in
// HTTP Basic and in forms.
func difficultClient() map[string]any {
	return map[string]any{
		"clientId": difficult.id, "secret": difficult.secret, "publicClient": false, "serviceAccountsEnabled": true,
		"standardFlowEnabled": false, "protocolMappers": []any{audienceMapper(difficult.id)},
	}
}

func audienceMapper(clientID string) map[string]any {
	return map[string]any{
		"name": "aud " + clientID, "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
		"config": map[string]string{
			"included.client.audience": clientID, "access.token.claim": "true", "introspection.token.claim": "true",
		},
	}
}

// assertion is a client assertion in the making.
type assertion struct {
	header map[string]any
	claims map[string]any
}

// newAssertion is a good one. Its audience is the issuer alone: Keycloak 26 takes no list, and 24 takes neither a
// list's second entry nor the introspection endpoint.
func newAssertion(kc *target) *assertion {
	now := time.Now()
	return &assertion{
		header: map[string]any{"alg": "RS256", "typ": "JWT", "kid": "signer-1"},
		claims: map[string]any{
			"iss": "signer", "sub": "signer", "aud": kc.issuer, "jti": rand.Text(),
			"iat": now.Unix(), "exp": now.Add(50 * time.Second).Unix(),
		},
	}
}

func (a *assertion) sign(t *testing.T, key *rsa.PrivateKey) string {
	t.Helper()
	header, err := json.Marshal(a.header)
	do(t, err)
	claims, err := json.Marshal(a.claims)
	do(t, err)
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	do(t, err)
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func TestContractPrivateKeyJWT(t *testing.T) {
	tests := []struct {
		name    string
		change  func(kc *target, a *assertion)
		since26 string
	}{
		{name: "to the issuer", change: func(*target, *assertion) {}},
		{name: "to the token endpoint", change: func(kc *target, a *assertion) { a.claims["aud"] = kc.issuer + tokenPath }},
		{
			name: "to the introspection endpoint", since26: "it is no audience there",
			change: func(kc *target, a *assertion) { a.claims["aud"] = kc.issuer + introspectionPath },
		},
		{name: "without iat", change: func(_ *target, a *assertion) { delete(a.claims, "iat") }},
		{name: "without kid", change: func(_ *target, a *assertion) { delete(a.header, "kid") }},
	}
	contract(t, func(t *testing.T, kc *target) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				kc.since26(t, tt.since26)
				a := newAssertion(kc)
				tt.change(kc, a)
				form := values("client_assertion_type", assertionType, "client_assertion", a.sign(t, signerKey()))
				kc.tokens(t, kc.post(t, tokenPath, with(form, "grant_type", "client_credentials"), basic{}))
			})
		}
		t.Run("at the introspection endpoint", func(t *testing.T) {
			form := values("token", "garbage", "client_assertion_type", assertionType,
				"client_assertion", newAssertion(kc).sign(t, signerKey()))
			if got := kc.post(t, introspectionPath, form, basic{}); got.status != http.StatusOK || got.body != inactive {
				t.Errorf("got %d %s, want 200 %s", got.status, got.body, inactive)
			}
		})
	})
}

func TestContractPrivateKeyJWTRefusals(t *testing.T) {
	const old = "Client authentication with signed JWT failed: " // what 24 puts before most of its reasons
	badClient := refusal{http.StatusUnauthorized, "invalid_client", "Invalid client or Invalid client credentials"}
	because := func(description string) refusal {
		return refusal{http.StatusBadRequest, "invalid_client", description}
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	do(t, err)
	tests := []struct {
		name           string
		change         func(kc *target, a *assertion)
		key            *rsa.PrivateKey
		want, before26 refusal
		since26        string
	}{
		{
			name: "to somebody else", change: func(_ *target, a *assertion) { a.claims["aud"] = "http://other.example" },
			want: because("Invalid token audience"), since26: "the text names the addresses of the server",
		},
		{
			name: "to two audiences", change: func(kc *target, a *assertion) { a.claims["aud"] = []string{kc.issuer, kc.issuer + tokenPath} },
			want: because("Multiple audiences not allowed"), since26: "a list was good",
		},
		{
			name: "expired", change: func(_ *target, a *assertion) {
				a.claims["iat"], a.claims["exp"] = time.Now().Add(-3*time.Minute).Unix(), time.Now().Add(-2*time.Minute).Unix()
			},
			want: because("Token is not active"), before26: because(old + "Token is not active"),
		},
		{
			name: "without exp", change: func(_ *target, a *assertion) { delete(a.claims, "exp") },
			want: because("Token exp claim is required"), since26: "exp was not required",
		},
		{
			name: "without jti", change: func(_ *target, a *assertion) { delete(a.claims, "jti") },
			want: because("Token jti claim is required"), before26: because(old + "Missing ID on the token"),
		},
		{
			name: "with an unknown kid", change: func(_ *target, a *assertion) { a.header["kid"] = "signer-2" },
			want: because("Unable to load public key"),
		},
		{
			name: "signed by a stranger", change: func(*target, *assertion) {}, key: stranger,
			want: because(old + "Signature on JWT token failed validation"),
		},
		{
			name: "of another issuer", change: func(_ *target, a *assertion) { a.claims["iss"] = "other" },
			want: badClient,
		},
	}
	contract(t, func(t *testing.T, kc *target) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				kc.since26(t, tt.since26)
				a := newAssertion(kc)
				tt.change(kc, a)
				key := tt.key
				if key == nil {
					key = signerKey()
				}
				form := values("grant_type", "client_credentials", "client_assertion_type", assertionType,
					"client_assertion", a.sign(t, key))
				kc.checkTokenRefusal(t, kc.post(t, tokenPath, form, basic{}), tt.want, tt.before26)
			})
		}
		t.Run("used twice", func(t *testing.T) {
			form := values("grant_type", "client_credentials", "client_assertion_type", assertionType,
				"client_assertion", newAssertion(kc).sign(t, signerKey()))
			kc.tokens(t, kc.post(t, tokenPath, form, basic{}))
			kc.checkTokenRefusal(t, kc.post(t, tokenPath, form, basic{}),
				because("Token reuse detected"), because(old+"Token reuse detected"))
		})
		t.Run("with a secret instead", func(t *testing.T) {
			form := values("grant_type", "client_credentials", "client_id", signer.id, "client_secret", "s3cret")
			kc.checkTokenRefusal(t, kc.post(t, tokenPath, form, basic{}),
				because("Parameter client_assertion_type is missing"), refusal{})
		})
	})
}
