package ginkeycloak_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/c0mpiler/ginkeycloak"

// list runs go list and returns the lines of its answer.
func list(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %q: %v: %s", args, err, stderr.String())
	}
	return strings.Fields(string(out))
}

// TestDependencies holds the packages to the layers of the design: what a package needs, with all that comes
// along, and what it must never need.
func TestDependencies(t *testing.T) {
	t.Parallel()
	const (
		gin        = "github.com/gin-gonic/gin"
		prometheus = "github.com/prometheus"
		chromedp   = "github.com/chromedp"
	)
	tests := []struct {
		pkg       string
		forbidden []string // packages, with everything below them
		why       string
	}{
		{module, []string{"testing", "net/http/httptest", prometheus, chromedp, module + "/keycloaktest"},
			"it ends up in the user's program, which wants neither test code nor metrics it did not ask for"},
		{module + "/internal/token", []string{"net/http", "log", "os/exec"}, "it is pure: bytes in, values out"},
		{module + "/internal/bearer", []string{"net", "log", "encoding"}, "it is pure: strings in, strings out"},
		{module + "/internal/keys", []string{module + "/internal/keycloak", module + "/internal/bearer"},
			"it is given what it fetches with"},
		{module + "/internal/keycloak", []string{module + "/internal/token", module + "/internal/keys"},
			"it fetches and does not know what for"},
		{module + "/keycloaktest", []string{module + "/internal", gin, "testing", "net/http/httptest", "flag"},
			"it is the other side: sharing code would share mistakes; and programs use it too"},
	}
	for _, pkg := range list(t, "./internal/...") {
		tests = append(tests, struct {
			pkg       string
			forbidden []string
			why       string
		}{pkg, []string{gin, prometheus, chromedp, "testing"}, "the rooms below the root know nothing of Gin"})
	}
	for _, tt := range tests {
		t.Run(strings.TrimPrefix(tt.pkg, module+"/")+" without "+strings.Join(tt.forbidden, ","), func(t *testing.T) {
			t.Parallel()
			for _, dep := range list(t, "-deps", tt.pkg) {
				for _, bad := range tt.forbidden {
					if dep == bad || strings.HasPrefix(dep, bad+"/") {
						t.Errorf("%s needs %s, want not: %s", tt.pkg, dep, tt.why)
					}
				}
				if dep == module && tt.pkg != module {
					t.Errorf("%s needs the root package, want not: nothing below imports it", tt.pkg)
				}
			}
		})
	}
}

// TestOneDoorToTheNetwork holds net/http's client to one package of our own. The imports of others are theirs.
func TestOneDoorToTheNetwork(t *testing.T) {
	t.Parallel()
	for _, pkg := range list(t, "./internal/...") {
		imports := list(t, "-f", `{{join .Imports "\n"}}`, pkg)
		if got, want := slices.Contains(imports, "net/http"), pkg == module+"/internal/keycloak"; got != want {
			t.Errorf("%s imports net/http: %t, want %t", pkg, got, want)
		}
	}
}
