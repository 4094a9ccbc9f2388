package keycloak

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"syscall"
	"time"
)

// maxAddresses is how many addresses of a host a probe lists.
const maxAddresses = 8

// lookBelow looks at what a request stands on: the name, the connection, the handshake. It returns an error if there
// is no use in going on. What only the exchange can show, such as a certificate that is refused, is left to it.
func (p *Probe) lookBelow(ctx context.Context, t *http.Transport, req *http.Request) error {
	if t.Proxy != nil {
		if proxy, err := t.Proxy(req); err == nil && proxy != nil {
			p.Proxy = proxy.Host
			return nil
		}
	}
	conn, err := p.connect(ctx, t, hostPort(req))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	p.Address = conn.RemoteAddr().String()
	if req.URL.Scheme != "https" || t.DialTLSContext != nil {
		return nil
	}
	p.TLS, err = shakeHands(ctx, t.TLSClientConfig, conn, req.URL.Hostname())
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return err
	}
	return nil
}

// hostPort is where a request goes to.
func hostPort(req *http.Request) string {
	port := req.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[req.URL.Scheme]
	}
	return net.JoinHostPort(req.URL.Hostname(), port)
}

// connect opens a connection as the transport would, and takes down the addresses of the host.
func (p *Probe) connect(ctx context.Context, t *http.Transport, address string) (net.Conn, error) {
	var mu sync.Mutex // guards p.Addresses: names may be looked up in several goroutines
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{DNSDone: func(info httptrace.DNSDoneInfo) {
		mu.Lock()
		defer mu.Unlock()
		for _, a := range info.Addrs {
			if len(p.Addresses) < maxAddresses && !slices.Contains(p.Addresses, a.String()) {
				p.Addresses = append(p.Addresses, a.String())
			}
		}
	}})
	dial := t.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", address)
	mu.Lock()
	defer mu.Unlock()
	return conn, err
}

// shakeHands looks at a server's TLS with everything allowed, in order to see what it would be refused for.
func shakeHands(ctx context.Context, base *tls.Config, conn net.Conn, host string) (*TLSProbe, error) {
	cfg := new(tls.Config)
	if base != nil {
		cfg = base.Clone()
	}
	found := new(TLSProbe)
	own := cfg.Certificates
	getOwn := cfg.GetClientCertificate
	cfg.InsecureSkipVerify = true     // nothing is sent over this connection; the certificate is verified below
	cfg.MinVersion = tls.VersionTLS10 // to tell what is too old from what is no TLS
	cfg.MaxVersion = 0
	cfg.VerifyPeerCertificate, cfg.VerifyConnection = nil, nil
	cfg.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		found.IdentityWanted = true
		if getOwn != nil {
			return getOwn(info)
		}
		if len(own) > 0 {
			return &own[0], nil
		}
		return new(tls.Certificate), nil
	}
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}

	secured := tls.Client(conn, cfg)
	err := secured.HandshakeContext(ctx)
	state := secured.ConnectionState()
	found.Version = state.Version
	if len(state.PeerCertificates) > 0 {
		found.Certificate = state.PeerCertificates[0]
		found.verify(state.PeerCertificates, cfg)
	}
	if err != nil && found.Certificate == nil && !found.IdentityWanted {
		return nil, err
	}
	return found, err
}

// verify judges a certificate as crypto/tls does for a client.
func (t *TLSProbe) verify(chain []*x509.Certificate, cfg *tls.Config) {
	now := time.Now
	if cfg.Time != nil {
		now = cfg.Time
	}
	opts := x509.VerifyOptions{Roots: cfg.RootCAs, DNSName: cfg.ServerName, CurrentTime: now(), Intermediates: x509.NewCertPool()}
	for _, cert := range chain[1:] {
		opts.Intermediates.AddCert(cert)
	}
	if _, err := t.Certificate.Verify(opts); err != nil {
		t.Problem, t.Err = certificateProblem(err, t.Certificate, now()), err
	}
}

// certificateProblem sorts an error of verifying a certificate; "" if it is none.
func certificateProblem(err error, cert *x509.Certificate, now time.Time) Problem {
	switch kindOf(err) {
	case CertificateExpired:
		if cert != nil && now.Before(cert.NotBefore) {
			return CertFuture
		}
		return CertPast
	case CertificateUnknown:
		return CertAuthority
	case CertificateHostname:
		return CertHost
	case CertificateInvalid:
		return CertInvalid
	default:
	}
	if _, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return CertInvalid
	}
	return ""
}

// problemOf sorts an error of the transport, by its type and by what the look at the layers below has shown.
func problemOf(err error, p *Probe) Problem {
	var leaf *x509.Certificate
	if p.TLS != nil {
		leaf = p.TLS.Certificate
	}
	if problem := certificateProblem(err, leaf, time.Now()); problem != "" {
		return problem
	}
	dns, isDNS := errors.AsType[*net.DNSError](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, errRedirect):
		return Redirected
	case isDNS && dns.IsNotFound:
		return HostUnknown
	case isDNS && !dns.IsTimeout:
		return HostUnresolved
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case isRecord, errors.Is(err, http.ErrSchemeMismatch):
		return SpeaksPlain
	case p.TLS != nil && p.TLS.Version != 0 && p.TLS.Version < tls.VersionTLS12:
		return TLSTooOld
	case p.TLS != nil && p.TLS.IdentityWanted:
		return IdentityWanted
	case errors.Is(err, context.DeadlineExceeded), isNet && timeout.Timeout():
		return TimedOut
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Closed
	case isAlert(err):
		return TLSFailed
	}
	return NotReached
}

// isAlert reports whether one side of a TLS handshake told the other that it has to end (RFC 8446 §6).
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "remote error" || op.Op == "local error")
}

// speaksTLS reports whether a server completes a TLS handshake, with whatever certificate.
func speaksTLS(ctx context.Context, t *http.Transport, req *http.Request) bool {
	conn, err := new(Probe).connect(ctx, t, hostPort(req))
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	found, _ := shakeHands(ctx, t.TLSClientConfig, conn, req.URL.Hostname()) // that it began to speak is enough
	return found != nil
}
