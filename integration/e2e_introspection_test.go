package integration_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/integration/keycloak"
)

// Introspection end to end.

var (
	onDemand = []ginkeycloak.IntrospectionOption{ginkeycloak.IntrospectOnDemand()}
	opaque   = []ginkeycloak.IntrospectionOption{ginkeycloak.IntrospectOpaque()}

	introspectionModes = map[string][]ginkeycloak.IntrospectionOption{"every token": nil, "opaque": opaque, "on demand": onDemand}
)

func TestIntrospectedUserIsTheValidatedOne(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		local, introspecting := newAPI(t, kc), newIntrospectingAPI(t, kc, nil)
		for name, token := range map[string]string{
			"alice": kc.login(t, ordersAPI, "alice", "openid").Access,
			"bob":   kc.login(t, ordersAPI, "bob", "-").Access,
			"alice at a public client": kc.tokens(t,
				kc.post(t, tokenPath, public("spa", passwordForm("alice", "-")), basic{})).Access,
			"the service account": kc.serviceToken(t, ordersAPI),
		} {
			t.Run(name, func(t *testing.T) {
				before := introspecting.calls.to(introspectionPath)
				for _, route := range []string{"/me", "/admin", "/manage", "/eng", "/openid"} {
					got, want := introspecting.get(t, route, token), local.get(t, route, token)
					if got.status != want.status || got.body != want.body {
						t.Errorf("GET %s by introspection:\ngot  %d %s\nwant %d %s", route, got.status, got.body, want.status, want.body)
					}
				}
				checkSameUser(t, local.authenticate(t, token), introspecting.authenticate(t, token))
				if n := introspecting.calls.to(introspectionPath) - before; n != 1 {
					t.Errorf("Keycloak was asked %d times about one token, want once", n)
				}
			})
		}
		if n := introspecting.calls.to(keySetPath); n != 0 {
			t.Errorf("the keys were fetched %d times, want never: nobody needs them", n)
		}
	})
}

func (a *api) authenticate(t *testing.T, token string) *ginkeycloak.User {
	t.Helper()
	user, err := a.Authenticate(t.Context(), token)
	do(t, err)
	return user
}

// checkSameUser compares users but for the fields that are named.
func checkSameUser(t *testing.T, want, got *ginkeycloak.User, but ...string) {
	t.Helper()
	for what, list := range map[string]func(*ginkeycloak.User) []string{
		"realm roles":         (*ginkeycloak.User).RealmRoles,
		"roles of orders-api": func(u *ginkeycloak.User) []string { return u.ClientRoles("orders-api") },
		"roles of account":    func(u *ginkeycloak.User) []string { return u.ClientRoles("account") },
		"roles for HasRole":   (*ginkeycloak.User).Roles,
		"groups":              (*ginkeycloak.User).Groups,
		"scopes":              func(u *ginkeycloak.User) []string { return u.Scopes },
	} {
		sorted := cmpopts.SortSlices(func(a, b string) bool { return a < b })
		if diff := cmp.Diff(list(want), list(got), sorted, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	ignored := append([]string{"Scopes"}, but...)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(ginkeycloak.User{}), cmpopts.IgnoreFields(ginkeycloak.User{}, ignored...)); diff != "" {
		t.Errorf("user (-want +got):\n%s", diff)
	}
}

// A lightweight token leaves out who the user is and what he may; introspection adds it.
func TestLightweightTokenIsFilledUp(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		full := newAPI(t, kc)
		fullToken := kc.login(t, ordersAPI, "alice", "openid").Access
		token := kc.login(t, light, "alice", "openid").Access
		for name, mode := range introspectionModes {
			t.Run(name, func(t *testing.T) {
				a := newIntrospectingAPI(t, kc, mode)
				for _, route := range []string{"/me", "/admin", "/manage", "/eng", "/openid"} {
					got, want := a.get(t, route, token), full.get(t, route, fullToken)
					a.checkCode(t, "GET "+route, got, "")
					if diff := cmp.Diff(kc.generalize(object(t, want.body)), kc.generalize(object(t, got.body))); diff != "" {
						t.Errorf("GET %s differs from that with a full token (-want +got):\n%s", route, diff)
					}
				}
				user := a.authenticate(t, token)
				checkSameUser(t, full.authenticate(t, fullToken), user, "Audience", "AuthorizedParty", "SessionID", "ExpiresAt")
				if user.AuthorizedParty != "light" || user.SessionID == "" || time.Until(user.ExpiresAt) < time.Minute {
					t.Errorf("azp, sid, exp = %q, %q, %s", user.AuthorizedParty, user.SessionID, user.ExpiresAt)
				}
				if n := a.calls.to(introspectionPath); n != 1 {
					t.Errorf("Keycloak was asked %d times about one token, want once", n)
				}

				forged := token[:len(token)-12] + "AAAAAAAAAAAA"
				if name != "every token" { // there the signature is Keycloak's affair
					a.checkRefused(t, "with another signature", a.get(t, "/me", forged), ginkeycloak.CodeInvalidSignature)
					if n := a.calls.to(introspectionPath); n != 1 {
						t.Error("Keycloak was asked about a token with a bad signature")
					}
					return
				}
				a.checkRefused(t, "with another signature", a.get(t, "/me", forged), ginkeycloak.CodeTokenInactive)
			})
		}
	})
}

// TestLogoutTakesEffect has the administrator log a user out, which the token itself does not tell.
func TestLogoutTakesEffect(t *testing.T) {
	const ttl = 2 * time.Second
	contract(t, func(t *testing.T, kc *target) {
		local := newAPI(t, kc)
		cached := newIntrospectingAPI(t, kc, []ginkeycloak.IntrospectionOption{ginkeycloak.IntrospectionCache(100, ttl)})
		uncached := newIntrospectingAPI(t, kc, []ginkeycloak.IntrospectionOption{ginkeycloak.IntrospectionCache(100, 0)})
		marked := newIntrospectingAPI(t, kc, onDemand)
		token := kc.login(t, ordersAPI, "bob", "-").Access
		for name, a := range map[string]*api{"local": local, "cached": cached, "uncached": uncached, "on demand": marked} {
			a.checkCode(t, name+", before", a.get(t, "/me", token), "")
		}
		marked.checkCode(t, "RequireActive, before", marked.get(t, "/active", token), "")
		cached.checkCode(t, "RequireActive and introspection, before", cached.get(t, "/active", token), "")

		do(t, kc.admin.LogoutUser(t.Context(), "bob"))
		began := time.Now()
		marked.checkRefused(t, "RequireActive", marked.get(t, "/active", token), ginkeycloak.CodeTokenInactive)
		uncached.checkRefused(t, "introspection without a cache", uncached.get(t, "/me", token), ginkeycloak.CodeTokenInactive)
		marked.checkCode(t, "a route that is not marked", marked.get(t, "/me", token), "")
		local.checkCode(t, "local validation", local.get(t, "/me", token), "")

		got := eventually(t, 3*ttl, func() answer { return cached.get(t, "/me", token) }, refused)
		cached.checkRefused(t, "introspection with a cache", got, ginkeycloak.CodeTokenInactive)
		t.Logf("refused %s after the logout, with a cache of %s", time.Since(began).Round(10*time.Millisecond), ttl)
		calls := cached.calls.to(introspectionPath)
		for range 10 {
			cached.checkRefused(t, "again", cached.get(t, "/me", token), ginkeycloak.CodeTokenInactive)
		}
		if n := cached.calls.to(introspectionPath) - calls; n != 0 {
			t.Errorf("Keycloak was asked %d times about a token that it had just called inactive, want never", n)
		}
	})
}

// What RequireActive finds out counts for the routes behind the cache too.
func TestRequireActiveTeachesTheCache(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		a := newIntrospectingAPI(t, kc, nil)
		token := kc.login(t, ordersAPI, "bob", "-").Access
		a.checkCode(t, "before", a.get(t, "/me", token), "")
		do(t, kc.admin.LogoutUser(t.Context(), "bob"))
		a.checkCode(t, "from the cache", a.get(t, "/me", token), "")
		a.checkRefused(t, "RequireActive", a.get(t, "/active", token), ginkeycloak.CodeTokenInactive)
		a.checkRefused(t, "then everywhere", a.get(t, "/me", token), ginkeycloak.CodeTokenInactive)
	})
}

func TestIntrospectionWithAWrongSecret(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		a := newIntrospectingAPI(t, kc, nil, ginkeycloak.WithClientSecret("wrong"))
		for range 8 {
			token := kc.login(t, ordersAPI, "alice", "-").Access
			a.checkRefused(t, "GET /me", a.get(t, "/me", token), ginkeycloak.CodeConfig)
		}
		if n := len(a.log.lines("level=ERROR", "CLIENT CREDENTIALS REFUSED", "orders-api")); n != 1 {
			t.Errorf("the log says it %d times, want once:\n%s", n, a.log.lines())
		}
		if lines := a.log.lines("wrong"); len(lines) > 0 {
			t.Errorf("the log shows the secret: %s", lines)
		}
	})
}

// Keycloak calls an ID token active, and adds roles that are not even in it.
func TestIDTokenIsNoAccessToken(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		token := kc.login(t, ordersAPI, "alice", "openid").ID
		if got := kc.introspect(t, token, ordersAPI); got["active"] != true || got["realm_access"] == nil {
			t.Fatalf("introspection of an ID token = %v, want active, with roles", got)
		}
		for name, mode := range introspectionModes {
			a := newIntrospectingAPI(t, kc, mode)
			for _, route := range []string{"/me", "/admin", "/active"} {
				a.checkRefused(t, name+": GET "+route, a.get(t, route, token), ginkeycloak.CodeInvalidTokenType)
			}
		}
	})
}

// A token for another API is inactive to us, and Keycloak does not say why: the log does.
func TestIntrospectionOutsideTheAudience(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		want, hints := ginkeycloak.CodeTokenInactive, 1
		if kc.major < 26 {
			want, hints = ginkeycloak.CodeInvalidClaims, 0 // Keycloak tells whoever asks; our own rule holds
		}
		a := newIntrospectingAPI(t, kc, nil)
		for range 3 {
			a.checkRefused(t, "GET /me", a.get(t, "/me", kc.login(t, billing, "carol", "-").Access), want)
		}
		if n := len(a.log.lines("level=WARN", "oidc-audience-mapper", "client_id=orders-api")); n != hints {
			t.Errorf("the log names the audience mapper %d times, want %d:\n%s", n, hints, a.log.lines())
		}
		a.checkCode(t, "a token for us", a.get(t, "/me", kc.login(t, ordersAPI, "carol", "-").Access), "")
	})
}

func TestIntrospectionClientAuthentication(t *testing.T) {
	der, err := x509.MarshalPKCS8PrivateKey(signerKey())
	do(t, err)
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	tests := []struct {
		name   string
		client basic
		opts   []ginkeycloak.Option
	}{
		{"client_secret_basic", ordersAPI, nil},
		{"client_secret_post", ordersAPI, []ginkeycloak.Option{ginkeycloak.WithClientSecretPost()}},
		{"client_secret_basic with a difficult secret", difficult, nil},
		{"client_secret_post with a difficult secret", difficult, []ginkeycloak.Option{ginkeycloak.WithClientSecretPost()}},
		{"private_key_jwt, key as PEM", signer, []ginkeycloak.Option{ginkeycloak.WithClientKey(asPEM)}},
		{"private_key_jwt, key as JWK", signer, []ginkeycloak.Option{ginkeycloak.WithClientKey(signerJWK(t))}},
	}
	contract(t, func(t *testing.T, kc *target) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				opts := append([]ginkeycloak.Option{
					ginkeycloak.WithClientID(tt.client.id), ginkeycloak.WithClientSecret(tt.client.secret),
				}, tt.opts...)
				a := newIntrospectingAPI(t, kc, nil, opts...)
				form := values("grant_type", "client_credentials")
				if tt.client == signer {
					form = with(form, "client_assertion_type", assertionType, "client_assertion", newAssertion(kc).sign(t, signerKey()))
				} else {
					form = with(form, "client_id", tt.client.id, "client_secret", tt.client.secret)
				}
				token := kc.tokens(t, kc.post(t, tokenPath, form, basic{})).Access
				for range 3 { // an assertion that is used twice is refused
					a.checkCode(t, "GET /active", a.get(t, "/active", token), "")
				}
				if lines := a.log.lines("level="); len(lines) > 0 {
					t.Errorf("the log has something to say: %s", lines)
				}
			})
		}
	})
}

// TestPrivateKeyJWTByInternalAddress: a Keycloak without a fixed host name takes assertions for the name that it was
// called by only, and that is the internal one.
func TestPrivateKeyJWTByInternalAddress(t *testing.T) {
	const publicURL = "http://sso.example.invalid"
	t.Run("keycloak-"+keycloak.Version(), func(t *testing.T) {
		kc := realTarget(t)
		a := newIntrospectingAPI(t, kc, nil,
			ginkeycloak.WithServerURL(publicURL), ginkeycloak.WithInternalURL(kc.server),
			ginkeycloak.WithIssuer(publicURL+"/realms/demo", kc.issuer),
			ginkeycloak.WithClientID(signer.id), ginkeycloak.WithClientSecret(""), ginkeycloak.WithClientKey(signerJWK(t)))
		form := values("grant_type", "client_credentials",
			"client_assertion_type", assertionType, "client_assertion", newAssertion(kc).sign(t, signerKey()))
		token := kc.tokens(t, kc.post(t, tokenPath, form, basic{})).Access
		a.checkCode(t, "GET /me", a.get(t, "/me", token), "")
	})
}

// signerJWK is the private key of client signer as JSON Web Key (RFC 7517 §4, RFC 7518 §6.3.2).
func signerJWK(t *testing.T) []byte {
	t.Helper()
	key := signerKey()
	number := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	jwk, err := json.Marshal(map[string]string{
		"kty": "RSA", "kid": "signer-1", "alg": "RS256", "use": "sig",
		"n": number(key.N.Bytes()), "e": "AQAB", "d": number(key.D.Bytes()),
		"p": number(key.Primes[0].Bytes()), "q": number(key.Primes[1].Bytes()),
		"dp": number(key.Precomputed.Dp.Bytes()), "dq": number(key.Precomputed.Dq.Bytes()), "qi": number(key.Precomputed.Qinv.Bytes()),
	})
	do(t, err)
	return jwk
}

func TestIntrospectionsAreShared(t *testing.T) {
	const requests = 200
	contract(t, func(t *testing.T, kc *target) {
		tests := []struct {
			name   string
			client basic
			mode   []ginkeycloak.IntrospectionOption
		}{
			{"a full token", ordersAPI, nil},
			{"a lightweight token", light, onDemand},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				a := newIntrospectingAPI(t, kc, tt.mode)
				token := kc.login(t, tt.client, "alice", "-").Access
				got := together(requests, func() (answer, error) { return a.tryGet(t.Context(), "/me", token) })
				for _, r := range got {
					do(t, r.err)
					a.checkCode(t, "GET /me", r.answer, "")
				}
				if n := a.calls.to(introspectionPath); n != 1 {
					t.Errorf("%d requests with one token: Keycloak was asked %d times, want once", requests, n)
				}
			})
		}
	})
}

type result struct {
	answer
	err error
}

// together does something n times at once.
func together(n int, ask func() (answer, error)) []result {
	results := make([]result, n)
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			<-begin
			results[i].answer, results[i].err = ask()
		})
	}
	close(begin)
	wg.Wait()
	return results
}

// TestStrangeTokensDoNotStopIntrospection: whoever sends nonsense must not open the breaker, which would refuse
// everybody else for a while.
func TestStrangeTokensDoNotStopIntrospection(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		good := kc.login(t, ordersAPI, "bob", "-").Access
		for name, token := range strangeTokens(t, kc) {
			t.Run(name, func(t *testing.T) {
				a := newIntrospectingAPI(t, kc, nil)
				wrong := 0
				for i := range 7 {
					got := a.get(t, "/me", strings.ReplaceAll(token, "#", strconv.Itoa(i)))
					if got.status != http.StatusUnauthorized && got.status != http.StatusBadRequest {
						wrong = got.status
					}
				}
				if wrong != 0 {
					t.Errorf("GET /me = %d, want 401 or 400", wrong)
				}
				a.checkCode(t, "a good token afterwards", a.get(t, "/me", good), "")
			})
		}
	})
}

// strangeTokens are what a stranger could send in place of a token. # is to be a different one every time.
func strangeTokens(t *testing.T, kc *target) map[string]string {
	t.Helper()
	jwt := func(header, claims string) string {
		return encode(header) + "." + encode(claims) + "." + encode("signature")
	}
	_, claims := decode(t, kc.login(t, ordersAPI, "alice", "-").Access)
	body, err := json.Marshal(claims)
	do(t, err)
	good := string(body)
	return map[string]string{
		"a word":      "nonsense#",
		"a long word": strings.Repeat("n", 15_000) + "#",
		"a word that is longer than a token may be": strings.Repeat("n", 30_000) + "#",
		"two dots":                          "..#",
		"a JWT without claims":              jwt(`{"alg":"RS256","kid":"x#"}`, `{}`),
		"a JWT of an unknown key":           jwt(`{"alg":"RS256","kid":"x#"}`, good),
		"a JWT without a key ID":            jwt(`{"alg":"RS256","x":"#"}`, good),
		"a JWT without an algorithm":        jwt(`{"kid":"x#"}`, good),
		"a JWT of an unknown algorithm":     jwt(`{"alg":"X256","kid":"x#"}`, good),
		"a JWT of no algorithm":             jwt(`{"alg":"none","x":"#"}`, good),
		"a JWT with a list for a header":    jwt(`["#"]`, good),
		"a JWT whose claims are no JSON":    jwt(`{"alg":"RS256","kid":"x#"}`, `{"iss":`),
		"a JWT with a number for an issuer": jwt(`{"alg":"RS256","kid":"x#"}`, `{"iss":1}`),
		"a JWE":                             jwt(`{"alg":"RSA-OAEP","enc":"A256GCM","kid":"x#"}`, "x") + ".x.x",
		"random characters":                 rand.Text() + "#",
	}
}
