package wire

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// Proxy carries the bytes of TCP connections to and from another address, unless a [Fault] does something else with
// them. A connection that is up meets the fault with its next bytes.
type Proxy struct {
	upstream, addr string
	running        sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	links    map[*link]struct{}
	fault    *spell
}

// spell is a fault while it lasts.
type spell struct {
	Fault

	over <-chan struct{}
	end  func()
}

func newSpell(f Fault) *spell {
	over, end := context.WithCancel(context.Background())
	return &spell{f, over.Done(), end}
}

// Start starts a sound proxy to upstream, at an address of its own.
func Start(upstream string) (*Proxy, error) {
	p := &Proxy{upstream: upstream, addr: "127.0.0.1:0", links: map[*link]struct{}{}, fault: newSpell(Fault{})}
	if err := p.Mend(); err != nil {
		return nil, err
	}
	p.addr = p.listener.Addr().String()
	return p, nil
}

// Addr is where the proxy takes connections.
func (p *Proxy) Addr() string { return p.addr }

// Spoil has f befall the bytes from now on, in place of the fault before.
func (p *Proxy) Spoil(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault.end()
	p.fault = newSpell(f)
}

// Mend ends the fault, and takes connections again after [Proxy.Cut]. Bytes that the fault held back go on.
func (p *Proxy) Mend() error {
	p.Spoil(Fault{})
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", p.addr)
	if err != nil {
		return fmt.Errorf("take connections: %w", err)
	}
	p.listener = l
	p.running.Go(func() { p.accept(l) })
	return nil
}

// Drop ends the connections there are.
func (p *Proxy) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// Cut ends the connections there are and refuses new ones.
func (p *Proxy) Cut() {
	p.mu.Lock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	p.mu.Unlock()
	p.Drop()
}

// Close is Cut, and returns when nothing of the proxy runs any more.
func (p *Proxy) Close() {
	p.Cut()
	p.Spoil(Fault{})
	p.running.Wait()
}

func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.connect(l, client.(*net.TCPConn)) })
	}
}

func (p *Proxy) connect(l net.Listener, client *net.TCPConn) {
	over, end := context.WithCancel(context.Background())
	server, err := new(net.Dialer).DialContext(over, "tcp", p.upstream)
	if err != nil {
		end()
		_ = client.Close()
		return
	}
	k := &link{client, server.(*net.TCPConn), over.Done(), end}
	p.mu.Lock()
	if p.listener != l {
		k.close() // the wire was cut meanwhile
	}
	p.links[k] = struct{}{}
	p.mu.Unlock()

	var ways sync.WaitGroup
	ways.Go(func() { p.carry(k, &Way{link: k, to: k.server}, k.client, func(f Fault) Effect { return f.Request }) })
	ways.Go(func() { p.carry(k, &Way{link: k, to: k.client}, k.server, func(f Fault) Effect { return f.Answer }) })
	ways.Wait()
	k.close()
	p.mu.Lock()
	delete(p.links, k)
	p.mu.Unlock()
}

// carry ends with the bytes of from, and ends the connection where it cannot go on.
func (p *Proxy) carry(k *link, w *Way, from *net.TCPConn, of func(Fault) Effect) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		w.meet(p.now())
		if err != nil {
			w.Wait(w.fault.SlowClose)
			_ = w.to.CloseWrite()
			return
		}
		effect := of(w.fault.Fault)
		if effect == nil {
			effect = (*Way).Pass
		}
		if effect(w, buf[:n]) != nil {
			k.close()
			return
		}
	}
}

func (p *Proxy) now() *spell {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
}

// link is one connection through the proxy.
type link struct {
	client, server *net.TCPConn

	over <-chan struct{}
	end  func()
}

func (k *link) close() {
	k.end()
	_ = k.client.Close()
	_ = k.server.Close()
}
