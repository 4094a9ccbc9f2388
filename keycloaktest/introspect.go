package keycloaktest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// serveIntrospection is token introspection (RFC 7662).
func (s *Server) serveIntrospection(w http.ResponseWriter, r *http.Request) {
	client, refused := s.authenticate(r)
	if refused != nil {
		if refused.code == "unauthorized_client" { // a wrong secret has words of its own here
			refused = unauthorized("invalid_client", "Client authentication failed.")
		}
		refused.write(w)
		return
	}
	if client.Public {
		writeError(w, http.StatusForbidden, "invalid_request", "Client not allowed.")
		return
	}
	if duplicated(r) {
		badRequest("invalid_request", "duplicated parameter").write(w)
		return
	}
	if !r.PostForm.Has("token") { // an empty one is merely inactive
		badRequest("invalid_request", "Token not provided.").write(w)
		return
	}
	look, known := introspectors[r.PostForm.Get("token_type_hint")]
	if !known {
		badRequest("invalid_request", "Unsupported token type.").write(w)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	claims, err := look(s, r.PostForm.Get("token"))
	if err != nil {
		writeInactive(w)
		return
	}
	// Since 26.6.2 (CVE-2026-37979): not about tokens for others, and nothing tells this from an expired one.
	if !slices.Contains(audience(claims), client.ID) {
		writeInactive(w)
		return
	}
	writeJSON(w, http.StatusOK, describe(claims))
}

// introspectors look at a token, by its hint. Against RFC 7662 §2.1 Keycloak looks no further than the hint: with
// refresh_token an access token is inactive, and only then a refresh token is active.
var introspectors = map[string]func(*Server, string) (*object, error){
	"":              (*Server).introspectSigned,
	"access_token":  (*Server).introspectSigned,
	"refresh_token": (*Server).introspectRefresh,
}

// introspectSigned is about access tokens and, as nothing but typ tells them apart, ID tokens.
func (s *Server) introspectSigned(token string) (*object, error) {
	claims, err := s.verify(token)
	if err != nil {
		return nil, err
	}
	return s.complete(claims), nil
}

// introspectRefresh tells of a refresh token what the access token says that it is good for.
func (s *Server) introspectRefresh(token string) (*object, error) {
	claims, err := s.readRefreshToken(token)
	if err != nil {
		return nil, err
	}
	if err := s.checkLive(claims); err != nil {
		return nil, err
	}
	t := s.newToken(accessToken)
	t.client, t.bare, t.sid = s.clients[claims.text("azp")], false, claims.text("sid")
	t.user, _ = s.userByID(claims.text("sub"))
	whole := t.issue()
	for _, name := range claims.names {
		whole.set(name, claims.values[name])
	}
	whole.set("aud", append([]string{s.issuer}, audienceOf(t.client, t.user)...))
	return whole, nil
}

func writeInactive(w http.ResponseWriter) {
	o := newObject()
	o.set("active", false)
	writeJSON(w, http.StatusOK, o)
}

// describe adds to the claims what introspection says beside them.
func describe(claims *object) *object {
	claims.remove("clientHost")
	claims.remove("clientAddress")
	claims.set("client_id", claims.values["azp"])
	if username := claims.text("preferred_username"); username != "" {
		claims.set("username", username)
	}
	claims.set("token_type", claims.values["typ"])
	claims.set("active", true)
	return claims
}

// complete adds what introspection knows beyond the token: all claims of a lightweight one; for an ID token
// the roles, so that it looks just like an access token.
func (s *Server) complete(claims *object) *object {
	whole := newObject()
	if all, ok := s.recall(claims.text("jti")); ok {
		for _, name := range all.names {
			whole.set(name, all.values[name])
		}
		return whole
	}
	for _, name := range claims.names {
		whole.set(name, claims.values[name])
	}
	user, known := s.userByID(claims.text("sub"))
	if known && claims.text("typ") == string(idToken) {
		setRoles(whole, user)
		whole.remove("at_hash")
		if origins := s.clients[claims.text("azp")].WebOrigins; len(origins) > 0 {
			whole.set("allowed-origins", origins)
		}
		whole.sortBy(claimOrder)
	}
	return whole
}

// Why a token that is signed and not expired is void nevertheless.
var (
	errSessionEnded = errors.New("session ended")
	errRevoked      = errors.New("revoked")
	errUserDisabled = errors.New("user disabled")
)

// verify takes the tokens that the realm signed, access tokens and ID tokens, while they and their session last.
func (s *Server) verify(token string) (*object, error) {
	claims, err := s.signed(token, jwt.WithIssuer(s.issuer))
	if err != nil {
		return nil, err
	}
	if err := s.checkLive(claims); err != nil {
		return nil, err
	}
	return claims, nil
}

// checkLive is about all that can end a token before its time.
func (s *Server) checkLive(claims *object) error {
	if claims.number("iat") < s.notBefore() || s.isRevoked(claims.text("jti")) {
		return errRevoked
	}
	if sid := claims.text("sid"); sid != "" && s.sessionEnded(sid, claims.text("azp")) {
		return errSessionEnded
	}
	if user, known := s.userByID(claims.text("sub")); known && user.Disabled {
		return errUserDisabled
	}
	return nil
}

// signed takes a token that one of the realm's keys signed.
func (s *Server) signed(token string, opts ...jwt.ParserOption) (*object, error) {
	_, err := s.parser(opts...).Parse(token, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		signing, ok := s.publicKey(kid)
		if !ok {
			return nil, jwt.ErrTokenUnverifiable
		}
		return signing.signer.Public(), nil
	})
	if err != nil {
		return nil, err
	}
	return payload(token)
}

func (s *Server) isRevoked(jti string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, revoked := s.state.revoked.get(jti, s.now())
	return revoked
}

// audience reads aud, a string or an array (RFC 7519 §4.1.3).
func audience(claims *object) []string {
	switch aud := claims.values["aud"].(type) {
	case string:
		return []string{aud}
	case []string:
		return aud
	case []any:
		var names []string
		for _, name := range aud {
			if text, ok := name.(string); ok {
				names = append(names, text)
			}
		}
		return names
	}
	return nil
}

// serveUserInfo is the userinfo endpoint (OpenID Connect Core §5.3).
func (s *Server) serveUserInfo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		token = r.PostForm.Get("access_token")
	}
	if token == "" {
		s.refuseUserInfo(w, unauthorized("", ""))
		return
	}
	claims, err := s.verify(token)
	if errors.Is(err, errSessionEnded) {
		s.refuseUserInfo(w, unauthorized("invalid_token", "user_session_not_found"))
		return
	}
	if err != nil || claims.text("typ") != string(accessToken) {
		s.refuseUserInfo(w, unauthorized("invalid_token", "Token verification failed"))
		return
	}
	if s.isLight(claims) {
		s.refuseUserInfo(w, unauthorized("invalid_token", "Lightweight access token not allowed for userinfo endpoint"))
		return
	}
	if !s.allowOrigin(w, r, s.clients[claims.text("azp")]) {
		return
	}
	if !slices.Contains(strings.Fields(claims.text("scope")), "openid") {
		s.refuseUserInfo(w, &refusal{http.StatusForbidden, "insufficient_scope", "Missing openid scope"})
		return
	}
	w.Header().Add("Cache-Control", "no-cache")
	o := newObject()
	for _, name := range []string{
		"sub", "email_verified", "name", "groups", "preferred_username", "given_name", "family_name", "email",
	} {
		if value, ok := claims.values[name]; ok {
			o.set(name, value)
		}
	}
	writeJSON(w, http.StatusOK, o)
}

// isLight reports whether the realm issued the token as a lightweight one: userinfo refuses these since 26.6.2.
func (s *Server) isLight(claims *object) bool {
	_, light := s.recall(claims.text("jti"))
	return light
}

// refuseUserInfo refuses with a challenge (RFC 6750 §3) and nothing else.
func (s *Server) refuseUserInfo(w http.ResponseWriter, refused *refusal) {
	challenge := fmt.Sprintf("Bearer realm=%q", s.realm)
	if refused.code != "" {
		challenge += fmt.Sprintf(", error=%q, error_description=%q", refused.code, refused.description)
	}
	w.Header().Set("WWW-Authenticate", challenge)
	w.Header().Set("Content-Type", "text/plain;charset=utf-8")
	w.WriteHeader(refused.status)
}
