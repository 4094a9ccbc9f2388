package keycloaktest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
)

// Transport reaches the server without a socket and without a goroutine, so it works inside a testing/synctest bubble.
// Faults, Stop and Calls apply as over the network: a server that is stopped refuses the connection, one that hangs up
// gives io.EOF. Only TLS is left out. It knows the host of [Server.URL] and that of the issuer; any other host does
// not resolve.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ server *Server }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if !t.server.hasHost(r.URL.Host) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{
			Err: "no such host", Name: r.URL.Hostname(), IsNotFound: true,
		}}
	}
	if !t.server.isUp() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	in, err := incoming(r)
	if err != nil {
		return nil, err
	}
	w := &recorder{header: http.Header{}}
	aborted := w.run(t.server, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if aborted && w.status == 0 {
		return nil, io.EOF
	}
	return w.response(r, aborted)
}

func (s *Server) hasHost(host string) bool {
	for _, known := range []string{s.url, s.issuer} {
		if u, err := url.Parse(known); err == nil && u.Host == host {
			return true
		}
	}
	return false
}

func (s *Server) isUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up
}

// incoming is the request as a server sees it.
func incoming(r *http.Request) (*http.Request, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	in.RemoteAddr = "127.0.0.1:1024"
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	in.Body = http.NoBody
	if r.Body == nil {
		return in, nil
	}
	body, err := io.ReadAll(r.Body)
	in.Body = io.NopCloser(bytes.NewReader(body))
	return in, err
}

// recorder is the http.ResponseWriter of a request in memory.
type recorder struct {
	header http.Header
	sent   http.Header // header as it was when the status went out
	status int
	body   bytes.Buffer
	rest   io.Reader // the rest of the body, made while it is read
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// stream takes the rest of the body as something to be read later.
func (w *recorder) stream(rest io.Reader) {
	w.WriteHeader(http.StatusOK)
	w.rest = rest
}

// run reports whether the handler gave the connection up.
func (w *recorder) run(s *Server, r *http.Request) (aborted bool) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			aborted = true
		default:
			panic(p)
		}
	}()
	s.handle(w, r)
	w.WriteHeader(http.StatusOK)
	return false
}

// response is what the client gets: whole, or cut off where the handler gave up.
func (w *recorder) response(r *http.Request, aborted bool) (*http.Response, error) {
	body, length := io.Reader(&w.body), int64(w.body.Len())
	if declared := w.sent.Get("Content-Length"); declared != "" {
		n, err := strconv.ParseInt(declared, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("malformed Content-Length %q", declared)
		}
		length = n
	}
	if w.rest != nil {
		body, length = io.MultiReader(body, w.rest), -1
	}
	if aborted {
		body = io.MultiReader(body, broken{})
	}
	if r.Method == http.MethodHead {
		body = http.NoBody
	}
	response := &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, ContentLength: length, Request: r,
		Body: &memoryBody{left: r.Context().Err, Reader: body},
	}
	// As http.Transport: what the caller did not ask for by name is unpacked on its behalf.
	if w.sent.Get("Content-Encoding") == "gzip" && r.Header.Get("Accept-Encoding") == "" && r.Method != http.MethodHead {
		response.Header.Del("Content-Encoding")
		response.Header.Del("Content-Length")
		response.ContentLength, response.Uncompressed = -1, true
		response.Body = &memoryBody{left: r.Context().Err, Reader: &unpacker{packed: body}}
	}
	return response, nil
}

// broken is a connection that ends too early.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// unpacker reads gzip, its header too, only when it is read itself.
type unpacker struct {
	packed io.Reader
	plain  *gzip.Reader
}

func (u *unpacker) Read(b []byte) (int, error) {
	if u.plain == nil {
		plain, err := gzip.NewReader(u.packed)
		if err != nil {
			return 0, err
		}
		u.plain = plain
	}
	return u.plain.Read(b)
}

// memoryBody ends with the request's context and when it is closed, as a body from the network does.
type memoryBody struct {
	io.Reader
	left   func() error // the error of the request's context
	closed bool
}

func (b *memoryBody) Read(p []byte) (int, error) {
	if b.closed {
		return 0, errors.New("http: read on closed response body")
	}
	if err := b.left(); err != nil {
		return 0, err
	}
	n, err := b.Reader.Read(p)
	if cause := b.left(); err != nil && cause != nil {
		err = cause
	}
	return n, err
}

func (b *memoryBody) Close() error {
	b.closed = true
	return nil
}
