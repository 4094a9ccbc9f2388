package ginkeycloak

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/c0mpiler/ginkeycloak/internal/keycloak"
	"github.com/c0mpiler/ginkeycloak/internal/keys"
)

// Report is what Diagnose found. Its JSON begins like the result of run_diagnostics of the Python package
// fastapi-authlib-keycloak; String is for people. It holds no token and no secret, but addresses and certificates:
// it is for those who run the API.
type Report struct {
	ServerURL       string         `json:"server_url"`
	Realm           string         `json:"realm"`
	TLSVerification bool           `json:"ssl_verification_enabled"`
	Discovery       EndpointReport `json:"oidc_discovery_status"`
	KeySet          EndpointReport `json:"jwks_uri_status"`
	Introspection   EndpointReport `json:"introspection_endpoint_status"`
	Token           EndpointReport `json:"token_endpoint_status"`

	OK       bool      `json:"ok"`       // there is no problem but warnings
	Problems []Problem `json:"problems"` // the cause of the others first

	Issuer      IssuerReport `json:"issuer"`
	Keys        []KeyReport  `json:"keys"` // those that can be used first
	Clock       ClockReport  `json:"clock"`
	ClientID    string       `json:"client_id,omitzero"`
	Credentials string       `json:"client_credentials"` // "accepted", "refused" or "unchecked"
	Features    []string     `json:"features"`           // of Keycloak, as far as its discovery document names them
	KeysHeld    int          `json:"keys_held"`          // by this plugin, before it was asked
	TookMS      float64      `json:"took_ms"`
}

// Problem is something that keeps the API from working, or with Warning something that will or may.
type Problem struct {
	Code     string `json:"code"`              // stable, such as "certificate_expired"
	Endpoint string `json:"endpoint,omitzero"` // such as "key set"
	Warning  bool   `json:"warning,omitzero"`
	Text     string `json:"text"`
	Mend     string `json:"mend"`
}

// The statuses of an EndpointReport.
const (
	StatusOK       = "OK"
	StatusError    = "ERROR"
	StatusDisabled = "DISABLED" // not looked at, because its address is not known
)

// EndpointReport is what one look at an endpoint found.
type EndpointReport struct {
	URL       string  `json:"endpoint_url,omitzero"`
	Status    string  `json:"status"`
	Message   string  `json:"message"`
	LatencyMS float64 `json:"latency_ms"`

	CertValid *bool  `json:"cert_valid"` // nil where no certificate was seen
	CertDays  *int   `json:"cert_expiry_days_remaining"`
	CertError string `json:"cert_error_details,omitzero"`

	Problem    string     `json:"problem,omitzero"` // the code of its Problem
	Method     string     `json:"method,omitzero"`
	HTTPStatus int        `json:"http_status,omitzero"`
	Proxy      string     `json:"proxy,omitzero"`
	Addresses  []string   `json:"addresses"`        // of the host, by DNS
	Address    string     `json:"address,omitzero"` // that was connected to
	TLS        *TLSReport `json:"tls,omitzero"`
}

// TLSReport is what a handshake showed. With verification switched off it shows all the same what is wrong.
type TLSReport struct {
	Version          string    `json:"version"`
	Subject          string    `json:"subject"`
	Names            []string  `json:"names"` // the certificate is for
	Issuer           string    `json:"issuer"`
	NotBefore        time.Time `json:"not_before"`
	NotAfter         time.Time `json:"not_after"`
	Problem          string    `json:"problem,omitzero"` // such as "certificate_wrong_host"
	ClientCertWanted bool      `json:"client_certificate_wanted,omitzero"`
}

// IssuerReport compares the issuer that the discovery document names with those that tokens may have.
type IssuerReport struct {
	Expected   []string `json:"expected"`
	Document   string   `json:"document,omitzero"`
	Difference []string `json:"difference"` // "scheme", "host", "port", "/auth", "realm", "trailing slash"; none if it is accepted
}

// KeyReport is a key of the key set.
type KeyReport struct {
	KeyID     string `json:"kid"`
	Type      string `json:"kty"`
	Algorithm string `json:"alg,omitzero"`
	Use       string `json:"use,omitzero"`
	Usable    bool   `json:"usable"`
	Reason    string `json:"reason,omitzero"` // why it is not
}

// ClockReport compares this machine's clock with Keycloak's, by the Date of its answer: to about a second.
type ClockReport struct {
	Known        bool `json:"known"`
	AheadSeconds int  `json:"ahead_seconds"` // negative if it is behind
}

// Diagnose looks at everything between this API and Keycloak: name, connection, certificate and answer of each
// endpoint, issuer, keys, clock and client credentials. It uses new connections, changes nothing at Keycloak, but may
// leave an entry in its log of events, and changes nothing here. It takes as long as a few time limits at the most,
// or until ctx ends.
func (p *Plugin) Diagnose(ctx context.Context) Report {
	begin := time.Now()
	held, _ := p.home.keys.Snapshot()
	d := &diagnosis{cfg: p.cfg, found: p.home.client.Diagnose(ctx)}
	d.Report = Report{
		ServerURL:       p.cfg.serverAddress(),
		Realm:           p.cfg.realm,
		TLSVerification: !p.cfg.skipsVerification(),
		ClientID:        p.cfg.clientID,
		Credentials:     "unchecked",
		KeysHeld:        held,
		Problems:        []Problem{},
		Keys:            []KeyReport{},
		Features:        features(&d.found.Features),
	}
	d.Discovery = d.endpoint(d.found.Discovery, p.cfg.jwksURL != "")
	d.compareIssuer()
	d.KeySet = d.endpoint(d.found.KeySet, false)
	d.inspectKeys()
	d.Introspection = d.endpoint(d.found.Introspection, p.cfg.introspection.mode == introspectNone)
	d.Token = d.endpoint(d.found.Token, true)
	d.compareClocks()
	d.judgeCredentials()
	d.judgeCertificates()
	// The causes first: a certificate that will expire is no news while nothing works.
	slices.SortStableFunc(d.Problems, func(a, b Problem) int { return order(a) - order(b) })
	d.OK = !slices.ContainsFunc(d.Problems, func(p Problem) bool { return !p.Warning })
	d.TookMS = milliseconds(time.Since(begin))
	return d.Report
}

func order(p Problem) int {
	if p.Warning {
		return 1
	}
	return 0
}

// DiagnosticsHandler answers with a Report as JSON. It tells of addresses, certificates and keys, and each request
// causes several to Keycloak: do not register it without a guard. RequireRoles will do, except that it lets nobody in
// while Keycloak was never reached, which is when the report is wanted most; a port of its own or a password will do
// then too.
func (p *Plugin) DiagnosticsHandler() gin.HandlerFunc {
	return func(c *gin.Context) {
		defer p.rescue(c)
		report := p.Diagnose(c.Request.Context())
		body, err := json.Marshal(&report)
		if err != nil { // texts have been made valid UTF-8, so it cannot fail
			c.Status(http.StatusInternalServerError)
			return
		}
		c.Header("Cache-Control", "no-store")
		c.Data(http.StatusOK, "application/json; charset=utf-8", body)
	}
}

// diagnosis is a report in the making.
type diagnosis struct {
	Report

	cfg   *config
	found *keycloak.Diagnosis
}

// serverAddress is what comes before /realms.
func (c *config) serverAddress() string {
	address := c.realmAddress.String()
	if i := strings.LastIndex(address, "/realms/"); i >= 0 {
		return address[:i]
	}
	return address
}

// skipsVerification reports whether certificates are taken as they are, by an option or by the user's transport.
func (c *config) skipsVerification() bool {
	if c.httpClient != nil {
		if t, ok := c.httpClient.Transport.(*http.Transport); ok && t.TLSClientConfig != nil {
			return t.TLSClientConfig.InsecureSkipVerify
		}
	}
	return c.insecureSkipTLSVerify
}

// report adds a problem, unless another endpoint of the same host had the same one.
func (d *diagnosis) report(problem Problem) {
	same := func(p Problem) bool { return p.Code == problem.Code && p.Text == problem.Text }
	if i := slices.IndexFunc(d.Problems, same); i >= 0 {
		d.Problems[i].Warning = d.Problems[i].Warning && problem.Warning
		return
	}
	d.Problems = append(d.Problems, problem)
}

// endpoint reports on an endpoint. What is wrong with one that is not used for validating tokens is a warning.
func (d *diagnosis) endpoint(p *keycloak.Probe, optional bool) EndpointReport {
	r := EndpointReport{
		URL: clean(p.URL), Status: StatusOK, LatencyMS: milliseconds(p.Took), Method: p.Method, HTTPStatus: p.Status,
		Problem: string(p.Problem), Proxy: p.Proxy, Addresses: slices.Clone(p.Addresses), Address: p.Address,
	}
	if p.Problem == "" {
		r.Message = fmt.Sprintf("%d %s", p.Status, http.StatusText(p.Status))
		if p.Status != http.StatusOK {
			r.Message += " as expected" // to what is no token, or without credentials
		}
	}
	if p.TLS != nil {
		r.readTLS(p.TLS)
	}
	switch p.Problem {
	case "":
	case keycloak.EndpointUnknown:
		r.Status, r.Message = StatusDisabled, "not looked at: the discovery document would name its address"
	case keycloak.EndpointMissing:
		r.Status, r.Message = StatusDisabled, "the discovery document does not name it"
		d.report(Problem{
			Code: r.Problem, Endpoint: p.What, Warning: optional, Text: "the discovery document names no " + p.What,
			Mend: "Is that a Keycloak? If so, name the address with an option such as WithJWKSURL.",
		})
	default:
		text, mend := d.explain(p)
		r.Status, r.Message = StatusError, text
		d.report(Problem{Code: r.Problem, Endpoint: p.What, Warning: optional && p.Problem != keycloak.ClientRefused, Text: text, Mend: mend})
	}
	return r
}

func (r *EndpointReport) readTLS(t *keycloak.TLSProbe) {
	r.TLS = &TLSReport{Version: tls.VersionName(t.Version), Problem: string(t.Problem), ClientCertWanted: t.IdentityWanted, Names: []string{}}
	if t.Version == 0 {
		r.TLS.Version = ""
	}
	cert := t.Certificate
	if cert == nil {
		return
	}
	r.TLS.Subject, r.TLS.Issuer = clean(cert.Subject.String()), clean(cert.Issuer.String())
	r.TLS.NotBefore, r.TLS.NotAfter = cert.NotBefore, cert.NotAfter
	r.TLS.Names = namesOf(cert.DNSNames, cert.IPAddresses)
	valid, days := t.Problem == "", daysUntil(cert.NotAfter)
	r.CertValid, r.CertDays = &valid, &days
	if t.Err != nil {
		r.CertError = clean(t.Err.Error())
	}
}

// compareIssuer compares the discovery document's issuer with those that are accepted.
func (d *diagnosis) compareIssuer() {
	d.Issuer = IssuerReport{Expected: slices.Clone(d.cfg.issuers), Difference: []string{}}
	if d.found.Metadata == nil {
		return
	}
	issuer := d.found.Metadata.Issuer
	d.Issuer.Document = clean(issuer)
	inner := d.cfg.realmInner
	if slices.Contains(d.cfg.issuers, issuer) || inner != nil && issuer == inner.String() {
		return
	}
	expected, difference := closest(d.cfg.issuers, issuer)
	d.Issuer.Difference = difference
	d.report(Problem{
		Code: "issuer_differs", Endpoint: d.found.Discovery.What,
		Text: fmt.Sprintf("the issuer differs %s: this API expects %s, Keycloak calls itself %s", inWhat(difference), shown(expected), shown(issuer)),
		Mend: issuerMend(difference, issuer, expected),
	})
}

// inspectKeys says which keys can be used.
func (d *diagnosis) inspectKeys() {
	if d.found.KeySet.Problem != "" {
		return
	}
	usable := 0
	var algorithms []string
	for _, e := range keys.Inspect(d.found.Keys, d.cfg.algorithms) {
		d.Keys = append(d.Keys, KeyReport{
			KeyID: clean(e.KeyID), Type: clean(e.Type), Algorithm: clean(e.Algorithm), Use: clean(e.Use),
			Usable: e.Reason == "", Reason: clean(e.Reason),
		})
		switch {
		case e.Reason == "":
			usable++
		case !e.Proper:
			algorithms = append(algorithms, e.Algorithm)
			d.report(Problem{
				Code: "key_unusable", Endpoint: d.found.KeySet.What, Warning: true,
				Text: fmt.Sprintf("the key %s of the key set is not used: %s", shown(e.KeyID), clean(e.Reason)),
				Mend: "Tokens that are signed with it are refused. See Realm settings → Keys in Keycloak.",
			})
		}
	}
	// Keycloak lists keys by random IDs, another order in each realm; those that matter come first here.
	slices.SortStableFunc(d.Keys, func(a, b KeyReport) int {
		switch {
		case a.Usable == b.Usable:
			return 0
		case a.Usable:
			return -1
		}
		return 1
	})
	if usable > 0 {
		return
	}
	mend := "See Realm settings → Keys in Keycloak."
	if known := knownAlgorithms(algorithms); len(known) > 0 {
		mend = fmt.Sprintf("The realm signs with %s: allow that with WithAlgorithms(%s).", strings.Join(known, ", "), quotedList(known))
	}
	d.report(Problem{
		Code: "no_usable_key", Endpoint: d.found.KeySet.What, Mend: mend,
		Text: fmt.Sprintf("none of the %d keys of the key set can verify a token signed with %s", len(d.Keys), strings.Join(d.cfg.algorithms, " or ")),
	})
}

// compareClocks compares the clocks, by any answer there was.
func (d *diagnosis) compareClocks() {
	for _, p := range []*keycloak.Probe{d.found.Discovery, d.found.KeySet, d.found.Introspection, d.found.Token} {
		ahead, ok := p.Ahead()
		if !ok {
			continue
		}
		d.Clock = ClockReport{Known: true, AheadSeconds: int(ahead / time.Second)}
		if ahead.Abs() <= max(d.cfg.leeway, 2*time.Second) {
			return
		}
		d.report(Problem{
			Code: "clock_differs",
			Text: fmt.Sprintf("this machine's clock is %s Keycloak's, and %v are allowed for", aheadOrBehind(ahead), d.cfg.leeway),
			Mend: "Set the clocks by NTP, on this machine and on Keycloak's. WithLeeway allows for up to 5 min.",
		})
		return
	}
}

// judgeCredentials says whether Keycloak knows this client.
func (d *diagnosis) judgeCredentials() {
	for _, p := range []*keycloak.Probe{d.found.Introspection, d.found.Token} {
		switch {
		case p.Problem == keycloak.ClientRefused:
			d.Credentials = "refused"
			return
		case p.Accepted && d.cfg.credentials.Confidential():
			d.Credentials = "accepted"
		}
	}
}

// judgeCertificates warns of certificates that are about to fail, or that nobody looks at.
func (d *diagnosis) judgeCertificates() {
	if !d.TLSVerification {
		text := "certificates of Keycloak are not verified: anybody on the way can forge tokens"
		if d.Discovery.CertError != "" {
			text += "; this one would be refused: " + d.Discovery.CertError
		}
		d.report(Problem{Code: "verification_off", Warning: true, Text: text, Mend: "Use WithRootCAs instead of WithInsecureSkipTLSVerify."})
	}
	const soon = 30
	for _, e := range []*EndpointReport{&d.Discovery, &d.KeySet, &d.Introspection, &d.Token} {
		if e.CertDays == nil || e.TLS.Problem != "" || *e.CertDays >= soon {
			continue
		}
		d.report(Problem{
			Code: "certificate_expires_soon", Warning: true, Mend: "Renew it.",
			Text: fmt.Sprintf("the certificate of %s expires in %d days, on %s", hostOf(e.URL), *e.CertDays, e.TLS.NotAfter.UTC().Format(time.DateOnly)),
		})
	}
}

// features lists what a realm says it can do.
func features(f *keycloak.Features) []string {
	list := []string{}
	add := func(name string, seen bool) {
		if seen {
			list = append(list, name)
		}
	}
	granted := func(name string) bool { return slices.Contains(f.GrantTypes, name) }
	add("DPoP", len(f.DPoPAlgorithms) > 0)
	add("certificate-bound tokens", f.CertificateBound)
	add("pushed authorization requests", f.PushedRequests != "")
	add("PKCE S256", slices.Contains(f.CodeChallenges, "S256"))
	add("token exchange", granted("urn:ietf:params:oauth:grant-type:token-exchange"))
	add("authorization services (UMA)", granted("urn:ietf:params:oauth:grant-type:uma-ticket"))
	add("device authorization", f.DeviceAuthorization != "")
	add("back-channel authentication (CIBA)", f.BackChannelRequests != "")
	add("back-channel logout", f.BackChannelLogout)
	return list
}

// hostOf is the host of an address, with the port if it has one.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return clean(address)
	}
	return clean(u.Host)
}
