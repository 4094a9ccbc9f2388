package ginkeycloak

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak/internal/swaggerui"
)

// guards remember which route asks for what, for the descriptions in the document. Requests show it.
type guards struct {
	wanted atomic.Bool // by RegisterSwagger

	mu      sync.RWMutex // guards byRoute
	byRoute map[route][]*requirement
}

// note takes down that a requirement stands before the route of a request.
func (g *guards) note(c *gin.Context, r *requirement) {
	if !g.wanted.Load() || c.FullPath() == "" {
		return
	}
	key := route{c.Request.Method, c.FullPath()}
	g.mu.RLock()
	known := slices.Contains(g.byRoute[key], r)
	g.mu.RUnlock()
	if known {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byRoute == nil {
		g.byRoute = make(map[route][]*requirement)
	}
	if !slices.Contains(g.byRoute[key], r) {
		g.byRoute[key] = append(g.byRoute[key], r)
	}
}

var ginParameters = regexp.MustCompile(`/[:*][^/]*`)

// notes are the sentences about each operation.
func (g *guards) notes() map[string]string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	notes := make(map[string]string, len(g.byRoute))
	for at, requirements := range g.byRoute {
		var sentences []string
		for _, r := range requirements {
			sentences = append(sentences, r.description())
		}
		key := swaggerui.OperationKey(at.method, ginParameters.ReplaceAllString(at.pattern, "/{}"))
		notes[key] = strings.Join(sentences, " ")
	}
	return notes
}

// description says in Markdown what is asked for: "Requires one of the groups `/eng`, `/ops`."
func (r *requirement) description() string {
	quantity := ""
	if r.any && len(r.values) > 1 {
		quantity = "one of "
	}
	plural := ""
	if len(r.values) > 1 {
		plural = "s"
	}
	return "Requires " + quantity + "the " + r.kind + plural + " `" + strings.Join(r.values, "`, `") + "`" + r.of + "."
}
