package ginkeycloak

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/c0mpiler/ginkeycloak/internal/keycloak"
	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// String is the report as a person reads it. Its first line says whether all is well, or what is the matter.
func (r Report) String() string {
	var b strings.Builder
	for _, p := range r.Problems {
		mark := "FAIL"
		if p.Warning {
			mark = "warn"
		}
		if p.Warning && b.Len() == 0 {
			b.WriteString(line("ok", r.summary()))
		}
		b.WriteString(line(mark, sentence(p.Text)))
		b.WriteString(line("", p.Mend))
	}
	if len(r.Problems) == 0 {
		b.WriteString(line("ok", r.summary()))
	}
	b.WriteByte('\n')
	for _, e := range []struct {
		name string
		*EndpointReport
	}{{"discovery", &r.Discovery}, {"key set", &r.KeySet}, {"introspection", &r.Introspection}, {"token", &r.Token}} {
		b.WriteString(row(e.mark(), e.name, e.String()))
	}
	r.writeFacts(&b)
	return b.String()
}

// summary is the headline of a report without a problem.
func (r Report) summary() string {
	credentials := ""
	if r.Credentials == "accepted" {
		credentials = fmt.Sprintf(", and the credentials of client %s are accepted", shown(r.ClientID))
	}
	return fmt.Sprintf("Keycloak answers for realm %s at %s%s.", shown(r.Realm), r.ServerURL, credentials)
}

// writeFacts writes what is no endpoint.
func (r Report) writeFacts(b *strings.Builder) {
	if t := r.Discovery.TLS; t != nil && t.Subject != "" {
		mark := "ok"
		if t.Problem != "" {
			mark = "FAIL"
		}
		b.WriteString(row(mark, "certificate", fmt.Sprintf("%s, for %s, by %s, until %s (%d days), %s",
			t.Subject, strings.Join(t.Names, ", "), t.Issuer, t.NotAfter.UTC().Format(time.DateOnly), *r.Discovery.CertDays, t.Version)))
	}
	switch {
	case r.Issuer.Document == "":
		b.WriteString(row("-", "issuer", "not known; expected is "+strings.Join(r.Issuer.Expected, " or ")))
	case len(r.Issuer.Difference) > 0:
		b.WriteString(row("FAIL", "issuer", fmt.Sprintf("%s, expected is %s", r.Issuer.Document, strings.Join(r.Issuer.Expected, " or "))))
	default:
		b.WriteString(row("ok", "issuer", r.Issuer.Document))
	}
	for _, k := range r.Keys {
		text := strings.Join(slices.DeleteFunc([]string{k.Type, k.Algorithm, k.Use, k.KeyID}, func(s string) bool { return s == "" }), " ")
		if k.Usable {
			b.WriteString(row("ok", "key", text))
		} else {
			b.WriteString(row("-", "key", text+": "+k.Reason))
		}
	}
	if r.Clock.Known {
		b.WriteString(row("ok", "clock", aheadOrBehind(time.Duration(r.Clock.AheadSeconds)*time.Second)+" Keycloak's"))
	} else if r.Discovery.HTTPStatus != 0 {
		b.WriteString(row("-", "clock", "not known: the answers have no Date, which Keycloak leaves to the proxy in front of it"))
	}
	if r.ClientID != "" {
		b.WriteString(row(map[string]string{"accepted": "ok", "refused": "FAIL", "unchecked": "-"}[r.Credentials], "client", r.ClientID+": credentials "+r.Credentials))
	}
	if len(r.Features) > 0 {
		b.WriteString(row("ok", "features", strings.Join(r.Features, ", ")))
	}
}

func (r *EndpointReport) mark() string {
	return map[string]string{StatusOK: "ok", StatusError: "FAIL", StatusDisabled: "-"}[r.Status]
}

// String is the endpoint in a line: "200 OK in 12 ms, GET https://…".
func (r *EndpointReport) String() string {
	if r.Status != StatusOK {
		return r.Message
	}
	return fmt.Sprintf("%s in %.0f ms, %s %s", r.Message, r.LatencyMS, r.Method, r.URL)
}

// line is a line of a report behind its mark: ok, FAIL, warn, - or nothing.
func line(mark, text string) string { return fmt.Sprintf("%-6s%s\n", mark, text) }

// row is a line of a table.
func row(mark, name, text string) string { return line(mark, fmt.Sprintf("%-16s%s", name, text)) }

// sentence is a text as a sentence. The name of a claim stays as it is.
func sentence(text string) string {
	if first, _, _ := strings.Cut(text, " "); first == "aud" || first == "iss" || first == "typ" {
		return text + "."
	}
	r, n := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(r)) + text[n:] + "."
}

// longest is how many bytes of a text from elsewhere are shown.
const longest = 200

// clean makes a text from elsewhere fit to be shown on a terminal, in a log or as JSON: one line of visible
// characters in valid UTF-8, and not too long.
func clean(text string) string {
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// shown is a value from elsewhere in quotes.
func shown(text string) string { return strconv.Quote(clean(text)) }

func quotedList(values []string) string {
	quoted := make([]string, 0, len(values))
	for _, v := range values {
		quoted = append(quoted, shown(v))
	}
	return strings.Join(quoted, ", ")
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func daysUntil(t time.Time) int { return int(time.Until(t) / (24 * time.Hour)) }

// namesOf are the names that a certificate is for.
func namesOf(names []string, addresses []net.IP) []string {
	const most = 20
	all := make([]string, 0, len(names)+len(addresses))
	for _, name := range names {
		all = append(all, clean(name))
	}
	for _, address := range addresses {
		all = append(all, address.String())
	}
	return all[:min(len(all), most)]
}

// knownAlgorithms are those of a key set that an API could allow.
func knownAlgorithms(names []string) []string {
	known := slices.Clone(names)
	slices.Sort(known)
	return slices.Compact(slices.DeleteFunc(known, func(name string) bool { return !slices.Contains(token.Algorithms(), name) }))
}

// aheadOrBehind describes the difference of two clocks: "3m0s ahead of".
func aheadOrBehind(ahead time.Duration) string {
	switch {
	case ahead.Abs() < 2*time.Second:
		return "in step with"
	case ahead > 0:
		return about(ahead) + " ahead of"
	}
	return about(-ahead) + " behind"
}

// about is a duration as a person would say it.
func about(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d/day))
}

// explain says of an endpoint what is wrong with it and what mends that.
func (d *diagnosis) explain(p *keycloak.Probe) (text, mend string) {
	host := hostOf(p.URL)
	if strings.HasPrefix(string(p.Problem), "certificate_") {
		return d.explainCertificate(p, host)
	}
	cause := ""
	if p.Err != nil {
		cause = clean(p.Err.Error())
	}
	switch p.Problem {
	case keycloak.HostUnknown:
		return fmt.Sprintf("the host of %s is not known to DNS", host),
			"Check the spelling. In Docker or Kubernetes, name the address that Keycloak has inside with WithInternalURL."
	case keycloak.HostUnresolved:
		return fmt.Sprintf("the host of %s cannot be looked up: %s", host, cause), "Check the DNS of this machine."
	case keycloak.Refused:
		return fmt.Sprintf("nothing listens at %s (connection refused)", host),
			"Does Keycloak run, and is that its port? In a container, localhost is the container itself: see WithInternalURL."
	case keycloak.Closed:
		return host + " closes the connection instead of an answer", "Look into the log of Keycloak, and of the proxy in front of it."
	case keycloak.TimedOut:
		return host + " does not answer within the time limits",
			"A firewall that drops packets looks like this. If Keycloak is slow, WithTimeouts allows for it."
	case keycloak.SpeaksTLS:
		return host + " speaks TLS, and is asked over http", "Write https in its address."
	case keycloak.SpeaksPlain:
		return host + " does not speak TLS, and is asked over https", "Write http in its address, or the port that speaks TLS."
	case keycloak.TLSTooOld:
		return host + " speaks no TLS newer than 1.1, and nothing older than 1.2 is used",
			"Enable TLS 1.3 or 1.2 in the proxy in front of Keycloak, or with its option --https-protocols."
	case keycloak.IdentityWanted:
		return host + " wants a client certificate",
			"Give WithHTTPClient a transport that has one, or set Keycloak's --https-client-auth to request or none."
	case keycloak.TLSFailed:
		return fmt.Sprintf("the TLS handshake with %s fails: %s", host, cause), "Look into the log of Keycloak, and of the proxy in front of it."
	default:
		return d.explainAnswer(p, cause)
	}
}

func (d *diagnosis) explainCertificate(p *keycloak.Probe, host string) (text, mend string) {
	subject, issuer, names, from, until := "?", "?", "?", "?", "?"
	if p.TLS != nil && p.TLS.Certificate != nil {
		cert := p.TLS.Certificate
		subject, issuer = shown(cert.Subject.String()), shown(cert.Issuer.String())
		names = strings.Join(namesOf(cert.DNSNames, cert.IPAddresses), ", ")
		from, until = cert.NotBefore.UTC().Format(time.DateTime), cert.NotAfter.UTC().Format(time.DateTime)
	}
	switch p.Problem {
	case keycloak.CertPast:
		return fmt.Sprintf("the certificate of %s, %s, expired on %s UTC", host, subject, until), "Renew it. If it is newer than that, this machine's clock is wrong."
	case keycloak.CertFuture:
		return fmt.Sprintf("the certificate of %s, %s, is not valid before %s UTC", host, subject, from), "This machine's clock is probably slow."
	case keycloak.CertAuthority:
		return fmt.Sprintf("the certificate of %s, %s, is signed by %s, whom nobody here trusts", host, subject, issuer),
			"Give the certificate of that authority to WithRootCAs. If it is trusted elsewhere, the server does not send the whole chain."
	case keycloak.CertHost:
		return fmt.Sprintf("the certificate of %s is for other names: %s", host, names),
			"Use one of these names, or have a certificate issued for this one."
	default:
		return fmt.Sprintf("the certificate of %s, %s, is not valid: %s", host, subject, clean(fmt.Sprint(p.Err))), "Have it issued anew."
	}
}

// explainAnswer is for endpoints that answered, though not as they should.
func (d *diagnosis) explainAnswer(p *keycloak.Probe, cause string) (text, mend string) {
	at := clean(p.URL)
	switch p.Problem {
	case keycloak.NotFound:
		if p != d.found.Discovery {
			return fmt.Sprintf("there is no %s at %s (404)", p.What, at), "Check the option that names it, or the proxy in front of Keycloak."
		}
		text = fmt.Sprintf("there is no realm %s at %s (404)", shown(d.cfg.realm), d.serverOf(at))
		if d.found.Base != "" {
			return text, fmt.Sprintf("It is at %s: give that to WithServerURL.", d.found.Base)
		}
		return text, "Check the realm's name, upper and lower case included, and that the address is Keycloak's."
	case keycloak.MethodNotAllowed:
		return fmt.Sprintf("%s does not take %s (405), so it is no %s", at, p.Method, p.What), "Check the option that names it."
	case keycloak.Redirected:
		return fmt.Sprintf("%s is %s", at, cause), "Use the address that it redirects to. Other hosts are not followed."
	case keycloak.NotJSON:
		return at + " answers with something that is not the JSON it should be", "Is that address Keycloak's, or the page of a proxy?"
	case keycloak.TooLarge:
		return fmt.Sprintf("the %s at %s is too large: %s", p.What, at, cause), "Is that address Keycloak's?"
	case keycloak.ClientRefused:
		return d.explainRefusedClient()
	case keycloak.EndpointElsewhere:
		return fmt.Sprintf("the discovery document says that the %s is at %s, which is not the realm's host", p.What, at),
			"If that is meant, name it with an option such as WithJWKSURL."
	case keycloak.UnexpectedStatus:
		text = fmt.Sprintf("%s answers with %d %s", at, p.Status, http.StatusText(p.Status))
		if p.Status == http.StatusForbidden {
			return text, "Keycloak answers so over http where the realm requires SSL (Realm settings → General): use https."
		}
		return text, "Look into the log of Keycloak, and of the proxy in front of it."
	default:
		return fmt.Sprintf("%s cannot be reached: %s", hostOf(p.URL), cause), "Look into the log of Keycloak, and of the proxy in front of it."
	}
}

func (d *diagnosis) explainRefusedClient() (text, mend string) {
	text = "Keycloak does not accept the credentials of client " + shown(d.cfg.clientID)
	mend = fmt.Sprintf("Compare the secret with Clients → %s → Credentials in Keycloak. Is the client in realm %s, and enabled?", clean(d.cfg.clientID), shown(d.cfg.realm))
	if d.cfg.credentials.Key != nil {
		mend = fmt.Sprintf("Is the public key registered under Clients → %s → Keys in Keycloak, and its Client Authenticator \"Signed JWT\"?", clean(d.cfg.clientID))
	}
	return text, mend
}

// serverOf is what comes before /realms in an address.
func (d *diagnosis) serverOf(address string) string {
	if i := strings.LastIndex(address, "/realms/"); i >= 0 {
		return address[:i]
	}
	return address
}

// The parts in which issuers differ.
const (
	partScheme = "scheme"
	partHost   = "host"
	partPort   = "port"
	partAuth   = "/auth"
	partPath   = "path"
	partRealm  = "realm"
	partSlash  = "trailing slash"
	partCase   = "upper and lower case"
)

// closest is the one of several issuers that differs least from another one, and in what.
func closest(issuers []string, issuer string) (nearest string, difference []string) {
	for _, candidate := range issuers {
		if parts := differ(candidate, issuer); nearest == "" || len(parts) < len(difference) {
			nearest, difference = candidate, parts
		}
	}
	return nearest, difference
}

// differ are the parts in which two issuers differ; none if they are the same.
func differ(a, b string) []string {
	if a == b {
		return nil
	}
	u, errU := url.Parse(a)
	v, errV := url.Parse(b)
	if errU != nil || errV != nil || v.Host == "" || v.RawQuery != "" || v.User != nil {
		return []string{"address"}
	}
	var parts []string
	add := func(part string, differs bool) {
		if differs {
			parts = append(parts, part)
		}
	}
	add(partScheme, !strings.EqualFold(u.Scheme, v.Scheme))
	add(partHost, !strings.EqualFold(u.Hostname(), v.Hostname()))
	add(partPort, portOf(u) != portOf(v) && (u.Scheme == v.Scheme || u.Port() != v.Port()))
	beforeU, realmU := splitRealm(u.Path)
	beforeV, realmV := splitRealm(v.Path)
	add(partAuth, beforeU != beforeV && strings.TrimSuffix(beforeU, partAuth) == strings.TrimSuffix(beforeV, partAuth))
	add(partPath, strings.TrimSuffix(beforeU, partAuth) != strings.TrimSuffix(beforeV, partAuth))
	add(partRealm, strings.TrimRight(realmU, "/") != strings.TrimRight(realmV, "/"))
	add(partSlash, strings.HasSuffix(a, "/") != strings.HasSuffix(b, "/"))
	if len(parts) == 0 {
		return []string{partCase} // of scheme or host, or a port that goes without saying
	}
	return parts
}

func portOf(u *url.URL) string {
	if u.Port() == "" {
		return map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Port()
}

func splitRealm(path string) (before, realm string) {
	i := strings.LastIndex(path, "/realms/")
	if i < 0 {
		return path, ""
	}
	return path[:i], path[i+len("/realms/"):]
}

// inWhat says in what parts issuers differ: "only in the port", "in scheme and host".
func inWhat(parts []string) string {
	switch n := len(parts); n {
	case 0:
		return ""
	case 1:
		return "only in the " + parts[0]
	default:
		return "in " + strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
	}
}

// issuerMend says what to do about an issuer that differs.
func issuerMend(difference []string, issuer, expected string) string {
	server, _ := splitRealm(issuer)
	inside, _ := splitRealm(expected)
	set := fmt.Sprintf("give %s to WithServerURL", shown(server))
	switch {
	case slices.Contains(difference, partRealm):
		return "Check the realm's name: each realm issues its own tokens."
	case slices.Equal(difference, []string{partScheme}) && strings.HasPrefix(expected, "https:"):
		return "TLS ends at a proxy that Keycloak does not know of: have it send X-Forwarded-Proto, and start Keycloak with --proxy-headers xforwarded or with --hostname " + clean(inside) + "."
	case slices.Equal(difference, []string{partScheme}):
		return fmt.Sprintf("Write https in the address of Keycloak: %s.", set)
	case slices.Equal(difference, []string{partSlash}):
		return "Remove the slash from the end: Keycloak's issuers have none."
	case slices.Contains(difference, partAuth) && len(difference) == 1:
		return fmt.Sprintf("The base path /auth belongs to Keycloak up to version 16, or to --http-relative-path /auth: %s.", set)
	case slices.Contains(difference, partHost) || slices.Contains(difference, partPort):
		return fmt.Sprintf("Tokens name the address that they were obtained at. Fix it in Keycloak with --hostname; if %s is right, %s, and %s to WithInternalURL if Keycloak is reached there.", shown(server), set, shown(inside))
	}
	return fmt.Sprintf("If the address in tokens is right, %s.", set)
}
