package keycloak

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// Kind says whose fault a failure is, and thereby what mends it.
type Kind int

// The kinds of failure.
const (
	Unavailable         Kind = iota // not reached, or its answer makes no sense: try again later
	Misconfigured                   // reached, but not what the configuration promises
	CredentialsRefused              // our own credentials are not accepted
	CertificateInvalid              // the certificate does not verify, for a reason not below
	CertificateExpired              // … because it has expired or is not valid yet
	CertificateUnknown              // … because its issuer is not trusted
	CertificateHostname             // … because it is for another host
)

var (
	errRedirect = errors.New("redirected")
	errTooLarge = fmt.Errorf("answer is longer than %d bytes", maxBody)
	errNotJSON  = errors.New("answer is not the JSON it should be")
)

// Error is a failed exchange with Keycloak. Its text is for operators: it names addresses, never a token or
// a secret.
type Error struct {
	Kind Kind
	What string // the thing asked for: "discovery document", "key set"
	URL  string
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s at %s: %v", e.What, e.URL, e.Err) }

// Unwrap gives access to the cause.
func (e *Error) Unwrap() error { return e.Err }

type statusError int

func (s statusError) Error() string {
	return fmt.Sprintf("status %d %s", int(s), http.StatusText(int(s)))
}

// kindOf sorts an error of the transport.
func kindOf(err error) Kind {
	if errors.Is(err, errRedirect) {
		return Misconfigured
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return CertificateUnknown
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return CertificateHostname
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return CertificateExpired
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return CertificateInvalid
	}
	return Unavailable
}

// cause strips the *url.Error around an error of the transport, whose text would repeat method and address.
func cause(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
