package peer

import (
	"context"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
)

type golangJWTClaims struct {
	jwt.RegisteredClaims
	access
}

func golangJWT() Peer {
	return Peer{
		Name: "golang-jwt + keyfunc", Module: "github.com/golang-jwt/jwt/v5",
		Setup:  "`keyfunc.NewDefaultCtx` with the key set's URL; `jwt.ParseWithClaims` into a struct, with valid methods, issuer, audience and required expiry.",
		LetsIn: []string{"unknown crit", "AUD beside aud", "ID token", "bound to a key"},
		Ahead: map[Row]string{
			FirstES256: "ours also remembers the token here, and checks the type, so that no ID token gets in; without the token cache it is the row below.",
			Garbage:    givesUpEarly,
			ColdStart:  "it is told the key set's address, so it makes no discovery.",
			UnknownKid: "it looks for a new key at most once in five minutes, and refuses good tokens after a second rotation: see there.",
		},
		Start: func(ctx context.Context, r Realm) (*Guard, error) {
			keys, err := keyfunc.NewDefaultCtx(ctx, []string{r.KeySet})
			if err != nil {
				return nil, err
			}
			parser := jwt.NewParser(jwt.WithValidMethods([]string{r.Algorithm}), jwt.WithIssuer(r.Issuer),
				jwt.WithAudience(r.Audience), jwt.WithExpirationRequired())
			return &Guard{
				Middleware: middleware(func(_ context.Context, raw string) (*golangJWTClaims, error) {
					claims := new(golangJWTClaims)
					_, err := parser.ParseWithClaims(raw, claims, keys.Keyfunc)
					return claims, err
				}),
				Username: func(c *gin.Context) string { return claimsOf[*golangJWTClaims](c).PreferredUsername },
			}, nil
		},
	}
}
