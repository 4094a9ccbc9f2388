package keycloaktest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Fault answers a request in place of its endpoint. The ones below are the usual troubles; a test may write others:
// next is the endpoint as it would have answered, and panic(http.ErrAbortHandler) closes the connection.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// Fail lets an endpoint fail in the given way from now on, until Heal. A fault of the endpoint itself goes before one
// of All.
func (s *Server) Fail(e Endpoint, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[e] = f
}

// Heal ends the faults of the endpoints. Heal() and Heal(All) end all of them.
func (s *Server) Heal(endpoints ...Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range endpoints {
		delete(s.faults, e)
		if e == All {
			clear(s.faults)
		}
	}
	if len(endpoints) == 0 {
		clear(s.faults)
	}
}

// Calls counts the requests an endpoint got, those that a fault answered too. All counts every request there was, to
// paths without an endpoint too.
func (s *Server) Calls(e Endpoint) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[e]
}

// ResetCalls sets all counts to 0.
func (s *Server) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.calls)
}

// OnRequest has f look at every request before it is answered, with its form parsed and its body unread; nil ends it.
// f runs on the goroutine of the request, so on several at once.
func (s *Server) OnRequest(f func(Endpoint, *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = f
}

// Hangup closes the connection without an answer.
func Hangup() Fault {
	return func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }
}

// Hang never answers: the connection stays open until the client leaves, or over a socket until Stop.
func Hang() Fault {
	return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
}

// Slow answers properly after d.
func Slow(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		wait := time.NewTimer(d)
		defer wait.Stop()
		select {
		case <-wait.C:
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// Stalled sends half of the proper answer and then nothing more until the client leaves, or over a socket until Stop.
func Stalled() Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		whole := proper(r, next)
		declare(w, whole)
		half := whole.body.Bytes()[:whole.body.Len()/2]
		if memory, ok := w.(*recorder); ok {
			_, _ = w.Write(half)
			memory.stream(stalled(r.Context().Done()))
			return
		}
		send(w, half)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
}

type stalled <-chan struct{}

func (s stalled) Read([]byte) (int, error) { <-s; return 0, io.ErrUnexpectedEOF }

// Truncated declares the length of the proper answer and closes the connection half-way.
func Truncated() Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		whole := proper(r, next)
		declare(w, whole)
		send(w, whole.body.Bytes()[:whole.body.Len()/2])
		panic(http.ErrAbortHandler)
	}
}

// Status answers with this status and an error of Keycloak's kind.
func Status(code int) Fault {
	return Answer(code, "application/json",
		`{"error":"unknown_error","error_description":"For more on this error consult the server log."}`)
}

// Answer answers with anything at all. An empty contentType sends none.
func Answer(status int, contentType, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header()["Content-Type"] = nil // do not guess it
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// RedirectTo sends the client elsewhere, with status 302 and url as it is.
func RedirectTo(url string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Location", url)
		w.WriteHeader(http.StatusFound)
	}
}

// Edited answers properly, but has edit change the JSON object of the answer: a member gone, another type, another
// issuer. An answer that is no object stays as it is.
func Edited(edit func(body map[string]any)) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		whole := proper(r, next)
		var body map[string]any
		if err := json.Unmarshal(whole.body.Bytes(), &body); err == nil && body != nil {
			edit(body)
			if text, err := json.Marshal(body); err == nil {
				whole.body = *bytes.NewBuffer(text)
			}
		}
		copyHeader(w, whole)
		w.WriteHeader(whole.status)
		_, _ = w.Write(whole.body.Bytes())
	}
}

// Times lets only the first n requests fail; later ones are answered properly.
func Times(n int, f Fault) Fault {
	var count atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if count.Add(1) > int64(n) {
			next.ServeHTTP(w, r)
			return
		}
		f(w, r, next)
	}
}

// Huge answers properly, but with so many spaces before it that the body has n bytes. A client that takes bodies of
// any length accepts it.
func Huge(n int64) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		whole := proper(r, next)
		copyHeader(w, whole)
		w.WriteHeader(whole.status)
		blank := io.LimitReader(spaces{}, n-int64(whole.body.Len()))
		stream(w, io.MultiReader(blank, &whole.body))
	}
}

// GzipBomb is Huge in a few kilobytes: the n bytes are compressed.
func GzipBomb(n int64) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		whole := proper(r, next)
		copyHeader(w, whole)
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(whole.status)
		stream(w, &bomb{left: n - int64(whole.body.Len()), answer: whole.body.Bytes()})
	}
}

// bomb is a gzip file of many members: the same block of spaces again and again, the answer last. So it costs the
// server no more than one block.
type bomb struct {
	left   int64
	answer []byte
	block  []byte
	member bytes.Reader
	done   bool
}

const bombBlock = 1 << 20

func (b *bomb) Read(p []byte) (int, error) {
	for b.member.Len() == 0 {
		if b.done {
			return 0, io.EOF
		}
		b.next()
	}
	return b.member.Read(p)
}

func (b *bomb) next() {
	if b.left >= bombBlock {
		if b.block == nil {
			b.block = pack(strings.Repeat(" ", bombBlock))
		}
		b.left -= bombBlock
		b.member.Reset(b.block)
		return
	}
	b.member.Reset(pack(strings.Repeat(" ", int(max(b.left, 0))) + string(b.answer)))
	b.done = true
}

func pack(text string) []byte {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, text) // a bytes.Buffer takes everything
	_ = z.Close()
	return packed.Bytes()
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// proper is the endpoint's own answer.
func proper(r *http.Request, next http.Handler) *recorder {
	w := &recorder{header: http.Header{}}
	next.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
	return w
}

// copyHeader leaves out the length, which is about to change.
func copyHeader(w http.ResponseWriter, answer *recorder) {
	for name, values := range answer.sent {
		w.Header()[name] = values
	}
	w.Header().Del("Content-Length")
}

func declare(w http.ResponseWriter, answer *recorder) {
	copyHeader(w, answer)
	w.Header().Set("Content-Length", strconv.Itoa(answer.body.Len()))
	w.WriteHeader(answer.status)
}

// send has the bytes on their way before it returns.
func send(w http.ResponseWriter, b []byte) {
	_, _ = w.Write(b)
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// stream writes body until the client has enough of it.
func stream(w http.ResponseWriter, body io.Reader) {
	if memory, ok := w.(*recorder); ok {
		memory.stream(body)
		return
	}
	_, _ = io.Copy(w, body)
}
