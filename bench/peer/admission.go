package peer

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/c0mpiler/ginkeycloak/bench/stand"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// A BadToken is one that an API must refuse, and why.
type BadToken struct {
	Name string
	Why  string
	Mint func(*keycloaktest.Server) string
}

// BadTokens are those that each peer is tried with. Apart from what their name says they are as good as any.
func BadTokens() []BadToken {
	token := func(opts ...keycloaktest.TokenOption) func(*keycloaktest.Server) string {
		opts = append([]keycloaktest.TokenOption{keycloaktest.ForUser("alice")}, opts...)
		return func(server *keycloaktest.Server) string { return server.Token(opts...) }
	}
	const extension = "https://example.com/critical"
	return []BadToken{
		{"garbage", "it is no token", func(*keycloaktest.Server) string { return stand.Garbage(16 << 10) }},
		{"expired", "an hour ago", stand.Expired},
		{"without expiry", "it is an hour old and would be good for ever",
			token(keycloaktest.IssuedIn(-time.Hour), keycloaktest.WithoutClaim("exp"))},
		{"not yet valid", "its nbf is in an hour", token(keycloaktest.NotBeforeIn(time.Hour))},
		{"bad signature", "one bit of it is wrong", stand.BadSignature},
		{"another key", "anybody has one; it is named as the realm's", func(server *keycloaktest.Server) string {
			return server.Token(keycloaktest.SignedBy(stranger()))
		}},
		{"unsigned", "alg is none", token(keycloaktest.Unsigned("none"))},
		{"HS256", "the public key was taken for a secret", func(server *keycloaktest.Server) string {
			return server.Token(keycloaktest.HMAC("HS256", publicPEM(server)))
		}},
		{"another algorithm", "RS512, where the API said RS256", token(keycloaktest.Algorithm("RS512"))},
		{"unknown crit", "what it says is critical must be understood (RFC 7515 §4.1.11)",
			token(keycloaktest.Header("crit", []string{extension}), keycloaktest.Header(extension, true))},
		{"another issuer", "it is of another realm", stand.ForStrangers},
		{"another audience", "it was issued for another API", token(keycloaktest.Audience("billing"))},
		{"no audience", "it was issued for no API", token(keycloaktest.WithoutClaim("aud"))},
		{"AUD beside aud", "names of claims have a case; aud is another API", token(keycloaktest.Audience("billing"),
			keycloaktest.Claim("AUD", stand.Audience))},
		{"ID token", "it tells a client who logged in and opens nothing", func(server *keycloaktest.Server) string {
			return server.IDToken(keycloaktest.ForUser("alice"))
		}},
		{"bound to a key", "without the proof that its bearer has the key (RFC 9449)",
			token(keycloaktest.Claim("cnf", map[string]string{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}))},
	}
}

// stranger is a key that is not the realm's.
var stranger = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// publicPEM is the realm's public key as its console shows it.
func publicPEM(server *keycloaktest.Server) []byte {
	der, err := x509.MarshalPKIXPublicKey(server.SigningKey().Public())
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Admission is what a peer answered.
type Admission struct {
	Good int            // status for a good token
	Bad  map[string]int // and for the bad ones, by name
}

// LetIn are the names of the bad tokens that were let in, in the order of BadTokens.
func (a Admission) LetIn() []string {
	var names []string
	for _, bad := range BadTokens() {
		if a.Bad[bad.Name] == http.StatusOK {
			names = append(names, bad.Name)
		}
	}
	return names
}

// Admit tries a peer with a good token and all the bad ones.
func (p Peer) Admit(ctx context.Context, server *keycloaktest.Server) (Admission, error) {
	guard, err := p.Start(ctx, RealmOf(server, "RS256"))
	if err != nil {
		return Admission{}, fmt.Errorf("start %s: %w", p.Name, err)
	}
	client := stand.NewClient(guard.Engine())
	get := func(token string) int { return client.Get(stand.Authorizations(token)[0]) }
	a := Admission{Good: get(stand.Good(server, 1)[0]), Bad: map[string]int{}}
	for _, bad := range BadTokens() {
		a.Bad[bad.Name] = get(bad.Mint(server))
	}
	return a, nil
}
