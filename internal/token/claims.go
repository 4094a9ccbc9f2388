package token

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
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
	Scope           string
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
func (t *JWS) Claims() (*Claims, error) {
	t.claims.Source = t.Payload
	if err := t.claims.decode(); err != nil {
		return nil, err
	}
	return &t.claims, nil
}

// DecodeClaims reads claims from a JSON object that is no token's payload, such as the answer of an introspection.
func DecodeClaims(source string) (*Claims, error) {
	c := &Claims{Source: source}
	if err := c.decode(); err != nil {
		return nil, err
	}
	return c, nil
}

// decode reads the claims from their source.
func (c *Claims) decode() error {
	scratch := borrow()
	defer scratch.giveBack()
	*scratch = append(*scratch, c.Source...)
	err := decodeObject(*scratch, c)
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*memberError](err); ok {
		return fmt.Errorf("%w: %w", ErrClaims, err)
	}
	return fmt.Errorf("%w: payload: %w", ErrMalformed, err)
}

// UnmarshalJSONFrom reads the claims that are known and skips the others. It is what encoding/json/v2 calls.
func (c *Claims) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	r := reader{Decoder: dec, source: c.Source, escapes: strings.IndexByte(c.Source, '\\') >= 0}
	return r.object(func(name string) error {
		err := c.read(r, name)
		if err != nil && errors.Is(err, errType) {
			return &memberError{name}
		}
		return err
	})
}

// read reads the claim of that name.
func (c *Claims) read(r reader, name string) error {
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
		return r.strictText(&c.Scope)
	case "cnf":
		c.Bound = true
		return r.SkipValue()
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
		return r.SkipValue()
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

// errType is returned for a value of the wrong JSON type; the decoder adds the place.
var errType = errors.New("wrong type")

// reader reads claims. Its strings are parts of the source, which saves a copy of each.
type reader struct {
	*jsontext.Decoder

	source  string
	escapes bool // there are escapes in it, as there hardly ever are
}

// quoted reads the string that comes next.
func (r reader) quoted() (string, error) {
	v, err := r.ReadValue()
	if err != nil {
		return "", err
	}
	return r.unquoted(v)
}

// unquoted is the string of a value that was just read.
func (r reader) unquoted(v jsontext.Value) (string, error) {
	if r.escapes && bytes.IndexByte(v, '\\') >= 0 {
		unquoted, err := jsontext.AppendUnquote(nil, v)
		return string(unquoted), err
	}
	end := int(r.InputOffset())
	return r.source[end-len(v)+1 : end-1], nil
}

// strictText takes a string, or null for an empty one.
func (r reader) strictText(to *string) error {
	kind, err := r.textOr(to)
	if err == nil && kind != '"' && kind != 'n' {
		return errType
	}
	return err
}

// text takes a string; anything else counts as an empty one.
func (r reader) text(to *string) error {
	_, err := r.textOr(to)
	return err
}

// textOr takes a string, or else tells what is there instead.
func (r reader) textOr(to *string) (kind jsontext.Kind, err error) {
	v, err := r.ReadValue()
	if kind = v.Kind(); kind == '"' {
		*to, err = r.unquoted(v)
	}
	return kind, err
}

// flag takes a boolean; anything else counts as false.
func (r reader) flag(to *bool) error {
	v, err := r.ReadValue()
	*to = err == nil && v.Kind() == 't'
	return err
}

// latest is the end of the year 9999. What lies beyond is no date, and would overflow on the way to one.
const latest = 253402300799

// date takes a number from 0 to the end of the year 9999, and no null.
func (r reader) date(to *NumericDate) error {
	v, err := r.ReadValue()
	if err != nil {
		return err
	}
	if v.Kind() != '0' {
		return errType
	}
	seconds := number(v)
	if seconds < 0 || seconds > latest {
		return errType
	}
	*to = NumericDate{seconds: int64(seconds), present: true}
	return nil
}

// number is the value of a number, an infinity if it is beyond all range.
func number(v jsontext.Value) float64 {
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
		return float64(n) // as nearly always, and much faster
	}
	n, _ := strconv.ParseFloat(string(v), 64)
	return n
}

// audience takes a string or an array of strings (RFC 7519 §4.1.3), and no null.
func (r reader) audience(to *[]string) error {
	if r.PeekKind() == '"' {
		one, err := r.quoted()
		*to = []string{one}
		return err
	}
	ok, err := r.array(to)
	if err == nil && !ok {
		return errType
	}
	return err
}

// texts takes an array of strings; anything else counts as none.
func (r reader) texts(to *[]string) error {
	_, err := r.array(to)
	return err
}

// array reads an array of strings. It never takes a part of one: with a single element of another type, or for
// any other value, it reports false and leaves nothing.
func (r reader) array(to *[]string) (ok bool, err error) {
	*to = nil
	if r.PeekKind() != '[' {
		return false, r.SkipValue()
	}
	if _, err := r.ReadToken(); err != nil {
		return false, err
	}
	var list []string
	ok = true
	for kind := r.PeekKind(); kind != ']'; kind = r.PeekKind() {
		if kind != '"' {
			ok = false
			if err := r.SkipValue(); err != nil {
				return false, err
			}
			continue
		}
		element, err := r.quoted()
		if err != nil {
			return false, err
		}
		if list == nil {
			list = make([]string, 0, 4) // most lists are short
		}
		list = append(list, element)
	}
	if _, err := r.ReadToken(); err != nil {
		return false, err
	}
	if ok {
		*to = list
	}
	return ok, nil
}

// roles takes an object with an array of strings called roles.
func (r reader) roles(to *[]string) error {
	return r.object(func(name string) error {
		if name == "roles" {
			return r.texts(to)
		}
		return r.SkipValue()
	})
}

// clientRoles takes an object whose members are like realm_access.
func (r reader) clientRoles(to *ClientRoles) error {
	*to = nil
	return r.object(func(client string) error {
		*to = append(*to, ClientRole{Client: client})
		return r.roles(&(*to)[len(*to)-1].Roles)
	})
}

// object calls member for each member of an object, positioned at its value. It skips any other value.
func (r reader) object(member func(name string) error) error {
	if r.PeekKind() != '{' {
		return r.SkipValue()
	}
	if _, err := r.ReadToken(); err != nil {
		return err
	}
	for r.PeekKind() != '}' {
		name, err := r.quoted()
		if err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
	}
	_, err := r.ReadToken()
	return err
}
