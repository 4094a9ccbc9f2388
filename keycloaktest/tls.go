package keycloaktest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"time"
)

// TLSKind says how the server does TLS, and what is wrong about it.
type TLSKind int

// The kinds of TLS. What is not mentioned is in order: the certificate is for localhost, 127.0.0.1, ::1 and
// keycloak.test, by a CA that RootCAs holds.
const (
	plainHTTP              TLSKind = iota
	Valid                          // nothing is wrong
	Expired                        // the certificate expired an hour ago
	UnknownCA                      // RootCAs holds another CA than the one that signed
	WrongHost                      // the certificate is for wrong.example.com only
	Outdated                       // TLS 1.0 is all it speaks
	WantsClientCertificate         // no client is let in without a certificate
)

// secure makes a CA and a certificate of the asked kind. They are valid by the server's clock and by the real one,
// because not every client lets its clock be set.
func (s *Server) secure(kind TLSKind) error {
	s.roots = x509.NewCertPool()
	if kind == plainHTTP {
		return nil
	}
	ca, err := newAuthority(s.now())
	if err != nil {
		return err
	}
	trusted := ca
	if kind == UnknownCA {
		if trusted, err = newAuthority(s.now()); err != nil {
			return err
		}
	}
	s.roots.AddCert(trusted.cert)
	leaf, err := ca.issue(kind, s.now())
	if err != nil {
		return err
	}
	s.tls = &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS12}
	switch kind {
	case Outdated:
		s.tls.MinVersion, s.tls.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	case WantsClientCertificate:
		s.tls.ClientAuth = tls.RequireAndVerifyClientCert
		s.tls.ClientCAs = s.roots
	}
	return nil
}

// authority is a certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(now time.Time) (authority, error) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	template := newTemplate("keycloaktest CA", now)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return authority{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return authority{cert, signer}, err
}

func (a authority) issue(kind TLSKind, now time.Time) (tls.Certificate, error) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := newTemplate("keycloaktest", now)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames = []string{"localhost", "keycloak.test"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	switch kind {
	case WrongHost:
		template.DNSNames, template.IPAddresses = []string{"wrong.example.com"}, nil
	case Expired:
		template.NotAfter = earlier(now, time.Now()).Add(-time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, signer.Public(), a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer}, err
}

func newTemplate(name string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes([]byte(rand.Text())),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    earlier(now, time.Now()).AddDate(-1, 0, 0),
		NotAfter:     later(now, time.Now()).AddDate(10, 0, 0),
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
