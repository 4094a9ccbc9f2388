package ginkeycloak_test

import (
	"encoding/xml"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var updateImages = flag.Bool("update-images", false, "draw docs/images/kcdoctor.svg")

// TestPictureOfKcdoctor draws what kcdoctor says to a token for another API. The words are those of docs/troubleshooting.md,
// which integration/kcdoctor holds to a run on a real Keycloak.
func TestPictureOfKcdoctor(t *testing.T) {
	t.Parallel()
	const file = "docs/images/kcdoctor.svg"
	block := regexp.MustCompile("(?s)<!-- kcdoctor: wrong audience -->\n\n```text\n(.*?)\n```").FindStringSubmatch(read(t, "docs/troubleshooting.md"))
	if block == nil {
		t.Fatal("docs/troubleshooting.md does not show kcdoctor with a wrong audience")
	}
	token, _, ok := strings.Cut(block[1], "\n\nok    Keycloak answers")
	if !ok {
		t.Fatal("what kcdoctor says of the token does not end where it did")
	}
	want := terminal("kcdoctor -issuer http://127.0.0.1:8080/realms/demo -audience invoices-api -token - <token.txt", token)
	if *updateImages {
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, file) != want {
		t.Errorf("%s does not show what kcdoctor says; go test -run TestPictureOfKcdoctor . -update-images draws it", file)
	}
}

// terminal draws a command and its output as a window of a terminal would show them.
func terminal(command, output string) string {
	const columns, tenths, height, margin, top = 110, 79, 18, 16, 44 // a character is 7.9 wide
	lines := wrap("$ "+command, columns)
	for line := range strings.Lines(output) {
		lines = append(lines, wrap(strings.TrimRight(line, "\n"), columns)...)
	}
	w, h := columns*tenths/10+2*margin, top+len(lines)*height+margin
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-label="Output of kcdoctor for a token that was issued for another API">
<style>text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#d7dae0;white-space:pre}.ok{fill:#8cc265}.fail{fill:#ff6b68;font-weight:bold}.dim{fill:#8b93a1}</style>
<rect width="%[1]d" height="%[2]d" rx="8" fill="#1e2127"/>
<circle cx="20" cy="18" r="6" fill="#ff5f57"/><circle cx="40" cy="18" r="6" fill="#febc2e"/><circle cx="60" cy="18" r="6" fill="#28c840"/>
`, w, h)
	for i, line := range lines {
		fmt.Fprintf(&svg, `<text x="%d" y="%d" xml:space="preserve">%s</text>`+"\n", margin, top+12+i*height, coloured(line))
	}
	svg.WriteString("</svg>\n")
	return svg.String()
}

// coloured marks the first word of a line.
func coloured(line string) string {
	for word, class := range map[string]string{"ok  ": "ok", "FAIL": "fail", "-   ": "dim", "$ ": "dim"} {
		if rest, ok := strings.CutPrefix(line, word); ok {
			return fmt.Sprintf(`<tspan class=%q>%s</tspan>%s`, class, word, escaped(rest))
		}
	}
	return escaped(line)
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes everything
	return b.String()
}

// wrap breaks a line between words; what goes on is indented as the line is.
func wrap(line string, columns int) []string {
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	if strings.HasPrefix(line, "FAIL  ") {
		indent = "      "
	}
	var lines []string
	for len([]rune(line)) > columns {
		at := strings.LastIndex(string([]rune(line)[:columns]), " ")
		if at <= len(indent) {
			break
		}
		lines, line = append(lines, line[:at]), indent+line[at+1:]
	}
	return append(lines, line)
}
