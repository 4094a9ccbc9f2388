package token_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// decoders are the ways that claims come: as a token's payload, and as the answer of an introspection.
var decoders = map[string]func(source string) (token.Claims, error){
	"payload": func(source string) (token.Claims, error) {
		jws, err := token.Parse(compact(goodHeader, source, "sig"))
		if err != nil {
			return token.Claims{}, err
		}
		return jws.Claims()
	},
	"answer": token.DecodeClaims,
}

func TestClaims(t *testing.T) {
	const source = `{"exp":1900000300,"nbf":1900000000,"iat":1900000001,"jti":"id","iss":"https://sso.example","sub":"s",
		"aud":["a","b"],"typ":"Bearer","token_type":"bearer","azp":"web","sid":"session","scope":"openid email",
		"realm_access":{"roles":["admin"],"x":[1]},
		"resource_access":{"api":{"roles":["r1","r2"],"x":{}},"web":{"roles":[]}},
		"groups":["/eng"],"username":"u","preferred_username":"p","email":"e@example.com","email_verified":true,
		"name":"N","given_name":"G","family_name":"F","nonce":"skipped","address":{"skipped":[true]}}`
	for name, decode := range decoders {
		c, err := decode(source)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, date := range []struct {
			name string
			got  token.NumericDate
			want int64
		}{{"exp", c.ExpiresAt, 1900000300}, {"nbf", c.NotBefore, 1900000000}, {"iat", c.IssuedAt, 1900000001}} {
			if !date.got.Present() || !date.got.Time().Equal(time.Unix(date.want, 0)) {
				t.Errorf("%s: %s = %v, want %d", name, date.name, date.got.Time(), date.want)
			}
		}
		want := token.Claims{
			ExpiresAt: c.ExpiresAt, NotBefore: c.NotBefore, IssuedAt: c.IssuedAt,
			Issuer: "https://sso.example", Subject: "s", Audience: []string{"a", "b"}, ID: "id", Type: "Bearer", TokenType: "bearer",
			AuthorizedParty: "web", SessionID: "session", Scopes: []string{"openid", "email"}, RealmRoles: []string{"admin"},
			ClientRoles: token.ClientRoles{{Client: "api", Roles: []string{"r1", "r2"}}, {Client: "web"}},
			Groups:      []string{"/eng"}, Username: "u", PreferredUsername: "p", Email: "e@example.com", EmailVerified: true,
			Name: "N", GivenName: "G", FamilyName: "F", Source: source,
		}
		if !reflect.DeepEqual(c, want) {
			t.Errorf("%s: claims = %+v, want %+v", name, c, want)
		}
	}
}

// Claims that decide about access are of their type, or the token is invalid.
func TestStrictClaims(t *testing.T) {
	texts := []string{"iss", "sub", "jti", "typ", "azp", "sid", "scope"}
	dates := []string{"exp", "nbf", "iat"}
	var tests []string
	for _, name := range texts {
		for _, value := range []string{"1", "true", "false", `["a"]`, "[]", `{"a":1}`} {
			tests = append(tests, fmt.Sprintf(`{%q:%s}`, name, value))
		}
	}
	for _, name := range dates {
		for _, value := range []string{
			`"1900000000"`, "null", "true", "[1]", "{}", "-1", "-0.5", "253402300800", "1e18", "1e19", "-1e19", "1e400", "-1e400",
		} {
			tests = append(tests, fmt.Sprintf(`{%q:%s}`, name, value))
		}
	}
	for _, value := range []string{"null", "1", "true", "{}", `{"a":"b"}`, "[1]", `["a",1]`, `[1,"a"]`, `["a",null]`, `[["a"]]`, `["a",{"b":["c"]}]`} {
		tests = append(tests, fmt.Sprintf(`{"aud":%s}`, value))
	}
	for _, source := range tests {
		for name, decode := range decoders {
			if _, err := decode(source); !errors.Is(err, token.ErrClaims) {
				t.Errorf("%s: %s = %v, want %v", name, source, err, token.ErrClaims)
			}
		}
	}
}

func TestWrongClaimIsNamed(t *testing.T) {
	_, err := token.DecodeClaims(`{"iss":"me","aud":[1]}`)
	if want := "wrong claims: aud has the wrong type"; err == nil || err.Error() != want {
		t.Errorf("DecodeClaims = %v, want %s", err, want)
	}
}

func TestAudience(t *testing.T) {
	for source, want := range map[string][]string{
		`{"aud":"a"}`:                   {"a"},
		`{"aud":""}`:                    {""},
		`{"aud":["a"]}`:                 {"a"},
		`{"aud":["a","b","c","d","e"]}`: {"a", "b", "c", "d", "e"},
		`{"aud":["\u0061pi"]}`:          {"api"},
		`{"aud":"\u0061pi"}`:            {"api"},
		`{"aud":[]}`:                    nil,
		`{}`:                            nil,
	} {
		c, err := token.DecodeClaims(source)
		if err != nil || !slices.Equal(c.Audience, want) {
			t.Errorf("aud of %s = %q, %v, want %q", source, c.Audience, err, want)
		}
	}
}

func TestDates(t *testing.T) {
	for value, want := range map[string]int64{
		"0": 0, "-0": 0, "1": 1, "1.9": 1, "19e8": 1900000000, "253402300799": 253402300799,
	} {
		c, err := token.DecodeClaims(`{"exp":` + value + `}`)
		if err != nil {
			t.Errorf("exp %s = %v, want none", value, err)
			continue
		}
		if !c.ExpiresAt.Present() || c.ExpiresAt.Time().Unix() != want {
			t.Errorf("exp %s = %d, present %t, want %d", value, c.ExpiresAt.Time().Unix(), c.ExpiresAt.Present(), want)
		}
		if c.NotBefore.Present() || !c.NotBefore.Time().IsZero() {
			t.Errorf("nbf that is absent = %v, present %t, want neither", c.NotBefore.Time(), c.NotBefore.Present())
		}
	}
}

// A token that is bound to a key says so, whatever it is bound to.
func TestBound(t *testing.T) {
	for source, want := range map[string]bool{
		`{}`: false, `{"cnf":{"jkt":"x"}}`: true, `{"cnf":{}}`: true, `{"cnf":null}`: true, `{"x":{"cnf":{}}}`: false,
	} {
		c, err := token.DecodeClaims(source)
		if err != nil || c.Bound != want {
			t.Errorf("%s: bound %t, %v, want %t", source, c.Bound, err, want)
		}
	}
}

// Null is as good as absent where absence is not good enough for anything.
func TestNullTexts(t *testing.T) {
	c, err := token.DecodeClaims(`{"iss":null,"sub":null,"typ":null,"azp":null,"scope":null,"name":null}`)
	if err != nil || c.Issuer != "" || c.Subject != "" || c.Type != "" || c.AuthorizedParty != "" || c.Scopes != nil || c.Name != "" {
		t.Errorf("claims of nulls = %+v, %v, want empty ones", c, err)
	}
}

// Claims that describe or grant are absent if they are not of their type: they grant nothing, and spoil nothing.
func TestLenientClaims(t *testing.T) {
	empty := token.Claims{Subject: "s"}
	tests := []string{
		`"token_type":1`, `"username":[]`, `"preferred_username":{}`, `"email":true`, `"name":1`, `"given_name":null`, `"family_name":["x"]`,
		`"email_verified":false`, `"email_verified":"true"`, `"email_verified":1`, `"email_verified":null`, `"email_verified":[true]`,
		`"groups":null`, `"groups":"/eng"`, `"groups":{"a":"/eng"}`, `"groups":["/eng",1]`, `"groups":[["/eng"]]`, `"groups":[{"a":1},"/eng"]`, `"groups":[]`,
		`"realm_access":null`, `"realm_access":"admin"`, `"realm_access":["admin"]`, `"realm_access":{}`, `"realm_access":{"ROLES":["admin"]}`,
		`"realm_access":{"roles":"admin"}`, `"realm_access":{"roles":{"admin":true}}`, `"realm_access":{"roles":["admin",1]}`,
		`"resource_access":null`, `"resource_access":[]`, `"resource_access":{}`, `"resource_access":"x"`,
	}
	for _, member := range tests {
		source := `{` + member + `,"sub":"s"}`
		c, err := token.DecodeClaims(source)
		if err != nil {
			t.Errorf("%s = %v, want none", source, err)
			continue
		}
		want := empty
		want.Source = source
		if !reflect.DeepEqual(c, want) {
			t.Errorf("%s = %+v, want only a subject", source, c)
		}
	}
}

// One malformed client does not take the others with it.
func TestClientRoles(t *testing.T) {
	c, err := token.DecodeClaims(`{"resource_access":{"a":1,"b":{"roles":["r"]},"c":{"roles":"r"},"d":{"roles":["r",1]},"e":null,"f":{"roles":["s","t"]}}}`)
	if err != nil {
		t.Fatal(err)
	}
	for client, want := range map[string][]string{"a": nil, "b": {"r"}, "c": nil, "d": nil, "e": nil, "f": {"s", "t"}, "g": nil} {
		if got := c.ClientRoles.Of(client); !slices.Equal(got, want) {
			t.Errorf("roles of %s = %q, want %q", client, got, want)
		}
	}
}

func TestEscapedTexts(t *testing.T) {
	const source = `{"sub":"\u0073\n\"x\"","n\u0061me":"\ud83d\ude00","groups":["/\u00e9","/é"],"resource_access":{"\u0061":{"roles":["r"]}}}`
	for name, decode := range decoders {
		c, err := decode(source)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.Subject != "s\n\"x\"" || c.Name != "😀" || !slices.Equal(c.Groups, []string{"/é", "/é"}) || !slices.Equal(c.ClientRoles.Of("a"), []string{"r"}) {
			t.Errorf("%s: %+v, want the escapes resolved", name, c)
		}
	}
}

func TestMalformedClaims(t *testing.T) {
	for _, source := range []string{
		``, ` {}`, `{`, `{}{}`, `{} x`, `null`, `[]`, `"x"`, `1`, `x`, `{"a":}`, `{"a"}`, `{a:1}`, `{"a":1,}`, `{'a':1}`,
		`{"exp":1,"exp":2}`, `{"x":1,"x":2}`, `{"x":{"y":1,"y":2}}`, `{"realm_access":{"roles":[],"roles":["admin"]}}`,
		`{"exp":1,"\u0065xp":2}`, "{\"sub\":\"\xff\"}", "{\"x\":\"\xc0\xaf\"}", `{"sub":"\ud800"}`, "{\"sub\":\"a\nb\"}", "\ufeff{}",
		`{"sub":tru}`, `{"sub":[tru]}`, `{"iss":x}`, `{"exp":1x}`, `{"exp":x}`, `{"aud":x}`, `{"aud":["a"`, `{"aud":["a",x]}`, `{"aud":["a" "b"]}`, `{"aud":[x]}`,
		`{"aud":"a`, `{"aud":["a`, `{"aud":[1 2]}`, `{"cnf":x}`, `{"email_verified":x}`, `{"name":x}`, `{"name":"`, `{"groups":[1,x]}`, `{"groups":["a"}`,
		`{"realm_access":{x}}`, `{"realm_access":{"roles":["a"}}`, `{"realm_access":{"roles":["a"]`, `{"realm_access":x}`, `{"realm_access":{"x":y}}`,
		`{"resource_access":{"a":{"roles":["a"]}`, `{"resource_access":{"a"}}`, `{"resource_access":{"a":{"roles":[x]}}}`, `{"x":y}`,
	} {
		for name, decode := range decoders {
			if _, err := decode(source); !errors.Is(err, token.ErrMalformed) {
				t.Errorf("%s: %q = %v, want %v", name, source, err, token.ErrMalformed)
			}
		}
	}
}

// In whatever object a name comes twice, and however it is written, the token is malformed: two readers could take it for
// two different ones. What only looks alike is fine.
func TestNamesAreUnique(t *testing.T) {
	members := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"x%d":%d,`, i, i)
		}
		return b.String()
	}
	for _, twice := range []string{
		`"a":1,"a":2`, `"a":1,"\u0061":2`, `"":1,"":2`, `"é":1,"\u00e9":2`, `"iss":"a","x":1,"iss":"a"`, `"x":[{"a":1,"a":2}]`, `"x":[[1,{"b":{"a":1,"a":2}}]]`,
		`"name":{"a":1,"a":2}`, `"email_verified":[{"a":1,"a":2}]`, `"groups":["/eng",{"a":1,"a":2}]`, `"cnf":{"jkt":"x","jkt":"y"}`, `"realm_access":{"x":{"a":1,"a":2}}`,
		`"resource_access":{"api":{"roles":[]},"api":{"roles":["admin"]}}`, `"resource_access":{"api":{"roles":[],"roles":["admin"]}}`,
		members(62) + `"a":1,"a":2`, members(63) + `"a":1,"a":2`, `"a":1,` + members(200) + `"a":2`, `"x7":1,` + members(62) + `"a":2`,
		`"realm_access":{"roles":["admin"],` + members(100) + `"roles":[]}`, `"realm_access":[{"a":1,"a":2}]`, `"realm_access":{"roles":{"a":1,"a":2}}`,
		`"realm_access":{"roles":["admin",{"a":1,"a":2}]}`, `"resource_access":[{"a":1,"a":2}]`, `"resource_access":{"api":[{"a":1,"a":2}]}`,
	} {
		for name, decode := range decoders {
			if _, err := decode("{" + twice + "}"); !errors.Is(err, token.ErrMalformed) {
				t.Errorf("%s: {%s} = %v, want %v", name, twice, err, token.ErrMalformed)
			}
		}
	}
	for _, claim := range []string{
		"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "token_type", "azp", "sid", "scope", "cnf", "realm_access", "resource_access", "groups",
		"username", "preferred_username", "email", "email_verified", "name", "given_name", "family_name", "unknown",
	} {
		for _, value := range []string{`{"a":1,"a":2}`, `[{"a":1,"a":2}]`, `["a",{"a":{},"a":{}}]`} {
			if _, err := token.DecodeClaims(`{"` + claim + `":` + value + `}`); !errors.Is(err, token.ErrMalformed) {
				t.Errorf("%s of %s = %v, want %v", claim, value, err, token.ErrMalformed)
			}
		}
	}
	for _, once := range []string{
		`"a":1,"A":2,"aa":3,"":4`, `"abcde":1,"abcXe":2`, `"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]`, `"abc":1,"acc":2,"adc":3,"axc":4,"a\"c":5,"a\\c":6`, members(64) + `"a":1`, members(300) + `"a":1`,
		`"resource_access":{"a":{"roles":[]},"b":{"roles":[]}},"realm_access":{"roles":[]}`, `"x":"{\"a\":1,\"a\":2}"`,
	} {
		for name, decode := range decoders {
			if _, err := decode("{" + once + "}"); err != nil {
				t.Errorf("%s: {%s} = %v, want none", name, once, err)
			}
		}
	}
}

// Lists share memory, but none can reach into another.
func TestListsAreApart(t *testing.T) {
	for n := range 24 {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("%d of %d", i, n)
		}
		text := `["` + strings.Join(list, `","`) + `"]`
		if n == 0 {
			text, list = "[]", nil
		}
		c, err := token.DecodeClaims(`{"aud":"api","scope":"openid email","realm_access":{"roles":` + text + `},"groups":["/a",1],"resource_access":{"api":{"roles":` + text + `}, "web":{"roles":["r"]}},"groups2":["x"]}`)
		if err != nil {
			t.Fatal(err)
		}
		_ = append(c.Audience, "more")
		_ = append(c.Scopes, "more")
		_ = append(c.RealmRoles, "more")
		_ = append(c.ClientRoles.Of("api"), "more")
		if !slices.Equal(c.Audience, []string{"api"}) || !slices.Equal(c.Scopes, []string{"openid", "email"}) || !slices.Equal(c.RealmRoles, list) || !slices.Equal(c.ClientRoles.Of("api"), list) ||
			!slices.Equal(c.ClientRoles.Of("web"), []string{"r"}) || c.Groups != nil {
			t.Errorf("lists of %d are %q, %q, %q, %q", n, c.Audience, c.Scopes, c.RealmRoles, c.ClientRoles)
		}
	}
}

// Names are compared exactly: encoding/json would let the second issuer win.
func TestNamesAreExact(t *testing.T) {
	c, err := token.DecodeClaims(`{"iss":"good","ISS":"evil","Aud":"evil","EXP":1,"realm_Access":{"roles":["admin"]}}`)
	if err != nil || c.Issuer != "good" || c.Audience != nil || c.ExpiresAt.Present() || c.RealmRoles != nil {
		t.Errorf("claims of names in other case = %+v, %v, want the issuer alone", c, err)
	}
}

// A payload that is read again gives the same claims, and not its lists twice.
func TestClaimsTwice(t *testing.T) {
	jws, err := token.Parse(compact(goodHeader, `{"aud":["a"],"resource_access":{"api":{"roles":["r"]}}}`, "sig"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c, err := jws.Claims()
		if err != nil || len(c.Audience) != 1 || len(c.ClientRoles) != 1 {
			t.Errorf("Claims = %+v, %v, want one audience and the roles of one client", c, err)
		}
	}
}
