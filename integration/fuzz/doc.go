// Package fuzz has the token parser judged by a second library: what it takes, go-jose must take too.
package fuzz
