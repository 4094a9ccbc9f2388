package metrics_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/c0mpiler/ginkeycloak/metrics"
)

// TestMigrationOfMetrics holds the guide for those who come from the Python package to the series that there are.
func TestMigrationOfMetrics(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/migration.md")
	if err != nil {
		t.Fatal(err)
	}
	families, err := everything(t, metrics.WithPythonNames()).Gather()
	if err != nil {
		t.Fatal(err)
	}
	var python, ours []string
	for _, family := range families {
		if strings.HasPrefix(family.GetName(), "fc_kc_") {
			python = append(python, family.GetName())
			continue
		}
		ours = append(ours, family.GetName())
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(fc_kc_\\w+)` \\| ([^|]*)\\|").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, row[1])
		for _, name := range regexp.MustCompile(`ginkeycloak_\w+`).FindAllString(row[2], -1) {
			if !slices.Contains(ours, name) {
				t.Errorf("the guide sends people from %s to %s, which is not there", row[1], name)
			}
		}
	}
	slices.Sort(documented)
	slices.Sort(python)
	if !slices.Equal(documented, python) {
		t.Errorf("the guide has the metrics\n%q\nwant\n%q", documented, python)
	}
}
