// Package wire tests the library with a proxy between it and Keycloak that spoils what goes over the wire.
package wire
