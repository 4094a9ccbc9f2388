package ginkeycloak

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/singleflight"

	"github.com/c0mpiler/ginkeycloak/internal/bearer"
	"github.com/c0mpiler/ginkeycloak/internal/cache"
	"github.com/c0mpiler/ginkeycloak/internal/keycloak"
	"github.com/c0mpiler/ginkeycloak/internal/token"
)

// Defaults of introspection.
const (
	defaultIntrospectionSize = 10_000
	defaultIntrospectionTTL  = time.Minute
	maxIntrospectionTTL      = time.Hour

	inactiveSize = 10_000
	inactiveTTL  = 5 * time.Second
)

// introspectionMode says which tokens are introspected. The zero value is none.
type introspectionMode int

const (
	introspectNone introspectionMode = iota
	introspectEvery
	introspectOpaque
	introspectOnDemand
)

// introspectionConfig is what WithIntrospection records.
type introspectionConfig struct {
	mode introspectionMode
	size int
	ttl  time.Duration
}

// An IntrospectionOption says which tokens are introspected, and for how long the answers are remembered.
type IntrospectionOption func(*introspectionConfig)

// WithIntrospection has Keycloak itself say whether a token is active (RFC 7662), so that a logout or a disabled
// user takes effect within the time that answers are remembered. It needs a confidential client: WithClientID and
// WithClientSecret or WithClientKey. The answer is held to the same rules as a token that is validated locally.
//
// By default every token is introspected; IntrospectOpaque and IntrospectOnDemand choose fewer. In all modes a
// lightweight access token of Keycloak, which leaves most claims out, is validated and then completed by one
// introspection.
//
// Since Keycloak 26.6.2 a client that is not in a token's audience is told that the token is inactive. The audience
// mapper mends that, see docs/keycloak-setup.md.
func WithIntrospection(opts ...IntrospectionOption) Option {
	return func(c *config) {
		c.introspection = introspectionConfig{mode: introspectEvery, size: defaultIntrospectionSize, ttl: defaultIntrospectionTTL}
		for _, opt := range opts {
			if opt == nil {
				c.mistake("WithIntrospection", nil, "an option is nil")
				continue
			}
			opt(&c.introspection)
		}
	}
}

// IntrospectOpaque introspects only tokens that are no JWTs; JWTs are validated locally.
func IntrospectOpaque() IntrospectionOption {
	return func(c *introspectionConfig) { c.mode = introspectOpaque }
}

// IntrospectOnDemand validates tokens locally, and introspects them on routes with RequireActive.
func IntrospectOnDemand() IntrospectionOption {
	return func(c *introspectionConfig) { c.mode = introspectOnDemand }
}

// IntrospectionCache remembers up to size active tokens, each until it expires but no longer than ttl: for so long a
// token that was revoked may go on working. Default: 10 000 tokens and 1 min; at most 1 h; a ttl of 0 remembers
// none. Inactive tokens are remembered for 5 s, failures never.
func IntrospectionCache(size int, ttl time.Duration) IntrospectionOption {
	return func(c *introspectionConfig) { c.size, c.ttl = size, ttl }
}

// RequireActive refuses tokens that Keycloak does not say are active at this moment, with CodeTokenInactive, for
// routes where a revocation must count at once. It asks anew for each request, shared only by requests with the same
// token at the same time. It authenticates by itself if no Middleware did, and panics at registration without
// WithIntrospection.
func (p *Plugin) RequireActive() gin.HandlerFunc {
	if p.cfg.introspection.mode == introspectNone {
		panic("ginkeycloak: RequireActive: it needs WithIntrospection")
	}
	return func(c *gin.Context) {
		defer p.rescue(c)
		if err := p.confirm(c); err != nil {
			p.refuse(c, err)
		}
	}
}

// confirm asks Keycloak about the token of a request that is otherwise fine.
func (p *Plugin) confirm(c *gin.Context) error {
	if _, err := p.userOf(c); err != nil {
		return err
	}
	raw, err := p.cfg.extract(c.Request)
	if err != nil {
		return err
	}
	_, err = p.home.introspector.ask(c.Request.Context(), raw)
	return err
}

// introspector judges tokens by asking Keycloak, at most once at a time for each.
type introspector struct {
	client   *keycloak.Client
	policy   *policy
	plugin   *Plugin
	logger   *slog.Logger
	traces   tracers
	ttl      time.Duration
	active   *cache.Cache[*User]
	inactive *cache.Cache[*Error]
	flights  singleflight.Group
	hinted   atomic.Bool // the hint about the audience was logged
}

func newIntrospector(cfg *config, client *keycloak.Client, p *policy, plugin *Plugin) *introspector {
	return &introspector{
		client:   client,
		policy:   p,
		plugin:   plugin,
		logger:   cfg.logger,
		traces:   cfg.traces,
		ttl:      cfg.introspection.ttl,
		active:   cache.New[*User](max(cfg.introspection.size, 1), cfg.now),
		inactive: cache.New[*Error](inactiveSize, cfg.now),
	}
}

// user returns the user of a token, from memory if the token was asked for a short while ago.
func (i *introspector) user(ctx context.Context, raw string) (*User, error) {
	if user, err, ok := i.remembered(cache.KeyOf(raw)); ok {
		i.traces.introspected(ctx, Introspected{Code: codeOf(err), Remembered: true})
		return user, err
	}
	return i.fly(ctx, "remember", raw)
}

// ask returns the user of a token as Keycloak sees it now.
func (i *introspector) ask(ctx context.Context, raw string) (*User, error) {
	return i.fly(ctx, "ask", raw)
}

// remembered looks a token up. What was true when it was remembered is checked again: it may have expired since.
func (i *introspector) remembered(key cache.Key) (*User, error, bool) { //nolint:revive // the error is the value
	if user, ok := i.active.Get(key); ok {
		return user, i.policy.judgeExpiry(user.ExpiresAt, i.policy.now()), true
	}
	if refused, ok := i.inactive.Get(key); ok {
		return nil, refused, true
	}
	return nil, nil, false
}

// fly joins a call to Keycloak about the token, or begins one that does not end when this caller leaves.
func (i *introspector) fly(ctx context.Context, purpose, raw string) (*User, error) {
	key := cache.KeyOf(raw)
	flight := i.flights.DoChan(purpose+string(key[:]), func() (result any, err error) {
		defer recoverInto(i.logger, &err)
		if user, err, ok := i.remembered(key); ok && purpose == "remember" {
			return user, err // the flight before this one has just ended
		}
		ctx, cancel := i.client.Detach(ctx)
		defer cancel()
		begin := time.Now()
		user, err := i.introspect(ctx, key, raw)
		i.traces.introspected(ctx, Introspected{Code: codeOf(err), Duration: time.Since(begin)})
		return user, err
	})
	select {
	case <-ctx.Done():
		return nil, &Error{Code: CodeIntrospection, Err: ctx.Err()}
	case result := <-flight:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*User), nil
	}
}

// introspect asks Keycloak, judges the answer and remembers it.
func (i *introspector) introspect(ctx context.Context, key cache.Key, raw string) (*User, error) {
	body, err := i.client.Introspect(ctx, raw)
	if err != nil {
		return nil, introspectionError(err)
	}
	user, err := i.judge(body)
	switch refused, _ := errors.AsType[*Error](err); {
	case refused == nil:
		i.active.Set(key, user, min(i.ttl, i.policy.end(user.ExpiresAt).Sub(i.policy.now())))
	case refused.Status() == http.StatusUnauthorized:
		i.active.Delete(key)
		i.inactive.Set(key, refused, inactiveTTL)
		i.hint(raw, refused)
	}
	return user, err
}

// judge reads an answer (RFC 7662 §2.2) and holds it to the rules for tokens. An answer that is neither yes nor no
// is a malfunction, which says nothing about the token.
func (i *introspector) judge(body []byte) (*User, error) {
	var answer struct {
		Active jsontext.Value `json:"active"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, refusal(CodeIntrospection, "the answer of the introspection endpoint is not the JSON it should be")
	}
	switch string(answer.Active) {
	case "true":
	case "false":
		return nil, refusal(CodeTokenInactive, "Keycloak says that the token is not active")
	default:
		return nil, refusal(CodeIntrospection, "the answer of the introspection endpoint does not say whether the token is active")
	}
	claims, err := token.DecodeClaims(string(body))
	if err != nil {
		return nil, &Error{Code: CodeIntrospection, Err: err}
	}
	if claims.Type == "" {
		claims.Type = claims.TokenType
	}
	if err := i.policy.judgeAnswer(&claims); err != nil {
		return nil, err
	}
	return newUser(&claims, i.policy.clientID, i.plugin), nil
}

// hint logs, once, the likely reason why every token is found inactive.
func (i *introspector) hint(raw string, refused *Error) {
	if refused.Code != CodeTokenInactive || i.hinted.Load() {
		return
	}
	_, claims, err := readToken(raw, nil)
	if err != nil || slices.Contains(claims.Audience, i.policy.clientID) || i.policy.judgeTime(&claims, i.policy.now()) != nil {
		return
	}
	if !i.hinted.Swap(true) {
		i.logger.LogAttrs(context.Background(), slog.LevelWarn,
			"keycloak: a token was found inactive that does not name this client in its audience, which Keycloak since 26.6.2 asks for: add an audience mapper (oidc-audience-mapper, included.client.audience) to the client that obtains the tokens",
			slog.String("client_id", i.policy.clientID))
	}
}

// introspectionError turns a failed call into a refusal. It is never the token's fault.
func introspectionError(err error) *Error {
	code := connectionCode(err)
	if code == CodeConnection {
		code = CodeIntrospection
	}
	return &Error{Code: code, Err: err}
}

// validateByIntrospection judges a token that is introspected in any case. What is hopeless by its own words is
// refused without a call.
func (p *Plugin) validateByIntrospection(ctx context.Context, raw string) (*User, error) {
	if len(raw) > token.MaxSize || !bearer.WellFormed(raw) {
		return nil, refusal(CodeMalformedToken, "the token is too long, or has characters that no token has")
	}
	if looksLikeJWT(raw) {
		_, claims, err := readToken(raw, nil)
		if err != nil {
			return nil, err
		}
		if _, err := p.realmOf(&claims); err != nil {
			return nil, err
		}
		if err := p.home.policy.judgeKind(&claims); err != nil {
			return nil, err
		}
		if err := p.home.policy.judgeTime(&claims, p.home.policy.now()); err != nil {
			return nil, err
		}
	}
	return p.home.introspector.user(ctx, raw)
}

// looksLikeJWT reports whether a token is meant to be a JWT: its first segment is the base64url of a JSON object,
// and so begins with "ey".
func looksLikeJWT(raw string) bool {
	return strings.HasPrefix(raw, "ey") && strings.Count(raw, ".") == 2
}

// isLightweight reports whether a token leaves out what introspection adds. Keycloak says so in the jti since 26.2:
// session type, token type and grant in two letters each, "lt" for a lightweight token.
func isLightweight(c *token.Claims) bool {
	kind, _, ok := strings.Cut(c.ID, ":")
	return ok && len(kind) == 6 && kind[2:4] == "lt" || c.Subject == "" || len(c.Audience) == 0
}
