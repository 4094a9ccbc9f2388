package peer

import (
	"context"

	"github.com/gin-gonic/gin"
	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

func jwx() Peer {
	return Peer{
		Name: "lestrrat-go/jwx", Module: "github.com/lestrrat-go/jwx/v3",
		Setup:  "`jwk.NewCache` with the key set's URL; `jwt.ParseString` with that key set, issuer, audience and required expiry.",
		LetsIn: []string{"unknown crit", "ID token", "bound to a key"},
		Ahead: map[Row]string{
			Garbage:    givesUpEarly,
			ColdStart:  "it is told the key set's address, so it makes no discovery.",
			UnknownKid: "it does not look for a new key until its cache expires, and refuses good tokens after a rotation: see there.",
		},
		Start: func(ctx context.Context, r Realm) (*Guard, error) {
			cache, err := jwk.NewCache(ctx, httprc.NewClient())
			if err != nil {
				return nil, err
			}
			if err := cache.Register(ctx, r.KeySet); err != nil {
				return nil, err
			}
			keys, err := cache.CachedSet(r.KeySet)
			if err != nil {
				return nil, err
			}
			return &Guard{
				Middleware: middleware(func(_ context.Context, raw string) (jwt.Token, error) {
					return jwt.ParseString(raw, jwt.WithKeySet(keys), jwt.WithIssuer(r.Issuer),
						jwt.WithAudience(r.Audience), jwt.WithRequiredClaim(jwt.ExpirationKey))
				}),
				Username: func(c *gin.Context) string {
					var username string
					if token := claimsOf[jwt.Token](c); token == nil || token.Get("preferred_username", &username) != nil {
						return ""
					}
					return username
				},
			}, nil
		},
	}
}
