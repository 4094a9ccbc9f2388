package keycloak

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
)

// Credentials are how a client proves to Keycloak who it is. With neither secret nor key it is a public client,
// which only says it.
type Credentials struct {
	ClientID string
	Secret   func() string // nil or "" for none
	InBody   bool          // send the secret as client_secret_post and not as client_secret_basic
	Key      *ClientKey    // authenticate by private_key_jwt
}

// Confidential reports whether there is anything to prove the client's identity with.
func (c Credentials) Confidential() bool { return c.Key != nil || c.secret() != "" }

func (c Credentials) secret() string {
	if c.Secret == nil {
		return ""
	}
	return c.Secret()
}

// assertionLifetime is how long a client assertion is good for. It is used at once and only once.
const assertionLifetime = 30 * time.Second

// authenticate puts the credentials into the form or the header of a request (RFC 6749 §2.3.1, RFC 7523 §2.2).
func (c Credentials) authenticate(header http.Header, form url.Values, audience string, now time.Time) error {
	switch secret := c.secret(); {
	case c.Key != nil:
		assertion, err := c.Key.assertion(c.ClientID, audience, now)
		if err != nil {
			return err
		}
		form.Set("client_id", c.ClientID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	case secret == "":
		form.Set("client_id", c.ClientID)
	case c.InBody:
		form.Set("client_id", c.ClientID)
		form.Set("client_secret", secret)
	default:
		r := http.Request{Header: header}
		r.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(secret))
	}
	return nil
}

// ClientKey is the private key of a client that authenticates by private_key_jwt. Printing it shows no key.
type ClientKey struct {
	id     string
	method jwt.SigningMethod
	sign   func(*jwt.Token) (string, error)
}

var errNoKey = errors.New("not a private RSA, EC or Ed25519 key as PEM or JWK")

// ParseClientKey reads a private key from PEM (PKCS #8, PKCS #1 or SEC 1) or from a JSON Web Key, whose kid and
// alg are used. The error says nothing of the key.
func ParseClientKey(text []byte) (*ClientKey, error) {
	if block, _ := pem.Decode(text); block != nil {
		return newClientKey(parsePrivateKey(block.Bytes), "", "")
	}
	var m jwkset.JWKMarshal
	if json.Unmarshal(text, &m) != nil {
		return nil, errNoKey
	}
	jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{Private: true}, jwkset.JWKValidateOptions{})
	if err != nil {
		return nil, errNoKey
	}
	return newClientKey(jwk.Key(), m.KID, m.ALG.String())
}

func parsePrivateKey(der []byte) crypto.PrivateKey {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key
	}
	return nil
}

func newClientKey(key crypto.PrivateKey, id, alg string) (*ClientKey, error) {
	natural := ""
	switch k := key.(type) {
	case *rsa.PrivateKey:
		natural = "RS256"
	case *ecdsa.PrivateKey:
		natural = map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[k.Curve.Params().BitSize]
	case ed25519.PrivateKey:
		natural = "EdDSA"
	}
	if alg == "" {
		alg = natural
	}
	method := jwt.GetSigningMethod(alg)
	if natural == "" || method == nil {
		return nil, errNoKey
	}
	sign := func(t *jwt.Token) (string, error) { return t.SignedString(key) }
	if _, err := sign(jwt.New(method)); err != nil {
		return nil, errNoKey
	}
	return &ClientKey{id: id, method: method, sign: sign}, nil
}

// assertion is a JWT that says who the client is, for this one request (RFC 7523 §3). Its audience is one string:
// Keycloak 26 refuses a list, even of one.
func (k *ClientKey) assertion(clientID, audience string, now time.Time) (string, error) {
	t := jwt.NewWithClaims(k.method, jwt.MapClaims{
		"iss": clientID,
		"sub": clientID,
		"aud": audience,
		"iat": now.Unix(),
		"exp": now.Add(assertionLifetime).Unix(),
		"jti": rand.Text(),
	})
	if k.id != "" {
		t.Header["kid"] = k.id
	}
	return k.sign(t)
}
