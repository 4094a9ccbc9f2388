package integration_test

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/integration/keycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// The library end to end: a real Gin engine behind a real socket, tokens as users get them, and a Keycloak.

// serviceToken is the token that a client gets for itself.
func (kc *target) serviceToken(t *testing.T, client basic) string {
	t.Helper()
	return kc.tokens(t, kc.post(t, tokenPath, values("grant_type", "client_credentials"), client)).Access
}

func TestEveryUserOnEveryRoute(t *testing.T) {
	users := []struct {
		name   string
		token  func(*testing.T, *target) string
		routes map[string]ginkeycloak.Code // what is asked for, and "" where it is served
		me     string
	}{
		{
			name:  "nobody",
			token: func(*testing.T, *target) string { return "" },
			routes: map[string]ginkeycloak.Code{
				"/public": "", "/me": ginkeycloak.CodeMissingHeader, "/admin": ginkeycloak.CodeMissingHeader,
				"/manage": ginkeycloak.CodeMissingHeader, "/eng": ginkeycloak.CodeMissingHeader,
				"/openid": ginkeycloak.CodeMissingHeader, "/nosuch": ginkeycloak.CodeMissingHeader,
			},
		},
		{
			name:  "alice, who may do everything that was not asked for by scope",
			token: func(t *testing.T, kc *target) string { return kc.login(t, ordersAPI, "alice", "-").Access },
			routes: map[string]ginkeycloak.Code{
				"/public": "", "/me": "", "/admin": "", "/manage": "", "/eng": "", "/openid": ginkeycloak.CodeMissingScope,
			},
			me: `{"sub":"<uuid>", "username":"alice", "preferred_username":"alice", "email":"alice@example.com",
				"email_verified":true, "given_name":"Alice", "family_name":"A", "name":"Alice A",
				"roles":["admin","viewer","manage"], "groups":["/eng/sre"]}`,
		},
		{
			name:   "alice with scope openid",
			token:  func(t *testing.T, kc *target) string { return kc.login(t, ordersAPI, "alice", "openid").Access },
			routes: map[string]ginkeycloak.Code{"/me": "", "/openid": ""},
		},
		{
			name: "alice at a public client without the groups mapper",
			token: func(t *testing.T, kc *target) string {
				return kc.tokens(t, kc.post(t, tokenPath, public("spa", passwordForm("alice", "-")), basic{})).Access
			},
			routes: map[string]ginkeycloak.Code{"/me": "", "/admin": "", "/manage": "", "/eng": ginkeycloak.CodeMissingGroups},
		},
		{
			name:  "bob, a viewer",
			token: func(t *testing.T, kc *target) string { return kc.login(t, ordersAPI, "bob", "-").Access },
			routes: map[string]ginkeycloak.Code{
				"/public": "", "/me": "", "/admin": ginkeycloak.CodeMissingRoles, "/manage": ginkeycloak.CodeMissingRoles,
				"/eng": ginkeycloak.CodeMissingGroups, "/openid": ginkeycloak.CodeMissingScope,
			},
			me: `{"sub":"<uuid>", "username":"bob", "preferred_username":"bob", "email":"bob@example.com",
				"email_verified":true, "given_name":"Bob", "family_name":"B", "name":"Bob B", "roles":["viewer"], "groups":[]}`,
		},
		{
			name:   "carol, who is admin of another API",
			token:  func(t *testing.T, kc *target) string { return kc.login(t, ordersAPI, "carol", "-").Access },
			routes: map[string]ginkeycloak.Code{"/me": "", "/admin": ginkeycloak.CodeMissingRoles},
		},
		{
			name:  "the service account of orders-api",
			token: func(t *testing.T, kc *target) string { return kc.serviceToken(t, ordersAPI) },
			routes: map[string]ginkeycloak.Code{
				"/me": "", "/admin": ginkeycloak.CodeMissingRoles, "/manage": ginkeycloak.CodeMissingRoles,
				"/eng": ginkeycloak.CodeMissingGroups,
			},
			me: `{"sub":"<uuid>", "username":"service-account-orders-api", "preferred_username":"service-account-orders-api",
				"email":"", "email_verified":false, "given_name":"", "family_name":"", "name":"",
				"roles":["default-roles-demo","offline_access","uma_authorization"], "groups":[]}`,
		},
	}
	contract(t, func(t *testing.T, kc *target) {
		a := newAPI(t, kc)
		for _, user := range users {
			t.Run(user.name, func(t *testing.T) {
				token := user.token(t, kc)
				for route, want := range user.routes {
					var scopes []string
					if want == ginkeycloak.CodeMissingScope {
						scopes = []string{"openid"}
					}
					a.checkCode(t, "GET "+route, a.get(t, route, token), want, scopes...)
				}
				if user.me != "" {
					kc.checkJSON(t, object(t, a.get(t, "/me", token).body), user.me, "")
				}
			})
		}
	})
}

func TestTokensThatAreRefused(t *testing.T) {
	ofAlice := func(client basic, which func(tokens) string) func(*testing.T, *target) string {
		return func(t *testing.T, kc *target) string { return which(kc.login(t, client, "alice", "openid")) }
	}
	access := func(tok tokens) string { return tok.Access }
	tests := []struct {
		name  string
		token func(*testing.T, *target) string
		opts  []ginkeycloak.Option
		want  ginkeycloak.Code
	}{
		{name: "ID token", token: ofAlice(ordersAPI, func(tok tokens) string { return tok.ID }), want: ginkeycloak.CodeInvalidTokenType},
		{name: "refresh token", token: ofAlice(ordersAPI, func(tok tokens) string { return tok.Refresh }), want: ginkeycloak.CodeInvalidAlgorithm},
		{
			name: "of another client, for that client only", want: ginkeycloak.CodeInvalidClaims,
			token: func(t *testing.T, kc *target) string { return kc.login(t, billing, "carol", "-").Access },
		},
		{name: "lightweight, without introspection", token: ofAlice(light, access), want: ginkeycloak.CodeMissingClaim},
		{
			name: "of another realm", want: ginkeycloak.CodeInvalidClaims,
			token: func(t *testing.T, kc *target) string {
				return kc.fresh(t).login(t, ordersAPI, "alice", "-").Access
			},
		},
		{
			name: "of another client than the authorized one", token: ofAlice(ordersAPI, access),
			opts: []ginkeycloak.Option{ginkeycloak.WithAuthorizedParties("spa")}, want: ginkeycloak.CodeInvalidClaims,
		},
		{
			name: "of bob, who made himself admin", want: ginkeycloak.CodeInvalidSignature,
			token: func(t *testing.T, kc *target) string {
				parts := strings.Split(kc.login(t, ordersAPI, "bob", "-").Access, ".")
				parts[1] = encode(strings.Replace(decodeSegment(t, parts[1]), `["viewer"]`, `["admin"]`, 1))
				return strings.Join(parts, ".")
			},
		},
		{
			name: "with a signature of zeros", want: ginkeycloak.CodeInvalidSignature,
			token: func(t *testing.T, kc *target) string {
				token := kc.login(t, ordersAPI, "alice", "-").Access
				return token[:len(token)-12] + "AAAAAAAAAAAA"
			},
		},
		{
			name: "signed by a stranger under the realm's key ID", want: ginkeycloak.CodeInvalidSignature,
			token: func(t *testing.T, kc *target) string {
				header, claims := decode(t, kc.login(t, ordersAPI, "alice", "-").Access)
				return (&assertion{header, claims}).sign(t, signerKey())
			},
		},
		{
			name: "signed by a stranger under a key ID of his own", want: ginkeycloak.CodeUnknownKID,
			token: func(t *testing.T, kc *target) string {
				header, claims := decode(t, kc.login(t, ordersAPI, "alice", "-").Access)
				header["kid"] = rand.Text()
				return (&assertion{header, claims}).sign(t, signerKey())
			},
		},
		{
			name: "not signed at all", want: ginkeycloak.CodeMalformedToken,
			token: func(t *testing.T, kc *target) string {
				parts := strings.Split(kc.login(t, ordersAPI, "alice", "-").Access, ".")
				return encode(`{"alg":"none","typ":"JWT"}`) + "." + parts[1] + "."
			},
		},
		{
			name: "expired, by a clock that is ahead", token: ofAlice(ordersAPI, access), want: ginkeycloak.CodeTokenExpired,
			opts: []ginkeycloak.Option{ginkeycloak.WithClock(func() time.Time { return time.Now().Add(6 * time.Minute) })},
		},
		{name: "garbage", token: func(*testing.T, *target) string { return "garbage" }, want: ginkeycloak.CodeMalformedToken},
	}
	contract(t, func(t *testing.T, kc *target) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				a := newAPI(t, kc, tt.opts...)
				a.checkRefused(t, "GET /me", a.get(t, "/me", tt.token(t, kc)), tt.want)
			})
		}
	})
}

func encode(segment string) string { return base64.RawURLEncoding.EncodeToString([]byte(segment)) }

// TestTokenExpires waits for the end of a token that lives for three seconds.
func TestTokenExpires(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		kc = kc.lasting(t, 3*time.Second)
		a := newAPI(t, kc, ginkeycloak.WithLeeway(0))
		lenient := newAPI(t, kc)
		token := kc.login(t, ordersAPI, "alice", "-").Access
		a.checkCode(t, "at first", a.get(t, "/me", token), "")
		got := eventually(t, 30*time.Second, func() answer { return a.get(t, "/me", token) }, refused)
		a.checkRefused(t, "after three seconds", got, ginkeycloak.CodeTokenExpired)
		lenient.checkCode(t, "within the leeway", lenient.get(t, "/me", token), "")
	})
}

// TestRealmKeyIsRotated has the administrator change the realm's key while the API is busy.
func TestRealmKeyIsRotated(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		kc = kc.fresh(t)
		a := newAPI(t, kc)
		forgetful := newAPI(t, kc, ginkeycloak.WithKeyCache(time.Second))
		before := kc.login(t, ordersAPI, "alice", "-").Access
		traffic := a.startTraffic(t, before)
		traffic.settle()

		do(t, kc.admin.RotateRealmKey(t.Context()))
		after := kc.login(t, ordersAPI, "bob", "-").Access
		if old, _ := decode(t, before); old["kid"] == header(t, after)["kid"] {
			t.Fatal("the key was not rotated")
		}
		traffic.use(before, after)
		a.checkCode(t, "token of the old key", a.get(t, "/me", before), "")
		a.checkCode(t, "token of the new key", a.get(t, "/me", after), "")
		forgetful.checkCode(t, "token of the old key", forgetful.get(t, "/me", before), "")

		traffic.use(after)
		do(t, kc.admin.RemoveOldKeys(t.Context()))
		do(t, a.Connect(t.Context()))
		a.checkRefused(t, "token of a removed key", a.get(t, "/me", before), ginkeycloak.CodeUnknownKID)
		a.checkCode(t, "token of the new key", a.get(t, "/me", after), "")

		got := eventually(t, 30*time.Second, func() answer { return forgetful.get(t, "/me", before) }, refused)
		forgetful.checkRefused(t, "token of a removed key, when the keys have grown old", got, ginkeycloak.CodeUnknownKID)
		traffic.settle()
		traffic.stop(t)
		if n := a.calls.to(keySetPath); n > 4 { // at first, for the new key, by Connect, for the removed key
			t.Errorf("the key set was fetched %d times, want no more than 4", n)
		}
	})
}

func header(t *testing.T, token string) map[string]any {
	t.Helper()
	header, _ := decode(t, token)
	return header
}

// TestKeycloakIsAway stops Keycloak and starts it again while requests run: what is known goes on, what cannot be
// judged is answered with 503, and all of it comes back by itself.
func TestKeycloakIsAway(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		tok := kc.login(t, ordersAPI, "alice", "-")
		warm := newIntrospectingAPI(t, kc, onDemand)
		introspecting := newIntrospectingAPI(t, kc, nil)
		warm.checkCode(t, "before", warm.get(t, "/active", tok.Access), "")
		introspecting.checkCode(t, "before, by introspection", introspecting.get(t, "/me", tok.Access), "")
		other := kc.login(t, ordersAPI, "bob", "-").Access // never seen by anyone
		traffic := warm.startTraffic(t, tok.Access, other)
		traffic.settle()

		kc.stop(t)
		cold, coldIntrospecting := newAPI(t, kc), newIntrospectingAPI(t, kc, nil) // New needs no Keycloak
		rows := []struct {
			name string
			api  *api
			ask  func(*api) answer
			want ginkeycloak.Code
		}{
			{"without keys", cold, func(a *api) answer { return a.get(t, "/admin", tok.Access) }, ginkeycloak.CodeConnection},
			{"introspection", coldIntrospecting, func(a *api) answer { return a.get(t, "/me", tok.Access) }, ginkeycloak.CodeIntrospection},
			{"introspection of a new token", introspecting, func(a *api) answer { return a.get(t, "/me", other) }, ginkeycloak.CodeIntrospection},
			{"active?", warm, func(a *api) answer { return a.get(t, "/active", tok.Access) }, ginkeycloak.CodeIntrospection},
			{"logout", cold, func(a *api) answer { return a.post(t, "/auth/logout", tok.Refresh) }, ginkeycloak.CodeConnection},
			{"refresh", warm, func(a *api) answer { return a.post(t, "/auth/refresh", tok.Refresh) }, ginkeycloak.CodeConnection},
		}
		for _, row := range rows {
			for range 7 { // the breaker opens after five
				row.api.checkRefused(t, "Keycloak is down: "+row.name, row.ask(row.api), row.want)
			}
		}
		if err := cold.Connect(t.Context()); !errors.Is(err, ginkeycloak.ErrConnection) {
			t.Errorf("Connect while Keycloak is down = %v, want %v", err, ginkeycloak.ErrConnection)
		}
		cold.checkCode(t, "Keycloak is down: a public route", cold.get(t, "/public", ""), "")
		introspecting.checkCode(t, "Keycloak is down: a token introspected before", introspecting.get(t, "/me", tok.Access), "")
		traffic.settle()

		kc.start(t)
		for _, row := range rows {
			if row.name == "logout" || row.name == "refresh" {
				continue
			}
			got := eventually(t, 30*time.Second, func() answer { return row.ask(row.api) }, served)
			if kc.major < 26 && row.want == ginkeycloak.CodeIntrospection && got.status == http.StatusUnauthorized {
				continue // the restart cost the session, but Keycloak was asked
			}
			row.api.checkCode(t, "Keycloak is back: "+row.name, got, "")
		}
		if kc.major >= 26 { // sessions are in the database since 26
			got := eventually(t, 30*time.Second, func() answer { return warm.post(t, "/auth/refresh", tok.Refresh) }, served)
			warm.checkCode(t, "Keycloak is back: refresh", got, "")
		}
		traffic.settle()
		traffic.stop(t)
	})
}

// TestInternalAddress has the API reach Keycloak by another address than the one that tokens name, as in Docker and
// Kubernetes. The public name does not resolve.
func TestInternalAddress(t *testing.T) {
	const publicURL = "http://sso.example.invalid:8443"
	contract(t, func(t *testing.T, kc *target) {
		kc = kc.called(t, publicURL)
		split := []ginkeycloak.Option{ginkeycloak.WithServerURL(publicURL), ginkeycloak.WithInternalURL(kc.server)}
		a := newIntrospectingAPI(t, kc, onDemand, split...)
		tok := kc.login(t, ordersAPI, "alice", "-")
		if _, claims := decode(t, tok.Access); claims["iss"] != publicURL+"/realms/"+a.realm {
			t.Fatalf("iss = %v, want that of the public name", claims["iss"])
		}
		a.checkCode(t, "validation", a.get(t, "/admin", tok.Access), "")
		a.checkCode(t, "introspection", a.get(t, "/active", tok.Access), "")
		refreshed := a.post(t, "/auth/refresh", tok.Refresh)
		a.checkCode(t, "refresh", refreshed, "")
		if got := a.post(t, "/auth/logout", kc.tokens(t, refreshed).Refresh); got.status != http.StatusNoContent {
			t.Errorf("logout = %d %s, want 204", got.status, got.body)
		}
		a.checkRefused(t, "after the logout", a.get(t, "/active", tok.Access), ginkeycloak.CodeTokenInactive)

		inside := newAPI(t, kc) // takes the internal address for the public one
		inside.checkRefused(t, "without the public address", inside.get(t, "/me", tok.Access), ginkeycloak.CodeInvalidClaims)
		if err := inside.Connect(t.Context()); !errors.Is(err, ginkeycloak.ErrConfig) {
			t.Errorf("Connect without the public address = %v, want %v", err, ginkeycloak.ErrConfig)
		}
	})
}

// TestInternalAddressByHostHeader is the same for a Keycloak without a fixed host name, which calls itself whatever it
// is called: the browser's proxy says one name, the API another.
func TestInternalAddressByHostHeader(t *testing.T) {
	const publicURL = "http://sso.example.invalid"
	t.Run("keycloak-"+keycloak.Version(), func(t *testing.T) {
		kc := realTarget(t)
		req := newRequest(t, http.MethodPost, kc.issuer+tokenPath, strings.NewReader(passwordForm("alice", "-").Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth(ordersAPI.id, ordersAPI.secret)
		req.Host = strings.TrimPrefix(publicURL, "http://")
		tok := kc.tokens(t, roundTrip(t, http.DefaultClient, req))

		a := newAPI(t, kc, ginkeycloak.WithServerURL(publicURL), ginkeycloak.WithInternalURL(kc.server))
		a.checkCode(t, "token of the public name", a.get(t, "/admin", tok.Access), "")
		inner := kc.login(t, ordersAPI, "alice", "-").Access
		a.checkRefused(t, "token of the internal name", a.get(t, "/admin", inner), ginkeycloak.CodeInvalidClaims)
		both := newAPI(t, kc, ginkeycloak.WithServerURL(publicURL), ginkeycloak.WithInternalURL(kc.server),
			ginkeycloak.WithIssuer(publicURL+"/realms/demo", kc.issuer))
		both.checkCode(t, "token of the public name, both accepted", both.get(t, "/admin", tok.Access), "")
		both.checkCode(t, "token of the internal name, both accepted", both.get(t, "/admin", inner), "")
	})
}

// TestWrongAddress is a mistake that only Keycloak can tell: nothing of that name is there.
func TestWrongAddress(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		tests := []struct {
			name   string
			opts   []ginkeycloak.Option
			issuer string
		}{
			{"realm", []ginkeycloak.Option{ginkeycloak.WithRealm("nowhere")}, kc.server + "/realms/nowhere"},
			{"base path", []ginkeycloak.Option{ginkeycloak.WithServerURL(kc.server + "/auth")}, kc.server + "/auth/realms/demo"},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				a := newAPI(t, kc, tt.opts...)
				if tt.name == "realm" {
					a.realm = "nowhere"
				}
				header, claims := decode(t, kc.login(t, ordersAPI, "alice", "-").Access)
				claims["iss"] = tt.issuer
				token := (&assertion{header, claims}).sign(t, signerKey())
				for range 3 {
					a.checkRefused(t, "GET /me", a.get(t, "/me", token), ginkeycloak.CodeConfig)
				}
				if err := a.Connect(t.Context()); !errors.Is(err, ginkeycloak.ErrConfig) {
					t.Errorf("Connect = %v, want %v", err, ginkeycloak.ErrConfig)
				}
				if n := len(a.log.lines("level=WARN", "key set cannot be fetched", "status 404", tt.issuer)); n != 1 {
					t.Errorf("the log names the address %d times, want once:\n%s", n, a.log.lines())
				}
			})
		}
	})
}

// TestBasePath is about a Keycloak below /auth, where all of them were before 17. A real one would need a build of its
// own for that.
func TestBasePath(t *testing.T) {
	s := keycloaktest.New(t, keycloaktest.WithBasePath("/auth"))
	kc := &target{server: s.URL(), issuer: s.Issuer(), major: 26}
	a := newIntrospectingAPI(t, kc, onDemand)
	tok := kc.login(t, ordersAPI, "alice", "-")
	a.checkCode(t, "validation", a.get(t, "/admin", tok.Access), "")
	a.checkCode(t, "introspection", a.get(t, "/active", tok.Access), "")
	a.checkCode(t, "refresh", a.post(t, "/auth/refresh", tok.Refresh), "")
}
