package browser_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
)

// documents are what the page is shown with.
var documents = map[string]string{
	"Swagger 2.0": "../../example/docs/swagger.json", // made by swag
	"OpenAPI 3.1": "testdata/openapi31.json",         // made by hand
}

// serveAPI serves the API that one of the documents is of, for a Keycloak, and returns its address.
func serveAPI(t *testing.T, kc *server, document string, opts ...ginkeycloak.SwaggerOption) string {
	t.Helper()
	return serve(t, kc, file(t, documents[document]), opts...)
}

// serve serves an API. The host of its address is not Keycloak's, so that to a browser they are different sites.
func serve(t *testing.T, kc *server, spec ginkeycloak.SwaggerSpec, opts ...ginkeycloak.SwaggerOption) string {
	t.Helper()
	plugin, err := ginkeycloak.New(
		ginkeycloak.WithServerURL(kc.url),
		ginkeycloak.WithRealm(kc.realm),
		ginkeycloak.WithClientID("orders-api"),
		ginkeycloak.WithClientSecret("s3cret"),
		ginkeycloak.WithLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plugin.Close() })
	router := gin.New()
	router.Use(plugin.Middleware())
	me := func(c *gin.Context) {
		user, _ := ginkeycloak.UserFromContext(c)
		c.JSON(http.StatusOK, user)
	}
	router.GET("/me", me)
	router.GET("/admin", plugin.RequireRoles("admin"), me)
	plugin.RegisterSwagger(router, spec, opts...)
	return listen(t, router)
}

func listen(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}

// allow lets Keycloak send users back to the page at an address.
func (s *server) allowPage(page string) {
	u, err := url.Parse(page)
	if err != nil {
		panic(err)
	}
	s.allow(page+"oauth2-redirect.html", u.Scheme+"://"+u.Host)
}

// The elements of Swagger UI.
const (
	authorizeButton = ".scheme-container .btn.authorize"
	dialog          = ".dialog-ux .modal-ux"
	loginButton     = dialog + ` [aria-label="Apply given OAuth2 credentials"]`
	logoutButton    = dialog + ` [aria-label="Remove authorization"]`
	doneButton      = dialog + " .btn-done"
)

func operation(path string) string { return `.opblock:has([data-path="` + path + `"])` }

// login presses Authorize and logs a user in on Keycloak's page.
func login(page *tab, user string) {
	page.Helper()
	page.click(authorizeButton)
	page.visible(dialog)
	page.screenshot("dialog")
	window := page.popup(func() { page.click(loginButton) })
	window.visible("#username")
	window.screenshot("keycloak")
	window.do(
		chromedp.SendKeys(chromedp.CSS("#username"), user),
		chromedp.SendKeys(chromedp.CSS("#password"), user),
		chromedp.Click(chromedp.CSS("#kc-login")),
	)
	window.closed()
	page.visible(logoutButton)
	page.screenshot("logged-in")
	page.click(doneButton)
}

// try calls an operation from the page and returns the status and the body that the page shows.
func try(page *tab, path string) (status, body string) {
	page.Helper()
	block := operation(path)
	if !eval[bool](page, `!!document.querySelector('`+block+` .try-out')`) {
		page.click(block + " .opblock-summary-control")
	}
	page.visible(block + " .try-out")
	if eval[bool](page, `!!document.querySelector('`+block+` .try-out__btn:not(.cancel)')`) {
		page.click(block + " .try-out__btn")
	}
	page.click(block + " .execute")
	page.visible(block + " .live-responses-table .response .response-col_status")
	page.do(
		chromedp.WaitNotPresent(chromedp.CSS(block+" .loading-container")),
		chromedp.ScrollIntoView(chromedp.CSS(block+" .live-responses-table")), // for the pictures
	)
	status = page.text(block + " .live-responses-table .response .response-col_status")
	body = page.text(block + " .live-responses-table .response .response-col_description")
	return strings.TrimSpace(status), body
}

func checkTry(page *tab, path, wantStatus, wantBody string) {
	page.Helper()
	status, body := try(page, path)
	if !strings.HasPrefix(status, wantStatus) || !strings.Contains(body, wantBody) {
		page.Errorf("GET %s shows %s %s, want %s and %q", path, status, body, wantStatus, wantBody)
	}
}

// checkAddress checks that what the login brought is in no address: neither the page's nor one that was asked for,
// which is checked when the test ends.
func checkAddress(page *tab, want string) {
	page.Helper()
	if got, _, _ := strings.Cut(eval[string](page, "location.href"), "#/"); got != want {
		page.Errorf("the page's address = %s, want %s", got, want)
	}
	if got := eval[int](page, "localStorage.length + sessionStorage.length + document.cookie.length"); got != 0 {
		page.Errorf("the page keeps %d items in storage and cookies, want nothing", got)
	}
}

func TestLogin(t *testing.T) {
	servers(t, func(t *testing.T, kc *server) {
		for document := range documents {
			t.Run(document, func(t *testing.T) {
				page := newTab(t)
				address := serveAPI(t, kc, document) + "/swagger/"
				kc.allowPage(address)
				page.open(address)
				page.visible(authorizeButton)
				page.screenshot("opened")
				checkTry(page, "/me", "401", "missing_header")
				page.expect("401 (Unauthorized)")

				page.click(authorizeButton)
				checkScopes(page)
				page.click(doneButton)
				login(page, "alice")
				checkTry(page, "/me", "200", `"name": "Alice A"`)
				page.screenshot("me")
				checkTry(page, "/admin", "200", "Alice")
				checkAddress(page, address)

				page.open(address) // a reload
				page.visible(authorizeButton)
				page.visible(`[data-path="/admin"]`)
				checkTry(page, "/me", "401", "missing_header")
				page.expect("401 (Unauthorized)")
				page.click(operation("/admin") + " .opblock-summary-control")
				if got, want := page.text(operation("/admin")+" .opblock-description"), "Requires the role admin."; !strings.Contains(got, want) {
					t.Errorf("the description of GET /admin = %q, want %q in it", got, want)
				}
				page.screenshot("reloaded")
			})
		}
	})
}

// checkScopes checks the dialog before the login: all scopes are ticked, the client is filled in, and nobody asks for a
// secret.
func checkScopes(page *tab) {
	page.Helper()
	page.visible(dialog)
	ticked := eval[[]string](page, `[...document.querySelectorAll('.dialog-ux .scopes input:checked')].map(e => e.dataset.value)`)
	if got, want := strings.Join(ticked, " "), "openid profile email"; got != want {
		page.Errorf("ticked are %q, want %q", got, want)
	}
	if got := eval[string](page, `document.querySelector('.dialog-ux [data-name=clientId]').value`); got != "swagger" {
		page.Errorf("client_id = %q, want swagger", got)
	}
	if eval[bool](page, `document.querySelector('.dialog-ux [data-name=clientSecret]').checkVisibility()`) {
		page.Error("the dialog asks for a client secret")
	}
}

func TestForbidden(t *testing.T) {
	servers(t, func(t *testing.T, kc *server) {
		page := newTab(t)
		address := serveAPI(t, kc, "OpenAPI 3.1") + "/swagger/"
		kc.allowPage(address)
		page.open(address)
		login(page, "bob")
		checkTry(page, "/admin", "403", "missing_roles")
		page.expect("403 (Forbidden)")
		page.screenshot("forbidden")
	})
}

// Logout ends the session at Keycloak too: the next login asks for a password.
func TestLogout(t *testing.T) {
	servers(t, func(t *testing.T, kc *server) {
		page := newTab(t)
		address := serveAPI(t, kc, "OpenAPI 3.1") + "/swagger/"
		kc.allowPage(address)
		page.open(address)
		login(page, "alice")
		page.click(authorizeButton)
		page.click(logoutButton)
		page.visible(loginButton)
		page.click(doneButton)
		checkTry(page, "/me", "401", "missing_header")
		page.expect("401 (Unauthorized)")
		login(page, "bob")
		checkTry(page, "/me", "200", "Bob B")
	})
}

// A token that was pasted does what a login does.
func TestPastedToken(t *testing.T) {
	kc := fakeServer(t)
	for document, field := range map[string]string{"Swagger 2.0": "#api_key_value", "OpenAPI 3.1": "#auth-bearer-value"} {
		t.Run(document, func(t *testing.T) {
			page := newTab(t)
			page.open(serveAPI(t, kc, document) + "/swagger/")
			page.click(authorizeButton)
			page.click(field)
			page.paste(token(t, kc, "alice"))
			page.click(dialog + " .auth-container:has(" + field + ") .modal-btn.authorize")
			page.click(doneButton)
			checkTry(page, "/me", "200", "Alice A")
		})
	}
}

func token(t *testing.T, kc *server, user string) string {
	t.Helper()
	form := url.Values{"grant_type": {"password"}, "client_id": {"spa"}, "username": {user}, "password": {user}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		kc.url+"/realms/"+kc.realm+"/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return accessToken(t, resp)
}

func TestKeycloakAway(t *testing.T) {
	servers(t, func(t *testing.T, kc *server) {
		page := newTab(t)
		address := serveAPI(t, kc, "OpenAPI 3.1") + "/swagger/"
		kc.allowPage(address)
		kc.stop()
		page.open(address)
		if got, want := page.text("#notice"), "Keycloak"; !strings.Contains(got, want) {
			t.Errorf("the page says %q, want something about %s", got, want)
		}
		page.screenshot("away")
		kc.restart()
		page.visible(authorizeButton)
		if eval[bool](page, `document.getElementById("notice").checkVisibility()`) {
			t.Error("the page still says that Keycloak is away")
		}
		page.expect("503 (Service Unavailable)")
		login(page, "alice")
		checkTry(page, "/me", "200", "Alice A")
	})
}

// A proxy in front takes a prefix off. It tells nobody, as many do not.
func TestBehindProxy(t *testing.T) {
	servers(t, func(t *testing.T, kc *server) {
		inner, err := url.Parse(serveAPI(t, kc, "Swagger 2.0", ginkeycloak.WithSwaggerBasePath("/shop"), ginkeycloak.WithSwaggerPrefix("/docs")))
		if err != nil {
			t.Fatal(err)
		}
		outer := listen(t, http.StripPrefix("/shop", &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(inner) },
		}))
		page := newTab(t)
		address := outer + "/shop/docs/"
		kc.allowPage(address)
		page.open(outer + "/shop/docs") // redirected
		page.visible(authorizeButton)
		checkAddress(page, address)
		login(page, "alice")
		checkTry(page, "/me", "200", "Alice A")
	})
}

// The redirect page hands nothing on that no login of this page asked for.
func TestStrayRedirect(t *testing.T) {
	kc := fakeServer(t)
	address := serveAPI(t, kc, "OpenAPI 3.1") + "/swagger/"
	tests := []struct{ name, query string }{
		{"a code that nobody asked for", "#state=1&code=stolen"},
		{"a token", "#access_token=stolen&state=1"},
		{"somewhere else to go", "#redirect_uri=https://evil.example/&state=1&code=1"},
		{"a path of another host", "#//evil.example/"},
		{"a script", "#error=<img src=x onerror=alert(1)>&error_description=javascript:alert(1)"},
		{"nothing", ""},
	}
	page := newTab(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			page.open("about:blank")
			page.open(address + "oauth2-redirect.html" + tt.query)
			if got, want := page.text("#notice"), "No login was begun"; !strings.Contains(got, want) {
				t.Errorf("the page says %q, want %q", got, want)
			}
			if got, want := eval[string](page, "location.href"), address+"oauth2-redirect.html"; got != want {
				t.Errorf("the address is %s, want %s", got, want)
			}
		})
	}
}

// An answer with another state than the page sent is somebody else's login: its code is not used.
func TestWrongState(t *testing.T) {
	page := newTab(t)
	address := serveAPI(t, fakeServer(t), "OpenAPI 3.1") + "/swagger/"
	page.open(address)
	page.click(authorizeButton)
	window := page.popup(func() { page.click(loginButton) })
	window.visible("#username")
	eval[string](window, `location = "`+address+`oauth2-redirect.html#state=another&code=stolen"`)
	if got, want := page.text(dialog+" .errors"), "does not belong to this login"; !strings.Contains(got, want) {
		t.Errorf("the dialog says %q, want %q", got, want)
	}
	page.screenshot("wrong-state")
	time.Sleep(200 * time.Millisecond) // for a request that must not come
	if r := page.proxy.last("/realms/demo/protocol/openid-connect/token"); r.Method != "" {
		t.Errorf("the code was used: %s %s", r.Method, r.URL)
	}
}

// Each login sends a state of its own, and asks for the code where no server sees it.
func TestAuthorizationRequest(t *testing.T) {
	page := newTab(t)
	page.open(serveAPI(t, fakeServer(t), "OpenAPI 3.1") + "/swagger/")
	page.click(authorizeButton)
	states := map[string]bool{}
	for range 2 {
		window := page.popup(func() { page.click(loginButton) })
		window.visible("#username")
		query := page.proxy.last("/realms/demo/protocol/openid-connect/auth").URL.Query()
		for name, want := range map[string]string{
			"response_type": "code", "response_mode": "fragment", "code_challenge_method": "S256", "client_id": "swagger",
			"scope": "openid profile email",
		} {
			if query.Get(name) != want {
				t.Errorf("%s = %q, want %q", name, query.Get(name), want)
			}
		}
		if state := query.Get("state"); len(state) < 32 || states[state] {
			t.Errorf("state = %q, want a long one that was not sent before", state)
		}
		states[query.Get("state")] = true
	}
}
