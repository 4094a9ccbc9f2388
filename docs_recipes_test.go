package ginkeycloak_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocumentedTestsPass runs the tests that the documents show, and some recipes with a test that is written here.
func TestDocumentedTestsPass(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"README.md", "docs/recipes.md"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var files []string
			for i, s := range snippets(t, file, "go") {
				if strings.Contains(s.text, "func Test") {
					files = append(files, write(t, dir, fmt.Sprintf("snippet%d_test.go", i), compilable(t, s)))
				}
			}
			if len(files) == 0 {
				t.Fatalf("%s shows no tests", file)
			}
			passes(t, files...)
		})
	}
	for start, test := range recipes {
		t.Run(strings.Trim(start, "\n"), func(t *testing.T) {
			t.Parallel()
			for _, s := range snippets(t, "docs/recipes.md", "go") {
				if !strings.Contains(s.text, start) {
					continue
				}
				dir := t.TempDir()
				passes(t, write(t, dir, "recipe.go", s.text), write(t, dir, "recipe_test.go", test))
				return
			}
			t.Errorf("docs/recipes.md has no recipe with %q", start)
		})
	}
}

// passes runs the tests in files of one package.
func passes(t *testing.T, files ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"test", "-v"}, files...)...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: Test") {
		t.Errorf("go test %s: %v\n%s", filepath.Base(files[0]), err, out)
	}
}

// recipes are tests for recipes, by a line of the recipe.
var recipes = map[string]string{
	"func Serve(ctx context.Context, kc *ginkeycloak.Plugin, socket Socket": `package chat

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// pipe is a socket with messages to read; when there are no more, it waits to be closed.
type pipe struct {
	messages chan string
	once     sync.Once
	closed   chan struct{}
}

func newPipe(messages ...string) *pipe {
	p := &pipe{messages: make(chan string, len(messages)), closed: make(chan struct{})}
	for _, m := range messages {
		p.messages <- m
	}
	return p
}

func (p *pipe) ReadMessage() (int, []byte, error) {
	select {
	case m := <-p.messages:
		return 1, []byte(m), nil
	default:
	}
	<-p.closed
	return 0, nil, io.EOF
}

func (p *pipe) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

func TestServe(t *testing.T) {
	idp := keycloaktest.New(t)
	kc, err := ginkeycloak.New(ginkeycloak.WithServerURL(idp.URL()), ginkeycloak.WithRealm(idp.Realm()), ginkeycloak.WithClientID("orders-api"), ginkeycloak.WithLeeway(0))
	if err != nil {
		t.Fatal(err)
	}
	defer kc.Close()
	var got []string
	handle := func(ctx context.Context, message []byte) {
		user, _ := ginkeycloak.UserFromContext(ctx)
		got = append(got, user.Username+": "+string(message))
	}
	begin := time.Now()
	token := idp.Token(keycloaktest.ForUser("alice"), keycloaktest.ExpiresIn(3*time.Second))
	if err := Serve(t.Context(), kc, newPipe(token, "hello"), handle); !errors.Is(err, io.EOF) {
		t.Errorf("Serve = %v, want the end of the connection", err)
	}
	if len(got) != 1 || got[0] != "alice: hello" {
		t.Errorf("handled %q, want alice's hello", got)
	}
	if took := time.Since(begin); took < time.Second || took > 10*time.Second {
		t.Errorf("the connection lasted %v, want until the token expires", took)
	}
	if err := Serve(t.Context(), kc, newPipe("nonsense", "hello"), handle); !errors.Is(err, ginkeycloak.ErrMalformedToken) || len(got) != 1 {
		t.Errorf("Serve with a bad token = %v, handled %q, want ErrMalformedToken and no more", err, got)
	}
}
`,
	"func Serve(ctx context.Context, server *http.Server": `package api

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

func TestServe(t *testing.T) {
	idp := keycloaktest.New(t)
	kc, err := ginkeycloak.New(ginkeycloak.WithServerURL(idp.URL()), ginkeycloak.WithRealm(idp.Realm()), ginkeycloak.WithClientID("orders-api"))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	ctx, stop := context.WithCancel(t.Context())
	under := make(chan struct{})
	finished := make(chan error, 1)
	server := &http.Server{Addr: address, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(under)
		time.Sleep(200 * time.Millisecond)
		_, err := kc.Authenticate(context.Background(), idp.Token())
		finished <- err
	})}
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, server, kc) }()
	go func() {
		for { // until the server listens
			if answer, err := http.Get("http://" + address); err == nil {
				answer.Body.Close()
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	<-under
	stop()
	if err := <-served; err != nil {
		t.Errorf("Serve = %v, want none", err)
	}
	if err := <-finished; err != nil {
		t.Errorf("a request under way was refused: %v", err)
	}
	if _, err := kc.Authenticate(t.Context(), idp.Token()); err == nil {
		t.Error("the plugin is not closed")
	}
}
`,
}
