package ginkeycloak

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
)

// requirement is what every Require… method compiles to, once, at registration: a question to ask of a user,
// and how to refuse one of whom it does not hold.
type requirement struct {
	method string // for the panic of a mistake
	code   Code
	kind   string // "role", "group", "scope"
	of     string // what the roles are of, for descriptions: " of the realm"
	values []string
	any    bool // one of the values will do
	has    func(u *User, value string) bool
}

// RequireRoles refuses users who lack one of the roles, with CodeMissingRoles. A role counts if it is the
// realm's or that of the API's own client (WithClientID). Like all Require… methods it authenticates the
// request itself if no Middleware did, so that a forgotten middleware opens nothing, and panics at registration
// when a value is missing: an empty list would let everybody in.
func (p *Plugin) RequireRoles(roles ...string) gin.HandlerFunc {
	return p.require(requirement{method: "RequireRoles", code: CodeMissingRoles, kind: "role", values: roles, has: (*User).HasRole})
}

// RequireAnyRole is RequireRoles for users who have at least one of the roles.
func (p *Plugin) RequireAnyRole(roles ...string) gin.HandlerFunc {
	return p.require(requirement{method: "RequireAnyRole", code: CodeMissingRoles, kind: "role", values: roles, any: true, has: (*User).HasRole})
}

// RequireRealmRoles refuses users who lack one of the roles in the realm, whatever roles they have in clients.
func (p *Plugin) RequireRealmRoles(roles ...string) gin.HandlerFunc {
	return p.require(requirement{method: "RequireRealmRoles", code: CodeMissingRoles, kind: "role", of: " of the realm", values: roles, has: (*User).HasRealmRole})
}

// RequireClientRoles refuses users who lack one of the roles in that client, whatever roles they have elsewhere.
func (p *Plugin) RequireClientRoles(client string, roles ...string) gin.HandlerFunc {
	if client == "" {
		panic("ginkeycloak: RequireClientRoles: the client is empty")
	}
	has := func(u *User, role string) bool { return u.HasClientRole(client, role) }
	return p.require(requirement{
		method: "RequireClientRoles", code: CodeMissingRoles, kind: "role", of: " of the client `" + client + "`", values: roles, has: has,
	})
}

// RequireGroups refuses users who are not in all of the groups, with CodeMissingGroups. Groups are paths:
// members of /eng/sre are in /eng.
func (p *Plugin) RequireGroups(groups ...string) gin.HandlerFunc {
	return p.require(requirement{method: "RequireGroups", code: CodeMissingGroups, kind: "group", values: groups, has: (*User).InGroup})
}

// RequireAnyGroup is RequireGroups for users who are in at least one of the groups.
func (p *Plugin) RequireAnyGroup(groups ...string) gin.HandlerFunc {
	return p.require(requirement{method: "RequireAnyGroup", code: CodeMissingGroups, kind: "group", values: groups, any: true, has: (*User).InGroup})
}

// RequireScopes refuses tokens without one of the scopes, with CodeMissingScope and a challenge that names them
// (RFC 6750 §3.1).
func (p *Plugin) RequireScopes(scopes ...string) gin.HandlerFunc {
	return p.require(requirement{method: "RequireScopes", code: CodeMissingScope, kind: "scope", values: scopes, has: (*User).HasScope})
}

// RequireAnyScope is RequireScopes for tokens with at least one of the scopes.
func (p *Plugin) RequireAnyScope(scopes ...string) gin.HandlerFunc {
	return p.require(requirement{method: "RequireAnyScope", code: CodeMissingScope, kind: "scope", values: scopes, any: true, has: (*User).HasScope})
}

// require turns a requirement into a handler.
func (p *Plugin) require(r requirement) gin.HandlerFunc {
	r.values = slices.Clone(r.values)
	r.mustBeComplete()
	missing := r.refusal()
	return func(c *gin.Context) {
		defer p.rescue(c)
		p.guards.note(c, &r)
		user, err := p.userOf(c)
		if err != nil {
			p.refuse(c, err)
			return
		}
		if !r.met(user) {
			p.refuse(c, missing)
		}
	}
}

// userOf returns the user that this plugin authenticated the request as. If nobody asked yet, it asks.
func (p *Plugin) userOf(c *gin.Context) (*User, error) {
	if user := p.known(c); user != nil {
		if user.isAnonymous() {
			return nil, refusal(CodeNotAuthenticated, "an anonymous request to a route with requirements")
		}
		return user, nil
	}
	user, err := p.authenticate(c.Request)
	if err != nil {
		return nil, err
	}
	p.admit(c, user)
	return user, nil
}

// met reports whether the requirement holds of the user.
func (r *requirement) met(u *User) bool {
	for _, value := range r.values {
		if r.has(u, value) == r.any {
			return r.any
		}
	}
	return !r.any
}

// refusal is the error for users of whom the requirement does not hold. It says what is asked for, and nothing
// of what the user has.
func (r *requirement) refusal() *Error {
	quantity := "all"
	if r.any {
		quantity = "one"
	}
	e := refusal(r.code, fmt.Sprintf("required is %s of %s %q", quantity, r.kind, r.values))
	if r.code == CodeMissingScope {
		e.scope = strings.Join(r.values, " ")
	}
	return e
}

// mustBeComplete panics on a mistake of the programmer, as Gin does for a bad route.
func (r *requirement) mustBeComplete() {
	if len(r.values) == 0 {
		panic(fmt.Sprintf("ginkeycloak: %s: no %s is given", r.method, r.kind))
	}
	for _, value := range r.values {
		switch {
		case value == "":
			panic(fmt.Sprintf("ginkeycloak: %s: a %s is empty", r.method, r.kind))
		case r.kind == "group" && strings.HasSuffix(value, "/"):
			panic(fmt.Sprintf("ginkeycloak: %s: group %q ends with a slash", r.method, value))
		case r.kind == "scope" && strings.ContainsAny(value, " \t"):
			panic(fmt.Sprintf("ginkeycloak: %s: scope %q has a space: give each scope on its own", r.method, value))
		}
	}
}
