package keycloaktest

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// authenticate says which client asks: by client_secret_basic, client_secret_post, private_key_jwt, or, if it is
// public, by its ID alone.
func (s *Server) authenticate(r *http.Request) (Client, *refusal) {
	if r.PostForm.Get("client_assertion_type") != "" {
		return s.checkAssertion(r)
	}
	id, secret, basic := r.BasicAuth()
	if basic { // RFC 6749 §2.3.1: both are form-encoded first
		id, secret = unescape(id), unescape(secret)
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	client, known := s.clients[id]
	if !known {
		return Client{}, unknownClient()
	}
	if client.Public {
		return client, nil
	}
	if client.PublicKey != nil && client.Secret == "" {
		return Client{}, badRequest("invalid_client", "Parameter client_assertion_type is missing")
	}
	if client.Secret == "" || !equal(client.Secret, secret) {
		return Client{}, unauthorized("unauthorized_client", "Invalid client or Invalid client credentials")
	}
	return client, nil
}

func unknownClient() *refusal {
	return unauthorized("invalid_client", "Invalid client or Invalid client credentials")
}

func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// checkAssertion is private_key_jwt (RFC 7523 §3): signed by the client's key, issued by and about the client, for
// this realm, with an end, and never seen before.
func (s *Server) checkAssertion(r *http.Request) (Client, *refusal) {
	failed := func(why string) (Client, *refusal) { return Client{}, badRequest("invalid_client", why) }
	assertion := r.PostForm.Get("client_assertion")
	said, err := payload(assertion)
	if err != nil {
		return Client{}, unknownClient()
	}
	client, known := s.clients[said.text("sub")]
	if !known || client.PublicKey == nil || r.PostForm.Get("client_assertion_type") != assertionType ||
		said.text("iss") != client.ID {
		return Client{}, unknownClient()
	}
	var claims jwt.RegisteredClaims
	_, err = s.parser().ParseWithClaims(assertion, &claims, func(t *jwt.Token) (any, error) {
		if kid, named := t.Header["kid"]; named && client.KeyID != "" && kid != client.KeyID {
			return nil, jwt.ErrTokenUnverifiable
		}
		return public(client.PublicKey), nil
	})
	switch {
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return failed("Unable to load public key")
	case errors.Is(err, jwt.ErrTokenExpired):
		return failed("Token is not active")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return failed("Token exp claim is required")
	case err != nil:
		return failed("Client authentication with signed JWT failed: Signature on JWT token failed validation")
	case r.PostForm.Get("client_id") != "" && r.PostForm.Get("client_id") != client.ID:
		return failed("client_id parameter not matching with client from JWT token")
	case len(claims.Audience) > 1:
		return failed("Multiple audiences not allowed")
	case len(claims.Audience) == 0 || !slices.Contains(s.ownAudiences(), claims.Audience[0]):
		return failed("Invalid token audience")
	case claims.ID == "":
		return failed("Token jti claim is required")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.state.assertions.get(claims.ID, s.now()); used {
		return failed("Token reuse detected")
	}
	s.state.assertions.put(claims.ID, struct{}{}, claims.ExpiresAt.Time)
	return client, nil
}

// ownAudiences are the names by which an assertion may call this realm.
func (s *Server) ownAudiences() []string {
	return []string{s.issuer, s.protocolURL("/token"), s.protocolURL("/token/introspect")}
}

// parser checks a signature with an asymmetric algorithm, exp, nbf and iat.
func (s *Server) parser(opts ...jwt.ParserOption) *jwt.Parser {
	methods := make([]string, 0, len(algorithms))
	for alg := range algorithms {
		methods = append(methods, alg)
	}
	return jwt.NewParser(append([]jwt.ParserOption{
		jwt.WithValidMethods(methods), jwt.WithTimeFunc(s.now), jwt.WithExpirationRequired(), jwt.WithStrictDecoding(),
	}, opts...)...)
}

// checkRefreshToken reads a refresh token of this realm and of that client.
func (s *Server) checkRefreshToken(client Client, token string) (*object, *refusal) {
	claims, err := s.readRefreshToken(token)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, badRequest("invalid_grant", "Token is not active")
	case err != nil || claims.text("typ") != string(refreshToken):
		return nil, badRequest("invalid_grant", "Invalid refresh token")
	case claims.text("azp") != client.ID:
		return nil, badRequest("invalid_grant",
			"Invalid refresh token. Token client and authorized client don't match")
	case claims.number("iat") < s.notBefore():
		return nil, badRequest("invalid_grant", "Stale token")
	}
	return claims, nil
}

func (s *Server) readRefreshToken(token string) (*object, error) {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS512"}), jwt.WithTimeFunc(s.now),
		jwt.WithExpirationRequired(), jwt.WithIssuer(s.issuer), jwt.WithStrictDecoding())
	if _, err := parser.Parse(token, func(*jwt.Token) (any, error) { return s.secret, nil }); err != nil {
		return nil, err
	}
	return payload(token)
}
