// Package wire is a TCP proxy between the library and Keycloak that spoils what goes over it, and the tests with it.
package wire
