// Package soak runs the library for long: an hour of events against the fake Keycloak with a clock that jumps, and with
// the build tag soak as long as SOAK_TIME says against a real one.
package soak
