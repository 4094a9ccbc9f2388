package token_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/c0mpiler/ginkeycloak/internal/token"
)

const goodHeader = `{"alg":"RS256","kid":"k1","typ":"JWT"}`

// compact puts a token together; nothing is signed.
func compact(header, payload, signature string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(header)) + "." + b64([]byte(payload)) + "." + b64([]byte(signature))
}

// parsers are the ways to parse a token: one that does not know its header, and one that does.
func parsers(t *testing.T) map[string]func(string) (token.JWS, error) {
	t.Helper()
	knowing := new(token.Headers)
	known, err := knowing.Parse(compact(goodHeader, `{}`, "sig"))
	if err != nil {
		t.Fatal(err)
	}
	knowing.Learn(known)
	return map[string]func(string) (token.JWS, error){"unknown header": token.Parse, "known header": knowing.Parse}
}

func TestParse(t *testing.T) {
	for name, parse := range parsers(t) {
		for _, payload := range []string{`{"iss":"me"}`, `{}`, ``} {
			jws, err := parse(compact(goodHeader, payload, "sig"))
			if err != nil {
				t.Errorf("%s: Parse of a token with the payload %q = %v, want none", name, payload, err)
				continue
			}
			if h := jws.Header; h.Algorithm != "RS256" || h.KeyID != "k1" || h.Type != "JWT" {
				t.Errorf("%s: header = %+v, want that of %s", name, h, goodHeader)
			}
			if got := jws.Payload; got != payload {
				t.Errorf("%s: payload = %q, want %q", name, got, payload)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	b64 := base64.RawURLEncoding.EncodeToString
	h, p, s := b64([]byte(goodHeader)), b64([]byte(`{"iss":"me"}`)), b64([]byte("signature"))
	tests := []struct{ name, token string }{
		{"nothing", ""},
		{"one segment", h},
		{"two segments", h + "." + p},
		{"four segments", h + "." + p + "." + s + "." + s},
		{"five segments", strings.Join([]string{h, p, s, s, s}, ".")},
		{"two dots alone", ".."},
		{"no header", "." + p + "." + s},
		{"no signature", h + "." + p + "."},
		{"CR in the payload", h + "." + p[:4] + "\r" + p[4:] + "." + s},
		{"CR in a long payload", h + "." + strings.Repeat("A", 50) + "\r" + strings.Repeat("A", 50) + "." + s},
		{"LF in a long payload", h + "." + strings.Repeat("A", 50) + "\n" + strings.Repeat("A", 50) + "." + s},
		{"LF in the signature", h + "." + p + "." + s[:4] + "\n" + s[4:]},
		{"LF in the header", h[:4] + "\n" + h[4:] + "." + p + "." + s},
		{"LF at the end", h + "." + p + "." + s + "\n"},
		{"LF for a dot", h + "." + p + "\n" + s},
		{"LF for the other dot", h + "\n" + p + "." + s},
		{"LF at the beginning", "\n" + h + "." + p + "." + s},
		{"CR at the beginning", "\r" + h + "." + p + "." + s},
		{"space before", " " + h + "." + p + "." + s},
		{"plus, of the other base64", h + "." + p + ".ab+c"},
		{"slash, of the other base64", h + "." + p + ".ab/c"},
		{"slash in a long payload", h + "." + strings.Repeat("A", 50) + "/" + strings.Repeat("A", 49) + "." + s},
		{"padding", h + "." + p + ".abc="},
		{"not ASCII", h + "." + p + ".abcé"},
		{"header of an impossible length", b64([]byte(`{"alg":"RS256","kid":"k1" }`)) + "A." + p + "." + s},
		{"payload of an impossible length", h + ".AAAAA." + s},
		{"signature of an impossible length", h + "." + p + ".AAAAA"},
		{"bits in the payload that belong to no byte", h + ".AB." + s},
		{"bits in the signature that belong to no byte", h + "." + p + ".AB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, parse := range parsers(t) {
				if _, err := parse(tt.token); !errors.Is(err, token.ErrMalformed) {
					t.Errorf("%s: Parse(%q) = %v, want %v", name, tt.token, err, token.ErrMalformed)
				}
			}
		})
	}
}

func TestParseBoundsTheSize(t *testing.T) {
	const most = 16384
	rest := len(compact(goodHeader, "", "sig"))
	for name, parse := range parsers(t) {
		for length, ok := range map[int]bool{most - 1: true, most: true, most + 1: false, most + 2: false, 10 * most: false} {
			raw := strings.Replace(compact(goodHeader, "", "sig"), "..", "."+strings.Repeat("A", length-rest)+".", 1)
			if (length-rest)%4 == 1 {
				continue // no base64 has this length
			}
			if _, err := parse(raw); (err == nil) != ok {
				t.Errorf("%s: Parse of %d bytes = %v, want it to be let through: %t", name, len(raw), err, ok)
			}
		}
	}
}

func TestHeader(t *testing.T) {
	tests := []struct {
		name, header string
		ok           bool
	}{
		{"all that Keycloak writes", goodHeader, true},
		{"no typ", `{"alg":"RS256","kid":"k1"}`, true},
		{"another content type", `{"alg":"RS256","kid":"k1","cty":"json"}`, true},
		{"keys of the sender's choice, which are ignored", `{"alg":"RS256","kid":"k1","jwk":{"kty":"oct"},"jku":"https://evil.example","x5u":"x","x5c":["x"]}`, true},
		{"unknown members", `{"alg":"RS256","kid":"k1","x":[{"y":null}]}`, true},
		{"spaces", "{ \"alg\" : \"RS256\" ,\n\"kid\":\"k1\" }", true},

		{"crit", `{"alg":"RS256","kid":"k1","crit":["exp"]}`, false},
		{"crit empty", `{"alg":"RS256","kid":"k1","crit":[]}`, false},
		{"crit null", `{"alg":"RS256","kid":"k1","crit":null}`, false},
		{"crit no array", `{"alg":"RS256","kid":"k1","crit":"exp"}`, false},
		{"b64 false", `{"alg":"RS256","kid":"k1","b64":false}`, false},
		{"b64 true", `{"alg":"RS256","kid":"k1","b64":true}`, false},
		{"a token within", `{"alg":"RS256","kid":"k1","cty":"JWT"}`, false},
		{"a token within, in lower case", `{"alg":"RS256","kid":"k1","cty":"jwt"}`, false},
		{"no alg", `{"kid":"k1"}`, false},
		{"alg empty", `{"alg":"","kid":"k1"}`, false},
		{"alg a number", `{"alg":256,"kid":"k1"}`, false},
		{"alg in upper case", `{"ALG":"RS256","kid":"k1"}`, false},
		{"alg twice", `{"alg":"RS256","alg":"none","kid":"k1"}`, false},
		{"no kid", `{"alg":"RS256"}`, false},
		{"kid a number", `{"alg":"RS256","kid":1}`, false},
		{"kid with a space", `{"alg":"RS256","kid":"k 1"}`, false},
		{"typ an array", `{"alg":"RS256","kid":"k1","typ":["JWT"]}`, false},
		{"not UTF-8", "{\"alg\":\"RS256\",\"kid\":\"k1\",\"x\":\"\xff\"}", false},
		{"a space before", " " + goodHeader, false},
		{"something behind", goodHeader + `{}`, false},
		{"an array", `[` + goodHeader + `]`, false},
		{"null", `null`, false},
		{"a string", `"` + strings.Repeat("a", 20) + `"`, false},
		{"not closed", `{"alg":"RS256","kid":"k1"`, false},
		{"not JSON", `alg=RS256`, false},
		{"nested too deep", `{"alg":"RS256","kid":"k1","x":` + nested(33) + `}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := token.Parse(compact(tt.header, `{}`, "sig"))
			switch {
			case tt.ok && err != nil:
				t.Errorf("Parse with the header %s = %v, want none", tt.header, err)
			case !tt.ok && !errors.Is(err, token.ErrMalformed):
				t.Errorf("Parse with the header %s = %v, want %v", tt.header, err, token.ErrMalformed)
			}
		})
	}
}

func TestPlausibleKeyID(t *testing.T) {
	for kid, want := range map[string]bool{
		"k": true,
		"aBAQ2cTg2yFZv3ZlVCgxa6Xvxdpg-4l7S0GAJ0k0UQE": true,
		"!#$%&()*+,-./:;<=>?@[]^_`{|}~":               true,
		"a.b.c":                                       true,
		strings.Repeat("k", 256):                      true,

		"":                       false,
		strings.Repeat("k", 257): false,
		" ":                      false,
		"a b":                    false,
		"a\tb":                   false,
		"a\r\nb":                 false,
		"a\x00b":                 false,
		"a\x1fb":                 false,
		"a\x7fb":                 false,
		"a\x80b":                 false,
		"é":                      false,
		`a"b`:                    false,
		`a'b`:                    false,
		`a\b`:                    false,
		"../../dev/null":         false,
		"..":                     false,
	} {
		if got := token.PlausibleKeyID(kid); got != want {
			t.Errorf("PlausibleKeyID(%q) = %t, want %t", kid, got, want)
		}
	}
}

// nested is an array that goes n levels deep.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestDepthIsBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		claims string
		ok     bool
	}{
		"32 levels":                        {`{"x":` + nested(31) + `}`, true},
		"32 levels, and more brackets":     {`{"x":` + nested(31) + `,"y":[[]]}`, true},
		"33 levels":                        {`{"x":` + nested(32) + `}`, false},
		"33 levels of objects":             {strings.Repeat(`{"x":`, 33) + "1" + strings.Repeat("}", 33), false},
		"32 levels of objects":             {strings.Repeat(`{"x":`, 32) + "1" + strings.Repeat("}", 32), true},
		"many siblings":                    {`{"x":[` + strings.Repeat("[],{},", 100) + `[]]}`, true},
		"brackets in a string":             {`{"x":"` + strings.Repeat("[{", 50) + `"}`, true},
		"brackets behind an escaped quote": {`{"x":"\"` + strings.Repeat("[", 50) + `"}`, true},
		"an escaped backslash at the end":  {`{"x":"\\","y":` + nested(32) + `}`, false},
		"closing brackets in a string":     {`{"x":"` + strings.Repeat("]}", 20) + `","y":` + nested(32) + `}`, false},
		"a backslash outside of a string":  {`{"x":\` + nested(1) + `}`, false},
	} {
		if _, err := token.DecodeClaims(tt.claims); (err == nil) != tt.ok {
			t.Errorf("%s: DecodeClaims = %v, want it to be let through: %t", name, err, tt.ok)
		} else if err != nil && !errors.Is(err, token.ErrMalformed) {
			t.Errorf("%s: DecodeClaims = %v, want %v", name, err, token.ErrMalformed)
		}
	}
}

func TestWrongHeaderIsNamed(t *testing.T) {
	_, err := token.Parse(compact(`{"alg":256,"kid":"k1"}`, `{}`, "sig"))
	if want := "malformed token: header: alg has the wrong type"; err == nil || err.Error() != want {
		t.Errorf("Parse = %v, want %s", err, want)
	}
}

// Whatever is wrong with a token, the error does not repeat it.
func TestErrorsDoNotShowTheToken(t *testing.T) {
	const mark = "MARKED"
	quoted := `"` + mark + `"`
	for _, header := range []string{
		goodHeader, quoted, `{` + quoted + `:1,` + quoted + `:2}`, `{"alg":["` + mark + `"]}`, `{"alg":"` + mark + `","kid":"a b"}`, mark,
		`{"alg":"RS256","kid":"` + mark + ` "}`, `{"alg":"RS256","kid":"k1","crit":[` + quoted + `]}`,
	} {
		for _, payload := range []string{
			quoted, `{` + quoted + `:1,` + quoted + `:2}`, `{"exp":` + quoted + `}`, `{"aud":{` + quoted + `:1}}`, mark, `{"iss":[` + quoted + `]}`,
			`{"x":{` + quoted + `:` + mark + `}}`,
		} {
			jws, err := token.Parse(compact(header, payload, mark))
			if err == nil {
				_, err = jws.Claims()
			}
			if err == nil {
				t.Errorf("a token of %s and %s was let through", header, payload)
			} else if strings.Contains(err.Error(), mark) {
				t.Errorf("the error for a token of %s and %s shows it: %v", header, payload, err)
			}
		}
	}
}
