package ginkeycloak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/c0mpiler/ginkeycloak/internal/keys"
	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// Explanation says why a token is accepted or refused, for the person who has to mend it. It names issuer, audience,
// client, type, times, key ID, roles, groups and scopes of the token, never its signature, the token itself, or who
// its user is. String is for people.
type Explanation struct {
	Valid    bool    `json:"valid"`
	Code     Code    `json:"code,omitzero"` // of the refusal
	Kind     string  `json:"kind"`          // what is the matter, finer than Code: "expired", "id_token"; "valid" if nothing is
	Headline string  `json:"headline"`      // in a sentence
	Mend     string  `json:"mend,omitzero"`
	Paste    string  `json:"paste,omitzero"` // JSON to be pasted into Keycloak, such as a mapper
	Checks   []Check `json:"checks"`
}

// Check is one of the things that are checked of a token, in the order in which they are.
type Check struct {
	Name     string `json:"name"`
	Status   string `json:"status"` // Passed, Failed or Skipped
	Expected string `json:"expected,omitzero"`
	Actual   string `json:"actual,omitzero"`
	Mend     string `json:"mend,omitzero"`
}

// The statuses of a Check. One is skipped if those before leave nothing to check, or if this API does not ask for it.
const (
	Passed  = "passed"
	Failed  = "failed"
	Skipped = "skipped"
)

// A Want is what a route asks for besides a valid token, for Explain.
type Want struct{ requirement requirement }

// WantRoles is what RequireRoles asks for.
func WantRoles(roles ...string) Want {
	return Want{requirement{method: "WantRoles", code: CodeMissingRoles, kind: "role", values: roles, has: (*User).HasRole}}
}

// WantClientRoles is what RequireClientRoles asks for.
func WantClientRoles(client string, roles ...string) Want {
	has := func(u *User, role string) bool { return u.HasClientRole(client, role) }
	return Want{requirement{method: "WantClientRoles", code: CodeMissingRoles, kind: "role", of: " of the client " + client, values: roles, has: has}}
}

// WantGroups is what RequireGroups asks for.
func WantGroups(groups ...string) Want {
	return Want{requirement{method: "WantGroups", code: CodeMissingGroups, kind: "group", values: groups, has: (*User).InGroup}}
}

// WantScopes is what RequireScopes asks for.
func WantScopes(scopes ...string) Want {
	return Want{requirement{method: "WantScopes", code: CodeMissingScope, kind: "scope", values: scopes, has: (*User).HasScope}}
}

// Explain says why an access token is accepted or refused. Its verdict is that of Authenticate, which it asks; then it
// goes through all checks, so that everything that is wrong shows at once. With wants it checks also what a route asks
// for. It may fetch keys, and ask Keycloak for the time. It is for development and for the person on call: a stranger
// should not be told so much.
func (p *Plugin) Explain(ctx context.Context, accessToken string, wants ...Want) Explanation {
	x := &examination{p: p, home: p.home, raw: accessToken}
	user, _, err := p.judge(ctx, accessToken)
	if err != nil {
		x.verdict = asError(err)
	}
	x.read()
	x.tryKey(ctx)
	x.readClock(ctx)
	x.runChecks()
	x.runWants(user, wants)
	found := x.find()
	x.attach(found)
	e := Explanation{
		Valid: x.verdict == nil, Kind: found.kind, Headline: sentence(found.headline), Mend: found.mend, Paste: found.paste, Checks: x.checks,
	}
	if x.verdict != nil {
		e.Code = x.verdict.Code
	}
	return e
}

// details are what a refusal tells with WithErrorDetails: about a token an explanation without any value of it, made
// without asking anybody.
func (p *Plugin) details(r *http.Request, e *Error) *errorDetails {
	d := &errorDetails{Reason: strings.ToValidUTF8(e.Err.Error(), "?")}
	if challenge := e.response().challenge; challenge != invalidToken && challenge != insufficientScope {
		return d
	}
	raw, err := p.cfg.extract(r)
	if err != nil {
		return d
	}
	x := &examination{p: p, home: p.home, raw: raw, verdict: e, discreet: true}
	x.read()
	found := x.find()
	d.Kind, d.Explanation, d.Mend = found.kind, sentence(found.headline), found.mend
	return d
}

// String is the explanation as a person reads it, the headline first.
func (e Explanation) String() string {
	var b strings.Builder
	mark := "ok"
	if !e.Valid {
		mark = "FAIL"
	}
	b.WriteString(line(mark, e.Headline))
	if e.Mend != "" {
		b.WriteString(line("", e.Mend))
	}
	if e.Paste != "" {
		b.WriteString("\n" + e.Paste + "\n")
	}
	b.WriteByte('\n')
	for _, c := range e.Checks {
		b.WriteString(row(map[string]string{Passed: "ok", Failed: "FAIL", Skipped: "-"}[c.Status], c.Name, c.String()))
	}
	return b.String()
}

// String is what was found, and what was expected if the check failed.
func (c Check) String() string {
	switch {
	case c.Status == Failed && c.Expected != "" && c.Actual != "":
		return fmt.Sprintf("%s; expected is %s", c.Actual, c.Expected)
	case c.Status == Failed && c.Expected != "":
		return "expected is " + c.Expected
	}
	return c.Actual
}

// examination is an explanation in the making.
type examination struct {
	p        *Plugin
	home     *realm
	raw      string
	verdict  *Error // nil if the token is good
	discreet bool   // show no value of the token

	jws    *token.JWS // nil if it cannot be read
	claims *token.Claims
	err    error // why one of them is nil
	peek   peek

	keyErr   error // of looking up the key
	tried    bool  // it was looked up
	signErr  error // of the signature
	bits     int   // length of the signature that the key makes, in bytes; 0 if not known
	entries  []keys.Entry
	ahead    time.Duration // of Keycloak's clock
	hasClock bool

	checks []Check
	wanted *requirement // that is not met
	user   *User
}

// read reads the token strictly, and then for hints also what the strict reader does not take.
func (x *examination) read() {
	x.peek = peekInto(x.raw)
	jws, err := token.Parse(x.raw)
	if err != nil {
		x.err = err
		return
	}
	x.jws = &jws
	claims, err := jws.Claims()
	if err != nil {
		x.err = err
		return
	}
	x.claims = &claims
}

// tryKey checks the signature on its own, also where something else is wrong: a token of another name of this realm,
// or one that is merely old, has a good one.
func (x *examination) tryKey(ctx context.Context) {
	if x.jws == nil || x.p.closed.Load() || x.home.policy.judgeAlgorithm(x.jws.Header) != nil {
		return
	}
	key, err := x.home.keys.Key(ctx, x.jws.Header.KeyID, x.jws.Header.Algorithm)
	x.tried = true
	if err == nil {
		x.bits = signatureLength(x.jws.Header.Algorithm, key.Public)
		x.signErr = x.jws.Verify(key.Public)
		return
	}
	x.keyErr = err
	if errors.Is(err, keys.ErrUnknownKey) || errors.Is(err, keys.ErrWrongAlgorithm) {
		if set, err := x.home.client.KeySet(ctx); err == nil {
			x.entries = keys.Inspect(set, x.p.cfg.algorithms)
		}
	}
}

// readClock asks Keycloak for the time where that matters.
func (x *examination) readClock(ctx context.Context) {
	if x.claims == nil || x.home.policy.judgeTime(x.claims, x.home.policy.now()) == nil {
		return
	}
	x.ahead, x.hasClock = x.home.client.Clock(ctx)
}

// asksKeycloak reports whether it is Keycloak that decides, and not the token's own words.
func (x *examination) asksKeycloak() bool {
	switch x.p.cfg.introspection.mode {
	case introspectEvery:
		return true
	case introspectOpaque:
		return !looksLikeJWT(x.raw)
	default:
		return false
	}
}

// runChecks goes through the checks, in their order, with the functions that decide about requests too.
func (x *examination) runChecks() {
	policy, cfg := x.home.policy, x.p.cfg
	asks := x.asksKeycloak()
	if asks && !looksLikeJWT(x.raw) {
		x.add("form", nil, "", "not a JWT, so Keycloak is asked")
		x.addActive()
		return
	}
	x.add("form", x.formError(), "a signed JWT", x.form())
	if x.claims == nil {
		return
	}
	h, c := x.jws.Header, x.claims
	_, err := x.p.realmOf(c)
	x.add("issuer", err, oneOf(cfg.issuers), shown(c.Issuer))
	x.addUnless(asks, "algorithm", policy.judgeAlgorithm(h), oneOf(cfg.algorithms), shown(h.Algorithm))
	x.addUnless(asks, "header type", policy.judgeHeaderType(h), `"JWT" or "at+jwt"`, shown(h.Type))
	x.add("type", policy.judgeType(c), `"Bearer"`, shown(c.Type))
	x.add("binding", policy.judgeBinding(c), "none", x.binding())
	asked := asks || x.home.introspector != nil && isLightweight(c)
	x.addUnless(asked, "subject", policy.judgeSubject(c), "some", presence(c.Subject))
	x.addUnless(asked || cfg.insecureSkipAudience, "audience", policy.judgeAudience(c), oneOf(cfg.audience), listed(c.Audience))
	x.addUnless(asked || len(cfg.authorizedParties) == 0, "client", policy.judgeAuthorizedParty(c), oneOf(cfg.authorizedParties), shown(c.AuthorizedParty))
	x.add("expiry", policy.judgeEnd(c, policy.now()), "in the future", x.relative(c.ExpiresAt))
	x.add("begin", policy.judgeBegin(c, policy.now()), "in the past", x.begin())
	x.addUnless(asks || !x.tried, "key", x.keyErr, "one of the realm", shown(h.KeyID))
	x.addUnless(asks || !x.tried || x.keyErr != nil, "signature", x.signErr, "made with that key", map[bool]string{true: "right", false: "wrong"}[x.signErr == nil])
	if asked {
		x.addActive()
	}
}

func (x *examination) add(name string, err error, expected, actual string) {
	status := Passed
	if err != nil {
		status = Failed
	}
	x.checks = append(x.checks, Check{Name: name, Status: status, Expected: expected, Actual: actual})
}

// addUnless is add for a check that this API does not make of this token, if not.
func (x *examination) addUnless(not bool, name string, err error, expected, actual string) {
	if not {
		x.checks = append(x.checks, Check{Name: name, Status: Skipped, Actual: actual})
		return
	}
	x.add(name, err, expected, actual)
}

// addActive adds what Keycloak said, if it was asked: it is when nothing else was found.
func (x *examination) addActive() {
	failed := slices.ContainsFunc(x.checks, func(c Check) bool { return c.Status == Failed })
	switch {
	case x.verdict == nil:
		x.add("active", nil, "", "by Keycloak's word")
	case failed:
		x.addUnless(true, "active", nil, "", "Keycloak was not asked")
	case x.verdict.Code == CodeTokenInactive:
		x.add("active", x.verdict, "active", "inactive by Keycloak's word")
	default:
		x.add("active", x.verdict, "active", clean(fmt.Sprint(x.verdict.Err)))
	}
}

// runWants checks what a route asks for, of a token that is valid.
func (x *examination) runWants(user *User, wants []Want) {
	x.user = user
	for _, w := range wants {
		r := w.requirement
		if len(r.values) == 0 {
			continue
		}
		name := r.kind
		if len(r.values) > 1 {
			name += "s"
		}
		switch {
		case user == nil:
			x.addUnless(true, name, nil, "", "")
		case r.met(user):
			x.add(name, nil, "", listed(r.values))
		default:
			x.add(name, errSeveralTokens, listed(r.values)+r.of, x.has(&r))
			if x.wanted == nil {
				x.wanted, x.verdict = &r, r.refusal()
			}
		}
	}
}

// has are the token's values of the kind that is asked for.
func (x *examination) has(r *requirement) string {
	switch r.kind {
	case "role":
		return listed(x.user.Roles())
	case "group":
		return listed(x.user.groups)
	}
	return listed(x.user.Scopes)
}

// attach gives the mend to the check that decided.
func (x *examination) attach(f finding) {
	for i := range x.checks {
		if x.checks[i].Status == Failed {
			x.checks[i].Mend = f.mend
			return
		}
	}
	if x.verdict != nil {
		x.checks = append(x.checks, Check{Name: "keycloak", Status: Failed, Actual: clean(fmt.Sprint(x.verdict.Err)), Mend: f.mend})
	}
}

// formError is why the token cannot be read.
func (x *examination) formError() error {
	if x.err != nil {
		return tokenError(x.err)
	}
	return nil
}

func (x *examination) form() string {
	if x.err == nil {
		return "a signed JWT"
	}
	return clean(x.err.Error())
}

func (x *examination) binding() string {
	switch {
	case !x.claims.Bound:
		return "none"
	case x.peek.confirms("jkt"):
		return "to a DPoP key"
	case x.peek.confirms("x5t#S256"):
		return "to a client certificate"
	}
	return "to a key"
}

// relative is a time as it is from here: "3 min ago".
func (x *examination) relative(d token.NumericDate) string {
	if !d.Present() {
		return "missing"
	}
	return ago(x.p.cfg.now().Sub(d.Time()))
}

// begin is the time from which the token is valid, and when it was issued.
func (x *examination) begin() string {
	var parts []string
	if x.claims.NotBefore.Present() {
		parts = append(parts, "valid from "+x.relative(x.claims.NotBefore))
	}
	if x.claims.IssuedAt.Present() {
		parts = append(parts, "issued "+x.relative(x.claims.IssuedAt))
	}
	return strings.Join(parts, ", ")
}

// ago is how long ago something was, or how long it will take.
func ago(d time.Duration) string {
	if d < 0 {
		return "in " + about(-d)
	}
	return about(d) + " ago"
}

func presence(s string) string {
	if s == "" {
		return "missing"
	}
	return "present"
}

// listed are values in brackets.
func listed(values []string) string {
	return "[" + quotedList(values[:min(len(values), maxListed)]) + more(values) + "]"
}

// maxListed is how many values of a list are shown.
const maxListed = 20

func more(values []string) string {
	if len(values) <= maxListed {
		return ""
	}
	return fmt.Sprintf(", and %d more", len(values)-maxListed)
}

func oneOf(values []string) string {
	quoted := make([]string, 0, len(values))
	for _, v := range values {
		quoted = append(quoted, shown(v))
	}
	return strings.Join(quoted, " or ")
}
