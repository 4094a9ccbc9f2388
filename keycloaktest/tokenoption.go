package keycloaktest

import (
	"crypto"
	"crypto/hmac"
	_ "crypto/sha512" // for crypto.SHA384 and crypto.SHA512
	"maps"
	"time"
)

// TokenOption changes one thing about a token. Options of one's own are put together from the ones below.
type TokenOption = func(*Token)

// ForUser issues the token to a user of the realm, with the user's profile, roles and groups as Keycloak would give
// them. It ends the test if there is no such user. Default: alice, without roles and groups.
func ForUser(username string) TokenOption {
	return func(t *Token) {
		t.server.tb.Helper()
		t.user, t.bare = t.server.User(username), false
	}
}

// ForClient issues the token to a client of the realm, which decides on aud, azp, allowed-origins, on the groups
// claim and on lightweight tokens. It ends the test if there is no such client. Default: orders-api.
func ForClient(clientID string) TokenOption {
	return func(t *Token) {
		t.server.tb.Helper()
		t.client = t.server.client(clientID)
		t.lightweight = t.lightweight || t.client.LightweightTokens && t.kind == accessToken
	}
}

// ForServiceAccount makes it the token that a client gets by client_credentials: for the client's service account,
// with the roles that every account has, so with a second audience, and without a session.
func ForServiceAccount(clientID string) TokenOption {
	return func(t *Token) {
		t.server.tb.Helper()
		ForClient(clientID)(t)
		t.user, t.bare = serviceAccount(t.client, t.server.realm), false
		t.grant, t.host, t.scope = "cc", "127.0.0.1", "profile email"
	}
}

// Lightweight makes it a lightweight access token: little more than exp, iat, jti, iss, typ, azp, sid and scope.
// Introspection still gives the rest. Roles and groups leave the token too; any other claim that an option asks for
// by name stays.
func Lightweight() TokenOption { return func(t *Token) { t.lightweight = true } }

// RealmRoles gives the token exactly these realm roles.
func RealmRoles(roles ...string) TokenOption {
	return derived("realm_access", func(o *object) { o.set("realm_access", rolesClaim(roles)) })
}

// ClientRoles gives the token exactly these roles of one client. It can be repeated for other clients.
func ClientRoles(client string, roles ...string) TokenOption {
	return derived("resource_access", func(o *object) {
		access := map[string]any{}
		if old, ok := o.values["resource_access"].(map[string]any); ok {
			maps.Copy(access, old)
		}
		access[client] = rolesClaim(roles)
		o.set("resource_access", access)
	})
}

// Groups gives the token exactly these groups; Keycloak's are full paths such as "/eng/sre".
func Groups(paths ...string) TokenOption {
	return derived("groups", func(o *object) { o.set("groups", nonNil(paths)) })
}

func derived(name string, apply func(*object)) TokenOption {
	return func(t *Token) { t.claims = append(t.claims, edit{name: name, apply: apply}) }
}

// ExpiresIn sets exp, counted from now; it may be negative. NumericDates are whole seconds. Default: 5 minutes, or
// what WithTokenLifespan says.
func ExpiresIn(d time.Duration) TokenOption { return timeClaim("exp", d) }

// IssuedIn sets iat, counted from now: negative for the past. Default: 0.
func IssuedIn(d time.Duration) TokenOption { return timeClaim("iat", d) }

// IssuedAt sets iat.
func IssuedAt(at time.Time) TokenOption { return Claim("iat", at.Unix()) }

// NotBeforeIn sets nbf, counted from now. Default: none, as in Keycloak.
func NotBeforeIn(d time.Duration) TokenOption { return timeClaim("nbf", d) }

func timeClaim(name string, d time.Duration) TokenOption {
	return func(t *Token) { Claim(name, t.now.Add(d).Unix())(t) }
}

// Issuer sets iss.
func Issuer(iss string) TokenOption { return Claim("iss", iss) }

// Audience sets aud: one as a string, several (or none) as an array, as Keycloak writes them.
func Audience(aud ...string) TokenOption {
	if len(aud) == 1 {
		return Claim("aud", aud[0])
	}
	return Claim("aud", nonNil(aud))
}

// AuthorizedParty sets azp, the client the token was issued to.
func AuthorizedParty(clientID string) TokenOption { return Claim("azp", clientID) }

// Type sets the typ claim: "Bearer", "ID", "Refresh", "Offline", "Logout", "DPoP". Header sets the typ of the header.
func Type(typ string) TokenOption { return Claim("typ", typ) }

// Subject sets sub.
func Subject(sub string) TokenOption { return Claim("sub", sub) }

// Scope sets scope, a list with spaces between.
func Scope(scope string) TokenOption { return Claim("scope", scope) }

// Claim sets any claim to anything that encoding/json can write; a json.RawMessage such as `1e400` is written as it is.
func Claim(name string, value any) TokenOption {
	return func(t *Token) {
		t.claims = append(t.claims, edit{name, true, func(o *object) { o.set(name, value) }})
	}
}

// WithoutClaim leaves a claim out.
func WithoutClaim(name string) TokenOption {
	return func(t *Token) {
		t.claims = append(t.claims, edit{name, true, func(o *object) { o.remove(name) }})
	}
}

// Header sets any member of the header, and nothing but the header: the signature stays what it would have been.
func Header(name string, value any) TokenOption {
	return func(t *Token) {
		t.header = append(t.header, edit{name, true, func(o *object) { o.set(name, value) }})
	}
}

// WithoutHeader leaves a member of the header out.
func WithoutHeader(name string) TokenOption {
	return func(t *Token) {
		t.header = append(t.header, edit{name, true, func(o *object) { o.remove(name) }})
	}
}

// KeyID sets the kid of the header. The key stays the same.
func KeyID(kid string) TokenOption { return func(t *Token) { t.kid = kid } }

// Algorithm signs with this algorithm and names it in the header. The realm's RSA key can do RS and PS, an EC key
// every ES: with another curve than the algorithm's the signature has the algorithm's length, as an attacker's would.
// It ends the test when the type of key does not fit.
func Algorithm(alg string) TokenOption {
	return func(t *Token) { t.alg, t.sign = alg, nil }
}

// SaltLength is the length in bytes of the salt of a PS signature. Default: that of the hash (RFC 7518 §3.5).
func SaltLength(n int) TokenOption { return func(t *Token) { t.saltLength = n } }

// SignedBy signs with another key, under the realm's kid, with the algorithm natural to the key. To name the key, or
// another algorithm, put KeyID and Algorithm behind it.
func SignedBy(signer crypto.Signer) TokenOption {
	return func(t *Token) {
		t.server.tb.Helper()
		alg, err := algorithmOf(signer.Public())
		if err != nil {
			t.server.tb.Fatalf("keycloaktest: SignedBy: %v", err)
		}
		t.alg, t.signer, t.sign = alg, signer, nil
	}
}

// HMAC signs with HS256, HS384 or HS512 and names it in the header: the classic attack uses the realm's public key as
// the secret.
func HMAC(alg string, secret []byte) TokenOption {
	hash := map[string]crypto.Hash{"HS384": crypto.SHA384, "HS512": crypto.SHA512}[alg]
	if hash == 0 {
		hash = crypto.SHA256
	}
	return SignedWith(alg, func(input []byte) []byte {
		mac := hmac.New(hash.New, secret)
		mac.Write(input)
		return mac.Sum(nil)
	})
}

// Unsigned leaves the signature empty and names any algorithm: "none", "None", "".
func Unsigned(alg string) TokenOption {
	return SignedWith(alg, func([]byte) []byte { return nil })
}

// SignedWith names any algorithm and takes whatever sign makes of the signing input as the signature, which is how
// malformed ones are made.
func SignedWith(alg string, sign func(input []byte) []byte) TokenOption {
	return func(t *Token) { t.alg, t.sign = alg, sign }
}

// RawHeader takes the header as given, byte for byte; it is encoded and signed. The signature is the one that the
// other options ask for, whatever the header says.
func RawHeader(json string) TokenOption { return func(t *Token) { t.rawHeader = &json } }

// RawPayload takes the payload as given, byte for byte; it is encoded and signed.
func RawPayload(json string) TokenOption { return func(t *Token) { t.rawPayload = &json } }
