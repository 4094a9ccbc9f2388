package ginkeycloak_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// What is wrong with the credentials is said in the log: the caller is told no more than that they cannot be read.
func TestReasonOfWrongCredentials(t *testing.T) {
	t.Parallel()
	broken := func(r *http.Request) (string, error) {
		if r.Header.Get("X-Broken") != "" {
			return "", errors.New("not readable")
		}
		return "", nil
	}
	tests := []struct {
		name    string
		request func(*testing.T) *http.Request
		want    string
	}{
		{"nothing behind the scheme", request("GET", "/me", "", "Authorization", "Bearer "), "not exactly one well-formed bearer token"},
		{"header and query", request("GET", "/me?access_token=x", "", "Authorization", "Bearer x"), "more than one token"},
		{"query twice", request("GET", "/me?access_token=x&access_token=x", ""), "more than one token"},
		{"an extractor's error", request("GET", "/me", "", "X-Broken", "1"), "not readable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, ginkeycloak.WithTokenExtractor(ginkeycloak.TokenFromQuery("access_token"), broken))
			checkKind(t, tt.name, a.do(t, tt.request(t)), kindReq)
			if log := a.log.String(); !strings.Contains(log, tt.want) {
				t.Errorf("%s: log = %s, want %q in it", tt.name, log, tt.want)
			}
		})
	}
}

// A request that can have no form is not refused for one that cannot be read.
func TestFormIsReadOnlyWhereOneCanBe(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	a := newAPI(t, ginkeycloak.WithTokenExtractor(ginkeycloak.TokenFromForm()))
	a.POST("/me", a.me)
	a.HEAD("/me", a.me)
	for name, tt := range map[string]struct {
		request func(*testing.T) *http.Request
		want    string
	}{
		"GET with a query that cannot be read":     {request("GET", "/me?%zz", "", "Content-Type", form), kindNone},
		"HEAD with a query that cannot be read":    {request("HEAD", "/me?%zz", "", "Content-Type", form), kindNone},
		"POST of a type that cannot be read":       {request("POST", "/me", "access_token=x", "Content-Type", "text/plain; x"), kindNone},
		"POST of a form that cannot be read":       {request("POST", "/me", "access_token=%zz", "Content-Type", form), kindReq},
		"POST of a form, type with a parameter":    {request("POST", "/me", "access_token=x", "Content-Type", form+"; charset=utf-8"), kindTok},
		"POST of a form, type in upper case":       {request("POST", "/me", "access_token=x", "Content-Type", strings.ToUpper(form)), kindTok},
		"POST of a form with the token in the URL": {request("POST", "/me?access_token=x", "", "Content-Type", form), kindNone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := tt.request(t)
			got := a.do(t, r)
			if r.Method == http.MethodHead {
				if got.status != http.StatusUnauthorized {
					t.Errorf("%s: status %d, want 401", name, got.status)
				}
				return
			}
			checkKind(t, name, got, tt.want)
		})
	}
}

// The log says what was asked for.
func TestRequirementsSayWhatIsRequired(t *testing.T) {
	t.Parallel()
	for want, require := range map[string]requirement{
		`required is all of role`: roles("a", "b"), `required is one of role`: anyRole("a", "b"),
		`required is all of group`: groups("/a"), `required is one of scope`: anyScope("a", "b"),
	} {
		a := newAPI(t)
		checkKind(t, want, a.behind(require(a.kc)).get(t, "/guarded", a.keycloak.Token()), kindScope)
		if log := a.log.String(); !strings.Contains(log, want) {
			t.Errorf("log = %s, want %q in it", log, want)
		}
	}
}

// What is a mistake in a group is none in a role or a scope, and the other way round.
func TestRequirementsOfUnusualNames(t *testing.T) {
	t.Parallel()
	kc := newAPI(t).kc
	kc.RequireRoles("a/", "a b")
	kc.RequireClientRoles("client", "a/", "a b")
	kc.RequireGroups("/a b")
	kc.RequireScopes("https://api.example/")
}

// However many handlers ask for the user, a request is authenticated once.
func TestRequirementsShareTheUser(t *testing.T) {
	t.Parallel()
	var judged atomic.Int64
	a := newAPI(t, ginkeycloak.WithTrace(&ginkeycloak.Trace{
		Authenticated: func(context.Context, ginkeycloak.Authenticated) { judged.Add(1) },
	}))
	token := a.keycloak.Token(keycloaktest.RealmRoles("a", "b"))
	for name, guarded := range map[string]*api{
		"behind the middleware": a.behind(a.kc.Middleware(), a.kc.RequireRoles("a"), a.kc.RequireRoles("b")),
		"alone":                 a.behind(a.kc.RequireRoles("a"), a.kc.RequireRoles("b")),
	} {
		judged.Store(0)
		checkKind(t, name, guarded.get(t, "/guarded", token), kindOK)
		if got := judged.Load(); got != 1 {
			t.Errorf("%s: authenticated %d times, want once", name, got)
		}
	}
}
