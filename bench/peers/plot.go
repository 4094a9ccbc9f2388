package main

import (
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/c0mpiler/ginkeycloak/bench/peer"
)

// Measures of the plot, in its own units; it is shown about as wide in a README.
const (
	plotWidth  = 860
	labelWidth = 225
	valueWidth = 70
	barHeight  = 16
	barGap     = 6
	panelHead  = 54
	plotMargin = 16
)

// Colours that read on white and on black.
const (
	inkColour  = "#6e7781"
	gridColour = "#8b949e"
	oursColour = "#1f883d"
	peerColour = "#8b949e"
)

// plotted are the cases that the plot shows, with their headings.
var plotted = []struct {
	row     peer.Row
	heading string
}{
	{peer.FirstRS256, "A token seen for the first time (RS256)"},
	{peer.Repeated, "The same token again"},
	{peer.Expired, "An expired token, refused"},
}

// SVG draws the times as bars on a logarithmic scale, where 1 is the bare signature check.
func (r *report) SVG() string {
	axis := r.axis()
	var b strings.Builder
	panel := panelHead + len(r.peers)*(barHeight+barGap) + plotMargin
	height := len(plotted)*panel + plotMargin + 20
	_, _ = fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="system-ui, sans-serif" font-size="13" fill="%s">`+"\n",
		plotWidth, height, plotWidth, height, inkColour)
	_, _ = fmt.Fprintf(&b, "<title>Time per request, as a multiple of a bare signature check, on a logarithmic scale; shorter is better</title>\n")
	for i, p := range plotted {
		r.panel(&b, axis, i*panel, p.row, p.heading)
	}
	_, _ = fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">× a bare RSA check of the signature, logarithmic; shorter is better</text>`+"\n",
		plotWidth-plotMargin, height-plotMargin)
	b.WriteString("</svg>\n")
	return b.String()
}

// scale is a logarithmic axis between two values.
type scale struct{ low, high float64 }

// axis spans all bars, with room on both sides.
func (r *report) axis() scale {
	s := scale{1, 1}
	for _, p := range plotted {
		for _, of := range r.peers {
			if v := r.timing(p.row, of.Name).ratio.median; v > 0 {
				s = scale{min(s.low, v), max(s.high, v)}
			}
		}
	}
	return scale{s.low / 2, s.high * 1.2}
}

// timing is what an entrant took in a case.
func (r *report) timing(row peer.Row, name string) timing {
	for _, t := range r.timed {
		if t.row == row {
			return t.timings[name]
		}
	}
	return timing{}
}

// x is where a value lies; what is below the axis, or was made negative by noise, lies at its left end.
func (s scale) x(v float64) float64 {
	const left, right = labelWidth, plotWidth - plotMargin - valueWidth
	if v <= s.low {
		return left
	}
	return left + math.Log(v/s.low)/math.Log(s.high/s.low)*(right-left)
}

// powers are the powers of ten on the axis.
func (s scale) powers() []int {
	var powers []int
	for p := int(math.Ceil(math.Log10(s.low))); math.Pow10(p) <= s.high; p++ {
		powers = append(powers, p)
	}
	return powers
}

// panel draws the bars of one case.
func (r *report) panel(b *strings.Builder, axis scale, top int, row peer.Row, heading string) {
	_, _ = fmt.Fprintf(b, `<text x="%d" y="%d" font-size="15" font-weight="600">%s</text>`+"\n", plotMargin, top+24, html.EscapeString(heading))
	bars := top + panelHead
	bottom := bars + len(r.peers)*(barHeight+barGap)
	for _, power := range axis.powers() {
		gridLine(b, axis, power, bars-4, bottom)
	}
	for i, p := range r.peers {
		r.bar(b, axis, bars+i*(barHeight+barGap), p, row)
	}
}

func gridLine(b *strings.Builder, axis scale, power, top, bottom int) {
	x := axis.x(math.Pow10(power))
	opacity, label := "0.35", number10(power)
	if power == 0 {
		opacity, label = "1", "1 ×"
	}
	_, _ = fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s" stroke-opacity="%s"/>`+"\n", x, x, top, bottom, gridColour, opacity)
	_, _ = fmt.Fprintf(b, `<text x="%.1f" y="%d" font-size="11" text-anchor="middle">%s</text>`+"\n", x, top-3, label)
}

// number10 writes a power of ten in full.
func number10(power int) string {
	return fmt.Sprintf("%.*f ×", max(-power, 0), math.Pow10(power))
}

func (r *report) bar(b *strings.Builder, axis scale, top int, p peer.Peer, row peer.Row) {
	value := r.timing(row, p.Name).ratio.median
	colour, weight := peerColour, "400"
	if p.Ours {
		colour, weight = oursColour, "600"
	}
	left, right := float64(labelWidth), axis.x(value)
	baseline := top + barHeight - 4
	_, _ = fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end" font-weight="%s">%s</text>`+"\n", labelWidth-8, baseline, weight, html.EscapeString(p.Name))
	_, _ = fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`+"\n", left, top, max(right-left, 1), barHeight, colour)
	_, _ = fmt.Fprintf(b, `<text x="%.1f" y="%d" font-weight="%s">%s</text>`+"\n", right+6, baseline, weight, number(value))
}
