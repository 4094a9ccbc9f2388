package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets this program be the server, too, which is what a measurement starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveCommand {
		exit(serve(os.Args[2:], os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// requireWrk skips a test where the generator is missing, or fails it where CI=true.
func requireWrk(t *testing.T) {
	t.Helper()
	_, err := findWrk()
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("NOT TESTED: %v", err)
	}
}

// Everything but the figures: each case runs in each round, good requests are answered, and all of the flood is refused,
// or measure would have said so.
func TestAllCases(t *testing.T) {
	requireWrk(t)
	m, err := measure(t.Context(), options{
		rounds: 2, duration: time.Second, connections: 4, pause: 20 * time.Millisecond, tokens: 1000,
		only: regexp.MustCompile(""), say: t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		caseGin, caseOne, caseAway, caseBare, caseNew, caseForgets,
		caseCalm, caseFlood, caseHarmless, caseQuarter, caseMild, caseBareCalm, caseBareFlood,
	} {
		if got := len(m.of[name]); got != 2 {
			t.Errorf("%s was measured %d times, want 2", name, got)
		}
		for _, r := range m.of[name] {
			floods := slices.Contains([]string{caseFlood, caseHarmless, caseQuarter, caseMild, caseBareFlood}, name)
			if floods != (r.beside > 0) {
				t.Errorf("%s: %.0f requests per second came beside", name, r.beside)
			}
			if r.p50 <= 0 || r.p99 < r.p50 {
				t.Errorf("%s: p50 is %v, p99 %v", name, r.p50, r.p99)
			}
		}
	}
	for _, b := range m.bounds() {
		if b.verdict() == notMeasured {
			t.Errorf("%s: not measured", b.what)
		}
	}
}

// A server that lets in what it must not, or the other way round, is not measured.
func TestWorthlessMeasurements(t *testing.T) {
	requireWrk(t)
	b := newBench(t)
	tests := []struct {
		name   string
		change func(*scenario)
		want   string
	}{
		{"bad tokens count as good traffic", func(s *scenario) { s.load = s.beside[0]; s.load.answered = letIn }, "good requests were refused"},
		{"good tokens count as bad", func(s *scenario) { s.load.answered = refused }, "were let in"},
		{"new tokens do not suffice", func(s *scenario) { s.load.tokens, s.load.once = b.tokens.fresh, true }, "did not suffice"},
		{"good tokens beside", func(s *scenario) { s.beside[0].tokens = s.load.tokens }, "beside: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := named(t, b, caseFlood)
			tt.change(&s)
			_, err := b.run(t.Context(), s, 0)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("it ends with %v, want %q", err, tt.want)
			}
		})
	}
}

// newBench is what measure makes before it measures.
func newBench(t *testing.T) *bench {
	t.Helper()
	b, err := prepare(options{duration: time.Second, connections: 4, tokens: 2, say: t.Logf}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.idp.Close)
	return b
}

func named(t *testing.T, b *bench, name string) scenario {
	t.Helper()
	for _, s := range b.scenarios() {
		if s.name == name {
			return s
		}
	}
	t.Fatalf("there is no scenario %q", name)
	return scenario{}
}

// Without the generator nothing is measured, and how to get it is said.
func TestMissingGenerator(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := measure(t.Context(), options{rounds: 1})
	if !errors.Is(err, errNoWrk) || !strings.Contains(err.Error(), "apt-get install wrk") {
		t.Errorf("without wrk, measuring ends with %v", err)
	}
}

func TestServerThatDoesNotStart(t *testing.T) {
	_, err := startServer(t.Context(), setup{kind: "none"})
	if err == nil || !strings.Contains(err.Error(), `there is no kind "none"`) {
		t.Errorf("a server of no kind ends with %v", err)
	}
}

func TestServersEnd(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "cpu.prof")
	server, err := startServer(t.Context(), setup{kind: plain, profile: profile})
	if err != nil {
		t.Fatal(err)
	}
	if err := probe(t.Context(), server.url, "x", false); err != nil {
		t.Error(err)
	}
	if err := server.stop(); err != nil {
		t.Error(err)
	}
	if err := probe(t.Context(), server.url, "x", false); err == nil {
		t.Error("the server answers after its end")
	}
	if info, err := os.Stat(profile); err != nil || info.Size() == 0 {
		t.Errorf("the profile: %v, %v", info, err)
	}
}

func TestProbe(t *testing.T) {
	open, err := startServer(t.Context(), setup{kind: plain})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := open.stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := probe(t.Context(), open.url, "x", true); err == nil {
		t.Error("a server that is to be protected and is not passes")
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("sleep ends with %v", err)
	}
}
