package token

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Claims are the claims of an access token of Keycloak. Claims that decide about access are read strictly:
// one of the wrong type makes the token invalid. Claims that only describe the user or grant something are
// read leniently: what is not of the expected type is as good as absent, so it grants nothing.
type Claims struct {
	Issuer          string
	Subject         string
	Audience        []string
	ExpiresAt       NumericDate
	NotBefore       NumericDate
	IssuedAt        NumericDate
	ID              string
	Type            string
	TokenType       string // token_type of an introspection (RFC 7662 §2.2)
	AuthorizedParty string
	SessionID       string
	Scopes          []string
	Bound           bool // cnf is there: the token is bound to a key or a certificate (RFC 7800)

	RealmRoles  []string
	ClientRoles ClientRoles
	Groups      []string

	Username          string
	PreferredUsername string
	Email             string
	EmailVerified     bool
	Name              string
	GivenName         string
	FamilyName        string

	Source string // the JSON that the claims were read from
}

// Claims decodes the payload. It may be called before Verify, in order to refuse a token cheaply; what it
// returns is to be believed only after.
func (t JWS) Claims() (Claims, error) { return DecodeClaims(t.Payload) }

// DecodeClaims reads claims from a JSON object that is no token's payload, such as the answer of an introspection.
func DecodeClaims(source string) (Claims, error) {
	c := Claims{Source: source}
	err := readObject(source, c.read)
	if err == nil {
		return c, nil
	}
	if _, ok := errors.AsType[*memberError](err); ok {
		return Claims{}, fmt.Errorf("%w: %w", ErrClaims, err)
	}
	return Claims{}, fmt.Errorf("%w: payload: %w", ErrMalformed, err)
}

// read reads the claim of that name, or skips it.
func (c *Claims) read(r *reader, name string) error {
	switch name {
	case "iss":
		return r.strictText(&c.Issuer)
	case "sub":
		return r.strictText(&c.Subject)
	case "aud":
		return r.audience(&c.Audience)
	case "exp":
		return r.date(&c.ExpiresAt)
	case "nbf":
		return r.date(&c.NotBefore)
	case "iat":
		return r.date(&c.IssuedAt)
	case "jti":
		return r.strictText(&c.ID)
	case "typ":
		return r.strictText(&c.Type)
	case "token_type":
		return r.text(&c.TokenType)
	case "azp":
		return r.strictText(&c.AuthorizedParty)
	case "sid":
		return r.strictText(&c.SessionID)
	case "scope":
		return r.words(&c.Scopes)
	case "cnf":
		c.Bound = true
		return r.skip()
	case "realm_access":
		return r.roles(&c.RealmRoles)
	case "resource_access":
		return r.clientRoles(&c.ClientRoles)
	case "groups":
		return r.texts(&c.Groups)
	case "username":
		return r.text(&c.Username)
	case "preferred_username":
		return r.text(&c.PreferredUsername)
	case "email":
		return r.text(&c.Email)
	case "email_verified":
		return r.flag(&c.EmailVerified)
	case "name":
		return r.text(&c.Name)
	case "given_name":
		return r.text(&c.GivenName)
	case "family_name":
		return r.text(&c.FamilyName)
	default:
		return r.skip()
	}
}

// NumericDate is a point in time in seconds since the epoch (RFC 7519 §2), or absent, which is its zero value.
type NumericDate struct {
	seconds int64
	present bool
}

// Present reports whether the claim was there.
func (d NumericDate) Present() bool { return d.present }

// Time is the date as a time; the zero time if the claim was absent.
func (d NumericDate) Time() time.Time {
	if !d.present {
		return time.Time{}
	}
	return time.Unix(d.seconds, 0)
}

// ClientRoles are roles by client, as in resource_access. There are few, so a slice serves.
type ClientRoles []ClientRole

// ClientRole is the roles of one client.
type ClientRole struct {
	Client string
	Roles  []string
}

// Of returns the roles of client.
func (c ClientRoles) Of(client string) []string {
	i := slices.IndexFunc(c, func(e ClientRole) bool { return e.Client == client })
	if i < 0 {
		return nil
	}
	return c[i].Roles
}
