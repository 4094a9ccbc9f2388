package keycloaktest

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// serveLogout ends a session: with a refresh token and the client's credentials, as an application does, or with an
// ID token as the hint, as a browser does (OpenID Connect RP-Initiated Logout).
func (s *Server) serveLogout(w http.ResponseWriter, r *http.Request) {
	if token := r.PostForm.Get("refresh_token"); token != "" {
		s.logoutByToken(w, r, token)
		return
	}
	client, known := s.clients[r.Form.Get("client_id")]
	if hint := r.Form.Get("id_token_hint"); hint != "" {
		claims, err := s.signed(hint, jwt.WithoutClaimsValidation()) // its time and its session may be over
		if err != nil || claims.text("typ") != string(idToken) {
			s.sorry(w, "Invalid parameter: id_token_hint")
			return
		}
		client, known = s.clients[claims.text("azp")]
		s.endSession(claims.text("sid"))
	}
	target := r.Form.Get("post_logout_redirect_uri")
	if target == "" {
		s.show(w, http.StatusOK, page{Title: "You are logged out", Message: "You are logged out"})
		return
	}
	if !known || !client.allowsRedirect(target) {
		s.sorry(w, "Invalid redirect uri")
		return
	}
	if state := r.Form.Get("state"); state != "" {
		separator := "?"
		if strings.Contains(target, "?") {
			separator = "&"
		}
		target += separator + "state=" + url.QueryEscape(state)
	}
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusFound)
}

func (s *Server) logoutByToken(w http.ResponseWriter, r *http.Request, token string) {
	client, refused := s.authenticate(r)
	if refused != nil {
		refused.write(w)
		return
	}
	if !s.allowOrigin(w, r, client) {
		return
	}
	claims, refused := s.checkRefreshToken(client, token)
	if refused != nil {
		refused.write(w)
		return
	}
	s.endSession(claims.text("sid"))
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusNoContent)
}

// serveRevocation is token revocation (RFC 7009). A session has one client here, so it ends with its refresh token.
func (s *Server) serveRevocation(w http.ResponseWriter, r *http.Request) {
	client, refused := s.authenticate(r)
	if refused != nil {
		refused.write(w)
		return
	}
	if !s.allowOrigin(w, r, client) {
		return
	}
	token := r.PostForm.Get("token")
	if token == "" {
		badRequest("invalid_request", "Token not provided").write(w)
		return
	}
	if claims, refused := s.checkRefreshToken(client, token); refused == nil {
		s.endSession(claims.text("sid"))
		w.WriteHeader(http.StatusOK)
		return
	}
	claims, err := s.verify(token)
	if err != nil || claims.text("azp") != client.ID {
		writeError(w, http.StatusOK, "invalid_token", "Invalid token") // RFC 7009 §2.2: not an error
		return
	}
	s.revoke(claims.text("jti"))
	w.WriteHeader(http.StatusOK)
}

func (s *Server) revoke(jti string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.revoked.put(jti, struct{}{}, s.now().Add(unlimited))
}
