package keycloaktest

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// refusal is an OAuth error on its way out.
type refusal struct {
	status      int
	code        string
	description string
}

func (r *refusal) write(w http.ResponseWriter) { writeError(w, r.status, r.code, r.description) }

func badRequest(code, description string) *refusal {
	return &refusal{http.StatusBadRequest, code, description}
}

func unauthorized(code, description string) *refusal {
	return &refusal{http.StatusUnauthorized, code, description}
}

// grant is what a token request earned.
type grant struct {
	by       string // the grant as jti abbreviates it
	client   Client
	user     User
	scope    string
	sid      string
	refresh  string // jti of the refresh token; none for service accounts
	nonce    string
	authTime time.Time
	host     string // of a service account
}

// grants are the grant types of the token endpoint.
var grants = map[string]func(*Server, Client, *http.Request) (grant, *refusal){
	"password":           (*Server).byPassword,
	"client_credentials": (*Server).byClientCredentials,
	"authorization_code": (*Server).byCode,
	"refresh_token":      (*Server).byRefreshToken,
}

func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	grantType := r.PostForm.Get("grant_type")
	if grantType == "" {
		badRequest("invalid_request", "Missing form parameter: grant_type").write(w)
		return
	}
	by, known := grants[grantType]
	if !known {
		badRequest("unsupported_grant_type", "Unsupported grant_type").write(w)
		return
	}
	client, refused := s.authenticate(r)
	if refused != nil {
		refused.write(w)
		return
	}
	if !s.allowOrigin(w, r, client) {
		return
	}
	if duplicated(r) {
		badRequest("invalid_request", "duplicated parameter").write(w)
		return
	}
	earned, refused := by(s, client, r)
	if refused != nil {
		refused.write(w)
		return
	}
	response, err := s.tokenResponse(earned)
	if err != nil {
		writeError(w, http.StatusInternalServerError, "unknown_error", "")
		return
	}
	writeJSON(w, http.StatusOK, response)
}

// duplicated reports whether a parameter was sent twice (RFC 6749 §3.2: it must not be).
func duplicated(r *http.Request) bool {
	for _, values := range r.PostForm {
		if len(values) > 1 {
			return true
		}
	}
	return false
}

// tokenResponse issues all tokens of a grant, in a response with its members in Keycloak's order.
func (s *Server) tokenResponse(g grant) (*object, error) {
	o := newObject()
	access, err := s.mint(s.granted(accessToken, g))
	if err != nil {
		return nil, err
	}
	o.set("access_token", access)
	o.set("expires_in", int64(s.lifespan/time.Second))
	o.set("refresh_expires_in", 0)
	if g.refresh != "" {
		t := s.granted(refreshToken, g)
		t.jti = g.refresh
		refresh, err := s.mint(t)
		if err != nil {
			return nil, err
		}
		o.set("refresh_expires_in", int64(refreshLifespan/time.Second))
		o.set("refresh_token", refresh)
	}
	o.set("token_type", "Bearer")
	if slices.Contains(strings.Fields(g.scope), "openid") {
		t := s.granted(idToken, g)
		t.accessToken = access
		id, err := s.mint(t)
		if err != nil {
			return nil, err
		}
		o.set("id_token", id)
	}
	o.set("not-before-policy", max(s.notBefore(), s.loggedOutAt(g.user)))
	if g.sid != "" {
		o.set("session_state", g.sid)
	}
	o.set("scope", g.scope)
	return o, nil
}

// granted is a token of a grant, with all that Keycloak puts into it.
func (s *Server) granted(k kind, g grant) *Token {
	t := s.newToken(k)
	t.client, t.user, t.bare = g.client, g.user, false
	t.lightweight = k == accessToken && g.client.LightweightTokens
	t.grant, t.sid, t.scope, t.nonce, t.authTime, t.host = g.by, g.sid, g.scope, g.nonce, g.authTime, g.host
	return t
}

func (s *Server) byPassword(client Client, r *http.Request) (grant, *refusal) {
	if !client.DirectAccessGrants {
		return grant{}, badRequest("unauthorized_client", "Client not allowed for direct access grants")
	}
	scope, refused := grantedScope(client, r.PostForm.Get("scope"))
	if refused != nil {
		return grant{}, refused
	}
	username := r.PostForm.Get("username")
	if username == "" {
		return grant{}, unauthorized("invalid_request", "Missing parameter: username")
	}
	user, ok := s.checkPassword(username, r.PostForm.Get("password"))
	if !ok {
		return grant{}, badRequest("invalid_grant", "Invalid user credentials")
	}
	if user.Disabled {
		return grant{}, badRequest("invalid_grant", "Account disabled")
	}
	refresh := newUUID()
	sid := s.startSession(user, client.ID, scope, refresh)
	return grant{by: "ro", client: client, user: user, scope: scope, sid: sid, refresh: refresh}, nil
}

func (s *Server) byClientCredentials(client Client, r *http.Request) (grant, *refusal) {
	if client.Public {
		return grant{}, unauthorized("unauthorized_client", "Public client not allowed to retrieve service account")
	}
	if !client.ServiceAccount {
		return grant{}, unauthorized("unauthorized_client", "Client not enabled to retrieve service account")
	}
	scope, refused := grantedScope(client, r.PostForm.Get("scope"))
	if refused != nil {
		return grant{}, refused
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = "127.0.0.1"
	}
	return grant{by: "cc", client: client, user: serviceAccount(client, s.realm), scope: scope, host: host}, nil
}

func (s *Server) byCode(client Client, r *http.Request) (grant, *refusal) {
	code := r.PostForm.Get("code")
	if code == "" {
		return grant{}, badRequest("invalid_request", "Missing parameter: code")
	}
	login, ok := s.takeCode(code)
	switch {
	case !ok:
		return grant{}, badRequest("invalid_grant", "Code not valid")
	case login.redirectURI != r.PostForm.Get("redirect_uri"):
		return grant{}, badRequest("invalid_grant", "Incorrect redirect_uri")
	case login.clientID != client.ID:
		return grant{}, badRequest("invalid_grant", "Auth error: Found different client_id in clientSession")
	}
	if refused := checkVerifier(login.loginRequest, r.PostForm.Get("code_verifier")); refused != nil {
		return grant{}, refused
	}
	g := grant{
		by: "ac", client: client, user: login.user, scope: login.scope, sid: login.sid, refresh: newUUID(),
		nonce: login.nonce, authTime: login.authTime,
	}
	if refused := s.rotate(g.sid, client, "", g.refresh); refused != nil {
		return grant{}, refused
	}
	return g, nil
}

// checkVerifier is the second half of PKCE (RFC 7636 §4.6).
func checkVerifier(login loginRequest, verifier string) *refusal {
	if login.challenge == "" && verifier == "" {
		return nil
	}
	if login.challenge == "" {
		return badRequest("invalid_grant", "PKCE code verifier specified but challenge not present in authorization")
	}
	if verifier == "" {
		return badRequest("invalid_grant", "PKCE code verifier not specified")
	}
	if !isPKCE(verifier) {
		return badRequest("invalid_grant", "PKCE verification failed: Invalid code verifier")
	}
	if login.challengeMethod == "S256" {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64url(sum[:])
	}
	if !equal(verifier, login.challenge) {
		return badRequest("invalid_grant", "PKCE verification failed: Code mismatch")
	}
	return nil
}

// isPKCE reports whether a verifier or a challenge is one (RFC 7636 §4.1, §4.2).
func isPKCE(s string) bool {
	return len(s) >= 43 && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("-._~", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// maxRefreshToken is the longest refresh token, in bytes, that the token endpoint takes notice of.
const maxRefreshToken = 4000

func (s *Server) byRefreshToken(client Client, r *http.Request) (grant, *refusal) {
	token := r.PostForm.Get("refresh_token")
	if !r.PostForm.Has("refresh_token") || len(token) > maxRefreshToken { // an empty one is an invalid one
		return grant{}, badRequest("invalid_request", "No refresh token")
	}
	claims, refused := s.checkRefreshToken(client, token)
	if refused != nil {
		return grant{}, refused
	}
	user, known := s.userByID(claims.text("sub"))
	if !known || user.Disabled {
		return grant{}, badRequest("invalid_grant", "User disabled")
	}
	g := grant{
		by: "rt", client: client, user: user, scope: claims.text("scope"), sid: claims.text("sid"), refresh: newUUID(),
	}
	if refused := s.rotate(g.sid, client, claims.text("jti"), g.refresh); refused != nil {
		return grant{}, refused
	}
	return g, nil
}

// rotate makes next the session's refresh token for a client, if presented is the one so far. Any other one was used
// before: then the client loses its session, because somebody stole a token (RFC 6819 §5.2.2.3).
func (s *Server) rotate(sid string, client Client, presented, next string) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	active, ok := s.state.sessions.get(sid, now)
	if !ok {
		return badRequest("invalid_grant", "Session not active")
	}
	attached := active.clients[client.ID]
	if attached == nil {
		return badRequest("invalid_grant", "Session doesn't have required client")
	}
	switch presented {
	case attached.refresh:
		attached.refresh, attached.used = next, presented
		return nil
	case attached.used:
		active.clients[client.ID] = nil
		return badRequest("invalid_grant", "Maximum allowed refresh token reuse exceeded")
	}
	active.clients[client.ID] = nil
	return badRequest("invalid_grant", "Stale token")
}

// grantedScope is the scope that a client gets when it asks for one: the realm's default scopes, and the optional ones
// it named.
func grantedScope(client Client, asked string) (string, *refusal) {
	scope := []string{"profile", "email"}
	for _, name := range strings.Fields(asked) {
		switch {
		case slices.Contains(scope, name), slices.Contains([]string{"basic", "roles", "web-origins", "acr"}, name):
		case name == "openid":
			scope = slices.Insert(scope, 0, name)
		case slices.Contains(client.OptionalScopes, name):
			scope = append(scope, name)
		default:
			return "", badRequest("invalid_scope", "Invalid scopes: "+asked)
		}
	}
	return strings.Join(scope, " "), nil
}

// checkPassword finds the user by name or by email address, as Keycloak does.
func (s *Server) checkPassword(username, password string) (User, bool) {
	user, ok := s.users[username]
	for _, other := range s.users {
		if !ok && other.Email != "" && other.Email == username {
			user, ok = other, true
		}
	}
	if !ok || user.Password == "" || !equal(user.Password, password) {
		return User{}, false
	}
	return user, true
}

// equal compares secrets in constant time.
func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
