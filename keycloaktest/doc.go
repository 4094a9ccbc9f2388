// Package keycloaktest is a fake Keycloak 26 in one process: a realm with clients, users and signing keys, the
// endpoints that a resource server or a browser meets, tokens of any kind on demand, and faults on demand. It is for
// tests, and for trying things out without a Keycloak; it protects nothing.
//
//	func TestOrders(t *testing.T) {
//		idp := keycloaktest.New(t) // realm "demo", closed when the test ends
//		api := newAPI(idp.URL(), idp.Realm())
//
//		token := idp.Token(keycloaktest.ForUser("alice"))
//		late := idp.Token(keycloaktest.ExpiresIn(-time.Hour))
//		idp.Fail(keycloaktest.KeySet, keycloaktest.Status(http.StatusBadGateway))
//		…
//	}
//
// # The realm
//
// It is called demo, unless [WithRealm] says otherwise. [WithClient] and [WithUser] add to it.
//
//   - client orders-api, secret s3cret: the API. Every flow is on; its own audience and the groups are in its tokens.
//   - client swagger: public, PKCE with S256 required, redirects to …/swagger/oauth2-redirect.html on any local port.
//   - client spa: public, password grant on, for refreshing without a secret.
//   - client light, secret s3cret: as orders-api, but with lightweight access tokens.
//   - client billing, secret s3cret: another API, with a role admin of its own.
//   - user alice, password alice: realm roles admin and viewer, role manage of orders-api, group /eng/sre.
//   - user bob, password bob: realm role viewer.
//
// Claims, headers, error bodies and their quirks are those of Keycloak 26.7.5 with revokeRefreshToken on.
//
// # Time
//
// All times come from [WithClock], by default [time.Now]. In a bubble of testing/synctest use [InMemory] and
// [Server.Transport]: a socket would keep the bubble's clock from moving.
package keycloaktest
