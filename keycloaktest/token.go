package keycloaktest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Token is a token in the making: whom it is for, what it is to say, how it is signed. Options change it, then the
// server issues it.
type Token struct {
	server *Server
	now    time.Time

	kind        kind
	client      Client // whom it is issued to
	user        User   // whom it is for
	host        string // of a service account: where the client called from
	bare        bool   // leave roles and groups out
	lightweight bool
	grant       string // the grant as jti abbreviates it
	sid         string
	jti         string
	scope       string
	nonce       string
	accessToken string // that an ID token comes with
	authTime    time.Time
	claims      []edit // in order, over what Keycloak would say
	header      []edit

	alg        string
	kid        string
	signer     crypto.Signer
	saltLength int
	sign       func(input []byte) []byte // in place of alg and signer
	rawHeader  *string
	rawPayload *string
}

// kind is what sort of token it is; the value is the typ claim.
type kind string

const (
	accessToken  kind = "Bearer"
	idToken      kind = "ID"
	refreshToken kind = "Refresh"
)

// edit is one change of a header or of claims. A named claim stays in a lightweight token.
type edit struct {
	name  string
	named bool
	apply func(*object)
}

// Token mints an access token. Without options it is the valid one that alice gets for orders-api, with her profile
// but with no role and no group:
//
//	{"alg":"RS256","typ":"JWT","kid":"…"}
//	{"exp","iat","jti","iss","aud":"orders-api","sub","typ":"Bearer","azp":"orders-api","sid","acr","allowed-origins",
//	 "scope":"openid profile email","email_verified","name","preferred_username","given_name","family_name","email"}
//
// ForUser, ForClient, ForServiceAccount and Lightweight say what Keycloak would have issued; the options about single
// claims change that, whatever the order. Among themselves the last one about a claim holds.
//
// The realm knows the token: it is active in introspection as long as one of the realm's keys signed it, it is not
// expired, and its user is not logged out by [Server.LogoutUser].
func (s *Server) Token(opts ...TokenOption) string {
	s.tb.Helper()
	return s.mustMint(s.newToken(accessToken), opts)
}

// IDToken mints the ID token that alice gets for orders-api. As in Keycloak only its typ claim, "ID", tells it from an
// access token: issuer, audience, key and times are the same.
func (s *Server) IDToken(opts ...TokenOption) string {
	s.tb.Helper()
	return s.mustMint(s.newToken(idToken), opts)
}

// RefreshToken mints a refresh token for alice at orders-api, of a session of its own, which the token endpoint takes.
// It is signed with HS512, with a kid that is in no key set. ForUser and ForClient issue it to others.
func (s *Server) RefreshToken(opts ...TokenOption) string {
	s.tb.Helper()
	return s.mustMint(s.newToken(refreshToken), opts)
}

// newToken is the valid token to begin with.
func (s *Server) newToken(k kind) *Token {
	active := s.activeKey()
	t := &Token{
		server: s, now: s.now(), kind: k, client: s.clients["orders-api"], user: s.users["alice"], bare: true,
		grant: "ro", scope: "openid profile email",
		alg: active.alg, kid: active.kid, signer: active.signer, saltLength: rsa.PSSSaltLengthEqualsHash,
	}
	if k == refreshToken {
		HMAC("HS512", s.secret)(t)
		t.kid = s.secretID
	}
	return t
}

func (s *Server) mustMint(t *Token, opts []TokenOption) string {
	s.tb.Helper()
	for _, opt := range opts {
		opt(t)
	}
	compact, err := s.mint(t)
	if err != nil {
		s.tb.Fatalf("keycloaktest: mint a token: %v", err)
	}
	return compact
}

// mint issues, edits and signs.
func (s *Server) mint(t *Token) (string, error) {
	if t.sid == "" && t.host == "" {
		t.sid = s.sessionFor(t)
	}
	claims := t.issue()
	named := map[string]bool{}
	for _, e := range t.claims {
		e.apply(claims)
		named[e.name] = named[e.name] || e.named
	}
	claims.sortBy(claimOrder)
	if t.lightweight {
		s.remember(claims.text("jti"), claims)
		claims = claims.only(func(name string) bool {
			return named[name] || slices.Contains(lightClaims, name) || name == "sub" && t.host != "" // a service account's
		})
	}
	return t.compact(claims)
}

var lightClaims = []string{"exp", "iat", "jti", "iss", "typ", "azp", "sid", "scope"}

// claimOrder is the order in which Keycloak writes claims.
var claimOrder = []string{
	"exp", "iat", "auth_time", "jti", "iss", "aud", "sub", "typ", "azp", "nonce", "sid", "at_hash", "acr",
	"allowed-origins", "realm_access", "resource_access", "scope", "clientHost", "email_verified", "name", "groups",
	"preferred_username", "given_name", "family_name", "clientAddress", "email", "client_id",
}

// issue is what Keycloak would say in the token.
func (t *Token) issue() *object {
	o := newObject()
	o.set("exp", t.now.Add(t.lifespan()).Unix())
	o.set("iat", t.now.Unix())
	o.set("jti", t.id())
	o.set("iss", t.server.issuer)
	o.set("sub", t.user.ID)
	o.set("typ", string(t.kind))
	o.set("azp", t.client.ID)
	if t.sid != "" {
		o.set("sid", t.sid)
	}
	if t.kind != idToken {
		o.set("scope", t.scope)
	}
	if t.kind == refreshToken {
		o.set("aud", t.server.issuer)
		return o
	}
	o.set("acr", "1")
	if !t.authTime.IsZero() {
		o.set("auth_time", t.authTime.Unix())
	}
	t.setProfile(o)
	if t.kind == idToken {
		o.set("aud", t.client.ID)
		if t.accessToken != "" {
			o.set("at_hash", t.accessTokenHash())
		}
		if t.nonce != "" {
			o.set("nonce", t.nonce)
		}
		return o
	}
	t.setAccess(o)
	return o
}

// accessTokenHash is the left half of the hash that the algorithm uses (OpenID Connect Core §3.1.3.6).
func (t *Token) accessTokenHash() string {
	hash := algorithms[t.alg].hash
	if hash == 0 { // EdDSA hashes with SHA-512 inside
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write([]byte(t.accessToken))
	return base64url(h.Sum(nil)[:hash.Size()/2])
}

func (t *Token) lifespan() time.Duration {
	if t.kind == refreshToken {
		return refreshLifespan
	}
	return t.server.lifespan
}

// id is a jti. Since 26.2 that of an access token says which session, token and grant it comes from.
func (t *Token) id() string {
	if t.jti != "" {
		return t.jti
	}
	if t.kind != accessToken {
		return newUUID()
	}
	session, form := "on", "rt"
	if t.host != "" {
		session = "tr"
	}
	if t.lightweight {
		form = "lt"
	}
	return session + form + t.grant + ":" + newUUID()
}

// setAccess sets what an access token says beyond an ID token: audience, origins and roles.
func (t *Token) setAccess(o *object) {
	user := t.user
	if t.bare {
		user.RealmRoles, user.ClientRoles = nil, nil
	}
	setRoles(o, user)
	if aud := audienceOf(t.client, user); len(aud) == 1 {
		o.set("aud", aud[0])
	} else if len(aud) > 1 {
		o.set("aud", aud)
	}
	if len(t.client.WebOrigins) > 0 {
		o.set("allowed-origins", t.client.WebOrigins)
	}
	if t.host != "" {
		o.set("clientHost", t.host)
		o.set("clientAddress", t.host)
		o.set("client_id", t.client.ID)
	}
}

// audienceOf is what the client's audience mappers and the "audience resolve" mapper put into aud: the latter adds the
// clients that the user has roles of, but not the client that asks.
func audienceOf(client Client, user User) []string {
	aud := slices.Clone(client.Audience)
	for _, id := range slices.Sorted(maps.Keys(user.ClientRoles)) {
		if id != client.ID && len(user.ClientRoles[id]) > 0 && !slices.Contains(aud, id) {
			aud = append(aud, id)
		}
	}
	return aud
}

// setRoles sets the user's roles as far as there are any.
func setRoles(o *object, user User) {
	if len(user.RealmRoles) > 0 {
		o.set("realm_access", rolesClaim(user.RealmRoles))
	}
	access := map[string]any{}
	for client, roles := range user.ClientRoles {
		if len(roles) > 0 {
			access[client] = rolesClaim(roles)
		}
	}
	if len(access) > 0 {
		o.set("resource_access", access)
	}
}

func rolesClaim(roles []string) map[string]any { return map[string]any{"roles": nonNil(roles)} }

// setProfile sets the claims of the scopes profile and email, and the groups where the client has the mapper.
func (t *Token) setProfile(o *object) {
	o.set("email_verified", t.user.EmailVerified)
	o.set("preferred_username", t.user.Username)
	if !t.bare && t.client.GroupsMapper && len(t.user.Groups) > 0 {
		o.set("groups", t.user.Groups)
	}
	for _, claim := range []struct{ name, value string }{
		{"name", strings.TrimSpace(t.user.FirstName + " " + t.user.LastName)},
		{"given_name", t.user.FirstName},
		{"family_name", t.user.LastName},
		{"email", t.user.Email},
	} {
		if claim.value != "" {
			o.set(claim.name, claim.value)
		}
	}
}

// compact signs and serializes (RFC 7515 §7.1).
func (t *Token) compact(claims *object) (string, error) {
	head := newObject()
	head.set("alg", t.alg)
	head.set("typ", "JWT")
	head.set("kid", t.kid)
	for _, e := range t.header {
		e.apply(head)
	}
	header, err := segment(head, t.rawHeader, spaced)
	if err != nil {
		return "", fmt.Errorf("header: %w", err)
	}
	payload, err := segment(claims, t.rawPayload, nil)
	if err != nil {
		return "", fmt.Errorf("claims: %w", err)
	}
	input := header + "." + payload
	if t.sign != nil {
		return input + "." + base64url(t.sign([]byte(input))), nil
	}
	sig, err := signature(t.alg, t.signer, t.saltLength, []byte(input))
	if err != nil {
		return "", err
	}
	return input + "." + base64url(sig), nil
}

func segment(o *object, raw *string, restyle *strings.Replacer) (string, error) {
	if raw != nil {
		return base64url([]byte(*raw)), nil
	}
	text, err := json.Marshal(o)
	if restyle != nil {
		text = []byte(restyle.Replace(string(text)))
	}
	return base64url(text), err
}

// spaced puts spaces where Keycloak's headers have some. Within a string the quotes would be escaped.
var spaced = strings.NewReplacer(`,"typ":`, `,"typ" : `, `,"kid":`, `,"kid" : `)

func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return formatUUID(b[:])
}
