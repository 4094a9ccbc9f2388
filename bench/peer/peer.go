// Package peer holds the libraries that are compared, each set up as its own documents show it for an API: it takes the
// token out of the Authorization field, checks signature, issuer, audience and expiry, and hands the claims on.
package peer

import (
	"context"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak/bench/stand"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// Peer is a library with its set-up.
type Peer struct {
	Name   string // in tables
	Module string
	Setup  string // a sentence that stands beside the tables

	// Start sets it up for a realm. What it started ends with ctx.
	Start func(ctx context.Context, realm Realm) (*Guard, error)

	Remembers bool           // tokens that it verified before
	LetsIn    []string       // bad tokens of admission, by name, that this set-up takes
	Ahead     map[Row]string // why it may be ahead of ours there: what it leaves out
	Ours      bool           // it is what the others are compared with, or a variant of it
}

// Row names a figure of the report.
type Row string

// The rows.
const (
	FirstRS256   Row = "first-seen RS256"
	FirstES256   Row = "first-seen ES256"
	Repeated     Row = "repeated"
	Expired      Row = "expired"
	BadSignature Row = "bad signature"
	Garbage      Row = "garbage of 16 KiB"
	ColdStart    Row = "cold start"
	UnknownKid   Row = "unknown kid"
	Rotation     Row = "rotation"
)

// givesUpEarly is why some are ahead of ours in Garbage.
const givesUpEarly = "it gives up at the first part that does not decode; ours looks at every character, to tell what can be no bearer token (400) from a bad one (401)."

// Realm is what a peer is told of the realm.
type Realm struct {
	Server, Name   string // address and name
	Issuer, KeySet string // URLs
	Audience       string
	Algorithm      string
	Client         *http.Client // reaches the realm without a socket; for those that open one connection per request
}

// RealmOf describes a fake Keycloak's realm.
func RealmOf(server *keycloaktest.Server, algorithm string) Realm {
	return Realm{
		Server: server.URL(), Name: server.Realm(),
		Issuer: server.Issuer(), KeySet: server.Issuer() + "/protocol/openid-connect/certs",
		Audience: stand.Audience, Algorithm: algorithm,
		Client: &http.Client{Transport: server.Transport()},
	}
}

// Guard is what stands before a handler, and how the handler gets at the claims.
type Guard struct {
	Middleware gin.HandlerFunc
	Username   func(*gin.Context) string
}

// Engine returns an engine whose handler is guarded. It answers with 500 if it cannot tell the user's name: a library
// that does not hand the claims on has done half of the job.
func (g *Guard) Engine() *gin.Engine {
	return stand.Engine(g.Middleware, func(c *gin.Context) {
		if g.Username(c) == "" {
			c.Status(http.StatusInternalServerError)
		}
	})
}

// All are the peers, ours first.
func All() []Peer {
	return []Peer{
		ours(), oursUncached(), golangJWT(), goOIDC(), auth0(), ginKeycloak(), jwx(), zitadel(), hashicorp(),
	}
}

// Version is that of the peer's module in this program.
func (p Peer) Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == p.Module && dep.Replace == nil {
			return dep.Version
		}
	}
	return ""
}

const claimsKey = "claims"

// middleware makes one of a function that verifies a token, as a program has to that uses such a library with Gin. A
// refusal has a challenge and a body (RFC 6750 §3), as ours do.
func middleware[C any](verify func(ctx context.Context, raw string) (C, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		raw, ok := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
		if !ok {
			c.Header("WWW-Authenticate", "Bearer")
			c.AbortWithStatus(http.StatusUnauthorized)
			return
		}
		claims, err := verify(c.Request.Context(), raw)
		if err != nil {
			refuse(c)
			return
		}
		c.Set(claimsKey, claims)
	}
}

func refuse(c *gin.Context) {
	c.Header("WWW-Authenticate", `Bearer error="invalid_token"`)
	c.AbortWithStatusJSON(http.StatusUnauthorized, gin.H{"error": "invalid_token"})
}

// claimsOf returns what middleware handed on.
func claimsOf[C any](c *gin.Context) C {
	value, _ := c.Get(claimsKey)
	claims, _ := value.(C)
	return claims
}

// access is what an API wants of a Keycloak token besides the registered claims, where a library leaves that to the
// program.
type access struct {
	PreferredUsername string           `json:"preferred_username"`
	Email             string           `json:"email"`
	Scope             string           `json:"scope"`
	Groups            []string         `json:"groups"`
	RealmAccess       roles            `json:"realm_access"`
	ResourceAccess    map[string]roles `json:"resource_access"`
}

type roles struct {
	Roles []string `json:"roles"`
}
