package ginkeycloak_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// swagger2 is a document as swag makes it.
const swagger2 = `{
	"swagger": "2.0", "schemes": ["http"], "host": "internal.example:8080", "basePath": "/api",
	"info": {"title": "Orders", "version": "1.0"},
	"paths": {
		"/zebras/{id}": {"get": {
			"description": "One zebra.", "security": [{"KeycloakAuth": ["zebras:read"]}],
			"parameters": [{"in": "path", "name": "id", "required": true, "type": "integer", "maximum": 9223372036854775807}],
			"responses": {"200": {"description": "OK"}}}},
		"/apes": {
			"get": {"security": [{"KeycloakAuth": [], "Other": []}, {"Third": []}], "responses": {"200": {"description": "OK"}}},
			"post": {"responses": {"200": {"description": "OK"}}}},
		"x-order": ["zebras", "apes"]
	},
	"securityDefinitions": {
		"Other": {"type": "basic"}, "Third": {"type": "basic"},
		"KeycloakAuth": {"type": "oauth2", "flow": "implicit", "authorizationUrl": "https://old.example/auth", "scopes": {}}
	}
}`

// openAPI31 is a document of another generator.
const openAPI31 = `{
	"openapi": "3.1.0", "info": {"title": "Orders", "version": "1.0"},
	"servers": [{"url": "https://{host}/api", "variables": {"host": {"default": "orders.example"}}}, {"url": "https://other.example"}],
	"security": [{"KeycloakAuth": []}],
	"paths": {
		"/zebras/{id}": {"get": {"responses": {"200": {"description": "OK"}}}},
		"/apes": {"get": {"security": [], "responses": {"200": {"description": "OK"}}}}
	}
}`

// templated is a document that is made when it is asked for, as swag's is.
type templated func() string

func (f templated) ReadDoc() string { return f() }

// swaggerAPI returns an API with the page.
func swaggerAPI(t *testing.T, opts ...ginkeycloak.SwaggerOption) *api {
	t.Helper()
	a := newAPI(t)
	a.kc.RegisterSwagger(a, ginkeycloak.SwaggerDocument(swagger2), opts...)
	return a
}

// swaggerFiles are the paths that the page is made of.
func swaggerFiles(t *testing.T, a *api, prefix string) []string {
	t.Helper()
	var paths []string
	for _, r := range a.Routes() {
		if strings.HasPrefix(r.Path, prefix+"/") && r.Method == http.MethodGet {
			paths = append(paths, r.Path)
		}
	}
	if len(paths) < 10 {
		t.Fatalf("the page has only %q", paths)
	}
	return paths
}

func TestSwaggerHeaders(t *testing.T) {
	t.Parallel()
	a := swaggerAPI(t)
	types := map[string]string{
		"/swagger/": "text/html; charset=utf-8", "/swagger/oauth2-redirect.html": "text/html; charset=utf-8",
		"/swagger/doc.json": "application/json; charset=utf-8", "/swagger/page.js": "text/javascript; charset=utf-8",
		"/swagger/swagger-ui.css": "text/css; charset=utf-8", "/swagger/favicon-32x32.png": "image/png",
	}
	for _, path := range swaggerFiles(t, a, "/swagger") {
		got := a.get(t, path, "")
		want := map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' " +
				a.keycloak.URL() + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":       "nosniff",
			"X-Frame-Options":              "DENY",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Set-Cookie":                   "",
		}
		if types[path] != "" {
			want["Content-Type"] = types[path]
		}
		if path != "/swagger/index.html" && got.status != http.StatusOK {
			t.Errorf("GET %s = %d, want 200", path, got.status)
		}
		for name, value := range want {
			if strings.Join(got.header.Values(name), "|") != value {
				t.Errorf("GET %s: %s = %q, want %q", path, name, got.header.Values(name), value)
			}
		}
	}
}

var inline = regexp.MustCompile(`(?i)<script[^>]*>[^<]|<style|\son[a-z]+=|\sstyle=|javascript:|https?://`)

// The page is written for its policy: nothing inline, nothing from elsewhere.
func TestSwaggerPageHasNothingInline(t *testing.T) {
	t.Parallel()
	a := swaggerAPI(t)
	for _, path := range []string{"/swagger/", "/swagger/oauth2-redirect.html"} {
		got := a.get(t, path, "")
		if found := inline.FindString(got.body); found != "" {
			t.Errorf("%s has %q in it", path, found)
		}
		for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(got.body, -1) {
			if file := a.get(t, "/swagger/"+m[1], ""); file.status != http.StatusOK {
				t.Errorf("%s refers to %s, which is %d", path, m[1], file.status)
			}
		}
	}
}

func TestSwaggerServesNoSecret(t *testing.T) {
	t.Parallel()
	for name, document := range map[string]string{"2.0": swagger2, "3.1": openAPI31} {
		a := newAPI(t, ginkeycloak.WithClientSecret(mark), ginkeycloak.WithErrorDetails(true))
		a.kc.RegisterSwagger(a, ginkeycloak.SwaggerDocument(document))
		for _, path := range swaggerFiles(t, a, "/swagger") {
			got := a.get(t, path, "")
			if strings.Contains(got.body+fmt.Sprint(got.header), mark) {
				t.Errorf("%s: the secret is in %s", name, path)
			}
		}
		a.keycloak.Stop()
		if got := a.get(t, "/swagger/doc.json", ""); strings.Contains(got.body+fmt.Sprint(got.header), mark) {
			t.Errorf("%s: the secret is in the answer while Keycloak is away", name)
		}
	}
}

// doc gets the document and decodes it.
func (a *api) doc(t *testing.T, path string) map[string]any {
	t.Helper()
	got := a.get(t, path, "")
	if cc := got.header.Get("Cache-Control"); got.status != http.StatusOK || cc != "no-store" {
		t.Fatalf("GET %s = %d %s, Cache-Control %q, want 200, no-store", path, got.status, got.body, cc)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(got.body), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// at walks down a document and shows what it finds as JSON.
func at(t *testing.T, doc any, path ...string) string {
	t.Helper()
	for _, name := range path {
		object, _ := doc.(map[string]any)
		doc = object[name]
	}
	text, err := json.Marshal(doc, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func checkAt(t *testing.T, doc map[string]any, want string, path ...string) {
	t.Helper()
	if got := at(t, doc, path...); got != want {
		t.Errorf("%s = %s\nwant %s", strings.Join(path, "."), got, want)
	}
}

func TestSwaggerDocument2(t *testing.T) {
	t.Parallel()
	a := swaggerAPI(t)
	doc := a.doc(t, "/swagger/doc.json")
	oidc := a.keycloak.Issuer() + "/protocol/openid-connect/"

	checkAt(t, doc, `{"authorizationUrl":"`+oidc+`auth","description":"Log in at Keycloak.","flow":"accessCode",`+
		`"scopes":{"email":"your e-mail address","openid":"log in","profile":"your name","zebras:read":""},"tokenUrl":"`+oidc+`token","type":"oauth2"}`,
		"securityDefinitions", "KeycloakAuth")
	checkAt(t, doc, `{"description":"Paste an access token.","in":"header","name":"Authorization","type":"apiKey"}`, "securityDefinitions", "BearerAuth")
	checkAt(t, doc, `{"type":"basic"}`, "securityDefinitions", "Other")
	checkAt(t, doc, `[{"KeycloakAuth":["zebras:read"]},{"BearerAuth":[]}]`, "paths", "/zebras/{id}", "get", "security")
	checkAt(t, doc, `[{"KeycloakAuth":[],"Other":[]},{"Third":[]},{"BearerAuth":[],"Other":[]}]`, "paths", "/apes", "get", "security")
	checkAt(t, doc, `null`, "paths", "/apes", "post", "security") // not annotated
	checkAt(t, doc, `"/api"`, "basePath")
	checkAt(t, doc, `null`, "host")
	checkAt(t, doc, `null`, "schemes")
	checkAt(t, doc, `{"clientId":"swagger","endSessionUrl":"`+oidc+`logout","scheme":"KeycloakAuth","scopes":["openid","profile","email"]}`, "x-keycloak")
}

func TestSwaggerDocument31(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.kc.RegisterSwagger(a, ginkeycloak.SwaggerDocument(openAPI31))
	doc := a.doc(t, "/swagger/doc.json")
	oidc := a.keycloak.Issuer() + "/protocol/openid-connect/"

	checkAt(t, doc, `{"description":"Log in at Keycloak.","flows":{"authorizationCode":{"authorizationUrl":"`+oidc+`auth",`+
		`"scopes":{"email":"your e-mail address","openid":"log in","profile":"your name"},"tokenUrl":"`+oidc+`token"}},"type":"oauth2"}`,
		"components", "securitySchemes", "KeycloakAuth")
	checkAt(t, doc, `{"bearerFormat":"JWT","description":"Paste an access token.","scheme":"bearer","type":"http"}`, "components", "securitySchemes", "BearerAuth")
	checkAt(t, doc, `[{"KeycloakAuth":[]},{"BearerAuth":[]}]`, "security")
	checkAt(t, doc, `[]`, "paths", "/apes", "get", "security") // open to everybody
	checkAt(t, doc, `[{"url":"/api"}]`, "servers")
}

// Order and numbers of a document are its author's.
func TestSwaggerDocumentKeepsItsForm(t *testing.T) {
	t.Parallel()
	a := swaggerAPI(t)
	body := a.get(t, "/swagger/doc.json", "").body
	if strings.Index(body, "/zebras") > strings.Index(body, "/apes") || !strings.Contains(body, `"maximum":9223372036854775807`) {
		t.Errorf("the document was turned over: %s", body)
	}
}

// The addresses in the document are those that browsers use, wherever the API itself reaches Keycloak.
func TestSwaggerAddresses(t *testing.T) {
	t.Parallel()
	const public = "https://sso.example.com"
	srv := keycloaktest.New(t, keycloaktest.WithIssuer(public+"/realms/demo"))
	open := keycloaktest.New(t)
	tests := []struct {
		name                 string
		opts                 []ginkeycloak.Option
		wantToken, wantOther string
		connect              string
	}{
		{
			"one address", []ginkeycloak.Option{ginkeycloak.WithServerURL(open.URL())},
			open.Issuer() + "/protocol/openid-connect/token", open.Issuer() + "/protocol/openid-connect/auth", open.URL(),
		},
		{
			"an internal address", []ginkeycloak.Option{ginkeycloak.WithServerURL(public), ginkeycloak.WithInternalURL(srv.URL())},
			public + "/realms/demo/protocol/openid-connect/token", public + "/realms/demo/protocol/openid-connect/auth", public,
		},
		{
			"discovery tells the internal address", []ginkeycloak.Option{ginkeycloak.WithServerURL(public), ginkeycloak.WithInternalURL(open.URL())},
			public + "/realms/demo/protocol/openid-connect/token", public + "/realms/demo/protocol/openid-connect/auth", public,
		},
		{
			"another token endpoint", []ginkeycloak.Option{ginkeycloak.WithServerURL(open.URL()), ginkeycloak.WithTokenURL("https://tokens.example.com/t")},
			"https://tokens.example.com/t", open.Issuer() + "/protocol/openid-connect/auth", open.URL() + " https://tokens.example.com",
		},
		{
			"an internal token endpoint", []ginkeycloak.Option{
				ginkeycloak.WithServerURL(public), ginkeycloak.WithInternalURL(srv.URL()), ginkeycloak.WithTokenURL(srv.URL() + "/realms/demo/token"),
			},
			public + "/realms/demo/token", public + "/realms/demo/protocol/openid-connect/auth", public,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPIFor(t, srv, tt.opts...)
			a.kc.RegisterSwagger(a, ginkeycloak.SwaggerDocument(swagger2))
			doc := a.doc(t, "/swagger/doc.json")
			checkAt(t, doc, `"`+tt.wantToken+`"`, "securityDefinitions", "KeycloakAuth", "tokenUrl")
			checkAt(t, doc, `"`+tt.wantOther+`"`, "securityDefinitions", "KeycloakAuth", "authorizationUrl")
			if policy := a.get(t, "/swagger/", "").header.Get("Content-Security-Policy"); !strings.Contains(policy, "connect-src 'self' "+tt.connect+";") {
				t.Errorf("Content-Security-Policy = %q, want connect-src 'self' %s", policy, tt.connect)
			}
		})
	}
}

// A discovery document does not get to send browsers to another host.
func TestSwaggerForeignEndpoint(t *testing.T) {
	t.Parallel()
	for _, member := range []string{"authorization_endpoint", "token_endpoint", "end_session_endpoint"} {
		for _, address := range []string{"https://evil.example/auth", "javascript:alert(1)", "//evil.example", "http://user@127.0.0.1/"} {
			a := swaggerAPI(t)
			a.keycloak.Fail(keycloaktest.Discovery, keycloaktest.Edited(func(body map[string]any) { body[member] = address }))
			got := a.get(t, "/swagger/doc.json", "")
			checkKind(t, member+" = "+address, got, kindDown)
			if got.code != ginkeycloak.CodeConfig || strings.Contains(got.body, "evil") {
				t.Errorf("%s = %s: %s", member, address, got.body)
			}
		}
	}
}

func TestSwaggerWhileKeycloakIsAway(t *testing.T) {
	t.Parallel()
	now := time.Now()
	srv := keycloaktest.New(t)
	a := newAPIFor(t, srv, ginkeycloak.WithClock(func() time.Time { return now }))
	a.kc.RegisterSwagger(a, ginkeycloak.SwaggerDocument(swagger2))
	srv.Fail(keycloaktest.Discovery, keycloaktest.Hangup())
	for range 20 {
		checkKind(t, "the document while Keycloak is away", a.get(t, "/swagger/doc.json", ""), kindDown)
	}
	if got := srv.Calls(keycloaktest.Discovery); got > 2 { // Go's client may repeat a request once
		t.Errorf("within a second Keycloak was asked %d times, want once", got)
	}
	if got := a.get(t, "/swagger/", ""); got.status != http.StatusOK {
		t.Errorf("the page while Keycloak is away = %d, want 200", got.status)
	}
	srv.Heal()
	now = now.Add(time.Second)
	a.doc(t, "/swagger/doc.json")
	srv.Stop() // what is known stays known
	a.doc(t, "/swagger/doc.json")
}

func TestSwaggerOptions(t *testing.T) {
	t.Parallel()
	a := swaggerAPI(t,
		ginkeycloak.WithSwaggerPrefix("/docs/v1"), ginkeycloak.WithSwaggerBasePath("/shop"), ginkeycloak.WithSwaggerClient("browser"),
		ginkeycloak.WithSwaggerScheme("Login"), ginkeycloak.WithSwaggerScopes("openid", "orders"))
	doc := a.doc(t, "/docs/v1/doc.json")
	checkAt(t, doc, `"/shop/api"`, "basePath")
	checkAt(t, doc, `{"openid":"log in","orders":""}`, "securityDefinitions", "Login", "scopes")
	checkAt(t, doc, `["openid","orders"]`, "x-keycloak", "scopes")
	checkAt(t, doc, `"browser"`, "x-keycloak", "clientId")
	for path, want := range map[string]string{"/docs/v1": "v1/", "/docs/v1/index.html": "./"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		r.Header.Set("X-Forwarded-Prefix", "/evil")
		r.Header.Set("X-Forwarded-Host", "evil.example")
		if got := a.do(t, r); got.status != http.StatusFound || got.header.Get("Location") != want {
			t.Errorf("GET %s = %d to %q, want 302 to %q", path, got.status, got.header.Get("Location"), want)
		}
	}
	if got := a.get(t, "/swagger/", ""); got.status != http.StatusUnauthorized {
		t.Errorf("GET /swagger/ where the prefix is another = %d, want 401", got.status)
	}
}

func TestSwaggerInGroup(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.kc.RegisterSwagger(a.Group("/v2"), ginkeycloak.SwaggerDocument(swagger2))
	if got := a.get(t, "/v2/swagger/", ""); got.status != http.StatusOK {
		t.Errorf("GET /v2/swagger/ = %d, want 200", got.status)
	}
	a.kc.RegisterSwagger(a.Group("/inner", a.kc.RequireRoles("admin")), ginkeycloak.SwaggerDocument(swagger2))
	checkKind(t, "the page of a group for admins", a.get(t, "/inner/swagger/", ""), kindNone)
}

func TestSwaggerNotEnabled(t *testing.T) {
	t.Parallel()
	a := &api{Engine: gin.New(), keycloak: keycloaktest.New(t)}
	a.kc = newPlugin(t, a.keycloak)
	a.kc.RegisterSwagger(a, ginkeycloak.SwaggerDocument(swagger2), ginkeycloak.WithSwaggerEnabled(false))
	for _, path := range []string{"/swagger", "/swagger/", "/swagger/doc.json", "/swagger/page.js"} {
		if got := a.get(t, path, ""); got.status != http.StatusNotFound {
			t.Errorf("GET %s = %d, want 404", path, got.status)
		}
	}
	if routes := a.Routes(); len(routes) != 0 {
		t.Errorf("routes = %v, want none", routes)
	}
}

// The page opens its own routes, for reading, and no other.
func TestSwaggerOpensOnlyItself(t *testing.T) {
	t.Parallel()
	for name, set := range engineSettings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := swaggerAPI(t)
			set(a.Engine)
			secret := func(c *gin.Context) { c.String(http.StatusOK, "crown jewels") }
			a.GET("/admin/secret", secret)
			a.GET("/swagger/secret", secret)
			a.POST("/swagger/doc.json", secret)
			a.DELETE("/swagger/", secret)
			paths := []string{"/swagger/secret", "/swagger//secret", "/swagger/./secret", "/swagger/doc.json", "/swagger/"}
			for _, trick := range pathTricks() {
				paths = append(paths, strings.ReplaceAll(trick, "/public", "/swagger"))
			}
			for _, target := range paths {
				for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
					r, err := requestFor(t, method, target)
					if err != nil {
						continue
					}
					w := httptest.NewRecorder()
					a.ServeHTTP(w, r)
					if strings.Contains(w.Body.String(), "crown jewels") {
						t.Errorf("%s %q reached a protected handler", method, target)
					}
				}
			}
		})
	}
}

// The redirect page is the same bytes for every query: nothing of a request is in it, and it sends nobody anywhere.
func TestSwaggerRedirectPageIgnoresQueries(t *testing.T) {
	t.Parallel()
	a := swaggerAPI(t)
	want := a.get(t, "/swagger/oauth2-redirect.html", "")
	for _, query := range []string{
		"?code=" + mark + "&state=" + mark, "?redirect_uri=https://evil.example/", "?//evil.example", `?/\evil.example`, "?next=%0d%0aLocation:%20https://evil.example",
		"?error=<script>alert(1)</script>", "?access_token=" + mark,
	} {
		got := a.get(t, "/swagger/oauth2-redirect.html"+query, "")
		if got.status != http.StatusOK || got.body != want.body || got.header.Get("Location") != "" || got.header.Get("Refresh") != "" {
			t.Errorf("with %s: %d, Location %q, the same page: %t", query, got.status, got.header.Get("Location"), got.body == want.body)
		}
	}
	if log := a.log.String(); strings.Contains(log, mark) {
		t.Errorf("the log has a code in it: %s", log)
	}
}

func TestSwaggerMistakes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		spec   ginkeycloak.SwaggerSpec
		opt    ginkeycloak.SwaggerOption
		reason string
	}{
		{"no document", nil, nil, "the document is nil"},
		{"not JSON", ginkeycloak.SwaggerDocument("openapi: 3.1.0"), nil, "not a JSON object"},
		{"not an object", ginkeycloak.SwaggerDocument("[]"), nil, "not a JSON object"},
		{"no version", ginkeycloak.SwaggerDocument("{}"), nil, "neither Swagger 2.0 nor OpenAPI 3"},
		{"another version", ginkeycloak.SwaggerDocument(`{"swagger":"1.2"}`), nil, "neither Swagger 2.0 nor OpenAPI 3"},
		{"members twice", ginkeycloak.SwaggerDocument(`{"swagger":"2.0","swagger":"2.0"}`), nil, "duplicate"},
		{"paths that are none", ginkeycloak.SwaggerDocument(`{"swagger":"2.0","paths":[]}`), nil, "paths"},
		{"an operation that is none", ginkeycloak.SwaggerDocument(`{"swagger":"2.0","paths":{"/a":{"get":1}}}`), nil, "path /a"},
		{"security that is none", ginkeycloak.SwaggerDocument(`{"swagger":"2.0","security":{}}`), nil, "security"},
		{"a nil option", nil, nil, "an option is nil"},
		{"prefix without a slash", nil, ginkeycloak.WithSwaggerPrefix("swagger"), "WithSwaggerPrefix(swagger)"},
		{"prefix with a slash at its end", nil, ginkeycloak.WithSwaggerPrefix("/swagger/"), "WithSwaggerPrefix"},
		{"no prefix", nil, ginkeycloak.WithSwaggerPrefix(""), "WithSwaggerPrefix"},
		{"prefix /", nil, ginkeycloak.WithSwaggerPrefix("/"), "WithSwaggerPrefix"},
		{"prefix with a parameter", nil, ginkeycloak.WithSwaggerPrefix("/:any"), "WithSwaggerPrefix"},
		{"prefix with a wildcard", nil, ginkeycloak.WithSwaggerPrefix("/*any"), "WithSwaggerPrefix"},
		{"prefix with dots", nil, ginkeycloak.WithSwaggerPrefix("/a/../b"), "WithSwaggerPrefix"},
		{"prefix of another host", nil, ginkeycloak.WithSwaggerPrefix("//evil.example"), "WithSwaggerPrefix"},
		{"base path of another host", nil, ginkeycloak.WithSwaggerBasePath("//evil.example"), "WithSwaggerBasePath"},
		{"base path that is an address", nil, ginkeycloak.WithSwaggerBasePath("https://evil.example"), "WithSwaggerBasePath"},
		{"no client", nil, ginkeycloak.WithSwaggerClient(""), "WithSwaggerClient"},
		{"the API's own client", nil, ginkeycloak.WithSwaggerClient("orders-api"), "name a public client"},
		{"no scheme", nil, ginkeycloak.WithSwaggerScheme(""), "WithSwaggerScheme"},
		{"a scheme with a space", nil, ginkeycloak.WithSwaggerScheme("Keycloak Auth"), "WithSwaggerScheme"},
		{"the other scheme", nil, ginkeycloak.WithSwaggerScheme("BearerAuth"), "WithSwaggerScheme"},
		{"no scopes", nil, ginkeycloak.WithSwaggerScopes(), "WithSwaggerScopes"},
		{"scopes in one", nil, ginkeycloak.WithSwaggerScopes("openid profile"), "WithSwaggerScopes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "ginkeycloak: RegisterSwagger: ") || !strings.Contains(got, tt.reason) {
					t.Errorf("panic = %q, want %q in it", got, tt.reason)
				}
				if got := a.get(t, "/swagger/doc.json", ""); got.status == http.StatusOK {
					t.Error("something was registered all the same")
				}
			}()
			var opts []ginkeycloak.SwaggerOption
			spec := tt.spec
			if tt.opt != nil || strings.Contains(tt.name, "option") {
				opts, spec = append(opts, tt.opt), ginkeycloak.SwaggerDocument(swagger2)
			}
			a.kc.RegisterSwagger(a, spec, opts...)
		})
	}
}

// A document may be another one for each request. One that has become unusable is the server's fault, and is logged.
func TestSwaggerDocumentIsReadEachTime(t *testing.T) {
	t.Parallel()
	document := swagger2
	a := newAPI(t)
	a.kc.RegisterSwagger(a, templated(func() string { return document }))
	document = strings.Replace(swagger2, "Orders", "Deliveries", 1)
	checkAt(t, a.doc(t, "/swagger/doc.json"), `"Deliveries"`, "info", "title")
	document = "{"
	if got := a.get(t, "/swagger/doc.json", ""); got.status != http.StatusInternalServerError || got.body != "" {
		t.Errorf("a broken document = %d %q, want 500 and nothing", got.status, got.body)
	}
	if log := a.log.String(); !strings.Contains(log, "the document for Swagger UI cannot be used") {
		t.Errorf("log = %q, want it to tell of the document", log)
	}
}

// The document names what Require… handlers ask for, once a request has shown which routes they are for.
func TestSwaggerRequirements(t *testing.T) {
	t.Parallel()
	a := swaggerAPI(t)
	ok := func(c *gin.Context) { c.Status(http.StatusNoContent) }
	admin := a.Group("/api", a.kc.RequireRoles("admin"))
	admin.GET("/zebras/:number", a.kc.RequireAnyGroup("/eng", "/ops"), ok)
	a.GET("/api/apes", a.kc.RequireClientRoles("billing", "read", "write"), ok)
	a.POST("/api/apes", a.kc.RequireRealmRoles("keeper"), a.kc.RequireScopes("apes"), ok)
	a.GET("/other", a.kc.RequireRoles("admin"), ok) // is not in the document

	before := a.doc(t, "/swagger/doc.json")
	checkAt(t, before, `"One zebra."`, "paths", "/zebras/{id}", "get", "description")
	token := a.keycloak.Token(keycloaktest.RealmRoles("admin", "keeper"))
	for _, path := range []string{"/api/zebras/1", "/api/zebras/2", "/api/apes", "/other", "/nowhere"} {
		a.get(t, path, token)
		a.get(t, path, "")
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		a.do(t, r)
	}
	doc := a.doc(t, "/swagger/doc.json")
	checkAt(t, doc, `"One zebra.\n\nRequires the role `+"`admin`. Requires one of the groups `/eng`, `/ops`."+`"`, "paths", "/zebras/{id}", "get", "description")
	checkAt(t, doc, `"Requires the roles `+"`read`, `write` of the client `billing`."+`"`, "paths", "/apes", "get", "description")
	checkAt(t, doc, `"Requires the role `+"`keeper` of the realm. Requires the scope `apes`."+`"`, "paths", "/apes", "post", "description")
}

// The refresh cookie is for the routes that take a refresh token; the page is none of them.
func TestSwaggerGetsNoRefreshCookie(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newAPIFor(t, srv, ginkeycloak.WithRefreshCookie(""))
	a.kc.RegisterSwagger(a, ginkeycloak.SwaggerDocument(swagger2))
	a.kc.RegisterRefreshRoute(a)
	w := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(w)
	a.kc.SetRefreshCookie(c, &ginkeycloak.TokenSet{RefreshToken: "x", RefreshExpiresIn: 60})
	if got := w.Header().Values("Set-Cookie"); len(got) != 1 || !strings.Contains(got[0], "Path=/auth/refresh;") {
		t.Errorf("Set-Cookie = %q, want one for /auth/refresh", got)
	}
}

func TestSwaggerCompression(t *testing.T) {
	t.Parallel()
	a := swaggerAPI(t)
	const path = "/swagger/swagger-ui-bundle.js"
	plain := a.get(t, path, "")
	tests := []struct {
		accept string
		zipped bool
	}{
		{"", false}, {"br", false}, {"gzip;q=0", false}, {"gzip; q=0.0, br", false}, {"*", false},
		{"gzip", true}, {"br, GZIP ;q=0.5", true}, {"gzip;q=1.0", true}, {"deflate, gzip, br, zstd", true},
	}
	for _, tt := range tests {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		if tt.accept != "" {
			r.Header.Set("Accept-Encoding", tt.accept)
		}
		got := a.do(t, r)
		body := []byte(got.body)
		if encoding := got.header.Get("Content-Encoding"); (encoding == "gzip") != tt.zipped {
			t.Errorf("Accept-Encoding %q: Content-Encoding %q, want gzip: %t", tt.accept, encoding, tt.zipped)
			continue
		}
		if tt.zipped {
			body = gunzip(t, body)
		}
		if !bytes.Equal(body, []byte(plain.body)) || got.header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: another file, or Vary = %q", tt.accept, got.header.Get("Vary"))
		}
		if (got.header.Get("ETag") == plain.header.Get("ETag")) == tt.zipped {
			t.Errorf("Accept-Encoding %q: ETag %s and without %s", tt.accept, got.header.Get("ETag"), plain.header.Get("ETag"))
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	r.Header.Set("If-None-Match", plain.header.Get("ETag"))
	if got := a.do(t, r); got.status != http.StatusNotModified || got.body != "" {
		t.Errorf("with its ETag: %d and %d bytes, want 304", got.status, len(got.body))
	}
}

func gunzip(t *testing.T, zipped []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func TestSwaggerHead(t *testing.T) {
	t.Parallel()
	a := swaggerAPI(t)
	server := httptest.NewServer(a)
	defer server.Close()
	for _, path := range swaggerFiles(t, a, "/swagger") {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, server.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Transport.RoundTrip(req) //nolint:bodyclose // readAnswer closes it
		if err != nil {
			t.Fatal(err)
		}
		got := readAnswer(t, resp)
		if !slices.Contains([]int{http.StatusOK, http.StatusFound}, got.status) || got.header.Get("X-Content-Type-Options") != "nosniff" || got.body != "" {
			t.Errorf("HEAD %s = %d %v, want 200 with the headers of GET", path, got.status, got.header)
		}
	}
}

func TestSwaggerAfterClose(t *testing.T) {
	t.Parallel()
	a := swaggerAPI(t)
	a.doc(t, "/swagger/doc.json")
	_ = a.kc.Close()
	checkKind(t, "the document of a closed plugin", a.get(t, "/swagger/doc.json", ""), kindDown)
}
