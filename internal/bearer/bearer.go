// Package bearer reads and writes the two header fields of RFC 6750: a bearer token in Authorization, the
// challenge in WWW-Authenticate.
package bearer

import (
	"errors"
	"strings"
)

var (
	// ErrNone means that the request carries no bearer token: no credentials at all, or of another scheme.
	ErrNone = errors.New("no bearer token")
	// ErrInvalid means that it carries something that is meant as one and cannot be.
	ErrInvalid = errors.New("not exactly one well-formed bearer token")
)

// Token returns the token of an Authorization field, given all values of that field. There must be exactly
// one (RFC 9110 §11.6.2), of scheme Bearer in any case, and one space. Being lax here has been a vulnerability
// more than once (CVE-2026-0707), so nothing is trimmed or skipped. Whether the rest is well-formed is left to
// WellFormed, which a token that is recognised does not need.
func Token(fields []string) (string, error) {
	switch len(fields) {
	case 0:
		return "", ErrNone
	case 1:
	default:
		return "", ErrInvalid
	}
	const scheme = "bearer"
	field := fields[0]
	if len(field) < len(scheme) || !strings.EqualFold(field[:len(scheme)], scheme) {
		return "", ErrNone
	}
	rest := field[len(scheme):]
	switch {
	case len(rest) > 1 && rest[0] == ' ':
		return rest[1:], nil
	case rest != "" && strings.IndexByte(tokenChars, rest[0]) >= 0:
		return "", ErrNone // another scheme that begins alike
	}
	return "", ErrInvalid
}

const (
	alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	b64Chars     = alphanumeric + "-._~+/"          // RFC 6750 §2.1
	tokenChars   = alphanumeric + "!#$%&'*+-.^_`|~" // of a scheme's name, RFC 9110 §5.6.2
)

// isB64Char says which bytes may stand in a b64token.
var isB64Char = func() (is [256]bool) {
	for _, c := range []byte(b64Chars) {
		is[c] = true
	}
	return is
}()

// WellFormed reports whether s is a b64token: 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=".
func WellFormed(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		if !isB64Char[s[i]] {
			return false
		}
	}
	return s != ""
}

// Challenge is a WWW-Authenticate field of scheme Bearer (RFC 6750 §3).
type Challenge struct {
	Realm       string
	Error       string // invalid_request, invalid_token or insufficient_scope; "" where no credentials were sent
	Description string
	Scope       string // space-separated, what would be needed
}

// String is the value of the field.
func (c Challenge) String() string {
	var b strings.Builder
	b.WriteString("Bearer realm=")
	quote(&b, c.Realm)
	for _, param := range [...]struct{ name, value string }{
		{"error", c.Error}, {"error_description", c.Description}, {"scope", c.Scope},
	} {
		if param.value != "" {
			b.WriteString(", " + param.name + "=")
			quote(&b, param.value)
		}
	}
	return b.String()
}

// quote writes s as a quoted-string (RFC 9110 §5.6.4). What may not stand in a header is written as a question
// mark, so that no value can break out of its field.
func quote(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			b.WriteByte('?')
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}
