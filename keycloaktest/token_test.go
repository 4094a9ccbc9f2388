package keycloaktest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

const uuid = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`

// TestTokensLookLikeKeycloaks compares byte for byte with what Keycloak 26.7.5 issued, but for what changes every time.
func TestTokensLookLikeKeycloaks(t *testing.T) {
	s := keycloaktest.New(t, keycloaktest.InMemory(), keycloaktest.WithClock(func() time.Time { return time.Unix(1_800_000_000, 0) }))
	const times = `"exp":1800000300,"iat":1800000000,`
	const iss = `"iss":"http://keycloak.test/realms/demo",`
	const alice = `"sub":"` + uuid + `","typ":"Bearer","azp":"orders-api","sid":"[\w-]{24}","acr":"1","allowed-origins":\["http://localhost:8080"\],`
	tests := []struct {
		name, token, want string
	}{
		{
			"default", s.Token(),
			`{` + times + `"jti":"onrtro:` + uuid + `",` + iss + `"aud":"orders-api",` + alice + `"scope":"openid profile email",` +
				`"email_verified":true,"name":"Alice A","preferred_username":"alice","given_name":"Alice","family_name":"A","email":"alice@example.com"}`,
		},
		{
			"for alice", s.Token(keycloaktest.ForUser("alice")),
			`{` + times + `"jti":"onrtro:` + uuid + `",` + iss + `"aud":"orders-api",` + alice +
				`"realm_access":{"roles":\["admin","viewer"\]},"resource_access":{"orders-api":{"roles":\["manage"\]}},` +
				`"scope":"openid profile email","email_verified":true,"name":"Alice A","groups":\["/eng/sre"\],` +
				`"preferred_username":"alice","given_name":"Alice","family_name":"A","email":"alice@example.com"}`,
		},
		{
			"for a service account", s.Token(keycloaktest.ForServiceAccount("orders-api")),
			`{` + times + `"jti":"trrtcc:` + uuid + `",` + iss + `"aud":\["orders-api","account"\],"sub":"` + uuid + `",` +
				`"typ":"Bearer","azp":"orders-api","acr":"1","allowed-origins":\["http://localhost:8080"\],` +
				`"realm_access":{"roles":\["default-roles-demo","offline_access","uma_authorization"\]},` +
				`"resource_access":{"account":{"roles":\["manage-account","manage-account-links","view-profile"\]}},` +
				`"scope":"profile email","clientHost":"127.0.0.1","email_verified":false,` +
				`"preferred_username":"service-account-orders-api","clientAddress":"127.0.0.1","client_id":"orders-api"}`,
		},
		{
			"lightweight", s.Token(keycloaktest.Lightweight(), keycloaktest.ForUser("alice")),
			`{` + times + `"jti":"onltro:` + uuid + `",` + iss + `"typ":"Bearer","azp":"orders-api","sid":"[\w-]{24}","scope":"openid profile email"}`,
		},
		{
			"ID token", s.IDToken(keycloaktest.ForUser("alice")),
			`{` + times + `"jti":"` + uuid + `",` + iss + `"aud":"orders-api","sub":"` + uuid + `","typ":"ID","azp":"orders-api",` +
				`"sid":"[\w-]{24}","acr":"1","email_verified":true,"name":"Alice A","groups":\["/eng/sre"\],` +
				`"preferred_username":"alice","given_name":"Alice","family_name":"A","email":"alice@example.com"}`,
		},
		{
			"refresh token", s.RefreshToken(),
			`{"exp":1800001800,"iat":1800000000,"jti":"` + uuid + `",` + iss + `"aud":"http://keycloak.test/realms/demo",` +
				`"sub":"` + uuid + `","typ":"Refresh","azp":"orders-api","sid":"[\w-]{24}","scope":"openid profile email"}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := part(t, tt.token, 1); !regexp.MustCompile(`^` + tt.want + `$`).MatchString(got) {
				t.Errorf("claims:\n got %s\nwant %s", got, tt.want)
			}
			want := `^{"alg":"RS256","typ" : "JWT","kid" : "` + regexp.QuoteMeta(s.KeyID()) + `"}$`
			if tt.name == "refresh token" {
				want = `^{"alg":"HS512","typ" : "JWT","kid" : "` + uuid + `"}$`
			}
			if got := part(t, tt.token, 0); !regexp.MustCompile(want).MatchString(got) {
				t.Errorf("header:\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestTokenOptions(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := es256(t, keycloaktest.WithClock(func() time.Time { return now }),
		keycloaktest.WithUser(keycloaktest.User{Username: "carl", ClientRoles: map[string][]string{"billing": {"admin"}}}))
	tests := []struct {
		name  string
		opts  []keycloaktest.TokenOption
		claim string
		want  string // as JSON, "null" for a claim that is missing
	}{
		{"ExpiresIn", []keycloaktest.TokenOption{keycloaktest.ExpiresIn(-time.Second)}, "exp", "1799999999"},
		{"IssuedIn", []keycloaktest.TokenOption{keycloaktest.IssuedIn(time.Minute)}, "iat", "1800000060"},
		{"IssuedAt", []keycloaktest.TokenOption{keycloaktest.IssuedAt(time.Unix(5, 0))}, "iat", "5"},
		{"NotBeforeIn", []keycloaktest.TokenOption{keycloaktest.NotBeforeIn(time.Minute)}, "nbf", "1800000060"},
		{"Issuer", []keycloaktest.TokenOption{keycloaktest.Issuer("x")}, "iss", `"x"`},
		{"one audience", []keycloaktest.TokenOption{keycloaktest.Audience("a")}, "aud", `"a"`},
		{"two audiences", []keycloaktest.TokenOption{keycloaktest.Audience("a", "b")}, "aud", `["a","b"]`},
		{"no audience", []keycloaktest.TokenOption{keycloaktest.Audience()}, "aud", `[]`},
		{"AuthorizedParty", []keycloaktest.TokenOption{keycloaktest.AuthorizedParty("x")}, "azp", `"x"`},
		{"Type", []keycloaktest.TokenOption{keycloaktest.Type("DPoP")}, "typ", `"DPoP"`},
		{"Subject", []keycloaktest.TokenOption{keycloaktest.Subject("x")}, "sub", `"x"`},
		{"Scope", []keycloaktest.TokenOption{keycloaktest.Scope("a b")}, "scope", `"a b"`},
		{"RealmRoles", []keycloaktest.TokenOption{keycloaktest.RealmRoles("a")}, "realm_access", `{"roles":["a"]}`},
		{"no RealmRoles", []keycloaktest.TokenOption{keycloaktest.RealmRoles()}, "realm_access", `{"roles":[]}`},
		{
			"ClientRoles of two clients", []keycloaktest.TokenOption{keycloaktest.ClientRoles("x", "a"), keycloaktest.ClientRoles("y", "b")},
			"resource_access", `{"x":{"roles":["a"]},"y":{"roles":["b"]}}`,
		},
		{"Groups", []keycloaktest.TokenOption{keycloaktest.Groups("/a")}, "groups", `["/a"]`},
		{"Claim", []keycloaktest.TokenOption{keycloaktest.Claim("x", json.RawMessage("[1]"))}, "x", `[1]`},
		{"WithoutClaim", []keycloaktest.TokenOption{keycloaktest.WithoutClaim("exp")}, "exp", "null"},
		{"ForUser without groups", []keycloaktest.TokenOption{keycloaktest.ForUser("bob")}, "groups", "null"},
		{
			"a single claim holds whatever the order", []keycloaktest.TokenOption{keycloaktest.Subject("x"), keycloaktest.ForUser("bob")},
			"sub", `"x"`,
		},
		{
			"roles hold whatever the order", []keycloaktest.TokenOption{keycloaktest.RealmRoles("x"), keycloaktest.ForUser("bob")},
			"realm_access", `{"roles":["x"]}`,
		},
		{"roles bring audiences", []keycloaktest.TokenOption{keycloaktest.ForUser("carl")}, "aud", `["orders-api","billing"]`},
		{"ForClient", []keycloaktest.TokenOption{keycloaktest.ForClient("billing")}, "aud", `"billing"`},
		{"ForClient without groups mapper", []keycloaktest.TokenOption{keycloaktest.ForUser("alice"), keycloaktest.ForClient("spa")}, "groups", "null"},
		{"ForClient with lightweight tokens", []keycloaktest.TokenOption{keycloaktest.ForClient("light")}, "aud", "null"},
		{
			"roles leave a lightweight token", []keycloaktest.TokenOption{keycloaktest.Lightweight(), keycloaktest.RealmRoles("x")},
			"realm_access", "null",
		},
		{
			"a named claim stays in a lightweight token", []keycloaktest.TokenOption{keycloaktest.Lightweight(), keycloaktest.Subject("x")},
			"sub", `"x"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, claims := decode(t, s.Token(tt.opts...))
			if got := brief(claims[tt.claim]); got != tt.want {
				t.Errorf("%s with %s = %s, want %s", tt.claim, tt.name, got, tt.want)
			}
		})
	}
}

// TestSignatures checks with another library what may verify and what must not.
func TestSignatures(t *testing.T) {
	rsa := keycloaktest.New(t, keycloaktest.InMemory())
	p256, p521 := es256(t), es256(t, keycloaktest.WithAlgorithm("ES512"))
	ed := es256(t, keycloaktest.WithAlgorithm("EdDSA"))
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		s     *keycloaktest.Server
		opts  []keycloaktest.TokenOption
		alg   any
		valid bool
	}{
		{"RS256", rsa, nil, "RS256", true},
		{"RS384", rsa, []keycloaktest.TokenOption{keycloaktest.Algorithm("RS384")}, "RS384", true},
		{"RS512", rsa, []keycloaktest.TokenOption{keycloaktest.Algorithm("RS512")}, "RS512", true},
		{"PS256", rsa, []keycloaktest.TokenOption{keycloaktest.Algorithm("PS256")}, "PS256", true},
		{"PS512", rsa, []keycloaktest.TokenOption{keycloaktest.Algorithm("PS512")}, "PS512", true},
		{"ES256", p256, nil, "ES256", true},
		{"ES512", p521, nil, "ES512", true},
		{"EdDSA", ed, nil, "EdDSA", true},
		{"header only", p256, []keycloaktest.TokenOption{keycloaktest.Header("alg", 1)}, 1.0, false},
		{"no alg", p256, []keycloaktest.TokenOption{keycloaktest.WithoutHeader("alg")}, nil, false},
		{"another key", p256, []keycloaktest.TokenOption{keycloaktest.SignedBy(stranger)}, "ES256", false},
		{"HMAC", rsa, []keycloaktest.TokenOption{keycloaktest.HMAC("HS384", []byte("secret"))}, "HS384", false},
		{"none", rsa, []keycloaktest.TokenOption{keycloaktest.Unsigned("none")}, "none", false},
		{
			"signature of one's own", p256,
			[]keycloaktest.TokenOption{keycloaktest.SignedWith("ES256", func([]byte) []byte { return make([]byte, 64) })}, "ES256", false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			token := tt.s.Token(tt.opts...)
			if header, _ := decode(t, token); header["alg"] != tt.alg {
				t.Errorf("alg = %v, want %v", header["alg"], tt.alg)
			}
			_, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return tt.s.SigningKey().Public(), nil })
			if (err == nil) != tt.valid {
				t.Errorf("jwt.Parse = %v, want valid %t", err, tt.valid)
			}
		})
	}
}

func TestSignaturesOfAttackers(t *testing.T) {
	s := keycloaktest.New(t, keycloaktest.InMemory())
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	padded := s.Token(keycloaktest.SignedBy(key), keycloaktest.Algorithm("ES512"))
	if got := len(part(t, padded, 2)); got != 132 {
		t.Errorf("ES512 with a P-256 key: signature of %d bytes, want 132", got)
	}
	secret := []byte("secret")
	_, err = jwt.Parse(s.Token(keycloaktest.HMAC("HS256", secret)), func(*jwt.Token) (any, error) { return secret, nil })
	if err != nil {
		t.Errorf("HS256 with the right secret: %v", err)
	}
	if got := part(t, s.Token(keycloaktest.Unsigned("none")), 2); got != "" {
		t.Errorf("unsigned token has a signature of %d bytes", len(got))
	}
	long := s.Token(keycloaktest.Algorithm("PS256"), keycloaktest.SaltLength(64))
	_, err = jwt.Parse(long, func(token *jwt.Token) (any, error) {
		strict := *token.Method.(*jwt.SigningMethodRSAPSS)
		options := *strict.Options
		options.SaltLength = crypto.SHA256.Size()
		strict.VerifyOptions = &options
		token.Method = &strict
		return s.SigningKey().Public(), nil
	})
	if !errors.Is(err, jwt.ErrTokenSignatureInvalid) {
		t.Errorf("PS256 with a salt of 64 bytes, checked strictly: %v, want an invalid signature", err)
	}
}

func TestRawPartsAreSignedAsGiven(t *testing.T) {
	s := es256(t)
	const header, payload = `{"alg":"ES256", "alg":"none"}`, `{"iss":"evil","ISS":"good"} `
	token := s.Token(keycloaktest.RawHeader(header), keycloaktest.RawPayload(payload))
	if got := part(t, token, 0); got != header {
		t.Errorf("header = %s, want %s", got, header)
	}
	if got := part(t, token, 1); got != payload {
		t.Errorf("payload = %s, want %s", got, payload)
	}
	input, signature := token[:strings.LastIndex(token, ".")], part(t, token, 2)
	if err := jwt.SigningMethodES256.Verify(input, []byte(signature), s.SigningKey().Public()); err != nil {
		t.Errorf("signature: %v", err)
	}
}

func TestHeaderOptions(t *testing.T) {
	s := es256(t)
	header, _ := decode(t, s.Token(keycloaktest.KeyID("x"), keycloaktest.Header("typ", "at+jwt"), keycloaktest.Header("crit", []string{"exp"})))
	if got := brief(header); got != `{"alg":"ES256","crit":["exp"],"kid":"x","typ":"at+jwt"}` {
		t.Errorf("header = %s", got)
	}
	header, _ = decode(t, s.Token(keycloaktest.WithoutHeader("kid")))
	if _, ok := header["kid"]; ok {
		t.Error("WithoutHeader left the kid in")
	}
}

func TestMistakesEndTheTest(t *testing.T) {
	tests := []struct {
		name string
		use  func(*keycloaktest.Server)
		want string
	}{
		{"unknown user", func(s *keycloaktest.Server) { s.Token(keycloaktest.ForUser("eve")) }, `no user "eve"`},
		{"unknown client", func(s *keycloaktest.Server) { s.Token(keycloaktest.ForClient("x")) }, `no client "x"`},
		{"unknown service account", func(s *keycloaktest.Server) { s.Token(keycloaktest.ForServiceAccount("x")) }, `no client "x"`},
		{"logout of an unknown user", func(s *keycloaktest.Server) { s.LogoutUser("eve") }, `no user "eve"`},
		{"algorithm of another key type", func(s *keycloaktest.Server) { s.Token(keycloaktest.Algorithm("RS256")) }, "RS256 does not fit"},
		{"no algorithm", func(s *keycloaktest.Server) { s.Token(keycloaktest.Algorithm("none")) }, "Unsigned"},
		{"claim that is no JSON", func(s *keycloaktest.Server) { s.Token(keycloaktest.Claim("x", make(chan int))) }, "claims"},
		{"header that is no JSON", func(s *keycloaktest.Server) { s.Token(keycloaktest.Header("x", make(chan int))) }, "header"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := fatal(func(tb keycloaktest.TB) {
				tt.use(keycloaktest.New(tb, keycloaktest.WithAlgorithm("ES256"), keycloaktest.InMemory()))
			})
			if !strings.Contains(got, tt.want) {
				t.Errorf("%s ends the test with %q, want %q in it", tt.name, got, tt.want)
			}
		})
	}
}

func TestUserIsTheSameInEveryRealm(t *testing.T) {
	s := es256(t)
	_, claims := decode(t, s.Token())
	if got := s.User("alice"); claims["sub"] != got.ID || !slices.Equal(got.Groups, []string{"/eng/sre"}) {
		t.Errorf("User(alice) = %+v, sub of her token %v", got, claims["sub"])
	}
	if other := es256(t).User("alice").ID; other != s.User("alice").ID {
		t.Errorf("alice has the ID %q here and %q there", s.User("alice").ID, other)
	}
}
