package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
)

// clientID is a public client of the realm with the standard flow. One client logs users in and refreshes their tokens,
// for Keycloak takes a refresh token from nobody else.
const clientID = "spa"

var client = &http.Client{Timeout: 10 * time.Second}

func endpoint(name string) string {
	return strings.TrimRight(os.Getenv("KEYCLOAK_URL"), "/") + "/realms/demo/protocol/openid-connect/" + name
}

// toKeycloak hands the page's authorization request on, so that the page need not know where Keycloak is.
func toKeycloak(c *gin.Context) {
	c.Redirect(http.StatusFound, endpoint("auth")+"?"+c.Request.URL.RawQuery)
}

// fromKeycloak exchanges the code that the page came back with. It answers as the refresh route does: the access token in
// the body, the refresh token in the cookie.
func fromKeycloak(kc *ginkeycloak.Plugin) gin.HandlerFunc {
	sameOrigin := http.NewCrossOriginProtection() // else another site could log its visitors in as somebody else
	return func(c *gin.Context) {
		if sameOrigin.Check(c.Request) != nil {
			c.AbortWithStatus(http.StatusForbidden)
			return
		}
		tokens, err := exchange(c)
		if err != nil {
			_ = c.AbortWithError(http.StatusBadGateway, err)
			return
		}
		kc.SetRefreshCookie(c, tokens)
		tokens.RefreshToken = ""
		c.Header("Cache-Control", "no-store")
		c.JSON(http.StatusOK, tokens)
	}
}

// exchange is the token request (RFC 6749 §4.1.3, RFC 7636 §4.5).
func exchange(c *gin.Context) (*ginkeycloak.TokenSet, error) {
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {clientID}}
	for _, name := range []string{"code", "code_verifier", "redirect_uri"} {
		form.Set(name, c.PostForm(name))
	}
	r, err := http.NewRequestWithContext(c.Request.Context(), http.MethodPost, endpoint("token"), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	tokens := new(ginkeycloak.TokenSet)
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(tokens); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK || tokens.RefreshToken == "" {
		return nil, errors.New("the token endpoint answered " + resp.Status)
	}
	return tokens, nil
}
