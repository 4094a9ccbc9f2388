package ginkeycloak_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/internal/token"
)

const (
	fuzzedServer = "https://sso.example.com"
	fuzzedIssuer = fuzzedServer + "/realms/demo"

	// fuzzedKey is the key of RFC 8037 appendix A, whose signatures are the same in every process that fuzzes.
	fuzzedKey     = `{"kid":"rfc8037","kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	fuzzedPrivate = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"

	fuzzedHeader  = `{"alg":"EdDSA","typ":"JWT","kid":"rfc8037"}`
	fuzzedSubject = "marked-alice"
	fuzzedClaims  = `{"exp":9999999999,"iat":1784889700,"jti":"onrtro:1","iss":"` + fuzzedIssuer + `","aud":["orders-api","account"],"sub":"marked-alice","typ":"Bearer","azp":"shop","sid":"s",` +
		`"realm_access":{"roles":["offline_access"]},"resource_access":{"orders-api":{"roles":["admin"]},"billing":{"roles":["clerk"]}},"scope":"openid email","email_verified":true,` +
		`"name":"marked-alice","groups":["/eng/sre"],"preferred_username":"marked-alice","given_name":"marked-alice","family_name":"marked-alice","email":"marked-alice@example.com"}`
)

// fuzzedRealm is a Keycloak in memory whose answers are the test's. Its keys take a while to be fetched by the clock
// that it shares with the plugin, so that no fetch has to wait for its turn.
type fuzzedRealm struct {
	answer  func(r *http.Request) (status int, body string)
	fetches atomic.Int64
}

func (f *fuzzedRealm) now() time.Time {
	return time.Unix(1_784_890_000, 0).Add(time.Duration(f.fetches.Load()) * 2 * time.Second)
}

func (f *fuzzedRealm) RoundTrip(r *http.Request) (*http.Response, error) {
	var body string
	status := http.StatusOK
	switch {
	case f.answer != nil && r.Method == http.MethodPost:
		status, body = f.answer(r)
	case strings.HasSuffix(r.URL.Path, "/certs"):
		f.fetches.Add(1)
		body = `{"keys":[` + fuzzedKey + `]}`
	default:
		const protocol = fuzzedIssuer + "/protocol/openid-connect"
		body = `{"issuer":"` + fuzzedIssuer + `","jwks_uri":"` + protocol + `/certs","authorization_endpoint":"` + protocol + `/auth","token_endpoint":"` + protocol + `/token"}`
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{}, Request: r, ContentLength: int64(len(body)),
		Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

// plugin returns a plugin of the realm. The caller closes it.
func (f *fuzzedRealm) plugin(tb testing.TB, opts ...ginkeycloak.Option) *ginkeycloak.Plugin {
	tb.Helper()
	kc, err := ginkeycloak.New(append([]ginkeycloak.Option{
		ginkeycloak.WithServerURL(fuzzedServer),
		ginkeycloak.WithRealm("demo"),
		ginkeycloak.WithClientID("orders-api"),
		ginkeycloak.WithClientSecret("s3cret"),
		ginkeycloak.WithAlgorithms("EdDSA", "ES256", "RS256"),
		ginkeycloak.WithTokenCache(0, 0),
		ginkeycloak.WithHTTPClient(&http.Client{Transport: f}),
		ginkeycloak.WithLogger(slog.New(slog.DiscardHandler)),
		ginkeycloak.WithClock(f.now),
	}, opts...)...)
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	return kc
}

// signed is the token of a header and a payload.
func signed(tb testing.TB, header, payload string) string {
	tb.Helper()
	seed, err := base64.RawURLEncoding.DecodeString(fuzzedPrivate)
	if err != nil {
		tb.Fatal(err)
	}
	input := segment(header) + "." + segment(payload)
	return input + "." + segment(string(ed25519.Sign(ed25519.NewKeyFromSeed(seed), []byte(input))))
}

// acceptable reports whether the claims of a token, or of the answer of an introspection, are good for orders-api.
// It is a second reading of RFC 7519, RFC 9068 and of Keycloak's own rules, with encoding/json.
func acceptable(claims map[string]any, now time.Time) bool {
	for _, name := range []string{"iss", "sub", "jti", "typ", "azp", "sid", "scope"} {
		if _, isText := claims[name].(string); !isText && claims[name] != nil {
			return false
		}
	}
	dates := make(map[string]time.Time)
	for _, name := range []string{"exp", "nbf", "iat"} {
		seconds, isNumber := claims[name].(float64)
		if _, there := claims[name]; there && (!isNumber || seconds < 0 || seconds > 253402300799) {
			return false
		}
		dates[name] = time.Unix(int64(seconds), 0)
	}
	audience, isList := claims["aud"].([]any)
	if one, isText := claims["aud"].(string); isText {
		audience, isList = []any{one}, true
	}
	isText := func(v any) bool { _, ok := v.(string); return ok }
	_, bound := claims["cnf"]
	_, expires := claims["exp"]
	const leeway = 30 * time.Second
	return isList && slices.Contains(audience, any("orders-api")) && !slices.ContainsFunc(audience, func(v any) bool { return !isText(v) }) &&
		claims["iss"] == fuzzedIssuer && claims["typ"] == "Bearer" && claims["sub"] != nil && claims["sub"] != "" && !bound &&
		expires && now.Before(dates["exp"].Add(leeway)) && !now.Before(dates["nbf"].Add(-leeway)) && !now.Before(dates["iat"].Add(-leeway))
}

// FuzzExplain signs tokens of any header and payload, or gives them any signature. What is let in is good by a second
// reading of the rules, and what is good is let in; Explain agrees, and gives neither the token nor its user away.
func FuzzExplain(f *testing.F) {
	replace := func(old, with string) string { return strings.Replace(fuzzedClaims, old, with, 1) }
	for _, payload := range []string{
		fuzzedClaims, replace("9999999999", "1784889971"), replace("9999999999", "1784889969"), replace("9999999999", `"9999999999"`), replace("9999999999", "1e300"), replace(`"exp":9999999999,`, ""),
		replace("1784889700", "1784890030"), replace("1784889700", "1784890032"), replace(`"iat"`, `"nbf"`), replace("/realms/demo", "/realms/demo/"), replace(`"orders-api","account"`, `"ORDERS-API"`),
		replace(`["orders-api","account"]`, `"orders-api"`), replace(`["orders-api","account"]`, `["orders-api",1]`), replace(`"Bearer"`, `"ID"`), replace(`"Bearer"`, `"Refresh"`), replace(`"sub"`, `"sub":null,"Sub"`),
		replace(`"sid":"s"`, `"cnf":{"jkt":"x"}`), replace("onrtro", "onltro"), replace(`"iss"`, `"iss":"https://evil.example","ISS"`), replace(`"iss"`, `"\u0069ss":"x","iss"`), replace(`["admin"]`, `["admin",null]`),
		replace(`{"roles":["admin"]}`, `"admin"`), `{}`, `null`, `[]`, ``, fuzzedClaims + "{}",
	} {
		f.Add(fuzzedHeader, payload, "", true)
	}
	for _, header := range []string{
		`{"alg":"none","kid":"rfc8037"}`, `{"alg":"EdDSA","kid":"rfc8037","typ":"logout+jwt"}`, `{"alg":"ES256","kid":"rfc8037","typ":"JWT"}`, `{"alg":"RS256","kid":"b","typ":"AT+JWT"}`,
		`{"alg":"EdDSA","kid":"a","typ":"JWT","enc":"A128GCM"}`, `{"alg":"HS256","kid":"rfc8037","typ":"JWT"}`, `{"alg":"EdDSA","kid":"\u0000","typ":"JWT"}`, `{"alg":1}`, `{}`, ``,
	} {
		f.Add(header, fuzzedClaims, "", true)
	}
	f.Add(fuzzedHeader, fuzzedClaims, "c2lnbmF0dXJl", false)
	f.Add(fuzzedHeader, fuzzedClaims, "", false)
	f.Add("", "", "..", false)
	realm := new(fuzzedRealm)
	kc := realm.plugin(f)
	f.Cleanup(func() { _ = kc.Close() })
	f.Fuzz(func(t *testing.T, header, payload, signature string, sign bool) {
		raw := segment(header) + "." + segment(payload) + "." + signature
		right := signed(t, header, payload)
		if sign {
			raw = right
		}
		before := realm.now()
		user, err := kc.Authenticate(t.Context(), raw)
		got := kc.Explain(t.Context(), raw, ginkeycloak.WantRoles("admin"), ginkeycloak.WantClientRoles("billing", "clerk"), ginkeycloak.WantGroups("/eng"), ginkeycloak.WantScopes("email"))
		var claims map[string]any
		readable := json.Unmarshal([]byte(payload), &claims) == nil
		if acceptable(claims, before) != acceptable(claims, realm.now()) {
			return // it expired, or became valid, while keys were fetched
		}
		good := readable && acceptable(claims, before) && raw == right
		strict := isStrictToken(raw)
		if err == nil && !good {
			t.Errorf("Authenticate of a token of %s %s: let in, want it refused", header, payload)
		}
		if err != nil && good && strict {
			t.Errorf("Authenticate of a token of %s %s: %v, want it let in", header, payload, err)
		}
		if err == nil {
			checkUser(t, user, claims)
		}
		checkExplanation(t, got, err, header, payload, raw)
	})
}

// isStrictToken reports whether a token is one of RFC 7515 whose header names the realm's key: package token has a
// second reading of its own for it.
func isStrictToken(raw string) bool {
	jws, err := token.Parse(raw)
	if err != nil || jws.Header.KeyID != "rfc8037" || jws.Header.Algorithm != "EdDSA" {
		return false
	}
	if _, err := jws.Claims(); err != nil {
		return false
	}
	return regexp.MustCompile(`(?i)^(jwt|(application/)?at\+jwt)$`).MatchString(jws.Header.Type)
}

// checkUser compares a user with the claims that he was made of.
func checkUser(t *testing.T, user *ginkeycloak.User, claims map[string]any) {
	t.Helper()
	roles := func(access any) []any {
		object, _ := access.(map[string]any)
		list, _ := object["roles"].([]any)
		if slices.ContainsFunc(list, func(v any) bool { _, isText := v.(string); return !isText }) {
			return nil
		}
		return list
	}
	clients, _ := claims["resource_access"].(map[string]any)
	inRealm, inClient := slices.Contains(roles(claims["realm_access"]), any("admin")), slices.Contains(roles(clients["orders-api"]), any("admin"))
	if got := user.HasRole("admin"); got != (inRealm || inClient) {
		t.Errorf("HasRole(admin) = %t of %v, want %t", got, claims, !got)
	}
	if got := user.HasRealmRole("admin"); got != inRealm {
		t.Errorf("HasRealmRole(admin) = %t of %v, want %t", got, claims, inRealm)
	}
	if user.Subject != claims["sub"] {
		t.Errorf("the subject is %q, want that of %v", user.Subject, claims)
	}
	var all map[string]any
	if err := user.Claims(&all); err != nil || !reflect.DeepEqual(all, claims) {
		t.Errorf("Claims = %v, %v, want %v", all, err, claims)
	}
	if _, err := json.Marshal(user); err != nil {
		t.Errorf("the user of %v as JSON: %v", claims, err)
	}
}

// checkExplanation compares an explanation with the verdict, and looks for what it must not tell.
func checkExplanation(t *testing.T, got ginkeycloak.Explanation, err error, header, payload, raw string) {
	t.Helper()
	wants := []ginkeycloak.Code{ginkeycloak.CodeMissingRoles, ginkeycloak.CodeMissingGroups, ginkeycloak.CodeMissingScope}
	switch verdict, _ := err.(*ginkeycloak.Error); { //nolint:errorlint // it is documented to be one
	case verdict == nil && !got.Valid && !slices.Contains(wants, got.Code), verdict != nil && (got.Valid || got.Code != verdict.Code):
		t.Errorf("Explain of a token of %s %s = %s, but Authenticate: %v", header, payload, got, err)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{got.String(), string(text)} {
		if len(raw) > 32 && strings.Contains(shown, raw) {
			t.Errorf("Explain of a token of %s %s shows the token", header, payload)
		}
		if strings.ContainsFunc(shown, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) {
			t.Errorf("Explain of a token of %s %s shows control characters: %q", header, payload, shown)
		}
		if strings.Contains(shown, fuzzedSubject) && !strings.Contains(header+aboutToken(payload), fuzzedSubject) {
			t.Errorf("Explain of a token of %s %s says who the user is: %s", header, payload, shown)
		}
	}
}

// aboutToken is the part of a payload that is not about the user.
func aboutToken(payload string) string {
	var claims map[string]any
	if json.Unmarshal([]byte(payload), &claims) != nil {
		return payload
	}
	for _, name := range []string{"sub", "name", "preferred_username", "username", "given_name", "family_name", "email"} {
		delete(claims, name)
	}
	return fmt.Sprint(claims)
}

// FuzzAuthorization sends any Authorization field. The kind of answer follows from the grammar of the field and from
// what Authenticate says of the token in it, and no answer repeats the token.
func FuzzAuthorization(f *testing.F) {
	good := signed(f, fuzzedHeader, fuzzedClaims)
	for _, field := range []string{
		"Bearer " + good, "bearer " + good, "Bearer " + good + "=", "Bearer " + good + " ", "Bearer  " + good, "Bearer " + good + "," + good, good, "Basic " + good, "Bearer " + good[:len(good)-1], "Bearer " + good[1:],
		"", "Bearer", "Bearer ", "Bearer a", "Bearer a.b.c", "Bearer eyJ.eyJ.eyJ.eyJ", "Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer \"a\"", "Bearer {}", "Bearer Bearer a", "Bearer \u2026", "Bearer a\r\n b", "DPoP a",
		"Bearer " + signed(f, fuzzedHeader, "{}"), "Bearer " + signed(f, `{"alg":"EdDSA","typ":"JWT","kid":"new"}`, fuzzedClaims), "Bearer " + strings.Repeat("a", 20_000), "Bearer " + strings.Repeat("{", 20_000),
	} {
		f.Add(field)
	}
	realm := new(fuzzedRealm)
	kc, talkative := realm.plugin(f), realm.plugin(f, ginkeycloak.WithErrorDetails(true))
	f.Cleanup(func() { _ = kc.Close(); _ = talkative.Close() })
	a, b := &api{Engine: gin.New(), kc: kc}, &api{Engine: gin.New(), kc: talkative}
	for _, api := range []*api{a, b} {
		api.Use(api.kc.Middleware())
		api.GET("/me", api.me)
	}
	credentials := regexp.MustCompile(`^(?i:bearer) ([A-Za-z0-9\-._~+/]+=*)$`)
	scheme := regexp.MustCompile("^(?i:bearer)($|[^A-Za-z0-9!#$%&'*+.^_`|~-])")
	f.Fuzz(func(t *testing.T, field string) {
		request := func() *http.Request {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/me", http.NoBody)
			r.Header["Authorization"] = []string{field}
			return r
		}
		kind, raw := kindReq, ""
		if longest := len("Bearer ") + token.MaxSize; len(field) > longest && strings.EqualFold(field[:len("Bearer ")], "bearer ") {
			kind = kindTok // what is too long is not read any further
		} else if parts := credentials.FindStringSubmatch(field); parts != nil {
			kind, raw = kindOK, parts[1]
			if _, err := kc.Authenticate(t.Context(), raw); err != nil {
				kind = kindTok
			}
		} else if !scheme.MatchString(field) {
			kind = kindNone
		}
		got := a.do(t, request())
		checkKind(t, fmt.Sprintf("GET /me with Authorization: %q", field), got, kind)
		if kind == kindOK && !got.ran {
			t.Errorf("GET /me with Authorization: %q = 200, but the handler did not run", field)
		}
		detailed := b.do(t, request())
		if detailed.status != got.status || detailed.code != got.code || detailed.ran != got.ran {
			t.Errorf("GET /me with Authorization: %q = %d %s with details, %d %s without", field, detailed.status, detailed.code, got.status, got.code)
		}
		if !json.Valid([]byte(detailed.body)) || len(raw) > 16 && strings.Contains(detailed.body, raw) {
			t.Errorf("GET /me with Authorization: %q = %s", field, detailed.body)
		}
	})
}

// FuzzIntrospection has the introspection endpoint answer anything. Only the word true and claims that are good by a
// second reading of the rules let anybody in, and nothing but that.
func FuzzIntrospection(f *testing.F) {
	active := strings.Replace(fuzzedClaims, "{", `{"active":true,"client_id":"shop","username":"marked-alice","token_type":"Bearer",`, 1)
	replace := func(old, with string) string { return strings.Replace(active, old, with, 1) }
	for _, answer := range []string{
		active, `{"active":false}`, `{}`, `null`, `[]`, `true`, ``, `<html>`, `{"active":"true"}`, replace("true", `"true"`), replace("true", "1"), replace("true", "null"), replace("true", "false"), replace("true", "[true]"),
		replace(`"active"`, `"Active"`), replace(`"active":true`, `"active":false,"active":true`), replace(`"active":true`, `"active":true,"active":false`), replace(`"typ":"Bearer",`, ""), replace(`"Bearer","azp"`, `"ID","azp"`),
		replace(`"typ":"Bearer"`, `"typ":null`), replace("9999999999", "1784889969"), replace(`"exp":9999999999,`, ""), replace("/realms/demo", "/realms/other"), replace(`"orders-api","account"`, `"account"`), replace(`"sub":"marked-alice",`, ""),
		replace(`"sid":"s"`, `"cnf":null`), replace(`"sid":"s"`, `"sid":{}`), active + active, " " + active, active + "\n",
	} {
		f.Add(answer)
	}
	realm := new(fuzzedRealm)
	var body string
	realm.answer = func(*http.Request) (int, string) { return http.StatusOK, body }
	kc := realm.plugin(f, ginkeycloak.WithIntrospection(ginkeycloak.IntrospectionCache(1, 0)), ginkeycloak.WithIntrospectionURL(fuzzedIssuer+"/introspect"))
	f.Cleanup(func() { _ = kc.Close() })
	asked := 0
	f.Fuzz(func(t *testing.T, answer string) {
		body = answer
		asked++ // a refused token is remembered, so each is a new one
		user, err := kc.Authenticate(t.Context(), fmt.Sprintf("opaque-%d", asked))
		var claims map[string]any
		good := json.Unmarshal([]byte(answer), &claims) == nil && claims["active"] == true && acceptable(withType(claims), realm.now())
		_, strictErr := token.DecodeClaims(answer)
		switch {
		case err == nil && !good:
			t.Errorf("introspection answered %s: let in, want it refused", answer)
		case err != nil && good && strictErr == nil:
			t.Errorf("introspection answered %s: %v, want it let in", answer, err)
		case err == nil:
			checkUser(t, user, claims)
		case strings.Contains(err.Error(), fuzzedSubject) || strings.Contains(err.Error(), "panic"):
			t.Errorf("introspection answered %s: the error says %q", answer, err)
		}
		if claims["active"] == false && good {
			t.Errorf("the oracle takes %s", answer)
		}
	})
}

// withType are the claims with token_type standing in for typ where that is missing (RFC 7662 §2.2).
func withType(claims map[string]any) map[string]any {
	whole := make(map[string]any, len(claims)+1)
	for name, value := range claims {
		whole[name] = value
	}
	if typ := claims["typ"]; typ == nil || typ == "" {
		whole["typ"] = claims["token_type"]
	}
	return whole
}

// FuzzRefresh sends any body to the refresh route, and has the token endpoint answer anything. The endpoint is asked
// once at the most, for the one token in the body; the route answers with a status of its own, and repeats nothing.
func FuzzRefresh(f *testing.F) {
	const good = `{"access_token":"at","expires_in":300,"refresh_expires_in":1800,"refresh_token":"rt","token_type":"Bearer","not-before-policy":0,"session_state":"s","scope":"openid"}`
	for _, request := range []struct{ contentType, body string }{
		{"application/json", `{"refresh_token":"marked-refresh-token"}`}, {"application/json; charset=utf-8", `{"refresh_token":"marked-refresh-token"}`}, {"application/json", `{"Refresh_Token":"x"}`},
		{"application/json", `{"refresh_token":"a","refresh_token":"b"}`}, {"application/json", `{"refresh_token":["a"]}`}, {"application/json", `{"refresh_token":null}`}, {"application/json", `[]`}, {"application/json", `null`},
		{"application/x-www-form-urlencoded", "refresh_token=marked-refresh-token"}, {"application/x-www-form-urlencoded", "refresh_token=a&refresh_token=b"}, {"application/x-www-form-urlencoded", "refresh_token=%zz"},
		{"application/x-www-form-urlencoded", "refresh_token=a;b"}, {"application/x-www-form-urlencoded", "refresh_token=a%26client_id%3Devil"}, {"text/plain", "refresh_token=a"}, {"multipart/form-data; boundary=x", "--x--"}, {"", ""}, {";", "{}"},
		{"application/json", `{"refresh_token":"` + strings.Repeat("a", 20_000) + `"}`}, {"application/json", strings.Repeat(" ", 70_000)},
	} {
		f.Add(request.contentType, request.body, uint16(200), good)
	}
	for _, answer := range []struct {
		status uint16
		body   string
	}{
		{200, `{}`}, {200, `{"access_token":""}`}, {200, `{"access_token":1}`}, {200, `{"access_token":"a","expires_in":"300"}`}, {200, `{"access_token":"a","access_token":"b"}`}, {200, `<html>`}, {204, ``}, {302, ``},
		{400, `{"error":"invalid_grant","error_description":"marked-description"}`}, {400, `{"error":"invalid_client"}`}, {400, `{"error":"invalid_request"}`}, {400, `{"error":["invalid_grant"]}`}, {400, `{`}, {401, `{}`}, {403, `{}`}, {404, ``}, {429, ``}, {500, `x`}, {999, ``},
	} {
		f.Add("application/json", `{"refresh_token":"marked-refresh-token"}`, answer.status, answer.body)
	}
	f.Fuzz(func(t *testing.T, contentType, body string, status uint16, answer string) {
		var asked []string
		realm := &fuzzedRealm{answer: func(r *http.Request) (int, string) {
			if err := r.ParseForm(); err != nil || len(r.PostForm) != 2 || len(r.PostForm["refresh_token"]) != 1 || r.PostForm.Get("grant_type") != "refresh_token" {
				t.Errorf("%q %q asks for %v, %v", contentType, body, r.PostForm, err)
			}
			asked = append(asked, r.PostForm.Get("refresh_token"))
			return int(status), answer
		}}
		kc := realm.plugin(t, ginkeycloak.WithTokenURL(fuzzedIssuer+"/token"), ginkeycloak.WithRefresh(0)) // a new one: its breaker would remember
		defer kc.Close()
		a := &api{Engine: gin.New(), kc: kc}
		a.Use(kc.Middleware())
		kc.RegisterRefreshRoute(a)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/auth/refresh", strings.NewReader(body))
		r.Header["Content-Type"] = []string{contentType}
		got := a.do(t, r)

		if len(asked) > 1 || len(asked) == 1 && !strings.Contains(carried(body), asked[0]) {
			t.Errorf("%q %q asks Keycloak for %q", contentType, body, asked)
		}
		if want := refreshStatus(len(asked) == 1, int(status), answer); !slices.Contains(want, got.status) {
			t.Errorf("%q %q, Keycloak asked %d times and answering %d %s = %d %s, want one of %v", contentType, body, len(asked), status, answer, got.status, got.body, want)
		}
		if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Set-Cookie") != "" || !json.Valid([]byte(got.body)) {
			t.Errorf("%q %q = %v %s", contentType, body, got.header, got.body)
		}
		if got.status != http.StatusOK && (got.code == "" || strings.Contains(got.body, "marked-")) {
			t.Errorf("%q %q, Keycloak answering %d %s = %s", contentType, body, status, answer, got.body)
		}
	})
}

// carried is all that a body says, in one text: as it is, and with what JSON and forms escape undone.
func carried(body string) string {
	var b bytes.Buffer
	b.WriteString(body)
	var object map[string]any
	if json.Unmarshal([]byte(body), &object) == nil {
		fmt.Fprint(&b, object)
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)) //nolint:noctx // it only parses
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if r.ParseForm() == nil {
		fmt.Fprint(&b, r.PostForm)
	}
	return b.String()
}

// refreshStatus are the statuses that a request to refresh may be answered with.
func refreshStatus(asked bool, status int, answer string) []int {
	if !asked {
		return []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType}
	}
	var tokens struct {
		AccessToken string `json:"access_token"`
	}
	switch {
	case status == http.StatusOK && json.Unmarshal([]byte(answer), &tokens) == nil && tokens.AccessToken != "":
		return []int{http.StatusOK, http.StatusServiceUnavailable} // encoding/json is laxer about what is JSON
	case status == http.StatusBadRequest:
		return []int{http.StatusBadRequest, http.StatusServiceUnavailable}
	}
	return []int{http.StatusServiceUnavailable}
}
