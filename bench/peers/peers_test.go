package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/c0mpiler/ginkeycloak/bench/peer"
)

// sampleReport has one peer that is behind in every row but where it leaves something out.
func sampleReport() *report {
	ours := peer.Peer{Name: "ours", Setup: "As it is.", Ours: true, Remembers: true}
	theirs := peer.Peer{Name: "theirs & others", Setup: "As documented.", Ahead: map[peer.Row]string{peer.ColdStart: "it makes no discovery."}}
	row := func(name peer.Row, ours, theirs float64) timedRow {
		timed := func(v float64) timing {
			return timing{ratio: spread{v / 2, v, 2 * v}, nanoseconds: 40_000 * v, allocs: 12, bytes: 2048, speedup: 1.9}
		}
		return timedRow{name, map[string]timing{floorName: timed(1), "ours": timed(ours), "theirs & others": timed(theirs)}}
	}
	return &report{
		machine: "Measured here.", method: "In turns.", peers: []peer.Peer{ours, theirs},
		timed:      []timedRow{row(peer.FirstRS256, 1.1, 2.5), row(peer.Repeated, 0.005, 2.4), row(peer.Expired, 0.1, 1.5)},
		admissions: map[string]peer.Admission{"theirs & others": {Good: 200, Bad: map[string]int{"ID token": 200, "expired": 401}}},
		coldStarts: map[string]coldStart{"ours": {100, 1, 1, 0}, "theirs & others": {100, 0, 1, 0}},
		kids:       map[string]unknownKids{"ours": {fetches: 1, lasting: 1e9}, "theirs & others": {fetches: 50, lasting: 1e9}},
		rotations:  map[string]rotations{"theirs & others": {refused: 7}},
		memory:     map[string]memory{"ours": {tokens: 1000, early: 1 << 20, last: 2 << 20, highest: 2 << 20}},
	}
}

func TestMarkdown(t *testing.T) {
	got := sampleReport().Markdown()
	for _, want := range []string{
		"| bare signature check | 1 = 40.0 µs | 1 = 40.0 µs | 1 = 40.0 µs |\n",
		"| theirs & others | 2.50 (1.25–5.00) | 2.40 (1.20–4.80) | 1.50 (0.75–3.00) |\n",
		"| ours | 12, 2.00 KiB | 12, 2.00 KiB | 12, 2.00 KiB |\n",
		"1.00 MiB after 100, 2.00 MiB after 1000",
		"- theirs & others, cold start (0 and 1 fetches, 0 failures to 1 and 1, 0): it makes no discovery.\n",
		"- **theirs & others**: As documented.\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the report lacks %q:\n%s", want, got)
		}
	}
	if !regexp.MustCompile(`\| ID token \| .* \| \*\*let in\*\* \|\n`).MatchString(got) {
		t.Errorf("the report does not say that an ID token is let in:\n%s", got)
	}
}

func TestLeads(t *testing.T) {
	r := sampleReport()
	if got := r.unexplained(); len(got) != 0 {
		t.Errorf("unexplained leads = %v, want none", got)
	}
	r.peers[1].Ahead = nil
	if got := r.unexplained(); len(got) != 1 || got[0].row != peer.ColdStart {
		t.Errorf("unexplained leads without a reason = %v, want the one of the cold start", got)
	}
	if got := r.Markdown(); !strings.Contains(got, "the reason is not known") {
		t.Error("the report does not say that a reason is not known")
	}
	slow := r.timed[0].timings["ours"]
	slow.ratio.median = 3
	r.timed[0].timings["ours"] = slow
	if got := r.unexplained(); len(got) != 2 || got[0].row != peer.FirstRS256 {
		t.Errorf("unexplained leads when ours is slow = %v, want one in the time, too", got)
	}
}

func TestSVGIsXML(t *testing.T) {
	r := sampleReport()
	svg := r.SVG()
	for decoder := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the plot is no XML: %v", err)
		}
	}
	if got, want := strings.Count(svg, "<rect"), len(plotted)*len(r.peers); got != want {
		t.Errorf("the plot has %d bars, want %d", got, want)
	}
}

func TestScale(t *testing.T) {
	s := scale{0.001, 10}
	left, right := s.x(0.001), s.x(10)
	if left != labelWidth || right != plotWidth-plotMargin-valueWidth {
		t.Errorf("the ends lie at %v and %v", left, right)
	}
	if got, want := s.x(0.1), (left+right)/2; math.Abs(got-want) > 1e-9 {
		t.Errorf("0.1 lies at %v, want %v, the middle", got, want)
	}
	for _, none := range []float64{0, -1, 1e-9} {
		if got := s.x(none); got != left {
			t.Errorf("%v lies at %v, want the left end", none, got)
		}
	}
	if got, want := (scale{0.004, 14}).powers(), []int{-2, -1, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("powers between 0.004 and 14 = %v, want %v", got, want)
	}
}

func TestSpread(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   spread
	}{
		{"none", nil, spread{}},
		{"one", []float64{2}, spread{2, 2, 2}},
		{"odd", []float64{9, 1, 4}, spread{1, 4, 9}},
		{"even", []float64{9, 1, 4, 6}, spread{1, 5, 9}},
	}
	for _, tt := range tests {
		if got := spreadOf(tt.values); got != tt.want {
			t.Errorf("spread of %s = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestInsert(t *testing.T) {
	document := "before\n" + beginMarker + "\nold\n" + endMarker + "\nafter\n"
	got, err := insert([]byte(document), "new\n")
	want := "before\n" + beginMarker + "\n\nnew\n\n" + endMarker + "\nafter\n"
	if err != nil || string(got) != want {
		t.Errorf("insert = %q, %v, want %q", got, err, want)
	}
	again, err := insert(got, "new\n")
	if err != nil || !bytes.Equal(again, got) {
		t.Errorf("insert twice = %q, %v, want the same", again, err)
	}
	for _, document := range []string{"", beginMarker, endMarker + beginMarker} {
		if _, err := insert([]byte(document), "new"); err == nil {
			t.Errorf("insert into %q = nil, want an error", document)
		}
	}
}

func TestBound(t *testing.T) {
	tests := []struct {
		name string
		b    bound
		want bool
	}{
		{"at the limit", bound{value: 3, limit: 3}, true},
		{"above it", bound{value: 3.01, limit: 3}, false},
		{"at the least", bound{value: 1.8, limit: 1.8, atLeast: true}, true},
		{"below it", bound{value: 1.79, limit: 1.8, atLeast: true}, false},
	}
	for _, tt := range tests {
		if got := tt.b.kept(); got != tt.want {
			t.Errorf("a value %s is kept: %v, want %v", tt.name, got, tt.want)
		}
	}
	broken := bound{promise: "repeated token", value: 0.02, limit: 0.01, format: share}
	want := "BROKEN  repeated token                                                       2.00 %   at most 1.00 %"
	if got := broken.String(); got != want {
		t.Errorf("a broken bound prints\n%q, want\n%q", got, want)
	}
}

// The whole program, for a moment only: figures are not looked at, but that everything is measured and written.
func TestProgram(t *testing.T) {
	docs := t.TempDir()
	if err := os.Mkdir(filepath.Join(docs, "images"), 0o700); err != nil {
		t.Fatal(err)
	}
	document := filepath.Join(docs, "performance.md")
	if err := os.WriteFile(document, []byte("# Performance\n"+beginMarker+endMarker), 0o600); err != nil {
		t.Fatal(err)
	}
	logs := t.TempDir()
	if err := peer.LogInto(logs); err != nil {
		t.Fatal(err)
	}
	r, err := measure(t.Context(), peer.All(), short(t.Output()))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.write(docs, io.Discard); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peer.All() {
		if n := strings.Count(string(got), p.Name); n < 4 {
			t.Errorf("%s is named %d times in the report, want it in every table:\n%s", p.Name, n, got)
		}
		if p.Ours {
			continue
		}
		if cold := r.coldStarts[p.Name]; cold.fetches == 0 {
			t.Errorf("%s fetched no keys at a cold start", p.Name)
		}
		if kids := r.kids[p.Name]; kids.good == 0 || kids.requests == 0 {
			t.Errorf("%s was sent no tokens in the flood", p.Name)
		}
		if rotation := r.rotations[p.Name]; rotation.good == 0 {
			t.Errorf("%s was sent no tokens while keys rotated", p.Name)
		}
	}
	for _, name := range []string{"ginkeycloak", "ginkeycloak, token cache off"} {
		if cold := r.coldStarts[name]; cold.discoveries != 1 || cold.fetches != 1 || cold.failures != 0 {
			t.Errorf("%s at a cold start = %+v, want one discovery, one key fetch and no failure", name, cold)
		}
		if kids := r.kids[name]; kids.refused != 0 {
			t.Errorf("%s refused %d good tokens in the flood", name, kids.refused)
		}
		if rotation := r.rotations[name]; rotation.refused != 0 {
			t.Errorf("%s refused %d good tokens while keys rotated", name, rotation.refused)
		}
	}
	if _, err := os.Stat(filepath.Join(docs, "images", "performance.svg")); err != nil {
		t.Error(err)
	}
}

// Bounds are measured and printed; whether they are kept is not asked, because the machine of a test is noisy.
func TestBoundsAreMeasured(t *testing.T) {
	bounds, err := measureBounds(t.Context(), short(t.Output()))
	if err != nil {
		t.Fatal(err)
	}
	if len(bounds) != 18 {
		t.Errorf("%d bounds are measured, want 18", len(bounds))
	}
	for _, b := range bounds {
		t.Log(b)
	}
}
