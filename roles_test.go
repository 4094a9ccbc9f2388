package ginkeycloak_test

import (
	stdjson "encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// behind returns an API of the same plugin as a, with GET /guarded behind these handlers and nothing else.
func (a *api) behind(handlers ...gin.HandlerFunc) *api {
	b := &api{Engine: gin.New(), keycloak: a.keycloak, kc: a.kc, log: a.log}
	b.GET("/guarded", append(handlers, b.me)...)
	return b
}

// rawClaim is a claim written as it stands.
func rawClaim(name, json string) keycloaktest.TokenOption {
	return keycloaktest.Claim(name, stdjson.RawMessage(json))
}

// requirement is one guard of a route.
type requirement func(*ginkeycloak.Plugin) gin.HandlerFunc

func roles(names ...string) requirement {
	return func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireRoles(names...) }
}

func anyRole(names ...string) requirement {
	return func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireAnyRole(names...) }
}

func realmRoles(names ...string) requirement {
	return func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireRealmRoles(names...) }
}

func clientRoles(client string, names ...string) requirement {
	return func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireClientRoles(client, names...) }
}

func groups(paths ...string) requirement {
	return func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireGroups(paths...) }
}

func anyGroup(paths ...string) requirement {
	return func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireAnyGroup(paths...) }
}

func scopes(names ...string) requirement {
	return func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireScopes(names...) }
}

func anyScope(names ...string) requirement {
	return func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireAnyScope(names...) }
}

func TestRequirements(t *testing.T) {
	t.Parallel()
	const (
		ok     = ginkeycloak.Code("")
		role   = ginkeycloak.CodeMissingRoles
		group  = ginkeycloak.CodeMissingGroups
		scope  = ginkeycloak.CodeMissingScope
		claims = ginkeycloak.CodeInvalidClaims
	)
	type token = []keycloaktest.TokenOption
	var (
		none     = token{}
		admin    = token{keycloaktest.RealmRoles("admin")}
		both     = token{keycloaktest.RealmRoles("admin", "viewer")}
		own      = token{keycloaktest.ClientRoles("orders-api", "admin")}
		billing  = token{keycloaktest.ClientRoles("billing", "admin")}
		spread   = token{keycloaktest.RealmRoles("admin"), keycloaktest.ClientRoles("orders-api", "viewer")}
		inGroup  = func(paths ...string) token { return token{keycloaktest.Groups(paths...)} }
		hasScope = func(s string) token { return token{keycloaktest.Scope(s)} }
	)
	tests := []struct {
		name    string
		token   token
		require requirement
		want    ginkeycloak.Code
	}{
		{"realm role, required", admin, roles("admin"), ok},
		{"no role, one required", none, roles("admin"), role},
		{"another realm role", admin, roles("viewer"), role},
		{"own client's role, required", own, roles("admin"), ok},
		{"another client's role", billing, roles("admin"), role},
		{"both of two", both, roles("admin", "viewer"), ok},
		{"one of two, all required", admin, roles("admin", "viewer"), role},
		{"one in the realm and one in the client, both required", spread, roles("admin", "viewer"), ok},
		{"the same role twice", admin, roles("admin", "admin"), ok},

		{"any: the first of two", admin, anyRole("admin", "viewer"), ok},
		{"any: the last of two", admin, anyRole("viewer", "admin"), ok},
		{"any: none of two", admin, anyRole("viewer", "auditor"), role},
		{"any: no role at all", none, anyRole("viewer", "auditor"), role},
		{"any: another client's role", billing, anyRole("admin", "viewer"), role},
		{"any: own client's role", own, anyRole("viewer", "admin"), ok},

		{"realm: realm role", admin, realmRoles("admin"), ok},
		{"realm: own client's role", own, realmRoles("admin"), role},
		{"realm: another client's role", billing, realmRoles("admin"), role},
		{"realm: one of two", admin, realmRoles("admin", "viewer"), role},

		{"client: its role", billing, clientRoles("billing", "admin"), ok},
		{"client: own client's role", own, clientRoles("orders-api", "admin"), ok},
		{"client: role of another", own, clientRoles("billing", "admin"), role},
		{"client: realm role", admin, clientRoles("billing", "admin"), role},
		{"client: realm role, own client", admin, clientRoles("orders-api", "admin"), role},
		{"client: one of two", billing, clientRoles("billing", "admin", "viewer"), role},
		{"client: other case", billing, clientRoles("Billing", "admin"), role},
		{"client: a prefix of its name", billing, clientRoles("bill", "admin"), role},
		{"client: a path to it", billing, clientRoles("billing.roles", "admin"), role},

		{"bytes: other case", admin, roles("Admin"), role},
		{"bytes: a prefix", admin, roles("adm"), role},
		{"bytes: longer", admin, roles("administrator"), role},
		{"bytes: a space behind", token{keycloaktest.RealmRoles("admin ")}, roles("admin"), role},
		{"bytes: a space required", admin, roles("admin "), role},
		{"bytes: a NUL behind", token{keycloaktest.RealmRoles("admin\x00")}, roles("admin"), role},
		{"bytes: a line break behind", token{keycloaktest.RealmRoles("admin\n")}, roles("admin"), role},
		{"bytes: a zero-width space", token{keycloaktest.RealmRoles("ad\u200bmin")}, roles("admin"), role},
		{"bytes: Cyrillic а", token{keycloaktest.RealmRoles("аdmin")}, roles("admin"), role},
		{"bytes: composed and decomposed", token{keycloaktest.RealmRoles("pru\u0308fer")}, roles("pr\u00fcfer"), role},
		{"bytes: not only ASCII", token{keycloaktest.RealmRoles("prüfer")}, roles("prüfer"), ok},
		{"bytes: escaped in JSON", token{rawClaim("realm_access", `{"roles":["\u0061dmin"]}`)}, roles("admin"), ok},
		{"bytes: two roles in one string", token{keycloaktest.RealmRoles("admin,viewer")}, roles("admin"), role},
		{"bytes: two roles in one string, space", token{keycloaktest.RealmRoles("admin viewer")}, roles("admin"), role},
		{"bytes: a pattern", token{keycloaktest.RealmRoles("*")}, roles("admin"), role},
		{"bytes: a pattern required", admin, roles("*"), role},
		{"bytes: an empty role", token{keycloaktest.RealmRoles("")}, roles("admin"), role},

		{"group: itself", inGroup("/eng"), groups("/eng"), ok},
		{"group: a subgroup", inGroup("/eng/sre"), groups("/eng"), ok},
		{"group: a deep subgroup", inGroup("/eng/sre/oncall"), groups("/eng"), ok},
		{"group: its parent", inGroup("/eng"), groups("/eng/sre"), group},
		{"group: its sibling", inGroup("/eng/dev"), groups("/eng/sre"), group},
		{"group: a longer name", inGroup("/engineers"), groups("/eng"), group},
		{"group: a longer name of a subgroup", inGroup("/eng/sre2"), groups("/eng/sre"), group},
		{"group: the name below another", inGroup("/sales/eng"), groups("/eng"), group},
		{"group: other case", inGroup("/Eng"), groups("/eng"), group},
		{"group: without slash, required with", inGroup("eng"), groups("/eng"), group},
		{"group: with slash, required without", inGroup("/eng"), groups("eng"), group},
		{"group: without slash on both sides", inGroup("eng"), groups("eng"), ok},
		{"group: no path, a name that goes on", inGroup("engineers"), groups("eng"), group},
		{"group: a dot segment", inGroup("/sales/../eng"), groups("/eng"), group},
		{"group: the root", inGroup("/"), groups("/eng"), group},
		{"group: an empty one", inGroup(""), groups("/eng"), group},
		{"group: none", none, groups("/eng"), group},
		{"group: a role of that name", token{keycloaktest.RealmRoles("/eng")}, groups("/eng"), group},
		{"group: both of two", inGroup("/sales", "/eng/sre"), groups("/eng", "/sales"), ok},
		{"group: one of two", inGroup("/eng"), groups("/eng", "/sales"), group},
		{"any group: one of two", inGroup("/sales"), anyGroup("/eng", "/sales"), ok},
		{"any group: a subgroup of one", inGroup("/sales/emea"), anyGroup("/eng", "/sales"), ok},
		{"any group: none of two", inGroup("/hr"), anyGroup("/eng", "/sales"), group},
		{"any group: no group", none, anyGroup("/eng", "/sales"), group},

		{"scope: it", hasScope("openid orders:read"), scopes("orders:read"), ok},
		{"scope: the only one", hasScope("orders:read"), scopes("orders:read"), ok},
		{"scope: another", hasScope("openid orders:read"), scopes("orders:write"), scope},
		{"scope: both of two", hasScope("a b"), scopes("b", "a"), ok},
		{"scope: one of two", hasScope("a"), scopes("a", "b"), scope},
		{"scope: a prefix", hasScope("orders:read"), scopes("orders"), scope},
		{"scope: other case", hasScope("Orders"), scopes("orders"), scope},
		{"scope: empty", hasScope(""), scopes("orders"), scope},
		{"scope: no claim", token{keycloaktest.WithoutClaim("scope")}, scopes("orders"), scope},
		{"scope: more spaces than needed", hasScope("  a   b "), scopes("a", "b"), ok},
		{"scope: a role of that name", token{keycloaktest.RealmRoles("orders")}, scopes("orders"), scope},
		{"scope: an array", token{rawClaim("scope", `["orders"]`)}, scopes("orders"), claims},
		{"any scope: one of two", hasScope("b"), anyScope("a", "b"), ok},
		{"any scope: none of two", hasScope("c"), anyScope("a", "b"), scope},
		{"any scope: none at all", hasScope(""), anyScope("a", "b"), scope},

		{"alice: her realm role", token{keycloaktest.ForUser("alice")}, roles("admin"), ok},
		{"alice: her role in the client", token{keycloaktest.ForUser("alice")}, clientRoles("orders-api", "manage"), ok},
		{"alice: her group's parent", token{keycloaktest.ForUser("alice")}, groups("/eng"), ok},
		{"bob: alice's role", token{keycloaktest.ForUser("bob")}, roles("admin"), role},
		{"bob: alice's group", token{keycloaktest.ForUser("bob")}, anyGroup("/eng", "/eng/sre"), group},
		{"service account: role that every account has", token{keycloaktest.ForServiceAccount("orders-api")},
			realmRoles("offline_access"), ok},
		{"service account: role of the client account", token{keycloaktest.ForServiceAccount("orders-api")},
			roles("manage-account"), role},
	}
	a := newAPI(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// Without a middleware before it, and behind one: the answer is the same.
			for place, handlers := range map[string][]gin.HandlerFunc{
				"alone":             {tt.require(a.kc)},
				"behind middleware": {a.kc.Middleware(), tt.require(a.kc)},
				"behind optional":   {a.kc.OptionalMiddleware(), tt.require(a.kc)},
			} {
				b := a.behind(handlers...)
				got := b.get(t, "/guarded", b.keycloak.Token(tt.token...))
				checkKind(t, place, got, kindOf(tt.want))
				if got.code != tt.want || got.ran != (tt.want == ok) {
					t.Errorf("%s: the answer to %s = %d %q, the handler ran: %t; want %q", place, tt.name, got.status, got.code, got.ran, tt.want)
				}
			}
		})
	}
}

// kindOf is the kind of answer for a code that a valid request can meet.
func kindOf(code ginkeycloak.Code) string {
	switch code {
	case "":
		return kindOK
	case ginkeycloak.CodeMissingRoles, ginkeycloak.CodeMissingGroups, ginkeycloak.CodeMissingScope:
		return kindScope
	default:
		return kindTok
	}
}

// TestMalformedRoleClaimsGrantNothing: a claim that is not what Keycloak writes gives no role and no part of one, and
// is no reason to panic.
func TestMalformedRoleClaimsGrantNothing(t *testing.T) {
	t.Parallel()
	role := func(json string) keycloaktest.TokenOption { return rawClaim("realm_access", json) }
	client := func(json string) keycloaktest.TokenOption { return rawClaim("resource_access", json) }
	group := func(json string) keycloaktest.TokenOption { return rawClaim("groups", json) }
	tests := []struct {
		name  string
		claim keycloaktest.TokenOption
		want  ginkeycloak.Code // "" for: valid, but grants nothing
	}{
		{"realm_access is null", role(`null`), ""},
		{"realm_access is a string", role(`"admin"`), ""},
		{"realm_access is a number", role(`1`), ""},
		{"realm_access is true", role(`true`), ""},
		{"realm_access is an array of roles", role(`["admin"]`), ""},
		{"realm_access is an array of objects", role(`[{"roles":["admin"]}]`), ""},
		{"realm_access is empty", role(`{}`), ""},
		{"roles is null", role(`{"roles":null}`), ""},
		{"roles is a string", role(`{"roles":"admin"}`), ""},
		{"roles is an object", role(`{"roles":{"admin":true}}`), ""},
		{"roles is an object of indices", role(`{"roles":{"0":"admin"}}`), ""},
		{"roles is a nested array", role(`{"roles":[["admin"]]}`), ""},
		{"roles are objects", role(`{"roles":[{"name":"admin"}]}`), ""},
		{"roles are of mixed types, role first", role(`{"roles":["admin",1]}`), ""},
		{"roles are of mixed types, role last", role(`{"roles":[null,"admin"]}`), ""},
		{"roles with one nested", role(`{"roles":["admin",["viewer"]]}`), ""},
		{"roles of another case", role(`{"Roles":["admin"]}`), ""},
		{"roles below another member", role(`{"more":{"roles":["admin"]}}`), ""},
		{"roles twice", role(`{"roles":[],"roles":["admin"]}`), ginkeycloak.CodeMalformedToken},
		{"realm_access of another case", rawClaim("Realm_Access", `{"roles":["admin"]}`), ""},
		{"roles at the top", rawClaim("roles", `["admin"]`), ""},
		{"a name with dots", rawClaim("realm_access.roles", `["admin"]`), ""},

		{"resource_access is null", client(`null`), ""},
		{"resource_access is a string", client(`"orders-api"`), ""},
		{"resource_access is an array", client(`[{"orders-api":{"roles":["admin"]}}]`), ""},
		{"the client is null", client(`{"orders-api":null}`), ""},
		{"the client is an array", client(`{"orders-api":["admin"]}`), ""},
		{"the client is a string", client(`{"orders-api":"admin"}`), ""},
		{"the client's roles are a string", client(`{"orders-api":{"roles":"admin"}}`), ""},
		{"the client's roles are of mixed types", client(`{"orders-api":{"roles":["admin",{}]}}`), ""},
		{"roles directly in resource_access", client(`{"roles":["admin"]}`), ""},
		{"the client of another case", client(`{"Orders-API":{"roles":["admin"]}}`), ""},
		{"the client twice", client(`{"orders-api":{},"orders-api":{"roles":["admin"]}}`), ginkeycloak.CodeMalformedToken},
		{"the client below another", client(`{"billing":{"orders-api":{"roles":["admin"]}}}`), ""},

		{"groups is null", group(`null`), ""},
		{"groups is a string", group(`"/eng"`), ""},
		{"groups is an object", group(`{"0":"/eng"}`), ""},
		{"groups is a nested array", group(`[["/eng"]]`), ""},
		{"groups are of mixed types, group first", group(`["/eng",5]`), ""},
		{"groups are of mixed types, group last", group(`[{},"/eng"]`), ""},
		{"Groups of another case", rawClaim("Groups", `["/eng"]`), ""},
		{"groups twice", keycloaktest.RawPayload(`{"groups":[],"groups":["/eng"]}`), ginkeycloak.CodeMalformedToken},
	}
	a := newAPI(t)
	guards := map[string]requirement{
		"RequireRoles": roles("admin"), "RequireAnyRole": anyRole("admin", "viewer"), "RequireRealmRoles": realmRoles("admin"),
		"RequireClientRoles": clientRoles("orders-api", "admin"), "RequireGroups": groups("/eng"), "RequireAnyGroup": anyGroup("/eng", "/hr"),
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			token := a.keycloak.Token(tt.claim)
			want := kindOK
			if tt.want != "" {
				want = kindTok
			}
			got := a.get(t, "/me", token)
			checkKind(t, "without requirement", got, want)
			if got.code != tt.want {
				t.Errorf("GET /me where %s = %q, want %q", tt.name, got.code, tt.want)
			}
			if tt.want == "" && !strings.Contains(got.body, `"roles":[],"groups":[]`) {
				t.Errorf("GET /me where %s = %s, want no roles and no groups", tt.name, got.body)
			}
			for name, guard := range guards {
				if got := a.behind(guard(a.kc)).get(t, "/guarded", token); got.ran || got.status != 401 && got.status != 403 {
					t.Errorf("%s where %s = %d, the handler ran: %t; want a refusal", name, tt.name, got.status, got.ran)
				}
			}
		})
	}
}

// TestOneMalformedClientDoesNotSpoilTheOthers: each entry of resource_access stands for itself.
func TestOneMalformedClientDoesNotSpoilTheOthers(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	token := a.keycloak.Token(rawClaim("resource_access", `{"bad":{"roles":[1]},"orders-api":{"roles":["admin"]},"worse":null}`))
	checkKind(t, "role of the good client", a.behind(a.kc.RequireRoles("admin")).get(t, "/guarded", token), kindOK)
}

func TestRequireAuthenticatesByItself(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for name, guard := range map[string]requirement{
		"RequireRoles": roles("admin"), "RequireAnyRole": anyRole("admin"), "RequireRealmRoles": realmRoles("admin"),
		"RequireClientRoles": clientRoles("orders-api", "manage"), "RequireGroups": groups("/eng"),
		"RequireAnyGroup": anyGroup("/eng"), "RequireScopes": scopes("profile"), "RequireAnyScope": anyScope("profile"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := a.behind(guard(a.kc))
			got := b.get(t, "/guarded", "")
			checkKind(t, "without a token", got, kindNone)
			if got.code != ginkeycloak.CodeMissingHeader {
				t.Errorf("%s without Middleware and token = %q, want missing_header", name, got.code)
			}
			checkKind(t, "with a bad token", b.get(t, "/guarded", "nonsense"), kindTok)
			got = b.get(t, "/guarded", b.keycloak.Token(keycloaktest.ForUser("alice")))
			checkKind(t, "with alice's token", got, kindOK)
			if !strings.Contains(got.body, `"username":"alice"`) {
				t.Errorf("%s without Middleware, handler's user = %s, want alice", name, got.body)
			}
		})
	}
}

// TestRequireOnAPublicRoute: a public route with a requirement is not public.
func TestRequireOnAPublicRoute(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithPublicRoutes("/guarded"))
	a.GET("/guarded", a.kc.RequireRoles("admin"), a.me)
	checkKind(t, "no token", a.get(t, "/guarded", ""), kindNone)
	checkKind(t, "bob", a.get(t, "/guarded", a.keycloak.Token(keycloaktest.ForUser("bob"))), kindScope)
	checkKind(t, "alice", a.get(t, "/guarded", a.keycloak.Token(keycloaktest.ForUser("alice"))), kindOK)
}

// TestRequirementsOfNestedGroupsAddUp: a request has to meet all of them, and is refused by the first it does not.
func TestRequirementsOfNestedGroupsAddUp(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	admin := a.Group("/admin", a.kc.RequireRoles("admin"))
	eng := admin.Group("/eng", a.kc.RequireGroups("/eng"))
	eng.GET("/deploy", a.kc.RequireScopes("deploy"), a.kc.RequireAnyRole("operator", "owner"), a.me)
	admin.GET("", a.me)

	const path = "/admin/eng/deploy"
	tests := []struct {
		name  string
		path  string
		token []keycloaktest.TokenOption
		want  ginkeycloak.Code
	}{
		{"all", path, []keycloaktest.TokenOption{
			keycloaktest.RealmRoles("admin", "owner"), keycloaktest.Groups("/eng/sre"), keycloaktest.Scope("deploy"),
		}, ""},
		{"nothing", path, nil, ginkeycloak.CodeMissingRoles},
		{"all but the outer role", path, []keycloaktest.TokenOption{
			keycloaktest.RealmRoles("owner"), keycloaktest.Groups("/eng"), keycloaktest.Scope("deploy"),
		}, ginkeycloak.CodeMissingRoles},
		{"all but the group", path, []keycloaktest.TokenOption{
			keycloaktest.RealmRoles("admin", "owner"), keycloaktest.Scope("deploy"),
		}, ginkeycloak.CodeMissingGroups},
		{"all but the scope", path, []keycloaktest.TokenOption{
			keycloaktest.RealmRoles("admin", "owner"), keycloaktest.Groups("/eng"),
		}, ginkeycloak.CodeMissingScope},
		{"all but the innermost role", path, []keycloaktest.TokenOption{
			keycloaktest.RealmRoles("admin"), keycloaktest.Groups("/eng"), keycloaktest.Scope("deploy"),
		}, ginkeycloak.CodeMissingRoles},
		{"the outer group needs the role only", "/admin", []keycloaktest.TokenOption{keycloaktest.RealmRoles("admin")}, ""},
	}
	for _, tt := range tests {
		got := a.get(t, tt.path, a.keycloak.Token(tt.token...))
		checkKind(t, tt.name, got, kindOf(tt.want))
		if got.code != tt.want {
			t.Errorf("GET %s with %s = %q, want %q", tt.path, tt.name, got.code, tt.want)
		}
	}
}

func TestScopeChallengeNamesTheScopes(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	tests := []struct {
		name    string
		require requirement
		want    string
	}{
		{"one", scopes("orders:write"), `, scope="orders:write"`},
		{"two", scopes("orders:read", "orders:write"), `, scope="orders:read orders:write"`},
		{"any of two", anyScope("a", "b"), `, scope="a b"`},
		{"a URL", scopes("https://api.example/write"), `, scope="https://api.example/write"`},
		{"a role asks for no scope", roles("admin"), ""},
		{"a group asks for no scope", groups("/eng"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := a.behind(tt.require(a.kc)).get(t, "/guarded", a.keycloak.Token())
			want := `Bearer realm="demo", error="insufficient_scope", error_description="` + got.message + `"` + tt.want
			if challenge := got.header.Get("WWW-Authenticate"); challenge != want {
				t.Errorf("WWW-Authenticate where %s = %q, want %q", tt.name, challenge, want)
			}
		})
	}
}

// TestTwoRealmsOnOneEngine: a user of one realm is a stranger to the other, also where the other has let him in.
func TestTwoRealmsOnOneEngine(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	otherSrv := keycloaktest.New(t, keycloaktest.WithRealm("partners"))
	other := newPlugin(t, otherSrv)

	engine := gin.New()
	engine.GET("/home", a.kc.Middleware(), a.kc.RequireRoles("admin"), a.me)
	engine.GET("/partners", other.Middleware(), other.RequireRoles("admin"), a.me)
	engine.GET("/mixed", a.kc.Middleware(), other.RequireRoles("admin"), a.me)
	engine.GET("/mixed-groups", other.Middleware(), a.kc.RequireGroups("/eng"), a.me)
	engine.GET("/optional", a.kc.OptionalMiddleware(), other.RequireScopes("profile"), a.me)
	a.Engine = engine

	home := a.keycloak.Token(keycloaktest.ForUser("alice"))
	partner := otherSrv.Token(keycloaktest.ForUser("alice"))
	tests := []struct {
		path  string
		token string
		whose string
		want  int
	}{
		{"/home", home, "home", 200},
		{"/home", partner, "partner", 401},
		{"/partners", partner, "partner", 200},
		{"/partners", home, "home", 401},
		{"/mixed", home, "home", 401},
		{"/mixed", partner, "partner", 401},
		{"/mixed-groups", home, "home", 401},
		{"/mixed-groups", partner, "partner", 401},
		{"/optional", home, "home", 401},
		{"/optional", partner, "partner", 401},
		{"/optional", "", "nobody", 401},
	}
	for _, tt := range tests {
		got := a.get(t, tt.path, tt.token)
		if got.status != tt.want || got.ran != (tt.want == 200) {
			t.Errorf("GET %s with the token of %s = %d %s, the handler ran: %t; want %d", tt.path, tt.whose, got.status, got.body, got.ran, tt.want)
		}
	}
	if got := a.get(t, "/partners", home).header.Get("WWW-Authenticate"); !strings.Contains(got, `realm="partners"`) {
		t.Errorf("the challenge of the other realm = %q, want its name", got)
	}
}

// TestTwoClientsOfOneRealm: a role belongs to the client of the plugin that asks.
func TestTwoClientsOfOneRealm(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	billing := newPlugin(t, a.keycloak, ginkeycloak.WithClientID("billing"), ginkeycloak.WithAudience("orders-api"))
	token := a.keycloak.Token(keycloaktest.ClientRoles("orders-api", "manage"))
	checkKind(t, "the role's own client", a.behind(a.kc.Middleware(), a.kc.RequireRoles("manage")).get(t, "/guarded", token), kindOK)
	checkKind(t, "the other client", a.behind(a.kc.Middleware(), billing.RequireRoles("manage")).get(t, "/guarded", token), kindScope)
}

// TestRolesWithoutAClientID: without a client of its own, an API has no client roles, not everybody's.
func TestRolesWithoutAClientID(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	kc, err := ginkeycloak.New(
		ginkeycloak.WithServerURL(srv.URL()), ginkeycloak.WithRealm(srv.Realm()), ginkeycloak.WithAudience("orders-api"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kc.Close() })
	a := &api{keycloak: srv, kc: kc}
	for name, tt := range map[string]struct {
		token keycloaktest.TokenOption
		want  string
	}{
		"a realm role":                  {keycloaktest.RealmRoles("admin"), kindOK},
		"a client's role":               {keycloaktest.ClientRoles("orders-api", "admin"), kindScope},
		"the role of a client named ''": {keycloaktest.ClientRoles("", "admin"), kindScope},
	} {
		checkKind(t, name, a.behind(kc.RequireRoles("admin")).get(t, "/guarded", srv.Token(tt.token)), tt.want)
	}
}

func TestMistakesInRequirementsPanicAtRegistration(t *testing.T) {
	t.Parallel()
	kc := newAPI(t).kc
	tests := []struct {
		name     string
		register func()
		want     []string // in the text of the panic
	}{
		{"RequireRoles()", func() { kc.RequireRoles() }, []string{"RequireRoles", "no role"}},
		{"RequireRoles of an empty list", func() { kc.RequireRoles([]string{}...) }, []string{"RequireRoles", "no role"}},
		{"RequireRoles with an empty role", func() { kc.RequireRoles("admin", "") }, []string{"RequireRoles", "role is empty"}},
		{"RequireAnyRole()", func() { kc.RequireAnyRole() }, []string{"RequireAnyRole", "no role"}},
		{"RequireAnyRole with an empty role", func() { kc.RequireAnyRole("") }, []string{"RequireAnyRole", "role is empty"}},
		{"RequireRealmRoles()", func() { kc.RequireRealmRoles() }, []string{"RequireRealmRoles", "no role"}},
		{"RequireClientRoles without roles", func() { kc.RequireClientRoles("billing") }, []string{"RequireClientRoles", "no role"}},
		{"RequireClientRoles without a client", func() { kc.RequireClientRoles("", "admin") }, []string{"RequireClientRoles", "client is empty"}},
		{"RequireGroups()", func() { kc.RequireGroups() }, []string{"RequireGroups", "no group"}},
		{"RequireGroups with an empty group", func() { kc.RequireGroups("") }, []string{"RequireGroups", "group is empty"}},
		{"RequireGroups with the root", func() { kc.RequireGroups("/") }, []string{"RequireGroups", `"/"`, "slash"}},
		{"RequireGroups with a slash behind", func() { kc.RequireGroups("/eng/") }, []string{"RequireGroups", `"/eng/"`, "slash"}},
		{"RequireAnyGroup()", func() { kc.RequireAnyGroup() }, []string{"RequireAnyGroup", "no group"}},
		{"RequireScopes()", func() { kc.RequireScopes() }, []string{"RequireScopes", "no scope"}},
		{"RequireScopes with two in one", func() { kc.RequireScopes("a b") }, []string{"RequireScopes", `"a b"`, "space"}},
		{"RequireAnyScope()", func() { kc.RequireAnyScope() }, []string{"RequireAnyScope", "no scope"}},
		{"RequireAnyScope with an empty scope", func() { kc.RequireAnyScope("a", "") }, []string{"RequireAnyScope", "scope is empty"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				got := fmt.Sprint(recover())
				for _, want := range append(tt.want, "ginkeycloak: ") {
					if !strings.Contains(got, want) {
						t.Errorf("%s panics with %q, want %q in it", tt.name, got, want)
					}
				}
			}()
			tt.register()
		})
	}
}

// TestRequirementIsFixedAtRegistration: changing the list that was handed over changes nothing.
func TestRequirementIsFixedAtRegistration(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	list := []string{"admin"}
	b := a.behind(a.kc.RequireRoles(list...))
	list[0] = "viewer"
	checkKind(t, "viewer", b.get(t, "/guarded", a.keycloak.Token(keycloaktest.RealmRoles("viewer"))), kindScope)
	checkKind(t, "admin", b.get(t, "/guarded", a.keycloak.Token(keycloaktest.RealmRoles("admin"))), kindOK)
}

// TestGuardsDoNotBelieveTheContext: ContextWithUser is for tests of handlers and must not be a way in.
func TestGuardsDoNotBelieveTheContext(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	root, err := ginkeycloak.UserFromClaims("orders-api", map[string]any{
		"sub": "1", "realm_access": map[string]any{"roles": []string{"admin"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*api{
		"RequireRoles":                a.behind(a.kc.RequireRoles("admin")),
		"Middleware":                  a.behind(a.kc.Middleware()),
		"Optional, then RequireRoles": a.behind(a.kc.OptionalMiddleware(), a.kc.RequireRoles("admin")),
	} {
		r := httptest.NewRequestWithContext(ginkeycloak.ContextWithUser(t.Context(), root), http.MethodGet, "/guarded", http.NoBody)
		checkKind(t, name, b.do(t, r), kindNone)
	}

	forge := func(c *gin.Context) {
		c.Set("github.com/c0mpiler/ginkeycloak.user", root)
		c.Request = c.Request.WithContext(ginkeycloak.ContextWithUser(c.Request.Context(), root))
	}
	checkKind(t, "a handler that forges", a.behind(forge, a.kc.RequireRoles("admin")).get(t, "/guarded", ""), kindNone)
}
