package wire_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/integration/wire"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// The time limits of these tests. A request may take limit, which is both, and not noticeably longer.
const (
	connectLimit = 500 * time.Millisecond
	readLimit    = time.Second
	limit        = connectLimit + readLimit
)

// api is a protected API that reaches its Keycloak through a proxy of its own.
type api struct {
	*gin.Engine

	keycloak *keycloaktest.Server
	wire     *wire.Proxy
	ahead    atomic.Int64 // of the API's clock, in nanoseconds
}

func newAPI(t *testing.T, srv *keycloaktest.Server, opts ...ginkeycloak.Option) *api {
	t.Helper()
	scheme, address, _ := strings.Cut(srv.URL(), "://")
	a := &api{Engine: gin.New(), keycloak: srv, wire: newWire(t, address)}
	options := []ginkeycloak.Option{
		ginkeycloak.WithServerURL(srv.URL()), ginkeycloak.WithInternalURL(scheme + "://" + a.wire.Addr()),
		ginkeycloak.WithRealm(srv.Realm()), ginkeycloak.WithClientID("orders-api"), ginkeycloak.WithClientSecret("s3cret"),
		ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOnDemand()), ginkeycloak.WithTimeouts(connectLimit, readLimit),
		ginkeycloak.WithLogger(slog.New(slog.DiscardHandler)),
		ginkeycloak.WithClock(func() time.Time { return time.Now().Add(time.Duration(a.ahead.Load())) }),
	}
	if scheme == "https" {
		options = append(options, ginkeycloak.WithRootCAs(srv.RootCAs()))
	}
	kc, err := ginkeycloak.New(append(options, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kc.Close() })
	ok := func(c *gin.Context) { c.Status(http.StatusOK) }
	a.Use(kc.Middleware())
	a.GET("/me", ok)
	a.GET("/active", kc.RequireActive(), ok)
	kc.RegisterRefreshRoute(a)
	kc.RegisterLogoutRoute(a)
	return a
}

// newWire returns a proxy to address that ends with the test.
func newWire(t *testing.T, address string) *wire.Proxy {
	t.Helper()
	p, err := wire.Start(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// answer is what a client sees.
type answer struct {
	status     int
	retryAfter string
	code       ginkeycloak.Code
	took       time.Duration
}

func (a *api) get(t *testing.T, path, token string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+token)
	return a.do(t, r)
}

func (a *api) post(t *testing.T, path, refreshToken string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("refresh_token="+refreshToken))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return a.do(t, r)
}

func (a *api) do(t *testing.T, r *http.Request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	begin := time.Now()
	a.ServeHTTP(w, r)
	got := answer{status: w.Code, retryAfter: w.Header().Get("Retry-After"), took: time.Since(begin)}
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	var refusal struct {
		Error struct {
			Code ginkeycloak.Code `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &refusal) == nil {
		got.code = refusal.Error.Code
	}
	return got
}
