package ginkeycloak

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// The reasons of a 503 from /health/ready. They say no more than that.
const (
	unreadyStarting = "keys_not_fetched_yet"
	unreadyStale    = "keys_too_old"
	unreadyClosed   = "closed"
)

// RegisterHealth registers two routes for the probes of an orchestrator, below r, open without a token:
//
//   - GET /health/live is 200 as long as the process serves requests. It does not depend on Keycloak: a restart of this
//     API would not bring Keycloak back.
//   - GET /health/ready is 200 as long as there are keys to verify tokens with, also while Keycloak is away and they
//     grow old, until WithMaxStale; otherwise 503 with a reason. It never waits for Keycloak, but has missing keys
//     fetched in the background, so that an API becomes ready without any other request.
//
// They tell an outsider nothing; see DiagnosticsHandler for more.
//
//	@Summary	Whether this API serves requests, and whether it can verify tokens
//	@Tags		keycloak
//	@Produce	json
//	@Success	200	{object}	health
//	@Failure	503	{object}	health
//	@Router		/health/live [get]
//	@Router		/health/ready [get]
func (p *Plugin) RegisterHealth(r gin.IRoutes) {
	p.registerProbe(r, "/health/live", func() string { return "" })
	p.registerProbe(r, "/health/ready", p.unready)
}

func (p *Plugin) registerProbe(r gin.IRoutes, relative string, unready func() string) {
	pattern := patternBelow(r, relative)
	p.open.open(route{http.MethodGet, pattern}, route{http.MethodHead, pattern})
	r.Match([]string{http.MethodGet, http.MethodHead}, relative, func(c *gin.Context) {
		defer p.rescue(c)
		c.Header("Cache-Control", "no-store")
		if reason := unready(); reason != "" {
			c.JSON(http.StatusServiceUnavailable, health{"unavailable", reason})
			return
		}
		c.JSON(http.StatusOK, health{Status: "ok"})
	})
}

type health struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

// unready is why this API cannot judge tokens now; "" if it can.
func (p *Plugin) unready() string {
	if p.closed.Load() {
		return unreadyClosed
	}
	usable, fetchedAt := p.home.keys.Snapshot()
	p.home.keys.Prefetch() // for the next probe
	switch {
	case usable > 0:
		return ""
	case fetchedAt.IsZero():
		return unreadyStarting
	}
	return unreadyStale
}
