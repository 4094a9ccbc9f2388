package ginkeycloak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"golang.org/x/sync/singleflight"

	"github.com/c0mpiler/ginkeycloak/internal/cache"
	"github.com/c0mpiler/ginkeycloak/internal/keycloak"
	"github.com/c0mpiler/ginkeycloak/internal/token"
)

const (
	defaultReplay = 10 * time.Second
	maxReplay     = time.Minute
	replaySize    = 10_000

	maxRefreshBody = 64 << 10

	defaultRefreshPath = "/auth/refresh"
	defaultLogoutPath  = "/auth/logout"
)

// TokenSet is what Keycloak gives for a refresh token (RFC 6749 §5.1), under its names. Lifetimes are in seconds;
// that of an offline refresh token, which does not expire, is 0.
type TokenSet struct {
	AccessToken      string `json:"access_token"`
	ExpiresIn        int    `json:"expires_in"`
	RefreshExpiresIn int    `json:"refresh_expires_in"`
	RefreshToken     string `json:"refresh_token,omitzero"`
	TokenType        string `json:"token_type"`
	IDToken          string `json:"id_token,omitzero"`
	NotBeforePolicy  int    `json:"not-before-policy"`
	SessionState     string `json:"session_state,omitzero"`
	Scope            string `json:"scope"`
}

// String keeps the tokens out of logs.
func (t TokenSet) String() string { return "TokenSet(not shown)" }

// GoString is String, for %#v.
func (t TokenSet) GoString() string { return t.String() }

// refreshConfig is what WithRefresh and WithRefreshCookie record.
type refreshConfig struct {
	replay time.Duration
	cookie string // "" for none
	csrf   *http.CrossOriginProtection
}

// WithRefresh sets for how long the answer to a refresh token is given again to whoever presents the same one. Where
// Keycloak takes a refresh token only once, the second of two tabs would otherwise end the session of both. After
// that, a token used twice is Keycloak's to judge. Default: 10 s; at most 1 min; 0 shares an answer only among
// requests at the same time.
func WithRefresh(replay time.Duration) Option { return func(c *config) { c.refresh.replay = replay } }

// Refresh exchanges a refresh token for new tokens (RFC 6749 §6). Callers with the same token get the same answer
// from one call. The error is an *Error: CodeTokenRefreshFailed if Keycloak does not take the token.
func (p *Plugin) Refresh(ctx context.Context, refreshToken string) (*TokenSet, error) {
	if p.closed.Load() {
		return nil, refusal(CodeConnection, "the plugin was closed")
	}
	if refreshToken == "" {
		return nil, refusal(CodeInvalidRequest, "no refresh token")
	}
	if len(refreshToken) > token.MaxSize {
		return nil, refusal(CodeTokenRefreshFailed, "the refresh token is too long to be one")
	}
	return p.home.refresher.refresh(ctx, refreshToken)
}

// refresher exchanges refresh tokens, each once.
type refresher struct {
	client  *keycloak.Client
	logger  *slog.Logger
	traces  tracers
	replay  time.Duration
	answers *cache.Cache[*TokenSet]
	former  *cache.Cache[cache.Key] // of a new refresh token, the one it was given for
	flights singleflight.Group
}

func newRefresher(cfg *config, client *keycloak.Client) *refresher {
	return &refresher{client: client, logger: cfg.logger, traces: cfg.traces, replay: cfg.refresh.replay,
		answers: cache.New[*TokenSet](replaySize, cfg.now), former: cache.New[cache.Key](replaySize, cfg.now)}
}

func (r *refresher) refresh(ctx context.Context, refreshToken string) (*TokenSet, error) {
	key := cache.KeyOf(refreshToken)
	flight := r.flights.DoChan(string(key[:]), func() (result any, err error) {
		defer recoverInto(r.logger, &err)
		if tokens, ok := r.answers.Get(key); ok {
			return tokens, nil
		}
		ctx, cancel := r.client.Detach(ctx)
		defer cancel()
		begin := time.Now()
		tokens, err := r.exchange(ctx, refreshToken)
		r.traces.refreshed(ctx, Refreshed{Code: codeOf(err), Duration: time.Since(begin)})
		if err == nil {
			r.answers.Set(key, tokens, r.replay)
			r.former.Set(cache.KeyOf(tokens.RefreshToken), key, r.replay)
		}
		return tokens, err
	})
	select {
	case <-ctx.Done():
		return nil, &Error{Code: CodeConnection, Err: ctx.Err()}
	case result := <-flight:
		if result.Err != nil {
			return nil, result.Err
		}
		tokens := *result.Val.(*TokenSet) // each caller may do with it as he likes
		return &tokens, nil
	}
}

// forget drops what is remembered of a session that ends, back to its first refresh token that is remembered.
func (r *refresher) forget(refreshToken string) {
	for key, known := cache.KeyOf(refreshToken), true; known; key, known = r.former.Get(key) {
		r.answers.Delete(key)
	}
}

// exchange makes the call.
func (r *refresher) exchange(ctx context.Context, refreshToken string) (*TokenSet, error) {
	body, err := r.client.Refresh(ctx, refreshToken)
	if errors.Is(err, keycloak.ErrInvalidGrant) {
		return nil, &Error{Code: CodeTokenRefreshFailed, Err: err}
	}
	return tokensOf(body, err)
}

// tokensOf reads an answer of the token endpoint, if there is one.
func tokensOf(body []byte, err error) (*TokenSet, error) {
	if err != nil {
		return nil, &Error{Code: connectionCode(err), Err: err}
	}
	tokens := new(TokenSet)
	if err := json.Unmarshal(body, tokens); err != nil || tokens.AccessToken == "" {
		return nil, refusal(CodeConnection, "the answer of the token endpoint is not the JSON it should be")
	}
	return tokens, nil
}

// RegisterRefreshRoute registers RefreshHandler for POST /auth/refresh, or another path. It is open to requests
// without an access token, whatever Middleware is in front: an expired one is why it is called.
func (p *Plugin) RegisterRefreshRoute(r gin.IRoutes, path ...string) {
	p.registerOpen(r, first(path, defaultRefreshPath), p.RefreshHandler())
}

// RegisterLogoutRoute registers LogoutHandler for POST /auth/logout, or another path, open like the refresh route.
func (p *Plugin) RegisterLogoutRoute(r gin.IRoutes, path ...string) {
	p.registerOpen(r, first(path, defaultLogoutPath), p.LogoutHandler())
}

func first(values []string, otherwise string) string {
	if len(values) > 0 {
		return values[0]
	}
	return otherwise
}

// RefreshHandler answers a POST request with new tokens for its refresh token, which is in the body, as JSON
// {"refresh_token":"…"} or as a form, or with WithRefreshCookie in the cookie.
//
//	@Summary	New tokens for a refresh token
//	@Tags		keycloak
//	@Accept		x-www-form-urlencoded
//	@Produce	json
//	@Param		refresh_token		formData	string	false	"Left out where a cookie has it"
//	@Success	200					{object}	TokenSet
//	@Failure	400,403,413,415,503	{object}	errorBody
//	@Router		/auth/refresh [post]
func (p *Plugin) RefreshHandler() gin.HandlerFunc {
	return p.withRefreshToken(func(c *gin.Context, refreshToken string) {
		if refreshToken == "" {
			p.refuse(c, refusal(CodeInvalidRequest, "no refresh token"))
			return
		}
		tokens, err := p.Refresh(c.Request.Context(), refreshToken)
		if err != nil {
			if errors.Is(err, ErrTokenRefreshFailed) {
				p.clearRefreshCookie(c)
			}
			p.refuse(c, err)
			return
		}
		p.give(c, tokens)
	})
}

// give answers with tokens, the refresh token in the cookie if there is one for it.
func (p *Plugin) give(c *gin.Context, tokens *TokenSet) {
	if p.cfg.refresh.cookie != "" {
		p.SetRefreshCookie(c, tokens)
		tokens.RefreshToken = ""
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, tokens)
}

// LogoutHandler ends the session of a refresh token at Keycloak and answers a POST request with 204. A session that
// has ended already is as good, and so is a token that Keycloak does not take: it does not say which of the two it is.
// The token is where RefreshHandler looks for it.
//
//	@Summary	End the session of a refresh token
//	@Tags		keycloak
//	@Accept		x-www-form-urlencoded
//	@Produce	json
//	@Param		refresh_token	formData	string	false	"Left out where a cookie has it"
//	@Success	204
//	@Failure	400,403,413,415,503	{object}	errorBody
//	@Router		/auth/logout [post]
func (p *Plugin) LogoutHandler() gin.HandlerFunc {
	return p.withRefreshToken(func(c *gin.Context, refreshToken string) {
		switch {
		case refreshToken == "" && p.cfg.refresh.cookie == "":
			p.refuse(c, refusal(CodeInvalidRequest, "no refresh token"))
			return
		case refreshToken != "": // without a cookie the session has ended before
			if err := p.Logout(c.Request.Context(), refreshToken); err != nil {
				p.refuse(c, err)
				return
			}
		}
		p.clearRefreshCookie(c)
		c.Header("Cache-Control", "no-store")
		c.Status(http.StatusNoContent)
		c.Writer.WriteHeaderNow()
	})
}

// Logout ends the session of a refresh token at Keycloak. A session that has ended already is fine. Access tokens of
// the session go on being valid until they expire, unless they are introspected. The error is an *Error.
func (p *Plugin) Logout(ctx context.Context, refreshToken string) (err error) {
	defer p.rescueInto(&err)
	if p.closed.Load() {
		return refusal(CodeConnection, "the plugin was closed")
	}
	p.home.refresher.forget(refreshToken)
	if err := p.home.client.Logout(ctx, refreshToken); err != nil {
		return &Error{Code: connectionCode(err), Err: err}
	}
	return nil
}

// withRefreshToken hands the refresh token of a POST request to a handler, "" if there is none.
func (p *Plugin) withRefreshToken(handle func(*gin.Context, string)) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer p.rescue(c)
		refreshToken, err := p.refreshToken(c)
		if err != nil {
			p.refuse(c, err)
			return
		}
		handle(c, refreshToken)
	}
}

// refreshToken reads the refresh token of a request.
func (p *Plugin) refreshToken(c *gin.Context) (string, error) {
	if c.Request.Method != http.MethodPost {
		c.Header("Allow", http.MethodPost)
		return "", refusal(CodeMethodNotAllowed, "only POST")
	}
	read := refreshTokenInBody
	if p.cfg.refresh.cookie != "" {
		read = p.refreshTokenInCookie
	}
	return read(c)
}

// Media types of bodies that are read.
const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

// readBody reads a body of a bounded size, and what it is.
func readBody(c *gin.Context) (body []byte, mediaType string, err error) {
	body, err = io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxRefreshBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, "", refusal(CodeRequestTooLarge, fmt.Sprintf("the body is longer than %d bytes", maxRefreshBody))
	}
	if err != nil {
		return nil, "", refusal(CodeInvalidRequest, "the body cannot be read")
	}
	mediaType, _, err = mime.ParseMediaType(c.GetHeader("Content-Type"))
	if err != nil {
		return nil, "", refusal(CodeUnsupportedMediaType, "no content type")
	}
	return body, mediaType, nil
}

func refreshTokenInBody(c *gin.Context) (string, error) {
	body, mediaType, err := readBody(c)
	if err != nil {
		return "", err
	}
	switch mediaType {
	case jsonType:
		var request struct {
			RefreshToken string `json:"refresh_token"`
		}
		if json.Unmarshal(body, &request) != nil {
			return "", refusal(CodeInvalidRequest, "the body is not the JSON it should be")
		}
		return request.RefreshToken, nil
	case formType:
		form, err := url.ParseQuery(string(body))
		if err != nil || len(form["refresh_token"]) > 1 {
			return "", refusal(CodeInvalidRequest, "the body is not the form it should be")
		}
		return form.Get("refresh_token"), nil
	}
	return "", refusal(CodeUnsupportedMediaType, "neither JSON nor a form")
}
