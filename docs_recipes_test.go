package ginkeycloak_test

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedTestsPass runs the tests that the recipes show, and recipes of several lines with a test that is written here.
// All of them are one package, since what takes long is to link it.
func TestDocumentedTestsPass(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"test", "-v"}
	add := func(name, text string) {
		args = append(args, write(t, dir, name, strings.Replace(text, "package api\n", "package snippet\n", 1)))
	}
	want := []string{}
	for i, s := range snippets(t, "docs/recipes.md", "go") {
		if name := testFunc.FindStringSubmatch(s.text); name != nil {
			want = append(want, name[1])
			add(fmt.Sprintf("snippet%d_test.go", i), compilable(t, s))
		}
		for start, test := range recipes {
			if strings.Contains(s.text, start) {
				want = append(want, testFunc.FindStringSubmatch(test)[1])
				add(fmt.Sprintf("recipe%d.go", i), s.text)
				add(fmt.Sprintf("recipe%d_test.go", i), test)
			}
		}
	}
	if len(want) < 3+len(recipes) {
		t.Errorf("docs/recipes.md shows the tests and recipes %q, want at least three tests and %d recipes", want, len(recipes))
	}
	out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput()
	if err != nil {
		t.Errorf("the tests and recipes of docs/recipes.md: %v\n%s", err, out)
	}
	for _, name := range want {
		if !strings.Contains(string(out), "--- PASS: "+name) {
			t.Errorf("%s of docs/recipes.md did not pass:\n%s", name, out)
		}
	}
	if readme := snippets(t, "README.md", "go"); !strings.Contains(read(t, "docs/recipes.md"), readme[len(readme)-1].text) {
		t.Error("the test that README.md shows is not the one of docs/recipes.md")
	}
}

var testFunc = regexp.MustCompile(`(?m)^func (Test\w+)`)

// recipes are tests for recipes, by a line of the recipe.
var recipes = map[string]string{
	"func Talk(ctx context.Context, kc *ginkeycloak.Plugin, socket Socket": `package api

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

func TestTalk(t *testing.T) {
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
	if err := Talk(t.Context(), kc, newPipe(token, "hello"), handle); !errors.Is(err, io.EOF) {
		t.Errorf("Talk = %v, want the end of the connection", err)
	}
	if len(got) != 1 || got[0] != "alice: hello" {
		t.Errorf("handled %q, want alice's hello", got)
	}
	if took := time.Since(begin); took < time.Second || took > 30*time.Second {
		t.Errorf("the connection lasted %v, want until the token expires", took)
	}
	if err := Talk(t.Context(), kc, newPipe("nonsense", "hello"), handle); !errors.Is(err, ginkeycloak.ErrMalformedToken) || len(got) != 1 {
		t.Errorf("Talk with a bad token = %v, handled %q, want ErrMalformedToken and no more", err, got)
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
