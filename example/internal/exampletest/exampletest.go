// Package exampletest runs the example programs for their tests.
package exampletest

import (
	"net"
	"testing"
	"time"
)

// Run runs a program that listens where ADDR says, with these variables in its environment besides, and returns its
// address once it does. The program goes on until the process ends.
func Run(t *testing.T, program func(), env map[string]string) string {
	t.Helper()
	address := freeAddress(t)
	t.Setenv("ADDR", address)
	for name, value := range env {
		t.Setenv(name, value)
	}
	go program()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			return "http://" + address
		}
		if time.Now().After(deadline) {
			t.Fatalf("the program does not listen at %s: %v", address, err)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
