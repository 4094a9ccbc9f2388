package ginkeycloak

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/c0mpiler/ginkeycloak/internal/bearer"
)

// Code says why a request was refused. Codes are stable; programs may compare them.
type Code string

// The codes. README.md says what each means to a client.
const (
	CodeMissingHeader        Code = "missing_header"
	CodeInvalidHeaderFormat  Code = "invalid_header_format"
	CodeMalformedToken       Code = "malformed_token"
	CodeInvalidSignature     Code = "invalid_signature"
	CodeInvalidAlgorithm     Code = "invalid_algorithm"
	CodeUnknownKID           Code = "unknown_kid"
	CodeTokenExpired         Code = "token_expired"
	CodeTokenNotYetValid     Code = "token_not_yet_valid"
	CodeInvalidClaims        Code = "invalid_claims"
	CodeMissingClaim         Code = "missing_claim"
	CodeInvalidTokenType     Code = "invalid_token_type"
	CodeTokenInactive        Code = "token_inactive"
	CodeNotAuthenticated     Code = "not_authenticated"
	CodeMissingRoles         Code = "missing_roles"
	CodeMissingGroups        Code = "missing_groups"
	CodeMissingScope         Code = "missing_scope"
	CodeForbidden            Code = "forbidden"
	CodeTokenRefreshFailed   Code = "token_refresh_failed"
	CodeLoginFailed          Code = "login_failed"
	CodeInvalidRequest       Code = "invalid_request"
	CodeCrossSite            Code = "cross_site_request"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeRequestTooLarge      Code = "request_too_large"
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	CodeConnection           Code = "keycloak_connection_error"
	CodeIntrospection        Code = "introspection_service_error"
	CodeCertVerify           Code = "cert_verify_failed"
	CodeCertExpired          Code = "cert_expired"
	CodeCertUntrusted        Code = "cert_untrusted"
	CodeHostnameMismatch     Code = "hostname_mismatch"
	CodeConfig               Code = "keycloak_config_error"
)

// Sentinels, to be matched with errors.Is: they compare by code.
var (
	ErrMissingHeader        = &Error{Code: CodeMissingHeader}
	ErrInvalidHeaderFormat  = &Error{Code: CodeInvalidHeaderFormat}
	ErrMalformedToken       = &Error{Code: CodeMalformedToken}
	ErrInvalidSignature     = &Error{Code: CodeInvalidSignature}
	ErrInvalidAlgorithm     = &Error{Code: CodeInvalidAlgorithm}
	ErrUnknownKID           = &Error{Code: CodeUnknownKID}
	ErrTokenExpired         = &Error{Code: CodeTokenExpired}
	ErrTokenNotYetValid     = &Error{Code: CodeTokenNotYetValid}
	ErrInvalidClaims        = &Error{Code: CodeInvalidClaims}
	ErrMissingClaim         = &Error{Code: CodeMissingClaim}
	ErrInvalidTokenType     = &Error{Code: CodeInvalidTokenType}
	ErrTokenInactive        = &Error{Code: CodeTokenInactive}
	ErrNotAuthenticated     = &Error{Code: CodeNotAuthenticated}
	ErrMissingRoles         = &Error{Code: CodeMissingRoles}
	ErrMissingGroups        = &Error{Code: CodeMissingGroups}
	ErrMissingScope         = &Error{Code: CodeMissingScope}
	ErrForbidden            = &Error{Code: CodeForbidden}
	ErrTokenRefreshFailed   = &Error{Code: CodeTokenRefreshFailed}
	ErrLoginFailed          = &Error{Code: CodeLoginFailed}
	ErrInvalidRequest       = &Error{Code: CodeInvalidRequest}
	ErrCrossSite            = &Error{Code: CodeCrossSite}
	ErrMethodNotAllowed     = &Error{Code: CodeMethodNotAllowed}
	ErrRequestTooLarge      = &Error{Code: CodeRequestTooLarge}
	ErrUnsupportedMediaType = &Error{Code: CodeUnsupportedMediaType}
	ErrConnection           = &Error{Code: CodeConnection}
	ErrIntrospection        = &Error{Code: CodeIntrospection}
	ErrCertVerify           = &Error{Code: CodeCertVerify}
	ErrCertExpired          = &Error{Code: CodeCertExpired}
	ErrCertUntrusted        = &Error{Code: CodeCertUntrusted}
	ErrHostnameMismatch     = &Error{Code: CodeHostnameMismatch}
	ErrConfig               = &Error{Code: CodeConfig}
)

// Error is a refusal. Its answer to the client follows from its code alone; the cause is for logs, and goes to
// the client only with WithErrorDetails. Neither ever holds a token, a secret or a claim's value. One may be shared by
// many requests: it must not be changed.
type Error struct {
	Code Code
	Err  error // the cause; may be nil

	scope string // the scopes that would have been needed
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("ginkeycloak: %s", e.Code)
	}
	return fmt.Sprintf("ginkeycloak: %s: %v", e.Code, e.Err)
}

// Unwrap gives access to the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an Error of the same code, so that errors.Is(err, ErrTokenExpired) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t != nil && t.Code == e.Code
}

// Status is the HTTP status of the refusal.
func (e *Error) Status() int { return e.response().status }

// Message is the one sentence that a client is told.
func (e *Error) Message() string { return e.response().message }

func refusal(code Code, reason string) *Error { return &Error{Code: code, Err: errors.New(reason)} }

// response is what a client is answered.
type response struct {
	status    int
	challenge string // the error member of the challenge (RFC 6750 §3.1); noError for a challenge without one
	message   string
}

const (
	noChallenge       = ""
	noError           = "-" // RFC 6750 §3.1: no error code when no credentials were sent
	invalidRequest    = "invalid_request"
	invalidToken      = "invalid_token"
	insufficientScope = "insufficient_scope"
)

// responses is the one table of refusals.
var responses = map[Code]response{
	CodeMissingHeader:        {http.StatusUnauthorized, noError, "A bearer token is required."},
	CodeInvalidHeaderFormat:  {http.StatusBadRequest, invalidRequest, "The request must carry exactly one well-formed bearer token."},
	CodeMalformedToken:       {http.StatusUnauthorized, invalidToken, "The token is malformed."},
	CodeInvalidSignature:     {http.StatusUnauthorized, invalidToken, "The token's signature is invalid."},
	CodeInvalidAlgorithm:     {http.StatusUnauthorized, invalidToken, "The token's signature algorithm is not accepted."},
	CodeUnknownKID:           {http.StatusUnauthorized, invalidToken, "The token was signed with an unknown key."},
	CodeTokenExpired:         {http.StatusUnauthorized, invalidToken, "The token has expired."},
	CodeTokenNotYetValid:     {http.StatusUnauthorized, invalidToken, "The token is not valid yet."},
	CodeInvalidClaims:        {http.StatusUnauthorized, invalidToken, "The token was not issued for this service."},
	CodeMissingClaim:         {http.StatusUnauthorized, invalidToken, "The token lacks a required claim."},
	CodeInvalidTokenType:     {http.StatusUnauthorized, invalidToken, "The token is not an access token."},
	CodeTokenInactive:        {http.StatusUnauthorized, invalidToken, "The token is not active."},
	CodeNotAuthenticated:     {http.StatusUnauthorized, noError, "Authentication is required."},
	CodeMissingRoles:         {http.StatusForbidden, insufficientScope, "A required role is missing."},
	CodeMissingGroups:        {http.StatusForbidden, insufficientScope, "Membership of a required group is missing."},
	CodeMissingScope:         {http.StatusForbidden, insufficientScope, "A required scope is missing."},
	CodeForbidden:            {http.StatusForbidden, insufficientScope, "Access is forbidden."},
	CodeTokenRefreshFailed:   {http.StatusBadRequest, noChallenge, "The refresh token is not valid any more."},
	CodeLoginFailed:          {http.StatusBadRequest, noChallenge, "The login cannot be completed."},
	CodeInvalidRequest:       {http.StatusBadRequest, noChallenge, "The request must carry exactly one refresh token."},
	CodeCrossSite:            {http.StatusForbidden, noChallenge, "Requests from other sites are not accepted."},
	CodeMethodNotAllowed:     {http.StatusMethodNotAllowed, noChallenge, "The method must be POST."},
	CodeRequestTooLarge:      {http.StatusRequestEntityTooLarge, noChallenge, "The request is too large."},
	CodeUnsupportedMediaType: {http.StatusUnsupportedMediaType, noChallenge, "The body must be JSON or a form."},
	CodeConnection:           {http.StatusServiceUnavailable, noChallenge, "The authentication service is unavailable."},
	CodeIntrospection:        {http.StatusServiceUnavailable, noChallenge, "The authentication service is unavailable."},
	CodeCertVerify:           {http.StatusServiceUnavailable, noChallenge, "The authentication service is unavailable."},
	CodeCertExpired:          {http.StatusServiceUnavailable, noChallenge, "The authentication service is unavailable."},
	CodeCertUntrusted:        {http.StatusServiceUnavailable, noChallenge, "The authentication service is unavailable."},
	CodeHostnameMismatch:     {http.StatusServiceUnavailable, noChallenge, "The authentication service is unavailable."},
	CodeConfig:               {http.StatusServiceUnavailable, noChallenge, "The authentication service is unavailable."},
}

// Codes lists all codes, sorted.
func Codes() []Code { return slices.Sorted(maps.Keys(responses)) }

// response looks the answer up. A code that is in no row could only be made outside this package; it is refused
// as forbidden.
func (e *Error) response() response {
	if r, ok := responses[e.Code]; ok {
		return r
	}
	return responses[CodeForbidden]
}

// retryAfter, in seconds, is when a client may try again while Keycloak is away.
const retryAfter = 5

// ErrorHandler writes the body of a refusal. It runs with status and headers already set on c.
type ErrorHandler func(c *gin.Context, err *Error)

// asError returns err as a refusal. One that is none can only come from a plug of the user's.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: CodeForbidden, Err: err}
}

// refuse answers a request with a refusal. It is the only place that does: it sets status, challenge and
// headers, writes the body, and keeps every handler behind from running.
func (p *Plugin) refuse(c *gin.Context, err error) {
	e := asError(err)
	a := p.answer(e)
	header, values := c.Writer.Header(), [...]string{"no-store", a.field} // one allocation; none has room for more
	header["Cache-Control"] = values[0:1:1]
	if a.challenge != noChallenge {
		header["Www-Authenticate"] = values[1:2:2]
	}
	if a.status == http.StatusServiceUnavailable {
		header.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	c.Abort()
	c.Status(a.status)
	p.logRefusal(c, e)
	p.cfg.traces.refused(c.Request.Context(), Refused{Code: e.Code, Route: c.FullPath()})

	if p.cfg.errorHandler == nil {
		p.writeBody(c, e, a)
		return
	}
	p.cfg.errorHandler(c, e)
	c.Writer.WriteHeaderNow()
	c.Abort() // whatever the handler did to c
}

// logRefusal tells who was refused why, at a level that is usually off. Of the token it names only what helps to
// find the fault, and neither is secret or personal: the key it names and the issuer it claims.
func (p *Plugin) logRefusal(c *gin.Context, e *Error) {
	ctx := c.Request.Context()
	if !p.cfg.logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{
		slog.String("code", string(e.Code)), slog.String("route", c.FullPath()),
		slog.String("client", c.Request.RemoteAddr), slog.Any("error", e.Err),
	}
	if raw, err := p.cfg.extract(c.Request); err == nil {
		if t, claims, err := readToken(raw, nil); err == nil {
			attrs = append(attrs, slog.String("kid", cut(t.Header.KeyID)), slog.String("iss", cut(claims.Issuer)))
		}
	}
	p.cfg.logger.LogAttrs(ctx, slog.LevelDebug, "keycloak: request refused", attrs...)
}

// cut makes what a stranger wrote fit to be logged: one short line of visible characters.
func cut(s string) string {
	const most = 80
	return strings.Trim(strconv.QuoteToASCII(s[:min(len(s), most)]), `"`)
}

// answer is a response as it goes out.
type answer struct {
	response

	field string // WWW-Authenticate
	body  []byte // without details
}

// answers are the answers of all codes, made once: a flood of bad tokens is answered with what is there already.
func answers(realm string) map[Code]answer {
	all := make(map[Code]answer, len(responses))
	for code, r := range responses {
		all[code] = newAnswer(realm, code, r)
	}
	return all
}

func newAnswer(realm string, code Code, r response) answer {
	return answer{r, challenge(realm, "", r), encodeBody(code, r.message, nil)}
}

// answer is what a client is answered to this refusal.
func (p *Plugin) answer(e *Error) answer {
	a, ok := p.answers[e.Code]
	if !ok { // a code of the user's own
		a = newAnswer(p.cfg.realm, e.Code, e.response())
	}
	if e.scope != "" {
		a.field = challenge(p.cfg.realm, e.scope, a.response)
	}
	return a
}

func challenge(realm, scope string, r response) string {
	c := bearer.Challenge{Realm: realm, Scope: scope}
	if r.challenge != noError {
		c.Error, c.Description = r.challenge, r.message
	}
	return c.String()
}

// errorBody is the JSON of a refusal.
type errorBody struct {
	Error struct {
		Code    Code          `json:"code"`
		Message string        `json:"message"`
		Details *errorDetails `json:"details,omitzero"`
	} `json:"error"`
} //	@name	Refusal

type errorDetails struct {
	Reason string `json:"reason"`

	// The explanation of a token in short, without any value of it, see Explain.
	Kind        string `json:"kind,omitzero"`
	Explanation string `json:"explanation,omitzero"`
	Mend        string `json:"mend,omitzero"`
}

func encodeBody(code Code, message string, details *errorDetails) []byte {
	var body errorBody
	body.Error.Code, body.Error.Message, body.Error.Details = code, message, details
	encoded, err := json.Marshal(&body)
	if err != nil { // strings in valid UTF-8 cannot fail to encode
		return nil
	}
	return encoded
}

func (p *Plugin) writeBody(c *gin.Context, e *Error, a answer) {
	if p.cfg.errorDetails && e.Err != nil {
		a.body = encodeBody(e.Code, a.message, p.details(c.Request, e))
	}
	c.Writer.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = c.Writer.Write(a.body) // a client that has gone needs no answer
}
