package ginkeycloak_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
)

// engineSettings are all ways to have Gin normalise paths before it routes.
var engineSettings = map[string]func(*gin.Engine){
	"default":               func(*gin.Engine) {},
	"RemoveExtraSlash":      func(e *gin.Engine) { e.RemoveExtraSlash = true },
	"UseRawPath":            func(e *gin.Engine) { e.UseRawPath = true; e.UnescapePathValues = false },
	"RedirectFixedPath":     func(e *gin.Engine) { e.RedirectFixedPath = true },
	"all of them":           func(e *gin.Engine) { e.RemoveExtraSlash, e.UseRawPath, e.RedirectFixedPath = true, true, true },
	"UseEscapedPath":        func(e *gin.Engine) { e.UseEscapedPath = true },
	"no trailing redirects": func(e *gin.Engine) { e.RedirectTrailingSlash = false },
}

// Thousands of ways to write a path, none of which may reach a protected handler without a token. A check of the
// URL path for the prefix /public let hundreds of them through.
func TestPathTricks(t *testing.T) {
	t.Parallel()
	for name, set := range engineSettings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, ginkeycloak.WithPublicRoutes("/public", "GET /public/:id", "/"))
			set(a.Engine)
			open := func(c *gin.Context) { c.String(http.StatusOK, "open") }
			secret := func(c *gin.Context) { c.String(http.StatusOK, "crown jewels") }
			a.GET("/", open)
			a.GET("/public", open)
			a.GET("/public/:id", open)
			a.GET("/publicity/secret", secret)
			a.GET("/admin/secret", secret)
			a.POST("/public/:id", secret)
			tried := 0
			for _, target := range pathTricks() {
				for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "TRACE"} {
					w := httptest.NewRecorder()
					r, err := requestFor(t, method, target)
					if err != nil {
						continue // net/http would not let it in either
					}
					a.ServeHTTP(w, r)
					tried++
					if strings.Contains(w.Body.String(), "crown jewels") {
						t.Errorf("%s %q reached a protected handler", method, target)
					}
				}
			}
			if tried < 2700 {
				t.Errorf("only %d targets were tried", tried)
			}
		})
	}
}

// The tricks are real: this is what they do to the middleware that everybody writes first.
func TestPathTricksWorkOnPrefixChecks(t *testing.T) {
	t.Parallel()
	engine := gin.New()
	engine.RemoveExtraSlash = true
	engine.Use(func(c *gin.Context) {
		if !strings.HasPrefix(c.Request.URL.Path, "/public") {
			c.AbortWithStatus(http.StatusUnauthorized)
		}
	})
	engine.GET("/admin/secret", func(c *gin.Context) { c.String(http.StatusOK, "crown jewels") })
	leaks := 0
	for _, target := range pathTricks() {
		r, err := requestFor(t, http.MethodGet, target)
		if err != nil {
			continue
		}
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, r)
		if w.Body.String() == "crown jewels" {
			leaks++
		}
	}
	if leaks < 50 {
		t.Errorf("a prefix check leaked %d times, want many: the tricks test nothing", leaks)
	}
}

// pathTricks are paths that mean /admin/secret to somebody.
func pathTricks() []string {
	prefixes := []string{"", "/", "/public", "/public/", "/public/1", "/public/files", "/public/files/x", "//", "/.", "/..", "/x"}
	between := []string{
		"/", "//", "///", "/./", "/../", "/.././", "/..//", "/%2e%2e/", "/%2E%2E/", "/.%2e/", "/%2e/", "/..%2f", "/..%2F", "/%2e%2e%2f",
		"%2f", "%2F..%2f", "/..;/", "/;/", ";/../", "/..\\", "\\..\\", "/%5c../", "/..%5c", "/%00/", "/%20/", "/..%00/", "/%252e%252e/",
		"/..%252f", "/%c0%ae%c0%ae/", "/%ef%bc%8f", "?/", "#/", "/%23/", "/%3f/", "/:id/../", "/*path/../",
	}
	secrets := []string{"admin/secret", "admin//secret", "admin/./secret", "admin/%73ecret", "ADMIN/secret", "publicity/secret", "/admin/secret", "../admin/secret"}
	var paths []string
	for _, p := range prefixes {
		for _, b := range between {
			for _, s := range secrets {
				paths = append(paths, p+b+s)
			}
		}
	}
	return paths
}

// requestFor makes a request as a server would read it from the wire.
func requestFor(t *testing.T, method, target string) (*http.Request, error) {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, err
	}
	r := httptest.NewRequestWithContext(t.Context(), method, "/", http.NoBody)
	r.URL, r.RequestURI = u, target
	return r, nil
}

// A public route is one pattern, and one method if it names one.
func TestPublicRoutes(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithPublicRoutes("GET /health", "/docs", "/items/:id", "/"))
	for _, path := range []string{"/health", "/docs", "/docs/secret", "/items/:id", "/items/:id/edit", "/items", "/"} {
		a.Any(path, a.me)
	}
	tests := []struct {
		method, target, want string
	}{
		{"GET", "/health", kindOK},
		{"GET", "/health?x=/docs", kindOK},
		{"HEAD", "/health", kindNone},
		{"POST", "/health", kindNone},
		{"OPTIONS", "/health", kindNone},
		{"GET", "/docs", kindOK},
		{"POST", "/docs", kindOK},
		{"GET", "/docs/secret", kindNone},
		{"GET", "/docs/secret?/docs", kindNone},
		{"GET", "/docs/secret#/docs", kindNone},
		{"GET", "/DOCS", kindNone},
		{"GET", "/items/7", kindOK},
		{"GET", "/items/7/edit", kindNone},
		{"GET", "/items", kindNone},
		{"GET", "/", kindOK},
		{"GET", "/nowhere", kindNone},
		{"TRACE", "/me", kindNone},
		{"OPTIONS", "/me", kindNone},
	}
	for _, tt := range tests {
		r, err := requestFor(t, tt.method, tt.target)
		if err != nil {
			t.Fatal(err)
		}
		checkKind(t, tt.method+" "+tt.target, a.do(t, r), tt.want)
	}
}

// Behind a public wildcard often stands a proxy or a file server, which may climb out of it.
func TestPublicWildcardRefusesDotSegments(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithPublicRoutes("/files/*path", "/items/:id"))
	a.GET("/files/*path", a.me)
	a.GET("/items/:id", a.me)
	for target, want := range map[string]string{
		"/files/a/b.txt":              kindOK,
		"/files/...":                  kindOK,
		"/files/a..b":                 kindOK,
		"/files/.well-known":          kindOK,
		"/files/../admin":             kindNone,
		"/files/..":                   kindNone,
		"/files/a/../../admin":        kindNone,
		"/files/%2e%2e/admin":         kindNone,
		"/files/%2E%2e%2Fadmin":       kindNone,
		"/files/%252e%252e/admin":     kindNone,
		"/files/..%5cadmin":           kindNone,
		"/files/..%255cadmin":         kindNone,
		"/files/a/./b":                kindNone,
		"/items/..":                   kindNone,
		"/items/%2e%2e":               kindNone,
		"/files/%2525252e%2525252e/x": kindOK, // nobody decodes five times
	} {
		r, err := requestFor(t, "GET", target)
		if err != nil {
			t.Fatal(err)
		}
		checkKind(t, target, a.do(t, r), want)
	}
}

// CORS preflights carry no credentials. They pass only where that was asked for, and nothing else does with them.
func TestCORSPreflight(t *testing.T) {
	t.Parallel()
	off, on := newAPI(t), newAPI(t, ginkeycloak.WithCORSPreflight(true))
	for _, a := range []*api{off, on} {
		a.OPTIONS("/me", a.me)
	}
	tests := []struct {
		name    string
		method  string
		headers []string
		on      string
	}{
		{"preflight", "OPTIONS", []string{"Origin", "https://app.example", "Access-Control-Request-Method", "GET"}, kindOK},
		{"OPTIONS without Origin", "OPTIONS", []string{"Access-Control-Request-Method", "GET"}, kindNone},
		{"OPTIONS without a requested method", "OPTIONS", []string{"Origin", "https://app.example"}, kindNone},
		{"GET dressed up as a preflight", "GET", []string{"Origin", "https://app.example", "Access-Control-Request-Method", "GET"}, kindNone},
		{"GET overridden", "GET", []string{"X-HTTP-Method-Override", "OPTIONS", "Origin", "x", "Access-Control-Request-Method", "GET"}, kindNone},
	}
	for _, tt := range tests {
		checkKind(t, tt.name+", option off", off.do(t, request(tt.method, "/me", "", tt.headers...)(t)), kindNone)
		checkKind(t, tt.name+", option on", on.do(t, request(tt.method, "/me", "", tt.headers...)(t)), tt.on)
	}
}

// Gin applies a middleware to the routes registered after it. A test like this one finds those before.
func TestRoutesBeforeUseAreOpen(t *testing.T) {
	t.Parallel()
	srv := newAPI(t).keycloak
	kc := newPlugin(t, srv)
	engine := gin.New()
	engine.GET("/too-early", func(*gin.Context) {})
	engine.Use(kc.Middleware())
	engine.GET("/protected/:id", func(*gin.Context) {})
	engine.POST("/protected/:id/*rest", func(*gin.Context) {})
	engine.GET("/guarded", kc.RequireRoles("admin"), func(*gin.Context) {})
	if got, want := fmt.Sprint(openRoutes(t, engine)), "[GET /too-early]"; got != want {
		t.Errorf("open routes = %s, want %s", got, want)
	}
}

// openRoutes asks for each route without credentials and lists those that do not refuse. Who has many routes does well to have
// such a test: it runs the handlers of open routes, so it is not for production.
func openRoutes(t *testing.T, engine *gin.Engine) []string {
	t.Helper()
	var open []string
	for _, route := range engine.Routes() {
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), route.Method, strings.NewReplacer(":", "", "*", "").Replace(route.Path), http.NoBody))
		if w.Code != http.StatusUnauthorized {
			open = append(open, route.Method+" "+route.Path)
		}
	}
	return open
}
