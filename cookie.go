package ginkeycloak

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

const defaultCookie = "refresh_token"

// WithRefreshCookie keeps the refresh token in a cookie of that name (default refresh_token), out of reach of scripts:
// HttpOnly, Secure, SameSite=Strict, for the refresh and logout routes only. It is then in no body, neither of a
// request nor of an answer. LoginHandler sets it, other handlers that log a user in do with SetRefreshCookie. Requests that
// another site caused are refused with CodeCrossSite, unless their origin is trusted.
func WithRefreshCookie(name string, trustedOrigins ...string) Option {
	return func(c *config) {
		if name == "" {
			name = defaultCookie
		}
		c.refresh.cookie = name
		c.refresh.csrf = http.NewCrossOriginProtection()
		for _, origin := range trustedOrigins {
			if err := c.refresh.csrf.AddTrustedOrigin(origin); err != nil {
				c.mistake("WithRefreshCookie", origin, "it is not an origin such as https://app.example.com")
			}
		}
	}
}

func (p *Plugin) refreshTokenInCookie(c *gin.Context) (string, error) {
	if err := p.checkSite(c); err != nil {
		return "", err
	}
	found, err := TokenFromCookie(p.cfg.refresh.cookie)(c.Request)
	if err != nil {
		return "", &Error{Code: CodeInvalidRequest, Err: err}
	}
	return found, nil
}

// checkSite refuses what another site caused, where there is a cookie.
func (p *Plugin) checkSite(c *gin.Context) error {
	if p.cfg.refresh.cookie == "" {
		return nil
	}
	if err := p.cfg.refresh.csrf.Check(c.Request); err != nil {
		return &Error{Code: CodeCrossSite, Err: err}
	}
	return nil
}

// SetRefreshCookie keeps the refresh token of tokens in the cookie of WithRefreshCookie, for as long as it is valid.
// The handler that has logged a user in calls it. Without WithRefreshCookie it does nothing.
func (p *Plugin) SetRefreshCookie(c *gin.Context, tokens *TokenSet) {
	if tokens.RefreshToken == "" {
		return
	}
	// An offline token does not expire; its cookie lasts as long as the browser's session.
	p.setCookies(c, tokens.RefreshToken, tokens.RefreshExpiresIn)
}

func (p *Plugin) clearRefreshCookie(c *gin.Context) { p.setCookies(c, "", -1) }

// setCookies sets the cookie once for each route that reads it, so that it is sent nowhere else.
func (p *Plugin) setCookies(c *gin.Context, value string, maxAge int) {
	if p.cfg.refresh.cookie == "" {
		return
	}
	paths := p.openPaths()
	if len(paths) == 0 {
		paths = []string{"/"} // the handlers are on routes that the library does not know
	}
	for _, path := range paths {
		http.SetCookie(c.Writer, &http.Cookie{
			Name: p.cfg.refresh.cookie, Value: value, Path: path, MaxAge: maxAge,
			HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode,
		})
	}
}
