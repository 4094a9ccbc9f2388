// Package browser holds the tests in a real Chromium, against the fake and a real Keycloak: of the Swagger UI page, and of
// the page of example/cookie.
package browser
