package integration_test

// The contract is what a Keycloak answers. It is checked in the same words on the fake of package keycloaktest and on
// a real one, and where they differ, the real one is right.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/c0mpiler/ginkeycloak/integration/keycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// Endpoints, below the issuer.
const (
	tokenPath         = "/protocol/openid-connect/token"
	introspectionPath = "/protocol/openid-connect/token/introspect"
	keySetPath        = "/protocol/openid-connect/certs"
	authPath          = "/protocol/openid-connect/auth"
	logoutPath        = "/protocol/openid-connect/logout"
	userinfoPath      = "/protocol/openid-connect/userinfo"
	discoveryPath     = "/.well-known/openid-configuration"
)

// target is one Keycloak that the contract is checked on.
type target struct {
	server string // base URL
	issuer string
	major  int // of its version; the fake speaks as 26
	admin  administrator
	fresh  func(t *testing.T) *target // one more, with keys of its own

	// called is one more whose public name is another one than that of server, where it is reached.
	called func(t *testing.T, publicURL string) *target

	lasting func(t *testing.T, lifespan time.Duration) *target // one more, whose access tokens live for so long

	stop, start func(t *testing.T) // of the whole server; it is the same one afterwards
}

// administrator is what the admin of a realm does behind the back of its clients.
type administrator interface {
	RotateRealmKey(ctx context.Context) error
	RemoveOldKeys(ctx context.Context) error
	LogoutUser(ctx context.Context, username string) error
	SetNotBefore(ctx context.Context, t time.Time) error
}

// contract runs check on the fake and on the real Keycloak.
func contract(t *testing.T, check func(t *testing.T, kc *target)) {
	t.Helper()
	t.Run("fake", func(t *testing.T) { check(t, fakeTarget(t)) })
	t.Run("keycloak-"+keycloak.Version(), func(t *testing.T) { check(t, realTarget(t)) })
}

func fakeTarget(t *testing.T) *target {
	t.Helper()
	s := keycloaktest.New(t,
		keycloaktest.WithUser(keycloaktest.User{
			Username: "carol", Password: "carol", Email: "carol@example.com", EmailVerified: true,
			FirstName: "Carol", LastName: "C",
			RealmRoles: []string{"viewer"}, ClientRoles: map[string][]string{"billing": {"admin"}},
		}),
		keycloaktest.WithClient(keycloaktest.Client{
			ID: "signer", ServiceAccount: true, PublicKey: signerKey().Public(), KeyID: "signer-1",
			Audience: []string{"signer"},
		}),
		keycloaktest.WithClient(keycloaktest.Client{
			ID: difficult.id, Secret: difficult.secret, ServiceAccount: true, Audience: []string{difficult.id},
		}))
	return &target{
		server: s.URL(), issuer: s.Issuer(), major: 26, admin: fakeAdmin{s}, fresh: fakeTarget,
		called: func(t *testing.T, publicURL string) *target {
			t.Helper()
			return anotherFake(t, keycloaktest.WithIssuer(publicURL+"/realms/demo"))
		},
		lasting: func(t *testing.T, lifespan time.Duration) *target {
			t.Helper()
			return anotherFake(t, keycloaktest.WithTokenLifespan(lifespan))
		},
		stop: func(*testing.T) { s.Stop() }, start: func(*testing.T) { s.Restart() },
	}
}

func anotherFake(t *testing.T, opts ...keycloaktest.Option) *target {
	t.Helper()
	s := keycloaktest.New(t, opts...)
	return &target{server: s.URL(), issuer: s.URL() + "/realms/demo", major: 26, admin: fakeAdmin{s}}
}

// fakeAdmin is the administrator of the fake.
type fakeAdmin struct{ fake *keycloaktest.Server }

func (a fakeAdmin) RotateRealmKey(context.Context) error { a.fake.RotateKeys(); return nil }
func (a fakeAdmin) RemoveOldKeys(context.Context) error  { a.fake.RemoveOldKeys(); return nil }

func (a fakeAdmin) LogoutUser(_ context.Context, username string) error {
	a.fake.LogoutUser(username)
	return nil
}

func (a fakeAdmin) SetNotBefore(_ context.Context, t time.Time) error {
	a.fake.RevokeBefore(t)
	return nil
}

func realTarget(t *testing.T) *target {
	t.Helper()
	s := requireKeycloak(t)
	kc := &target{
		server: s.URL(), issuer: s.Issuer(), admin: s.Admin(),
		stop:  func(t *testing.T) { t.Helper(); do(t, s.Stop()) },
		start: func(t *testing.T) { t.Helper(); do(t, s.Restart(t.Context())) },
	}
	if _, err := fmt.Sscanf(s.Version(), "%d.", &kc.major); err != nil {
		t.Fatalf("version %q: %v", s.Version(), err)
	}
	another := func(t *testing.T, settings map[string]any) *target {
		t.Helper()
		name := "own-" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-", ".", "-").Replace(t.Name()))
		admin, err := s.CreateRealm(t.Context(), name, realmFile)
		if err != nil {
			t.Fatalf("create a realm: %v", err)
		}
		t.Cleanup(func() { do(t, admin.DeleteRealm(context.Background())) })
		if len(settings) > 0 {
			do(t, admin.UpdateRealm(t.Context(), settings))
		}
		return &target{server: s.URL(), issuer: admin.Issuer(), major: kc.major, admin: admin}
	}
	kc.fresh = func(t *testing.T) *target { t.Helper(); return another(t, nil) }
	kc.called = func(t *testing.T, publicURL string) *target {
		t.Helper()
		return another(t, map[string]any{"attributes": map[string]any{"frontendUrl": publicURL}})
	}
	kc.lasting = func(t *testing.T, lifespan time.Duration) *target {
		t.Helper()
		return another(t, map[string]any{"accessTokenLifespan": int(lifespan.Seconds())})
	}
	return kc
}

// do fails the test if something that only prepares it went wrong.
func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// since26 skips a test of what older Keycloaks cannot do.
func (kc *target) since26(t *testing.T, reason string) {
	t.Helper()
	if reason != "" && kc.major < 26 {
		t.Skipf("Keycloak %d: %s", kc.major, reason)
	}
}

// answer is what a request led to.
type answer struct {
	url    *url.URL
	status int
	header http.Header
	body   string
}

// basic are the credentials of a client, sent by HTTP Basic. The zero value sends none.
type basic struct{ id, secret string }

var (
	ordersAPI = basic{"orders-api", "s3cret"}
	billing   = basic{"billing", "s3cret"}
	light     = basic{"light", "s3cret"}
	signer    = basic{id: "signer"} // authenticates by private_key_jwt
	difficult = basic{"difficult", "+ %2B&=:;\"'/\\?ü€"}
)

// values makes a form of names and values in turn. A value "-" leaves its name out.
func values(pairs ...string) url.Values {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "-" {
			form.Set(pairs[i], pairs[i+1])
		}
	}
	return form
}

// with is form with some values replaced or, by "-", removed.
func with(form url.Values, pairs ...string) url.Values {
	changed := maps.Clone(form)
	for i := 0; i < len(pairs); i += 2 {
		changed.Del(pairs[i])
	}
	maps.Copy(changed, values(pairs...))
	return changed
}

// post sends a form to an endpoint of the realm.
func (kc *target) post(t *testing.T, path string, form url.Values, client basic) answer {
	t.Helper()
	req := newRequest(t, http.MethodPost, kc.issuer+path, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client.id != "" {
		req.SetBasicAuth(client.id, client.secret)
	}
	return roundTrip(t, http.DefaultClient, req)
}

// get asks for a document of the realm.
func (kc *target) get(t *testing.T, path string) answer {
	t.Helper()
	return roundTrip(t, http.DefaultClient, newRequest(t, http.MethodGet, kc.issuer+path, nil))
}

func newRequest(t *testing.T, method, target string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	do(t, err)
	return req
}

func roundTrip(t *testing.T, client *http.Client, req *http.Request) answer {
	t.Helper()
	got, err := send(client, req)
	do(t, err)
	return got
}

func send(client *http.Client, req *http.Request) (answer, error) {
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return answer{resp.Request.URL, resp.StatusCode, resp.Header, string(body)}, err
}

// tokens is a successful answer of the token endpoint.
type tokens struct {
	Access  string `json:"access_token"`
	ID      string `json:"id_token"`
	Refresh string `json:"refresh_token"`
	Session string `json:"session_state"`
}

// login gets tokens by the password grant; all users have their name as password.
func (kc *target) login(t *testing.T, client basic, username, scope string) tokens {
	t.Helper()
	return kc.tokens(t, kc.post(t, tokenPath, passwordForm(username, scope), client))
}

func passwordForm(username, scope string) url.Values {
	return values("grant_type", "password", "username", username, "password", username, "scope", scope)
}

// public is passwordForm for a public client, which has no credentials but its name.
func public(clientID string, form url.Values) url.Values { return with(form, "client_id", clientID) }

// tokens reads a successful answer of the token endpoint.
func (kc *target) tokens(t *testing.T, got answer) tokens {
	t.Helper()
	if got.status != http.StatusOK {
		t.Fatalf("the token endpoint said %d %s, want 200", got.status, got.body)
	}
	var tok tokens
	do(t, json.Unmarshal([]byte(got.body), &tok))
	return tok
}

// refusal is an error as OAuth endpoints write it (RFC 6749 §5.2).
type refusal struct {
	status      int
	code        string
	description string
}

func (r refusal) body() string {
	if r.description == "" {
		return fmt.Sprintf(`{"error":%q}`, r.code)
	}
	return fmt.Sprintf(`{"error":%q,"error_description":%q}`, r.code, r.description)
}

// checkRefusal compares an error to the last character: clients tell errors apart by these texts. before26, where
// given, is what older versions say.
func (kc *target) checkRefusal(t *testing.T, got answer, want, before26 refusal) {
	t.Helper()
	if kc.major < 26 && before26 != (refusal{}) {
		want = before26
	}
	if got.status != want.status || got.body != want.body() {
		t.Errorf("got  %d %.500s\nwant %d %s", got.status, got.body, want.status, want.body())
	}
	checkHeader(t, got, "Content-Type", "application/json")
}

// checkHeader compares a header; "" means that it is absent. A charset is of no importance to JSON, and Keycloak
// names one or does not.
func checkHeader(t *testing.T, got answer, name, want string) {
	t.Helper()
	value := strings.TrimSuffix(strings.ToLower(strings.Join(got.header.Values(name), "|")), ";charset=utf-8")
	if value != want {
		t.Errorf("%s = %q, want %q", name, value, want)
	}
}

// checkJSON compares a JSON object to want, member by member, after generalize. before26 is a merge patch (RFC 7396)
// to want: what is different in older versions.
func (kc *target) checkJSON(t *testing.T, got map[string]any, want, before26 string) {
	t.Helper()
	expected := object(t, want)
	if kc.major < 26 && before26 != "" {
		for name, v := range object(t, before26) {
			expected[name] = v
			if v == nil {
				delete(expected, name)
			}
		}
	}
	if diff := cmp.Diff(kc.generalize(expected), kc.generalize(got)); diff != "" {
		t.Errorf("differs from the contract (-want +got):\n%s", diff)
	}
}

// object parses a JSON object.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%v: %.500s", err, text)
	}
	return o
}

// generalize replaces what is different in every run by what it is, and sorts what has no order.
func (kc *target) generalize(o map[string]any) map[string]any {
	general := make(map[string]any, len(o))
	for name, v := range o {
		general[name] = kc.generalizeValue(name, v)
	}
	if kc.major < 26 {
		// Until 25 a token had its session twice, and an ID a bare UUID.
		if o["session_state"] == o["sid"] {
			delete(general, "session_state")
		}
		if id, ok := general["jti"].(string); ok && strings.HasSuffix(id, "<uuid>") {
			general["jti"] = "<uuid>"
		}
	}
	return general
}

var (
	uuid      = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	sessionID = regexp.MustCompile(`^([A-Za-z0-9_-]{24}|<uuid>)$`) // since 26.5, and before
	jwt       = regexp.MustCompile(`^[\w-]+\.[\w-]+\.[\w-]+$`)
	kid       = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
)

func (kc *target) generalizeValue(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		return kc.generalize(v)
	case []any:
		return kc.generalizeList(name, v)
	case float64:
		return generalizeNumber(name, v)
	case string:
		return kc.generalizeText(name, v)
	}
	return v
}

// generalizeList sorts a list: Keycloak keeps roles, audiences and origins in sets.
func (kc *target) generalizeList(name string, list []any) any {
	general := make([]string, len(list))
	for i, v := range list {
		general[i] = fmt.Sprint(kc.generalizeValue(name, v))
	}
	slices.Sort(general)
	return general
}

func generalizeNumber(name string, v float64) any {
	now := float64(time.Now().Unix())
	switch {
	case (name == "iat" || name == "auth_time") && now-30 <= v && v <= now+1:
		return "<now>"
	case name == "exp" && now < v && v <= now+301:
		return "<in 5 minutes>"
	case name == "exp" && now+1500 < v && v <= now+1801:
		return "<in 30 minutes>"
	case name == "expires_in" && v > 290 && v <= 300:
		return "<5 minutes>" // 299 where a second went by between the login and the exchange of the code
	case name == "refresh_expires_in" && v > 1790 && v <= 1800:
		return "<30 minutes>"
	}
	return v
}

func (kc *target) generalizeText(name, v string) any {
	v = uuid.ReplaceAllString(strings.ReplaceAll(v, kc.issuer, "<issuer>"), "<uuid>")
	switch {
	case (name == "sid" || name == "session_state") && sessionID.MatchString(v):
		return "<session>"
	case strings.HasSuffix(name, "_token") && jwt.MatchString(v):
		return "<jwt>"
	case name == "kid" && kid.MatchString(v):
		return "<kid>"
	case name == "scope":
		return strings.Join(slices.Sorted(slices.Values(strings.Fields(v))), " ")
	case name == "allowed-origins":
		return strings.Replace(v, ":*", ":8080", 1) // the fake allows its clients any port
	}
	return v
}
