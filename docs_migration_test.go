package ginkeycloak_test

import (
	"encoding/json"
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// migrationTable returns the rows of the table below a heading of docs/migration.md.
func migrationTable(t *testing.T, heading string) [][]string {
	t.Helper()
	_, section, ok := strings.Cut(read(t, "docs/migration.md"), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/migration.md has no heading %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var rows [][]string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| `") {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells)
		}
	}
	if len(rows) == 0 {
		t.Fatalf("docs/migration.md has no table below %q", heading)
	}
	return rows
}

// TestMigrationNamesWhatExists: each option, method and function that the guide sends people to is there.
func TestMigrationNamesWhatExists(t *testing.T) {
	t.Parallel()
	exported := make(map[string]bool)
	for _, file := range sources(t) {
		ast.Inspect(parse(t, file), func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				exported[n.Name.Name] = true
			case *ast.TypeSpec:
				exported[n.Name.Name] = true
			case *ast.Field:
				for _, name := range n.Names {
					exported[name.Name] = true
				}
			}
			return true
		})
	}
	for _, heading := range []string{"Options", "The user"} {
		for _, row := range migrationTable(t, heading) {
			for _, m := range regexp.MustCompile("`([A-Z]\\w*)").FindAllStringSubmatch(row[1]+row[2], -1) {
				if !exported[m[1]] {
					t.Errorf("%s: %s sends people to %s, which is not there", heading, row[0], m[1])
				}
			}
		}
	}
}

func TestMigrationOfCodes(t *testing.T) {
	t.Parallel()
	for _, row := range migrationTable(t, "Errors") {
		code := ginkeycloak.Code(strings.Trim(row[0], "`"))
		if !slices.Contains(ginkeycloak.Codes(), code) {
			t.Errorf("the guide has the code %s, the code has no such code", code)
		}
		if want := strconv.Itoa((&ginkeycloak.Error{Code: code}).Status()); row[2][:3] != want {
			t.Errorf("the guide has status %s for %s, want %s", row[2], code, want)
		}
	}
}

func TestMigrationOfTheUser(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var user map[string]any
	if err := json.Unmarshal([]byte(a.get(t, "/me", a.keycloak.Token(keycloaktest.ForUser("alice"))).body), &user); err != nil {
		t.Fatal(err)
	}
	documented := []string{}
	for _, row := range migrationTable(t, "The user") {
		if name := strings.Trim(row[0], "`"); name != "raw_claims" {
			documented = append(documented, name)
		}
	}
	slices.Sort(documented)
	if got := slices.Sorted(maps.Keys(user)); !slices.Equal(got, documented) {
		t.Errorf("a user's JSON has the members %q, the guide %q", got, documented)
	}
}
