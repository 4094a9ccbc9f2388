package wire_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/c0mpiler/ginkeycloak/integration/wire"
)

// The proxy's faults are what they are called, so that the tests with them are about what they say.
func TestProxy(t *testing.T) {
	t.Parallel()
	sent := bytes.Repeat([]byte("0123456789"), 20)
	const never, moment = time.Hour, 50 * time.Millisecond
	answer := func(e wire.Effect) wire.Fault { return wire.Fault{Answer: e} }
	for _, test := range []struct {
		name  string
		fault wire.Fault
		bytes int           // that come back of those sent
		end   error         // how the connection ends; errStillUp while it does not
		least time.Duration // until then
	}{
		{"none", wire.Fault{}, len(sent), nil, 0},
		{"late", answer(wire.Late(moment, 0)), len(sent), nil, moment},
		{"late by more or less", answer(wire.Late(moment, moment/2)), len(sent), nil, moment / 2},
		{"late for good", answer(wire.Late(never, 0)), 0, errStillUp, 0},
		{"request late for good", wire.Fault{Request: wire.Late(never, 0)}, 0, errStillUp, 0},
		{"silent", answer(wire.Silent()), 0, nil, 0},
		{"dying", answer(wire.Dying(moment)), 0, nil, moment},
		{"short", answer(wire.Short(7)), 7, nil, 0},
		{"reset", answer(wire.Reset()), 0, syscall.ECONNRESET, 0},
		{"reset of the request", wire.Fault{Request: wire.Reset()}, 0, syscall.ECONNRESET, 0},
		{"in pieces", answer(wire.Pieces(len(sent)/4, moment)), len(sent), nil, 3 * moment},
		{"slow close", wire.Fault{SlowClose: moment}, len(sent), nil, moment},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			proxy := newWire(t, echo(t))
			proxy.Spoil(test.fault)
			conn := dial(t, proxy)
			begin := time.Now()
			got, err := exchange(t, conn, sent)
			if took := time.Since(begin); took < test.least {
				t.Errorf("it took %v, want %v at least", took, test.least)
			}
			if len(got) != test.bytes || !errors.Is(err, test.end) {
				t.Errorf("%d bytes, then %v; want %d, %v", len(got), err, test.bytes, test.end)
			}
		})
	}
}

// A fault ends when it is mended, for bytes that it holds back too.
func TestProxyMended(t *testing.T) {
	t.Parallel()
	proxy := newWire(t, echo(t))
	proxy.Spoil(wire.Fault{Answer: wire.Late(time.Hour, 0)})
	conn := dial(t, proxy)
	if _, err := exchange(t, conn, []byte("held back")); !errors.Is(err, errStillUp) {
		t.Fatalf("before: %v", err)
	}
	if err := proxy.Mend(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); string(got) != "held back" || err != nil {
		t.Errorf("mended: %q, %v", got, err)
	}
}

func TestProxyCut(t *testing.T) {
	t.Parallel()
	proxy := newWire(t, echo(t))
	conn := dial(t, proxy)
	if _, err := conn.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	proxy.Drop()
	if got, _ := exchange(t, conn, []byte("lost")); len(got) != 0 {
		t.Errorf("dropped: %q", got)
	}
	if got, err := exchange(t, dial(t, proxy), []byte("anew")); string(got) != "anew" || err != nil {
		t.Errorf("after Drop: %q, %v", got, err)
	}
	proxy.Cut()
	if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", proxy.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after Cut: %v, %v", conn, err)
	}
	if err := proxy.Mend(); err != nil {
		t.Fatal(err)
	}
	if got, err := exchange(t, dial(t, proxy), []byte("again")); string(got) != "again" || err != nil {
		t.Errorf("after Mend: %q, %v", got, err)
	}
}

var errStillUp = errors.New("nothing came, and the connection is up")

// exchange sends, says that this was all, and reads until the connection ends, or for a while.
func exchange(t *testing.T, conn *net.TCPConn, data []byte) ([]byte, error) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(data) // reading will say what is wrong with the connection
	_ = conn.CloseWrite()
	got, err := io.ReadAll(conn)
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		err = errStillUp
	}
	return got, err
}

func dial(t *testing.T, proxy *wire.Proxy) *net.TCPConn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// echo is the address of a server that sends everything back, and ends with its client.
func echo(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return l.Addr().String()
}
