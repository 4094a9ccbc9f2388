package keycloaktest_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

func TestTLS(t *testing.T) {
	tests := []struct {
		name string
		kind keycloaktest.TLSKind
		want func(error) bool
	}{
		{"valid", keycloaktest.Valid, func(err error) bool { return err == nil }},
		{"expired", keycloaktest.Expired, func(err error) bool {
			invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
			return ok && invalid.Reason == x509.Expired
		}},
		{"unknown CA", keycloaktest.UnknownCA, is[x509.UnknownAuthorityError]},
		{"wrong host", keycloaktest.WrongHost, is[x509.HostnameError]},
		{"outdated", keycloaktest.Outdated, func(err error) bool { return err != nil && strings.Contains(err.Error(), "protocol version") }},
		{
			"wants a client certificate", keycloaktest.WantsClientCertificate,
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "certificate required") },
		},
	}
	clocks := map[string]func() time.Time{
		"now":     time.Now,
		"in 2020": func() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) },
		"in 2060": func() time.Time { return time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC) },
	}
	for _, tt := range tests {
		for when, clock := range clocks {
			t.Run(tt.name+" "+when, func(t *testing.T) {
				t.Parallel()
				s := keycloaktest.New(t, keycloaktest.WithAlgorithm("ES256"), keycloaktest.WithTLS(tt.kind), keycloaktest.WithClock(clock))
				// A client that goes by the server's clock, and one that goes by its own.
				for _, now := range []func() time.Time{clock, time.Now} {
					network := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.RootCAs(), Time: now}}
					if err := fetch(t, network, s.Issuer()); !tt.want(err) {
						t.Errorf("GET with TLS %s: %v", tt.name, err)
					}
					network.CloseIdleConnections()
				}
			})
		}
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
