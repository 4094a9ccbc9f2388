package main

import (
	"bytes"
	"fmt"
	"strings"
)

const swgui = "github.com/swaggest/swgui"

// swaggerUI says which Swagger UI is inside which release of swgui, which ships it without its licence. The files of
// swgui v1.8.5 are those of the npm package swagger-ui-dist 5.29.1, byte for byte.
var swaggerUI = map[string]string{"v1.8.5": "5.29.1"}

const head = `# Licences

What a program gets with ginkeycloak, and under which licence. ` + "`make licenses`" + ` writes this file out of the go.mod files and the
licence files of the modules; it fails on a licence that it does not know, or that is not permissive. ginkeycloak itself has
the [MIT licence](../LICENSE).

All of these allow any use, also in closed programs, and ask that whoever passes a program on passes their texts and
copyright lines on with it. Apache-2.0 asks the same for a NOTICE file, where there is one.

| module | version | licence | NOTICE | linked by |
|---|---|---|---|---|
`

const tail = `
What our tests or a build tag of Gin need stands in ` + "`go.mod`" + `, too, but is not in a program that does not ask for it. What only
` + "`integration/`, `tools/`" + ` and the other modules that hold tests need is not listed: no program can import those.

## Inside others

` + "`RegisterSwagger`" + ` serves script and style sheet of [Swagger UI](https://github.com/swagger-api/swagger-ui) %s, which ` + "`" + swgui + "`" + `
embeds: Apache-2.0, "Copyright 2020-2021 SmartBear Software Inc.". The script holds further packages of which it names these:
classnames, deep-extend, buffer, fast-json-patch and repeat-string (MIT), and DOMPurify (Apache-2.0 or MPL-2.0, of which we take
Apache-2.0).
`

// document is docs/licenses.md.
func document(deps []*dependency) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(head)
	var ui string
	for _, d := range deps {
		if d.Path == swgui {
			if ui = swaggerUI[d.Version]; ui == "" {
				return nil, fmt.Errorf("look up which Swagger UI is in %s %s, and under which licence", d.Path, d.Version)
			}
		}
		notice := ""
		if d.notice {
			notice = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", d.Path, d.Version, strings.Join(d.licences, ", "), notice, d.users())
	}
	fmt.Fprintf(&b, tail, ui)
	return b.Bytes(), nil
}
