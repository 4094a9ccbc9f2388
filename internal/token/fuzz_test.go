package token_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// FuzzParse holds Parse to a second reading of RFC 7515, made of encoding/json: the same tokens are taken, with the same
// header, and every segment is the one encoding of what is in it.
func FuzzParse(f *testing.F) {
	const payload, signature = `{"iss":"https://sso.example.com/realms/demo","sub":"alice"}`, "signature"
	for _, header := range []string{
		`{"alg":"RS256","typ" : "JWT","kid" : "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE"}`, `{"alg":"none"}`, `{"kid":"a"}`, `{"alg":"ES256"}`,
		`{"alg":"ES256","kid":"../../dev/null"}`, `{"alg":"ES256","kid":"a","kid":"b"}`, `{"alg":"ES256","kid":"a","Kid":"b"}`, `{"alg":null,"kid":"a"}`,
		`{"alg":"ES256","kid":"a","crit":[]}`, `{"alg":"ES256","kid":"a","crit":null}`, `{"alg":"ES256","kid":"a","b64":true}`, `{"alg":["ES256"],"kid":1}`,
		`{"alg":"ES256","kid":"a","cty":"jwt"}`, `{"alg":"ES256","kid":"a","jwk":{"kty":"oct","k":"AA"}}`, `{"alg":"ES256","kid":"a"} {}`, ` {}`, `[]`, `null`, ``,
		`{"alg":"ES256","kid":"\ud800"}`, "{\"alg\":\"ES256\",\"kid\":\"\xff\"}", `{"alg":"ES256","kid":"a","\u0061lg":"none"}`,
		`{"alg":"ES256","kid":"a","x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, `{"alg":"ES256","kid":"` + strings.Repeat("k", 257) + `"}`,
	} {
		f.Add(segment(header) + "." + segment(payload) + "." + segment(signature))
	}
	for _, raw := range []string{
		"", ".", "..", "...", "a.b.c", "e30.e30.", "e30..e30", ".e30.e30", "e30=.e30.e30", "e31.e30.e30", "e30.e31.e30", "e30.e30.e31",
		"e3\n0.e30.e30", "e30.e30.e30.e30.e30", `{"payload":"e30","signatures":[]}`, strings.Repeat(".", 100), strings.Repeat("A", token.MaxSize+1),
	} {
		f.Add(raw)
	}
	// Bits that belong to no byte, and the other things that decoders of base64 are lax about, in each segment. The end of
	// one is decoded in another way than what is before.
	for _, padding := range []string{"", strings.Repeat(" ", 100)} {
		good := []string{segment(`{"alg":"ES256","kid":"ab"` + padding + `}`), segment("{" + padding + "}"), segment("{" + padding + "}")}
		for i := range good {
			for _, change := range []func(string) string{
				func(s string) string { return s[:len(s)-1] + string(s[len(s)-1]+1) },
				func(s string) string { return s + "=" },
				func(s string) string { return s[:2] + "\n" + s[2:] },
				func(s string) string { return s[:2] + "/" + s[3:] },
				func(s string) string { return s + "A" },
				func(string) string { return "" },
			} {
				changed := slices.Clone(good)
				changed[i] = change(good[i])
				f.Add(strings.Join(changed, "."))
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := token.Parse(raw)
		want, ok := readCompact(raw)
		if (err == nil) != ok {
			t.Fatalf("Parse(%q): %v, want it taken: %t", raw, err, ok)
		}
		if err != nil {
			checkError(t, raw, err, token.ErrMalformed)
			return
		}
		h := got.Header
		if h.Algorithm != text(want.header, "alg") || h.KeyID != text(want.header, "kid") || h.Type != text(want.header, "typ") || h.ContentType != text(want.header, "cty") {
			t.Errorf("Parse(%q) has the header %#v, want %v", raw, h, want.header)
		}
		if got.Payload != string(want.payload) {
			t.Errorf("Parse(%q) has the payload %q, want %q", raw, got.Payload, want.payload)
		}
		var known token.Headers
		known.Learn(got)
		again, err := known.Parse(raw)
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("Parse(%q), the header being known = %#v, %v, want %#v", raw, again, err, got)
		}
	})
}

// FuzzClaims holds the claims to a second reading of the same JSON, made of encoding/json.
func FuzzClaims(f *testing.F) {
	for _, source := range []string{
		`{"exp":1784890000,"iat":1784889700,"jti":"onrtro:5f2c","iss":"https://sso.example.com/realms/demo","aud":["orders-api","account"],"sub":"alice","typ":"Bearer","azp":"shop",` +
			`"sid":"s","acr":"1","allowed-origins":["*"],"realm_access":{"roles":["offline_access","admin"]},"resource_access":{"orders-api":{"roles":["read"]},"account":{"roles":[]}},` +
			`"scope":"openid email","email_verified":true,"name":"Alice \"A\" Adams","groups":["/eng/sre"],"preferred_username":"alice","given_name":"Alice","family_name":"Adams","email":"a@example.com"}`,
		`{"active":true,"token_type":"Bearer","username":"alice","client_id":"shop","cnf":{"jkt":"x"},"nbf":0}`,
		`{}`, `null`, `[]`, ``, ` {}`, "{}\n", `{}{}`, `{"iss":null,"aud":"a"}`, `{"iss":["a"]}`, `{"aud":["a",1]}`, `{"aud":null}`, `{"aud":{"a":"b"}}`, `{"aud":[]}`, `{"sub":1}`,
		`{"exp":null}`, `{"exp":"1"}`, `{"exp":-1}`, `{"exp":1e400}`, `{"exp":253402300800}`, `{"exp":253402300799.5}`, `{"exp":1.5e9,"nbf":1e300,"iat":-0.0}`,
		`{"iss":"a","iss":"b"}`, `{"iss":"a","\u0069ss":"b"}`, `{"iss":"a","ISS":"b"}`, `{"x":{"a":1,"a":2}}`, `{"sub":"\ud800"}`, `{"sub":"\ud83d\ude00"}`, "{\"sub\":\"\xff\"}", `{"sub":"\\ud800"}`,
		`{"realm_access":{"roles":["a",null]}}`, `{"realm_access":["a"]}`, `{"realm_access":{"roles":"admin"}}`, `{"resource_access":{"a":1,"b":{"roles":["x"]},"c":{"roles":{"roles":["y"]}}}}`,
		`{"groups":"/eng"}`, `{"email_verified":"true"}`, `{"name":1,"username":{}}`, `{"cnf":null}`, `{"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`,
	} {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		got, err := token.DecodeClaims(source)
		object, ok := readObject([]byte(source))
		if !ok {
			if err == nil {
				t.Fatalf("DecodeClaims(%q) = %#v, want it refused: it is not one strict JSON object", source, got)
			}
			checkError(t, source, err, token.ErrMalformed, token.ErrClaims)
			return
		}
		want, ok := readClaims(object)
		if (err == nil) != ok {
			t.Fatalf("DecodeClaims(%q): %v, want it taken: %t", source, err, ok)
		}
		if err != nil {
			checkError(t, source, err, token.ErrClaims)
			return
		}
		if got := simplify(got, source); !reflect.DeepEqual(got, want) {
			t.Errorf("DecodeClaims(%q) =\n%#v, want\n%#v", source, got, want)
		}
	})
}

func segment(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// errorText is all that an error may say: no word of it is the sender's.
var errorText = regexp.MustCompile(`^malformed token: (` + strings.Join([]string{
	`longer than 16384 bytes`,
	`not three segments of base64url characters`,
	`(header|payload|signature) is not base64url`,
	`(header|payload): (not a JSON object|nested deeper than 32|not one JSON object of unique names in valid UTF-8)`,
	`header: (alg|kid|typ|cty) has the wrong type`,
	`header has (critical extensions|b64, RFC 7797 is not supported|no alg|no kid, or one that cannot be a key's)`,
	`a token within a token`,
}, "|") + `)$|^wrong claims: (iss|sub|aud|exp|nbf|iat|jti|typ|azp|sid|scope) has the wrong type$`)

func checkError(t *testing.T, input string, err error, kinds ...error) {
	t.Helper()
	if !slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) }) {
		t.Errorf("%q: %v, want one of %v", input, err, kinds)
	}
	if !errorText.MatchString(err.Error()) {
		t.Errorf("%q: the error %q is none of the known texts", input, err)
	}
}

// secondReading is a token as another reader than ours has it.
type secondReading struct {
	header  map[string]any
	payload []byte
}

func readCompact(raw string) (secondReading, bool) {
	segments := strings.Split(raw, ".")
	if len(raw) > 16<<10 || len(segments) != 3 || segments[2] == "" {
		return secondReading{}, false
	}
	var decoded [3][]byte
	for i, s := range segments {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || base64.RawURLEncoding.EncodeToString(b) != s {
			return secondReading{}, false
		}
		decoded[i] = b
	}
	header, ok := readObject(decoded[0])
	if !ok {
		return secondReading{}, false
	}
	for _, name := range []string{"alg", "kid", "typ", "cty"} {
		if !textOrNull(header[name]) {
			return secondReading{}, false
		}
	}
	_, critical := header["crit"]
	_, unencoded := header["b64"]
	kid := text(header, "kid")
	isKeyID := keyID.MatchString(kid) && !strings.Contains(kid, "..")
	ok = text(header, "alg") != "" && isKeyID && !critical && !unencoded && !strings.EqualFold(text(header, "cty"), "JWT")
	return secondReading{header, decoded[1]}, ok
}

var (
	keyID         = regexp.MustCompile(`^[\x21\x23-\x26\x28-\x5b\x5d-\x7e]{1,256}$`) // visible, without quotes and backslash
	surrogatePair = regexp.MustCompile(`\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}`)
	surrogate     = regexp.MustCompile(`\\u[dD][89a-fA-F]`)
)

// readObject reads a JSON object with encoding/json, after it has seen to it that there is nothing in it that
// encoding/json is lax about.
func readObject(b []byte) (map[string]any, bool) {
	escapes := bytes.ReplaceAll(b, []byte(`\\`), []byte("--"))
	lonely := surrogate.Match(surrogatePair.ReplaceAll(escapes, nil))
	if !bytes.HasPrefix(b, []byte("{")) || !json.Valid(b) || !utf8.Valid(b) || lonely {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if !isStrict(dec, 0) {
		return nil, false
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, false
	}
	var object map[string]any
	dec = json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber() // 1e400 is JSON
	return object, dec.Decode(&object) == nil
}

// isStrict reads a value and reports whether its names are unique and it is not too deep.
func isStrict(dec *json.Decoder, depth int) bool {
	begin, err := dec.Token()
	if err != nil {
		return false
	}
	delim, isDelim := begin.(json.Delim)
	if !isDelim {
		return true
	}
	names := make(map[string]bool)
	for dec.More() {
		if delim == '{' {
			name, err := dec.Token()
			if err != nil || names[name.(string)] {
				return false
			}
			names[name.(string)] = true
		}
		if !isStrict(dec, depth+1) {
			return false
		}
	}
	_, err = dec.Token()
	return err == nil && depth < 32
}

// text is a member that is a text.
func text(object map[string]any, name string) string {
	s, _ := object[name].(string)
	return s
}

func textOrNull(value any) bool {
	_, isText := value.(string)
	return isText || value == nil
}

// texts are the elements of a value, if it is an array of nothing but texts.
func texts(value any) (list []string, ok bool) {
	elements, ok := value.([]any)
	for _, e := range elements {
		s, isText := e.(string)
		if !isText {
			return nil, false
		}
		list = append(list, s)
	}
	return list, ok
}

// claims are what Claims says, in the types of this file.
type claims struct {
	text   map[string]string
	dates  map[string]int64 // those that are present
	lists  map[string][]string
	client map[string][]string
	flags  map[string]bool
}

// readClaims reads the claims out of an object: the strict ones must be of their type.
func readClaims(object map[string]any) (c claims, ok bool) {
	c = claims{map[string]string{}, map[string]int64{}, map[string][]string{}, map[string][]string{}, map[string]bool{}}
	for _, name := range []string{"iss", "sub", "jti", "typ", "azp", "sid", "scope"} {
		if !textOrNull(object[name]) {
			return c, false
		}
		c.text[name] = text(object, name)
	}
	c.lists["scope"] = strings.Fields(c.text["scope"])
	delete(c.text, "scope")
	for _, name := range []string{"token_type", "username", "preferred_username", "email", "name", "given_name", "family_name"} {
		c.text[name] = text(object, name)
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		value, present := object[name]
		if !present {
			continue
		}
		number, _ := value.(json.Number)
		seconds, err := number.Float64()
		if err != nil || seconds < 0 || seconds > 253402300799 {
			return c, false
		}
		c.dates[name] = int64(seconds)
	}
	if aud, present := object["aud"]; present {
		list, ok := texts(aud)
		if one, isText := aud.(string); isText {
			list, ok = []string{one}, true
		}
		if !ok {
			return c, false
		}
		c.lists["aud"] = list
	}
	c.lists["groups"], _ = texts(object["groups"])
	roles := func(value any) []string {
		access, _ := value.(map[string]any)
		list, _ := texts(access["roles"])
		return list
	}
	c.lists["roles"] = roles(object["realm_access"])
	access, _ := object["resource_access"].(map[string]any)
	for client, value := range access {
		c.client[client] = roles(value)
	}
	_, c.flags["cnf"] = object["cnf"]
	c.flags["email_verified"] = object["email_verified"] == true
	maps.DeleteFunc(c.lists, func(_ string, list []string) bool { return len(list) == 0 })
	return c, true
}

// simplify turns what Claims says into the same types.
func simplify(c token.Claims, source string) claims {
	s := claims{
		text: map[string]string{
			"iss": c.Issuer, "sub": c.Subject, "jti": c.ID, "typ": c.Type, "azp": c.AuthorizedParty, "sid": c.SessionID,
			"token_type": c.TokenType, "username": c.Username, "preferred_username": c.PreferredUsername, "email": c.Email, "name": c.Name,
			"given_name": c.GivenName, "family_name": c.FamilyName,
		},
		dates:  map[string]int64{},
		lists:  map[string][]string{"aud": c.Audience, "groups": c.Groups, "roles": c.RealmRoles, "scope": c.Scopes},
		client: map[string][]string{},
		flags:  map[string]bool{"cnf": c.Bound, "email_verified": c.EmailVerified},
	}
	for name, date := range map[string]token.NumericDate{"exp": c.ExpiresAt, "nbf": c.NotBefore, "iat": c.IssuedAt} {
		if date.Present() {
			s.dates[name] = date.Time().Unix()
		}
	}
	for _, client := range c.ClientRoles {
		s.client[client.Client] = c.ClientRoles.Of(client.Client)
	}
	maps.DeleteFunc(s.lists, func(_ string, list []string) bool { return len(list) == 0 })
	if c.Source != source {
		s.text["source"] = c.Source
	}
	return s
}
