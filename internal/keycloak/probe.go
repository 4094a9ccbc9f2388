package keycloak

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/c0mpiler/ginkeycloak/internal/rescue"
)

// Problem says why an endpoint cannot be used, finer than Kind does: each value is mended by something else.
type Problem string

// The problems of an endpoint, from the lowest layer up.
const (
	HostUnknown       Problem = "dns_not_found"
	HostUnresolved    Problem = "dns_failed"
	Refused           Problem = "connection_refused"
	Closed            Problem = "connection_closed" // reset, or ended without an answer
	TimedOut          Problem = "timeout"
	NotReached        Problem = "not_reached"
	SpeaksTLS         Problem = "https_expected" // asked over http
	SpeaksPlain       Problem = "http_expected"  // asked over https
	TLSTooOld         Problem = "tls_too_old"
	TLSFailed         Problem = "tls_failed"
	IdentityWanted    Problem = "client_certificate_wanted"
	CertPast          Problem = "certificate_expired"
	CertFuture        Problem = "certificate_not_yet_valid"
	CertAuthority     Problem = "certificate_unknown_authority"
	CertHost          Problem = "certificate_wrong_host"
	CertInvalid       Problem = "certificate_invalid"
	Redirected        Problem = "redirected"
	NotFound          Problem = "not_found"
	MethodNotAllowed  Problem = "method_not_allowed"
	UnexpectedStatus  Problem = "unexpected_status"
	TooLarge          Problem = "answer_too_large"
	NotJSON           Problem = "answer_not_json"
	ClientRefused     Problem = "credentials_refused"
	EndpointUnknown   Problem = "endpoint_unknown" // the discovery document cannot be read
	EndpointMissing   Problem = "endpoint_missing" // the discovery document does not name it
	EndpointElsewhere Problem = "endpoint_elsewhere"
)

// Probe is what one look at an endpoint found, layer by layer. What was not reached is zero.
type Probe struct {
	What, Method, URL string

	Proxy     string   // that is used, so that the layers below HTTP are not looked at
	Addresses []string // of the host
	Address   string   // that was connected to
	TLS       *TLSProbe
	Status    int
	Date      time.Time     // by Keycloak's clock, in whole seconds
	Read      time.Time     // when Date came, by ours
	Took      time.Duration // a new connection included

	Accepted bool    // the client's credentials were
	Problem  Problem // "" for none
	Err      error   // its cause, if there is one

	body []byte
}

// failed notes a problem and its cause.
func (p *Probe) failed(problem Problem, err error) *Probe {
	p.Problem, p.Err = problem, err
	return p
}

// TLSProbe is what a TLS handshake showed, whether it can be trusted or not.
type TLSProbe struct {
	Version        uint16
	Certificate    *x509.Certificate // nil if the server showed none
	Problem        Problem           // of the certificate, also where verification is switched off
	Err            error             // its cause
	IdentityWanted bool              // the server asked for a client certificate
}

// Diagnosis is a look at all endpoints that matter to an API.
type Diagnosis struct {
	Discovery, KeySet, Introspection, Token *Probe

	Metadata *Metadata        // as the document has it; nil if it cannot be read
	Features Features         // of the document
	Keys     []jsontext.Value // of the key set, undecoded
	Base     string           // where the realm was found instead: with /auth before /realms, or without; "" if not
}

// Features are what a realm says it can do, beyond what is used here.
type Features struct {
	DPoPAlgorithms      []string `json:"dpop_signing_alg_values_supported"`
	PushedRequests      string   `json:"pushed_authorization_request_endpoint"`
	GrantTypes          []string `json:"grant_types_supported"`
	BackChannelLogout   bool     `json:"backchannel_logout_supported"`
	CertificateBound    bool     `json:"tls_client_certificate_bound_access_tokens"`
	CodeChallenges      []string `json:"code_challenge_methods_supported"`
	DeviceAuthorization string   `json:"device_authorization_endpoint"`
	BackChannelRequests string   `json:"backchannel_authentication_endpoint"`
}

// probeValue is sent as token and as refresh token. It is neither, so nothing is changed.
const probeValue = "ginkeycloak-diagnosis"

// Diagnose looks at all endpoints, those that the discovery document names at once. It opens new connections, goes
// around the breakers and leaves what is held as it was. It takes no longer than a few time limits.
func (c *Client) Diagnose(ctx context.Context) *Diagnosis {
	d := &Diagnosis{Discovery: c.probeGet(ctx, "discovery document", c.base().String()+wellKnown)}
	d.readMetadata()
	m := Metadata{}
	if d.Metadata != nil {
		m = *d.Metadata
	}
	d.KeySet = c.probeAt(d, "key set", c.cfg.KeySetURL, m.KeySetURL)
	d.Introspection = c.probeAt(d, "introspection endpoint", c.cfg.IntrospectionURL, m.IntrospectionURL)
	d.Token = c.probeAt(d, "token endpoint", c.cfg.TokenURL, m.TokenURL)

	var wg sync.WaitGroup
	if d.KeySet.Problem == "" {
		wg.Go(func() {
			d.KeySet = c.probeGet(ctx, d.KeySet.What, d.KeySet.URL)
			d.readKeys()
		})
	}
	if d.Introspection.Problem == "" {
		wg.Go(func() {
			d.Introspection = c.probePost(ctx, d.Introspection.What, d.Introspection.URL,
				url.Values{"token": {probeValue}, "token_type_hint": {"access_token"}})
		})
	}
	if d.Token.Problem == "" {
		wg.Go(func() {
			d.Token = c.probePost(ctx, d.Token.What, d.Token.URL,
				url.Values{"grant_type": {"refresh_token"}, "refresh_token": {probeValue}})
		})
	}
	if d.Discovery.Problem == NotFound {
		wg.Go(func() { d.Base = c.otherBase(ctx) })
	}
	wg.Wait()
	return d
}

// readMetadata reads the discovery document, if it came.
func (d *Diagnosis) readMetadata() {
	if d.Discovery.Problem != "" {
		return
	}
	m := new(Metadata)
	if err := json.Unmarshal(d.Discovery.body, m); err != nil {
		d.Discovery.failed(NotJSON, errNotJSON)
		return
	}
	d.Metadata = m
	_ = json.Unmarshal(d.Discovery.body, &d.Features) // a member of another type is not seen, and nothing is lost
}

// readKeys reads the key set, if it came.
func (d *Diagnosis) readKeys() {
	if d.KeySet.Problem != "" {
		return
	}
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(d.KeySet.body, &set); err != nil {
		d.KeySet.failed(NotJSON, errNotJSON)
		return
	}
	d.Keys = set.Keys
}

// probeAt finds the address of an endpoint: the configuration's, or else the discovery document's. A document with an
// issuer that nobody knows names addresses below that issuer; in order to go on, they are looked for here.
func (c *Client) probeAt(d *Diagnosis, what, override, address string) *Probe {
	p := &Probe{What: what, URL: override}
	switch {
	case override != "":
		return p
	case d.Metadata == nil:
		return p.failed(EndpointUnknown, nil)
	case address == "":
		return p.failed(EndpointMissing, nil)
	}
	found, err := c.reachable(address)
	if err != nil {
		rest, ok := strings.CutPrefix(address, d.Metadata.Issuer)
		if !ok || d.Metadata.Issuer == "" {
			p.URL = address
			return p.failed(EndpointElsewhere, err)
		}
		found = c.base().String() + rest
	}
	p.URL = found
	return p
}

// otherBase looks for the realm with /auth put before /realms or taken away, and returns where it found it.
func (c *Client) otherBase(ctx context.Context) string {
	const legacy = "/auth"
	u := *c.base()
	i := strings.LastIndex(u.Path, "/realms/")
	if i < 0 {
		return ""
	}
	before, ok := strings.CutSuffix(u.Path[:i], legacy)
	if !ok {
		before += legacy
	}
	u.Path = before + u.Path[i:]
	if c.probeGet(ctx, "", u.String()+wellKnown).Problem != "" {
		return ""
	}
	u.Path = before
	return u.String()
}

// Clock asks Keycloak what time it is, and returns how far now is ahead of that, to about a second.
func (c *Client) Clock(ctx context.Context) (ahead time.Duration, ok bool) {
	p := c.probeGet(ctx, "discovery document", c.base().String()+wellKnown)
	return p.Ahead()
}

// Ahead is how far our clock is ahead of Keycloak's, by the Date of an answer (RFC 9110 §6.6.1): to about a second.
func (p *Probe) Ahead() (ahead time.Duration, ok bool) {
	if p.Date.IsZero() {
		return 0, false
	}
	// Date is cut to the second it was written in, of which on average half has passed.
	return (p.Read.Sub(p.Date) - time.Second/2).Round(time.Second), true
}

// probeGet looks at an endpoint that is asked by GET.
func (c *Client) probeGet(ctx context.Context, what, address string) (p *Probe) {
	p = &Probe{What: what, Method: http.MethodGet, URL: address}
	defer c.rescueProbe(p)
	c.exchange(ctx, p, http.Header{"Accept": {"application/json"}}, nil)
	if p.Problem == "" {
		p.judgeStatus(http.StatusOK)
	}
	return p
}

// probePost looks at an endpoint that takes forms, with the client's credentials if it has any.
func (c *Client) probePost(ctx context.Context, what, address string, form url.Values) (p *Probe) {
	p = &Probe{What: what, Method: http.MethodPost, URL: address}
	defer c.rescueProbe(p)
	header := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}}
	if c.cfg.Credentials.ClientID != "" {
		if err := c.cfg.Credentials.authenticate(header, form, c.cfg.Issuers[0], c.cfg.Now()); err != nil {
			return p.failed(ClientRefused, err)
		}
	}
	c.exchange(ctx, p, header, form)
	if p.Problem != "" {
		return p
	}
	switch code := errorCode(p.body); {
	case p.Status == http.StatusOK, p.Status == http.StatusBadRequest && code == "invalid_grant":
		p.Accepted = c.cfg.Credentials.ClientID != ""
	case p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden ||
		code == "invalid_client" || code == "unauthorized_client":
		// Whoever proves nothing is turned away: the endpoint is there.
		if c.cfg.Credentials.Confidential() {
			return p.failed(ClientRefused, statusError(p.Status))
		}
	case p.Status == http.StatusBadRequest && code != "" && c.cfg.Credentials.ClientID == "":
		// It misses the client: the endpoint is there.
	default:
		p.judgeStatus(http.StatusOK)
	}
	return p
}

// rescueProbe turns a panic of what the program plugged in into a problem: a probe runs on a goroutine of its own.
func (c *Client) rescueProbe(p *Probe) {
	if v := recover(); v != nil {
		p.failed(NotReached, rescue.Note(c.cfg.Logger, v))
	}
}

// judgeStatus notes a problem unless the status is the one that was hoped for.
func (p *Probe) judgeStatus(good int) {
	switch p.Status {
	case good:
	case http.StatusNotFound:
		p.failed(NotFound, statusError(p.Status))
	case http.StatusMethodNotAllowed:
		p.failed(MethodNotAllowed, statusError(p.Status))
	default:
		p.failed(UnexpectedStatus, statusError(p.Status))
	}
}

// exchange looks at the layers below HTTP, and then sends the request by the very client that all calls use.
func (c *Client) exchange(ctx context.Context, p *Probe, header http.Header, form url.Values) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var body io.Reader = http.NoBody
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, p.Method, p.URL, body)
	if err != nil {
		p.failed(NotReached, err)
		return
	}
	req.Header = header

	begin := time.Now()
	client, transport := c.freshClient()
	if transport != nil {
		defer transport.CloseIdleConnections()
		if err := p.lookBelow(ctx, transport, req); err != nil {
			p.failed(problemOf(err, p), cause(err))
			return
		}
	}
	status, date, answer, err := c.send(client, req)
	p.Took = time.Since(begin)
	p.Status, p.Date, p.Read, p.body = status, date, c.cfg.Now(), answer
	switch {
	case errors.Is(err, errTooLarge):
		p.failed(TooLarge, err)
	case err != nil:
		p.failed(problemOf(err, p), cause(err))
	}
	if p.mayWantTLS(req) && transport != nil && speaksTLS(ctx, transport, req) {
		p.failed(SpeaksTLS, nil)
	}
}

// mayWantTLS reports whether what became of a request over http is what a port for https makes of one.
func (p *Probe) mayWantTLS(req *http.Request) bool {
	return req.URL.Scheme == "http" && (p.Problem == Closed || p.Problem == NotReached || p.Status == http.StatusBadRequest && errorCode(p.body) == "")
}

// freshClient is the client for calls with connections of its own, so that each probe shows all layers. The transport
// is nil if it is one of the user's that has none to show.
func (c *Client) freshClient() (*http.Client, *http.Transport) {
	client := *c.http
	transport, ok := client.Transport.(*http.Transport)
	if !ok {
		return &client, nil
	}
	transport = transport.Clone()
	transport.DisableKeepAlives = true
	client.Transport = transport
	return &client, transport
}

// send sends a request and reads its answer whole, within the body limit.
func (c *Client) send(client *http.Client, req *http.Request) (status int, date time.Time, body []byte, err error) {
	resp, err := client.Do(req)
	if err != nil {
		return 0, time.Time{}, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	date, _ = http.ParseTime(resp.Header.Get("Date")) // without one, it is not known
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = errTooLarge
	}
	return resp.StatusCode, date, body, err
}
