package keycloak

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// wellKnown is where a realm's discovery document is (OpenID Connect Discovery 1.0 §4).
const wellKnown = "/.well-known/openid-configuration"

// Metadata is what a realm says of itself in its discovery document, as far as it is used here.
type Metadata struct {
	Issuer           string `json:"issuer"`
	KeySetURL        string `json:"jwks_uri"`
	IntrospectionURL string `json:"introspection_endpoint"`
	AuthorizationURL string `json:"authorization_endpoint"`
	TokenURL         string `json:"token_endpoint"`
	EndSessionURL    string `json:"end_session_endpoint"`
}

// Metadata returns the realm's metadata, fetched at most once at a time and then kept for a while. If it
// cannot be fetched again, the old one goes on serving.
func (c *Client) Metadata(ctx context.Context) (*Metadata, error) {
	held, fresh := c.held()
	if fresh {
		return held, nil
	}
	flight := c.flights.DoChan("metadata", func() (any, error) {
		ctx, cancel := c.Detach(ctx)
		defer cancel()
		return c.discover(ctx)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-flight:
		if result.Err == nil {
			return result.Val.(*Metadata), nil
		}
		if held != nil {
			return held, nil
		}
		return nil, result.Err
	}
}

func (c *Client) held() (m *Metadata, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.metadata, c.metadata != nil && c.cfg.Now().Sub(c.loadedAt) < c.cfg.MetadataTTL
}

// discover fetches the discovery document and keeps it if it is the right one.
func (c *Client) discover(ctx context.Context) (m *Metadata, err error) {
	r := request{call: callDiscovery, what: "discovery document", address: c.base().String() + wellKnown}
	defer c.rescue(r, &err)
	m = new(Metadata)
	if err := c.get(ctx, r, m); err != nil {
		return nil, err
	}
	if err := c.judge(m); err != nil {
		return nil, r.failed(Misconfigured, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metadata, c.loadedAt = m, c.cfg.Now()
	return m, nil
}

// judge refuses a document of another issuer (OpenID Connect Discovery 1.0 §4.3). Besides the issuers of the
// configuration it may name the address it was asked under, as a Keycloak without a fixed hostname does; tokens
// are held to the configured issuers all the same.
func (c *Client) judge(m *Metadata) error {
	if !slices.Contains(c.cfg.Issuers, m.Issuer) && m.Issuer != c.base().String() {
		return fmt.Errorf("its issuer is %.200q, expected %q: make the server URL and the hostname setting of Keycloak agree, or name the issuer with WithIssuer",
			m.Issuer, c.cfg.Issuers)
	}
	return nil
}

// base is the address of the realm as this process reaches it.
func (c *Client) base() *url.URL {
	if c.cfg.Internal != nil {
		return c.cfg.Internal
	}
	return c.cfg.Realm
}

// reachable turns an endpoint's address from the discovery document into the one to ask. Its host must be one
// that the configuration names for this realm; a document does not get to send us elsewhere.
func (c *Client) reachable(endpoint string) (string, error) { return c.moved(endpoint, c.base()) }

// moved is an endpoint's address from the discovery document with the realm's address replaced by another of its
// addresses.
func (c *Client) moved(endpoint string, to *url.URL) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.User != nil || u.Fragment != "" {
		return "", errors.New("not a usable address")
	}
	for _, realm := range c.addresses {
		if u.Scheme != realm.Scheme || !strings.EqualFold(u.Host, realm.Host) {
			continue
		}
		u.Scheme, u.Host = to.Scheme, to.Host
		if rest, ok := strings.CutPrefix(u.Path, realm.Path); ok {
			u.Path = to.Path + rest
		}
		return u.String(), nil
	}
	return "", fmt.Errorf("%s://%.200s is not the realm's own host %s: if that is meant, name it with an option such as WithJWKSURL",
		u.Scheme, u.Host, c.cfg.Realm.Host)
}

// KeySet fetches the realm's key set (RFC 7517 §5), its keys still undecoded.
func (c *Client) KeySet(ctx context.Context) ([]jsontext.Value, error) {
	address, err := c.keySetURL(ctx)
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	r := request{call: callKeySet, what: "key set", address: address}
	if err := c.get(ctx, r, &set); err != nil {
		c.forget()
		return nil, err
	}
	if len(set.Keys) == 0 {
		return nil, r.failed(Unavailable, errors.New("it has no keys"))
	}
	return set.Keys, nil
}

// keySetURL finds the address of the key set: the configuration's, or else the discovery document's.
func (c *Client) keySetURL(ctx context.Context) (string, error) {
	if c.cfg.KeySetURL != "" {
		return c.cfg.KeySetURL, nil
	}
	m, err := c.Metadata(ctx)
	if err != nil {
		return "", err
	}
	return c.endpointURL("jwks_uri", m.KeySetURL)
}

// endpointURL checks and rewrites the address that the discovery document has under name.
func (c *Client) endpointURL(name, address string) (string, error) {
	err := errors.New("it is not there")
	if address != "" {
		if address, err = c.reachable(address); err == nil {
			return address, nil
		}
	}
	return "", c.badEndpoint(name, err)
}

func (c *Client) badEndpoint(name string, err error) error {
	return &Error{
		Kind: Misconfigured, What: "discovery document", URL: c.base().String() + wellKnown,
		Err: fmt.Errorf("its %s: %w", name, err),
	}
}

// forget makes the next caller discover anew: the endpoint may have moved.
func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.metadata != nil {
		c.loadedAt = c.loadedAt.Add(-c.cfg.MetadataTTL)
	}
}
