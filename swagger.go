package ginkeycloak

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak/internal/keycloak"
	"github.com/c0mpiler/ginkeycloak/internal/swaggerui"
)

// SwaggerSpec is an API's document, Swagger 2.0 or OpenAPI 3.0 or 3.1, in JSON. The SwaggerInfo that swag generates is
// one; SwaggerDocument makes one of anything else. ReadDoc is called for each request, from several goroutines.
type SwaggerSpec interface{ ReadDoc() string }

// SwaggerDocument is a document that is held in memory, such as an embedded file.
type SwaggerDocument []byte

// ReadDoc returns the document.
func (d SwaggerDocument) ReadDoc() string { return string(d) }

const (
	defaultSwaggerPrefix = "/swagger"
	defaultSwaggerClient = "swagger"
	defaultSwaggerScheme = "KeycloakAuth"
)

// A SwaggerOption configures RegisterSwagger.
type SwaggerOption func(*swaggerConfig)

// swaggerConfig is what the options record.
type swaggerConfig struct {
	prefix, basePath string
	client, scheme   string
	scopes           []string
	enabled          bool
}

// WithSwaggerPrefix sets the path below which the page is. Default: /swagger.
func WithSwaggerPrefix(path string) SwaggerOption {
	return func(c *swaggerConfig) { c.prefix = path }
}

// WithSwaggerClient sets the client of Keycloak that the page logs users in as. It must be a public one: a browser
// keeps no secret, so it cannot be the API's own. Keycloak must know the page's oauth2-redirect.html as redirect URI of
// the client, and the page's origin as web origin. Default: swagger.
func WithSwaggerClient(id string) SwaggerOption {
	return func(c *swaggerConfig) { c.client = id }
}

// WithSwaggerScopes sets the scopes that are ticked when the login dialog opens. Those that operations are annotated
// with can be ticked besides. It can be repeated; the last one holds. Default: openid, profile, email.
func WithSwaggerScopes(scopes ...string) SwaggerOption {
	return func(c *swaggerConfig) { c.scopes = scopes }
}

// WithSwaggerScheme sets the name of the security scheme, which operations are annotated with:
//
//	// @Security KeycloakAuth
//
// Default: KeycloakAuth.
func WithSwaggerScheme(name string) SwaggerOption {
	return func(c *swaggerConfig) { c.scheme = name }
}

// WithSwaggerBasePath sets the path that a proxy in front takes off before it hands requests on, such as /shop where
// the page is /shop/swagger/ to browsers. The document then names operations by their public paths. The page itself
// needs no telling, and no header such as X-Forwarded-Prefix is believed. Default: none.
func WithSwaggerBasePath(path string) SwaggerOption {
	return func(c *swaggerConfig) { c.basePath = path }
}

// WithSwaggerEnabled says whether RegisterSwagger registers anything, so that one line of a program can decide by the
// environment. Default: true.
func WithSwaggerEnabled(enabled bool) SwaggerOption {
	return func(c *swaggerConfig) { c.enabled = enabled }
}

// RegisterSwagger serves Swagger UI with a login button that works, at /swagger/ or below another prefix. It is open
// to requests without a token, whatever Middleware is in front, and so is the document at /swagger/doc.json.
//
// The login is the authorization code flow with PKCE, as a public client of Keycloak (WithSwaggerClient). Its security
// scheme is put into the document when that is served, and beside it BearerAuth, to paste a token. Operations that are
// annotated with @Security KeycloakAuth take either. Addresses that the document gives for the API (host, schemes,
// servers) are left out: the page calls the origin it came from, and Keycloak, and its Content-Security-Policy allows
// no other. Tokens are in the page's memory only; reloading it logs out.
//
// Descriptions of operations name what Require… handlers ask for. Gin does not tell which handlers a route has, so a
// route's is known from the first request to it on.
//
// The library's own routes, at their default paths, are annotated for swag, which finds them with
//
//	swag init --parseDependencyLevel 3
//
// They have the tag keycloak; --tags '!keycloak' leaves them out where they are not registered.
//
// RegisterSwagger panics on a mistake of the programmer, as Gin does for a bad route.
func (p *Plugin) RegisterSwagger(r gin.IRouter, spec SwaggerSpec, opts ...SwaggerOption) {
	cfg, err := p.newSwaggerConfig(spec, opts)
	if err != nil {
		panic(fmt.Sprintf("ginkeycloak: RegisterSwagger: %v", err))
	}
	if !cfg.enabled {
		return
	}
	p.guards.wanted.Store(true)
	s := &swagger{
		plugin: p, spec: spec, cfg: cfg,
		policy: swaggerui.Policy(strings.Join(p.home.client.BrowserOrigins(), " ")),
	}
	group := r.Group(cfg.prefix)
	s.handle(group, "", s.redirect(path.Base(cfg.prefix)+"/"))
	for _, file := range swaggerui.Files() {
		if file.Name == swaggerui.Index {
			s.handle(group, "/", s.file(file))
			s.handle(group, "/"+file.Name, s.redirect("./")) // where gin-swagger has its page
			continue
		}
		s.handle(group, "/"+file.Name, s.file(file))
	}
	s.handle(group, "/"+swaggerui.DocName, s.document)
}

var (
	swaggerPath   = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
	swaggerScheme = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)           // OpenAPI 3.1 §4.8.7, keys of components
	swaggerScope  = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]+$`) // RFC 6749 §3.3
)

// newSwaggerConfig applies the options and judges what they recorded.
func (p *Plugin) newSwaggerConfig(spec SwaggerSpec, opts []SwaggerOption) (*swaggerConfig, error) {
	c := &swaggerConfig{
		prefix: defaultSwaggerPrefix, client: defaultSwaggerClient, scheme: defaultSwaggerScheme,
		scopes: []string{"openid", "profile", "email"}, enabled: true,
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("an option is nil")
		}
		opt(c)
	}
	c.scopes = slices.Clone(c.scopes)
	if spec == nil {
		return nil, errors.New("the document is nil")
	}
	err := c.judge()
	if c.client == p.cfg.clientID && p.cfg.credentials.Confidential() {
		err = errors.Join(err, &ConfigError{
			Option: "WithSwaggerClient", Value: c.client,
			Reason: "it is this API's own client, which has a secret: name a public client",
		})
	}
	if err != nil {
		return nil, err
	}
	if _, err := swaggerui.Document([]byte(spec.ReadDoc()), c.settings()); err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	return c, nil
}

func (c *swaggerConfig) judge() error {
	isPath := func(s string) bool { return swaggerPath.MatchString(s) && path.Clean(s) == s }
	badScope := func(s string) bool { return !swaggerScope.MatchString(s) }
	var errs []error
	mistake := func(option string, value any, reason string) {
		errs = append(errs, &ConfigError{Option: option, Value: value, Reason: reason})
	}
	if !isPath(c.prefix) {
		mistake("WithSwaggerPrefix", c.prefix, "it must be a path such as /docs, without parameters and without a slash at its end")
	}
	if c.basePath != "" && !isPath(c.basePath) {
		mistake("WithSwaggerBasePath", c.basePath, "it must be a path such as /shop, without a slash at its end")
	}
	if c.client == "" {
		mistake("WithSwaggerClient", nil, "it is empty: is an environment variable missing?")
	}
	if !swaggerScheme.MatchString(c.scheme) || c.scheme == swaggerui.BearerScheme {
		mistake("WithSwaggerScheme", c.scheme, "it must be made of letters, digits, dots, dashes and underscores, and not be "+swaggerui.BearerScheme)
	}
	if len(c.scopes) == 0 || slices.ContainsFunc(c.scopes, badScope) {
		mistake("WithSwaggerScopes", c.scopes, "give each scope on its own, and openid at least")
	}
	return errors.Join(errs...)
}

func (c *swaggerConfig) settings() swaggerui.Settings {
	return swaggerui.Settings{Scheme: c.scheme, ClientID: c.client, Scopes: c.scopes, BasePath: c.basePath}
}

// swagger serves one page.
type swagger struct {
	plugin *Plugin
	spec   SwaggerSpec
	cfg    *swaggerConfig
	policy string

	mu       sync.Mutex // guards failure and failedAt
	failure  error
	failedAt time.Time
}

// handle registers a handler of the page, under the page's headers, and opens its route.
func (s *swagger) handle(group *gin.RouterGroup, relative string, handler gin.HandlerFunc) {
	pattern := strings.TrimSuffix(group.BasePath(), "/") + relative
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		s.plugin.open.open(route{method, pattern})
		group.Handle(method, relative, s.headers, handler)
	}
}

// headers are those of everything that belongs to the page.
func (s *swagger) headers(c *gin.Context) {
	header := c.Writer.Header()
	header.Set("Content-Security-Policy", s.policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// redirect sends browsers to a fixed relative address, which is right behind any proxy. Gin's own redirect would be
// absolute, and believe X-Forwarded-Prefix.
func (s *swagger) redirect(to string) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Header("Location", to)
		c.Status(http.StatusFound)
		c.Writer.WriteHeaderNow()
	}
}

// file serves a file. Browsers ask each time whether it is the same: its name does not change with a new version.
func (s *swagger) file(f swaggerui.File) gin.HandlerFunc {
	return func(c *gin.Context) {
		header := c.Writer.Header()
		header.Set("Content-Type", f.ContentType)
		header.Set("Cache-Control", "no-cache")
		header.Set("ETag", f.ETag)
		content := f.Zipped
		if content != nil {
			header.Set("Vary", "Accept-Encoding")
		}
		if content != nil && acceptsGzip(c.Request) {
			header.Set("Content-Encoding", "gzip")
			header.Set("ETag", strings.TrimSuffix(f.ETag, `"`)+`-gzip"`)
		} else {
			content = f.Plain()
		}
		http.ServeContent(c.Writer, c.Request, f.Name, time.Time{}, bytes.NewReader(content))
	}
}

// acceptsGzip reports whether an answer may be compressed (RFC 9110 §12.5.3).
func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return strings.Trim(strings.TrimSpace(weight), "q=0.") != "" || weight == ""
		}
	}
	return false
}

// document serves the document with the login in it. Where Keycloak's addresses are not known because it is away, the
// answer is 503, and the page asks again.
func (s *swagger) document(c *gin.Context) {
	defer s.plugin.rescue(c)
	endpoints, err := s.endpoints(c)
	if err != nil {
		s.plugin.refuse(c, &Error{Code: connectionCode(err), Err: err})
		return
	}
	settings := s.cfg.settings()
	settings.AuthorizationURL, settings.TokenURL, settings.EndSessionURL = endpoints.Authorization, endpoints.Token, endpoints.EndSession
	settings.Notes = s.plugin.guards.notes()
	c.Header("Cache-Control", "no-store")
	text, err := swaggerui.Document([]byte(s.spec.ReadDoc()), settings)
	if err != nil {
		s.plugin.cfg.logger.LogAttrs(c.Request.Context(), slog.LevelError, "keycloak: the document for Swagger UI cannot be used", slog.Any("error", err))
		c.AbortWithStatus(http.StatusInternalServerError)
		return
	}
	c.Data(http.StatusOK, "application/json; charset=utf-8", text)
}

// swaggerPause is how long a failure is answered without asking Keycloak again: anybody may ask for the document.
const swaggerPause = time.Second

func (s *swagger) endpoints(c *gin.Context) (*keycloak.BrowserEndpoints, error) {
	if s.plugin.closed.Load() {
		return nil, errors.New("the plugin was closed")
	}
	now := s.plugin.cfg.now()
	s.mu.Lock()
	failure := s.failure
	if now.Sub(s.failedAt) >= swaggerPause {
		failure = nil
	}
	s.mu.Unlock()
	if failure != nil {
		return nil, failure
	}
	endpoints, err := s.plugin.home.client.BrowserEndpoints(c.Request.Context())
	if c.Request.Context().Err() == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failure, s.failedAt = err, now
	}
	return endpoints, err
}
