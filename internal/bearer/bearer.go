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
// one (RFC 9110 §11.6.2), of scheme Bearer in any case, one space, and b64token characters (RFC 6750 §2.1).
// Being lax here has been a vulnerability more than once (CVE-2026-0707), so nothing is trimmed or skipped.
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
	case rest == "":
		return "", ErrInvalid
	case isTokenChar(rest[0]):
		return "", ErrNone // another scheme that begins alike
	case rest[0] != ' ' || !isB64Token(rest[1:]):
		return "", ErrInvalid
	}
	return rest[1:], nil
}

// isB64Token reports whether s is a b64token: 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=".
func isB64Token(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && !strings.ContainsRune("-._~+/", rune(c)) {
			return false
		}
	}
	return s != ""
}

// isTokenChar reports whether c may be part of a scheme's name (RFC 9110 §5.6.2).
func isTokenChar(c byte) bool {
	return isAlphanumeric(c) || strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c))
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
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
