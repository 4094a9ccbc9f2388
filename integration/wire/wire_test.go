package wire_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/integration/wire"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// slack is what a busy machine may add to a time limit.
const slack = 5 * time.Second

// fault is something wrong with the wire.
type fault struct {
	wire.Fault

	name  string
	down  bool // no connection is taken
	fresh bool // connections that were open are cut before, so that a new one, with its handshake, meets the fault

	harmless bool // answers come all the same
	large    bool // harmless to an answer without a body
}

func faults() []fault {
	const never, moment = 10 * time.Second, 100 * time.Millisecond
	request := func(e wire.Effect) wire.Fault { return wire.Fault{Request: e} }
	answer := func(e wire.Effect) wire.Fault { return wire.Fault{Answer: e} }
	both := func(e wire.Effect) wire.Fault { return wire.Fault{Request: e, Answer: e} }
	return []fault{
		{name: "connection refused", down: true},
		{name: "latency within the limit", Fault: answer(wire.Late(moment, moment/5)), harmless: true},
		{name: "latency beyond the limit", Fault: answer(wire.Late(never, 0))},
		{name: "request late beyond the limit", Fault: request(wire.Late(never, 0))},
		{name: "nothing comes", Fault: answer(wire.Silent())},
		{name: "nothing comes, then the connection is closed", Fault: answer(wire.Dying(moment))},
		{name: "nothing goes out", Fault: request(wire.Silent())},
		{name: "half a request", Fault: request(wire.Short(40))},
		{name: "half a header", Fault: answer(wire.Short(20))},
		{name: "half an answer", Fault: answer(wire.Short(600)), large: true},
		{name: "reset", Fault: answer(wire.Reset())},
		{name: "reset, new connection", Fault: answer(wire.Reset()), fresh: true},
		{name: "reset of the request, new connection", Fault: request(wire.Reset()), fresh: true},
		{name: "half an answer, new connection", Fault: answer(wire.Short(100)), fresh: true},
		{name: "nothing comes, new connection", Fault: answer(wire.Silent()), fresh: true},
		{name: "100 KB/s", Fault: both(wire.Pieces(1000, 10*time.Millisecond)), harmless: true},
		{name: "in pieces", Fault: answer(wire.Pieces(64, moment/1000)), harmless: true},
		{name: "300 bytes a second", Fault: answer(wire.Pieces(30, moment)), large: true},
		{name: "slow close", Fault: wire.Fault{SlowClose: 500 * time.Millisecond}, harmless: true},
	}
}

// place is an endpoint, and what of it is held when the fault comes.
type place struct {
	name   string
	opts   []ginkeycloak.Option
	before func(*testing.T, *visit) // the fault
	ask    func(*testing.T, *visit) answer
	served int
	code   ginkeycloak.Code // where the endpoint cannot be had; "" where it is not needed
	small  bool             // its answer has no body
}

// visit is one cell of the table: an API of its own, and tokens that are as old as it.
type visit struct {
	*api

	first, second, refresh string
}

func places() []place {
	me := func(t *testing.T, v *visit) answer { return v.get(t, "/me", v.second) }
	warm := func(t *testing.T, v *visit) { check(t, "before", v.get(t, "/me", v.first), http.StatusOK, "") }
	metadata := func(t *testing.T, v *visit) {
		check(t, "before", v.post(t, "/auth/refresh", v.refresh), http.StatusOK, "")
	}
	return []place{
		{
			name: "discovery", before: func(*testing.T, *visit) {}, ask: me,
			served: http.StatusOK, code: ginkeycloak.CodeConnection,
		},
		{
			name: "key set", before: metadata, ask: me,
			served: http.StatusOK, code: ginkeycloak.CodeConnection,
		},
		{
			name: "key set, a new key",
			before: func(t *testing.T, v *visit) {
				warm(t, v)
				v.keycloak.RotateKeys()
				v.second = v.keycloak.Token()
				time.Sleep(1100 * time.Millisecond) // the turn of the next fetch, which a request would wait for
			},
			ask: me, served: http.StatusOK, code: ginkeycloak.CodeConnection,
		},
		{
			name: "discovery and key set, both held and due",
			before: func(t *testing.T, v *visit) {
				warm(t, v)
				v.ahead.Store(int64(30 * time.Minute))
			},
			ask: me, served: http.StatusOK,
		},
		{
			name:   "introspection",
			before: func(t *testing.T, v *visit) { check(t, "before", v.get(t, "/active", v.first), http.StatusOK, "") },
			ask:    func(t *testing.T, v *visit) answer { return v.get(t, "/active", v.second) },
			served: http.StatusOK, code: ginkeycloak.CodeIntrospection,
		},
		{
			name: "introspection, remembered", opts: []ginkeycloak.Option{ginkeycloak.WithIntrospection()},
			before: warm,
			ask:    func(t *testing.T, v *visit) answer { return v.get(t, "/me", v.first) },
			served: http.StatusOK,
		},
		{
			name: "token", before: metadata,
			ask:    func(t *testing.T, v *visit) answer { return v.post(t, "/auth/refresh", v.keycloak.RefreshToken()) },
			served: http.StatusOK, code: ginkeycloak.CodeConnection,
		},
		{
			name: "token, a moment ago", before: metadata,
			ask:    func(t *testing.T, v *visit) answer { return v.post(t, "/auth/refresh", v.refresh) },
			served: http.StatusOK,
		},
		{
			name: "logout", before: metadata, small: true,
			ask:    func(t *testing.T, v *visit) answer { return v.post(t, "/auth/logout", v.keycloak.RefreshToken()) },
			served: http.StatusNoContent, code: ginkeycloak.CodeConnection,
		},
	}
}

// Whatever becomes of the bytes between here and Keycloak: what needs an answer is 503 within the time limits, what is
// held is served, and as soon as the wire is mended, the next request is served as if nothing had been.
func TestFaultsOnTheWire(t *testing.T) {
	t.Parallel()
	for _, tls := range []bool{false, true} {
		var opts []keycloaktest.Option
		kind := "http"
		if tls {
			kind, opts = "https", []keycloaktest.Option{keycloaktest.WithTLS(keycloaktest.Valid)}
		}
		srv := keycloaktest.New(t, opts...)
		for _, f := range faults() {
			if tls && !f.fresh {
				continue // what is wrong with a connection that is up is the same with TLS or without
			}
			for _, p := range places() {
				t.Run(fmt.Sprintf("%s/%s/%s", kind, f.name, p.name), func(t *testing.T) {
					t.Parallel()
					visitPlace(t, srv, f, p)
				})
			}
		}
	}
}

func visitPlace(t *testing.T, srv *keycloaktest.Server, f fault, p place) {
	t.Helper()
	hour := keycloaktest.ExpiresIn(time.Hour)
	v := &visit{first: srv.Token(hour), second: srv.Token(hour), refresh: srv.RefreshToken()}
	v.api = newAPI(t, srv, p.opts...)
	p.before(t, v)
	switch {
	case f.down:
		v.wire.Cut()
	case f.fresh:
		v.wire.Drop()
	}
	v.wire.Spoil(f.Fault)

	status, code := p.served, ginkeycloak.Code("")
	if harmless := f.harmless || f.large && p.small; p.code != "" && !harmless {
		status, code = http.StatusServiceUnavailable, p.code
	}
	check(t, "with the fault", p.ask(t, v), status, code)
	if err := v.wire.Mend(); err != nil {
		t.Fatal(err)
	}
	check(t, "mended", p.ask(t, v), p.served, "")
}

// check asserts what a client sees, all of it.
func check(t *testing.T, when string, got answer, status int, code ginkeycloak.Code) {
	t.Helper()
	retryAfter := ""
	if status == http.StatusServiceUnavailable {
		retryAfter = "5"
	}
	if got.status != status || got.code != code || got.retryAfter != retryAfter {
		t.Errorf("%s: status %d, code %q, Retry-After %q; want %d, %q, %q",
			when, got.status, got.code, got.retryAfter, status, code, retryAfter)
	}
	if got.took > limit+slack {
		t.Errorf("%s: it took %v, want at most %v", when, got.took, limit)
	}
}
