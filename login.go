package ginkeycloak

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak/internal/keycloak"
)

const defaultLoginPath = "/auth/login"

// AuthorizationCode is what a login brought (RFC 6749 §4.1.2), with what the token request has to repeat.
type AuthorizationCode struct {
	Code        string // code
	Verifier    string // code_verifier of PKCE (RFC 7636 §4.1)
	RedirectURI string // redirect_uri of the authorization request
}

// String keeps code and verifier out of logs.
func (a AuthorizationCode) String() string { return "AuthorizationCode(not shown)" }

// GoString is String, for %#v.
func (a AuthorizationCode) GoString() string { return a.String() }

// Exchange exchanges an authorization code for tokens (RFC 6749 §4.1.3). A verifier is required: without PKCE a stolen
// code is as good as the tokens. The error is an *Error: CodeLoginFailed if Keycloak does not take the code, which it
// does once only.
func (p *Plugin) Exchange(ctx context.Context, code AuthorizationCode) (tokens *TokenSet, err error) {
	defer p.rescueInto(&err)
	if p.closed.Load() {
		return nil, refusal(CodeConnection, "the plugin was closed")
	}
	for _, param := range []struct{ name, value string }{
		{"code", code.Code}, {"code_verifier", code.Verifier}, {"redirect_uri", code.RedirectURI},
	} {
		if param.value == "" {
			return nil, refusal(CodeLoginFailed, param.name+" is missing")
		}
	}
	body, err := p.home.client.Exchange(ctx, code.Code, code.Verifier, code.RedirectURI)
	if errors.Is(err, keycloak.ErrInvalidGrant) {
		return nil, &Error{Code: CodeLoginFailed, Err: err}
	}
	return tokensOf(body, err)
}

// RegisterLoginRoute registers LoginHandler for GET and POST /auth/login, or another path, open like the refresh route.
func (p *Plugin) RegisterLoginRoute(r gin.IRoutes, path ...string) {
	relative := first(path, defaultLoginPath)
	p.open.open(route{pattern: patternBelow(r, relative)})
	registerAll(r, relative, p.LoginHandler())
}

// LoginHandler has a page log its user in without knowing where Keycloak is, and without ever holding a refresh token if
// there is a cookie for it (WithRefreshCookie). The page makes state and PKCE verifier, and goes to this route with
// GET, which sends it on to Keycloak (RFC 6749 §4.1.1): state, redirect_uri and code_challenge are required, the client is
// the API's own (WithClientID), which the redirect URI must be registered for at Keycloak. When Keycloak has sent the
// page back, it sends code, code_verifier and redirect_uri in a form to this route with POST, and is answered as by
// RefreshHandler.
func (p *Plugin) LoginHandler() gin.HandlerFunc {
	return func(c *gin.Context) {
		defer p.rescue(c)
		var err error
		switch c.Request.Method {
		case http.MethodGet:
			err = p.sendToKeycloak(c)
		case http.MethodPost:
			err = p.finishLogin(c)
		default:
			c.Header("Allow", "GET, POST")
			err = refusal(CodeMethodNotAllowed, "only GET and POST")
		}
		if err != nil {
			p.refuse(c, err)
		}
	}
}

// passed are the parameters of an authorization request that a page may choose. A client or a request object of its own
// choice is not among them.
var passed = []string{
	"redirect_uri", "state", "nonce", "code_challenge", "scope", "response_mode",
	"prompt", "max_age", "login_hint", "ui_locales", "acr_values", "kc_idp_hint",
}

// sendToKeycloak answers with a redirect to the authorization endpoint.
func (p *Plugin) sendToKeycloak(c *gin.Context) error {
	asked := c.Request.URL.Query()
	query := url.Values{"client_id": {p.cfg.clientID}, "response_type": {"code"}, "scope": {"openid"}, "code_challenge_method": {"S256"}}
	for _, name := range passed {
		if values := asked[name]; len(values) > 1 {
			return refusal(CodeLoginFailed, name+" is there twice")
		} else if len(values) == 1 && values[0] != "" {
			query.Set(name, values[0])
		}
	}
	for _, name := range []string{"redirect_uri", "state", "code_challenge"} {
		if !query.Has(name) {
			return refusal(CodeLoginFailed, name+" is missing")
		}
	}
	if method, ok := asked["code_challenge_method"]; ok && !slices.Equal(method, query["code_challenge_method"]) {
		return refusal(CodeLoginFailed, "code_challenge_method is not S256")
	}
	endpoints, err := p.home.client.BrowserEndpoints(c.Request.Context())
	if err != nil {
		return &Error{Code: connectionCode(err), Err: err}
	}
	separator := "?"
	if strings.Contains(endpoints.Authorization, "?") {
		separator = "&" // RFC 6749 §3.1: the endpoint may have a query of its own
	}
	c.Header("Cache-Control", "no-store")
	c.Redirect(http.StatusSeeOther, endpoints.Authorization+separator+query.Encode())
	return nil
}

// finishLogin answers with the tokens for a code.
func (p *Plugin) finishLogin(c *gin.Context) error {
	// Another site could log its visitors in as somebody else, and see what they do.
	if err := p.checkSite(c); err != nil {
		return err
	}
	body, mediaType, err := readBody(c)
	if err != nil {
		return err
	}
	if mediaType != formType {
		return refusal(CodeUnsupportedMediaType, "not a form")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return refusal(CodeLoginFailed, "the body is not the form it should be")
	}
	for name, values := range form {
		if len(values) > 1 {
			return refusal(CodeLoginFailed, name+" is there twice")
		}
	}
	tokens, err := p.Exchange(c.Request.Context(), AuthorizationCode{form.Get("code"), form.Get("code_verifier"), form.Get("redirect_uri")})
	if err != nil {
		return err
	}
	p.give(c, tokens)
	return nil
}
