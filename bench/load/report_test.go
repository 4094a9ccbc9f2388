package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   string
	}{
		{"nothing", nil, "–"},
		{"one", []float64{1}, "1.00 (1.00–1.00)"},
		{"odd", []float64{3, 1, 2}, "2.00 (1.00–3.00)"},
		{"even", []float64{4, 1, 2, 3}, "2.50 (1.00–4.00)"},
	}
	for _, tt := range tests {
		if got := spreadOf(tt.values).String(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// at is a round in which so many requests were answered in a second.
func at(rate int, p99 time.Duration) measurement {
	return measurement{result: result{requests: rate, duration: time.Second, p50: p99 / 2, p99: p99}}
}

// Rounds are compared with each other, so a machine that is slow in one of them does not show.
func TestRatio(t *testing.T) {
	m := &measurements{of: map[string][]measurement{
		caseGin: {at(1000, 0), at(100, 0)},
		caseOne: {at(950, 0), at(90, 0)},
	}}
	got, want := m.ratio(caseOne, caseGin, result.rate).String(), "0.93 (0.90–0.95)"
	if got != want {
		t.Errorf("the ratio is %s, want %s", got, want)
	}
}

func TestBounds(t *testing.T) {
	rounds := func(one, bare, fresh int, flood time.Duration) map[string][]measurement {
		return map[string][]measurement{
			caseGin: {at(1000, 0)}, caseOne: {at(one, 0)}, caseBare: {at(bare, 0)}, caseNew: {at(fresh, 0)},
			caseCalm: {at(10, time.Millisecond)}, caseFlood: {at(10, flood)},
		}
	}
	tests := []struct {
		name string
		of   map[string][]measurement
		want [3]verdict
	}{
		{"nothing", nil, [3]verdict{notMeasured, notMeasured, notMeasured}},
		{"just held", rounds(900, 500, 450, 2*time.Millisecond), [3]verdict{held, held, held}},
		{"one token", rounds(899, 500, 500, time.Millisecond), [3]verdict{missed, held, held}},
		{"every token new", rounds(900, 500, 449, time.Millisecond), [3]verdict{held, missed, held}},
		{"flood", rounds(900, 500, 450, 2001*time.Microsecond), [3]verdict{held, held, missed}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &measurements{of: tt.of}
			for i, b := range m.bounds() {
				if b.verdict() != tt.want[i] {
					t.Errorf("%s: %s with %s, want %s", b.what, b.verdict(), b.got, tt.want[i])
				}
			}
		})
	}
}

// All cases, ratios and bounds are in the section, whose tables have as many cells in each row.
func TestMarkdown(t *testing.T) {
	m := &measurements{machine: "a machine", of: map[string][]measurement{}}
	cases := []string{caseGin, caseOne, caseAway, caseBare, caseNew, caseForgets, caseCalm, caseFlood, caseHarmless, caseQuarter, caseMild, caseBareCalm, caseBareFlood}
	for i, name := range cases {
		m.of[name] = []measurement{at(1000*(i+1), time.Duration(i+1)*time.Millisecond)}
	}
	text := m.markdown()
	for _, name := range cases {
		if strings.Count(text, "| "+name+" |") != 1 {
			t.Errorf("there is not one row %q in\n%s", name, text)
		}
	}
	for _, want := range []string{
		"| ours, one token | 2000 | 1.00 ms | 2.00 ms | 2.00 (2.00–2.00) |",
		"| a flood of bad tokens | 0 | 8000 | 4.00 ms | 8.00 ms | 1.14 (1.14–1.14) |",
		"| the same flood, at Gin with one bare check | 0 | 13000 | 6.50 ms | 13.00 ms | 1.08 (1.08–1.08) |",
		"| ≥ 0.9 | 2.00 (2.00–2.00) | held |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "%!") {
		t.Errorf("a value does not fit its format in\n%s", text)
	}
}

func TestInsert(t *testing.T) {
	const section = beginMark + "\nnew\n" + endMark
	tests := []struct{ name, text, want string }{
		{"no marks", "# Performance\n\ntext\n\n\n", "# Performance\n\ntext\n\n## Over HTTP\n\n" + section + "\n"},
		{"nothing between", "a\n" + beginMark + endMark + "\nb\n", "a\n" + section + "\nb\n"},
		{"an older one", "a\n" + beginMark + "\nold\n" + endMark + "\nb\n", "a\n" + section + "\nb\n"},
		{"the newest one", "a\n" + section + "\nb\n", "a\n" + section + "\nb\n"},
		{"no end", "a\n" + beginMark + "\nb\n", ""},
		{"no begin", "a\n" + endMark + "\nb\n", ""},
		{"the wrong way round", endMark + "\n" + beginMark, ""},
		{"two", section + section, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := insert(tt.text, "\nnew\n\n")
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("it becomes %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestWriteInto(t *testing.T) {
	path := filepath.Join(t.TempDir(), "performance.md")
	for _, section := range []string{"first", "second"} {
		if err := writeInto(path, section); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	want := "# Performance\n\n## Over HTTP\n\n" + beginMark + "\nsecond\n" + endMark + "\n"
	if err != nil || string(got) != want {
		t.Errorf("the document is %q, %v, want %q", got, err, want)
	}
	if err := writeInto(filepath.Join(path, "none"), "x"); err == nil {
		t.Error("a document that cannot be written is no error")
	}
}
