package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/bench/stand"
)

// serveCommand is the argument that makes this program a server.
const serveCommand = "serve"

// The kinds of servers.
const (
	plain  = "plain"  // Gin and nothing else
	bare   = "bare"   // with one check of an RSA signature for each request
	plugin = "plugin" // with the library
)

// Paths of the server.
const (
	protected = "/order"
	public    = "/health"
)

// setup is how a server is set up. What is not set is the library's default.
type setup struct {
	kind     string
	key      *rsa.PublicKey // of bare
	keycloak string         // of plugin
	realm    string
	forgets  bool          // no token cache
	keyCache time.Duration // WithKeyCache
	profile  string        // the file for a CPU profile
}

// args writes the set-up as arguments of serve.
func (s setup) args() []string {
	args := []string{
		serveCommand, "-kind", s.kind, "-keycloak", s.keycloak, "-realm", s.realm, "-profile", s.profile,
		"-key-cache", s.keyCache.String(),
	}
	if s.forgets {
		args = append(args, "-forgets")
	}
	if s.key != nil {
		args = append(args, "-key", base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(s.key)))
	}
	return args
}

func parseSetup(args []string) (setup, error) {
	var s setup
	f := flag.NewFlagSet(serveCommand, flag.ContinueOnError)
	f.StringVar(&s.kind, "kind", "", "plain, bare or plugin")
	f.StringVar(&s.keycloak, "keycloak", "", "Keycloak's address")
	f.StringVar(&s.realm, "realm", "", "the realm")
	f.BoolVar(&s.forgets, "forgets", false, "remember no tokens")
	f.DurationVar(&s.keyCache, "key-cache", 0, "how long keys are kept")
	f.StringVar(&s.profile, "profile", "", "the file for a CPU profile")
	f.Func("key", "the public key, PKCS #1 in base64", func(text string) error {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return err
		}
		s.key, err = x509.ParsePKCS1PublicKey(der)
		return err
	})
	err := f.Parse(args)
	return s, err
}

// serve is the server's process. It says where it listens, and ends with its input.
func serve(args []string, in io.Reader, out io.Writer) (err error) {
	s, err := parseSetup(args)
	if err != nil {
		return err
	}
	engine, closeEngine, err := s.engine()
	if err != nil {
		return err
	}
	defer closeEngine()
	defer stand.Hold()()
	stopProfile, err := startProfile(s.profile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopProfile()) }()

	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: engine, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	_, _ = fmt.Fprintf(out, "http://%s\n", listener.Addr()) // if nobody reads it, the input ends, too
	_, _ = io.Copy(io.Discard, in)                          // until whoever started this closes it, or is gone
	_ = server.Close()
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// startProfile writes a CPU profile into a file until it is stopped, if there is to be one.
func startProfile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}

// engine is an API as a program would set it up. All kinds have the same handlers.
func (s setup) engine() (engine *gin.Engine, closeEngine func(), err error) {
	gin.SetMode(gin.ReleaseMode)
	engine = gin.New()
	closeEngine = func() {}
	switch s.kind {
	case plain:
	case bare:
		if s.key == nil {
			return nil, nil, errors.New("serve: a bare check needs a key")
		}
		engine.Use(bareCheck(s.key))
	case plugin:
		kc, err := ginkeycloak.New(s.options()...)
		if err != nil {
			return nil, nil, err
		}
		closeEngine = func() { _ = kc.Close() } // returns nil
		engine.Use(kc.Middleware())
	default:
		return nil, nil, fmt.Errorf("serve: there is no kind %q", s.kind)
	}
	answer := func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"id": 17, "status": "paid"}) }
	engine.GET(protected, answer)
	engine.GET(public, answer)
	return engine, closeEngine, nil
}

func (s setup) options() []ginkeycloak.Option {
	opts := []ginkeycloak.Option{
		ginkeycloak.WithServerURL(s.keycloak),
		ginkeycloak.WithRealm(s.realm),
		ginkeycloak.WithClientID("orders-api"),
		ginkeycloak.WithPublicRoutes("GET " + public),
	}
	if s.forgets {
		opts = append(opts, ginkeycloak.WithTokenCache(0, 0))
	}
	if s.keyCache != 0 {
		opts = append(opts, ginkeycloak.WithKeyCache(s.keyCache))
	}
	return opts
}

// bareCheck is the least that a check of a token can be: its RS256 signature, with a key that is at hand. What the
// token says is not even read.
func bareCheck(key *rsa.PublicKey) gin.HandlerFunc {
	return func(c *gin.Context) {
		token, _ := strings.CutPrefix(c.Request.Header.Get("Authorization"), "Bearer ")
		dot := strings.LastIndexByte(token, '.')
		if dot < 0 {
			c.AbortWithStatus(http.StatusUnauthorized)
			return
		}
		signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
		if err != nil {
			c.AbortWithStatus(http.StatusUnauthorized)
			return
		}
		hash := sha256.Sum256([]byte(token[:dot]))
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, hash[:], signature) != nil {
			c.AbortWithStatus(http.StatusUnauthorized)
		}
	}
}

// process is a server that runs.
type process struct {
	url    string
	cmd    *exec.Cmd
	in     io.Closer
	stderr *bytes.Buffer
}

// startServer runs this program once more, as a server.
func startServer(ctx context.Context, s setup) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, self, s.args()...), stderr: new(bytes.Buffer)}
	p.cmd.Stderr = p.stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.in = in
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(errors.New("the server did not start"), p.stop())
	}
	p.url = strings.TrimSpace(line)
	return p, nil
}

// stop ends the server. What it logged is told if it did not end well.
func (p *process) stop() error {
	_ = p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("server: %w: %s", err, p.stderr)
	}
	return nil
}
