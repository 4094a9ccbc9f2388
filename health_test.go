package ginkeycloak_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// newHealthAPI is an API in a bubble, with the health routes behind its middleware.
func newHealthAPI(t *testing.T, opts ...ginkeycloak.Option) *api {
	t.Helper()
	srv := keycloaktest.New(t, keycloaktest.InMemory(), keycloaktest.WithAlgorithm("ES256"))
	a := newAPIFor(t, srv, append([]ginkeycloak.Option{
		ginkeycloak.WithAlgorithms("ES256"), ginkeycloak.WithHTTPClient(&http.Client{Transport: srv.Transport()}),
	}, opts...)...)
	a.kc.RegisterHealth(a)
	return a
}

// checkReady asks both probes, without a token.
func (a *api) checkReady(t *testing.T, when, reason string) {
	t.Helper()
	if got := a.get(t, "/health/live", ""); got.status != 200 || got.body != `{"status":"ok"}` {
		t.Errorf("%s: GET /health/live = %d %s, want 200", when, got.status, got.body)
	}
	status, body := 200, `{"status":"ok"}`
	if reason != "" {
		status, body = 503, `{"status":"unavailable","reason":"`+reason+`"}`
	}
	got := a.get(t, "/health/ready", "")
	if got.status != status || got.body != body || got.header.Get("Cache-Control") != "no-store" || got.header.Get("WWW-Authenticate") != "" {
		t.Errorf("%s: GET /health/ready = %d %s %v, want %d %s", when, got.status, got.body, got.header, status, body)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newHealthAPI(t, ginkeycloak.WithMaxStale(time.Hour))
		a.checkReady(t, "at first", "keys_not_fetched_yet")
		synctest.Wait()
		a.checkReady(t, "after the first probe, without any other request", "")
		if got := a.keycloak.Calls(keycloaktest.KeySet); got != 1 {
			t.Errorf("%d fetches, want 1", got)
		}
		for range 100 {
			a.checkReady(t, "often", "")
		}
		if got := a.keycloak.Calls(keycloaktest.KeySet); got != 1 {
			t.Errorf("%d fetches after 100 probes, want 1: it is cheap", got)
		}

		a.keycloak.Stop()
		for range 59 {
			time.Sleep(time.Minute)
			a.checkReady(t, "Keycloak away, keys within the bound", "")
		}
		time.Sleep(2 * time.Minute)
		a.checkReady(t, "keys too old", "keys_too_old")
		a.keycloak.Restart()
		time.Sleep(2 * time.Second)
		a.get(t, "/health/ready", "")
		synctest.Wait()
		a.checkReady(t, "after one more probe", "")

		_ = a.kc.Close()
		a.checkReady(t, "closed", "closed")
	})
}

// TestHealthWhileKeycloakIsDownFromTheStart: live, not ready, and no more than about one fetch a second.
func TestHealthWhileKeycloakIsDownFromTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newHealthAPI(t)
		a.keycloak.Fail(keycloaktest.All, keycloaktest.Status(500))
		for range 600 {
			a.checkReady(t, "Keycloak down", "keys_not_fetched_yet")
			synctest.Wait()
			time.Sleep(100 * time.Millisecond)
		}
		if got := a.keycloak.Calls(keycloaktest.All); got > 120 {
			t.Errorf("600 probes in a minute caused %d calls, want at most 120", got)
		}
		a.keycloak.Heal()
		time.Sleep(2 * time.Second)
		a.get(t, "/health/ready", "")
		synctest.Wait()
		a.checkReady(t, "Keycloak up", "")
	})
}

// TestReadyDoesNotWait for a Keycloak that hangs, and tells nothing about it.
func TestReadyDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newHealthAPI(t)
		a.keycloak.Fail(keycloaktest.All, keycloaktest.Hang())
		begin := time.Now()
		a.checkReady(t, "Keycloak hangs", "keys_not_fetched_yet")
		if took := time.Since(begin); took > 0 {
			t.Errorf("GET /health/ready took %v, want it not to wait", took)
		}
	})
}

// TestHealthRoutes: what is open, and what is not.
func TestHealthRoutes(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	group := a.Group("/internal")
	a.kc.RegisterHealth(group)
	for _, path := range []string{"/internal/health/live", "/internal/health/ready"} {
		r := request(http.MethodHead, path, "")(t)
		if got := a.do(t, r); got.status != 200 && got.status != 503 {
			t.Errorf("HEAD %s = %d %q, want no refusal", path, got.status, got.body)
		}
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			if got := a.do(t, request(method, path, "")(t)); got.status == 200 {
				t.Errorf("%s %s = 200, want it not to be there", method, path)
			}
		}
	}
	for _, path := range []string{"/internal/health", "/internal/health/liveness", "/health/live", "/internal/health/live/", "/internal/health/live/..%2f..%2fme"} {
		if got := a.get(t, path, ""); got.status == 200 {
			t.Errorf("GET %s = 200, want no open route", path)
		}
	}
	if err := a.kc.CheckRoutes(a.Routes()); err != nil {
		t.Errorf("CheckRoutes = %v, want none", err)
	}
	checkKind(t, "everything else", a.get(t, "/me", ""), kindNone)
}

// TestHealthBeforeTheMiddleware works as well.
func TestHealthBeforeTheMiddleware(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	kc := newPlugin(t, srv)
	engine := gin.New()
	kc.RegisterHealth(engine)
	engine.Use(kc.Middleware())
	a := &api{Engine: engine, keycloak: srv, kc: kc, log: new(logBuffer)}
	if got := a.get(t, "/health/live", ""); got.status != 200 || strings.Contains(got.body, "127.0.0.1") {
		t.Errorf("GET /health/live = %d %s, want 200", got.status, got.body)
	}
}
