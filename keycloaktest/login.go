package keycloaktest

import (
	"bytes"
	_ "embed" // login.html
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// loginRequest is an authorization request (RFC 6749 §4.1.1) that passed all checks.
type loginRequest struct {
	clientID        string
	redirectURI     string
	state           string
	fragment        bool // response_mode
	scope           string
	nonce           string
	challenge       string
	challengeMethod string
}

// grantedCode is an authorization code: the request and who logged in.
type grantedCode struct {
	loginRequest
	user     User
	sid      string
	authTime time.Time
}

//go:embed login.html
var loginHTML string

var pages = template.Must(template.New("login").Parse(loginHTML))

// page is what the template shows: a form, or a message only.
type page struct {
	Realm    string
	Action   string
	Username string
	Error    string
	Title    string
	Message  string
}

// serveAuthorization is the authorization endpoint: it shows the login page.
func (s *Server) serveAuthorization(w http.ResponseWriter, r *http.Request) {
	client, known := s.clients[r.Form.Get("client_id")]
	if !known {
		s.sorry(w, "Client not found.")
		return
	}
	// Until the redirect URI is known to be the client's own, nothing is sent there (RFC 6749 §4.1.2.1).
	if !client.allowsRedirect(r.Form.Get("redirect_uri")) {
		s.sorry(w, "Invalid parameter: redirect_uri")
		return
	}
	login, refused := newLoginRequest(client, r.Form)
	if refused != nil {
		s.redirect(w, login, "error", refused.code, "error_description", refused.description, "state", login.state,
			"iss", s.issuer)
		return
	}
	id := base64url([]byte(newUUID()))
	s.mu.Lock()
	s.state.logins.put(id, login, s.now().Add(loginLifespan))
	s.mu.Unlock()
	s.showLogin(w, id, login.clientID, page{Username: r.Form.Get("login_hint")})
}

// newLoginRequest reads an authorization request and says what is wrong with it, in Keycloak's order.
func newLoginRequest(client Client, form url.Values) (loginRequest, *refusal) {
	login := loginRequest{
		clientID: client.ID, redirectURI: form.Get("redirect_uri"), state: form.Get("state"), nonce: form.Get("nonce"),
		fragment:  form.Get("response_mode") == "fragment" || isImplicit(form.Get("response_type")),
		challenge: form.Get("code_challenge"), challengeMethod: form.Get("code_challenge_method"),
	}
	for _, values := range form {
		if len(values) > 1 {
			return login, badRequest("invalid_request", "duplicated parameter")
		}
	}
	if refused := checkResponseType(client, form.Get("response_type"), form.Get("response_mode")); refused != nil {
		return login, refused
	}
	scope, refused := grantedScope(client, form.Get("scope"))
	if refused != nil {
		return login, refused
	}
	login.scope = scope
	if refused := checkChallenge(client, login); refused != nil {
		return login, refused
	}
	if form.Get("prompt") == "none" {
		return login, badRequest("login_required", "")
	}
	return login, nil
}

// isImplicit reports whether tokens are asked of the authorization endpoint; these would be in the fragment.
func isImplicit(responseType string) bool {
	types := strings.Fields(responseType)
	return slices.Contains(types, "token") || slices.Contains(types, "id_token")
}

func checkResponseType(client Client, responseType, mode string) *refusal {
	switch {
	case responseType == "":
		return badRequest("invalid_request", "Missing parameter: response_type")
	case !slices.Contains([]string{"", "query", "fragment"}, mode):
		return badRequest("invalid_request", "Invalid parameter: response_mode")
	case responseType == "code" && !client.StandardFlow:
		return unauthorized("unauthorized_client", "Client is not allowed to initiate browser login with given "+
			"response_type. Standard flow is disabled for the client.")
	case isImplicit(responseType):
		return unauthorized("unauthorized_client", "Client is not allowed to initiate browser login with given "+
			"response_type. Implicit flow is disabled for the client.")
	case responseType != "code":
		return badRequest("unsupported_response_type", "")
	}
	return nil
}

// checkChallenge is the first half of PKCE (RFC 7636 §4.3).
func checkChallenge(client Client, login loginRequest) *refusal {
	challenge, method := login.challenge, login.challengeMethod
	switch {
	case client.RequirePKCE && method == "":
		return badRequest("invalid_request", "Missing parameter: code_challenge_method")
	case client.RequirePKCE && method != "S256":
		return badRequest("invalid_request", "Invalid parameter: code challenge method is not matching the configured one")
	case challenge == "" && method != "":
		return badRequest("invalid_request", "Missing parameter: code_challenge")
	case challenge == "":
		return nil
	case !slices.Contains([]string{"", "plain", "S256"}, method):
		return badRequest("invalid_request", "Invalid parameter: code_challenge_method")
	case !isPKCE(challenge):
		return badRequest("invalid_request", "Invalid parameter: code_challenge")
	}
	return nil
}

// serveLogin takes the login form.
func (s *Server) serveLogin(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("session_code")
	s.mu.Lock()
	login, ok := s.state.logins.get(id, s.now())
	s.mu.Unlock()
	if !ok {
		s.sorry(w, "Your login attempt timed out. Login will start from the beginning.")
		return
	}
	username := r.PostForm.Get("username")
	user, ok := s.checkPassword(username, r.PostForm.Get("password"))
	if !ok {
		s.showLogin(w, id, login.clientID, page{Username: username, Error: "Invalid username or password."})
		return
	}
	if user.Disabled {
		disabled := "Account is disabled, contact your administrator."
		s.showLogin(w, id, login.clientID, page{Username: username, Error: disabled})
		return
	}
	code, sid, ok := s.grantCode(id, user)
	if !ok { // the form was sent twice at once
		s.sorry(w, "You are already logged in.")
		return
	}
	s.redirect(w, login, "state", login.state, "session_state", sid, "iss", s.issuer, "code", code)
}

// grantCode turns a login into a session and a code. Each login does so once.
func (s *Server) grantCode(id string, user User) (code, sid string, ok bool) {
	s.mu.Lock()
	login, ok := s.state.logins.take(id, s.now())
	s.mu.Unlock()
	if !ok {
		return "", "", false
	}
	sid = s.startSession(user, login.clientID, login.scope, "")
	code = newUUID() + "." + sid + "." + uuidOf("client:"+login.clientID)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.state.codes.put(code, grantedCode{login, user, sid, now}, now.Add(codeLifespan))
	return code, sid, true
}

// takeCode spends a code. One that was spent before costs the client its session (RFC 6749 §4.1.2).
func (s *Server) takeCode(code string) (grantedCode, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if granted, ok := s.state.codes.take(code, now); ok {
		return granted, true
	}
	parts := strings.Split(code, ".")
	if len(parts) != 3 {
		return grantedCode{}, false
	}
	if active, ok := s.state.sessions.get(parts[1], now); ok {
		for clientID := range active.clients {
			if parts[2] == uuidOf("client:"+clientID) {
				active.clients[clientID] = nil
			}
		}
	}
	return grantedCode{}, false
}

// redirect answers the authorization request at the client's redirect URI (RFC 6749 §4.1.2, RFC 9207).
func (s *Server) redirect(w http.ResponseWriter, login loginRequest, pairs ...string) {
	var params []string
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] != "" {
			params = append(params, pair[0]+"="+url.QueryEscape(pair[1]))
		}
	}
	separator := "?"
	switch {
	case login.fragment:
		separator = "#"
	case strings.Contains(login.redirectURI, "?"):
		separator = "&"
	}
	w.Header().Set("Cache-Control", "no-store, must-revalidate, max-age=0")
	w.Header().Set("Location", login.redirectURI+separator+strings.Join(params, "&"))
	w.WriteHeader(http.StatusFound)
}

func (s *Server) showLogin(w http.ResponseWriter, id, clientID string, p page) {
	query := url.Values{"session_code": {id}, "client_id": {clientID}}
	p.Title = "Sign in to your account"
	p.Action = s.basePath + "/realms/" + url.PathEscape(s.realm) + "/login-actions/authenticate?" + query.Encode()
	s.show(w, http.StatusOK, p)
}

func (s *Server) sorry(w http.ResponseWriter, message string) {
	s.show(w, http.StatusBadRequest, page{Title: "We are sorry...", Message: message})
}

func (s *Server) show(w http.ResponseWriter, status int, p page) {
	p.Realm = s.realm
	var html bytes.Buffer
	if err := pages.Execute(&html, p); err != nil {
		writeError(w, http.StatusInternalServerError, "unknown_error", "")
		return
	}
	w.Header().Set("Cache-Control", "no-store, must-revalidate, max-age=0")
	w.Header().Set("Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'self'")
	write(w, status, "text/html;charset=utf-8", html.Bytes())
}
