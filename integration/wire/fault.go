package wire

import (
	"errors"
	"math/rand/v2"
	"net"
	"time"
)

// Fault is what is wrong with a wire. The zero Fault is a sound one.
type Fault struct {
	Request, Answer Effect // on the bytes to Keycloak and from it; nil passes them on

	SlowClose time.Duration // how long the end of a connection takes to arrive
}

// Effect does something with bytes that came. An error ends the connection.
type Effect func(w *Way, data []byte) error

// Way is one direction of one connection.
type Way struct {
	to     *net.TCPConn
	link   *link
	fault  *spell
	passed int // bytes since the fault began
}

func (w *Way) meet(s *spell) {
	if w.fault != s {
		w.fault, w.passed = s, 0
	}
}

// Pass passes bytes on.
func (w *Way) Pass(data []byte) error {
	n, err := w.to.Write(data)
	w.passed += n
	return err
}

// Wait returns after d, or as soon as the fault or the connection ends.
func (w *Way) Wait(d time.Duration) {
	if d <= 0 {
		return
	}
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-w.fault.over:
	case <-w.link.over:
	}
}

var errEnd = errors.New("the fault ends the connection")

// Late passes bytes on after d, jitter more or less.
func Late(d, jitter time.Duration) Effect {
	return func(w *Way, data []byte) error {
		w.Wait(d - jitter + rand.N(2*jitter+1))
		return w.Pass(data)
	}
}

// Silent swallows the bytes.
func Silent() Effect {
	return func(*Way, []byte) error { return nil }
}

// Dying swallows the bytes and ends the connection after d.
func Dying(d time.Duration) Effect {
	return func(w *Way, _ []byte) error {
		w.Wait(d)
		return errEnd
	}
}

// Short ends the connection after n bytes.
func Short(n int) Effect {
	return func(w *Way, data []byte) error {
		left := n - w.passed
		if len(data) < left {
			return w.Pass(data)
		}
		return errors.Join(w.Pass(data[:left]), errEnd)
	}
}

// Reset resets the connection, with RST to both ends instead of FIN.
func Reset() Effect {
	return func(w *Way, _ []byte) error {
		return errors.Join(w.link.client.SetLinger(0), w.link.server.SetLinger(0), errEnd)
	}
}

// Pieces passes on n bytes at a time, with a pause after each.
func Pieces(n int, pause time.Duration) Effect {
	return func(w *Way, data []byte) error {
		for len(data) > 0 {
			piece := data[:min(n, len(data))]
			if err := w.Pass(piece); err != nil {
				return err
			}
			w.Wait(pause)
			data = data[len(piece):]
		}
		return nil
	}
}
