package browser_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// lifespan is that of access tokens in these tests, so short that they expire in one.
const lifespan = 3 * time.Second

// cookiePages are the page of example/cookie with the Keycloaks that it is tested with.
func cookiePages(t *testing.T, test func(t *testing.T, address string)) {
	t.Helper()
	t.Run("fake", func(t *testing.T) {
		kc := keycloaktest.New(t, keycloaktest.WithTokenLifespan(lifespan))
		for _, host := range []string{"localhost", "127.0.0.1"} { // to Chromium, both are as good as HTTPS
			t.Run(host, func(t *testing.T) { test(t, cookieProgram(t, kc.URL(), host)) })
		}
	})
	t.Run("keycloak", func(t *testing.T) {
		kc := realKeycloak(t)
		address := cookieProgram(t, kc.url, "localhost")
		if err := running.Admin().AddRedirectURIs(t.Context(), "spa", address); err != nil {
			t.Fatal(err)
		}
		setLifespan(t.Context(), t, lifespan)
		t.Cleanup(func() { setLifespan(context.Background(), t, 5*time.Minute) })
		test(t, address)
	})
}

func setLifespan(ctx context.Context, t *testing.T, d time.Duration) {
	t.Helper()
	if err := running.Admin().UpdateRealm(ctx, map[string]any{"accessTokenLifespan": int(d.Seconds())}); err != nil {
		t.Fatal(err)
	}
}

// cookieBinary builds example/cookie, once. TestMain removes it.
var cookieBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "cookie")
	if err != nil {
		return "", err
	}
	leftovers = append(leftovers, dir)
	build := exec.CommandContext(context.Background(), "go", "build", "-o", dir, "./example/cookie")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build example/cookie: %w\n%s", err, out)
	}
	return filepath.Join(dir, "cookie"), nil
})

// cookieProgram runs example/cookie until the test ends, and returns the address of its page.
func cookieProgram(t *testing.T, keycloakURL, host string) string {
	t.Helper()
	requireChromium(t)
	binary, err := cookieBinary()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()

	ctx, stop := context.WithCancel(context.Background())
	program := exec.CommandContext(ctx, binary)
	program.Env = append(os.Environ(), "KEYCLOAK_URL="+keycloakURL, "ADDR=127.0.0.1:"+port, "GIN_MODE=release")
	program.Stdout, program.Stderr = t.Output(), t.Output()
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = program.Wait() // it was killed
	})
	await(t, "the program to listen", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return "http://" + host + ":" + port + "/app/"
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// checkStatus waits until the page says who is logged in.
func checkStatus(page *tab, want string) {
	page.Helper()
	got := ""
	page.visible("#status")
	await(page.T, "the page to say "+want, func() bool {
		got = eval[string](page, `document.getElementById("status").innerText`)
		return got == want
	})
}

// logInAtKeycloak presses the button, and fills in Keycloak's page, which takes the place of the program's.
func logInAtKeycloak(page *tab, user string) {
	page.Helper()
	page.click("#login")
	page.visible("#username")
	page.screenshot("keycloak")
	page.do(
		chromedp.SendKeys(chromedp.CSS("#username"), user),
		chromedp.SendKeys(chromedp.CSS("#password"), user),
		chromedp.Click(chromedp.CSS("#kc-login")),
	)
	page.visible("#logout")
}

// sent are the requests that the browser made with a method to an address that ends so.
func (p *proxy) sent(method, suffix string) []*http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []*http.Request
	for _, r := range p.requests {
		if r.Method == method && strings.HasSuffix(r.URL.Path, suffix) {
			found = append(found, r)
		}
	}
	return found
}

// bearer is the token of the last call to the API, and when it expires.
func (p *proxy) bearer(t *testing.T) (token string, expires time.Time) {
	t.Helper()
	token = strings.TrimPrefix(p.last("/me").Header.Get("Authorization"), "Bearer ")
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("the last GET /me had no token")
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var times struct {
		Exp int64 `json:"exp"`
	}
	if err := json.Unmarshal(claims, &times); err != nil {
		t.Fatal(err)
	}
	return token, time.Unix(times.Exp, 0)
}

// post has the page send a request as an injected script would, and returns status and body.
func post(page *tab, path string) (status, body string) {
	page.Helper()
	ctx, cancel := context.WithTimeout(page.ctx, patience)
	defer cancel()
	script := `fetch("` + path + `", {method: "POST"}).then(async r => r.status + "  " + await r.text())`
	answer, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		page.Fatalf("POST %s: %v", path, err)
	}
	status, body, _ = strings.Cut(answer, "  ")
	return status, body
}

// checkNothingKept checks that scripts find no token where they could find it after a reload, or in the page.
func checkNothingKept(page *tab, address string) {
	page.Helper()
	checkAddress(page, address)
	for _, name := range []string{"indexedDB.databases()", "caches.keys()"} {
		ctx, cancel := context.WithTimeout(page.ctx, patience)
		n, err := chromedp.Run(ctx, chromedp.Evaluate[int](name+".then(all => all.length)", chromedp.EvalAwaitPromise))
		cancel()
		if err != nil || n != 0 {
			page.Errorf("%s has %d entries, %v, want none", name, n, err)
		}
	}
	if strings.Contains(eval[string](page, "document.documentElement.outerHTML"), "eyJ") {
		page.Error("there is a token in the document")
	}
}

// The life of a session in the page of example/cookie.
func TestCookieSession(t *testing.T) {
	cookiePages(t, func(t *testing.T, address string) {
		page := newTab(t)
		page.open(address)
		checkStatus(page, "You are not logged in.")
		page.expect("400 (Bad Request)") // of POST /auth/refresh: no script can know that there is no cookie

		logInAtKeycloak(page, "alice")
		checkStatus(page, "You are Alice A.")
		page.screenshot("logged-in")
		checkNothingKept(page, address)
		if login := page.proxy.last("/auth/login"); len(login.Cookies()) > 0 {
			t.Errorf("POST /auth/login had %d cookies, want them for refresh and logout only", len(login.Cookies()))
		}

		first, expires := page.proxy.bearer(t)
		refreshed := len(page.proxy.sent(http.MethodPost, "/auth/refresh"))
		await(t, "the token to expire", func() bool {
			return time.Now().After(expires) && eval[bool](page, "Date.now() >= expiresAt") // which it counts from when it asked
		})
		page.click("#me")
		await(t, "a call with a new token", func() bool { second, _ := page.proxy.bearer(t); return second != first })
		checkStatus(page, "You are Alice A.")
		if got := len(page.proxy.sent(http.MethodPost, "/auth/refresh")) - refreshed; got != 1 {
			t.Errorf("after the token expired there were %d refreshes, want 1", got)
		}
		checkRefreshToken(page)

		page.open(address) // a reload
		page.visible("#logout")
		checkStatus(page, "You are Alice A.")
		if got := len(page.proxy.sent(http.MethodGet, "/openid-connect/auth")); got != 1 {
			t.Errorf("the browser was sent to Keycloak %d times, want once, for the first login", got)
		}

		page.click("#logout")
		checkStatus(page, "You are not logged in.")
		if status, body := post(page, "/auth/refresh"); status != "400" {
			t.Errorf("POST /auth/refresh after the logout = %s %s, want 400", status, body)
		}
		page.open(address)
		checkStatus(page, "You are not logged in.")
		page.expect("400 (Bad Request)")
		checkNothingKept(page, address)

		logInAtKeycloak(page, "bob") // Keycloak asks for a password again: its session ended, too
		checkStatus(page, "You are Bob B.")
	})
}

// checkRefreshToken asks for tokens as an injected script would, and looks for the refresh token that the cookie has.
func checkRefreshToken(page *tab) {
	page.Helper()
	status, body := post(page, "/auth/refresh")
	cookies := page.proxy.last("/auth/refresh").Cookies()
	if len(cookies) != 1 || cookies[0].Value == "" {
		page.Fatalf("POST /auth/refresh had %d cookies, want one", len(cookies))
	}
	if status != "200" || !strings.Contains(body, `"access_token":"`) || strings.Contains(body, "refresh_token") {
		page.Errorf("POST /auth/refresh = %s, want 200, an access token and no refresh token", status)
	}
	everything := eval[string](page, `JSON.stringify(localStorage) + JSON.stringify(sessionStorage) +
		document.documentElement.outerHTML + accessToken`)
	if strings.Contains(everything, cookies[0].Value) {
		page.Error("a script can read the refresh token")
	}
	checkCookies(page)
}

// checkCookies asks the browser what it made of the cookies: a script can open a window at their paths, where nothing but
// HttpOnly keeps them from it.
func checkCookies(page *tab) {
	page.Helper()
	var paths []string
	page.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		all, err := cdp.Call(ctx, target, storage.GetCookies, storage.GetCookiesParams{})
		if err != nil {
			return err
		}
		for _, c := range all.Cookies {
			if c.Name != "refresh_token" {
				continue // Keycloak's, which is on this machine too
			}
			paths = append(paths, c.Path)
			if !c.HTTPOnly || !c.Secure || c.SameSite != network.CookieSameSiteStrict {
				page.Errorf("the cookie for %s has HttpOnly %t, Secure %t, SameSite %s", c.Path, c.HTTPOnly, c.Secure, c.SameSite)
			}
		}
		return nil
	}))
	slices.Sort(paths)
	if got, want := strings.Join(paths, " "), "/auth/logout /auth/refresh"; got != want {
		page.Errorf("the browser keeps cookies for %q, want %q", got, want)
	}
}

// A page that comes back with a login that it did not begin uses nothing of it.
func TestCookieStrayCode(t *testing.T) {
	page := newTab(t)
	address := cookieProgram(t, keycloaktest.New(t).URL(), "localhost")
	for _, answer := range []string{"#state=1&code=stolen", "#code=stolen", "#state=undefined&code=stolen"} {
		page.open("about:blank")
		page.open(address + answer)
		checkStatus(page, "You are not logged in.")
		page.expect("400 (Bad Request)")
		checkNothingKept(page, address)
	}
	if got := len(page.proxy.sent(http.MethodPost, "/auth/login")); got != 0 {
		t.Errorf("a code was handed on %d times, want never", got)
	}
}

// The page's policy stops scripts that it did not bring.
func TestCookiePolicy(t *testing.T) {
	page := newTab(t)
	page.open(cookieProgram(t, keycloaktest.New(t).URL(), "localhost"))
	checkStatus(page, "You are not logged in.")
	page.expect("400 (Bad Request)")
	if eval[bool](page, `(() => {
		const script = document.createElement("script");
		script.textContent = "window.injected = true";
		document.body.append(script);
		return "injected" in window;
	})()`) {
		t.Error("an injected script ran")
	}
	await(t, "the console to say so", func() bool {
		page.mu.Lock()
		defer page.mu.Unlock()
		return len(page.problems) > 0
	})
	page.expect("Content Security Policy")
}
