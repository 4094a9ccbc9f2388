package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/c0mpiler/ginkeycloak/bench/peer"
)

// A report is everything that was measured.
type report struct {
	machine string // what it ran on, a sentence
	method  string // how, in sentences
	peers   []peer.Peer
	timed   []timedRow

	admissions map[string]peer.Admission // these by the peer's name
	coldStarts map[string]coldStart
	kids       map[string]unknownKids
	rotations  map[string]rotations
	memory     map[string]memory // of those that remember tokens
}

// timedRow is what the entrants took in a case, by name.
type timedRow struct {
	row     peer.Row
	timings map[string]timing
}

// A lead is a row in which a peer is ahead of ours.
type lead struct {
	peer string
	row  peer.Row
	what string // the figures
	why  string // what the peer leaves out; empty if nobody knows
}

// ours is what the peers are compared with: the first one.
func (r *report) ours() string { return r.peers[0].Name }

// leads are all rows in which a peer is ahead.
func (r *report) leads() []lead {
	var leads []lead
	add := func(p peer.Peer, row peer.Row, ahead bool, format string, args ...any) {
		if ahead {
			leads = append(leads, lead{p.Name, row, fmt.Sprintf(format, args...), p.Ahead[row]})
		}
	}
	for _, p := range r.peers {
		if p.Ours {
			continue
		}
		for _, t := range r.timed {
			theirs, ours := t.timings[p.Name].ratio.median, t.timings[r.ours()].ratio.median
			add(p, t.row, theirs < ours, "%s to %s", number(theirs), number(ours))
		}
		cold, ours := r.coldStarts[p.Name], r.coldStarts[r.ours()]
		add(p, peer.ColdStart, before(cold.failures, ours.failures, cold.discoveries+cold.fetches, ours.discoveries+ours.fetches),
			"%d and %d fetches, %d failures to %d and %d, %d", cold.discoveries, cold.fetches, cold.failures,
			ours.discoveries, ours.fetches, ours.failures)
		kids, ourKids := r.kids[p.Name], r.kids[r.ours()]
		add(p, peer.UnknownKid, before(kids.refused, ourKids.refused, kids.fetches, ourKids.fetches),
			"%d fetches to %d", kids.fetches, ourKids.fetches)
		rotation, ourRotation := r.rotations[p.Name], r.rotations[r.ours()]
		add(p, peer.Rotation, before(rotation.refused, ourRotation.refused, rotation.fetches, ourRotation.fetches),
			"%d refused, %d fetches to %d, %d", rotation.refused, rotation.fetches, ourRotation.refused, ourRotation.fetches)
	}
	return leads
}

// before says who is ahead by harm done, and where that is equal by calls made.
func before(harm, ourHarm, calls, ourCalls int) bool {
	return harm < ourHarm || harm == ourHarm && calls < ourCalls
}

// unexplained are the leads that nobody has a reason for.
func (r *report) unexplained() []lead {
	return slices.DeleteFunc(r.leads(), func(l lead) bool { return l.why != "" })
}

// Markdown writes the report.
func (r *report) Markdown() string {
	var b strings.Builder
	for _, section := range []func(io.Writer){
		r.writeMethod, r.writeTimes, r.writeAllocations, r.writeTrouble, r.writeLeads, r.writeAdmissions, r.writeSetUps,
	} {
		section(&b)
		b.WriteByte('\n')
	}
	return strings.TrimSpace(b.String()) + "\n"
}

func (r *report) writeMethod(w io.Writer) { _, _ = fmt.Fprintf(w, "%s\n\n%s\n", r.machine, r.method) }

// table writes a Markdown table.
func table(w io.Writer, head []string, rows [][]string) {
	line := func(cells []string) { _, _ = fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	line(slices.Repeat([]string{"---"}, len(head)))
	for _, row := range rows {
		line(row)
	}
}

// entrants are the names in the timing tables, in order.
func (r *report) entrants() []string {
	names := []string{floorName}
	for _, p := range r.peers {
		names = append(names, p.Name)
	}
	return names
}

// timedTable writes a table with an entrant per line and a case per column.
func (r *report) timedTable(w io.Writer, entrants []string, cell func(name string, t timing) string) {
	head := []string{""}
	for _, t := range r.timed {
		head = append(head, string(t.row))
	}
	var rows [][]string
	for _, name := range entrants {
		row := []string{name}
		for _, t := range r.timed {
			row = append(row, cell(name, t.timings[name]))
		}
		rows = append(rows, row)
	}
	table(w, head, rows)
}

func (r *report) writeTimes(w io.Writer) {
	_, _ = fmt.Fprint(w, "### Time\n\nMultiples of the bare signature check, median (lowest–highest) of the rounds. With †, it fetches keys from Keycloak each time.\n\n")
	r.timedTable(w, r.entrants(), func(name string, t timing) string {
		if name == floorName {
			return "1 = " + microseconds(t.nanoseconds)
		}
		if t.fetches > 0.5 {
			return t.ratio.String() + " †"
		}
		return t.ratio.String()
	})
}

func microseconds(nanoseconds float64) string { return number(nanoseconds/1000) + " µs" }

func (r *report) writeAllocations(w io.Writer) {
	_, _ = fmt.Fprint(w, "### Allocations\n\nPer request, and how many bytes.\n\n")
	r.timedTable(w, r.entrants()[1:], func(_ string, t timing) string {
		return fmt.Sprintf("%.0f, %s", max(t.allocs, 0), size(t.bytes))
	})
}

func size(bytes float64) string {
	const kib, mib = 1 << 10, 1 << 20
	switch {
	case bytes >= mib:
		return number(bytes/mib) + " MiB"
	case bytes >= kib:
		return number(bytes/kib) + " KiB"
	default:
		return fmt.Sprintf("%.0f B", max(bytes, 0))
	}
}

func (r *report) writeTrouble(w io.Writer) {
	_, _ = fmt.Fprint(w, "### Two cores, and bad moments\n\n")
	head := []string{"", "first-seen, 2 cores to 1", "repeated, 2 cores to 1", "cold start: discovery, keys, failures",
		"unknown kid: fetches per second, good ones refused", "rotation: fetches, good ones refused", "memory after many tokens"}
	var rows [][]string
	for _, p := range r.peers {
		cold, kids, rotation := r.coldStarts[p.Name], r.kids[p.Name], r.rotations[p.Name]
		rows = append(rows, []string{
			p.Name, r.speedup(peer.FirstRS256, p.Name), r.speedup(peer.Repeated, p.Name),
			fmt.Sprintf("%d, %d, %d of %d", cold.discoveries, cold.fetches, cold.failures, cold.requests),
			fmt.Sprintf("%s, %d of %d", number(kids.rate()), kids.refused, kids.good),
			fmt.Sprintf("%d, %d of %d", rotation.fetches, rotation.refused, rotation.good),
			r.memoryOf(p),
		})
	}
	table(w, head, rows)
}

func (r *report) speedup(row peer.Row, name string) string {
	return number(r.timing(row, name).speedup) + " ×"
}

func (r *report) memoryOf(p peer.Peer) string {
	m, ok := r.memory[p.Name]
	if !ok {
		return "no cache"
	}
	return fmt.Sprintf("%s after %d, %s after %d", size(float64(m.early)), m.tokens/10, size(float64(m.last)), m.tokens)
}

func (r *report) writeLeads(w io.Writer) {
	_, _ = fmt.Fprintf(w, "### Where another one is ahead of %s\n\n", r.ours())
	leads := r.leads()
	if len(leads) == 0 {
		_, _ = fmt.Fprintln(w, "Nowhere.")
		return
	}
	for _, l := range leads {
		why := l.why
		if why == "" {
			why = "the reason is not known."
		}
		_, _ = fmt.Fprintf(w, "- %s, %s (%s): %s\n", l.peer, l.row, l.what, why)
	}
}

func (r *report) writeAdmissions(w io.Writer) {
	_, _ = fmt.Fprint(w, "### What each one lets in\n\nTokens that this API must refuse. All but garbage are as good as any apart from what is named.\n\n")
	head := []string{"token", "why it is bad"}
	var shown []peer.Peer
	for _, p := range r.peers {
		if p.Ours && p.Name != r.ours() {
			continue // a variant answers the same
		}
		shown = append(shown, p)
		head = append(head, p.Name)
	}
	var rows [][]string
	for _, bad := range peer.BadTokens() {
		row := []string{bad.Name, bad.Why}
		for _, p := range shown {
			row = append(row, admitted(r.admissions[p.Name].Bad[bad.Name]))
		}
		rows = append(rows, row)
	}
	table(w, head, rows)
}

func admitted(status int) string {
	if status == 200 {
		return "**let in**"
	}
	return strconv.Itoa(status)
}

func (r *report) writeSetUps(w io.Writer) {
	_, _ = fmt.Fprint(w, "### How each one was set up\n\n")
	for _, p := range r.peers {
		version := p.Version()
		if version != "" {
			version = " " + version
		}
		_, _ = fmt.Fprintf(w, "- **%s**%s: %s\n", p.Name, version, p.Setup)
	}
}

// The markers that the report stands between, in a document that is written by hand around it.
const (
	beginMarker = "<!-- make bench-peers writes this -->"
	endMarker   = "<!-- until here -->"
)

// insert puts text between the markers of a document.
func insert(document []byte, text string) ([]byte, error) {
	before, rest, began := bytes.Cut(document, []byte(beginMarker))
	_, after, ended := bytes.Cut(rest, []byte(endMarker))
	if !began || !ended {
		return nil, errors.New("the document lacks the markers " + beginMarker + " and " + endMarker)
	}
	return slices.Concat(before, []byte(beginMarker+"\n\n"+text+"\n"+endMarker), after), nil
}

// writeInto puts text between the markers of a file.
func writeInto(file, text string) error {
	document, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	document, err = insert(document, text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, document, 0o644)
}
