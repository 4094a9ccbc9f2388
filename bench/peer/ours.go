package peer

import (
	"context"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
)

const oursModule = "github.com/c0mpiler/ginkeycloak"

func ours() Peer {
	return Peer{
		Name: "ginkeycloak", Module: oursModule, Ours: true, Remembers: true,
		Setup: "`New` with server URL, realm and client ID; everything else is the default.",
		Start: startOurs(),
	}
}

func oursUncached() Peer {
	return Peer{
		Name: "ginkeycloak, token cache off", Module: oursModule, Ours: true,
		Setup: "The same with `WithTokenCache(0, 0)`.",
		Start: startOurs(ginkeycloak.WithTokenCache(0, 0)),
	}
}

func startOurs(opts ...ginkeycloak.Option) func(context.Context, Realm) (*Guard, error) {
	return func(ctx context.Context, r Realm) (*Guard, error) {
		kc, err := ginkeycloak.New(append([]ginkeycloak.Option{
			ginkeycloak.WithServerURL(r.Server),
			ginkeycloak.WithRealm(r.Name),
			ginkeycloak.WithClientID(r.Audience),
			ginkeycloak.WithAlgorithms(r.Algorithm),
		}, opts...)...)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = kc.Close() })
		username := func(c *gin.Context) string {
			user, ok := ginkeycloak.UserFromContext(c)
			if !ok {
				return ""
			}
			return user.Username
		}
		return &Guard{Middleware: kc.Middleware(), Username: username}, nil
	}
}
