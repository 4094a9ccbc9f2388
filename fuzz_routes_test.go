package ginkeycloak_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
)

var publicMethods = []string{"GET", "HEAD", "POST", "OPTIONS", "TRACE", "get", "QUERY"}

// FuzzPublicRoutes asks for any target without a token, with every setting of Gin's. Only handlers of public routes run,
// and none with a path that leads out of the wildcard's folder, also for whoever unescapes it once more.
func FuzzPublicRoutes(f *testing.F) {
	for i, target := range []string{
		"/", "/public/1", "/public/%2e%2e/admin/secret", "/public/../admin/secret", "/public//admin", "//admin/secret", "/files/a/b", "/files/../admin/secret", "/files/%2e%2e/x", "/files/%252e%252e/x", "/files/..%5cx", "/files/a/.",
		"/files/%2e%2e%2fx", "/files", "/publicity/secret", "/PUBLIC/1", "/public/1/", "/admin/secret?/public/1", "http://evil.example/admin/secret", "/admin/secret%00/public/1", "*", "/files/...", "/files/.%2e/", "/;/admin/secret",
	} {
		for method := range publicMethods {
			f.Add(target, uint8(i), uint8(method))
		}
	}
	realm := new(fuzzedRealm)
	kc := realm.plugin(f, ginkeycloak.WithPublicRoutes("/", "GET /public/:id", "/files/*path"))
	f.Cleanup(func() { _ = kc.Close() })
	names := slices.Sorted(maps.Keys(engineSettings))
	engines := make([]*gin.Engine, 0, len(names))
	for _, name := range names {
		e := gin.New()
		engineSettings[name](e)
		e.Use(kc.Middleware())
		open := func(c *gin.Context) { c.String(http.StatusOK, "open") }
		below := func(c *gin.Context) { c.String(http.StatusOK, "a file") }
		secret := func(c *gin.Context) { c.String(http.StatusOK, "crown jewels") }
		e.GET("/", open)
		e.GET("/public/:id", below)
		e.Any("/files/*path", below)
		e.POST("/public/:id", secret)
		e.GET("/publicity/secret", secret)
		e.Any("/admin/*path", secret)
		e.NoRoute(secret)
		engines = append(engines, e)
	}
	f.Fuzz(func(t *testing.T, target string, setting, method uint8) {
		which := int(setting) % len(engines)
		r, err := requestFor(t, publicMethods[int(method)%len(publicMethods)], target)
		if err != nil {
			return // net/http would not let it in either
		}
		asked := r.URL.Path // Gin changes it
		w := httptest.NewRecorder()
		engines[which].ServeHTTP(w, r)
		switch body := w.Body.String(); {
		case strings.Contains(body, "crown jewels"):
			t.Errorf("%s %q with %s reached a protected handler", r.Method, target, names[which])
		case body == "a file" && leadsOut(asked):
			t.Errorf("%s %q with %s: %q leads out of the folder", r.Method, target, names[which], asked)
		}
	})
}

var percentEscape = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

// leadsOut reports whether a path has a dot segment, as it is or unescaped once more, with backslashes as slashes.
func leadsOut(urlPath string) bool {
	again := percentEscape.ReplaceAllStringFunc(urlPath, func(s string) string {
		var c byte
		if _, err := fmt.Sscanf(s, "%%%x", &c); err != nil {
			return s
		}
		return string(rune(c))
	})
	for _, p := range []string{urlPath, again} {
		for segment := range strings.SplitSeq(strings.ReplaceAll(p, `\`, "/"), "/") {
			if segment == "." || segment == ".." {
				return true
			}
		}
	}
	return false
}

// FuzzSwagger registers the page below any prefix, and asks for any target there. What is not refused at registration is
// a plain path; redirects stay on the page, and the document keeps the browser at its origin.
func FuzzSwagger(f *testing.F) {
	for _, p := range []string{
		"/swagger", "/docs/v1", "/", "", "swagger", "/swagger/", "//evil.example", `/\evil.example`, "/a//b", "/a/../b", "/a/./b", "/.", "/..", "/:id", "/*any", "/a b", "/a%2fb", "/a?b", "/a#b", "/a\r\nb", "/\tevil", "https://evil.example", "/ä", "/a.b~c_d-e", "/index.html",
	} {
		f.Add(p, "", "/", "", false)
		f.Add("/swagger", p, "/doc.json", "", true)
		f.Add("/swagger", "/shop", p, p, false)
	}
	for _, target := range []string{"/index.html", "/index.html/", "/oauth2-redirect.html?state=x&code=y", "/%2e%2e/me", "/../me", "/..%2fme", "/doc.json?x", "/page.js%00", "/page.js/", "/PAGE.JS", "//", "/%5c%5cevil.example"} {
		f.Add("/swagger", "", target, "//evil.example", false)
	}
	f.Fuzz(func(t *testing.T, prefix, basePath, target, forwarded string, openAPI bool) {
		realm := new(fuzzedRealm)
		kc := realm.plugin(t)
		defer kc.Close()
		a := &api{Engine: gin.New(), kc: kc}
		a.Use(kc.Middleware())
		a.GET("/a-protected-route", a.me)
		spec := ginkeycloak.SwaggerDocument(swagger2)
		if openAPI {
			spec = ginkeycloak.SwaggerDocument(openAPI31)
		}
		if !registers(t, a, spec, ginkeycloak.WithSwaggerPrefix(prefix), ginkeycloak.WithSwaggerBasePath(basePath)) {
			return
		}
		for _, p := range []string{prefix, basePath} {
			if p != "" && (p == "/" || path.Clean(p) != p || p[0] != '/' || strings.ContainsFunc(p, func(r rune) bool { return !strings.ContainsRune("/-._~", r) && !isAlphanumeric(r) })) {
				t.Fatalf("RegisterSwagger at %q behind %q: taken, want it refused", prefix, basePath)
			}
		}
		for _, target := range []string{prefix, prefix + "/", prefix + "/doc.json", prefix + target, target} {
			r, err := requestFor(t, http.MethodGet, target)
			if err != nil {
				continue // net/http would not let it in either
			}
			if forwarded != "" {
				r.Header["X-Forwarded-Prefix"], r.Header["X-Forwarded-Host"] = []string{forwarded}, []string{forwarded}
			}
			asked := *r.URL // Gin changes it
			got := a.do(t, r)
			if forwarded != "" && (got.status == http.StatusMovedPermanently || got.status == http.StatusTemporaryRedirect) {
				continue // Gin's own redirect, before any handler, believes X-Forwarded-Prefix
			}
			checkPage(t, got, &asked, prefix, basePath)
		}
	})
}

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// registers reports whether the page can be registered with these options.
func registers(t *testing.T, a *api, spec ginkeycloak.SwaggerSpec, opts ...ginkeycloak.SwaggerOption) (ok bool) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			if text := fmt.Sprint(r); !strings.HasPrefix(text, "ginkeycloak: RegisterSwagger: ") {
				t.Errorf("RegisterSwagger: panic: %s", text)
			}
			ok = false
		}
	}()
	a.kc.RegisterSwagger(a, spec, opts...)
	return true
}

// checkPage holds an answer of the page to its origin and to its files.
func checkPage(t *testing.T, got answer, asked *url.URL, prefix, basePath string) {
	t.Helper()
	input := fmt.Sprintf("the page at %q behind %q: GET %s", prefix, basePath, asked)
	public := "https://api.example" + basePath + asked.EscapedPath()
	if location := got.header.Get("Location"); location != "" {
		to := browsed(t, public, location)
		if to.Scheme != "https" || to.Host != "api.example" {
			t.Errorf("%s sends the browser to %q, which is %s", input, location, to)
		}
		if got.status == http.StatusFound && to.Path != basePath+prefix+"/" {
			t.Errorf("%s sends the browser to %q, which is %s, want the page", input, location, to)
		}
	}
	name, below := strings.CutPrefix(asked.Path, prefix+"/")
	files := []string{"", "page.js", "page.css", "oauth2-redirect.html", "oauth2-redirect.js", "swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png", "doc.json"}
	if isFile := below && slices.Contains(files, name); (got.status == http.StatusOK) != isFile || got.ran {
		t.Errorf("%s = %d, a handler of the API ran: %t; want 200 for the page's files and nothing else", input, got.status, got.ran)
	}
	if below && name == "doc.json" {
		checkDocument(t, input, got.body, public)
	}
}

// checkDocument looks at where the document sends the browser for the API and for the login.
func checkDocument(t *testing.T, input, body, public string) {
	t.Helper()
	var doc struct {
		Host     string
		BasePath *string
		Servers  []struct{ URL string }
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatalf("%s = %s: %v", input, body, err)
	}
	var addresses []string
	if doc.BasePath != nil {
		addresses = append(addresses, *doc.BasePath)
	}
	for _, server := range doc.Servers {
		addresses = append(addresses, server.URL)
	}
	if len(addresses) != 1 || doc.Host != "" {
		t.Errorf("%s has the API at %q of %q", input, addresses, doc.Host)
	}
	for _, address := range addresses {
		if to := browsed(t, public, address); to.Host != "api.example" || to.Scheme != "https" {
			t.Errorf("%s has the API at %q, which is %s", input, address, to)
		}
	}
}

// browsed is where a browser goes: it takes a backslash for a slash and leaves tabs and line breaks out (URL Standard
// §4.4).
func browsed(t *testing.T, from, to string) *url.URL {
	t.Helper()
	base, err := url.Parse(from)
	if err != nil {
		t.Fatal(err)
	}
	u, err := base.Parse(strings.NewReplacer(`\`, "/", "\t", "", "\r", "", "\n", "").Replace(to))
	if err != nil {
		t.Fatalf("%q has no meaning to a browser: %v", to, err)
	}
	return u
}
