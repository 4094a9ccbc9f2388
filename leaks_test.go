package ginkeycloak_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// The mark stands in every secret and every personal claim of these tests, and nothing that leaves the library
// may hold it.
const mark = "XmarkX"

// markedPaths drives marked tokens through every way to fail, and the good way too.
func markedPaths(srv *keycloaktest.Server) map[string]string {
	marked := func(opts ...keycloaktest.TokenOption) string {
		return srv.Token(append([]keycloaktest.TokenOption{
			keycloaktest.Subject(mark + "-sub"), keycloaktest.Claim("email", mark+"@example.com"), keycloaktest.Claim("name", mark),
			keycloaktest.Claim("preferred_username", mark), keycloaktest.Claim("sid", mark), keycloaktest.Claim("jti", mark),
			keycloaktest.RealmRoles(mark), keycloaktest.Groups("/" + mark),
		}, opts...)...)
	}
	return map[string]string{
		"good":               marked(),
		"expired":            marked(keycloaktest.ExpiresIn(-time.Hour)),
		"not yet valid":      marked(keycloaktest.NotBeforeIn(time.Hour)),
		"wrong issuer":       marked(keycloaktest.Issuer("https://other.example")), /* which may be logged */
		"wrong audience":     marked(keycloaktest.Audience(mark)),
		"wrong party":        marked(keycloaktest.AuthorizedParty(mark)),
		"wrong type":         marked(keycloaktest.Type(mark)),
		"wrong header type":  marked(keycloaktest.Header("typ", mark)),
		"wrong algorithm":    marked(keycloaktest.Header("alg", mark)),
		"wrong claim":        marked(keycloaktest.Claim("exp", mark)),
		"missing claim":      marked(keycloaktest.WithoutClaim("sub")),
		"unknown key":        marked(keycloaktest.KeyID("another")), /* which may be logged */
		"implausible key":    marked(keycloaktest.KeyID(mark + " \r\n")),
		"wrong signature":    marked() + "AAAA",
		"bound":              marked(keycloaktest.Claim("cnf", map[string]any{"jkt": mark})),
		"critical":           marked(keycloaktest.Header("crit", []string{mark})),
		"member twice":       marked(keycloaktest.RawPayload(`{"` + mark + `":1,"` + mark + `":1}`)),
		"broken JSON":        marked(keycloaktest.RawPayload(`{"` + mark)),
		"malformed":          mark + "." + mark + "." + mark,
		"not even a token":   mark,
		"not even a b64":     mark + `"<>`,
		"too long":           strings.Repeat(mark, 10_000),
		"HMAC":               marked(keycloaktest.HMAC("HS256", []byte(mark))),
		"two tokens":         mark + ", Bearer " + mark,
		"wrong nested claim": marked(keycloaktest.Claim("aud", []any{mark, 1})),
	}
}

func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	for _, details := range []bool{false, true} {
		srv := keycloaktest.New(t)
		a := newAPIFor(t, srv, ginkeycloak.WithErrorDetails(details), ginkeycloak.WithClientSecret(mark),
			ginkeycloak.WithAuthorizedParties("orders-api"))
		a.GET("/roles", a.kc.RequireRoles("nobody"))
		a.GET("/groups", a.kc.RequireGroups("/nobody"))
		a.GET("/scopes", a.kc.RequireScopes("nobody"))
		tokens := markedPaths(srv)
		seen := make(map[ginkeycloak.Code]bool)
		visit := func(path, name string) {
			r := request("GET", path, "")(t)
			r.Header["Authorization"] = []string{"Bearer " + tokens[name]}
			got := a.do(t, r)
			seen[got.code] = true
			if got.status != http.StatusOK {
				checkNoMark(t, name+": answer", tokens[name], got.body+fmt.Sprint(got.header))
			}
			if _, err := a.kc.Authenticate(t.Context(), tokens[name]); err != nil {
				checkNoMark(t, name+": error", tokens[name], fmt.Sprintf("%v %+v %#v", err, err, err))
			}
		}
		for name := range tokens {
			visit("/me", name)
		}
		for _, path := range []string{"/roles", "/groups", "/scopes"} {
			visit(path, "good")
		}
		srv.RotateKeys()
		srv.Stop()
		time.Sleep(1100 * time.Millisecond)
		tokens = markedPaths(srv)
		for name := range tokens {
			visit("/me", name)
		}
		_ = a.kc.Close()
		visit("/me", "good")
		checkNoMark(t, "log", tokens["good"], a.log.String())
		checkNoMark(t, "plugin printed", tokens["good"], fmt.Sprintf("%v %+v %#v", a.kc, a.kc, a.kc))
		if len(seen) < 15 {
			t.Errorf("only the codes %v were seen, want more ways to fail", seen)
		}
	}
}

// checkNoMark asserts that a text holds neither the mark nor a piece of the token.
func checkNoMark(t *testing.T, where, token, text string) {
	t.Helper()
	if strings.Contains(text, mark) {
		t.Errorf("%s holds the mark: %s", where, text)
	}
	for piece := range strings.SplitSeq(token, ".") {
		if len(piece) > 20 && strings.Contains(text, piece[:20]) {
			t.Errorf("%s holds a piece of the token: %s", where, text)
		}
	}
}

// What a stranger can tell apart from the outside: code and sentence, and nothing else.
func TestRefusalsOfABadTokenLookAlike(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	good := a.keycloak.Token()
	reference := a.get(t, "/me", a.keycloak.Token(keycloaktest.ExpiresIn(-time.Hour)))
	for name, token := range map[string]string{
		"wrong key":       a.keycloak.Token(keycloaktest.KeyID("another")),
		"wrong signature": good[:len(good)-8] + "AAAAAAAA",
		"wrong audience":  a.keycloak.Token(keycloaktest.Audience("account")),
	} {
		got := a.get(t, "/me", token)
		if got.status != reference.status || fmt.Sprint(headerNames(got.header)) != fmt.Sprint(headerNames(reference.header)) {
			t.Errorf("%s: %d %v, want the status and the headers of an expired token: %d %v",
				name, got.status, got.header, reference.status, reference.header)
		}
		if strings.ReplaceAll(strings.ReplaceAll(got.body, string(got.code), "?"), got.message, "?") !=
			strings.ReplaceAll(strings.ReplaceAll(reference.body, string(reference.code), "?"), reference.message, "?") {
			t.Errorf("%s: body %s differs from %s in more than code and message", name, got.body, reference.body)
		}
	}
}

func headerNames(h http.Header) map[string]int {
	names := make(map[string]int)
	for name, values := range h {
		names[name] = len(values)
	}
	return names
}

// What an attacker writes comes out of the log on one line, with nothing in it that a terminal would obey.
func TestLogInjection(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var lines logBuffer
	kc := newPlugin(t, a.keycloak, ginkeycloak.WithLogger(slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	a.Engine = gin.New()
	a.Use(kc.Middleware())
	const evil = "x\r\nlevel=ERROR msg=forged \x1b[31m"
	requests := 0
	for _, token := range []string{
		a.keycloak.Token(keycloaktest.KeyID(evil)), a.keycloak.Token(keycloaktest.Issuer(evil)),
		a.keycloak.Token(keycloaktest.Type(evil)), a.keycloak.Token(keycloaktest.Claim(evil, 1), keycloaktest.Claim("exp", evil)),
	} {
		a.get(t, "/%0d%0alevel=ERROR%1b[31m", token)
		requests++
	}
	log := lines.String()
	if got := strings.Count(log, "\n"); got != requests {
		t.Errorf("%d requests left %d lines in the log: %s", requests, got, log)
	}
	if strings.ContainsAny(log, "\x1b\r") {
		t.Errorf("the log holds control characters of an attacker: %q", log)
	}
	// An issuer may be named, but only as the quoted value of its attribute.
	for line := range strings.Lines(log) {
		if forged := strings.Index(line, "msg=forged"); forged >= 0 && !strings.Contains(line[:forged], ` iss="`) {
			t.Errorf("a forged entry in the log: %s", line)
		}
	}
}

// A panic in what the user plugged in lets nobody in.
func TestPanicsAuthenticateNobody(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithTokenExtractor(func(*http.Request) (string, error) { panic("extractor") }))
	a.Engine = gin.New()
	a.Use(gin.CustomRecoveryWithWriter(nil, func(c *gin.Context, _ any) { c.AbortWithStatus(http.StatusInternalServerError) }))
	a.Use(a.kc.Middleware())
	a.GET("/me", a.me)
	if got := a.get(t, "/me", a.keycloak.Token()); got.status != http.StatusInternalServerError || got.ran {
		t.Errorf("with a panicking extractor: status %d, handler ran %t, want 500 and not", got.status, got.ran)
	}
}
