package main

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// TestMetrics scrapes the program as Prometheus does, and finds a request under both sets of names.
func TestMetrics(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	printed := start(t, map[string]string{
		"KEYCLOAK_URL": srv.URL(), "KEYCLOAK_REALM": srv.Realm(), "KEYCLOAK_CLIENT_ID": "orders-api", "KEYCLOAK_CLIENT_SECRET": "s3cret",
	})
	api := regexp.MustCompile(`http://[0-9.:]+`).FindString(printed)
	get(t, api+"/me", srv.Token())
	get(t, api+"/me", "nonsense")

	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/plain;version=0.0.4")
	body, status := do(t, r)
	if status != "200" {
		t.Fatalf("GET /metrics = %s %s", status, body)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"ginkeycloak_authentications_total":           2,
		"ginkeycloak_authentication_duration_seconds": 2,
		"ginkeycloak_refusals_total":                  1,
		"ginkeycloak_calls_total":                     2,
		"ginkeycloak_keys_held":                       1,
		"fc_kc_token_validation_total":                2,
		"fc_kc_token_validation_latency_ms":           2,
		"fc_kc_errors_total":                          1,
	} {
		got := 0.0
		for _, m := range families[name].GetMetric() {
			got += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
		if got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	if t.Failed() {
		t.Log(slices.Sorted(maps.Keys(families)))
	}
}
