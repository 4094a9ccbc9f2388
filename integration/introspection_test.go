package integration_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// introspect asks about a token and returns the answer, which is a 200 whatever the token is.
func (kc *target) introspect(t *testing.T, token string, client basic) map[string]any {
	t.Helper()
	got := kc.post(t, introspectionPath, values("token", token), client)
	if got.status != http.StatusOK {
		t.Fatalf("introspection said %d %s, want 200", got.status, got.body)
	}
	return object(t, got.body)
}

const (
	inactive     = `{"active":false}`
	audienceRule = "the asking client must be in the audience since 26.6.2 only (CVE-2026-37979)"

	// What introspection adds to the claims of alice's token.
	aliceActive = `"client_id":"orders-api","username":"alice","active":true}`
)

func TestContractIntrospection(t *testing.T) {
	access := strings.Replace(aliceClaims, "}`", "", 1)
	access = strings.TrimSuffix(access, "}") + `,"token_type":"Bearer",` + aliceActive
	lightToken := strings.NewReplacer(
		`"onrtro:`, `"onltro:`, `"aud":"orders-api"`, `"aud":["light","orders-api"]`,
		`"azp":"orders-api"`, `"azp":"light"`, `"client_id":"orders-api"`, `"client_id":"light"`).Replace(access)

	ofAlice := func(client basic) func(*testing.T, *target) string {
		return func(t *testing.T, kc *target) string { return kc.login(t, client, "alice", "-").Access }
	}
	literally := func(s string) func(*testing.T, *target) string {
		return func(*testing.T, *target) string { return s }
	}
	tests := []struct {
		name    string
		token   func(*testing.T, *target) string
		hint    string
		asks    basic
		want    string
		since26 string
	}{
		{name: "access token", token: ofAlice(ordersAPI), asks: ordersAPI, want: access},
		{name: "access token, with the hint access_token", token: ofAlice(ordersAPI), hint: "access_token", asks: ordersAPI, want: access},
		{
			name: "access token, with the hint refresh_token", token: ofAlice(ordersAPI), hint: "refresh_token", asks: ordersAPI,
			want: inactive, since26: "the hint changes nothing",
		},
		{name: "lightweight token, filled up for its audience", token: ofAlice(light), asks: ordersAPI, want: lightToken},
		{name: "lightweight token, asked about by its own client", token: ofAlice(light), asks: light, want: lightToken},
		{name: "lightweight token, asked about by a stranger", token: ofAlice(light), asks: billing, want: inactive, since26: audienceRule},
		{name: "access token, asked about by a client that is not in aud", token: ofAlice(ordersAPI), asks: billing, want: inactive, since26: audienceRule},
		{
			name: "access token without our audience", asks: ordersAPI, want: inactive, since26: audienceRule,
			token: func(t *testing.T, kc *target) string { return kc.login(t, billing, "carol", "-").Access },
		},
		{
			name: "service account's token", asks: ordersAPI,
			token: func(t *testing.T, kc *target) string {
				return kc.tokens(t, kc.post(t, tokenPath, values("grant_type", "client_credentials"), ordersAPI)).Access
			},
			// clientHost and clientAddress stay in the token.
			want: `{"exp":"<in 5 minutes>", "iat":"<now>", "jti":"trrtcc:<uuid>", "iss":"<issuer>",
				"aud":["account","orders-api"], "sub":"<uuid>", "typ":"Bearer", "azp":"orders-api", "acr":"1",
				"allowed-origins":["http://localhost:8080"],
				"realm_access":{"roles":["default-roles-demo","offline_access","uma_authorization"]},
				"resource_access":{"account":{"roles":["manage-account","manage-account-links","view-profile"]}},
				"scope":"email profile", "email_verified":false, "preferred_username":"service-account-orders-api",
				"client_id":"orders-api", "username":"service-account-orders-api", "token_type":"Bearer", "active":true}`,
		},
		{
			name: "refresh token", asks: ordersAPI, want: inactive, since26: "a refresh token is active, with typ Refresh",
			token: func(t *testing.T, kc *target) string { return kc.login(t, ordersAPI, "alice", "-").Refresh },
		},
		{name: "garbage", token: literally("garbage"), asks: ordersAPI, want: inactive},
		{name: "nothing", token: literally(""), asks: ordersAPI, want: inactive},
		{
			name: "access token with another signature", asks: ordersAPI, want: inactive,
			token: func(t *testing.T, kc *target) string {
				token := kc.login(t, ordersAPI, "alice", "-").Access
				return token[:len(token)-12] + "AAAAAAAAAAAA"
			},
		},
		{
			name: "access token of a session that the user ended", asks: ordersAPI, want: inactive,
			token: func(t *testing.T, kc *target) string {
				tok := kc.login(t, ordersAPI, "alice", "-")
				kc.post(t, logoutPath, values("refresh_token", tok.Refresh), ordersAPI)
				return tok.Access
			},
		},
		{
			name: "access token of a user whom the administrator logged out", asks: ordersAPI, want: inactive,
			token: func(t *testing.T, kc *target) string {
				tok := kc.login(t, ordersAPI, "bob", "-")
				do(t, kc.admin.LogoutUser(t.Context(), "bob"))
				return tok.Access
			},
		},
	}
	contract(t, func(t *testing.T, kc *target) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				kc.since26(t, tt.since26)
				form := values("token", tt.token(t, kc))
				if tt.hint != "" {
					form.Set("token_type_hint", tt.hint)
				}
				got := kc.post(t, introspectionPath, form, tt.asks)
				if got.status != http.StatusOK {
					t.Errorf("status = %d, want 200", got.status)
				}
				checkHeader(t, got, "Content-Type", "application/json")
				checkHeader(t, got, "Cache-Control", "no-cache")
				kc.checkJSON(t, object(t, got.body), tt.want, "")
			})
		}
	})
}

// An ID token is active, and introspection gives it the roles that are not even in it: only typ and token_type say
// that it is no access token.
func TestContractIntrospectionOfIDToken(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		got := kc.introspect(t, kc.login(t, ordersAPI, "alice", "openid").ID, ordersAPI)
		kc.checkJSON(t, got, `{"exp":"<in 5 minutes>", "iat":"<now>", "jti":"<uuid>", "iss":"<issuer>",
			"aud":"orders-api", "sub":"<uuid>", "typ":"ID", "token_type":"ID", "azp":"orders-api", "sid":"<session>",
			"acr":"1", "allowed-origins":["http://localhost:8080"], "realm_access":{"roles":["admin","viewer"]},
			"resource_access":{"orders-api":{"roles":["manage"]}}, "email_verified":true, "name":"Alice A",
			"groups":["/eng/sre"], "preferred_username":"alice", "given_name":"Alice", "family_name":"A",
			"email":"alice@example.com", `+aliceActive, `{"auth_time":0}`)
	})
}

// A refresh token is active too, once somebody says that it is one.
func TestContractIntrospectionOfRefreshToken(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		token := kc.login(t, ordersAPI, "alice", "-").Refresh
		got := kc.post(t, introspectionPath, values("token", token, "token_type_hint", "refresh_token"), ordersAPI)
		o := object(t, got.body)
		if o["active"] != true || o["typ"] != "Refresh" || o["token_type"] != "Refresh" {
			t.Errorf("active, typ, token_type = %v, %v, %v, want true, Refresh, Refresh", o["active"], o["typ"], o["token_type"])
		}
	})
}

func TestContractIntrospectionRefusals(t *testing.T) {
	badClient := refusal{http.StatusUnauthorized, "invalid_client", "Invalid client or Invalid client credentials"}
	badSecret := refusal{http.StatusUnauthorized, "invalid_client", "Client authentication failed."}
	notAllowed := refusal{http.StatusForbidden, "invalid_request", "Client not allowed."}
	oldBadClient := refusal{http.StatusUnauthorized, "invalid_request", "Authentication failed."}
	tests := []struct {
		name           string
		pairs          []string
		client         basic
		want, before26 refusal
	}{
		{"wrong secret", nil, basic{"orders-api", "wrong"}, badSecret, oldBadClient},
		{"wrong secret in the form", []string{"client_id", "orders-api", "client_secret", "wrong"}, basic{}, badSecret, oldBadClient},
		{"unknown client", nil, basic{"nobody", "s3cret"}, badClient, oldBadClient},
		{"no client", nil, basic{}, badClient, oldBadClient},
		{"public client", []string{"client_id", "spa"}, basic{}, notAllowed, refusal{}},
		{"no token", []string{"token", "-"}, ordersAPI, refusal{http.StatusBadRequest, "invalid_request", "Token not provided."}, refusal{}},
		{
			"unknown hint", []string{"token_type_hint", "nonsense"}, ordersAPI,
			refusal{http.StatusBadRequest, "invalid_request", "Unsupported token type."},
			refusal{http.StatusBadRequest, "invalid_request", "Unsupported token type [nonsense]."},
		},
	}
	contract(t, func(t *testing.T, kc *target) {
		token := kc.login(t, ordersAPI, "alice", "-").Access
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				got := kc.post(t, introspectionPath, with(values("token", token), tt.pairs...), tt.client)
				kc.checkRefusal(t, got, tt.want, tt.before26)
			})
		}
		t.Run("secret in the form", func(t *testing.T) {
			form := values("token", token, "client_id", "orders-api", "client_secret", "s3cret")
			if got := kc.post(t, introspectionPath, form, basic{}); object(t, got.body)["active"] != true {
				t.Errorf("got %d %s, want an active token", got.status, got.body)
			}
		})
	})
}

// The realm's not-before policy makes tokens inactive that are older, and the realm and the token endpoint name it.
func TestContractNotBefore(t *testing.T) {
	contract(t, func(t *testing.T, kc *target) {
		kc = kc.fresh(t)
		early := kc.login(t, ordersAPI, "alice", "-").Access
		policy := time.Now().Add(5 * time.Second)
		do(t, kc.admin.SetNotBefore(t.Context(), policy))
		if got := object(t, kc.get(t, "").body)["tokens-not-before"]; got != float64(policy.Unix()) {
			t.Errorf("tokens-not-before of the realm = %v, want %d", got, policy.Unix())
		}
		if got := kc.introspect(t, early, ordersAPI); got["active"] != false {
			t.Errorf("introspection of an older token = %v, want inactive", got)
		}
		got := kc.post(t, tokenPath, passwordForm("alice", "-"), ordersAPI)
		if o := object(t, got.body); o["not-before-policy"] != float64(policy.Unix()) {
			t.Errorf("not-before-policy of a token response = %v, want %d", o["not-before-policy"], policy.Unix())
		}
	})
}
