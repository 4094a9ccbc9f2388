package peer

import (
	"context"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/gin-gonic/gin"
)

func goOIDC() Peer {
	return Peer{
		Name: "coreos/go-oidc", Module: "github.com/coreos/go-oidc/v3",
		Setup:  "`oidc.NewProvider`, its verifier for ID tokens with the API as client ID, `Claims` into a struct.",
		LetsIn: []string{"AUD beside aud", "ID token", "bound to a key"},
		Start: func(ctx context.Context, r Realm) (*Guard, error) {
			provider, err := oidc.NewProvider(ctx, r.Issuer)
			if err != nil {
				return nil, err
			}
			verifier := provider.Verifier(&oidc.Config{ClientID: r.Audience, SupportedSigningAlgs: []string{r.Algorithm}})
			return &Guard{
				Middleware: middleware(func(ctx context.Context, raw string) (*access, error) {
					token, err := verifier.Verify(ctx, raw)
					if err != nil {
						return nil, err
					}
					claims := new(access)
					return claims, token.Claims(claims)
				}),
				Username: func(c *gin.Context) string { return claimsOf[*access](c).PreferredUsername },
			}, nil
		},
	}
}
