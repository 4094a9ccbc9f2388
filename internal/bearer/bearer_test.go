package bearer_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/c0mpiler/ginkeycloak/internal/bearer"
)

func TestToken(t *testing.T) {
	tests := []struct {
		name   string
		fields []string
		want   string
		err    error
	}{
		{"a token", []string{"Bearer abc"}, "abc", nil},
		{"of one character", []string{"Bearer a"}, "a", nil},
		{"scheme in lower case", []string{"bearer abc"}, "abc", nil},
		{"scheme in upper case", []string{"BEARER abc"}, "abc", nil},
		{"scheme in mixed case", []string{"bEaReR abc"}, "abc", nil},

		{"no field", nil, "", bearer.ErrNone},
		{"empty field", []string{""}, "", bearer.ErrNone},
		{"shorter than the scheme", []string{"Beare"}, "", bearer.ErrNone},
		{"another scheme", []string{"Basic eDp5"}, "", bearer.ErrNone},
		{"another scheme of the same length", []string{"Digest abc"}, "", bearer.ErrNone},
		{"DPoP", []string{"DPoP abc"}, "", bearer.ErrNone},
		{"scheme that begins alike", []string{"Bearerx abc"}, "", bearer.ErrNone},
		{"scheme that begins alike, with a sign", []string{"Bearer-x abc"}, "", bearer.ErrNone},
		{"scheme run into the token", []string{"Bearerabc"}, "", bearer.ErrNone},
		{"scheme of an A more", []string{"Bearera"}, "", bearer.ErrNone},
		{"a space before", []string{" Bearer abc"}, "", bearer.ErrNone},

		{"scheme alone", []string{"Bearer"}, "", bearer.ErrInvalid},
		{"scheme and a space", []string{"Bearer "}, "", bearer.ErrInvalid},
		{"tab for a space", []string{"Bearer\tabc"}, "", bearer.ErrInvalid},
		{"comma for a space", []string{"Bearer,abc"}, "", bearer.ErrInvalid},
		{"equals sign for a space", []string{"Bearer=abc"}, "", bearer.ErrInvalid},
		{"two fields", []string{"Bearer abc", "Bearer abc"}, "", bearer.ErrInvalid},
		{"two fields, one empty", []string{"Bearer abc", ""}, "", bearer.ErrInvalid},
		{"two fields of other schemes", []string{"Basic eDp5", "Digest x"}, "", bearer.ErrInvalid},
		{"three fields", []string{"Bearer abc", "Bearer abc", "Bearer abc"}, "", bearer.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := bearer.Token(tt.fields); got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Token(%q) = %q, %v, want %q, %v", tt.fields, got, err, tt.want, tt.err)
			}
		})
	}
}

// Nothing is trimmed: what follows the one space is the token, well-formed or not.
func TestTokenIsTakenAsItIs(t *testing.T) {
	for _, rest := range []string{" abc", "abc ", "abc def", "abc, Bearer def", "\tabc", "abc\x00", "ab\"c", "é"} {
		got, err := bearer.Token([]string{"Bearer " + rest})
		if err != nil || got != rest {
			t.Errorf("Token of Bearer, a space and %q = %q, %v, want all of it", rest, got, err)
		}
		if bearer.WellFormed(got) {
			t.Errorf("WellFormed(%q) = true, want false", got)
		}
	}
}

func TestWellFormed(t *testing.T) {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/"
	for c := range 256 {
		s := "a" + string([]byte{byte(c)}) + "b"
		want := strings.IndexByte(alphabet, byte(c)) >= 0
		if got := bearer.WellFormed(s); got != want {
			t.Errorf("WellFormed(%q) = %t, want %t", s, got, want)
		}
	}
	for s, want := range map[string]bool{
		alphabet: true, "a": true, "a=": true, "a==": true, "a.b.c": true,
		"": false, "=": false, "==": false, "=a": false, "a=b": false, " a": false, "a ": false, "a= ": false, "a\n": false,
	} {
		if got := bearer.WellFormed(s); got != want {
			t.Errorf("WellFormed(%q) = %t, want %t", s, got, want)
		}
	}
}

func TestChallenge(t *testing.T) {
	tests := []struct {
		name      string
		challenge bearer.Challenge
		want      string
	}{
		{"no credentials", bearer.Challenge{Realm: "shop"}, `Bearer realm="shop"`},
		{"no realm", bearer.Challenge{}, `Bearer realm=""`},
		{"error", bearer.Challenge{Realm: "shop", Error: "invalid_token"}, `Bearer realm="shop", error="invalid_token"`},
		{"everything", bearer.Challenge{Realm: "shop", Error: "insufficient_scope", Description: "The token grants too little.", Scope: "read write"},
			`Bearer realm="shop", error="insufficient_scope", error_description="The token grants too little.", scope="read write"`},
		{"quotes and backslashes", bearer.Challenge{Realm: `a"b\c`}, `Bearer realm="a\"b\\c"`},
		{"a way out of the quotes", bearer.Challenge{Realm: `x", error="none`}, `Bearer realm="x\", error=\"none"`},
		{"line breaks", bearer.Challenge{Realm: "a\r\nSet-Cookie: b"}, `Bearer realm="a??Set-Cookie: b"`},
		{"the edges of ASCII", bearer.Challenge{Realm: "\x00\x1f !~\x7f\x80"}, `Bearer realm="?? !~??"`},
		{"not ASCII", bearer.Challenge{Realm: "é"}, `Bearer realm="??"`},
		{"description and scope are quoted, too", bearer.Challenge{Realm: "r", Error: `"`, Description: "\n", Scope: `\`},
			`Bearer realm="r", error="\"", error_description="?", scope="\\"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.challenge.String(); got != tt.want {
				t.Errorf("String = %s, want %s", got, tt.want)
			}
		})
	}
}
