package ginkeycloak

import (
	"errors"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gin-gonic/gin"
)

// route is a route as Gin knows it: its pattern, and its method or "" for all of them.
type route struct{ method, pattern string }

// routeSet holds routes: by their pattern, their methods.
type routeSet map[string][]string

func (s routeSet) add(r route) { s[r.pattern] = append(slices.Clip(s[r.pattern]), r.method) }

func (s routeSet) has(method, pattern string) bool {
	methods := s[pattern]
	return methods != nil && (slices.Contains(methods, method) || slices.Contains(methods, ""))
}

// openRoutes are the routes that Middleware lets requests without a token through to: those of WithPublicRoutes,
// and those that the library registers for itself.
type openRoutes struct {
	routes atomic.Pointer[routeSet] // read by every request, replaced when a route is added

	mu  sync.Mutex // guards own, and changes of routes
	own []string   // patterns of the library's own routes that take a refresh token
}

func newOpenRoutes(public routeSet) *openRoutes {
	o := new(openRoutes)
	o.routes.Store(&public)
	return o
}

// add opens a route of the library's own that takes a refresh token.
func (o *openRoutes) add(pattern string) {
	o.open(route{pattern: pattern})
	o.mu.Lock()
	defer o.mu.Unlock()
	o.own = append(o.own, pattern)
}

// open opens routes of the library's own.
func (o *openRoutes) open(opened ...route) {
	o.mu.Lock()
	defer o.mu.Unlock()
	routes := maps.Clone(*o.routes.Load())
	for _, r := range opened {
		routes.add(r)
	}
	o.routes.Store(&routes)
}

// has reports whether the route that Gin chose for a request is open. Paths of URLs do not come into it.
func (o *openRoutes) has(c *gin.Context) bool {
	pattern := c.FullPath()
	if pattern == "" || !o.routes.Load().has(c.Request.Method, pattern) {
		return false
	}
	return !strings.ContainsAny(pattern, ":*") || !hasDotSegment(c.Request.URL.Path)
}

var unescapeDotSegments = strings.NewReplacer(
	"%2e", ".", "%2E", ".", "%2f", "/", "%2F", "/", "%5c", "/", "%5C", "/", `\`, "/")

// hasDotSegment reports whether a path has a segment . or .., also where it is escaped once more, or set apart
// by backslashes as some file servers and proxies allow.
func hasDotSegment(urlPath string) bool {
	for segment := range strings.SplitSeq(unescapeDotSegments.Replace(urlPath), "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// registerOpen registers a handler of the library's own that takes POST and answers other methods with 405. OPTIONS
// is left to CORS middleware.
func (p *Plugin) registerOpen(r gin.IRoutes, relative string, handler gin.HandlerFunc) {
	p.open.add(patternBelow(r, relative))
	registerAll(r, relative, handler)
}

// registerAll registers a handler for all methods, so that it can answer those it does not take, but for OPTIONS.
func registerAll(r gin.IRoutes, relative string, handler gin.HandlerFunc) {
	r.Match([]string{
		http.MethodPost, http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete,
	}, relative, handler)
}

// patternBelow is the pattern that a route gets when it is registered with r under a relative path.
func patternBelow(r gin.IRoutes, relative string) string {
	if group, ok := r.(interface{ BasePath() string }); ok {
		return path.Join(group.BasePath(), relative)
	}
	return relative
}

// openPaths lists the paths of the library's own routes that take a refresh token.
func (p *Plugin) openPaths() []string {
	p.open.mu.Lock()
	defer p.open.mu.Unlock()
	return slices.Clone(p.open.own)
}

// CheckRoutes reports public routes that no route of the router has: a typing error that leaves a route
// protected which should be open. Call it after the last route was registered, with router.Routes(). The error joins
// a *ConfigError for each.
func (p *Plugin) CheckRoutes(routes gin.RoutesInfo) error {
	var errs []error
	for _, public := range p.cfg.publicRoutes {
		exists := func(r gin.RouteInfo) bool { return public == r.Path || public == r.Method+" "+r.Path }
		if !slices.ContainsFunc(routes, exists) {
			errs = append(errs, &ConfigError{Option: "WithPublicRoutes", Value: public, Reason: "no such route is registered"})
		}
	}
	return errors.Join(errs...)
}
