package keycloak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/sony/gobreaker/v2"
)

// A breaker opens after so many failures in a row, and lets one request try again after that time. Until then a
// dead endpoint costs microseconds instead of the time limit. While that one tries, others wait for it a little: when
// Keycloak has been back for long, they would be refused for nothing.
const (
	breakerFailures = 5
	breakerPause    = 5 * time.Second
	breakerPatience = time.Second
	breakerLook     = 20 * time.Millisecond // how often they look
)

// endpoint is an endpoint that takes forms from authenticated clients.
type endpoint struct {
	call     string
	what     string
	member   string // of the discovery document
	override string // address from the configuration
	address  func(*Metadata) string
	breaker  *gobreaker.CircuitBreaker[answer]
	last     atomic.Pointer[Error] // the failure that callers are told of while the breaker is open
}

func (c *Client) newEndpoint(call, what, member, override string, address func(*Metadata) string) *endpoint {
	e := &endpoint{call: call, what: what, member: member, override: override, address: address}
	e.breaker = gobreaker.NewCircuitBreaker[answer](gobreaker.Settings{
		Name:          what,
		Timeout:       breakerPause,
		ReadyToTrip:   func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= breakerFailures },
		IsExcluded:    func(err error) bool { return errors.Is(err, context.Canceled) },
		IsSuccessful:  isAlive,
		OnStateChange: c.logBreaker,
	})
	return e
}

// isAlive reports whether an endpoint is well enough to be asked again. What it finds wrong with a single request is
// nothing to pause for: a stranger could have caused it.
func isAlive(err error) bool {
	failure, ok := errors.AsType[*Error](err)
	return err == nil || ok && failure.Kind == Misconfigured
}

// logBreaker tells of an endpoint's trouble once when it begins and once when it ends.
func (c *Client) logBreaker(what string, from, to gobreaker.State) {
	switch {
	case from == gobreaker.StateClosed:
		c.cfg.Logger.LogAttrs(c.life, slog.LevelWarn, "keycloak: endpoint keeps failing, pausing", slog.String("endpoint", what))
	case to == gobreaker.StateClosed:
		c.cfg.Logger.LogAttrs(c.life, slog.LevelInfo, "keycloak: endpoint works again", slog.String("endpoint", what))
	}
}

// post sends a form to an endpoint, with the client's credentials. What it returns has status 200, 204 or 400;
// everything else is an error.
func (c *Client) post(ctx context.Context, e *endpoint, form url.Values) (answer, error) {
	once := func() (answer, error) {
		got, err := c.postOnce(ctx, e, form)
		if failure, ok := errors.AsType[*Error](err); ok {
			e.last.Store(failure)
		}
		return got, err
	}
	got, err := e.breaker.Execute(once)
	for waited := time.Duration(0); errors.Is(err, gobreaker.ErrTooManyRequests) && waited < breakerPatience; waited += breakerLook {
		if !pause(ctx, breakerLook) {
			break
		}
		got, err = e.breaker.Execute(once)
	}
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		if last := e.last.Load(); last != nil {
			return answer{}, last
		}
	}
	return got, err
}

// pause waits, and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (c *Client) postOnce(ctx context.Context, e *endpoint, form url.Values) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	address, issuer, err := c.locate(ctx, e)
	if err != nil {
		return answer{}, err
	}
	r := request{call: e.call, what: e.what, address: address}
	header := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}}
	if err := c.cfg.Credentials.authenticate(header, form, issuer, c.cfg.Now()); err != nil {
		return answer{}, r.failed(Misconfigured, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, r.failed(Misconfigured, err)
	}
	req.Header = header
	return c.call(r, req, func(got answer) error { return c.judgeStatus(r, got) })
}

// locate finds the address of an endpoint, the configuration's or else the discovery document's, and the name that
// the issuer goes by there: a Keycloak without a fixed hostname goes by the one it is called by.
func (c *Client) locate(ctx context.Context, e *endpoint) (address, issuer string, err error) {
	if e.override != "" {
		return e.override, c.cfg.Issuers[0], nil
	}
	m, err := c.Metadata(ctx)
	if err != nil {
		return "", "", err
	}
	address, err = c.endpointURL(e.member, e.address(m))
	return address, m.Issuer, err
}

// judgeStatus sorts answers into those for the caller and failures, by status and by the error codes of RFC 6749
// §5.2, never by text.
func (c *Client) judgeStatus(r request, got answer) error {
	code := errorCode(got.body)
	switch {
	case got.status == http.StatusOK || got.status == http.StatusNoContent,
		got.status == http.StatusBadRequest && refusesGrant(r.call, code):
		c.noteCredentials(r, true)
		return nil
	case got.status == http.StatusUnauthorized || got.status == http.StatusForbidden ||
		code == "invalid_client" || code == "unauthorized_client":
		c.noteCredentials(r, false)
		return r.failed(CredentialsRefused, fmt.Errorf("client %q: %w", c.cfg.Credentials.ClientID, statusError(got.status)))
	case got.mayPass():
		return r.failed(Unavailable, statusError(got.status))
	}
	return r.failed(Misconfigured, statusError(got.status))
}

// refusesGrant reports whether an error of status 400 is about the refresh token or the code and not about us. Besides
// invalid_grant the token endpoint says invalid_scope where a consent was withdrawn, and invalid_request where it
// dropped the token for its length, since of our form nothing else can be missing.
func refusesGrant(call, code string) bool {
	switch code {
	case "invalid_grant":
		return true
	case "invalid_request", "invalid_scope", "access_denied":
		return call == callToken
	}
	return false
}

// errorCode is the member error of an error response (RFC 6749 §5.2), or "".
func errorCode(body []byte) string {
	var e struct {
		Code string `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	return e.Code
}

// noteCredentials logs once when our own credentials are refused, and once when they are taken again.
func (c *Client) noteCredentials(r request, accepted bool) {
	if c.refused.Swap(!accepted) == !accepted {
		return
	}
	attrs := []slog.Attr{slog.String("client_id", c.cfg.Credentials.ClientID), slog.String("endpoint", r.what)}
	if accepted {
		c.cfg.Logger.LogAttrs(c.life, slog.LevelInfo, "keycloak: client credentials are accepted again", attrs...)
		return
	}
	c.cfg.Logger.LogAttrs(c.life, slog.LevelError,
		"keycloak: CLIENT CREDENTIALS REFUSED: check client ID, secret or key, and how Keycloak wants this client to authenticate", attrs...)
}

// Breakers are the states of the breakers, by the name of the call.
func (c *Client) Breakers() map[string]string {
	states := make(map[string]string, 3)
	for _, e := range []*endpoint{c.introspection, c.token, c.logout} {
		states[e.call] = e.breaker.State().String()
	}
	return states
}

// Introspect asks whether a token is active (RFC 7662 §2.1) and returns the answer's JSON.
func (c *Client) Introspect(ctx context.Context, token string) ([]byte, error) {
	e := c.introspection
	got, err := c.post(ctx, e, url.Values{"token": {token}, "token_type_hint": {"access_token"}})
	if err != nil {
		return nil, err
	}
	if got.status != http.StatusOK {
		return nil, &Error{Kind: Misconfigured, What: e.what, URL: e.override, Err: statusError(got.status)}
	}
	return got.body, nil
}

// ErrInvalidGrant means that Keycloak does not take the refresh token or the code, for whatever reason it may have.
var ErrInvalidGrant = errors.New("invalid_grant")

// Refresh exchanges a refresh token for new tokens (RFC 6749 §6) and returns the answer's JSON.
func (c *Client) Refresh(ctx context.Context, refreshToken string) ([]byte, error) {
	return c.grant(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}})
}

// Exchange exchanges an authorization code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.5) and returns the answer's JSON.
func (c *Client) Exchange(ctx context.Context, code, verifier, redirectURI string) ([]byte, error) {
	return c.grant(ctx, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier}, "redirect_uri": {redirectURI},
	})
}

// grant asks the token endpoint for tokens (RFC 6749 §5).
func (c *Client) grant(ctx context.Context, form url.Values) ([]byte, error) {
	e := c.token
	got, err := c.post(ctx, e, form)
	if err != nil {
		return nil, err
	}
	switch got.status {
	case http.StatusOK:
		return got.body, nil
	case http.StatusBadRequest:
		return nil, ErrInvalidGrant
	}
	return nil, &Error{Kind: Misconfigured, What: e.what, URL: e.override, Err: statusError(got.status)}
}

// Logout ends the session of a refresh token. A session that has ended already is fine.
func (c *Client) Logout(ctx context.Context, refreshToken string) error {
	e := c.logout
	got, err := c.post(ctx, e, url.Values{"refresh_token": {refreshToken}})
	if err == nil && got.status == http.StatusOK {
		// Keycloak answers 200 with a page, and logs nobody out, where it does not understand the request.
		return &Error{Kind: Misconfigured, What: e.what, URL: e.override, Err: statusError(got.status)}
	}
	return err
}
