package peer

import (
	"context"

	"github.com/gin-gonic/gin"
	"github.com/hashicorp/cap/jwt"
)

func hashicorp() Peer {
	return Peer{
		Name: "hashicorp/cap", Module: "github.com/hashicorp/cap",
		Setup:  "`jwt.NewOIDCDiscoveryKeySet`, and a validator that expects issuer, audience and algorithm.",
		LetsIn: []string{"ID token", "bound to a key"},
		Start: func(ctx context.Context, r Realm) (*Guard, error) {
			keys, err := jwt.NewOIDCDiscoveryKeySet(ctx, r.Issuer, "")
			if err != nil {
				return nil, err
			}
			validator, err := jwt.NewValidator(keys)
			if err != nil {
				return nil, err
			}
			expected := jwt.Expected{
				Issuer: r.Issuer, Audiences: []string{r.Audience}, SigningAlgorithms: []jwt.Alg{jwt.Alg(r.Algorithm)},
			}
			return &Guard{
				Middleware: middleware(func(ctx context.Context, raw string) (map[string]any, error) {
					return validator.Validate(ctx, raw, expected)
				}),
				Username: func(c *gin.Context) string {
					username, _ := claimsOf[map[string]any](c)["preferred_username"].(string)
					return username
				},
			}, nil
		},
	}
}
