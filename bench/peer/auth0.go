package peer

import (
	"context"
	"net/http"
	"net/url"

	jwtmiddleware "github.com/auth0/go-jwt-middleware/v3"
	"github.com/auth0/go-jwt-middleware/v3/jwks"
	"github.com/auth0/go-jwt-middleware/v3/validator"
	"github.com/gin-gonic/gin"
)

type auth0Claims struct{ access }

// Validate has nothing to add to what the validator checks.
func (*auth0Claims) Validate(context.Context) error { return nil }

func auth0() Peer {
	return Peer{
		Name: "auth0/go-jwt-middleware", Module: "github.com/auth0/go-jwt-middleware/v3",
		Setup:  "`jwks.NewCachingProvider` for the issuer, a validator with algorithm, issuer, audience and custom claims, `CheckJWT` as a Gin handler.",
		LetsIn: []string{"without expiry", "unknown crit", "ID token"},
		Ahead: map[Row]string{
			UnknownKid: "it does not look for a new key until its cache expires, and refuses good tokens after a rotation: see there.",
		},
		Start: startAuth0,
	}
}

func startAuth0(_ context.Context, r Realm) (*Guard, error) {
	issuer, err := url.Parse(r.Issuer)
	if err != nil {
		return nil, err
	}
	provider, err := jwks.NewCachingProvider(jwks.WithIssuerURL(issuer))
	if err != nil {
		return nil, err
	}
	validate, err := validator.New(
		validator.WithKeyFunc(provider.KeyFunc),
		validator.WithAlgorithm(validator.SignatureAlgorithm(r.Algorithm)),
		validator.WithIssuer(r.Issuer),
		validator.WithAudience(r.Audience),
		validator.WithCustomClaims(func() *auth0Claims { return new(auth0Claims) }),
	)
	if err != nil {
		return nil, err
	}
	guard, err := jwtmiddleware.New(jwtmiddleware.WithValidator(validate))
	if err != nil {
		return nil, err
	}
	return &Guard{Middleware: throughHTTP(guard.CheckJWT), Username: auth0Username}, nil
}

// throughHTTP makes a Gin handler of a middleware for net/http, which goes on by calling the handler it is given.
func throughHTTP(check func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r
			c.Next()
		})
		check(next).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}

func auth0Username(c *gin.Context) string {
	claims, err := jwtmiddleware.GetClaims[*validator.ValidatedClaims](c.Request.Context())
	if err != nil {
		return ""
	}
	custom, ok := claims.CustomClaims.(*auth0Claims)
	if !ok {
		return ""
	}
	return custom.PreferredUsername
}
