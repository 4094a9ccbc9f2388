// Package ginkeycloak protects a Gin API with Keycloak. A Plugin validates the access token of each request,
// puts the user into its context, and guards routes by role, group and scope:
//
//	kc, err := ginkeycloak.New(
//		ginkeycloak.WithServerURL("https://sso.example.com"),
//		ginkeycloak.WithRealm("shop"),
//		ginkeycloak.WithClientID("orders-api"),
//	)
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer kc.Close()
//
//	router := gin.New()
//	router.Use(kc.Middleware())
//	router.GET("/me", func(c *gin.Context) {
//		user, _ := ginkeycloak.UserFromContext(c)
//		c.JSON(http.StatusOK, user)
//	})
//	admin := router.Group("/admin", kc.RequireRoles("admin"))
//
// By default a token must be signed by a current key of the realm, be an access token, have been issued by
// the realm for this API, and not have expired. Keycloak being away is never the client's fault: what cannot
// be judged is answered with 503, and what can is judged with the keys that are held.
//
// [Plugin.Authenticate] judges tokens that came over gRPC, a WebSocket or a queue. [Plugin.RegisterRefreshRoute],
// [Plugin.RegisterSwagger] and [Plugin.RegisterHealth] add routes. When a token is refused and nobody knows why, ask
// [Plugin.Explain] and [Plugin.Diagnose], or the command kcdoctor, which is both. Package keycloaktest is a fake
// Keycloak, for tests of the API.
package ginkeycloak

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak/internal/bearer"
	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// Plugin protects routes with one realm of a Keycloak. It is safe for concurrent use.
type Plugin struct {
	cfg    *config
	realms map[string]*realm // by issuer; all issuers of a realm share one
	home   *realm            // the configured one
	open   *openRoutes
	guards guards
	closed atomic.Bool

	anonymous *User           // stands in a request's context for no user
	answers   map[Code]answer // to refusals
}

// New returns a Plugin for the realm that the options describe. It does no I/O: keys are fetched when they are
// first needed, so a program starts while Keycloak is down. The error joins every *ConfigError there is.
func New(opts ...Option) (*Plugin, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	p := &Plugin{cfg: cfg, realms: make(map[string]*realm, len(cfg.issuers)), open: newOpenRoutes(cfg.public)}
	p.anonymous = &User{validatedBy: p}
	p.answers = answers(cfg.realm)
	p.home = newRealm(cfg, p)
	for _, issuer := range cfg.issuers {
		p.realms[issuer] = p.home
	}
	if cfg.insecureSkipTLSVerify {
		cfg.logger.LogAttrs(context.Background(), slog.LevelWarn,
			"keycloak: TLS VERIFICATION IS OFF: anyone on the way to Keycloak can forge tokens; use WithRootCAs instead of WithInsecureSkipTLSVerify",
			slog.String("realm", cfg.realmAddress.String()))
	}
	cfg.traces.created(p)
	return p, nil
}

// Connect fetches the realm's metadata and keys now, whatever is held. It is for programs that want to fail
// early instead of starting without Keycloak, and for dropping a key at once that was removed from the realm. The
// error is an *Error, such as CodeConnection or CodeConfig. Waiting for Keycloak ends with ctx.
func (p *Plugin) Connect(ctx context.Context) (err error) {
	defer p.rescueInto(&err)
	if err := p.home.keys.Refresh(ctx); err != nil {
		return keyError(err)
	}
	return nil
}

// Close ends what is under way and refuses requests from then on, as if Keycloak were away. It may be called
// more than once, and returns nil.
func (p *Plugin) Close() error {
	if p.closed.CompareAndSwap(false, true) {
		p.home.close()
	}
	return nil
}

// Middleware authenticates requests and refuses those it cannot authenticate, unless their route is public
// (WithPublicRoutes). It protects the routes that are registered after it was given to Use, and unknown paths.
func (p *Plugin) Middleware() gin.HandlerFunc {
	return p.middleware(func(c *gin.Context, err error) { p.refuse(c, err) })
}

// OptionalMiddleware is Middleware for routes that anonymous users may use too: a request without credentials
// passes, with no user in its context. One with a bad token is refused all the same.
func (p *Plugin) OptionalMiddleware() gin.HandlerFunc {
	return p.middleware(func(c *gin.Context, err error) {
		if errors.Is(err, ErrMissingHeader) {
			p.admit(c, p.anonymous)
			return
		}
		p.refuse(c, err)
	})
}

func (p *Plugin) middleware(fail func(*gin.Context, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer p.rescue(c)
		if p.open.has(c) || p.cfg.corsPreflight && isPreflight(c.Request) {
			return
		}
		if user := p.known(c); user != nil && !user.isAnonymous() {
			return // a middleware before this one has done it
		}
		user, err := p.authenticate(c.Request)
		if err != nil {
			fail(c, err)
			return
		}
		p.admit(c, user)
	}
}

// isPreflight reports whether a request is a CORS preflight (Fetch §3.2.2).
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions &&
		r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// authenticate takes the token out of a request and validates it.
func (p *Plugin) authenticate(r *http.Request) (*User, error) {
	raw, err := p.cfg.extract(r)
	if err != nil {
		p.cfg.traces.authenticated(r.Context(), Authenticated{Method: p.method(), Code: codeOf(err)})
		return nil, err
	}
	return p.authenticateToken(r.Context(), raw, notWellFormed)
}

// notWellFormed tells what could never have been a bearer token from a bad token. What is too long is not read for it.
func notWellFormed(raw string, err error) error {
	if errors.Is(err, ErrMalformedToken) && len(raw) <= token.MaxSize && !bearer.WellFormed(raw) {
		return refusal(CodeInvalidHeaderFormat, "not one well-formed bearer token")
	}
	return err
}

// method is how tokens are judged in general.
func (p *Plugin) method() Method {
	if p.cfg.introspection.mode == introspectEvery {
		return MethodIntrospection
	}
	return MethodLocal
}

// Authenticate validates an access token that did not come in a Gin request, but over gRPC, a WebSocket or a
// queue. The error is an *Error. Waiting for Keycloak ends with ctx.
func (p *Plugin) Authenticate(ctx context.Context, accessToken string) (user *User, err error) {
	defer p.rescueInto(&err)
	return p.authenticateToken(ctx, accessToken, func(_ string, err error) error { return err })
}

// authenticateToken judges a token, has the error explained if there is one, and tells the traces.
func (p *Plugin) authenticateToken(ctx context.Context, raw string, explain func(string, error) error) (*User, error) {
	var begin time.Time
	if len(p.cfg.traces) > 0 {
		begin = time.Now()
	}
	user, cached, err := p.judge(ctx, raw)
	if err != nil {
		err = explain(raw, err)
	}
	if len(p.cfg.traces) > 0 {
		p.cfg.traces.authenticated(ctx, Authenticated{Method: p.method(), Code: codeOf(err), Cached: cached, Duration: time.Since(begin)})
	}
	return user, err
}

// judge finds the way by which a token is to be validated. cached says that it was recognised.
func (p *Plugin) judge(ctx context.Context, accessToken string) (user *User, cached bool, err error) {
	if p.closed.Load() {
		return nil, false, refusal(CodeConnection, "the plugin was closed")
	}
	mode := p.cfg.introspection.mode
	if mode == introspectEvery || mode == introspectOpaque && !looksLikeJWT(accessToken) {
		user, err = p.validateByIntrospection(ctx, accessToken)
		return user, false, err
	}
	if user, ok := p.home.recognise(accessToken); ok {
		return user, true, nil
	}
	t, claims, err := readToken(accessToken, &p.home.headers)
	if err != nil {
		return nil, false, err
	}
	home, err := p.realmOf(&claims)
	if err != nil {
		return nil, false, err
	}
	user, err = home.validate(ctx, t, &claims, accessToken)
	return user, false, err
}
