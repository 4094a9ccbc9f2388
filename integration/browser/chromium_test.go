package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// patience is how long a page may take to become what a test waits for.
const patience = 30 * time.Second

// requireChromium finds the browser. Without one it skips the test, or fails it where CI=true.
func requireChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no Chromium: install the package chromium")
	}
	skipped = "no Chromium"
	t.Skip("NOT TESTED in a browser: no Chromium; install the package chromium")
	return ""
}

// tab is a page in a browser of its own, with nothing in it from elsewhere.
type tab struct {
	*testing.T
	ctx   context.Context //nolint:containedctx // it is how chromedp names a page
	proxy *proxy

	mu       sync.Mutex // guards problems and shot
	problems []string   // what this page and those it opened should not have done
	shot     int
}

// newTab opens a browser. When the test ends it fails if there was anything in the console, a violation of the
// Content-Security-Policy for example, or a request to another host.
func newTab(t *testing.T) *tab {
	t.Helper()
	p := newProxy(t)
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(requireChromium(t)),
		chromedp.NoSandbox, // the tests may run as root
		chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(1280, 1000),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("disable-features", "Translate,OptimizationHints,MediaRouter,InterestFeedContentSuggestions,AutofillServerCommunication"),
		// Everything goes through the proxy, which sees what is asked for.
		chromedp.ProxyServer(p.url),
		chromedp.Flag("proxy-bypass-list", "<-loopback>"),
	)
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	tb := &tab{T: t, proxy: p}
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithListener(tb.listen), quiet)
	tb.ctx = ctx
	if err := chromedp.Do(ctx); err != nil { // starts it, without a time limit, which it would end with
		t.Fatalf("start Chromium: %v", err)
	}
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits until the browser is gone
		cancel()
		cancelAllocator()
		tb.mu.Lock()
		defer tb.mu.Unlock()
		for _, problem := range tb.problems {
			t.Errorf("in the browser: %s", problem)
		}
		p.check(t)
	})
	return tb
}

// quiet leaves out what chromedp says of pages that are just being replaced.
var quiet = chromedp.WithErrorf(func(string, ...any) {})

func (tb *tab) listen(ev any) {
	problem := ""
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		problem = ev.ExceptionDetails.Text
		if thrown := ev.ExceptionDetails.Exception; thrown != nil {
			problem += " " + thrown.Description
		}
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning {
			said := []string{string(ev.Type)}
			for _, arg := range ev.Args {
				said = append(said, string(arg.Value), arg.Description)
			}
			problem = strings.Join(said, " ")
		}
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(ev.Request.URL)
		if err != nil || u.Host != "" && !isLocal(u) {
			problem = "a request to another host: " + ev.Request.URL
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			problem = fmt.Sprintf("%s %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
		}
	}
	if problem != "" {
		tb.mu.Lock()
		defer tb.mu.Unlock()
		tb.problems = append(tb.problems, problem)
	}
}

// expect takes console messages with this text for what a test is about.
func (tb *tab) expect(text string) {
	tb.Helper()
	tb.mu.Lock()
	defer tb.mu.Unlock()
	before := len(tb.problems)
	tb.problems = slices.DeleteFunc(tb.problems, func(p string) bool { return strings.Contains(p, text) })
	if len(tb.problems) == before {
		tb.Errorf("the console says nothing of %q", text)
	}
}

// do runs steps, each of which may take as long as patience.
func (tb *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	tb.Helper()
	for i, step := range steps {
		ctx, cancel := context.WithTimeout(tb.ctx, patience)
		err := chromedp.Do(ctx, step)
		cancel()
		if err != nil {
			tb.screenshot("failure")
			tb.Fatalf("step %d: %v", i+1, err)
		}
	}
}

// open goes to an address. Going to the one it is at is a reload.
func (tb *tab) open(address string) {
	tb.Helper()
	tb.do(chromedp.Navigate(address))
}

func (tb *tab) click(selector string) {
	tb.Helper()
	tb.Logf("click %s", selector)
	tb.do(chromedp.ScrollIntoView(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// paste writes into the field that has the focus.
func (tb *tab) paste(text string) {
	tb.Helper()
	tb.do(chromedp.Func(func(ctx context.Context, page *chromedp.Target) error {
		_, err := cdp.Call(ctx, page, input.InsertText, input.InsertTextParams{Text: text})
		return err
	}))
}

func (tb *tab) visible(selector string) {
	tb.Helper()
	tb.do(chromedp.WaitVisible(chromedp.CSS(selector)))
}

// text waits for an element and returns its text.
func (tb *tab) text(selector string) string {
	tb.Helper()
	tb.visible(selector)
	return eval[string](tb, fmt.Sprintf(`document.querySelector(%q).innerText`, selector))
}

func eval[T any](tb *tab, expression string) T {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		tb.Fatalf("%s: %v", expression, err)
	}
	return v
}

// popup runs action, which opens a window, and returns that window.
func (tb *tab) popup(action func()) *tab {
	tb.Helper()
	opened := chromedp.WaitNewTarget(tb.ctx, func(*target.Info) bool { return true })
	action()
	window := &tab{T: tb.T, proxy: tb.proxy}
	select {
	case id := <-opened:
		ctx, cancel := chromedp.NewContext(tb.ctx, chromedp.WithTargetID(id), chromedp.WithListener(tb.listen))
		tb.Cleanup(cancel)
		window.ctx = ctx
	case <-time.After(patience):
		tb.screenshot("failure")
		tb.Fatal("no window was opened")
	}
	if err := chromedp.Do(window.ctx); err != nil {
		tb.Fatalf("the window that was opened: %v", err)
	}
	return window
}

// closed waits until the window has closed itself.
func (tb *tab) closed() {
	tb.Helper()
	gone, err := chromedp.Detached(tb.ctx)
	if err != nil {
		return // it is gone already
	}
	select {
	case <-gone:
	case <-time.After(patience):
		tb.screenshot("failure")
		tb.Fatalf("the window is still open, at %s", eval[string](tb, "location.href"))
	}
}

// screenshot keeps a picture among the artefacts of the test: go test -artifacts -outputdir says where.
func (tb *tab) screenshot(name string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		tb.mu.Lock()
		tb.shot++
		name = fmt.Sprintf("%02d-%s.png", tb.shot, name)
		tb.mu.Unlock()
		err = os.WriteFile(filepath.Join(tb.ArtifactDir(), name), picture, 0o644)
	}
	if err != nil {
		tb.Logf("screenshot %s: %v", name, err)
	}
}

// proxy is between the browser and the world. It lets requests to this machine through and writes them down. Others it
// refuses: Chromium has some of its own, whatever its flags.
type proxy struct {
	url string

	mu       sync.Mutex // guards requests
	requests []*http.Request
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	p := new(proxy)
	forward := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.Out.Header.Del("X-Forwarded-For") },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r.URL) {
			http.Error(w, "another host", http.StatusForbidden)
			return
		}
		p.mu.Lock()
		p.requests = append(p.requests, r.Clone(context.Background()))
		p.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func isLocal(u *url.URL) bool { return u.Hostname() == "127.0.0.1" || u.Hostname() == "localhost" }

// check fails the test for secrets in an address.
func (p *proxy) check(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		for _, name := range []string{"code", "access_token", "refresh_token", "id_token", "token"} {
			if r.URL.Query().Has(name) {
				t.Errorf("%s in the address of %s %s", name, r.Method, r.URL)
			}
		}
		if r.Referer() != "" && strings.Contains(r.Referer(), "/swagger/") {
			t.Errorf("%s %s has the referrer %s, want none", r.Method, r.URL, r.Referer())
		}
	}
}

// last is the last request that the browser made to a path.
func (p *proxy) last(path string) *http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range slices.Backward(p.requests) {
		if r.URL.Path == path {
			return r
		}
	}
	return &http.Request{URL: new(url.URL), Header: http.Header{}}
}
