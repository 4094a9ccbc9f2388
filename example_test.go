package ginkeycloak_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// startFake starts the Keycloak of the examples: realm demo, client orders-api, alice who is an admin, and bob.
func startFake() *keycloaktest.Server {
	idp, err := keycloaktest.Start()
	if err != nil {
		panic(err)
	}
	return idp
}

// pluginFor is New for that Keycloak.
func pluginFor(idp *keycloaktest.Server, opts ...ginkeycloak.Option) *ginkeycloak.Plugin {
	kc, err := ginkeycloak.New(append([]ginkeycloak.Option{
		ginkeycloak.WithServerURL(idp.URL()),
		ginkeycloak.WithRealm(idp.Realm()),
		ginkeycloak.WithClientID("orders-api"),
		ginkeycloak.WithClientSecret("s3cret"),
	}, opts...)...)
	if err != nil {
		panic(err)
	}
	return kc
}

// ask sends a request and prints the answer: status, what follows from it, and body.
func ask(router http.Handler, method, path, token string) {
	r := httptest.NewRequestWithContext(context.Background(), method, path, http.NoBody)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	fmt.Println(strings.TrimSpace(fmt.Sprintf("%d %s", w.Code, w.Body)))
}

// hello is a handler.
func hello(c *gin.Context) {
	user, ok := ginkeycloak.UserFromContext(c)
	if !ok {
		c.String(http.StatusOK, "hello stranger")
		return
	}
	c.String(http.StatusOK, "hello "+user.Username)
}

// An API with a public route, one for whoever is logged in, and one for admins.
func Example() {
	idp, err := keycloaktest.Start() // stands in for a Keycloak at https://sso.example.com
	if err != nil {
		fmt.Println(err)
		return
	}
	defer idp.Close()

	kc, err := ginkeycloak.New(
		ginkeycloak.WithServerURL(idp.URL()),
		ginkeycloak.WithRealm("demo"),
		ginkeycloak.WithClientID("orders-api"), // this API; also the audience that tokens must have
		ginkeycloak.WithPublicRoutes("GET /health"),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer kc.Close()

	router := gin.New()
	router.Use(kc.Middleware())
	router.GET("/health", func(c *gin.Context) { c.String(http.StatusOK, "fine") })
	router.GET("/me", func(c *gin.Context) {
		user, _ := ginkeycloak.UserFromContext(c)
		c.String(http.StatusOK, "you are "+user.Username)
	})
	router.DELETE("/orders", kc.RequireRoles("admin"), func(c *gin.Context) { c.Status(http.StatusNoContent) })

	alice := idp.Token(keycloaktest.ForUser("alice"))
	bob := idp.Token(keycloaktest.ForUser("bob"))
	ask(router, http.MethodGet, "/health", "")
	ask(router, http.MethodGet, "/me", bob)
	ask(router, http.MethodGet, "/me", "")
	ask(router, http.MethodDelete, "/orders", alice)
	ask(router, http.MethodDelete, "/orders", bob)
	// Output:
	// 200 fine
	// 200 you are bob
	// 401 {"error":{"code":"missing_header","message":"A bearer token is required."}}
	// 204
	// 403 {"error":{"code":"missing_roles","message":"A required role is missing."}}
}

// New reports every mistake at once, before anything is asked of Keycloak.
func ExampleNew() {
	_, err := ginkeycloak.New(
		ginkeycloak.WithServerURL("sso.example.com"),
		ginkeycloak.WithRealm("demo"),
		ginkeycloak.WithLeeway(time.Hour),
	)
	fmt.Println(err)

	var mistake *ginkeycloak.ConfigError
	if errors.As(err, &mistake) {
		fmt.Println("the first is about", mistake.Option)
	}
	// Output:
	// ginkeycloak: WithServerURL(sso.example.com): it is not an absolute http or https address
	// ginkeycloak: WithAudience: set it, or WithClientID, so that tokens for other APIs are refused
	// ginkeycloak: WithLeeway(1h0m0s): it must be from 0 to 5m0s
	// the first is about WithServerURL
}

// The middleware protects what is registered after it was given to Use: here that is /late, while /early is open to
// everybody. A handler that asks for something, as RequireRoles does, authenticates by itself and so needs no order.
func ExamplePlugin_Middleware_incorrect() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()

	router := gin.New()
	router.GET("/early", hello) // WRONG: before Use
	router.GET("/admin", kc.RequireRoles("admin"), hello)
	router.Use(kc.Middleware())
	router.GET("/late", hello)

	ask(router, http.MethodGet, "/early", "")
	ask(router, http.MethodGet, "/admin", "")
	ask(router, http.MethodGet, "/late", "")
	// Output:
	// 200 hello stranger
	// 401 {"error":{"code":"missing_header","message":"A bearer token is required."}}
	// 401 {"error":{"code":"missing_header","message":"A bearer token is required."}}
}

func ExamplePlugin_OptionalMiddleware() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()

	router := gin.New()
	router.GET("/news", kc.OptionalMiddleware(), hello)

	ask(router, http.MethodGet, "/news", "")
	ask(router, http.MethodGet, "/news", idp.Token(keycloaktest.ForUser("alice")))
	ask(router, http.MethodGet, "/news", idp.Token(keycloaktest.ExpiresIn(-time.Hour))) // not the same as no token
	// Output:
	// 200 hello stranger
	// 200 hello alice
	// 401 {"error":{"code":"token_expired","message":"The token has expired."}}
}

// Public routes are named as they are registered, parameters and all.
func ExampleWithPublicRoutes() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp, ginkeycloak.WithPublicRoutes("GET /items/:id", "/docs/*any", "GET /itmes"))
	defer kc.Close()

	router := gin.New()
	router.Use(kc.Middleware())
	router.GET("/items", hello)
	router.GET("/items/:id", hello)
	router.DELETE("/items/:id", hello)
	router.GET("/docs/*any", hello)

	ask(router, http.MethodGet, "/items/7", "")
	ask(router, http.MethodGet, "/docs/a/b", "")
	ask(router, http.MethodDelete, "/items/7", "")
	fmt.Println(kc.CheckRoutes(router.Routes())) // after the last route
	// Output:
	// 200 hello stranger
	// 200 hello stranger
	// 401 {"error":{"code":"missing_header","message":"A bearer token is required."}}
	// ginkeycloak: WithPublicRoutes(GET /itmes): no such route is registered
}

// A role counts if it is the realm's or the API's own: alice is admin of the realm and has manage in orders-api. A role
// of another client is asked for by RequireClientRoles.
func ExamplePlugin_RequireRoles() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()

	router := gin.New()
	router.GET("/both", kc.RequireRoles("admin", "manage"), hello)
	router.GET("/any", kc.RequireAnyRole("admin", "viewer"), hello)

	for _, user := range []string{"alice", "bob"} {
		token := idp.Token(keycloaktest.ForUser(user))
		ask(router, http.MethodGet, "/both", token)
		ask(router, http.MethodGet, "/any", token)
	}
	// Output:
	// 200 hello alice
	// 200 hello alice
	// 403 {"error":{"code":"missing_roles","message":"A required role is missing."}}
	// 200 hello bob
}

// Groups are paths: a member of /eng/sre is in /eng, one of /engineers is not.
func ExamplePlugin_RequireGroups() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()

	router := gin.New()
	router.GET("/eng", kc.RequireGroups("/eng"), hello)

	ask(router, http.MethodGet, "/eng", idp.Token(keycloaktest.Groups("/eng/sre")))
	ask(router, http.MethodGet, "/eng", idp.Token(keycloaktest.Groups("/engineers")))
	// Output:
	// 200 hello alice
	// 403 {"error":{"code":"missing_groups","message":"Membership of a required group is missing."}}
}

// A client that lacks a scope is told which one to ask for, in the challenge.
func ExamplePlugin_RequireScopes() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()

	router := gin.New()
	router.GET("/orders", kc.RequireScopes("orders:read"), hello)

	ask(router, http.MethodGet, "/orders", idp.Token(keycloaktest.Scope("openid orders:read")))

	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/orders", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+idp.Token(keycloaktest.Scope("openid")))
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	_, challenge, _ := strings.Cut(w.Header().Get("WWW-Authenticate"), ", ")
	fmt.Println(w.Code, challenge)
	// Output:
	// 200 hello alice
	// 403 error="insufficient_scope", error_description="A required scope is missing.", scope="orders:read"
}

// A token that came in the metadata of a gRPC call, in the first message of a WebSocket, or with a job from a queue.
func ExamplePlugin_Authenticate() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()

	authorize := func(ctx context.Context, metadata map[string]string) (context.Context, error) {
		user, err := kc.Authenticate(ctx, strings.TrimPrefix(metadata["authorization"], "Bearer "))
		if err != nil {
			return nil, err // an *Error: its Status and Code say how to answer
		}
		if !user.HasRole("admin") {
			return nil, ginkeycloak.ErrMissingRoles
		}
		return ginkeycloak.ContextWithUser(ctx, user), nil
	}

	for _, user := range []string{"alice", "bob"} {
		call := map[string]string{"authorization": "Bearer " + idp.Token(keycloaktest.ForUser(user))}
		ctx, err := authorize(context.Background(), call)
		if err != nil {
			fmt.Println(err)
			continue
		}
		caller, _ := ginkeycloak.UserFromContext(ctx)
		fmt.Println(caller.Username, "may")
	}
	// Output:
	// alice may
	// ginkeycloak: missing_roles
}

// The user is in the gin.Context and in its request's context, so code that knows nothing of Gin finds him too.
func ExampleUserFromContext() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()

	store := func(ctx context.Context) string {
		user, ok := ginkeycloak.UserFromContext(ctx)
		if !ok {
			return "nobody is asking"
		}
		return "orders of " + user.Username + " <" + user.Email + ">"
	}
	router := gin.New()
	router.Use(kc.Middleware())
	router.GET("/orders", func(c *gin.Context) { c.String(http.StatusOK, store(c.Request.Context())) })

	ask(router, http.MethodGet, "/orders", idp.Token(keycloaktest.ForUser("alice")))
	fmt.Println(store(context.Background()))
	// Output:
	// 200 orders of alice <alice@example.com>
	// nobody is asking
}

// A handler by itself, without tokens and without Keycloak. RequireRoles and its kin would not believe in this user.
func ExampleContextWithUser() {
	user, err := ginkeycloak.UserFromClaims("orders-api", map[string]any{
		"sub": "1", "preferred_username": "carol", "realm_access": map[string]any{"roles": []string{"admin"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(w)
	c.Request = httptest.NewRequestWithContext(ginkeycloak.ContextWithUser(context.Background(), user), http.MethodGet, "/", http.NoBody)
	hello(c)
	fmt.Println(w.Body, user.HasRole("admin"))
	// Output:
	// hello carol true
}

// Claims of one's own, such as a protocol mapper adds, are decoded into a struct or map.
func ExampleUser_Claims() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()

	user, err := kc.Authenticate(context.Background(), idp.Token(keycloaktest.Claim("tenant", "acme")))
	if err != nil {
		fmt.Println(err)
		return
	}
	var claims struct {
		Tenant string `json:"tenant"`
	}
	if err := user.Claims(&claims); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(claims.Tenant)
	// Output:
	// acme
}

func ExamplePlugin_Refresh() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp, ginkeycloak.WithRefresh(0))
	defer kc.Close()

	refreshToken := idp.RefreshToken(keycloaktest.ForUser("alice"))
	tokens, err := kc.Refresh(context.Background(), refreshToken)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("valid for", tokens.ExpiresIn, "s")

	// Keycloak takes each refresh token once.
	_, err = kc.Refresh(context.Background(), refreshToken)
	fmt.Println("log in again:", errors.Is(err, ginkeycloak.ErrTokenRefreshFailed))
	// Output:
	// valid for 300 s
	// log in again: true
}

func ExamplePlugin_RegisterLoginRoute() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()

	router := gin.New()
	router.Use(kc.Middleware())
	kc.RegisterLoginRoute(router) // GET and POST /auth/login, open without an access token

	// The page made a state and, of a verifier, a challenge (RFC 7636 §4.2).
	asked := url.Values{
		"redirect_uri": {"http://localhost:8080/app/"}, "state": {"af0ifjsldkj"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"},
	}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/auth/login?"+asked.Encode(), http.NoBody)
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	to, _ := w.Result().Location()
	fmt.Println(w.Code, to.Path)
	fmt.Println(to.Query().Get("client_id"), to.Query().Get("response_type"), to.Query().Get("code_challenge_method"))
	// Output:
	// 303 /realms/demo/protocol/openid-connect/auth
	// orders-api code S256
}

func ExamplePlugin_RegisterRefreshRoute() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()

	router := gin.New()
	router.Use(kc.Middleware())
	kc.RegisterRefreshRoute(router) // POST /auth/refresh, open without an access token
	kc.RegisterLogoutRoute(router)  // POST /auth/logout

	post := func(path, refreshToken string) {
		body := strings.NewReader(`{"refresh_token":"` + refreshToken + `"}`)
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, path, body)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		fmt.Println(path, w.Code, strings.Contains(w.Body.String(), `"access_token":"`))
	}
	post("/auth/refresh", idp.RefreshToken())
	post("/auth/refresh", "made up")
	post("/auth/logout", idp.RefreshToken())
	// Output:
	// /auth/refresh 200 true
	// /auth/refresh 400 false
	// /auth/logout 204 false
}

// Swagger UI at /swagger/, with a login. What swag generates is a SwaggerSpec as well.
func ExamplePlugin_RegisterSwagger() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()

	document := ginkeycloak.SwaggerDocument(`{
		"openapi": "3.0.3", "info": {"title": "Orders", "version": "1"},
		"paths": {"/orders": {"get": {"security": [{"KeycloakAuth": []}], "responses": {"200": {"description": "OK"}}}}}
	}`)
	router := gin.New()
	router.Use(kc.Middleware())
	router.GET("/orders", hello)
	kc.RegisterSwagger(router, document, ginkeycloak.WithSwaggerClient("swagger"))

	for _, path := range []string{"/swagger/", "/swagger/doc.json"} {
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, http.NoBody))
		fmt.Println(path, w.Code, strings.Contains(w.Body.String(), "/protocol/openid-connect/auth"))
	}
	// Output:
	// /swagger/ 200 false
	// /swagger/doc.json 200 true
}

// Keycloak being away does not make an orchestrator restart the API, nor is it sent requests before it can judge them.
func ExamplePlugin_RegisterHealth() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()

	router := gin.New()
	router.Use(kc.Middleware())
	kc.RegisterHealth(router)

	ask(router, http.MethodGet, "/health/live", "")
	if err := kc.Connect(context.Background()); err != nil { // fetches the keys, which the first request would otherwise do
		fmt.Println(err)
		return
	}
	ask(router, http.MethodGet, "/health/ready", "")
	// Output:
	// 200 {"status":"ok"}
	// 200 {"status":"ok"}
}

func ExamplePlugin_Diagnose() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()

	fmt.Println("well:", kc.Diagnose(context.Background()).OK)

	idp.Fail(keycloaktest.KeySet, keycloaktest.Status(http.StatusNotFound))
	report := kc.Diagnose(context.Background())
	fmt.Println("well:", report.OK)
	for _, problem := range report.Problems {
		fmt.Println(problem.Endpoint, problem.Code)
	}
	// Output:
	// well: true
	// well: false
	// key set not_found
}

// The body is yours; status, challenge and that the request ends there are not.
func ExampleWithErrorHandler() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp, ginkeycloak.WithErrorHandler(func(c *gin.Context, err *ginkeycloak.Error) {
		c.Header("Content-Type", "application/problem+json") // RFC 9457
		c.JSON(err.Status(), gin.H{"title": err.Message(), "status": err.Status(), "type": "urn:orders:" + string(err.Code)})
	}))
	defer kc.Close()

	router := gin.New()
	router.Use(kc.Middleware())
	router.GET("/me", hello)

	ask(router, http.MethodGet, "/me", "")
	// Output:
	// 401 {"status":401,"title":"A bearer token is required.","type":"urn:orders:missing_header"}
}

// Errors are told apart by errors.Is and the variables that begin with Err, never by their text.
func ExampleError() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()

	judge := func(token string) {
		_, err := kc.Authenticate(context.Background(), token)
		switch {
		case errors.Is(err, ginkeycloak.ErrTokenExpired):
			fmt.Println("refresh it")
		case errors.Is(err, ginkeycloak.ErrConnection):
			fmt.Println("try again later")
		default:
			if refusal, ok := errors.AsType[*ginkeycloak.Error](err); ok {
				fmt.Println(refusal.Status(), refusal.Code, refusal.Message())
			}
		}
	}
	judge(idp.Token(keycloaktest.ExpiresIn(-time.Hour)))
	judge(idp.Token(keycloaktest.Audience("billing")))
	// Output:
	// refresh it
	// 401 invalid_claims The token was not issued for this service.
}

// Hooks run where it happens, on the goroutine that does it. Package metrics and module otelkeycloak are made of them.
func ExampleWithTrace() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp, ginkeycloak.WithTrace(&ginkeycloak.Trace{
		Authenticated: func(_ context.Context, e ginkeycloak.Authenticated) {
			fmt.Println("judged by", e.Method, "recognised:", e.Cached)
		},
		Refused:  func(_ context.Context, e ginkeycloak.Refused) { fmt.Println("refused:", e.Route, e.Code) },
		CallDone: func(_ context.Context, e ginkeycloak.CallDone) { fmt.Println("called:", e.Call, e.Status) },
	}))
	defer kc.Close()

	router := gin.New()
	router.GET("/admin", kc.RequireRoles("admin"), hello)

	token := idp.Token(keycloaktest.ForUser("bob"))
	ask(router, http.MethodGet, "/admin", token)
	ask(router, http.MethodGet, "/admin", token)
	// Output:
	// called: discovery 200
	// called: key_set 200
	// judged by local recognised: false
	// refused: /admin missing_roles
	// 403 {"error":{"code":"missing_roles","message":"A required role is missing."}}
	// judged by local recognised: true
	// refused: /admin missing_roles
	// 403 {"error":{"code":"missing_roles","message":"A required role is missing."}}
}

// A test asks a fake Keycloak for tokens, good and bad. In a test, keycloaktest.New(t) takes the place of Start. A whole
// test file to copy is in example/handlertest.
func Example_testing() {
	idp := startFake()
	defer idp.Close()
	kc := pluginFor(idp)
	defer kc.Close()
	router := gin.New()
	router.GET("/me", kc.Middleware(), hello)

	ask(router, http.MethodGet, "/me", idp.Token(keycloaktest.ForUser("bob")))
	ask(router, http.MethodGet, "/me", idp.Token(keycloaktest.ExpiresIn(-time.Hour)))
	ask(router, http.MethodGet, "/me", idp.Token(keycloaktest.Type("ID")))

	idp.RotateKeys()
	ask(router, http.MethodGet, "/me", idp.Token())

	idp.Stop() // the keys that are held go on being used
	ask(router, http.MethodGet, "/me", idp.Token())
	// Output:
	// 200 hello bob
	// 401 {"error":{"code":"token_expired","message":"The token has expired."}}
	// 401 {"error":{"code":"invalid_token_type","message":"The token is not an access token."}}
	// 200 hello alice
	// 200 hello alice
}
