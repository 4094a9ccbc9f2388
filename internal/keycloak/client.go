// Package keycloak is the only door to the network: everything this library asks of a Keycloak goes through
// its Client, which sets the limits (time, size, redirects) and sorts what can go wrong into kinds.
package keycloak

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/singleflight"

	"github.com/c0mpiler/ginkeycloak/internal/rescue"
)

// maxBody is the longest answer, in bytes after decompression, that is read. Discovery documents and key sets
// have a few thousand.
const maxBody = 1 << 20

// maxRedirects is how many redirects within one host are followed.
const maxRedirects = 3

// Config says where a realm is and how to reach it. It has been judged by the caller.
type Config struct {
	Realm    *url.URL // address of the realm as tokens and browsers name it: https://host/realms/name
	Internal *url.URL // address of the realm for this process; nil if the same
	Issuers  []string // issuers that the discovery document may name

	// Addresses used instead of those of the discovery document, if set.
	KeySetURL, IntrospectionURL, TokenURL string

	Credentials Credentials

	HTTPClient     *http.Client // used as it is but for its redirect rule; nil for one made of what follows
	ConnectTimeout time.Duration
	ReadTimeout    time.Duration
	RootCAs        *x509.CertPool
	SkipTLSVerify  bool

	MetadataTTL time.Duration // how long a discovery document is used before it is fetched again
	Logger      *slog.Logger
	Trace       *Trace // may be nil
	Now         func() time.Time
}

// Trace is told of each call. The call is made with the context that Started returns.
type Trace struct {
	Started func(ctx context.Context, call string, r *http.Request) context.Context
	Done    func(ctx context.Context, call string, status int, err error, took time.Duration)
}

// The names of the calls, for Trace.
const (
	callDiscovery     = "discovery"
	callKeySet        = "key_set"
	callIntrospection = "introspection"
	callToken         = "token"
	callLogout        = "logout"
)

// Client talks to one realm of one Keycloak. It is safe for concurrent use.
type Client struct {
	cfg       Config
	addresses []*url.URL // of the realm, by any name the configuration knows
	http      *http.Client
	ownHTTP   bool // the transport is ours to close
	timeout   time.Duration
	life      context.Context //nolint:containedctx // ends with Close, and with it whatever is under way
	end       context.CancelFunc

	introspection *endpoint
	token         *endpoint
	logout        *endpoint
	refused       atomic.Bool  // our credentials, when they were last used
	expiring      atomic.Int64 // end of the certificate that was last warned of

	flights  singleflight.Group
	mu       sync.Mutex // guards metadata and loadedAt
	metadata *Metadata
	loadedAt time.Time
}

// NewClient returns a client for the realm of cfg. It does no I/O.
func NewClient(cfg Config) *Client {
	c := &Client{cfg: cfg, timeout: cfg.ConnectTimeout + cfg.ReadTimeout, addresses: []*url.URL{cfg.Realm}}
	if cfg.Internal != nil {
		c.addresses = append(c.addresses, cfg.Internal)
	}
	for _, issuer := range cfg.Issuers {
		if u, err := url.Parse(issuer); err == nil {
			c.addresses = append(c.addresses, u)
		}
	}
	c.life, c.end = context.WithCancel(context.Background())
	client := http.Client{}
	if cfg.HTTPClient != nil {
		client = *cfg.HTTPClient
	}
	if client.Transport == nil {
		client.Transport = newTransport(cfg)
		c.ownHTTP = true
	}
	client.CheckRedirect = sameOrigin
	c.http = &client
	c.introspection = c.newEndpoint(callIntrospection, "introspection endpoint", "introspection_endpoint", cfg.IntrospectionURL, func(m *Metadata) string { return m.IntrospectionURL })
	c.token = c.newEndpoint(callToken, "token endpoint", "token_endpoint", cfg.TokenURL, func(m *Metadata) string { return m.TokenURL })
	c.logout = c.newEndpoint(callLogout, "logout endpoint", "end_session_endpoint", "", func(m *Metadata) string { return m.EndSessionURL })
	return c
}

// Close ends what is under way and releases idle connections.
func (c *Client) Close() {
	c.end()
	if c.ownHTTP {
		c.http.CloseIdleConnections()
	}
}

// Detach returns a context with the values of ctx that does not end with it, but with the client: a call that
// several wait for must not end because the first of them leaves.
func (c *Client) Detach(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(c.life, cancel)
	return ctx, func() { stop(); cancel() }
}

func newTransport(cfg Config) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: cfg.ConnectTimeout}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   cfg.ConnectTimeout,
		ResponseHeaderTimeout: cfg.ReadTimeout,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		TLSClientConfig: &tls.Config{
			RootCAs:            cfg.RootCAs,
			InsecureSkipVerify: cfg.SkipTLSVerify, //nolint:gosec // the user's own, loudly warned-about choice
			MinVersion:         tls.VersionTLS12,
		},
	}
}

// sameOrigin follows a redirect of a GET only where scheme and host stay the same: whoever can redirect a request to
// a host of his own would otherwise serve us keys of his own.
func sameOrigin(next *http.Request, via []*http.Request) error {
	if next.Method != http.MethodGet || via[0].Method != http.MethodGet {
		return fmt.Errorf("%w, which a form with credentials does not follow", errRedirect)
	}
	first := via[0].URL
	if next.URL.Scheme != first.Scheme || next.URL.Host != first.Host {
		return fmt.Errorf("%w to another host: %s://%s", errRedirect, next.URL.Scheme, next.URL.Host)
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("%w more than %d times", errRedirect, maxRedirects)
	}
	return nil
}

// request is what is asked for: its name for traces, what it is in words for errors, and where it is.
type request struct{ call, what, address string }

func (r request) failed(kind Kind, err error) *Error {
	return &Error{Kind: kind, What: r.what, URL: r.address, Err: err}
}

// get fetches an address and decodes its JSON answer into v.
func (c *Client) get(ctx context.Context, r request, v any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.address, http.NoBody)
	if err != nil {
		return r.failed(Misconfigured, err)
	}
	req.Header.Set("Accept", "application/json")
	_, err = c.call(r, req, func(got answer) error {
		switch {
		case got.status == http.StatusOK:
			if json.Unmarshal(got.body, v) != nil {
				return r.failed(Unavailable, errNotJSON)
			}
			return nil
		case got.mayPass() || got.status < 300:
			return r.failed(Unavailable, statusError(got.status))
		}
		// No realm of that name, no such endpoint, not for us: asking again will not help.
		return r.failed(Misconfigured, statusError(got.status))
	})
	return err
}

// answer is what an endpoint said.
type answer struct {
	status int
	body   []byte
}

// mayPass reports whether the trouble that an answer tells of may pass by itself.
func (a answer) mayPass() bool {
	return a.status >= 500 || a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout
}

// call sends a request, reads its answer whole and has it judged. Every exchange with Keycloak goes through it.
func (c *Client) call(r request, req *http.Request, judge func(answer) error) (got answer, err error) {
	defer c.rescue(r, &err)
	if c.cfg.Trace != nil {
		ctx, begin := c.cfg.Trace.Started(req.Context(), r.call, req), time.Now()
		req = req.WithContext(ctx)
		defer func() { c.cfg.Trace.Done(ctx, r.call, got.status, err, time.Since(begin)) }()
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, r.failed(kindOf(err), cause(err))
	}
	defer func() { _ = resp.Body.Close() }()
	c.noteCertificate(resp.TLS)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return answer{status: resp.StatusCode}, r.failed(kindOf(err), cause(err))
	}
	if len(body) > maxBody {
		return answer{status: resp.StatusCode}, r.failed(Unavailable, errTooLarge)
	}
	got = answer{status: resp.StatusCode, body: body}
	return got, judge(got)
}

// rescue turns a panic, of a hook, a logger, a clock or a transport, into an error: it must not end the process.
func (c *Client) rescue(r request, err *error) {
	if v := recover(); v != nil {
		*err = r.failed(Unavailable, rescue.Note(c.cfg.Logger, v))
	}
}

// expirySoon is how long before Keycloak's certificate expires a warning is logged.
const expirySoon = 30 * 24 * time.Hour

// noteCertificate logs once for each certificate that it will expire soon.
func (c *Client) noteCertificate(state *tls.ConnectionState) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return
	}
	leaf := state.PeerCertificates[0]
	left := leaf.NotAfter.Sub(c.cfg.Now())
	if left > expirySoon || c.expiring.Swap(leaf.NotAfter.Unix()) == leaf.NotAfter.Unix() {
		return
	}
	c.cfg.Logger.LogAttrs(c.life, slog.LevelWarn, "keycloak: its certificate expires soon",
		slog.Time("not_after", leaf.NotAfter), slog.Int("days_left", int(left/(24*time.Hour))))
}
