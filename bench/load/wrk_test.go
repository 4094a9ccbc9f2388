package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// said is what wrk 4.1.0 wrote with our script.
const said = `Running 1s test @ http://127.0.0.1:34567/order
  2 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.10ms    1.21ms  20.02ms   89.11%
    Req/Sec    16.70k     1.35k   19.18k    68.00%
  33251 requests in 1.00s, 5.01MB read
Requests/sec:  33187.44
Transfer/sec:      5.00MB
result requests=33251 duration=1001915 p50=793 p99=5731 refused=12 broken=3 repeated=1
`

// The threads share the tokens out: none is sent by two of them, none is left out, and each request is as it should be.
func TestTokensAreSharedOut(t *testing.T) {
	requireWrk(t)
	tests := []struct {
		name    string
		tokens  int
		threads int
		once    bool
	}{
		{"one token, two threads", 1, 2, false},
		{"few tokens", 17, 3, false},
		{"more than can be sent", 100_000, 3, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tokens := make([]string, tt.tokens)
			for i := range tokens {
				tokens[i] = strings.Repeat("x", i%7) + strconv.Itoa(i)
			}
			var mu sync.Mutex // guards sent
			sent := make(map[string]int)
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
				if !bearer || r.URL.Path != protected {
					t.Errorf("%s %s came with Authorization %q", r.Method, r.URL, r.Header.Get("Authorization"))
				}
				mu.Lock()
				defer mu.Unlock()
				sent[token]++
			}))
			defer server.Close()

			l := load{
				path: protected, tokens: filepath.Join(t.TempDir(), "tokens"), once: tt.once,
				threads: tt.threads, connections: 2 * tt.threads, pause: 2 * time.Millisecond,
			}
			if err := writeLines(l.tokens, tokens); err != nil {
				t.Fatal(err)
			}
			r, err := newWrk(t).run(t.Context(), server.URL, l, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.once && len(sent) != tt.tokens {
				t.Errorf("%d of %d tokens were sent in %d requests", len(sent), tt.tokens, r.requests)
			}
			for token, n := range sent {
				if tt.once && n > 1 {
					t.Errorf("%s was sent %d times", token, n)
				}
			}
		})
	}
}

func newWrk(t *testing.T) wrk {
	t.Helper()
	path, err := findWrk()
	if err != nil {
		t.Fatal(err)
	}
	w := wrk{path: path, script: filepath.Join(t.TempDir(), "wrk.lua")}
	if err := os.WriteFile(w.script, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestParseResult(t *testing.T) {
	got, err := parseResult(said)
	want := result{
		requests: 33251, duration: 1001915 * time.Microsecond, p50: 793 * time.Microsecond, p99: 5731 * time.Microsecond,
		refused: 12, broken: 3, repeated: 1,
	}
	if err != nil || got != want {
		t.Errorf("the result is %+v, %v, want %+v", got, err, want)
	}
	if rate := got.rate(); rate < 33187 || rate > 33188 {
		t.Errorf("the rate is %f, want wrk's own 33187.44", rate)
	}
}

func TestParseNoResult(t *testing.T) {
	tests := []struct{ name, out, want string }{
		{"nothing", "", "no result"},
		{"no line of the script", strings.Split(said, "result ")[0], "no result"},
		{"half a line", "result requests=33251 duration=1001915 p50=793\n", "p99 is missing"},
		{"no number", strings.Replace(said, "p99=5731", "p99=nan", 1), "read p99"},
		{"no value", strings.Replace(said, "broken=3", "broken", 1), "read broken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := parseResult(tt.out); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the result is %+v, %v, want an error with %q", got, err, tt.want)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name string
		load load
		got  result
		want string
	}{
		{"all answered", load{}, result{requests: 10}, ""},
		{"all answered, tokens repeated", load{}, result{requests: 10, repeated: 3}, ""},
		{"all refused, as they have to be", load{answered: refused}, result{requests: 10, refused: 10}, ""},
		{"none", load{}, result{}, "no request"},
		{"one lost", load{}, result{requests: 10, broken: 1}, "1 requests got no answer"},
		{"one refused", load{}, result{requests: 10, refused: 1}, "1 of 10 good requests"},
		{"one let in", load{answered: refused}, result{requests: 10, refused: 9}, "1 of 10 requests that have to be refused"},
		{"one refused, which may be", load{answered: anyhow}, result{requests: 10, refused: 1}, ""},
		{"a new token twice", load{once: true}, result{requests: 10, repeated: 1}, "-tokens"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.load.judge(tt.got)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("it is judged %v, want %q", err, tt.want)
			}
		})
	}
}
