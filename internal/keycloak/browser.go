package keycloak

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
)

// BrowserEndpoints are the endpoints that a browser uses to log its user in and out, under their public addresses.
type BrowserEndpoints struct {
	Authorization string
	Token         string
	EndSession    string // "" where the realm has none
}

// BrowserEndpoints finds the endpoints in the discovery document. It was perhaps fetched inside, and names the
// addresses there; browsers are sent to the realm's public address, or to that of the configuration.
func (c *Client) BrowserEndpoints(ctx context.Context) (*BrowserEndpoints, error) {
	m, err := c.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	e := new(BrowserEndpoints)
	for _, endpoint := range []struct {
		name, address string
		to            *string
	}{
		{"authorization_endpoint", m.AuthorizationURL, &e.Authorization},
		{"token_endpoint", c.tokenAddress(m), &e.Token},
		{"end_session_endpoint", m.EndSessionURL, &e.EndSession},
	} {
		if endpoint.address == "" && endpoint.to == &e.EndSession {
			continue
		}
		if *endpoint.to, err = c.public(endpoint.address); err != nil {
			return nil, c.badEndpoint(endpoint.name, err)
		}
	}
	return e, nil
}

func (c *Client) tokenAddress(m *Metadata) string {
	if c.cfg.TokenURL != "" {
		return c.cfg.TokenURL
	}
	return m.TokenURL
}

// public turns an endpoint's address into the one for browsers. One of the configuration's may be anywhere.
func (c *Client) public(endpoint string) (string, error) {
	if endpoint == "" {
		return "", errors.New("it is not there")
	}
	address, err := c.moved(endpoint, c.cfg.Realm)
	if err != nil && endpoint == c.cfg.TokenURL {
		return endpoint, nil
	}
	return address, err
}

// BrowserOrigins are the origins of all that BrowserEndpoints can ever return. It does no I/O.
func (c *Client) BrowserOrigins() []string {
	origins := []string{origin(c.cfg.Realm)}
	if c.cfg.TokenURL == "" {
		return origins
	}
	address, err := c.public(c.cfg.TokenURL)
	if err != nil {
		return origins
	}
	if u, err := url.Parse(address); err == nil && !slices.Contains(origins, origin(u)) {
		origins = append(origins, origin(u))
	}
	return origins
}

func origin(u *url.URL) string { return u.Scheme + "://" + strings.ToLower(u.Host) }
