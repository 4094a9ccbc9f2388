package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/c0mpiler/ginkeycloak/bench/stand"
)

// The bounds.
const (
	leastOfGin  = 0.9 // one token, in requests per second of Gin alone
	leastOfBare = 0.9 // every token new, in requests per second of Gin with one bare check
	mostOfCalm  = 2.0 // p99 of valid traffic in a flood, as a multiple of that without
)

// verdict is what became of a bound.
type verdict string

const (
	held        verdict = "held"
	missed      verdict = "MISSED"
	notMeasured verdict = "NOT MEASURED"
)

// bound is what a ratio has to be.
type bound struct {
	what  string
	least float64 // or 0
	most  float64 // or 0
	got   spread
}

func (m *measurements) bounds() []bound {
	return []bound{
		{what: "requests/s, one token, to Gin alone", least: leastOfGin, got: m.ratio(caseOne, caseGin, result.rate)},
		{what: "requests/s, every token new, to Gin with one bare check", least: leastOfBare, got: m.ratio(caseNew, caseBare, result.rate)},
		{what: "p99 of valid traffic in a flood of bad tokens, to that without", most: mostOfCalm, got: m.ratio(caseFlood, caseCalm, p99)},
	}
}

func (b bound) limit() string {
	if b.least > 0 {
		return fmt.Sprintf("≥ %.1f", b.least)
	}
	return fmt.Sprintf("≤ %.1f", b.most)
}

// verdict goes by the median of the rounds.
func (b bound) verdict() verdict {
	switch {
	case b.got.rounds == 0:
		return notMeasured
	case b.least > 0 && b.got.median < b.least, b.most > 0 && b.got.median > b.most:
		return missed
	}
	return held
}

// spread is what a value was over the rounds.
type spread struct {
	rounds                  int
	median, lowest, highest float64
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	median := sorted[half]
	if len(sorted)%2 == 0 {
		median = (sorted[half-1] + sorted[half]) / 2
	}
	return spread{len(sorted), median, sorted[0], sorted[len(sorted)-1]}
}

func (s spread) String() string {
	if s.rounds == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", s.median, s.lowest, s.highest)
}

// p99 and p50 are in microseconds.
func p99(r result) float64 { return float64(r.p99.Microseconds()) }
func p50(r result) float64 { return float64(r.p50.Microseconds()) }

// ratio compares two scenarios round by round: what changes from round to round, the machine mostly, changes both.
func (m *measurements) ratio(name, to string, value func(result) float64) spread {
	var ratios []float64
	for i := range min(len(m.of[name]), len(m.of[to])) {
		ratios = append(ratios, value(m.of[name][i].result)/value(m.of[to][i].result))
	}
	return spreadOf(ratios)
}

// median is that of a value over the rounds.
func (m *measurements) median(name string, value func(measurement) float64) float64 {
	var values []float64
	for _, r := range m.of[name] {
		values = append(values, value(r))
	}
	return spreadOf(values).median
}

const explanation = `Written by ` + "`make load`" + `: %d rounds, interleaved, of %v for each case; median (lowest–highest). %s, %s.

Server, generator and Keycloak are processes of their own on this one machine. Every measurement begins with a new server,
set up as a program would do it: ` + "`net/http`, `gin.New()` in release mode, `kc.Middleware()`" + `, a handler that
writes a short JSON. It holds %d MiB besides, as a small API does: with next to nothing held, the garbage collector would run
ten times a second in a flood, and be in the way of more than one request in a hundred. After one good request it is warmed up
for %v. The generator is wrk with %d connections that send as fast as they are answered, because it takes little of the machine for itself. All servers get the same requests, with a
token of %d bytes signed with RS256. "Every token new" means that: no token is sent twice to a server, the token cache is on, and its
price is paid; the bare check gets the same tokens. While Keycloak is away, the keys are past ` + "`WithKeyCache`" + `, so
refreshing them is tried, and fails.

`

const floodExplanation = `
In the flood, %d connections send expired and badly signed tokens in turn, and %d more send tokens with a new kid each, which
are kept waiting for the key set. Valid traffic is %d connections with %d tokens that come again and again. Both pause between
requests: as fast as they can, three processes on the server's own cores would measure how the kernel shares them. So
"× without" holds what any flood costs, generator included; the rows of the public route, which no token is looked at for, show
how much that is. The last two rows are of a server that checks each token's signature with crypto/rsa and does nothing else, each
compared with the other: what a flood costs whoever checks signatures at all.

`

// markdown is the section of the document.
func (m *measurements) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, explanation, m.rounds, m.duration, m.machine, m.wrk, stand.HeldMiB, m.warmUp, m.connections, m.tokenBytes)

	b.WriteString("| case | requests/s | p50 | p99 | requests/s × Gin alone |\n|---|--:|--:|--:|--:|\n")
	for _, name := range []string{caseGin, caseOne, caseAway, caseBare, caseNew, caseForgets} {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", name, m.rate(name), m.time(name, p50), m.time(name, p99),
			m.ratio(name, caseGin, result.rate))
	}

	fmt.Fprintf(&b, floodExplanation, floodConnections, unknownConnections, validConnections, users)
	b.WriteString("| beside valid traffic | its requests/s | valid requests/s | p50 | p99 | p99 × without |\n|---|--:|--:|--:|--:|--:|\n")
	for _, row := range []struct{ name, calm string }{
		{caseCalm, caseCalm}, {caseFlood, caseCalm}, {caseHarmless, caseCalm}, {caseQuarter, caseCalm}, {caseMild, caseCalm},
		{caseBareCalm, caseBareCalm}, {caseBareFlood, caseBareCalm},
	} {
		beside := m.median(row.name, func(r measurement) float64 { return r.beside })
		fmt.Fprintf(&b, "| %s | %.0f | %s | %s | %s | %s |\n", row.name, beside, m.rate(row.name), m.time(row.name, p50),
			m.time(row.name, p99), m.ratio(row.name, row.calm, p99))
	}

	b.WriteString("\n| bound | | measured | |\n|---|---|---|---|\n")
	for _, bound := range m.bounds() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", bound.what, bound.limit(), bound.got, bound.verdict())
	}
	return b.String()
}

func (m *measurements) rate(name string) string {
	return fmt.Sprintf("%.0f", m.median(name, func(r measurement) float64 { return r.rate() }))
}

func (m *measurements) time(name string, value func(result) float64) string {
	micros := m.median(name, func(r measurement) float64 { return value(r.result) })
	return fmt.Sprintf("%.2f ms", micros/1000)
}

// machine says what everything ran on.
func machine() string {
	model := "unknown processor"
	if file, err := os.Open("/proc/cpuinfo"); err == nil {
		defer func() { _ = file.Close() }()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s/%s, %s", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// What the section of the document is found by.
const (
	beginMark = "<!-- load: begin -->"
	endMark   = "<!-- load: end -->"
)

// writeInto puts the section into a document, which is made if it does not exist.
func writeInto(path, section string) error {
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		old = []byte("# Performance\n")
	} else if err != nil {
		return err
	}
	text, err := insert(string(old), section)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// insert replaces what is between the marks, or adds the section with them at the end.
func insert(text, section string) (string, error) {
	section = beginMark + "\n" + strings.TrimSpace(section) + "\n" + endMark
	begins, ends := strings.Count(text, beginMark), strings.Count(text, endMark)
	if begins == 0 && ends == 0 {
		return strings.TrimRight(text, "\n") + "\n\n## Over HTTP\n\n" + section + "\n", nil
	}
	before, rest, _ := strings.Cut(text, beginMark)
	_, after, found := strings.Cut(rest, endMark)
	if begins != 1 || ends != 1 || !found {
		return "", fmt.Errorf("there is not one %s with one %s behind it", beginMark, endMark)
	}
	return before + section + after, nil
}
