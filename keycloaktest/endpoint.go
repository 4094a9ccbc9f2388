package keycloaktest

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Endpoint names one of the server's endpoints, for faults and for counting.
type Endpoint string

// The endpoints. Authorization covers the login page and its form; All is every request there is.
const (
	Discovery     Endpoint = "discovery"
	KeySet        Endpoint = "key set"
	TokenEndpoint Endpoint = "token"
	Introspection Endpoint = "introspection"
	UserInfo      Endpoint = "userinfo"
	Logout        Endpoint = "logout"
	Revocation    Endpoint = "revocation"
	Authorization Endpoint = "authorization"
	RealmInfo     Endpoint = "realm"
	All           Endpoint = "all"
)

// route is an endpoint's place below the realm.
type route struct {
	endpoint Endpoint
	methods  []string
	serve    func(*Server, http.ResponseWriter, *http.Request)
}

var (
	get       = []string{http.MethodGet, http.MethodHead}
	post      = []string{http.MethodPost}
	getOrPost = []string{http.MethodGet, http.MethodHead, http.MethodPost}
)

// routes are all of them, by their path.
var routes = map[string]route{
	"":                                  {RealmInfo, get, (*Server).serveRealm},
	"/.well-known/openid-configuration": {Discovery, get, (*Server).serveDiscovery},
	"/protocol/openid-connect/certs":    {KeySet, get, (*Server).serveKeySet},
	"/protocol/openid-connect/token":    {TokenEndpoint, post, (*Server).serveToken},
	"/protocol/openid-connect/token/introspect": {Introspection, post, (*Server).serveIntrospection},
	"/protocol/openid-connect/userinfo":         {UserInfo, getOrPost, (*Server).serveUserInfo},
	"/protocol/openid-connect/logout":           {Logout, getOrPost, (*Server).serveLogout},
	"/protocol/openid-connect/revoke":           {Revocation, post, (*Server).serveRevocation},
	"/protocol/openid-connect/auth":             {Authorization, getOrPost, (*Server).serveAuthorization},
	"/login-actions/authenticate":               {Authorization, post, (*Server).serveLogin},
}

const maxRequestBody = 1 << 20

// handle is one request, from a socket or from memory.
func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestBody+1))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if len(body) > maxRequestBody {
		writeError(w, http.StatusRequestEntityTooLarge, "HTTP 413 Request Entity Too Large", "")
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	_ = r.ParseForm() // what cannot be parsed is missing
	r.Body = io.NopCloser(bytes.NewReader(body))

	endpoint, next := s.route(r)
	fault, hook := s.count(endpoint)
	if hook != nil {
		hook(endpoint, r)
	}
	if fault != nil {
		fault(w, r, next)
		return
	}
	next.ServeHTTP(w, r)
}

// count counts the request and says what is to happen to it.
func (s *Server) count(e Endpoint) (Fault, func(Endpoint, *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[All]++
	if e != All {
		s.calls[e]++
	}
	if fault, ok := s.faults[e]; ok {
		return fault, s.hook
	}
	return s.faults[All], s.hook
}

// route finds the endpoint; requests to nowhere are of All.
func (s *Server) route(r *http.Request) (Endpoint, http.Handler) {
	realm, tail, found := s.cutRealm(r.URL.Path)
	if !found {
		return All, http.HandlerFunc(notFound)
	}
	if realm != s.realm {
		return All, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			writeError(w, http.StatusNotFound, "Realm does not exist", "")
		})
	}

	to, known := routes[tail]
	if !known {
		return All, http.HandlerFunc(notFound)
	}
	return to.endpoint, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.dispatch(to, w, r) })
}

func (s *Server) dispatch(to route, w http.ResponseWriter, r *http.Request) {
	secureHeaders(w.Header())
	switch {
	case r.Method == http.MethodOptions:
		preflight(w, r, to)
	case !slices.Contains(to.methods, r.Method):
		writeError(w, http.StatusMethodNotAllowed, "HTTP 405 Method Not Allowed", "")
	default:
		to.serve(s, w, r)
	}
}

// cutRealm splits /auth/realms/demo/protocol/… behind the realm.
func (s *Server) cutRealm(path string) (realm, tail string, found bool) {
	rest, found := strings.CutPrefix(path, s.basePath+"/realms/")
	if !found {
		return "", "", false
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[:i], strings.TrimSuffix(rest[i:], "/"), true
	}
	return rest, "", true
}

// endpoints are named after the issuer, whatever the address of the request: that is what a hostname setting does.
func (s *Server) protocolURL(tail string) string { return s.issuer + "/protocol/openid-connect" + tail }

func (s *Server) serveRealm(w http.ResponseWriter, r *http.Request) {
	der, err := x509.MarshalPKIXPublicKey(s.SigningKey().Public())
	if err != nil {
		writeError(w, http.StatusInternalServerError, "unknown_error", "")
		return
	}
	o := newObject()
	o.set("realm", s.realm)
	o.set("public_key", base64.StdEncoding.EncodeToString(der))
	o.set("token-service", s.protocolURL(""))
	o.set("account-service", s.issuer+"/account")
	o.set("tokens-not-before", s.notBefore())
	allowAllOrigins(w, r)
	w.Header().Set("Cache-Control", "no-cache")
	writeJSON(w, http.StatusOK, o)
}

func (s *Server) serveKeySet(w http.ResponseWriter, r *http.Request) {
	allowAllOrigins(w, r)
	w.Header().Set("Cache-Control", "no-cache")
	write(w, http.StatusOK, "application/json", []byte(s.keySetJSON()))
}

func (s *Server) serveDiscovery(w http.ResponseWriter, r *http.Request) {
	allowAllOrigins(w, r)
	w.Header().Set("Cache-Control", "no-cache, must-revalidate, no-transform, no-store")
	writeJSON(w, http.StatusOK, s.metadata())
}

// metadata is the discovery document, as far as a client of this server can use it.
func (s *Server) metadata() *object {
	signing := []string{
		"PS384", "RS384", "EdDSA", "ES384", "HS256", "HS512", "ES256", "RS256", "HS384", "ES512", "PS256", "PS512", "RS512",
	}
	clientAuth := []string{"private_key_jwt", "client_secret_basic", "client_secret_post"}
	asymmetric := slices.DeleteFunc(slices.Clone(signing), func(alg string) bool { return strings.HasPrefix(alg, "HS") })

	o := newObject()
	o.set("issuer", s.issuer)
	o.set("authorization_endpoint", s.protocolURL("/auth"))
	o.set("token_endpoint", s.protocolURL("/token"))
	o.set("introspection_endpoint", s.protocolURL("/token/introspect"))
	o.set("userinfo_endpoint", s.protocolURL("/userinfo"))
	o.set("end_session_endpoint", s.protocolURL("/logout"))
	o.set("frontchannel_logout_session_supported", true)
	o.set("frontchannel_logout_supported", true)
	o.set("jwks_uri", s.protocolURL("/certs"))
	o.set("grant_types_supported", []string{"authorization_code", "client_credentials", "password", "refresh_token"})
	o.set("acr_values_supported", []string{"0", "1"})
	o.set("response_types_supported", []string{"code"})
	o.set("subject_types_supported", []string{"public"})
	o.set("id_token_signing_alg_values_supported", signing)
	o.set("response_modes_supported", []string{"query", "fragment"})
	o.set("token_endpoint_auth_methods_supported", clientAuth)
	o.set("token_endpoint_auth_signing_alg_values_supported", asymmetric)
	o.set("introspection_endpoint_auth_methods_supported", clientAuth)
	o.set("introspection_endpoint_auth_signing_alg_values_supported", asymmetric)
	o.set("claims_supported", []string{
		"iss", "sub", "aud", "exp", "iat", "auth_time", "name", "given_name", "family_name", "preferred_username",
		"email", "acr", "azp", "nonce",
	})
	o.set("claim_types_supported", []string{"normal"})
	o.set("claims_parameter_supported", false)
	o.set("scopes_supported", []string{"openid", "profile", "email"})
	o.set("request_parameter_supported", false)
	o.set("request_uri_parameter_supported", false)
	o.set("require_request_uri_registration", false)
	o.set("code_challenge_methods_supported", []string{"plain", "S256"})
	o.set("revocation_endpoint", s.protocolURL("/revoke"))
	o.set("revocation_endpoint_auth_methods_supported", clientAuth)
	o.set("revocation_endpoint_auth_signing_alg_values_supported", asymmetric)
	o.set("backchannel_logout_supported", false)
	o.set("authorization_response_iss_parameter_supported", true)
	return o
}

// preflight answers a browser's OPTIONS. Which client asks is not known yet, so any origin may go on to ask; the real
// request is judged by the client's web origins.
func preflight(w http.ResponseWriter, r *http.Request, to route) {
	origin := r.Header.Get("Origin")
	if origin == "" || to.endpoint == Authorization || to.endpoint == Introspection {
		w.WriteHeader(http.StatusOK)
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Methods", strings.Join(append(slices.Clone(to.methods), http.MethodOptions), ", "))
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Access-Control-Allow-Headers", "Origin, Accept, X-Requested-With, Access-Control-Request-Method, "+
		"Access-Control-Request-Headers, DPoP, Content-Type, Authorization")
	h.Set("Access-Control-Max-Age", "3600")
	w.WriteHeader(http.StatusOK)
}

// allowAllOrigins is for what is public anyhow.
func allowAllOrigins(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Set("Access-Control-Allow-Credentials", "true")
	w.Header().Add("Vary", "Origin")
}

// allowOrigin judges a browser's request by the client's web origins and reports whether it may go on: since 26.6.3
// one from elsewhere is refused.
func (s *Server) allowOrigin(w http.ResponseWriter, r *http.Request, client Client) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || origin == s.url {
		return true
	}
	w.Header().Add("Vary", "Origin")
	if !client.allowsOrigin(origin) {
		writeError(w, http.StatusForbidden, "Invalid origin", "")
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Set("Access-Control-Allow-Credentials", "true")
	w.Header().Set("Access-Control-Expose-Headers", "Access-Control-Allow-Methods")
	return true
}

func secureHeaders(h http.Header) {
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Set("X-Robots-Tag", "none")
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	writeError(w, http.StatusNotFound, "HTTP 404 Not Found", "")
}

// writeError writes an OAuth error (RFC 6749 §5.2).
func writeError(w http.ResponseWriter, status int, code, description string) {
	o := newObject()
	o.set("error", code)
	if description != "" {
		o.set("error_description", description)
	}
	writeJSON(w, status, o)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"unknown_error"}`)
	}
	write(w, status, "application/json", text)
}

func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
