package keycloaktest

import (
	"crypto"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Client is a client of the realm. The fields are named as Keycloak's admin console names them; what is not set is off.
type Client struct {
	ID        string           // the client ID
	Secret    string           // of a confidential client that authenticates by client_secret_basic or client_secret_post
	Public    bool             // a public client has no credentials, and may not introspect
	PublicKey crypto.PublicKey // of a confidential client that authenticates by private_key_jwt
	KeyID     string           // the only kid that assertions may name, as with a key set in Keycloak; default: any

	StandardFlow        bool     // authorization code
	DirectAccessGrants  bool     // password
	ServiceAccount      bool     // client_credentials
	RequirePKCE         bool     // S256 is required of the standard flow
	LightweightTokens   bool     // "Always use lightweight access token"
	GroupsMapper        bool     // groups, with their full path, in the client's tokens
	Audience            []string // audience mappers: these clients are in aud of the client's tokens
	ServiceAccountRoles []string // realm roles of the service account, beside the realm's default roles

	// OptionalScopes are in a token's scope when they are asked for, beside the default ones: profile and email.
	OptionalScopes []string
	// RedirectURIs are compared byte for byte. As in Keycloak a trailing * in the path stands for any ending; beyond
	// Keycloak the port may be *, because a test's port is a different one every time.
	RedirectURIs []string
	// WebOrigins may call the token and userinfo endpoints from a browser. "+" stands for the origins of RedirectURIs,
	// "*" for all, and a port may be *. Default: "+", as for a client that is imported without them.
	WebOrigins []string
}

// User is a user of the realm. Username is required; a user without a password cannot log in.
type User struct {
	ID            string // sub; default: a UUID that follows from Username
	Username      string
	Password      string
	Email         string
	EmailVerified bool
	FirstName     string
	LastName      string
	Disabled      bool
	RealmRoles    []string
	ClientRoles   map[string][]string // by client ID
	Groups        []string            // full paths, such as "/eng/sre"
}

func defaultClients() []Client {
	return []Client{
		{
			ID: "orders-api", Secret: "s3cret", StandardFlow: true, DirectAccessGrants: true, ServiceAccount: true,
			GroupsMapper: true, Audience: []string{"orders-api"}, RedirectURIs: []string{"http://localhost:8080/*"},
		},
		{
			ID: "swagger", Public: true, StandardFlow: true, RequirePKCE: true, Audience: []string{"orders-api"},
			RedirectURIs: []string{
				"http://localhost:*/swagger/oauth2-redirect.html", "http://127.0.0.1:*/swagger/oauth2-redirect.html",
			},
		},
		{
			ID: "spa", Public: true, StandardFlow: true, DirectAccessGrants: true, Audience: []string{"orders-api"},
			RedirectURIs: []string{"http://localhost:*/*", "http://127.0.0.1:*/*"},
		},
		{
			ID: "light", Secret: "s3cret", StandardFlow: true, DirectAccessGrants: true, ServiceAccount: true,
			GroupsMapper: true, LightweightTokens: true, Audience: []string{"orders-api", "light"},
			RedirectURIs: []string{"http://localhost:8080/*"},
		},
		{ID: "billing", Secret: "s3cret", DirectAccessGrants: true, ServiceAccount: true, Audience: []string{"billing"}},
	}
}

func defaultUsers() []User {
	return []User{
		{
			Username: "alice", Password: "alice", Email: "alice@example.com", EmailVerified: true,
			FirstName: "Alice", LastName: "A", RealmRoles: []string{"admin", "viewer"},
			ClientRoles: map[string][]string{"orders-api": {"manage"}}, Groups: []string{"/eng/sre"},
		},
		{
			Username: "bob", Password: "bob", Email: "bob@example.com", EmailVerified: true,
			FirstName: "Bob", LastName: "B", RealmRoles: []string{"viewer"},
		},
	}
}

// register indexes the configured clients and users; the last of one name wins.
func (s *Server) register(c config) {
	s.clients = make(map[string]Client, len(c.clients))
	for _, client := range c.clients {
		if client.WebOrigins == nil {
			client.WebOrigins = []string{"+"}
		}
		client.WebOrigins = resolveOrigins(client)
		s.clients[client.ID] = client
	}
	s.users = make(map[string]User, len(c.users))
	for _, user := range c.users {
		if user.ID == "" {
			user.ID = uuidOf("user:" + user.Username)
		}
		s.users[user.Username] = user
	}
}

// User returns the user of that name as the realm has it, so with its ID. It ends the test if there is none.
func (s *Server) User(username string) User {
	user, ok := s.users[username]
	if !ok {
		s.tb.Helper()
		s.tb.Fatalf("keycloaktest: the realm has no user %q, only %v", username, slices.Sorted(maps.Keys(s.users)))
	}
	return user
}

func (s *Server) client(id string) Client {
	client, ok := s.clients[id]
	if !ok {
		s.tb.Helper()
		s.tb.Fatalf("keycloaktest: the realm has no client %q, only %v", id, slices.Sorted(maps.Keys(s.clients)))
	}
	return client
}

func (s *Server) userByID(id string) (User, bool) {
	for _, user := range s.users {
		if user.ID == id {
			return user, true
		}
	}
	return User{}, false
}

// serviceAccount is the user that stands for a client. It has the roles that every new user of a realm has, and
// these bring a second audience with them.
func serviceAccount(client Client, realm string) User {
	return User{
		ID:       uuidOf("service-account:" + client.ID),
		Username: "service-account-" + strings.ToLower(client.ID),
		RealmRoles: append(
			[]string{"default-roles-" + strings.ToLower(realm), "offline_access", "uma_authorization"},
			client.ServiceAccountRoles...),
		ClientRoles: map[string][]string{"account": {"manage-account", "manage-account-links", "view-profile"}},
	}
}

// allowsRedirect reports whether the client registered target. The wildcard ones are compared part by part and only
// for targets without tricks in them: Keycloak's were walked around more than once (CVE-2023-6291, CVE-2024-1132).
func (c Client) allowsRedirect(target string) bool {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(target, "#\\") || hasControl(target) {
		return false
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	return slices.ContainsFunc(c.RedirectURIs, func(pattern string) bool {
		return pattern == target || matchRedirect(pattern, u)
	})
}

func matchRedirect(pattern string, u *url.URL) bool {
	origin, path, found := cutOrigin(pattern)
	if !found || !matchOrigin(origin, u.Scheme+"://"+u.Host) {
		return false
	}
	if u.Path != cleanPath(u.Path) {
		return false
	}
	prefix, wild := strings.CutSuffix(path, "*")
	if wild {
		return strings.HasPrefix(u.EscapedPath(), prefix)
	}
	return u.RequestURI() == path
}

// cleanPath is p without dot segments, or "" if it has any: such a path leads somewhere else than it says.
func cleanPath(p string) string {
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." {
			return ""
		}
	}
	return p
}

// cutOrigin splits "http://host:*/path" behind the port. url.Parse would not take the port.
func cutOrigin(pattern string) (origin, path string, found bool) {
	scheme, rest, found := strings.Cut(pattern, "://")
	if !found {
		return "", "", false
	}
	host, path, found := strings.Cut(rest, "/")
	return scheme + "://" + host, "/" + path, found
}

// matchOrigin compares an origin to a registered one, whose port may be *.
func matchOrigin(pattern, origin string) bool {
	if pattern == origin {
		return true
	}
	host, anyPort := strings.CutSuffix(pattern, ":*")
	if !anyPort {
		return false
	}
	if origin == host {
		return true
	}
	port, found := strings.CutPrefix(origin, host+":")
	return found && port != "" && strings.Trim(port, "0123456789") == ""
}

func (c Client) allowsOrigin(origin string) bool {
	return slices.ContainsFunc(c.WebOrigins, func(pattern string) bool {
		return pattern == "*" || matchOrigin(pattern, origin)
	})
}

// resolveOrigins writes "+" out as the origins of the redirect URIs.
func resolveOrigins(c Client) []string {
	var origins []string
	for _, origin := range c.WebOrigins {
		if origin != "+" {
			origins = append(origins, origin)
			continue
		}
		for _, pattern := range c.RedirectURIs {
			if o, _, found := cutOrigin(pattern); found && !slices.Contains(origins, o) {
				origins = append(origins, o)
			}
		}
	}
	return origins
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// uuidOf is a UUID that follows from name, so that a user's sub is the same in every run.
func uuidOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return formatUUID(sum[:16])
}

func formatUUID(b []byte) string {
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
