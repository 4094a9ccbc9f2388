package peer

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/zitadel/oidc/v3/pkg/client"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

func zitadel() Peer {
	return Peer{
		Name: "zitadel/oidc", Module: "github.com/zitadel/oidc/v3",
		Setup:  "`client.Discover` and `rp.NewRemoteKeySet`; `op.VerifyAccessToken`, then `oidc.CheckAudience`, which that leaves to the program.",
		LetsIn: []string{"not yet valid", "AUD beside aud", "ID token", "bound to a key"},
		Ahead: map[Row]string{
			Garbage: givesUpEarly,
		},
		Start: func(ctx context.Context, r Realm) (*Guard, error) {
			discovery, err := client.Discover(ctx, r.Issuer, http.DefaultClient)
			if err != nil {
				return nil, err
			}
			verifier := op.NewAccessTokenVerifier(r.Issuer, rp.NewRemoteKeySet(http.DefaultClient, discovery.JwksURI),
				op.WithSupportedAccessTokenSigningAlgorithms(r.Algorithm))
			return &Guard{
				Middleware: middleware(func(ctx context.Context, raw string) (*oidc.AccessTokenClaims, error) {
					claims, err := op.VerifyAccessToken[*oidc.AccessTokenClaims](ctx, raw, verifier)
					if err != nil {
						return nil, err
					}
					return claims, oidc.CheckAudience(claims, r.Audience)
				}),
				Username: func(c *gin.Context) string {
					username, _ := claimsOf[*oidc.AccessTokenClaims](c).Claims["preferred_username"].(string)
					return username
				},
			}, nil
		},
	}
}
