package bearer_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"regexp"
	"strings"
	"testing"

	"github.com/c0mpiler/ginkeycloak/internal/bearer"
)

// The grammar, written down a second time: RFC 9110 §11.4, RFC 6750 §2.1.
var (
	credentials = regexp.MustCompile(`^(?i:bearer) ([A-Za-z0-9\-._~+/]+=*)$`)
	scheme      = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]*")
)

// FuzzToken holds Token and WellFormed together to the grammar of credentials: what it has, and nothing else, is a
// bearer token; what is of another scheme is none; all the rest is invalid.
func FuzzToken(f *testing.F) {
	for _, field := range []string{
		"", "Bearer", "Bearer ", "Bearer a", "bearer a", "BEARER a.b.c==", "Bearer  a", "Bearer\ta", "Bearer a b", " Bearer a", "Bearer a ",
		"Bearer a, Bearer b", "Bearer a=b", "Bearer =", "Bearer \"a\"", "Bearertoken", "Bearer-2 a", "Bearer,a", "Basic a", "DPoP a", "Bear\u212aer a",
		"Bearer a\r\n b", "Bearer a\x00", "Bearer \xff", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "Bearer:a", "bearer\u00a0a",
	} {
		f.Add(field, "", false)
		f.Add(field, "Bearer b", true)
	}
	f.Fuzz(func(t *testing.T, field, second string, two bool) {
		if two {
			if got, err := bearer.Token([]string{field, second}); got != "" || !errors.Is(err, bearer.ErrInvalid) {
				t.Errorf("Token of two fields %q, %q = %q, %v, want ErrInvalid", field, second, got, err)
			}
			return
		}
		got, err := bearer.Token([]string{field})
		parts := credentials.FindStringSubmatch(field)
		switch isBearer := strings.EqualFold(scheme.FindString(field), "bearer"); {
		case err == nil && bearer.WellFormed(got):
			if len(parts) != 2 || parts[1] != got {
				t.Errorf("Token(%q) = %q and well-formed, want %q", field, got, parts)
			}
		case parts != nil:
			t.Errorf("Token(%q) = %q, %v, want %q", field, got, err, parts[1])
		case err == nil && !strings.HasSuffix(field, " "+got):
			t.Errorf("Token(%q) = %q, which is not what follows the scheme", field, got)
		case err != nil && got != "":
			t.Errorf("Token(%q) = %q beside the error %v", field, got, err)
		case err != nil && isBearer != errors.Is(err, bearer.ErrInvalid):
			t.Errorf("Token(%q): %v, its scheme is Bearer: %t", field, err, isBearer)
		case err == nil && !isBearer:
			t.Errorf("Token(%q) = %q of another scheme", field, got)
		}
	})
}

// FuzzChallenge reads challenges as a client does. Every value comes back as it went in, but for bytes that may not
// stand in a field, and none gets out of its field or its parameter.
func FuzzChallenge(f *testing.F) {
	for _, value := range []string{
		"", "demo", `a"b`, `a\b`, `\`, `"`, `", error="invalid_token`, "a\r\nSet-Cookie: a=b", "a\nb", "a\x00b", "a\tb", "a\x7fb", "Ärger", "\xff\xfe", "a, Basic realm=b",
	} {
		f.Add(value, "invalid_token", value, value)
		f.Add("demo", value, "", value)
	}
	f.Fuzz(func(t *testing.T, realm, code, description, scope string) {
		c := bearer.Challenge{Realm: realm, Error: code, Description: description, Scope: scope}
		field := overTheWire(t, c.String())
		got, err := readChallenge(field)
		if err != nil {
			t.Fatalf("%#v = %q: %v", c, field, err)
		}
		want := map[string]string{"realm": visible(realm)}
		for name, value := range map[string]string{"error": code, "error_description": description, "scope": scope} {
			if value != "" {
				want[name] = visible(value)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%#v = %q, read as %q, want %q", c, field, got, want)
		}
	})
}

// overTheWire writes a header with the field and reads it again.
func overTheWire(t *testing.T, value string) string {
	t.Helper()
	var wire bytes.Buffer
	if err := (http.Header{"Www-Authenticate": {value}}).Write(&wire); err != nil {
		t.Fatal(err)
	}
	wire.WriteString("\r\n")
	header, err := textproto.NewReader(bufio.NewReader(&wire)).ReadMIMEHeader()
	if err != nil || len(header) != 1 || len(header["Www-Authenticate"]) != 1 || header.Get("WWW-Authenticate") != value {
		t.Fatalf("the field %q arrives as %q, %v", value, header, err)
	}
	return value
}

// visible is what of a value may stand in a field.
func visible(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '?'
		}
	}
	return string(b)
}

// readChallenge reads a field with one challenge of scheme Bearer strictly by RFC 9110 §11.6.1: auth-scheme 1*SP
// auth-param *( OWS "," OWS auth-param ), each auth-param a token, "=" and here always a quoted-string.
func readChallenge(field string) (map[string]string, error) {
	rest, ok := strings.CutPrefix(field, "Bearer ")
	if !ok {
		return nil, errors.New("not of scheme Bearer")
	}
	params := make(map[string]string)
	for {
		name := scheme.FindString(rest) // a token, as schemes are
		if rest, ok = strings.CutPrefix(rest[len(name):], `="`); !ok || name == "" {
			return nil, fmt.Errorf("no quoted parameter at %q", rest)
		}
		value, after, err := readQuoted(rest)
		if err != nil {
			return nil, err
		}
		if _, twice := params[name]; twice {
			return nil, fmt.Errorf("%s twice", name)
		}
		params[name] = value
		if after == "" {
			return params, nil
		}
		if rest, ok = strings.CutPrefix(after, ", "); !ok {
			return nil, fmt.Errorf("no comma at %q", after)
		}
	}
}

// readQuoted reads the rest of a quoted-string (RFC 9110 §5.6.4), of which obs-text is left out.
func readQuoted(s string) (value, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], nil
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c < 0x20 || c > 0x7e:
			return "", "", fmt.Errorf("byte %#x in a quoted-string", c)
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errors.New("a quoted-string without an end")
}
