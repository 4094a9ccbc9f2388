package ginkeycloak

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// User is the holder of a validated access token, a person or a service account. One value may be shared by
// many requests: it must not be changed, nor must the slices it holds.
type User struct {
	Subject         string // sub: what identifies the user for good
	Username        string // username, or else preferred_username
	Email           string
	EmailVerified   bool
	Name            string
	GivenName       string
	FamilyName      string
	Issuer          string
	Audience        []string
	AuthorizedParty string // azp: the client that the token was issued to
	SessionID       string // sid: the session at Keycloak; empty for a service account
	Scopes          []string
	ExpiresAt       time.Time

	validatedBy       *Plugin // nil if by none
	preferredUsername string
	clientID          string // the API's own client
	realmRoles        []string
	clientRoles       token.ClientRoles
	groups            []string
	source            string // the claims as JSON
}

// newUser makes a User of claims that have been found good.
func newUser(c *token.Claims, clientID string, by *Plugin) *User {
	u := &User{
		Subject:           c.Subject,
		Username:          c.Username,
		Email:             c.Email,
		EmailVerified:     c.EmailVerified,
		Name:              c.Name,
		GivenName:         c.GivenName,
		FamilyName:        c.FamilyName,
		Issuer:            c.Issuer,
		Audience:          c.Audience,
		AuthorizedParty:   c.AuthorizedParty,
		SessionID:         c.SessionID,
		Scopes:            c.Scopes,
		ExpiresAt:         c.ExpiresAt.Time(),
		validatedBy:       by,
		preferredUsername: c.PreferredUsername,
		clientID:          clientID,
		realmRoles:        c.RealmRoles,
		clientRoles:       c.ClientRoles,
		groups:            c.Groups,
		source:            c.Source,
	}
	if u.Username == "" {
		u.Username = u.preferredUsername
	}
	return u
}

// UserFromClaims returns the User that a token with these claims would give an API of this client ID. Nothing is
// validated: it is for tests of handlers, with ContextWithUser.
func UserFromClaims(clientID string, claims map[string]any) (*User, error) {
	source, err := json.Marshal(claims)
	if err != nil {
		return nil, fmt.Errorf("ginkeycloak: encode claims: %w", err)
	}
	c, err := token.DecodeClaims(string(source))
	if err != nil {
		return nil, fmt.Errorf("ginkeycloak: %w", err)
	}
	return newUser(&c, clientID, nil), nil
}

// HasRole reports whether the user has the role in the realm or in the API's own client (WithClientID). A role
// of that name in another client does not count.
func (u *User) HasRole(role string) bool {
	return u.HasRealmRole(role) || slices.Contains(u.ownRoles(), role)
}

// HasRealmRole reports whether the user has the role in the realm.
func (u *User) HasRealmRole(role string) bool { return slices.Contains(u.realmRoles, role) }

// HasClientRole reports whether the user has the role in that client.
func (u *User) HasClientRole(client, role string) bool {
	return slices.Contains(u.clientRoles.Of(client), role)
}

// InGroup reports whether the user is a member of the group or of one of its subgroups: a member of /eng/sre is
// in /eng, one of /engineers is not. Names are compared byte for byte, the leading slash included; it is there
// if the group mapper gives full paths, as Keycloak's does by default.
func (u *User) InGroup(group string) bool {
	return slices.ContainsFunc(u.groups, func(path string) bool {
		rest, ok := strings.CutPrefix(path, group)
		return ok && group != "" && (rest == "" || rest[0] == '/')
	})
}

// HasScope reports whether the token was issued with the scope (RFC 6749 §3.3).
func (u *User) HasScope(scope string) bool { return slices.Contains(u.Scopes, scope) }

// Roles returns the roles that HasRole knows: the realm's and those of the API's own client, each once.
func (u *User) Roles() []string {
	var roles []string
	for _, list := range [][]string{u.realmRoles, u.ownRoles()} {
		for _, role := range list {
			if !slices.Contains(roles, role) {
				roles = append(roles, role)
			}
		}
	}
	return roles
}

// ownRoles are the user's roles in the API's own client.
func (u *User) ownRoles() []string {
	if u.clientID == "" {
		return nil
	}
	return u.clientRoles.Of(u.clientID)
}

// RealmRoles returns the user's roles in the realm.
func (u *User) RealmRoles() []string { return slices.Clone(u.realmRoles) }

// ClientRoles returns the user's roles in that client.
func (u *User) ClientRoles(client string) []string { return slices.Clone(u.clientRoles.Of(client)) }

// Groups returns the groups that the user is a direct member of.
func (u *User) Groups() []string { return slices.Clone(u.groups) }

// Claims decodes all claims of the token into v, a pointer to a struct or map, with encoding/json/v2 rules:
// names must match exactly.
func (u *User) Claims(v any) error {
	if err := json.Unmarshal([]byte(u.source), v); err != nil {
		return fmt.Errorf("ginkeycloak: decode claims: %w", err)
	}
	return nil
}

// MarshalJSON gives what an API may tell a user of himself, under the names of the claims, with roles and
// groups flattened.
func (u User) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Subject           string   `json:"sub"`
		Username          string   `json:"username"`
		PreferredUsername string   `json:"preferred_username"`
		Email             string   `json:"email"`
		EmailVerified     bool     `json:"email_verified"`
		GivenName         string   `json:"given_name"`
		FamilyName        string   `json:"family_name"`
		Name              string   `json:"name"`
		Roles             []string `json:"roles"`
		Groups            []string `json:"groups"`
	}{
		u.Subject, u.Username, u.preferredUsername, u.Email, u.EmailVerified, u.GivenName, u.FamilyName, u.Name,
		u.Roles(), u.Groups(),
	})
}

// String names the user by subject only, so that a User in a log line or an error gives no personal data away.
func (u User) String() string { return fmt.Sprintf("user(%s)", u.Subject) }

// GoString is String, for %#v.
func (u User) GoString() string { return u.String() }

// LogValue is String, for slog.
func (u User) LogValue() slog.Value { return slog.StringValue(u.String()) }

// userKey is the key of the user in a request's context, where handlers and guards find him.
type userKey struct{}

// userContext is a context with a user in it. It is what context.WithValue would make, in half the time and space.
type userContext struct {
	context.Context //nolint:containedctx // it is one

	user *User
}

func (c *userContext) Value(key any) any {
	if key == (userKey{}) {
		return c.user
	}
	return c.Context.Value(key)
}

// UserFromContext returns the authenticated user of a request. It takes the *gin.Context, the context of its
// Request, or a child of either.
func UserFromContext(ctx context.Context) (*User, bool) {
	if ctx == nil {
		return nil, false
	}
	u, ok := ctx.Value(userKey{}).(*User)
	if !ok {
		// A gin.Context hands on to its request's context only if the engine is told to; its request it always has.
		if r, isGin := ctx.Value(gin.ContextRequestKey).(*http.Request); isGin && r != nil {
			u, ok = r.Context().Value(userKey{}).(*User)
		}
	}
	if !ok || u == nil || u.isAnonymous() {
		return nil, false
	}
	return u, true
}

// ContextWithUser returns a copy of ctx in which UserFromContext finds u, for tests of handlers. RequireRoles and its
// kin believe only in users that their own plugin validated, so one of UserFromClaims does not satisfy them: to test
// those, let package keycloaktest issue a token.
func ContextWithUser(ctx context.Context, u *User) context.Context {
	return &userContext{ctx, u}
}

// admit makes the user known to the handlers behind. An anonymous request that OptionalMiddleware let pass has its
// plugin's anonymous user.
func (p *Plugin) admit(c *gin.Context, u *User) {
	c.Request = c.Request.WithContext(ContextWithUser(c.Request.Context(), u))
}

// known returns the user, maybe the anonymous one, that this plugin admitted to a request; nil if it did not yet.
// The users of another plugin, which may be of another realm, are strangers to this one.
func (p *Plugin) known(c *gin.Context) *User {
	if u, ok := c.Request.Context().Value(userKey{}).(*User); ok && u != nil && u.validatedBy == p {
		return u
	}
	return nil
}

// isAnonymous reports whether u stands for nobody in particular.
func (u *User) isAnonymous() bool { return u.validatedBy != nil && u == u.validatedBy.anonymous }
