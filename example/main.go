// Command example is an API that ginkeycloak protects, small enough to read in one go.
//
// Without settings it starts a fake Keycloak inside and prints what to try. With KEYCLOAK_URL, KEYCLOAK_REALM,
// KEYCLOAK_CLIENT_ID, KEYCLOAK_CLIENT_SECRET and perhaps KEYCLOAK_AUDIENCE it uses the server they name. With
// KEYCLOAK_VALIDATION=introspection it asks Keycloak about every token instead of checking the signature. ADDR is
// where it listens, 127.0.0.1:8080 by default.
package main

import (
	"cmp"
	"context"
	_ "embed" // docs/swagger.json
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
	"github.com/c0mpiler/ginkeycloak/metrics"
)

// @title			Orders
// @version		1.0
// @description	An example of an API that Keycloak protects. Log in as alice or bob; the password is the name.
func main() {
	gin.SetMode(gin.ReleaseMode)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Getenv, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, getenv func(string) string, out io.Writer) error {
	s := settingsFrom(getenv)
	if s.serverURL == "" {
		fake, err := keycloaktest.Start()
		if err != nil {
			return err
		}
		defer fake.Close()
		s = settingsOf(fake, s.validation)
	}
	registry := prometheus.NewRegistry()
	kc, err := newPlugin(s, registry)
	if err != nil {
		return err
	}
	defer func() { _ = kc.Close() }()
	router, err := newRouter(kc, s.clientID, registry)
	if err != nil {
		return err
	}

	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cmp.Or(getenv("ADDR"), "127.0.0.1:8080"))
	if err != nil {
		return fmt.Errorf("%w (ADDR says where to listen)", err)
	}
	if err := printHints(out, s, "http://"+listener.Addr().String()); err != nil {
		return errors.Join(err, listener.Close())
	}
	return serve(ctx, listener, router)
}

// settings say which Keycloak to use, as which client and how.
type settings struct {
	serverURL, realm, clientID, clientSecret, audience string
	validation                                         string // "local", which is the default, or "introspection"
	fake                                               bool
}

func settingsFrom(getenv func(string) string) settings {
	return settings{
		serverURL:    getenv("KEYCLOAK_URL"),
		realm:        getenv("KEYCLOAK_REALM"),
		clientID:     getenv("KEYCLOAK_CLIENT_ID"),
		clientSecret: getenv("KEYCLOAK_CLIENT_SECRET"),
		audience:     getenv("KEYCLOAK_AUDIENCE"),
		validation:   getenv("KEYCLOAK_VALIDATION"),
	}
}

func settingsOf(fake *keycloaktest.Server, validation string) settings {
	return settings{
		serverURL: fake.URL(), realm: fake.Realm(), clientID: "orders-api", clientSecret: "s3cret",
		validation: validation, fake: true,
	}
}

func newPlugin(s settings, registry prometheus.Registerer) (*ginkeycloak.Plugin, error) {
	opts := []ginkeycloak.Option{
		ginkeycloak.WithServerURL(s.serverURL),
		ginkeycloak.WithRealm(s.realm),
		ginkeycloak.WithClientID(s.clientID),
		ginkeycloak.WithClientSecret(s.clientSecret),
		ginkeycloak.WithPublicRoutes("GET /", "GET /public", "GET /metrics"),
		ginkeycloak.WithTrace(metrics.New(registry, metrics.WithPythonNames())),
	}
	if s.audience != "" {
		opts = append(opts, ginkeycloak.WithAudience(s.audience))
	}
	switch s.validation {
	case "", "local":
	case "introspection":
		opts = append(opts, ginkeycloak.WithIntrospection())
	default:
		return nil, fmt.Errorf("KEYCLOAK_VALIDATION is %q, it must be local or introspection", s.validation)
	}
	return ginkeycloak.New(opts...)
}

// document describes the API. make swagger makes it of the comments that begin with @.
//
//go:embed docs/swagger.json
var document []byte

// newRouter registers all routes. The API is the client clientID of Keycloak.
func newRouter(kc *ginkeycloak.Plugin, clientID string, registry prometheus.Gatherer) (*gin.Engine, error) {
	router := gin.New()
	router.Use(gin.Recovery(), kc.Middleware())

	router.GET("/", func(c *gin.Context) { c.Redirect(http.StatusSeeOther, "/swagger/") }) // for whoever just opens the address

	//	@Summary	Open to everybody
	//	@Tags		orders
	//	@Produce	json
	//	@Success	200	{object}	object{message=string}
	//	@Router		/public [get]
	router.GET("/public", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"message": "open to everybody"}) })

	//	@Summary	Who is logged in
	//	@Tags		orders
	//	@Produce	json
	//	@Security	KeycloakAuth
	//	@Success	200	{object}	object{sub=string,username=string,email=string,email_verified=bool,name=string,roles=[]string,groups=[]string}
	//	@Failure	401	"Nobody is logged in"
	//	@Router		/me [get]
	router.GET("/me", func(c *gin.Context) {
		user, _ := ginkeycloak.UserFromContext(c)
		c.JSON(http.StatusOK, user)
	})

	//	@Summary	For the role admin
	//	@Tags		orders
	//	@Produce	json
	//	@Security	KeycloakAuth
	//	@Success	200	{object}	object{message=string}
	//	@Failure	401	"Nobody is logged in"
	//	@Failure	403	"The user may not"
	//	@Router		/admin [get]
	router.GET("/admin", kc.RequireRoles("admin"), greet("admin"))

	//	@Summary	For the role manage of this API's client
	//	@Tags		orders
	//	@Produce	json
	//	@Security	KeycloakAuth
	//	@Success	200	{object}	object{message=string}
	//	@Failure	401	"Nobody is logged in"
	//	@Failure	403	"The user may not"
	//	@Router		/manage [get]
	router.GET("/manage", kc.RequireClientRoles(clientID, "manage"), greet("manager"))

	//	@Summary	For members of the group /eng and those below
	//	@Tags		orders
	//	@Produce	json
	//	@Security	KeycloakAuth
	//	@Success	200	{object}	object{message=string}
	//	@Failure	401	"Nobody is logged in"
	//	@Failure	403	"The user may not"
	//	@Router		/sre [get]
	router.GET("/sre", kc.RequireGroups("/eng"), greet("engineer"))

	//	@Summary	What is right and wrong with the set-up of Keycloak, for the role admin
	//	@Tags		keycloak
	//	@Produce	json
	//	@Security	KeycloakAuth
	//	@Success	200	"The report"
	//	@Failure	401	"Nobody is logged in"
	//	@Failure	403	"The user may not"
	//	@Router		/diagnostics [get]
	router.GET("/diagnostics", kc.RequireRoles("admin"), kc.DiagnosticsHandler())

	// In production on a port that only Prometheus reaches.
	router.GET("/metrics", gin.WrapH(promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))

	kc.RegisterRefreshRoute(router)                                   // POST /auth/refresh
	kc.RegisterLogoutRoute(router)                                    // POST /auth/logout
	kc.RegisterHealth(router)                                         // GET /health/live, /health/ready
	kc.RegisterSwagger(router, ginkeycloak.SwaggerDocument(document)) // GET /swagger/

	// The last step: a public route that is misspelled would be protected, and nobody would know why.
	return router, kc.CheckRoutes(router.Routes())
}

// greet is what the guarded routes do.
func greet(title string) gin.HandlerFunc {
	return func(c *gin.Context) {
		user, _ := ginkeycloak.UserFromContext(c)
		c.JSON(http.StatusOK, gin.H{"message": "hello " + title + " " + user.Username})
	}
}

// serve answers requests until ctx ends, and then those that are under way.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := server.Shutdown(ctx)
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
