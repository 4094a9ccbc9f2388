// Package stand is what everything in this module is measured on: a fake Keycloak, its tokens, and a client that calls
// a Gin engine without a socket between.
package stand

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// Audience is the API that tokens are for, a client of the fake's realm.
const Audience = "orders-api"

// Lifespan is how long tokens last, so that none expires while it is measured.
const Lifespan = 24 * time.Hour

// Start starts a fake Keycloak that signs with the algorithm. The caller closes it.
func Start(algorithm string) (*keycloaktest.Server, error) {
	server, err := keycloaktest.Start(keycloaktest.WithAlgorithm(algorithm), keycloaktest.WithTokenLifespan(Lifespan))
	if err != nil {
		return nil, fmt.Errorf("start the fake Keycloak: %w", err)
	}
	return server, nil
}

// Good mints n tokens of alice, who has a profile, roles and groups; each is another one.
func Good(server *keycloaktest.Server, n int) []string {
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = server.Token(keycloaktest.ForUser("alice"), keycloaktest.ExpiresIn(Lifespan))
	}
	return tokens
}

// Expired mints a token that has been no good for an hour, which is beyond anybody's leeway.
func Expired(server *keycloaktest.Server) string {
	return server.Token(keycloaktest.ForUser("alice"), keycloaktest.IssuedIn(-2*time.Hour), keycloaktest.ExpiresIn(-time.Hour))
}

// ForStrangers mints a good token with another issuer.
func ForStrangers(server *keycloaktest.Server) string {
	return server.Token(keycloaktest.ForUser("alice"), keycloaktest.Issuer("https://sso.example.org/realms/demo"))
}

// BadSignature mints a token whose signature has one bit that is wrong.
func BadSignature(server *keycloaktest.Server) string {
	token := server.Token(keycloaktest.ForUser("alice"), keycloaktest.ExpiresIn(Lifespan))
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		panic("the fake's signature is no base64url: " + err.Error())
	}
	signature[len(signature)/2] ^= 1
	return token[:dot+1] + base64.RawURLEncoding.EncodeToString(signature)
}

// Garbage returns size random characters in the form of a token: three segments that are base64url, and no JSON.
func Garbage(size int) string {
	random := make([]byte, size)
	_, _ = rand.Read(random) // it never fails
	text := []byte(base64.RawURLEncoding.EncodeToString(random)[:size])
	text[size/4], text[3*size/4] = '.', '.'
	return string(text)
}
