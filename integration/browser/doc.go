// Package browser holds the tests of the Swagger UI page in a real Chromium, against the fake and a real Keycloak.
package browser
