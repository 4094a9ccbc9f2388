package metrics_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedMetrics compares the table of metrics in docs/metrics.md with what is gathered.
func TestDocumentedMetrics(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `(ginkeycloak_\\w+)` \\| ([^|]*)\\|").FindAllStringSubmatch(string(text), -1) {
		labels := strings.NewReplacer("`", "", ",", "").Replace(row[2])
		documented[row[1]] = strings.Join(slices.Sorted(slices.Values(append(strings.Fields(labels), "client_id", "realm"))), " ")
	}

	families, err := everything(t).Gather()
	if err != nil {
		t.Fatal(err)
	}
	gathered := make(map[string]string)
	for _, family := range families {
		var labels []string
		for _, l := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		gathered[family.GetName()] = strings.Join(slices.Sorted(slices.Values(labels)), " ")
	}
	if !maps.Equal(documented, gathered) {
		t.Errorf("docs/metrics.md has the metrics\n%v\nwant\n%v", documented, gathered)
	}
}
