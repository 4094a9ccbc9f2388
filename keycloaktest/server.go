package keycloaktest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is a fake Keycloak with one realm. [New] makes one for a test, [Start] one for a program. All methods may be
// called from several goroutines at once.
type Server struct {
	tb        TB
	realm     string
	basePath  string
	issuer    string
	algorithm string
	lifespan  time.Duration
	now       func() time.Time
	clients   map[string]Client
	users     map[string]User

	url      string // without the base path
	addr     string // what Restart listens on; empty if in memory only
	tls      *tls.Config
	roots    *x509.CertPool
	secret   []byte // signs refresh tokens
	secretID string

	mu     sync.Mutex // guards all below
	keys   keySet
	faults map[Endpoint]Fault
	calls  map[Endpoint]int
	hook   func(Endpoint, *http.Request)
	state  state
	up     bool

	life    sync.Mutex // one Stop or Restart at a time; guards serving
	serving *serving
}

// TB is the part of testing.TB that a Server needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// New starts a server that is closed when the test ends. Whatever it cannot do ends the test.
func New(tb TB, opts ...Option) *Server {
	tb.Helper()
	s, err := start(tb, opts)
	if err != nil {
		tb.Fatalf("keycloaktest: %v", err)
	}
	tb.Cleanup(s.Close)
	return s
}

// Start starts a server for a program, which has to close it. A method that would end a test, such as ForUser with an
// unknown name, panics.
func Start(opts ...Option) (*Server, error) {
	s, err := start(panics{}, opts)
	if err != nil {
		return nil, fmt.Errorf("keycloaktest: %w", err)
	}
	return s, nil
}

// panics stands in for a test.
type panics struct{}

func (panics) Helper()                           {}
func (panics) Cleanup(func())                    {}
func (panics) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func start(tb TB, opts []Option) (*Server, error) {
	c, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	keys, err := newKeySet(c.algorithm)
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	s := &Server{
		tb: tb, realm: c.realm, basePath: c.basePath, algorithm: c.algorithm, lifespan: c.lifespan, now: c.now,
		keys: keys, faults: map[Endpoint]Fault{}, calls: map[Endpoint]int{}, state: newState(), up: true,
		secret: make([]byte, 64), secretID: newUUID(),
	}
	_, _ = rand.Read(s.secret) // never fails, by its documentation
	s.register(c)
	if err := s.secure(c.tls); err != nil {
		return nil, fmt.Errorf("make certificates: %w", err)
	}
	listener, err := s.open(c)
	if err != nil {
		return nil, err
	}
	s.issuer = c.issuer
	if s.issuer == "" {
		s.issuer = s.URL() + "/realms/" + s.realm
	}
	if listener != nil {
		s.serving = s.serve(listener)
	}
	return s, nil
}

// open finds the address and listens on it, unless everything stays in memory.
func (s *Server) open(c config) (net.Listener, error) {
	scheme := "http"
	if s.tls != nil {
		scheme = "https"
	}
	if c.inMemory {
		s.url = scheme + "://keycloak.test"
		return nil, nil
	}
	host, _, err := net.SplitHostPort(c.addr)
	if err != nil {
		return nil, fmt.Errorf("WithAddr(%q): %w", c.addr, err)
	}
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	s.addr = listener.Addr().String()
	_, port, _ := net.SplitHostPort(s.addr) // an address of a TCP listener always has a port
	s.url = scheme + "://" + net.JoinHostPort(host, port)
	return listener, nil
}

// serving is one run of the HTTP server, between Restart and Stop.
type serving struct {
	http   *http.Server
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex // guards closed, and Add against Wait
	closed  bool
	handler sync.WaitGroup
}

func (s *Server) serve(listener net.Listener) *serving {
	ctx, cancel := context.WithCancel(context.Background())
	run := &serving{cancel: cancel, done: make(chan struct{})}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // Hangup and Truncated are about connections, which HTTP/2 shares
	run.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !run.enter() {
				panic(http.ErrAbortHandler)
			}
			defer run.handler.Done()
			s.handle(w, r)
		}),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(io.Discard, "", 0), // TLS failures are what some tests are after
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         s.tls,
	}
	if s.tls != nil {
		listener = tls.NewListener(listener, s.tls)
	}
	go func() {
		defer close(run.done)
		_ = run.http.Serve(listener) // ends with http.ErrServerClosed
	}()
	return run
}

func (r *serving) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.handler.Add(1)
	}
	return !r.closed
}

// close ends the listener, every connection and every handler.
func (r *serving) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	_ = r.http.Close()
	<-r.done
	r.handler.Wait()
}

// Close ends the server with all its connections. It can be repeated.
func (s *Server) Close() { s.Stop() }

// Stop closes the listener and all connections: from now on connections are refused, by Transport too.
// Sessions, keys and faults stay.
func (s *Server) Stop() {
	s.life.Lock()
	defer s.life.Unlock()
	s.setUp(false)
	if s.serving == nil {
		return
	}
	s.serving.close()
	s.serving = nil
}

// Restart undoes Stop, on the same port. It ends the test if the port is taken meanwhile.
func (s *Server) Restart() {
	s.tb.Helper()
	s.life.Lock()
	defer s.life.Unlock()
	if s.serving == nil && s.addr != "" {
		listener, err := net.Listen("tcp", s.addr)
		if err != nil {
			s.tb.Fatalf("keycloaktest: restart: %v", err)
		}
		s.serving = s.serve(listener)
	}
	s.setUp(true)
}

func (s *Server) setUp(up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up = up
}

// URL is where the server is reached, base path included and without a slash at the end: the server URL of a client's
// configuration.
func (s *Server) URL() string { return s.url + s.basePath }

// Realm is the name of the realm.
func (s *Server) Realm() string { return s.realm }

// Issuer is the iss of the realm's tokens.
func (s *Server) Issuer() string { return s.issuer }

// RootCAs holds the CA that signed the server's certificate, except with UnknownCA: then it holds another one.
// It is an empty pool without WithTLS.
func (s *Server) RootCAs() *x509.CertPool { return s.roots }

// Now is the time by the server's clock.
func (s *Server) Now() time.Time { return s.now() }
