package peer

import (
	"context"
	"errors"
	"flag"
	"log/slog"

	"github.com/gin-gonic/gin"
	"github.com/tbaehler/gin-keycloak/pkg/ginkeycloak"
)

func ginKeycloak() Peer {
	return Peer{
		Name: "tbaehler/gin-keycloak", Module: "github.com/tbaehler/gin-keycloak",
		Setup:  "`Auth(AuthCheck(), config)` with URL and realm; it has no options for issuer and audience, and reports refusals with glog, into files here.",
		LetsIn: []string{"without expiry", "not yet valid", "another algorithm", "another issuer", "another audience", "no audience", "AUD beside aud", "ID token", "bound to a key"},
		Start: func(_ context.Context, r Realm) (*Guard, error) {
			config := ginkeycloak.KeycloakConfig{Url: r.Server, Realm: r.Name, HTTPClient: r.Client}
			return &Guard{
				Middleware: ginkeycloak.Auth(ginkeycloak.AuthCheck(), config),
				Username: func(c *gin.Context) string {
					value, _ := c.Get("token") // where AuthCheck puts it
					token, ok := value.(ginkeycloak.KeyCloakToken)
					if !ok {
						return ""
					}
					return token.PreferredUsername
				},
			}, nil
		},
	}
}

// LogInto sends what tbaehler/gin-keycloak logs, with glog, to files in that folder only: by default each refusal is
// printed, too. What others log, with slog, goes nowhere.
func LogInto(folder string) error {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	return errors.Join(flag.Set("log_dir", folder), flag.Set("stderrthreshold", "FATAL"))
}
