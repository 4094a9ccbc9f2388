package ginkeycloak_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestDocumentedTestsExist holds documents to the tests that they name: docs/security.md for each attack,
// docs/migration.md for each fault of the package that this one succeeds, docs/comparison.md for each claim.
func TestDocumentedTestsExist(t *testing.T) {
	t.Parallel()
	exist := allTests(t)
	const column = 2
	for _, file := range []string{"docs/security.md", "docs/migration.md", "docs/comparison.md"} {
		named := 0
		for _, row := range rowsOfTests(t, file) {
			names := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row.cells[column], -1)
			if len(names) == 0 {
				t.Errorf("%s:%d names no test for %q", file, row.line, row.cells[0])
			}
			for _, name := range names {
				named++
				if why := exist.missing(name[1]); why != "" {
					t.Errorf("%s:%d names %s: %s", file, row.line, name[1], why)
				}
			}
		}
		t.Logf("%s names %d tests", file, named)
	}
	for name, want := range map[string]bool{ // this test can fail
		"TestClaims": true, "TestClaims/exp missing": true, "internal/keys.TestBadKeysAreSkipped/use=enc": true,
		"TestNowhere": false, "TestClaims/no such row": false, "internal/keys.TestClaims": false, "nowhere.TestClaims": false, "Claims": false,
	} {
		if got := exist.missing(name) == ""; got != want {
			t.Errorf("%s exists: %t, want %t", name, got, want)
		}
	}
}

// documentedRow is a row of a table, and where it is.
type documentedRow struct {
	line  int
	cells []string
}

// rowsOfTests returns the rows of all tables of a document whose last column is headed "test".
func rowsOfTests(t *testing.T, file string) []documentedRow {
	t.Helper()
	var rows []documentedRow
	inside, line := false, 0
	for text := range strings.Lines(read(t, file)) {
		line++
		text = strings.TrimSpace(text)
		switch {
		case strings.HasSuffix(text, "| test |"):
			inside = true
		case !strings.HasPrefix(text, "|"):
			inside = false
		case inside && !strings.HasPrefix(text, "|---"):
			cells := strings.Split(strings.Trim(text, "|"), "|")
			if len(cells) != 3 {
				t.Fatalf("%s:%d has %d cells, want 3", file, line, len(cells))
			}
			rows = append(rows, documentedRow{line, cells})
		}
	}
	if len(rows) == 0 {
		t.Fatalf("%s has no table with a column of tests", file)
	}
	return rows
}

// tests are the test functions of the repository by package and name: "TestX" for one in the root, "internal/keys.TestX"
// elsewhere. The values are the strings that are written in the test's file, where its table is.
type tests map[string]map[string]bool

// testName is a package's folder, unless it is the root, a function, and a row of its table, if one is meant.
var testName = regexp.MustCompile(`^((?:[a-z0-9/]+\.)?(?:Test|Fuzz)\w+)(?:/(.+))?$`)

// missing says why the test is not there, or nothing if it is.
func (x tests) missing(name string) string {
	parts := testName.FindStringSubmatch(name)
	if parts == nil {
		return "that is no name of a test"
	}
	literals, ok := x[parts[1]]
	switch row := parts[2]; {
	case !ok:
		return "there is no such test"
	case row != "" && !literals[row]:
		return "the file of the test has no such row"
	}
	return ""
}

// allTests reads every test file of the repository, those of nested modules too.
func allTests(t *testing.T) tests {
	t.Helper()
	found := make(tests)
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && (name == "testdata" || strings.HasPrefix(name, ".") && name != ".") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		literals := make(map[string]bool)
		ast.Inspect(parsed, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				if text, err := strconv.Unquote(literal.Value); err == nil {
					literals[text] = true
				}
			}
			return true
		})
		prefix := ""
		if dir := path.Dir(filepath.ToSlash(file)); dir != "." {
			prefix = dir + "."
		}
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				found[prefix+f.Name.Name] = literals
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestDocumentedRedirectURIsAreExact: a wildcard gives authorization codes to whoever can put a page below it. The realm
// that the set-up shows and the tests import is what people copy.
func TestDocumentedRedirectURIsAreExact(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("integration/testdata/demo-realm.json")
	if err != nil {
		t.Fatal(err)
	}
	var realm struct {
		Clients []struct {
			ClientID                 string
			RedirectURIs, WebOrigins []string
		}
	}
	if err := json.Unmarshal(file, &realm); err != nil {
		t.Fatal(err)
	}
	addresses := 0
	for _, client := range realm.Clients {
		for _, address := range append(client.RedirectURIs, client.WebOrigins...) {
			addresses++
			if strings.ContainsAny(address, "*+") {
				t.Errorf("client %s of the demo realm may be sent to %s, want exact addresses", client.ClientID, address)
			}
		}
	}
	if addresses == 0 {
		t.Error("the demo realm has no redirect URIs: this test proves nothing")
	}
	for _, file := range documents(t) {
		for _, s := range snippets(t, file, "json") {
			if strings.Contains(s.text, "redirectUris") && strings.Contains(s.text, "*") {
				t.Errorf("%s shows a redirect URI with a wildcard", s)
			}
		}
	}
}
