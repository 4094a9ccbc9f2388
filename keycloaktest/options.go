package keycloaktest

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Option sets up a [Server]. Options only record; New and Start judge all of them together, so order never matters.
type Option func(*config)

type config struct {
	realm     string
	addr      string
	inMemory  bool
	basePath  string
	issuer    string
	algorithm string
	lifespan  time.Duration
	now       func() time.Time
	tls       TLSKind
	clients   []Client
	users     []User
}

// WithRealm names the realm. Default: "demo".
func WithRealm(name string) Option { return func(c *config) { c.realm = name } }

// WithAddr is the address to listen on, as for net.Listen. Default: "127.0.0.1:0", a free port of the loopback
// interface. URL names the host as it is written here, so "localhost:8180" suits a program that a browser talks to.
func WithAddr(addr string) Option { return func(c *config) { c.addr = addr } }

// InMemory opens no socket at all: the server is reached by [Server.Transport] and by nothing else. A test inside a
// testing/synctest bubble needs it, because waiting for a socket keeps the bubble's clock from moving.
// Default: a socket is opened, and Transport works beside it.
func InMemory() Option { return func(c *config) { c.inMemory = true } }

// WithBasePath puts everything below path, as `--http-relative-path` does and as every Keycloak before 17 did with
// "/auth". Default: none.
func WithBasePath(path string) Option { return func(c *config) { c.basePath = path } }

// WithIssuer is the public issuer, such as "https://sso.example.com/realms/demo": tokens carry it and discovery names
// it and endpoints below it, while the server is reached elsewhere. This is what Keycloak's `--hostname` does.
// Default: the address the server is reached at.
func WithIssuer(issuer string) Option { return func(c *config) { c.issuer = issuer } }

// WithClock is where all times come from: those in tokens, of sessions and codes, and of certificates.
// Default: time.Now.
func WithClock(now func() time.Time) Option { return func(c *config) { c.now = now } }

// WithTokenLifespan is how long an access token lasts, the realm's accessTokenLifespan. Default: 5 minutes.
func WithTokenLifespan(d time.Duration) Option { return func(c *config) { c.lifespan = d } }

// WithAlgorithm is the algorithm of the realm's signing key: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384,
// ES512 or EdDSA. Default: RS256, like Keycloak. The first RSA key is made once in a process and shared by all its
// servers, for RSA keys take long to make; ES256 gives each server its own at no cost.
func WithAlgorithm(alg string) Option { return func(c *config) { c.algorithm = alg } }

// WithTLS serves HTTPS with a certificate of the given kind. Default: plain HTTP.
func WithTLS(kind TLSKind) Option { return func(c *config) { c.tls = kind } }

// WithClient adds a client to the realm, or replaces the one with the same ID. It can be repeated.
func WithClient(client Client) Option {
	return func(c *config) { c.clients = append(c.clients, client) }
}

// WithUser adds a user to the realm, or replaces the one with the same name. It can be repeated.
func WithUser(user User) Option { return func(c *config) { c.users = append(c.users, user) } }

func newConfig(opts []Option) (config, error) {
	c := config{
		realm:     "demo",
		addr:      "127.0.0.1:0",
		algorithm: "RS256",
		lifespan:  5 * time.Minute,
		now:       time.Now,
		clients:   defaultClients(),
		users:     defaultUsers(),
	}
	for _, opt := range opts {
		opt(&c)
	}
	c.basePath = strings.TrimRight(c.basePath, "/")
	c.issuer = strings.TrimRight(c.issuer, "/")
	return c, errors.Join(append(c.judgeRealm(), c.judgeServer()...)...)
}

func (c config) judgeServer() (errs []error) {
	if c.basePath != "" && !strings.HasPrefix(c.basePath, "/") {
		errs = append(errs, fmt.Errorf("WithBasePath(%q): it starts with a slash", c.basePath))
	}
	if u, err := url.Parse(c.issuer); err != nil || c.issuer != "" && (u.Scheme == "" || u.Host == "") {
		errs = append(errs, fmt.Errorf("WithIssuer(%q): not an absolute URL", c.issuer))
	}
	if c.now == nil {
		errs = append(errs, errors.New("WithClock(nil): no clock"))
	}
	if c.tls < 0 || c.tls > WantsClientCertificate {
		errs = append(errs, fmt.Errorf("WithTLS(%d): no such kind", c.tls))
	}
	return errs
}

func (c config) judgeRealm() (errs []error) {
	if c.realm == "" || strings.ContainsAny(c.realm, "/?#%") {
		errs = append(errs, fmt.Errorf("WithRealm(%q): not a realm name", c.realm))
	}
	if c.lifespan <= 0 {
		errs = append(errs, fmt.Errorf("WithTokenLifespan(%s): it is positive", c.lifespan))
	}
	if _, ok := algorithms[c.algorithm]; !ok {
		errs = append(errs, fmt.Errorf("WithAlgorithm(%q): not an asymmetric algorithm of RFC 7518", c.algorithm))
	}
	if slices.ContainsFunc(c.clients, func(cl Client) bool { return cl.ID == "" }) {
		errs = append(errs, errors.New("WithClient: a client needs an ID"))
	}
	if slices.ContainsFunc(c.users, func(u User) bool { return u.Username == "" }) {
		errs = append(errs, errors.New("WithUser: a user needs a name"))
	}
	for _, client := range c.clients {
		if client.PublicKey == nil {
			continue
		}
		if _, err := algorithmOf(public(client.PublicKey)); err != nil {
			errs = append(errs, fmt.Errorf("WithClient(%q): %w", client.ID, err))
		}
	}
	return errs
}
