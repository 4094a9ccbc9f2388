package ginkeycloak

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/c0mpiler/ginkeycloak/internal/keycloak"
	"github.com/c0mpiler/ginkeycloak/internal/keys"
	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// realm is everything that belongs to one issuer.
type realm struct {
	policy       *policy
	client       *keycloak.Client
	keys         *keys.Set
	headers      token.Headers
	verified     *verifiedTokens // nil if none are remembered
	introspector *introspector   // nil without WithIntrospection
	refresher    *refresher
	plugin       *Plugin
}

// metadataAge says how many times longer than keys the discovery document is kept: it changes when Keycloak
// is upgraded or moved.
const metadataAge = 2

func newRealm(cfg *config, p *Plugin) *realm {
	client := keycloak.NewClient(keycloak.Config{
		Realm:            cfg.realmAddress,
		Internal:         cfg.realmInner,
		Issuers:          cfg.issuers,
		KeySetURL:        cfg.jwksURL,
		IntrospectionURL: cfg.introspectionURL,
		TokenURL:         cfg.tokenURL,
		Credentials:      cfg.credentials,
		HTTPClient:       cfg.httpClient,
		ConnectTimeout:   cfg.connectTimeout,
		ReadTimeout:      cfg.readTimeout,
		RootCAs:          cfg.rootCAs,
		SkipTLSVerify:    cfg.insecureSkipTLSVerify,
		MetadataTTL:      metadataAge * cfg.keyCache,
		Logger:           cfg.logger,
		Trace:            cfg.traces.calls(),
		Now:              cfg.now,
	})
	set := keys.New(keys.Config{
		Fetch:      client.KeySet,
		Algorithms: cfg.algorithms,
		TTL:        cfg.keyCache,
		MaxStale:   cfg.maxStale,
		Logger:     cfg.logger,
		Looked:     cfg.traces.looked(),
		Changed:    cfg.traces.changed(),
		Now:        cfg.now,
	})
	r := &realm{client: client, keys: set, refresher: newRefresher(cfg, client), policy: newPolicy(cfg), verified: newVerifiedTokens(cfg), plugin: p}
	if cfg.introspection.mode != introspectNone {
		r.introspector = newIntrospector(cfg, client, r.policy, p)
	}
	return r
}

func (r *realm) close() {
	r.keys.Close()
	r.client.Close()
}

// readToken decodes a token, but not a header that is known, if any are. Nothing in it is to be believed yet.
func readToken(raw string, known *token.Headers) (token.JWS, token.Claims, error) {
	t, err := known.Parse(raw)
	if err != nil {
		return token.JWS{}, token.Claims{}, tokenError(err)
	}
	claims, err := t.Claims()
	if err != nil {
		return token.JWS{}, token.Claims{}, tokenError(err)
	}
	return t, claims, nil
}

// realmOf finds the realm that a token claims to be of among the configured ones, by the exact bytes of its
// issuer. A token's issuer is never turned into an address.
func (p *Plugin) realmOf(claims *token.Claims) (*realm, error) {
	if claims.Issuer == "" {
		return nil, errNoIssuer
	}
	r, ok := p.realms[claims.Issuer]
	if !ok {
		return nil, p.home.policy.wrongIssuer
	}
	return r, nil
}

// validate judges a token by everything it says before it spends a signature check, or a fetch of keys, on it.
// Until the signature has proved right, what the token says is only ever used against it.
func (r *realm) validate(ctx context.Context, t token.JWS, claims *token.Claims, raw string) (*User, error) {
	if err := r.policy.judgeHeader(t.Header); err != nil {
		return nil, err
	}
	if err := r.policy.judgeKind(claims); err != nil {
		return nil, err
	}
	incomplete := r.introspector != nil && isLightweight(claims)
	if !incomplete {
		if err := r.policy.judgeParties(claims); err != nil {
			return nil, err
		}
	}
	now := r.policy.now()
	if err := r.policy.judgeTime(claims, now); err != nil {
		return nil, err
	}
	key, err := r.keys.Key(ctx, t.Header.KeyID, t.Header.Algorithm)
	if err != nil {
		return nil, keyError(err)
	}
	if err := t.Verify(key.Public); err != nil {
		return nil, tokenError(err)
	}
	r.headers.Learn(t)
	if incomplete {
		return r.introspector.user(ctx, raw)
	}
	user := newUser(claims, r.policy.clientID, r.plugin)
	r.verified.remember(raw, user, key.Generation, r.policy.end(user.ExpiresAt), now)
	return user, nil
}

// Refusals that say the same of every token, made once: whoever floods an API with bad ones shall pay for it, not we.
var (
	errNoIssuer        = refusal(CodeMissingClaim, "iss is missing")
	errWrongHeaderType = refusal(CodeInvalidTokenType, "typ of the header is neither JWT nor at+jwt")
	errWrongType       = refusal(CodeInvalidTokenType, "typ is not Bearer: this is an ID token, a refresh token or another that is no access token")
	errBound           = refusal(CodeInvalidClaims, "cnf binds the token to a key, and proof of possession is not supported")
	errNoSubject       = refusal(CodeMissingClaim, "sub is missing: has the client the client scope basic, or does it use lightweight access tokens, which take WithIntrospection?")
	errNoEnd           = refusal(CodeMissingClaim, "exp is missing")
	errExpired         = refusal(CodeTokenExpired, "exp has passed")
	errNotBefore       = refusal(CodeTokenNotYetValid, "nbf is still to come")
	errIssuedLater     = refusal(CodeTokenNotYetValid, "iat is still to come: is this machine's clock slow?")
)

// policy says which tokens of a realm are good for this API.
type policy struct {
	clientID          string
	issuers           []string
	audience          []string
	anyAudience       bool
	authorizedParties []string
	algorithms        []string
	leeway            time.Duration
	now               func() time.Time

	// Refusals that say what is accepted, made once.
	wrongIssuer, wrongAlgorithm, missingAudience, wrongAudience, wrongParty *Error
}

func newPolicy(cfg *config) *policy {
	return &policy{
		wrongIssuer:     refusal(CodeInvalidClaims, fmt.Sprintf("iss is none of the accepted issuers %q", cfg.issuers)),
		wrongAlgorithm:  refusal(CodeInvalidAlgorithm, fmt.Sprintf("alg is none of the accepted algorithms %q", cfg.algorithms)),
		missingAudience: refusal(CodeMissingClaim, fmt.Sprintf("aud is missing, one of %q is expected: has the client an audience mapper?", cfg.audience)),
		wrongAudience:   refusal(CodeInvalidClaims, fmt.Sprintf("aud has none of %q: has the client an audience mapper?", cfg.audience)),
		wrongParty:      refusal(CodeInvalidClaims, fmt.Sprintf("azp is none of the authorized parties %q", cfg.authorizedParties)),

		clientID:          cfg.clientID,
		issuers:           cfg.issuers,
		audience:          cfg.audience,
		anyAudience:       cfg.insecureSkipAudience,
		authorizedParties: cfg.authorizedParties,
		algorithms:        cfg.algorithms,
		leeway:            cfg.leeway,
		now:               cfg.now,
	}
}

// judgeHeader checks algorithm and type.
func (p *policy) judgeHeader(h *token.Header) error {
	if err := p.judgeAlgorithm(h); err != nil {
		return err
	}
	return p.judgeHeaderType(h)
}

func (p *policy) judgeAlgorithm(h *token.Header) error {
	if !slices.Contains(p.algorithms, h.Algorithm) {
		return p.wrongAlgorithm
	}
	return nil
}

// judgeHeaderType checks typ of the header. RFC 8725 §3.11: a JWT of another kind, such as a logout token or a DPoP
// proof, is no access token, whoever signed it.
func (p *policy) judgeHeaderType(h *token.Header) error {
	// RFC 7515 §4.1.9: media types are compared without regard to case, "application/" may be left out.
	for _, accepted := range []string{"JWT", "at+jwt", "application/at+jwt"} {
		if strings.EqualFold(h.Type, accepted) {
			return nil
		}
	}
	return errWrongHeaderType
}

// judgeKind checks what the token is.
func (p *policy) judgeKind(c *token.Claims) error {
	if err := p.judgeType(c); err != nil {
		return err
	}
	return p.judgeBinding(c)
}

func (p *policy) judgeType(c *token.Claims) error {
	if c.Type != "Bearer" {
		// Only this tells an access token of Keycloak from an ID token, which has the same signature and may have
		// the same audience.
		return errWrongType
	}
	return nil
}

func (p *policy) judgeBinding(c *token.Claims) error {
	if c.Bound {
		// RFC 9449 §6, RFC 8705 §3: without a proof of possession, whoever presents a bound token may have stolen it.
		return errBound
	}
	return nil
}

// judgeParties checks of whom, for whom and to whom the token was issued.
func (p *policy) judgeParties(c *token.Claims) error {
	if err := p.judgeSubject(c); err != nil {
		return err
	}
	if err := p.judgeAudience(c); err != nil {
		return err
	}
	return p.judgeAuthorizedParty(c)
}

func (p *policy) judgeSubject(c *token.Claims) error {
	if c.Subject == "" {
		return errNoSubject
	}
	return nil
}

func (p *policy) judgeAudience(c *token.Claims) error {
	switch {
	case p.anyAudience:
		return nil
	case len(c.Audience) == 0:
		return p.missingAudience
	case !intersect(c.Audience, p.audience):
		return p.wrongAudience
	}
	return nil
}

func (p *policy) judgeAuthorizedParty(c *token.Claims) error {
	if len(p.authorizedParties) > 0 && !slices.Contains(p.authorizedParties, c.AuthorizedParty) {
		return p.wrongParty
	}
	return nil
}

// judgeAnswer holds the claims of an introspection to all rules for tokens.
func (p *policy) judgeAnswer(c *token.Claims) error {
	if !slices.Contains(p.issuers, c.Issuer) {
		return p.wrongIssuer
	}
	if err := p.judgeKind(c); err != nil {
		return err
	}
	if err := p.judgeParties(c); err != nil {
		return err
	}
	return p.judgeTime(c, p.now())
}

// judgeTime checks the times of RFC 7519 §4.1.4 to §4.1.6. An access token without an end is refused.
func (p *policy) judgeTime(c *token.Claims, now time.Time) error {
	if err := p.judgeEnd(c, now); err != nil {
		return err
	}
	return p.judgeBegin(c, now)
}

func (p *policy) judgeEnd(c *token.Claims, now time.Time) error {
	if !c.ExpiresAt.Present() {
		return errNoEnd
	}
	return p.judgeExpiry(c.ExpiresAt.Time(), now)
}

func (p *policy) judgeBegin(c *token.Claims, now time.Time) error {
	switch {
	case c.NotBefore.Present() && now.Before(c.NotBefore.Time().Add(-p.leeway)):
		return errNotBefore
	case c.IssuedAt.Present() && now.Before(c.IssuedAt.Time().Add(-p.leeway)):
		return errIssuedLater
	}
	return nil
}

// judgeExpiry checks exp alone, which is done again whenever a token is recognised.
func (p *policy) judgeExpiry(exp, now time.Time) error {
	if !now.Before(p.end(exp)) {
		return errExpired
	}
	return nil
}

// end is when a token stops being accepted.
func (p *policy) end(exp time.Time) time.Time { return exp.Add(p.leeway) }

func intersect(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// tokenError turns an error of package token into a refusal.
func tokenError(err error) *Error {
	code := CodeMalformedToken
	switch {
	case errors.Is(err, token.ErrAlgorithm):
		code = CodeInvalidAlgorithm
	case errors.Is(err, token.ErrSignature):
		code = CodeInvalidSignature
	case errors.Is(err, token.ErrClaims):
		code = CodeInvalidClaims
	}
	return &Error{Code: code, Err: err}
}

// keyError turns an error of looking up a key into a refusal. Only the issuer's own word makes a key unknown.
func keyError(err error) *Error {
	switch {
	case errors.Is(err, keys.ErrUnknownKey):
		return &Error{Code: CodeUnknownKID, Err: err}
	case errors.Is(err, keys.ErrWrongAlgorithm):
		return &Error{Code: CodeInvalidAlgorithm, Err: err}
	}
	return &Error{Code: connectionCode(err), Err: err}
}

// connectionCode is the code for a failed exchange with Keycloak.
func connectionCode(err error) Code {
	failure, ok := errors.AsType[*keycloak.Error](err)
	if !ok {
		return CodeConnection
	}
	switch failure.Kind {
	case keycloak.Misconfigured, keycloak.CredentialsRefused:
		return CodeConfig
	case keycloak.CertificateInvalid:
		return CodeCertVerify
	case keycloak.CertificateExpired:
		return CodeCertExpired
	case keycloak.CertificateUnknown:
		return CodeCertUntrusted
	case keycloak.CertificateHostname:
		return CodeHostnameMismatch
	default:
		return CodeConnection
	}
}
