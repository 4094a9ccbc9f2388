package ginkeycloak_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// These tests hold the documents to the code: what they show compiles, and their tables say what is true.

// snippet is a fenced block of a document, or an indented one of a package comment.
type snippet struct {
	file     string
	line     int
	language string
	text     string
}

func (s snippet) String() string { return fmt.Sprintf("%s:%d", s.file, s.line) }

var fence = regexp.MustCompile("(?ms)^```(\\w+)$(.*?)\n```$")

// snippets returns the fenced blocks of a document in one language.
func snippets(t *testing.T, file, language string) []snippet {
	t.Helper()
	text := read(t, file)
	var found []snippet
	for _, m := range fence.FindAllStringSubmatchIndex(text, -1) {
		s := snippet{file, strings.Count(text[:m[0]], "\n") + 1, text[m[2]:m[3]], strings.TrimSpace(text[m[4]:m[5]])}
		if s.language == language {
			found = append(found, s)
		}
	}
	return found
}

// documents are README.md and all of docs/.
func documents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("docs/*.md: %v, %v", files, err)
	}
	return append(files, "README.md")
}

func TestDocumentedGoCompiles(t *testing.T) {
	t.Parallel()
	found := packageDoc(t)
	for _, file := range documents(t) {
		found = append(found, snippets(t, file, "go")...)
	}
	for _, s := range found {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			files := []string{"vet", write(t, dir, "snippet.go", compilable(t, s))}
			if !strings.HasPrefix(s.text, "package ") {
				files = append(files, write(t, dir, "given.go", given))
			}
			if out, err := exec.CommandContext(t.Context(), "go", files...).CombinedOutput(); err != nil {
				t.Errorf("%s does not compile: %v\n%s", s, err, out)
			}
		})
	}
}

// packageDoc returns the code in the comment of the root package.
func packageDoc(t *testing.T) []snippet {
	t.Helper()
	var found []snippet
	var p comment.Parser
	for _, block := range p.Parse(parse(t, "plugin.go").Doc.Text()).Content {
		if code, ok := block.(*comment.Code); ok {
			found = append(found, snippet{"plugin.go", 1, "go", code.Text})
		}
	}
	if len(found) == 0 {
		t.Error("the package comment in plugin.go shows no code")
	}
	return found
}

// given is what fragments may use without saying where it came from.
const given = `package snippet

import (
	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
)

var (
	kc      *ginkeycloak.Plugin
	router  *gin.Engine
	handler gin.HandlerFunc
	docs    struct{ SwaggerInfo ginkeycloak.SwaggerSpec } // as swag generates it
)
`

// packages are those that fragments use without importing them.
var packages = map[string]string{
	"gin":          "github.com/gin-gonic/gin",
	"ginkeycloak":  module,
	"http":         "net/http",
	"httptest":     "net/http/httptest",
	"keycloaktest": module + "/keycloaktest",
	"log":          "log",
	"metrics":      module + "/metrics",
	"os":           "os",
	"prometheus":   "github.com/prometheus/client_golang/prometheus",
	"promhttp":     "github.com/prometheus/client_golang/prometheus/promhttp",
	"testing":      "testing",
	"time":         "time",
}

// compilable makes a file of a snippet: a program stays as it is, declarations get imports, and statements also a
// function around them that uses what they define.
func compilable(t *testing.T, s snippet) string {
	t.Helper()
	if strings.HasPrefix(s.text, "package ") {
		return s.text
	}
	const head = "package snippet\n"
	body := s.text
	file, err := parser.ParseFile(token.NewFileSet(), "", head+body, 0)
	if err != nil {
		body = "func _() {\n" + s.text + "\n}\n"
		if file, err = parser.ParseFile(token.NewFileSet(), "", head+body, 0); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		var uses strings.Builder
		for _, name := range defined(file.Decls[0].(*ast.FuncDecl)) {
			uses.WriteString("_ = " + name + "\n")
		}
		body = "func _() {\n" + s.text + "\n" + uses.String() + "}\n"
	}
	imports := make(map[string]string)
	ast.Inspect(file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if name, ok := selector.X.(*ast.Ident); ok && packages[name.Name] != "" {
				imports[name.Name] = packages[name.Name]
			}
		}
		return true
	})
	var list strings.Builder
	for _, path := range slices.Sorted(maps.Values(imports)) {
		list.WriteString("import " + strconv.Quote(path) + "\n")
	}
	return head + list.String() + body
}

// defined are the names that the statements of a function define.
func defined(f *ast.FuncDecl) []string {
	var names []string
	for _, statement := range f.Body.List {
		assign, ok := statement.(*ast.AssignStmt)
		if !ok || assign.Tok != token.DEFINE {
			continue
		}
		for _, left := range assign.Lhs {
			if name := left.(*ast.Ident).Name; name != "_" {
				names = append(names, name)
			}
		}
	}
	return names
}

// TestFault2TheQuickStartRuns runs the README's program against a fake Keycloak and asks it who alice is, as the
// README does. The quick start of the Python package could not run.
func TestFault2TheQuickStartRuns(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	api := runProgram(t, snippets(t, "README.md", "go")[0], srv.URL())
	want := snippets(t, "README.md", "json")[0].text

	status, body := fetch(t, api+"/me", srv.Token(keycloaktest.ForUser("alice")))
	if got := hideSubject(body); status != http.StatusOK || got != want {
		t.Errorf("GET /me with alice's token = %d %s, want 200 %s", status, got, want)
	}
	for _, tt := range []struct {
		path, token string
		want        int
	}{
		{"/me", "", http.StatusUnauthorized},
		{"/admin", srv.Token(keycloaktest.ForUser("alice")), http.StatusOK},
		{"/admin", srv.Token(keycloaktest.ForUser("bob")), http.StatusForbidden},
	} {
		if got, body := fetch(t, api+tt.path, tt.token); got != tt.want {
			t.Errorf("GET %s = %d %s, want %d", tt.path, got, body, tt.want)
		}
	}

	t.Run("pasted", func(t *testing.T) {
		t.Parallel()
		if _, err := exec.LookPath("curl"); err != nil {
			t.Skip("no curl here")
		}
		commands := strings.ReplaceAll(snippets(t, "README.md", "sh")[1].text, "http://localhost:8080", api)
		cmd := exec.CommandContext(t.Context(), "sh", "-e", "-c", commands)
		cmd.Env = append(os.Environ(), "KEYCLOAK_URL="+srv.URL())
		cmd.Stderr = t.Output()
		out, err := cmd.Output()
		if got := hideSubject(string(out)); err != nil || got != want {
			t.Errorf("the commands = %s, %v, want %s", got, err, want)
		}
	})
}

// hideSubject replaces the user's ID, which is another one in each realm.
func hideSubject(body string) string {
	return regexp.MustCompile(`"sub":"[^"]+"`).ReplaceAllString(strings.TrimSpace(body), `"sub":"…"`)
}

// runProgram builds a program and runs it until the test ends. It returns where the program listens.
func runProgram(t *testing.T, program snippet, keycloakURL string) string {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "program")
	source := write(t, dir, "main.go", program.text)
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("%s does not compile: %v\n%s", program, err, out)
	}
	port := freePort(t)
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env = append(os.Environ(), "KEYCLOAK_URL="+keycloakURL, "PORT="+port, "GIN_MODE=release")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // it was killed
	})
	address := "http://127.0.0.1:" + port
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
			return address
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen: %v", program, err)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func fetch(t *testing.T, address, bearer string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// TestDocumentedOptions compares the README's table of options with the functions and their comments, and their
// comments with the constants.
func TestDocumentedOptions(t *testing.T) {
	t.Parallel()
	rows := make(map[string][]string)
	for _, row := range table(t, "README.md", "option") {
		rows[strings.Trim(row[0], "`")] = row
	}
	options := optionFuncs(t)
	if len(options) == 0 {
		t.Fatal("no options found in the code")
	}
	constants := durations(t)
	for signature, text := range options {
		row, ok := rows[signature]
		if !ok {
			t.Errorf("the table of options has no row for `%s`", signature)
			continue
		}
		delete(rows, signature)
		cell := row[1]
		_, stated, hasDefault := strings.Cut(text, "Default: ")
		switch {
		case hasDefault && !strings.HasPrefix(stated, cell):
			t.Errorf("default of %s in the table = %q, its comment says %q", signature, cell, stated)
		case !hasDefault && !slices.Contains([]string{"required", "none", "off"}, cell):
			t.Errorf("default of %s in the table = %q, its comment states none", signature, cell)
		}
		name, _, _ := strings.Cut(signature, "(")
		if constant, ok := constants[defaults[name]]; ok && !strings.HasPrefix(cell, constant) {
			t.Errorf("default of %s in the table = %q, %s is %s", signature, cell, defaults[name], constant)
		}
	}
	for signature := range rows {
		t.Errorf("the table of options has a row for `%s`, the code has no such option", signature)
	}
	for option, name := range defaults {
		if constants[name] == "" {
			t.Errorf("the constant %s for the default of %s is gone", name, option)
		}
	}
}

// defaults are the constants behind the options that are durations.
var defaults = map[string]string{
	"WithLeeway":   "defaultLeeway",
	"WithTimeouts": "defaultTimeout",
	"WithKeyCache": "defaultKeyCache",
	"WithMaxStale": "defaultMaxStale",
	"WithRefresh":  "defaultReplay",
}

// optionFuncs returns the comments of all exported functions that return an Option, by signature.
func optionFuncs(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, file := range sources(t) {
		for _, decl := range parse(t, file).Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !f.Name.IsExported() || f.Type.Results.NumFields() != 1 {
				continue
			}
			if result, ok := f.Type.Results.List[0].Type.(*ast.Ident); !ok || result.Name != "Option" {
				continue
			}
			var params []string
			for _, field := range f.Type.Params.List {
				for _, name := range field.Names {
					param := name.Name
					if _, variadic := field.Type.(*ast.Ellipsis); variadic {
						param += "..."
					}
					params = append(params, param)
				}
			}
			signature := f.Name.Name + "(" + strings.Join(params, ", ") + ")"
			found[signature] = strings.Join(strings.Fields(f.Doc.Text()), " ")
		}
	}
	return found
}

// durations returns the constants that are written as a number of units: "30 s".
func durations(t *testing.T) map[string]string {
	t.Helper()
	units := map[string]string{"Second": "s", "Minute": "min", "Hour": "h"}
	found := make(map[string]string)
	inspect := func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		product, ok := spec.Values[0].(*ast.BinaryExpr)
		if !ok {
			return true
		}
		number, isNumber := product.X.(*ast.BasicLit)
		unit, isUnit := product.Y.(*ast.SelectorExpr)
		if isNumber && isUnit {
			found[spec.Names[0].Name] = number.Value + " " + units[unit.Sel.Name]
		}
		return true
	}
	for _, file := range sources(t) {
		ast.Inspect(parse(t, file), inspect)
	}
	return found
}

// challenges are the words of the README for the kinds of refusals.
var challenges = map[string]string{
	kindNone:  "no error",
	kindReq:   "invalid_request",
	kindTok:   "invalid_token",
	kindScope: "insufficient_scope",
	kindDown:  "none",
}

// TestDocumentedCodes compares the README's table of codes with the code.
func TestDocumentedCodes(t *testing.T) {
	t.Parallel()
	rows := make(map[ginkeycloak.Code][]string)
	for _, row := range table(t, "README.md", "code") {
		rows[ginkeycloak.Code(strings.Trim(row[0], "`"))] = row
	}
	for _, code := range ginkeycloak.Codes() {
		row, ok := rows[code]
		if !ok {
			t.Errorf("the table of codes has no row for %s", code)
			continue
		}
		delete(rows, code)
		if want := strconv.Itoa((&ginkeycloak.Error{Code: code}).Status()); row[1] != want {
			t.Errorf("status of %s in the table = %s, want %s", code, row[1], want)
		}
		if want := challenges[codeRows()[code].kind]; want != "" && row[2] != want {
			t.Errorf("challenge of %s in the table = %s, want %s", code, row[2], want)
		}
		if row[3] == "" {
			t.Errorf("the table does not say what a client should do about %s", code)
		}
	}
	for code := range rows {
		t.Errorf("the table of codes has a row for %s, the code has no such code", code)
	}
	body := fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, ginkeycloak.CodeTokenExpired, ginkeycloak.ErrTokenExpired.Message())
	if !strings.Contains(read(t, "README.md"), body) {
		t.Errorf("README.md does not show the body %s", body)
	}
}

// TestDocumentedRealm holds the JSON in the set-up of Keycloak to the realm that the tests import into a real one.
func TestDocumentedRealm(t *testing.T) {
	t.Parallel()
	var realm any
	if err := json.Unmarshal([]byte(read(t, "integration/testdata/demo-realm.json")), &realm); err != nil {
		t.Fatal(err)
	}
	shown := snippets(t, "docs/keycloak-setup.md", "json")
	if len(shown) < 3 {
		t.Errorf("docs/keycloak-setup.md shows %d pieces of JSON, want audience, roles and groups", len(shown))
	}
	for _, s := range shown {
		var part any
		if err := json.Unmarshal([]byte(s.text), &part); err != nil {
			t.Errorf("%s: %v", s, err)
		} else if !within(part, realm) {
			t.Errorf("%s: the imported realm has no such part:\n%s", s, s.text)
		}
	}
}

// within reports whether part is whole or a part of it, at any depth.
func within(part, whole any) bool {
	if reflect.DeepEqual(part, whole) {
		return true
	}
	switch whole := whole.(type) {
	case []any:
		return slices.ContainsFunc(whole, func(v any) bool { return within(part, v) })
	case map[string]any:
		for _, v := range whole {
			if within(part, v) {
				return true
			}
		}
	}
	return false
}

// TestDocumentsLinkToWhatExists follows the links between the documents.
func TestDocumentsLinkToWhatExists(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^):]+)\)`)
	for _, file := range append(documents(t), "CONTRIBUTING.md", "SECURITY.md", "AGENTS.md") {
		for _, m := range link.FindAllStringSubmatch(read(t, file), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), target)); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
			}
		}
	}
}

// table returns the rows of the table of a document whose first column has that heading.
func table(t *testing.T, file, heading string) [][]string {
	t.Helper()
	var rows [][]string
	inside := false
	for line := range strings.Lines(read(t, file)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "| "+heading+" |"):
			inside = true
		case !strings.HasPrefix(line, "|"):
			inside = false
		case inside && !strings.HasPrefix(line, "|---"):
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("%s has no table with a column %q", file, heading)
	}
	return rows
}

// sources are the files of the root package, without tests.
func sources(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, "_test.go") })
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
