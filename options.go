package ginkeycloak

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/c0mpiler/ginkeycloak/internal/keycloak"
	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// Defaults of the options, and the bounds that they are judged by.
const (
	defaultLeeway    = 30 * time.Second
	maxLeeway        = 5 * time.Minute
	defaultTimeout   = 5 * time.Second
	maxTimeout       = time.Minute
	defaultKeyCache  = 10 * time.Minute
	minKeyCache      = time.Second
	defaultMaxStale  = 24 * time.Hour
	defaultAlgorithm = "RS256"
)

// An Option configures a Plugin. Options only record; New judges them together, so their order never matters.
type Option func(*config)

// ConfigError is a mistake in the configuration. New returns all of them at once, joined; errors.As finds
// the first.
type ConfigError struct {
	Option string // the option to change: "WithLeeway"
	Value  any    // what it was given; nil where nothing was given or a secret could show
	Reason string // what is wrong, and what mends it
}

func (e *ConfigError) Error() string {
	if e.Value == nil {
		return fmt.Sprintf("ginkeycloak: %s: %s", e.Option, e.Reason)
	}
	return fmt.Sprintf("ginkeycloak: %s(%v): %s", e.Option, e.Value, e.Reason)
}

// config is what the options record, and what newConfig makes of it.
type config struct {
	serverURL, internalURL   string
	realm                    string
	clientID                 string
	clientSecret             secret
	secretInBody             bool
	clientKey                []byte
	credentials              keycloak.Credentials
	issuers                  []string
	audience                 []string
	authorizedParties        []string
	algorithms               []string
	leeway                   time.Duration
	jwksURL                  string
	introspectionURL         string
	tokenURL                 string
	introspection            introspectionConfig
	tokenCacheSize           int
	tokenCacheTTL            time.Duration
	refresh                  refreshConfig
	connectTimeout           time.Duration
	readTimeout              time.Duration
	httpClient               *http.Client
	rootCAs                  *x509.CertPool
	insecureSkipTLSVerify    bool
	insecureSkipAudience     bool
	keyCache, maxStale       time.Duration
	publicRoutes             []string
	corsPreflight            bool
	extractors               []TokenExtractor
	errorHandler             ErrorHandler
	errorDetails             bool
	traces                   tracers
	logger                   *slog.Logger
	now                      func() time.Time
	given                    map[string]bool // options with a string that were used
	mistakes                 []error         // seen while recording
	realmAddress, realmInner *url.URL
	public                   routeSet
}

// secret holds a value that no way of printing a struct may show: fmt does not call methods of unexported
// fields, but it prints no more of a function than its address.
type secret = func() string

func newSecret(s string) secret { return func() string { return s } }

// WithServerURL sets the address of Keycloak as tokens and browsers name it, such as https://sso.example.com;
// up to version 16, or with a relative path configured, with /auth at its end. A trailing slash does not
// matter. It goes with WithRealm.
func WithServerURL(address string) Option {
	return func(c *config) { c.text("WithServerURL", &c.serverURL, address) }
}

// WithInternalURL sets the address under which this process reaches Keycloak, where that is not the one tokens
// name: http://keycloak:8080 within Docker or Kubernetes. All calls go there, with the same path unless this
// address has one of its own, whatever host the discovery document prints. Tokens are still held to the
// public issuer. Default: the server URL.
func WithInternalURL(address string) Option {
	return func(c *config) { c.text("WithInternalURL", &c.internalURL, address) }
}

// WithRealm sets the realm's name. It goes with WithServerURL.
func WithRealm(name string) Option { return func(c *config) { c.text("WithRealm", &c.realm, name) } }

// WithClientID sets the client that this API is registered as in Keycloak. It is the audience tokens must have,
// unless WithAudience says otherwise, and the client whose roles RequireRoles looks at beside the realm's. Default:
// none; then WithAudience is required, and only roles of the realm count.
func WithClientID(id string) Option {
	return func(c *config) { c.text("WithClientID", &c.clientID, id) }
}

// WithClientSecret sets the client's secret, for the calls to Keycloak that need one. Checking the signature of
// a token does not. It is never printed. Default: none, a public client.
func WithClientSecret(value string) Option {
	return func(c *config) { c.clientSecret = newSecret(value) }
}

// WithClientSecretPost sends the client secret in the body of a request (client_secret_post) and not in its header
// (client_secret_basic), for a client that Keycloak is told to accept only so (RFC 6749 §2.3.1).
func WithClientSecretPost() Option { return func(c *config) { c.secretInBody = true } }

// WithClientKey authenticates the client by a signature instead of a secret (private_key_jwt, RFC 7523). key is a
// private RSA, EC or Ed25519 key as PEM, or as JSON Web Key, whose kid and alg are then used. It excludes
// WithClientSecret.
func WithClientKey(key []byte) Option {
	return func(c *config) {
		if len(key) == 0 {
			c.mistake("WithClientKey", nil, "it is empty: is an environment variable missing?")
		}
		c.clientKey = key
	}
}

// WithIssuer accepts tokens with any of these issuers (the iss claim), compared byte for byte. All must be names
// of the same realm, whose one key set serves them all. It can be repeated; values add up. Without
// WithServerURL the first one is also the address of the realm.
//
// Default: the server URL, followed by /realms/ and the realm.
func WithIssuer(issuers ...string) Option {
	return func(c *config) { c.list("WithIssuer", &c.issuers, issuers) }
}

// WithAudience accepts tokens issued for any of aud (the aud claim, RFC 7519 §4.1.3). It can be repeated; values
// add up. Default: the client ID, because a token for another API must not open this one. Keycloak puts the
// client ID there only if told to by an audience mapper.
func WithAudience(aud ...string) Option {
	return func(c *config) { c.list("WithAudience", &c.audience, aud) }
}

// WithInsecureSkipAudience accepts tokens for any audience: whatever any application of the realm obtained for
// any other API then opens this one. It excludes WithAudience.
func WithInsecureSkipAudience() Option { return func(c *config) { c.insecureSkipAudience = true } }

// WithAuthorizedParties accepts only tokens that were issued to one of these clients (the azp claim); others are
// refused with CodeInvalidClaims. It can be repeated; values add up. Default: any client of the realm.
func WithAuthorizedParties(clients ...string) Option {
	return func(c *config) { c.list("WithAuthorizedParties", &c.authorizedParties, clients) }
}

// WithAlgorithms sets the signature algorithms that tokens may use: RS256, RS384, RS512, PS256, PS384, PS512,
// ES256, ES384, ES512, EdDSA (RFC 7518 §3.1, RFC 8037). Symmetric ones and none are mistakes (RFC 8725 §3.1).
// It can be repeated; values add up. Default: RS256, which is Keycloak's.
func WithAlgorithms(names ...string) Option {
	return func(c *config) { c.list("WithAlgorithms", &c.algorithms, names) }
}

// WithLeeway allows for clocks that differ when exp, nbf and iat are checked. Default: 30 s; at most 5 min.
func WithLeeway(d time.Duration) Option { return func(c *config) { c.leeway = d } }

// WithJWKSURL sets the address of the key set, on any host, instead of the jwks_uri of the discovery document,
// which is then not fetched.
func WithJWKSURL(address string) Option {
	return func(c *config) { c.text("WithJWKSURL", &c.jwksURL, address) }
}

// WithIntrospectionURL sets the address of the introspection endpoint, on any host, instead of the one in the
// discovery document.
func WithIntrospectionURL(address string) Option {
	return func(c *config) { c.text("WithIntrospectionURL", &c.introspectionURL, address) }
}

// WithTokenURL sets the address of the token endpoint, on any host, instead of the one in the discovery document.
func WithTokenURL(address string) Option {
	return func(c *config) { c.text("WithTokenURL", &c.tokenURL, address) }
}

// WithTimeouts sets how long connecting to Keycloak may take, the TLS handshake included, and how long waiting
// for its answer may. Default: 5 s each; at most 1 min.
func WithTimeouts(connect, read time.Duration) Option {
	return func(c *config) { c.connectTimeout, c.readTimeout = connect, read }
}

// WithHTTPClient sets the client used for calls to Keycloak. Its redirect rule is replaced by ours: within one
// host only. A client with a transport of its own excludes WithRootCAs and WithInsecureSkipTLSVerify.
func WithHTTPClient(client *http.Client) Option {
	return func(c *config) { record(c, "WithHTTPClient", &c.httpClient, client, client == nil) }
}

// WithRootCAs sets the certificate authorities that may vouch for Keycloak's certificate. Default: the system's.
func WithRootCAs(pool *x509.CertPool) Option {
	return func(c *config) { record(c, "WithRootCAs", &c.rootCAs, pool, pool == nil) }
}

// WithInsecureSkipTLSVerify takes any certificate for Keycloak's, so that whoever is on the way can hand us keys
// of his own and forge any token. It warns at every start. For a test machine, WithRootCAs is as short.
func WithInsecureSkipTLSVerify() Option { return func(c *config) { c.insecureSkipTLSVerify = true } }

// WithKeyCache sets the age at which keys are fetched again, in the background, by the request that finds them
// so old. New keys are learned at once whatever this says; it bounds how long a removed key stays trusted.
// Default: 10 min; at least 1 s.
func WithKeyCache(ttl time.Duration) Option { return func(c *config) { c.keyCache = ttl } }

// WithMaxStale sets how long keys are used while Keycloak cannot be reached; after that, requests are answered
// with 503. Default: 24 h; not less than WithKeyCache.
func WithMaxStale(d time.Duration) Option { return func(c *config) { c.maxStale = d } }

// WithPublicRoutes lets requests to these routes pass Middleware without a token. A route is named by the
// pattern it was registered with in Gin, exactly, optionally behind a method: "GET /health", "/docs/*any". A
// route without a method is public for all of them. It can be repeated; values add up. See CheckRoutes.
//
// URL paths are never compared: there are hundreds of ways to write a path that a router and a prefix check
// understand differently. On a route with parameters, a request whose path has dot segments is not public.
func WithPublicRoutes(routes ...string) Option {
	return func(c *config) { c.list("WithPublicRoutes", &c.publicRoutes, routes) }
}

// WithCORSPreflight lets CORS preflights pass Middleware: OPTIONS requests with Origin and
// Access-Control-Request-Method, which browsers send without credentials (Fetch §3.2.2). Default: false.
// A CORS middleware registered before this one answers preflights by itself and makes the option unnecessary.
func WithCORSPreflight(allow bool) Option { return func(c *config) { c.corsPreflight = allow } }

// WithTokenExtractor looks for a token in further places besides the Authorization header, such as
// TokenFromCookie. A request with a token in more than one place is refused with CodeInvalidHeaderFormat
// (RFC 6750 §2). It can be repeated; places add up. Default: the header only.
func WithTokenExtractor(places ...TokenExtractor) Option {
	return func(c *config) {
		if len(places) == 0 {
			c.mistake("WithTokenExtractor", nil, "no extractor is given")
		}
		for _, place := range places {
			if place == nil {
				c.mistake("WithTokenExtractor", nil, "an extractor is nil")
				continue
			}
			c.extractors = append(c.extractors, place)
		}
	}
}

// WithErrorHandler sets what writes the body of a refusal. Status, challenge and the other headers are set when
// it is called and may be changed; that the request is refused may not. Default: JSON, see Error.
func WithErrorHandler(h ErrorHandler) Option {
	return func(c *config) { record(c, "WithErrorHandler", &c.errorHandler, h, h == nil) }
}

// WithErrorDetails adds what exactly was wrong to the body of a refusal. It helps in development and tells a
// stranger about the set-up in production. Default: false.
func WithErrorDetails(show bool) Option { return func(c *config) { c.errorDetails = show } }

// WithLogger sets the logger. Trouble with Keycloak is logged once when it begins and once when it ends, as
// Warn and Info; refusals are logged as Debug. Default: slog.Default().
func WithLogger(l *slog.Logger) Option {
	return func(c *config) { record(c, "WithLogger", &c.logger, l, l == nil) }
}

// WithClock sets the clock, for tests. Default: time.Now.
func WithClock(now func() time.Time) Option {
	return func(c *config) { record(c, "WithClock", &c.now, now, now == nil) }
}

func (c *config) mistake(option string, value any, reason string) {
	c.mistakes = append(c.mistakes, &ConfigError{Option: option, Value: value, Reason: reason})
}

// record sets a value that must not be nil when it is given.
func record[T any](c *config, option string, to *T, value T, isNil bool) {
	if isNil {
		c.mistake(option, nil, "it was given nil: leave the option out for the default")
		return
	}
	*to = value
}

// text sets a string that must not be empty when it is given.
func (c *config) text(option string, to *string, value string) {
	switch {
	case value == "":
		c.mistake(option, nil, "it is empty: is an environment variable missing?")
	case strings.TrimSpace(value) != value:
		c.mistake(option, nil, "it has white space around it, as a value read from a file may")
	}
	c.given[option] = true
	*to = value
}

// list adds strings, of which there must be some and none empty.
func (c *config) list(option string, to *[]string, values []string) {
	padded := func(value string) bool { return value != strings.TrimSpace(value) }
	switch {
	case len(values) == 0 || slices.Contains(values, ""):
		c.mistake(option, nil, "it is empty, or one of its values is: is an environment variable missing?")
	case slices.ContainsFunc(values, padded):
		c.mistake(option, nil, "a value has white space around it, as one read from a file may")
	}
	c.given[option] = true
	*to = append(*to, values...)
}

// newConfig applies the options and judges what they recorded, all of it, so that one run shows every mistake.
func newConfig(opts []Option) (*config, error) {
	c := &config{
		given:          make(map[string]bool),
		clientSecret:   newSecret(""),
		leeway:         defaultLeeway,
		connectTimeout: defaultTimeout,
		readTimeout:    defaultTimeout,
		keyCache:       defaultKeyCache,
		maxStale:       defaultMaxStale,
		tokenCacheSize: defaultTokenCacheSize,
		tokenCacheTTL:  defaultTokenCacheTTL,
		logger:         slog.Default(),
		now:            time.Now,
		refresh:        refreshConfig{replay: defaultReplay},
	}
	for _, opt := range opts {
		if opt == nil {
			c.mistake("New", nil, "an option is nil")
			continue
		}
		opt(c)
	}
	c.judgeAddresses()
	c.judgePolicy()
	c.judgeClient()
	c.judgeNetwork()
	c.judgeRoutes()
	return c, errors.Join(c.mistakes...)
}

// judgeAddresses finds out where the realm is and which issuers it goes by.
func (c *config) judgeAddresses() {
	server := c.address("WithServerURL", c.serverURL)
	inner := c.address("WithInternalURL", c.internalURL)
	c.address("WithJWKSURL", c.jwksURL)
	c.address("WithIntrospectionURL", c.introspectionURL)
	c.address("WithTokenURL", c.tokenURL)
	first := c.judgeIssuers()
	switch {
	case strings.ContainsAny(c.realm, "/?#%\\") || c.realm == "." || c.realm == "..":
		c.mistake("WithRealm", c.realm, "it is not the name of a realm, but looks like a part of an address")
		return
	case server != nil && strings.Contains(server.Path+"/", "/realms/"):
		c.mistake("WithServerURL", c.serverURL, "it has the realm in it: end it before /realms, and name the realm with WithRealm")
		return
	case c.given["WithServerURL"] && !c.given["WithRealm"]:
		c.mistake("WithRealm", nil, "set it, a server has many realms")
		return
	case !c.given["WithServerURL"] && !c.given["WithIssuer"]:
		c.mistake("WithServerURL", nil, "set it together with WithRealm, or set WithIssuer")
		return
	}

	c.realmAddress = first
	if c.given["WithServerURL"] {
		c.realmAddress = nil
		if server != nil && c.realm != "" {
			server.Path += "/realms/" + c.realm
			c.realmAddress = server
		}
	}
	if c.realmAddress == nil {
		return // for a reason that has been told
	}
	if len(c.issuers) == 0 {
		c.issuers = []string{c.realmAddress.String()}
	}
	if c.realm == "" {
		c.realm = path.Base("/" + c.realmAddress.Path) // for challenges
	}
	if inner != nil {
		c.realmInner = internalAddress(c.realmAddress, inner)
	}
}

// internalAddress is the realm's address with what comes before /realms replaced by inner. An inner address without
// a path keeps the public one's.
func internalAddress(realm, inner *url.URL) *url.URL {
	u := *realm
	u.Scheme, u.Host = inner.Scheme, inner.Host
	if inner.Path != "" {
		u.Path = inner.Path + realm.Path[max(strings.LastIndex(realm.Path, "/realms/"), 0):]
	}
	return &u
}

// judgeIssuers refuses issuers of another realm, since one issuer has one key set, and returns the first address.
func (c *config) judgeIssuers() (first *url.URL) {
	realm := c.realm
	for _, issuer := range c.issuers {
		u := c.address("WithIssuer", issuer)
		if u == nil {
			continue
		}
		if first == nil {
			first = u
		}
		_, name, ok := strings.Cut(u.Path, "/realms/")
		if ok && realm == "" {
			realm = name
		}
		if ok && name != realm {
			c.mistake("WithIssuer", issuer, fmt.Sprintf("it is not realm %q: all issuers must be names of one realm", realm))
		} else if ok && strings.HasSuffix(issuer, "/") {
			c.mistake("WithIssuer", issuer, "it ends with a slash, which Keycloak's issuers do not, and they are compared byte for byte")
		}
	}
	return first
}

// address parses an address given to option; it returns nil if there is none or it is no good.
func (c *config) address(option, raw string) *url.URL {
	if raw == "" || raw != strings.TrimSpace(raw) {
		return nil // which has been told
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.User != nil:
		// Whatever it is, it may hold a password.
		c.mistake(option, nil, "it is not an address such as https://sso.example.com, or has credentials in it")
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		c.mistake(option, unlessSecret(raw), "it is not an absolute http or https address")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		c.mistake(option, nil, "it has a query or a fragment, which do not belong there") // and may be a secret
	default:
		u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
		return u
	}
	return nil
}

// unlessSecret returns an address to be shown, but nil if credentials may be in it.
func unlessSecret(address string) any {
	if strings.ContainsAny(address, "@?#") {
		return nil
	}
	return address
}

// judgePolicy judges what decides which tokens are good.
func (c *config) judgePolicy() {
	switch {
	case c.insecureSkipAudience && len(c.audience) > 0:
		c.mistake("WithInsecureSkipAudience", nil, "it contradicts WithAudience, remove one of them")
	case !c.insecureSkipAudience && len(c.audience) == 0 && c.clientID != "":
		c.audience = []string{c.clientID}
	case !c.insecureSkipAudience && len(c.audience) == 0:
		c.mistake("WithAudience", nil, "set it, or WithClientID, so that tokens for other APIs are refused")
	}
	if c.leeway < 0 || c.leeway > maxLeeway {
		c.mistake("WithLeeway", c.leeway, fmt.Sprintf("it must be from 0 to %v", maxLeeway))
	}
	if len(c.algorithms) == 0 {
		c.algorithms = []string{defaultAlgorithm}
	}
	for _, alg := range c.algorithms {
		if alg != "" && !slices.Contains(token.Algorithms(), alg) {
			c.mistake("WithAlgorithms", alg, fmt.Sprintf("only asymmetric signatures can be trusted: %v", token.Algorithms()))
		}
	}
}

// judgeClient judges how this API proves to Keycloak who it is, and what it needs that for.
func (c *config) judgeClient() {
	c.credentials = keycloak.Credentials{ClientID: c.clientID, Secret: c.clientSecret, InBody: c.secretInBody}
	if len(c.clientKey) > 0 {
		key, err := keycloak.ParseClientKey(c.clientKey)
		if err != nil {
			c.mistake("WithClientKey", nil, err.Error())
			key = new(keycloak.ClientKey) // there is one, so this is no public client
		}
		c.credentials.Key = key
		c.clientKey = nil
	}
	if c.credentials.Key != nil && c.clientSecret() != "" {
		c.mistake("WithClientKey", nil, "it contradicts WithClientSecret, remove one of them")
	}
	if c.credentials.Confidential() && c.clientID == "" {
		c.mistake("WithClientID", nil, "set it, a secret or key is a client's")
	}
	if c.introspection.mode != introspectNone && !c.credentials.Confidential() {
		c.mistake("WithIntrospection", nil, "set WithClientID and WithClientSecret or WithClientKey, Keycloak does not answer public clients")
	}
	if ttl := c.introspection.ttl; ttl < 0 || ttl > maxIntrospectionTTL {
		c.mistake("WithIntrospection", ttl, fmt.Sprintf("the time that tokens are remembered must be from 0 to %v", maxIntrospectionTTL))
	}
	if c.introspection.size < 0 || c.introspection.ttl > 0 && c.introspection.size == 0 {
		c.mistake("WithIntrospection", c.introspection.size, "the number of tokens that are remembered must be positive")
	}
	if c.tokenCacheSize < 0 {
		c.mistake("WithTokenCache", c.tokenCacheSize, "the number of tokens must not be negative")
	}
	if ttl := c.tokenCacheTTL; c.tokenCacheSize > 0 && (ttl <= 0 || ttl > maxTokenCacheTTL) {
		c.mistake("WithTokenCache", ttl, fmt.Sprintf("it must be more than 0 and at most %v", maxTokenCacheTTL))
	}
	if r := c.refresh.replay; r < 0 || r > maxReplay {
		c.mistake("WithRefresh", r, fmt.Sprintf("it must be from 0 to %v", maxReplay))
	}
}

// judgeNetwork judges how Keycloak is reached and how long its answers are used.
func (c *config) judgeNetwork() {
	for _, d := range []time.Duration{c.connectTimeout, c.readTimeout} {
		if d <= 0 || d > maxTimeout {
			c.mistake("WithTimeouts", d, fmt.Sprintf("it must be more than 0 and at most %v", maxTimeout))
		}
	}
	if c.keyCache < minKeyCache {
		c.mistake("WithKeyCache", c.keyCache, fmt.Sprintf("it must be at least %v", minKeyCache))
	}
	if c.maxStale < c.keyCache {
		c.mistake("WithMaxStale", c.maxStale, fmt.Sprintf("it must not be less than WithKeyCache, %v", c.keyCache))
	}
	if c.httpClient != nil && c.httpClient.Transport != nil && (c.rootCAs != nil || c.insecureSkipTLSVerify) {
		c.mistake("WithHTTPClient", nil, "its transport decides about certificates: set WithRootCAs and WithInsecureSkipTLSVerify aside, or the transport")
	}
}

// judgeRoutes reads the public routes.
func (c *config) judgeRoutes() {
	c.public = make(routeSet, len(c.publicRoutes))
	for _, text := range c.publicRoutes {
		method, pattern, ok := strings.Cut(text, " ")
		if !ok {
			method, pattern = "", text
		}
		if text != "" && text == strings.TrimSpace(text) && (!strings.HasPrefix(pattern, "/") || strings.ContainsAny(pattern, " ?#") || ok && !isMethod(method)) {
			c.mistake("WithPublicRoutes", text, `it must be a pattern as registered with Gin, with a method or without: "GET /health", "/docs/*any"`)
		}
		c.public.add(route{method, pattern})
	}
}

// isMethod reports whether s is written like an HTTP method.
func isMethod(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
