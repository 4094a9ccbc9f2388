package ginkeycloak_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// Encoding: RFC 7515 §2 and §5.2, RFC 4648 §5. Many ways to write a token are many ways around a check.
func TestEncoding(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	token := a.keycloak.Token()
	parts := strings.Split(token, ".")
	each := func(change func(string) string) []string {
		var changed []string
		for i := range parts {
			p := append([]string(nil), parts...)
			p[i] = change(p[i])
			changed = append(changed, strings.Join(p, "."))
		}
		return changed
	}
	insert := func(s string) func(string) string {
		return func(part string) string { return part[:4] + s + part[4:] }
	}
	tests := map[string][]string{
		"padding":              each(func(s string) string { return s + strings.Repeat("=", (4-len(s)%4)%4+1) }),
		"standard alphabet +":  each(insert("+")),
		"standard alphabet /":  each(insert("/")),
		"space":                each(insert(" ")),
		"question mark":        each(insert("?")),
		"NUL":                  each(insert("\x00")),
		"CR":                   each(insert("\r")),
		"LF":                   each(insert("\n")),
		"CR LF":                each(insert("\r\n")),
		"leading LF":           {"\n" + token},
		"trailing LF":          {token + "\n"},
		"length 1 modulo 4":    each(func(s string) string { return s[:len(s)-len(s)%4] + "A" }),
		"a thousand dots":      {strings.Repeat(".", 1000)},
		"unused trailing bits": trailingBits(parts),
	}
	for name, variants := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, variant := range variants {
				// Past the header's own rules, so that the token's are tested.
				_, err := a.kc.Authenticate(t.Context(), variant)
				if !errors.Is(err, ginkeycloak.ErrMalformedToken) {
					t.Errorf("%s, variant %d: %v, want malformed_token", name, i, err)
				}
			}
		})
	}
}

// trailingBits flips, in each part that has some, a bit that belongs to no byte. Lax decoders ignore it.
func trailingBits(parts []string) []string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	var changed []string
	for i, part := range parts {
		if len(part)%4 == 0 {
			continue
		}
		p := append([]string(nil), parts...)
		last := strings.IndexByte(alphabet, part[len(part)-1])
		p[i] = part[:len(part)-1] + alphabet[last^1:last^1+1]
		changed = append(changed, strings.Join(p, "."))
	}
	return changed
}

// JSON that decoders read in different ways: RFC 8259 §4, RFC 8725 §3.1.
func TestAmbiguousJSON(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	srv := a.keycloak
	payload := func(change func(string) string) keycloaktest.TokenOption {
		good, err := base64.RawURLEncoding.DecodeString(strings.Split(srv.Token(), ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		return keycloaktest.RawPayload(change(string(good)))
	}
	header := func(change func(string) string) keycloaktest.TokenOption {
		good, err := base64.RawURLEncoding.DecodeString(strings.Split(srv.Token(), ".")[0])
		if err != nil {
			t.Fatal(err)
		}
		return keycloaktest.RawHeader(change(string(good)))
	}
	add := func(member string) func(string) string {
		return func(object string) string { return "{" + member + "," + object[1:] }
	}
	behind := func(text string) func(string) string {
		return func(object string) string { return object + text }
	}
	instead := func(text string) func(string) string { return func(string) string { return text } }
	const malformed = ginkeycloak.CodeMalformedToken

	tests := []struct {
		name   string
		option keycloaktest.TokenOption
		code   ginkeycloak.Code
	}{
		{"header: alg twice", header(add(`"alg":"none"`)), malformed},
		{"header: unknown member twice", header(add(`"x":1,"x":2`)), malformed},
		{"header: name in other case is unknown", header(add(`"ALG":"none"`)), ""},
		{"header: invalid UTF-8", header(add("\"x\":\"\xff\"")), malformed},
		{"header: something behind it", header(behind(`{}`)), malformed},
		{"header: null", header(instead(`null`)), malformed},
		{"header: array", header(instead(`[]`)), malformed},
		{"header: leading space", header(func(s string) string { return " " + s }), malformed},
		{"header: nested deeply", header(add(`"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40))), malformed},
		{"claims: iss twice", payload(add(`"iss":"https://evil.example"`)), malformed},
		{"claims: exp twice", payload(add(`"exp":1`)), malformed},
		{"claims: exp twice by an escape", payload(add(`"\u0065xp":1`)), malformed},
		{"claims: EXP is not exp", payload(add(`"EXP":1`)), ""},
		{"claims: ISS is not iss", payload(add(`"ISS":"https://evil.example"`)), ""},
		{"claims: exp only in other case", payload(func(s string) string { return strings.Replace(s, `"exp"`, `"Exp"`, 1) }), ginkeycloak.CodeMissingClaim},
		{"claims: aud only in other case", payload(func(s string) string { return strings.Replace(s, `"aud"`, `"AUD"`, 1) }), ginkeycloak.CodeMissingClaim},
		{"claims: nested member twice", payload(add(`"x":{"a":1,"a":2}`)), malformed},
		{"claims: invalid UTF-8", payload(add("\"x\":\"\xff\"")), malformed},
		{"claims: invalid UTF-8 in a name", payload(add("\"\xff\":1,\"\xfe\":2")), malformed},
		{"claims: lone surrogate", payload(add(`"x":"\ud800"`)), malformed},
		{"claims: object behind the object", payload(behind(`{"exp":9999999999}`)), malformed},
		{"claims: text behind the object", payload(behind(`x`)), malformed},
		{"claims: comma at the end", payload(func(s string) string { return s[:len(s)-1] + ",}" }), malformed},
		{"claims: null", payload(instead(`null`)), malformed},
		{"claims: array", payload(instead(`[]`)), malformed},
		{"claims: string", payload(instead(`"x"`)), malformed},
		{"claims: number", payload(instead(`1`)), malformed},
		{"claims: true", payload(instead(`true`)), malformed},
		{"claims: empty", payload(instead(``)), malformed},
		{"claims: NaN", payload(add(`"x":NaN`)), malformed},
		{"claims: nested 30 deep", payload(add(`"x":` + strings.Repeat("[", 30) + strings.Repeat("]", 30))), ""},
		{"claims: nested 40 deep", payload(add(`"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40))), malformed},
		{"claims: objects nested 40 deep", payload(add(strings.Repeat(`"x":{`, 40) + strings.Repeat("}", 40))), malformed},
		{"claims: brackets in a string are no nesting", payload(add(`"x":"` + strings.Repeat("[{", 100) + `\"[["`)), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checkToken(t, a, tt.name, srv.Token(tt.option), tt.code)
		})
	}
}
