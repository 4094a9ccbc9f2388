package ginkeycloak

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// finding is what is the matter with a token, in words.
type finding struct{ kind, headline, mend, paste string }

// find says what is the matter, given the verdict. The verdict stands: this only finds words for it.
func (x *examination) find() finding {
	if x.verdict == nil {
		return finding{kind: "valid", headline: "the token is valid, and this API accepts it"}
	}
	switch code := x.verdict.Code; code {
	case CodeMalformedToken:
		return x.findMalformed()
	case CodeInvalidAlgorithm:
		return x.findAlgorithm()
	case CodeInvalidTokenType:
		return x.findType()
	case CodeMissingClaim:
		return x.findMissing()
	case CodeInvalidClaims:
		return x.findClaims()
	case CodeTokenExpired:
		return x.findExpired()
	case CodeTokenNotYetValid:
		return x.findNotYetValid()
	case CodeUnknownKID:
		return x.findUnknownKey()
	case CodeInvalidSignature:
		return x.findSignature()
	case CodeTokenInactive:
		return x.findInactive()
	case CodeMissingRoles, CodeMissingGroups, CodeMissingScope:
		return x.findUnmet()
	default:
		if x.verdict.Status() == http.StatusServiceUnavailable {
			return x.findAway()
		}
		return finding{kind: string(code), headline: strings.TrimSuffix(x.verdict.Message(), ".")}
	}
}

// value is a value of the token, in quotes, or in its place something that gives nothing away.
func (x *examination) value(s string) string {
	if x.discreet {
		return "…"
	}
	return shown(s)
}

func (x *examination) values(list []string) string {
	if x.discreet {
		return "…"
	}
	return listed(list)
}

// party is the client that the token was issued to, as a person would name it.
func (x *examination) party() string {
	if x.claims == nil || x.claims.AuthorizedParty == "" || x.discreet {
		return "the client that obtains the token"
	}
	return "client " + shown(x.claims.AuthorizedParty)
}

const askForNew = "Obtain a new token: log in again, or use the refresh token."

// peek is what can be seen of a token without being strict about it. Nothing in it is to be believed.
type peek struct {
	segments        []string
	header, payload map[string]jsontext.Value // nil if not a JSON object
}

func peekInto(raw string) peek {
	if len(raw) > token.MaxSize {
		return peek{}
	}
	p := peek{segments: strings.Split(raw, ".")}
	p.header = peekObject(p.segments[0])
	if len(p.segments) > 1 {
		p.payload = peekObject(p.segments[1])
	}
	return p
}

func peekObject(segment string) map[string]jsontext.Value {
	b, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		return nil
	}
	var object map[string]jsontext.Value
	if json.Unmarshal(b, &object, jsontext.AllowDuplicateNames(true)) != nil {
		return nil
	}
	return object
}

// header is a member of the header, if it is a text.
func (p peek) headerText(name string) string { return textOf(p.header[name]) }

func (p peek) has(name string) bool { return p.header[name] != nil }

// confirms reports whether cnf has a member of that name.
func (p peek) confirms(name string) bool {
	var cnf map[string]jsontext.Value
	return json.Unmarshal(p.payload["cnf"], &cnf) == nil && cnf[name] != nil
}

func textOf(v jsontext.Value) string {
	var s string
	if json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

// findPasted finds what went wrong on the way from one window to the other.
func (x *examination) findPasted() (finding, bool) {
	raw := x.raw
	trimmed := strings.TrimSpace(raw)
	lower := strings.ToLower(trimmed)
	switch {
	case trimmed == "":
		return finding{"empty", "there is no token, only an empty text", "Is a variable not set?", ""}, true
	case len(raw) > token.MaxSize:
		return finding{"too_long", fmt.Sprintf("the token has %d bytes, and more than %d are not looked at", len(raw), token.MaxSize),
			"Leave out of the token what this API does not need: roles of other clients come by the client's setting Full scope allowed.", ""}, true
	case trimmed[0] == '{':
		return finding{"json_pasted", "this is JSON and not the token in it", "Take the value of access_token, without quotes.", ""}, true
	case strings.Count(raw, "eyJ") >= 4 && strings.ContainsAny(trimmed, ", \n") || len(x.peek.segments) == 5 && !x.peek.has("enc") && strings.Contains(x.peek.segments[2], "ey"):
		return finding{"two_tokens", "these are two tokens, one behind the other", "Send one.", ""}, true
	case strings.HasPrefix(lower, "bearer ") || strings.HasPrefix(lower, "authorization:"):
		return finding{"scheme_pasted", `the word "Bearer" is in front of the token, so the header has it twice`, "Remove it.", ""}, true
	case trimmed[0] == '"' || trimmed[0] == '\'' || trimmed[0] == '<':
		return finding{"quoted", "the token has quotes or brackets around it", "Remove them.", ""}, true
	case strings.Contains(raw, "..") && !strings.HasPrefix(raw, ".") && len(x.peek.segments) > 3 || strings.Contains(raw, "…"):
		return finding{"abbreviated", "the token was shortened for display: it has dots where the rest should be", "Copy all of it.", ""}, true
	case strings.ContainsAny(raw, " \t\r\n"):
		return finding{"white_space", "the token has white space in or around it", "Remove spaces and line breaks, such as the one that echo adds.", ""}, true
	}
	return finding{}, false
}

// findMalformed is for what cannot be read.
func (x *examination) findMalformed() finding {
	if f, ok := x.findPasted(); ok {
		return f
	}
	const copied = "Copy all of the token, from the first character to the last."
	isJWT := x.peek.header != nil
	switch n := len(x.peek.segments); {
	case n == 5 && x.peek.has("enc"):
		return finding{"encrypted", "this is an encrypted token (JWE), which only its recipient can read",
			"Switch the encryption off for " + x.party() + " in Keycloak; TLS protects the token on its way.", ""}
	case !isJWT && !strings.HasPrefix(x.raw, "ey"):
		return finding{"not_a_jwt", "this is no JWT: an opaque token, a code, or something else",
			"Send the access_token of Keycloak's answer. For opaque tokens there is WithIntrospection.", ""}
	case n < 3:
		return finding{"truncated", fmt.Sprintf("the token is cut off: it has %d of its 3 parts", n), copied, ""}
	case n > 3:
		return finding{"too_many_parts", fmt.Sprintf("the token has %d parts instead of 3", n), copied, ""}
	case strings.EqualFold(x.peek.headerText("alg"), "none"):
		return x.unsigned()
	case x.peek.segments[2] == "":
		return finding{"signature_missing", "the token ends where its signature should begin", copied, ""}
	case strings.ContainsAny(x.raw, "+/="):
		return finding{"wrong_alphabet", "the token is encoded as base64 and not as base64url without padding",
			"Some program decoded and encoded it again. Send it as Keycloak wrote it.", ""}
	case !isJWT:
		return finding{"header_damaged", "the token's first part cannot be decoded", copied, ""}
	}
	return x.findHeader()
}

func (x *examination) unsigned() finding {
	return finding{"unsigned", `the token is not signed (alg is "none"), so anybody could have made it`, "Send a token that Keycloak issued.", ""}
}

// findHeader is for headers that are not accepted, and then for the other parts.
func (x *examination) findHeader() finding {
	const foreign = "Keycloak issues no such tokens: is it one of another server?"
	switch {
	case x.peek.has("crit"):
		return finding{"critical_extension", "the token's header has critical extensions (crit), which nobody here understands", foreign, ""}
	case x.peek.has("b64"):
		return finding{"unencoded_payload", "the token's payload is not encoded (b64, RFC 7797)", foreign, ""}
	case strings.EqualFold(x.peek.headerText("cty"), "JWT"):
		return finding{"nested", "the token is a token within a token (cty is JWT)", foreign, ""}
	case x.peek.headerText("alg") == "":
		return finding{"no_algorithm", "the token's header names no algorithm (alg)", foreign, ""}
	case !token.PlausibleKeyID(x.peek.headerText("kid")):
		return finding{"no_key_id", "the token's header names no key (kid), or none that could be one's", foreign, ""}
	case x.peek.payload == nil:
		return finding{"payload_damaged", "the token's second part cannot be decoded", "It was changed on the way. Send it as Keycloak wrote it.", ""}
	case x.jws == nil:
		return finding{"signature_damaged", "the token's third part, the signature, cannot be decoded", "It was changed on the way. Send it as Keycloak wrote it.", ""}
	}
	return finding{"payload_ambiguous", "the token's payload can be read in more than one way: names that occur twice, characters that are none, or too deep", foreign, ""}
}

func isRefresh(typ string) bool { return typ == "Refresh" || typ == "Offline" }

// findAlgorithm is for algorithms that are not accepted, or not for this key.
func (x *examination) findAlgorithm() finding {
	if x.jws == nil {
		return finding{kind: "algorithm_unknown", headline: "the token's algorithm is not accepted"}
	}
	alg := x.jws.Header.Algorithm
	switch {
	case x.claims != nil && isRefresh(x.claims.Type):
		return x.refreshToken()
	case strings.EqualFold(alg, "none"):
		return x.unsigned()
	case strings.HasPrefix(alg, "HS"):
		return finding{"shared_secret", "the token is signed with a shared secret (" + x.value(alg) + "): whoever can check it can also make one",
			"Choose an asymmetric algorithm such as RS256 under Clients → " + x.partyName() + " → Advanced in Keycloak.", ""}
	case slices.Contains(x.p.cfg.algorithms, alg):
		return finding{"key_of_other_algorithm", "the key that the token names is not for " + alg,
			"The realm's key set says otherwise about this key. Was the token made by hand?", ""}
	case slices.Contains(token.Algorithms(), alg):
		return finding{"algorithm_not_allowed", fmt.Sprintf("the token is signed with %s, and this API accepts %s", alg, oneOf(x.p.cfg.algorithms)),
			fmt.Sprintf("If the realm is meant to sign with it, add WithAlgorithms(%q).", alg), ""}
	}
	return finding{"algorithm_unknown", "the token's algorithm is " + x.value(alg) + ", which is none that can be accepted",
		"Accepted can be " + strings.Join(token.Algorithms(), ", ") + ".", ""}
}

// partyName is the client's ID for a path in the admin console.
func (x *examination) partyName() string {
	if x.claims == nil || x.claims.AuthorizedParty == "" || x.discreet {
		return "(client)"
	}
	return clean(x.claims.AuthorizedParty)
}

func (x *examination) refreshToken() finding {
	return finding{"refresh_token", "this is a refresh token", "Send the access_token of Keycloak's answer, not the refresh_token.", ""}
}

// findType is for tokens that are no access tokens.
func (x *examination) findType() finding {
	typ, claims := "", x.claims
	if x.jws != nil {
		typ = strings.ToLower(x.jws.Header.Type)
	}
	switch {
	case typ == "logout+jwt" || claims != nil && claims.Type == "Logout":
		return finding{"logout_token", "this is a logout token of the back channel", "Send an access token.", ""}
	case typ == "dpop+jwt":
		return finding{"dpop_proof", "this is a DPoP proof and not the access token that it goes with", "Send an access token.", ""}
	case x.jws != nil && x.home.policy.judgeHeaderType(x.jws.Header) != nil:
		return finding{"header_type", "typ in the token's header is " + x.value(x.jws.Header.Type) + ", which is not that of an access token", "Send an access token.", ""}
	case claims == nil:
		return finding{kind: "other_type", headline: "this is no access token"}
	case claims.Type == "ID":
		return finding{"id_token", "this is an ID token, which tells the front end who logged in", "Send the access_token of Keycloak's answer, not the id_token.", ""}
	case isRefresh(claims.Type):
		return x.refreshToken()
	case claims.Type == "DPoP":
		return x.boundByDPoP()
	case claims.Type == "":
		return finding{"no_type", "the token does not say what it is (typ), so it could be an ID token", "Access tokens of Keycloak have typ Bearer. Is it one of another server, or did a mapper remove it?", ""}
	}
	return finding{"other_type", "this is a token of type " + x.value(claims.Type) + " and no access token", "Send an access token.", ""}
}

func (x *examination) boundByDPoP() finding {
	return finding{"bound_by_dpop", "the token is bound to a key of its client (DPoP), and proof of that is not supported here",
		"Switch off Require DPoP bound tokens for " + x.party() + " in Keycloak.", ""}
}

// findMissing is for claims that are not there.
func (x *examination) findMissing() finding {
	c := x.claims
	switch {
	case c == nil || x.answered(): // it is the answer of an introspection that misses something
		return x.inAnswer("a claim is missing")
	case c.Issuer == "":
		return finding{"no_issuer", "the token does not say who issued it (iss)", "Keycloak issues no such tokens: is it one of another server?", ""}
	case c.Subject == "" && (len(c.Audience) == 0 || strings.Contains(c.ID, "lt")):
		return finding{"lightweight", "this is a lightweight access token, which leaves out for whom and of whom it is",
			"Use WithIntrospection, which completes such tokens, or switch off Always use lightweight access token for " + x.party() + " in Keycloak.", ""}
	case c.Subject == "":
		return finding{"no_subject", "the token does not say of whom it is (sub)", "Add the client scope basic to " + x.party() + " in Keycloak.", ""}
	case x.home.policy.judgeAudience(c) != nil:
		f := x.wrongAudience()
		f.kind, f.headline = "no_audience", "the token does not say for whom it is (aud); this API expects "+oneOf(x.p.cfg.audience)
		return f
	}
	return finding{"no_expiry", "the token has no end (exp), so it would be good for ever", "Keycloak issues no such tokens: is it one of another server?", ""}
}

// answered reports whether the token passed all that it says itself, so that the verdict is about Keycloak's answer.
func (x *examination) answered() bool {
	return x.claims != nil && x.home.introspector != nil && x.home.policy.judgeKind(x.claims) == nil &&
		x.home.policy.judgeTime(x.claims, x.home.policy.now()) == nil && slices.Contains(x.p.cfg.issuers, x.claims.Issuer) &&
		(x.asksKeycloak() || isLightweight(x.claims))
}

func (x *examination) inAnswer(what string) finding {
	return finding{"introspection_differs", "by Keycloak's introspection " + what + ": " + clean(fmt.Sprint(x.verdict.Err)),
		"Give the client's mappers Add to token introspection in Keycloak.", ""}
}

// findClaims is for claims that are wrong.
func (x *examination) findClaims() finding {
	c := x.claims
	switch {
	case c == nil && x.jws != nil:
		return finding{"claim_of_wrong_kind", "a claim has a value of the wrong kind: " + clean(x.err.Error()), "Look for the mapper in Keycloak that writes it.", ""}
	case c == nil:
		return x.inAnswer("a claim is wrong")
	case !slices.Contains(x.p.cfg.issuers, c.Issuer):
		return x.wrongIssuer()
	case c.Bound && x.peek.confirms("x5t#S256"):
		return finding{"bound_by_certificate", "the token is bound to a client certificate (RFC 8705), and proof of that is not supported here",
			"Switch off OAuth 2.0 Mutual TLS Certificate Bound Access Tokens for " + x.party() + " in Keycloak.", ""}
	case c.Bound:
		return x.boundByDPoP()
	case x.answered():
		return x.inAnswer("a claim is wrong")
	case x.home.policy.judgeAudience(c) != nil:
		return x.wrongAudience()
	}
	return finding{"other_client", "the token was issued to " + x.value(c.AuthorizedParty) + "; this API accepts " + oneOf(x.p.cfg.authorizedParties) + " (azp)",
		"Obtain the token by one of these clients, or add this one to WithAuthorizedParties.", ""}
}

// issuerKinds are the kinds of issuers that differ in one part only.
var issuerKinds = map[string]string{
	partScheme: "issuer_scheme", partHost: "issuer_host", partPort: "issuer_port", partAuth: "issuer_auth_path", partPath: "issuer_path",
	partRealm: "issuer_realm", partSlash: "issuer_trailing_slash", partCase: "issuer_case",
}

func (x *examination) wrongIssuer() finding {
	expected, difference := closest(x.p.cfg.issuers, x.claims.Issuer)
	f := finding{kind: "issuer_other"}
	if len(difference) == 1 && issuerKinds[difference[0]] != "" {
		f.kind = issuerKinds[difference[0]]
	}
	f.headline = fmt.Sprintf("iss is %s; this API expects %s: they differ %s", x.value(x.claims.Issuer), shown(expected), inWhat(difference))
	if x.discreet {
		f.mend = "Make the address at which tokens are obtained, the server URL and the hostname setting of Keycloak agree."
		return f
	}
	f.mend = issuerMend(difference, clean(x.claims.Issuer), expected)
	if x.tried && x.keyErr == nil && x.signErr == nil {
		f.mend += " It is the same realm: the signature is by its key."
	}
	return f
}

// wrongAudience is for tokens for others.
func (x *examination) wrongAudience() finding {
	audience := x.p.cfg.audience[0]
	f := finding{kind: "wrong_audience", headline: fmt.Sprintf("aud is %s; this API expects %s", x.values(x.claims.Audience), oneOf(x.p.cfg.audience))}
	near := func(a string) bool { return strings.EqualFold(strings.TrimSpace(a), audience) }
	if slices.ContainsFunc(x.claims.Audience, near) {
		f.kind = "audience_spelling"
		f.headline += ": they differ in upper and lower case or white space only"
	}
	f.mend = fmt.Sprintf("Add an Audience mapper to %s in Keycloak: Client scopes → %s-dedicated → Add mapper → By configuration → Audience.", x.party(), x.partyName())
	f.paste = audienceMapper(audience)
	return f
}

// audienceMapper is the mapper that puts an audience into a client's tokens, as Keycloak's admin API takes it.
func audienceMapper(audience string) string {
	member := "included.client.audience"
	if strings.ContainsAny(audience, "/:") {
		member = "included.custom.audience" // an address is no client of the realm
	}
	mapper := struct {
		Name     string            `json:"name"`
		Protocol string            `json:"protocol"`
		Mapper   string            `json:"protocolMapper"`
		Config   map[string]string `json:"config"`
	}{"aud " + audience, "openid-connect", "oidc-audience-mapper", map[string]string{
		member: audience, "access.token.claim": "true", "introspection.token.claim": "true", "id.token.claim": "false",
	}}
	text, err := json.Marshal(&mapper, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil { // an audience that is no UTF-8
		return ""
	}
	return string(text)
}

// findExpired is for tokens whose time is over, or would not be if the clocks agreed.
func (x *examination) findExpired() finding {
	if x.claims == nil {
		return x.inAnswer("it has expired")
	}
	now := x.p.cfg.now()
	over := now.Sub(x.claims.ExpiresAt.Time())
	f := finding{"expired", "the token expired " + ago(over), askForNew, ""}
	if !x.hasClock || x.ahead.Abs() < 2*time.Second {
		return f
	}
	f.headline += fmt.Sprintf(", and this machine's clock is %s Keycloak's", aheadOrBehind(x.ahead))
	if x.ahead > 0 && over-x.ahead < 0 {
		f.kind = "expired_by_clock"
		f.headline += ": by that one it is still good"
		f.mend = "Set the clocks by NTP. WithLeeway allows for up to 5 min."
	}
	return f
}

func (x *examination) findNotYetValid() finding {
	if x.claims == nil {
		return x.inAnswer("it is not valid yet")
	}
	from, what := x.claims.NotBefore, "is valid from"
	kind := "not_yet_valid"
	if !from.Present() || !x.p.cfg.now().Before(from.Time().Add(-x.p.cfg.leeway)) {
		from, what, kind = x.claims.IssuedAt, "was issued", "issued_in_future"
	}
	wait := from.Time().Sub(x.p.cfg.now())
	f := finding{kind, fmt.Sprintf("the token %s %s from now", what, about(wait)), "Is this machine's clock slow, or the issuer's fast? Set the clocks by NTP.", ""}
	if x.hasClock && x.ahead < -2*time.Second {
		f.kind += "_by_clock"
		f.headline += fmt.Sprintf(", and this machine's clock is %s Keycloak's", aheadOrBehind(x.ahead))
	}
	return f
}

func (x *examination) findUnknownKey() finding {
	kid := x.jws.Header.KeyID
	var held []string
	for _, e := range x.entries {
		if e.KeyID == kid && e.Reason != "" {
			return finding{"key_unusable", fmt.Sprintf("the key %s that signed the token is in the key set, but is not used: %s", x.value(kid), clean(e.Reason)),
				"See Realm settings → Keys in Keycloak.", ""}
		}
		if e.Reason == "" {
			held = append(held, e.KeyID)
		}
	}
	f := finding{"unknown_key", fmt.Sprintf("the key %s that signed the token is not among the realm's", x.value(kid)),
		"It was rotated away and removed, or the token is of another Keycloak or realm of that name. " + askForNew, ""}
	if len(held) > 0 {
		f.headline += ": they are " + listed(held)
	}
	return f
}

func (x *examination) findSignature() finding {
	have := base64.RawURLEncoding.DecodedLen(len(x.peek.segments[len(x.peek.segments)-1]))
	if x.bits > 0 && have < x.bits {
		return finding{"signature_truncated", fmt.Sprintf("the token is cut off: its signature has %d bytes of %d", have, x.bits),
			"Copy all of the token, from the first character to the last.", ""}
	}
	return finding{"wrong_signature", "the signature is not that of the key that the token names: the token was changed, or is of another server",
		"Send it as Keycloak wrote it. If it was, two servers use the same key ID for different keys.", ""}
}

// signatureLength is how many bytes a signature with this key has; 0 if that is not known.
func signatureLength(alg string, key crypto.PublicKey) int {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.Size()
	case *ecdsa.PublicKey:
		return 2 * ((k.Curve.Params().BitSize + 7) / 8)
	}
	if alg == "EdDSA" {
		return 64
	}
	return 0
}

// findInactive is for tokens that Keycloak does not say more about than that.
func (x *examination) findInactive() finding {
	const ended = "The user logged out or was disabled, an administrator ended the session, or the token was revoked. " + askForNew
	id := x.p.cfg.clientID
	if x.claims == nil {
		if f, ok := x.findPasted(); ok {
			return f
		}
		return finding{"inactive_opaque", "Keycloak does not know this token, or not any more", "Send the access_token of Keycloak's answer. " + ended, ""}
	}
	switch {
	case x.tried && x.keyErr != nil || x.tried && x.signErr != nil:
		return finding{"inactive_foreign", "Keycloak says that the token is inactive, and it is not signed by a key of this realm", "It is of another server, or its key was rotated away. " + askForNew, ""}
	case isLightweight(x.claims):
		return finding{"inactive_lightweight", fmt.Sprintf("Keycloak says that this lightweight token is inactive: its session has ended, or client %s is not in its audience", shown(id)),
			fmt.Sprintf("Since 26.6.2 Keycloak says so to clients outside the audience: add an Audience mapper for %s to %s, with Add to token introspection. Otherwise log in again.", shown(id), x.party()),
			audienceMapper(id)}
	case !slices.Contains(x.claims.Audience, id):
		return finding{"inactive_not_in_audience", fmt.Sprintf("Keycloak says that the token is inactive because client %s is not in its audience, which is %s", shown(id), x.values(x.claims.Audience)),
			fmt.Sprintf("Since 26.6.2 Keycloak says so to clients outside the audience: add an Audience mapper to %s.", x.party()), audienceMapper(id)}
	}
	return finding{"inactive_session", "Keycloak says that the token is inactive, though it has not expired: its session has ended", ended, ""}
}

// findUnmet is for good tokens that lack what a route asks for.
func (x *examination) findUnmet() finding {
	r := x.wanted
	if r == nil {
		return x.findUnmetBriefly()
	}
	what := fmt.Sprintf("the token lacks the %s %s%s", r.kind, listed(r.values), clean(r.of))
	switch r.kind {
	case "role":
		return x.findRole(what)
	case "group":
		return x.findGroup(what)
	}
	return finding{"missing_scope", what + "; it has " + listed(x.user.Scopes),
		"Ask for it in the parameter scope when the token is obtained, and add it under Clients → " + clean(x.user.AuthorizedParty) + " → Client scopes in Keycloak.", ""}
}

func (x *examination) findUnmetBriefly() finding {
	kind := map[Code]string{CodeMissingRoles: "missing_role", CodeMissingGroups: "missing_group", CodeMissingScope: "missing_scope"}[x.verdict.Code]
	mend := map[Code]string{
		CodeMissingRoles:  "Assign it under Users → (user) → Role mapping in Keycloak. Roles of other clients do not count.",
		CodeMissingGroups: "Add the user to the group, and a Group Membership mapper with full paths to the client that obtains the token.",
		CodeMissingScope:  "Ask for it in the parameter scope when the token is obtained.",
	}[x.verdict.Code]
	return finding{kind: kind, headline: clean(fmt.Sprint(x.verdict.Err)), mend: mend}
}

func (x *examination) findRole(what string) finding {
	r := x.wanted
	for _, role := range r.values {
		if r.has(x.user, role) {
			continue
		}
		for _, c := range x.user.clientRoles {
			if slices.Contains(c.Roles, role) {
				return finding{"role_of_other_client", fmt.Sprintf("%s; it has %s, but of client %s, which does not count here", what, shown(role), shown(c.Client)),
					fmt.Sprintf("Assign the role of the realm or of %s; or if that client is meant, ask for RequireClientRoles(%q, %q).", shown(x.p.cfg.clientID), clean(c.Client), clean(role)), ""}
			}
		}
		if r.of != "" && x.user.HasRole(role) {
			return finding{"role_of_realm", fmt.Sprintf("%s; it has %s, but of the realm or of another client", what, shown(role)), "Assign the role of that client, or ask for RequireRoles.", ""}
		}
		if near := slices.IndexFunc(x.user.Roles(), func(has string) bool { return strings.EqualFold(has, role) }); near >= 0 {
			return finding{"role_spelling", fmt.Sprintf("%s; it has %s", what, shown(x.user.Roles()[near])), "Upper and lower case count.", ""}
		}
	}
	if len(x.user.realmRoles) == 0 && len(x.user.clientRoles) == 0 {
		return finding{"no_roles", what + "; it has no roles at all", "Assign the role to the user; and give " + x.party() + " the client scope roles in Keycloak, which puts them into tokens.", ""}
	}
	return finding{"missing_role", what + "; it has " + listed(x.user.Roles()), "Assign it under Users → (user) → Role mapping in Keycloak, and obtain a new token.", ""}
}

func (x *examination) findGroup(what string) finding {
	groups := x.user.groups
	if len(groups) == 0 {
		return finding{"no_groups", what + "; it has no groups at all", "Add a Group Membership mapper to " + x.party() + " in Keycloak, with Token Claim Name groups and Full group path on.", groupsMapper}
	}
	for _, want := range x.wanted.values {
		if slices.Contains(groups, want[strings.LastIndex(want, "/")+1:]) && strings.HasPrefix(want, "/") {
			return finding{"group_without_path", what + "; its groups are without their paths: " + listed(groups), "Switch Full group path on in the groups mapper of " + x.party() + ".", groupsMapper}
		}
	}
	return finding{"missing_group", what + "; it has " + listed(groups), "Add the user to the group in Keycloak, and obtain a new token.", ""}
}

// groupsMapper is the mapper that puts the groups of a user into a client's tokens.
const groupsMapper = `{
  "name": "groups",
  "protocol": "openid-connect",
  "protocolMapper": "oidc-group-membership-mapper",
  "config": {
    "claim.name": "groups",
    "full.path": "true",
    "access.token.claim": "true",
    "id.token.claim": "true",
    "introspection.token.claim": "true",
    "userinfo.token.claim": "true"
  }
}`

// findAway is for what says nothing about the token.
func (x *examination) findAway() finding {
	f := finding{
		kind:     string(x.verdict.Code),
		headline: "Keycloak could not be asked, which says nothing about the token",
		mend:     "Run kcdoctor, or see Diagnose.",
	}
	if x.verdict.Err != nil {
		f.headline += ": " + clean(x.verdict.Err.Error())
	}
	return f
}
