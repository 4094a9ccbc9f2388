// Package keycloak starts a real Keycloak for tests and stops it again.
//
// It needs Java 17 or newer and, the first time a version is asked for, Maven, which fetches the distribution into
// the user's cache folder. Every [Server] has a working directory, a database and a port of its own, so that several
// can run at once. A server never outlives the program that started it, even if that program is killed.
//
// It runs on Unix only, because it stops Keycloak by its process group.
package keycloak

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DefaultVersion is the Keycloak that is started when neither Options nor KEYCLOAK_VERSION asks for another one.
const DefaultVersion = "26.7.5"

// startLimit bounds one start, whatever the caller's context says: on two busy cores a first start takes a minute.
const startLimit = 5 * time.Minute

// Options says which Keycloak to start, and with what.
type Options struct {
	// Version of Keycloak. Default: the environment variable KEYCLOAK_VERSION, then [DefaultVersion].
	Version string

	// RealmFile is the realm to import, in Keycloak's JSON form. The server is ready when it serves this realm.
	// Required.
	RealmFile string

	// CacheDir keeps the distributions between runs. Default: ginkeycloak in [os.UserCacheDir].
	CacheDir string
}

// Server is one running Keycloak. Its methods are safe for concurrent use.
type Server struct {
	version string
	realm   string
	home    string // the per-run copy of the distribution, with this run's database
	java    string
	port    int

	mu      sync.Mutex // guards process and startup, and makes Stop, Restart and Close take turns
	process *process   // nil while stopped
	startup time.Duration
}

// Start starts a Keycloak and returns when it serves the realm. Without Java or Maven the error is a [*MissingError].
// ctx bounds the start only, and ending it before then stops what was started; afterwards call [Server.Close].
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.Version == "" {
		opts.Version = Version()
	}
	java, err := findJava(ctx)
	if err != nil {
		return nil, err
	}
	realm, realmJSON, err := readRealm(opts.RealmFile)
	if err != nil {
		return nil, err
	}
	dist, err := openDistribution(ctx, opts.CacheDir, opts.Version)
	if err != nil {
		return nil, err
	}
	home, err := dist.copyForRun()
	if err != nil {
		return nil, err
	}
	s := &Server{version: opts.Version, realm: realm, home: home, java: java}
	if err := s.firstStart(ctx, realmJSON); err != nil {
		return nil, fmt.Errorf("start Keycloak %s: %w", s.version, joinCleanup(err, s.Close()))
	}
	// The next run then starts in a third of the time. Without the cache it is only slower.
	_ = dist.keepAugmented(home)
	return s, nil
}

// Version is the version of Keycloak that the environment asks for: KEYCLOAK_VERSION, or [DefaultVersion].
func Version() string {
	if v := os.Getenv("KEYCLOAK_VERSION"); v != "" {
		return v
	}
	return DefaultVersion
}

// URL is the server's base URL, without a trailing slash.
func (s *Server) URL() string { return "http://127.0.0.1:" + strconv.Itoa(s.port) }

// Realm is the name of the imported realm.
func (s *Server) Realm() string { return s.realm }

// Issuer is the issuer of the imported realm's tokens.
func (s *Server) Issuer() string { return s.URL() + "/realms/" + s.realm }

// Version is the version of this Keycloak.
func (s *Server) Version() string { return s.version }

// StartupTime is how long the last start took, from the launch of the process to the first answer of the realm.
func (s *Server) StartupTime() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.startup
}

// Log is what Keycloak has logged so far, over all its starts.
func (s *Server) Log() string {
	b, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Stop ends Keycloak and returns when all its processes are gone. Its data stays, for [Server.Restart].
// Stopping a stopped server does nothing.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop()
}

// Restart stops Keycloak if it runs and starts it again on the same port with the data kept: the same keys, sessions
// of the database, clients and users, so that tokens issued before stay valid.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stop(); err != nil {
		return err
	}
	return s.start(ctx)
}

// Close stops Keycloak and deletes its working directory.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stop(); err != nil {
		return err
	}
	return os.RemoveAll(s.home)
}

// firstStart writes the realm where --import-realm looks for it, picks a port and starts the server.
func (s *Server) firstStart(ctx context.Context, realmJSON []byte) error {
	dir := filepath.Join(s.home, "data", "import")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, s.realm+"-realm.json"), realmJSON, 0o600); err != nil {
		return err
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	s.port = port
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.start(ctx)
}

// start launches the process and waits until it serves the realm. The caller holds mu.
func (s *Server) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	began := time.Now()
	p, err := startProcess(command{
		path: filepath.Join(s.home, "bin", "kc.sh"),
		args: []string{"start-dev", "--import-realm", "--http-host", "127.0.0.1", "--http-port", strconv.Itoa(s.port)},
		env:  s.environment(),
		log:  s.logFile(),
		dir:  s.home,
	})
	if err != nil {
		return err
	}
	s.process = p
	if err := s.awaitReady(ctx, p); err != nil {
		return fmt.Errorf("%w; the end of its log:\n%s", joinCleanup(err, s.stop()), lastLines(s.Log(), 20))
	}
	s.startup = time.Since(began)
	return nil
}

// stop ends the process, if there is one. The caller holds mu.
func (s *Server) stop() error {
	if s.process == nil {
		return nil
	}
	if err := s.process.stop(); err != nil {
		return fmt.Errorf("stop Keycloak: %w", err)
	}
	s.process = nil
	return nil
}

// awaitReady polls the realm until it is served, the process has ended or ctx is done.
func (s *Server) awaitReady(ctx context.Context, p *process) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !s.servesRealm(ctx) {
		select {
		case <-p.ended:
			return fmt.Errorf("it ended before it was ready: %w", p.err)
		case <-ctx.Done():
			return fmt.Errorf("it was not ready: %w", ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

func (s *Server) servesRealm(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Issuer(), nil)
	if err != nil {
		return false
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody))
	return resp.StatusCode == http.StatusOK
}

// environment is the caller's, without what would configure Keycloak behind our back, and with the first admin
// under both its names: 26 reads KC_BOOTSTRAP_ADMIN_…, 24 and 25 read KEYCLOAK_ADMIN….
func (s *Server) environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, "KC_") || strings.HasPrefix(e, "KEYCLOAK_") || strings.HasPrefix(e, "JAVA_OPTS") {
			continue
		}
		env = append(env, e)
	}
	// Only the first-tier compiler: a test server lives too short for the second. Saves 3 to 7 seconds of a start.
	env = append(env, "JAVA="+s.java, "JAVA_OPTS_APPEND=-XX:TieredStopAtLevel=1")
	if major(s.version) >= 26 {
		return append(env, "KC_BOOTSTRAP_ADMIN_USERNAME="+adminName, "KC_BOOTSTRAP_ADMIN_PASSWORD="+adminPassword)
	}
	return append(env, "KEYCLOAK_ADMIN="+adminName, "KEYCLOAK_ADMIN_PASSWORD="+adminPassword)
}

func (s *Server) logFile() string { return filepath.Join(s.home, "keycloak.log") }

// readRealm reads the realm file and the realm's name in it.
func readRealm(path string) (name string, file []byte, err error) {
	file, err = os.ReadFile(path)
	if err != nil {
		return "", nil, fmt.Errorf("read the realm: %w", err)
	}
	var realm struct {
		Realm string `json:"realm"`
	}
	if err := json.Unmarshal(file, &realm); err != nil {
		return "", nil, fmt.Errorf("read the realm %s: %w", path, err)
	}
	if realm.Realm == "" {
		return "", nil, fmt.Errorf("read the realm %s: it has no member \"realm\"", path)
	}
	return realm.Realm, file, nil
}

// freePort asks the system for a port nobody listens on.
func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// major is the first number of a version, 0 if there is none.
func major(version string) int {
	n, _, _ := strings.Cut(version, ".")
	i, _ := strconv.Atoi(n)
	return i
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// joinCleanup adds what went wrong while cleaning up after err.
func joinCleanup(err, cleanup error) error {
	if cleanup == nil {
		return err
	}
	return fmt.Errorf("%w (and cleaning up: %w)", err, cleanup)
}
