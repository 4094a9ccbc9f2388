package ginkeycloak_test

import (
	"context"
	stdjson "encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// userOf returns the user that a token makes, by way of Authenticate.
func userOf(t *testing.T, opts ...keycloaktest.TokenOption) *ginkeycloak.User {
	t.Helper()
	srv := keycloaktest.New(t)
	user, err := newPlugin(t, srv).Authenticate(t.Context(), srv.Token(opts...))
	if err != nil {
		t.Fatalf("Authenticate: %v", err)
	}
	return user
}

// madeUser returns the user of these claims, of an API that is client orders-api.
func madeUser(t *testing.T, claims map[string]any) *ginkeycloak.User {
	t.Helper()
	user, err := ginkeycloak.UserFromClaims("orders-api", claims)
	if err != nil {
		t.Fatalf("UserFromClaims(%v): %v", claims, err)
	}
	return user
}

func TestUserOfAFullToken(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	kc := newPlugin(t, srv)
	expires := time.Now().Add(time.Hour).Truncate(time.Second)
	u, err := kc.Authenticate(t.Context(), srv.Token(
		keycloaktest.ForUser("alice"), keycloaktest.Audience("orders-api", "account"), keycloaktest.AuthorizedParty("spa"),
		keycloaktest.Claim("sid", "session-1"), keycloaktest.Scope("openid profile orders:read"),
		keycloaktest.Claim("exp", expires.Unix()), keycloaktest.ClientRoles("billing", "payer"),
		keycloaktest.ClientRoles("orders-api", "manage", "viewer"),
	))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []struct {
		name      string
		got, want any
	}{
		{"Subject", u.Subject, srv.User("alice").ID},
		{"Username", u.Username, "alice"},
		{"Email", u.Email, "alice@example.com"},
		{"EmailVerified", u.EmailVerified, true},
		{"Name", u.Name, "Alice A"},
		{"GivenName", u.GivenName, "Alice"},
		{"FamilyName", u.FamilyName, "A"},
		{"Issuer", u.Issuer, srv.Issuer()},
		{"Audience", u.Audience, []string{"orders-api", "account"}},
		{"AuthorizedParty", u.AuthorizedParty, "spa"},
		{"SessionID", u.SessionID, "session-1"},
		{"Scopes", u.Scopes, []string{"openid", "profile", "orders:read"}},
		{"ExpiresAt", u.ExpiresAt.Equal(expires), true},
		{"Roles()", u.Roles(), []string{"admin", "viewer", "manage"}},
		{"RealmRoles()", u.RealmRoles(), []string{"admin", "viewer"}},
		{"ClientRoles(orders-api)", u.ClientRoles("orders-api"), []string{"manage", "viewer"}},
		{"ClientRoles(billing)", u.ClientRoles("billing"), []string{"payer"}},
		{"ClientRoles(nosuch)", len(u.ClientRoles("nosuch")), 0},
		{"Groups()", u.Groups(), []string{"/eng/sre"}},
		{"HasRole(admin)", u.HasRole("admin"), true},
		{"HasRole(manage)", u.HasRole("manage"), true},
		{"HasRole(payer)", u.HasRole("payer"), false},
		{"HasRole of nothing", u.HasRole(""), false},
		{"HasRealmRole(manage)", u.HasRealmRole("manage"), false},
		{"HasClientRole(billing, payer)", u.HasClientRole("billing", "payer"), true},
		{"HasClientRole(orders-api, payer)", u.HasClientRole("orders-api", "payer"), false},
		{"InGroup(/eng)", u.InGroup("/eng"), true},
		{"InGroup(/eng/sre)", u.InGroup("/eng/sre"), true},
		{"InGroup(/en)", u.InGroup("/en"), false},
		{"InGroup of nothing", u.InGroup(""), false},
		{"HasScope(orders:read)", u.HasScope("orders:read"), true},
		{"HasScope(orders)", u.HasScope("orders"), false},
		{"HasScope of nothing", u.HasScope(""), false},
	} {
		if !reflect.DeepEqual(field.got, field.want) {
			t.Errorf("%s of alice = %v, want %v", field.name, field.got, field.want)
		}
	}
}

func TestUsername(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		claims map[string]any
		want   string
	}{
		{"both claims", map[string]any{"username": "a", "preferred_username": "b"}, "a"},
		{"username only", map[string]any{"username": "a"}, "a"},
		{"preferred_username only", map[string]any{"preferred_username": "b"}, "b"},
		{"username is empty", map[string]any{"username": "", "preferred_username": "b"}, "b"},
		{"username is no string", map[string]any{"username": 7, "preferred_username": "b"}, "b"},
		{"neither", map[string]any{"name": "n", "email": "e@example.com"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := madeUser(t, tt.claims).Username; got != tt.want {
				t.Errorf("Username with %s = %q, want %q", tt.name, got, tt.want)
			}
		})
	}
}

// TestWronglyTypedProfileClaimsAreAbsent: a strange mapper must not lock anybody out, and must not show either.
func TestWronglyTypedProfileClaimsAreAbsent(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, claim := range []string{"username", "preferred_username", "email", "email_verified", "name", "given_name", "family_name"} {
		for _, value := range []string{`null`, `7`, `{"a":["b"]}`, `["x"]`, `"true"`} {
			if value == `"true"` && claim != "email_verified" {
				continue // a good string
			}
			t.Run(claim+"="+value, func(t *testing.T) {
				t.Parallel()
				got := a.get(t, "/me", a.keycloak.Token(rawClaim(claim, value)))
				checkKind(t, claim, got, kindOK)
				var body map[string]any
				if err := stdjson.Unmarshal([]byte(got.body), &body); err != nil {
					t.Fatal(err)
				}
				want := any("")
				switch claim {
				case "email_verified":
					want = false
				case "username":
					want = "alice" // preferred_username steps in
				}
				if body[claim] != want {
					t.Errorf("%s of a token with %s = %v, want %v", claim, value, body[claim], want)
				}
			})
		}
	}
}

func TestUserJSON(t *testing.T) {
	t.Parallel()
	full := madeUser(t, map[string]any{
		"sub": "id-1", "username": "al", "preferred_username": "alice", "email": "a@example.com", "email_verified": true,
		"name": "Alice A", "given_name": "Alice", "family_name": "A", "groups": []string{"/eng"}, "sid": "hidden", "phone": "hidden",
		"realm_access":    map[string]any{"roles": []string{"admin"}},
		"resource_access": map[string]any{"orders-api": map[string]any{"roles": []string{"manage", "admin"}}, "billing": map[string]any{"roles": []string{"hidden"}}},
	})
	const wantFull = `{"sub":"id-1","username":"al","preferred_username":"alice","email":"a@example.com","email_verified":true,` +
		`"given_name":"Alice","family_name":"A","name":"Alice A","roles":["admin","manage"],"groups":["/eng"]}`
	const wantEmpty = `{"sub":"","username":"","preferred_username":"","email":"","email_verified":false,` +
		`"given_name":"","family_name":"","name":"","roles":[],"groups":[]}`
	tests := []struct {
		name string
		v    any
		want string
	}{
		{"a full user", full, wantFull},
		{"a user without anything: no null", madeUser(t, nil), wantEmpty},
		{"a user whose claims are null", madeUser(t, map[string]any{"realm_access": nil, "resource_access": nil, "groups": nil}), wantEmpty},
		{"within a struct", struct{ User *ginkeycloak.User }{full}, `{"User":` + wantFull + `}`},
		{"no user", (*ginkeycloak.User)(nil), `null`},
		{"a copy", *full, wantFull},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := stdjson.Marshal(tt.v)
			if err != nil || string(got) != tt.want {
				t.Errorf("JSON of %s = %s, %v, want %s", tt.name, got, err, tt.want)
			}
		})
	}
}

func TestClaimsOfAUser(t *testing.T) {
	t.Parallel()
	u := userOf(t, keycloaktest.Claim("tenant", "acme"), keycloaktest.Claim("address", map[string]any{"locality": "Kyjiw"}),
		keycloaktest.Claim("level", 3))

	var typed struct {
		Tenant  string `json:"tenant"`
		Other   string `json:"TENANT"`
		Address struct {
			Locality string `json:"locality"`
		} `json:"address"`
		Level int `json:"level"`
	}
	if err := u.Claims(&typed); err != nil {
		t.Fatalf("Claims into a struct = %v", err)
	}
	if typed.Tenant != "acme" || typed.Address.Locality != "Kyjiw" || typed.Level != 3 || typed.Other != "" {
		t.Errorf("Claims into a struct = %+v, want what the token says, by exact names", typed)
	}

	var all map[string]any
	if err := u.Claims(&all); err != nil {
		t.Fatalf("Claims into a map = %v", err)
	}
	if all["tenant"] != "acme" || all["sub"] != u.Subject || all["typ"] != "Bearer" {
		t.Errorf("Claims into a map = %v, want all claims of the token", all)
	}
	all["tenant"] = "evil"
	if err := u.Claims(&typed); err != nil || typed.Tenant != "acme" {
		t.Errorf("Claims after the first answer was changed = %q, %v, want the token's", typed.Tenant, err)
	}
}

func TestClaimsOfAUserThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	u := userOf(t, keycloaktest.Claim("tenant", "SECRET-TENANT"))
	var number struct {
		Tenant int `json:"tenant"`
	}
	for name, v := range map[string]any{
		"a field of the wrong type": &number, "nil": nil, "no pointer": struct{}{}, "a nil pointer": (*struct{})(nil), "an array": new([]string),
	} {
		err := u.Claims(v)
		if err == nil || !strings.HasPrefix(err.Error(), "ginkeycloak: ") {
			t.Errorf("Claims into %s = %v, want an error of this package", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "SECRET-TENANT") {
			t.Errorf("Claims into %s = %v, want no claim's value in the error", name, err)
		}
	}
}

// TestReturnedSlicesAreCopies: one User may serve many requests, so no handler may change it for the next.
func TestReturnedSlicesAreCopies(t *testing.T) {
	t.Parallel()
	u := userOf(t, keycloaktest.ForUser("alice"))
	for name, get := range map[string]func() []string{
		"Roles":       u.Roles,
		"RealmRoles":  u.RealmRoles,
		"ClientRoles": func() []string { return u.ClientRoles("orders-api") },
		"Groups":      u.Groups,
	} {
		list := get()
		want := slices.Clone(list)
		list[0] = "owner"
		_ = append(list[:1], "owner")
		if got := get(); !slices.Equal(got, want) {
			t.Errorf("%s after the caller changed its answer = %q, want %q", name, got, want)
		}
	}
	if u.HasRole("owner") || u.InGroup("owner") {
		t.Error("a changed answer gave the user a role or group, want none")
	}
}

// TestRolesOftenAskedForStayTheSame: Roles puts two lists together, which must not grow one into the other.
func TestRolesOftenAskedForStayTheSame(t *testing.T) {
	t.Parallel()
	u := userOf(t, keycloaktest.ForUser("alice"))
	want := []string{"admin", "viewer", "manage"}
	for range 3 {
		if got := u.Roles(); !slices.Equal(got, want) {
			t.Errorf("Roles() = %q, want %q", got, want)
		}
	}
	if got := u.RealmRoles(); !slices.Equal(got, want[:2]) {
		t.Errorf("RealmRoles() = %q, want %q", got, want[:2])
	}
}

func TestUserFromClaims(t *testing.T) {
	t.Parallel()
	claims := map[string]any{"sub": "1", "groups": []string{"/eng"}, "realm_access": map[string]any{"roles": []string{"admin"}}, "exp": 4102444800}
	u := madeUser(t, claims)
	if u.Subject != "1" || !u.HasRole("admin") || !u.InGroup("/eng") || !u.ExpiresAt.Equal(time.Unix(4102444800, 0)) {
		t.Errorf("UserFromClaims = %+v, want what the claims say", u)
	}
	claims["sub"] = "2"
	var again struct {
		Subject string `json:"sub"`
	}
	if err := u.Claims(&again); err != nil || u.Subject != "1" || again.Subject != "1" {
		t.Errorf("the user after its claims were changed = %q, claims %q, %v, want 1", u.Subject, again.Subject, err)
	}
	for name, bad := range map[string]map[string]any{
		"sub is a number":            {"sub": 7},
		"aud is an object":           {"aud": map[string]any{}},
		"exp is a string":            {"exp": "tomorrow"},
		"a value JSON does not know": {"x": func() {}},
		"a string of invalid UTF-8":  {"sub": "\xff"},
		"a number that is none":      {"exp": -1},
	} {
		if u, err := ginkeycloak.UserFromClaims("orders-api", bad); err == nil || u != nil {
			t.Errorf("UserFromClaims where %s = %v, %v, want an error", name, u, err)
		}
	}
}

func TestContextWithUser(t *testing.T) {
	t.Parallel()
	alice, bob := madeUser(t, map[string]any{"sub": "alice"}), madeUser(t, map[string]any{"sub": "bob"})
	ctx := ginkeycloak.ContextWithUser(t.Context(), alice)
	if u, ok := ginkeycloak.UserFromContext(ctx); !ok || u != alice {
		t.Errorf("UserFromContext of a context with alice = %v, %t, want her", u, ok)
	}
	if u, ok := ginkeycloak.UserFromContext(ginkeycloak.ContextWithUser(ctx, bob)); !ok || u != bob {
		t.Errorf("UserFromContext of a context with alice, then bob = %v, %t, want bob", u, ok)
	}
	if u, ok := ginkeycloak.UserFromContext(ginkeycloak.ContextWithUser(ctx, nil)); ok || u != nil {
		t.Errorf("UserFromContext of a context with nobody = %v, %t, want none", u, ok)
	}
	var none context.Context
	if u, ok := ginkeycloak.UserFromContext(none); ok || u != nil {
		t.Errorf("UserFromContext(nil) = %v, %t, want none", u, ok)
	}
	if u, ok := ginkeycloak.UserFromContext(&gin.Context{}); ok || u != nil {
		t.Errorf("UserFromContext of an empty gin.Context = %v, %t, want none", u, ok)
	}
}

// TestContextWithUserServesTestsOfHandlers: a handler is tested without plugin and without token.
func TestContextWithUserServesTestsOfHandlers(t *testing.T) {
	t.Parallel()
	engine := gin.New()
	engine.GET("/", func(c *gin.Context) {
		fromGin, _ := ginkeycloak.UserFromContext(c)
		fromRequest, _ := ginkeycloak.UserFromContext(c.Request.Context())
		c.String(http.StatusOK, "%v %v", fromGin, fromRequest)
	})
	r := httptest.NewRequestWithContext(
		ginkeycloak.ContextWithUser(t.Context(), madeUser(t, map[string]any{"sub": "7"})), http.MethodGet, "/", http.NoBody)
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, r)
	if got, want := w.Body.String(), "user(7) user(7)"; got != want {
		t.Errorf("a handler that asks gin.Context and request = %q, want %q", got, want)
	}
}

// TestPrintingAUserGivesNothingAway: users are printed by accident, into logs and errors.
func TestPrintingAUserGivesNothingAway(t *testing.T) {
	t.Parallel()
	const mark = "PERSONAL"
	u := madeUser(t, map[string]any{
		"sub": "id-1", "username": mark, "preferred_username": mark, "email": mark + "@example.com", "name": mark, "given_name": mark,
		"family_name": mark, "groups": []string{"/" + mark}, "realm_access": map[string]any{"roles": []string{mark}}, "phone": mark,
	})
	var text, jsonLog strings.Builder
	slog.New(slog.NewTextHandler(&text, nil)).Info("hello", "user", u)
	slog.New(slog.NewJSONHandler(&jsonLog, nil)).Info("hello", "user", u)
	for how, got := range map[string]string{
		"String":         u.String(),
		"%v":             fmt.Sprintf("%v", u),
		"%+v":            fmt.Sprintf("%+v", u),
		"%s":             fmt.Sprintf("%s", u),
		"%q":             fmt.Sprintf("%q", u),
		"%#v":            fmt.Sprintf("%#v", u),
		"%v of a struct": fmt.Sprintf("%v", struct{ U *ginkeycloak.User }{u}),
		"%v of a slice":  fmt.Sprintf("%v", []*ginkeycloak.User{u}),
		"%v of a copy":   fmt.Sprintf("%v", *u),
		"%+v of a copy":  fmt.Sprintf("%+v", *u),
		"an error":       fmt.Errorf("orders of %v: %w", u, context.Canceled).Error(),
		"slog as text":   text.String(),
		"slog as JSON":   jsonLog.String(),
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(got, mark) {
				t.Errorf("a user printed by %s = %s, want no personal data", how, got)
			}
		})
	}
}

func TestServiceAccount(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	u := userOf(t, keycloaktest.ForServiceAccount("orders-api"))
	if u.Username != "service-account-orders-api" || u.Subject == "" || u.SessionID != "" || u.AuthorizedParty != "orders-api" || u.Email != "" {
		t.Errorf("the user of a service account = %#v, want its name, a subject and no session", u.Username)
	}
	if !slices.Equal(u.Audience, []string{"orders-api", "account"}) {
		t.Errorf("Audience of a service account = %q, want orders-api and account", u.Audience)
	}
	checkKind(t, "service account", a.get(t, "/me", a.keycloak.Token(keycloaktest.ForServiceAccount("orders-api"))), kindOK)
	// billing has no audience mapper for this API: its machines stay outside.
	checkKind(t, "another client's service account",
		a.get(t, "/me", a.keycloak.Token(keycloaktest.ForServiceAccount("billing"))), kindTok)
}
