// Package promtest holds dashboard.json and alerts.yaml to Prometheus' own parser and engine and to the metrics that
// package metrics registers. It is a module of its own, so that Prometheus is in nobody's dependencies. The two files are outside of it, where go test does
// not look for changes before it repeats an earlier result: make test-root runs it in any case, so does -count=1.
package promtest

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
	"github.com/c0mpiler/ginkeycloak/metrics"
)

// TestAlerts holds the rules to the rules of rules files, and their expressions to the metrics.
func TestAlerts(t *testing.T) {
	t.Parallel()
	known := gather(t)
	rules := alerts(t)
	if len(rules) == 0 {
		t.Fatal("alerts.yaml has no rules")
	}
	for name, rule := range rules {
		checkExpr(t, name, rule.Expr, known)
		if rule.Annotations["summary"] == "" || rule.Labels["severity"] == "" || rule.For == 0 {
			t.Errorf("%s: a summary, a severity and a time are wanted", name)
		}
	}
}

// TestAlertsFire evaluates each expression on series that should raise the alert, and on series that should not.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	const who = `{realm="demo",client_id="orders-api",`
	tests := []struct {
		alert, name, series string
		fires               bool
	}{
		{"KeycloakUnavailable", "Keycloak is away", `ginkeycloak_refusals_total` + who + `code="keycloak_connection_error"} 0+6x20`, true},
		{"KeycloakUnavailable", "a user lacks a role", `ginkeycloak_refusals_total` + who + `code="missing_roles"} 0+6x20`, false},
		{"KeycloakUnavailable", "Keycloak is back", `ginkeycloak_refusals_total` + who + `code="keycloak_connection_error"} 6+0x20`, false},
		{"KeycloakSetUpWrong", "wrong secret", `ginkeycloak_calls_total` + who + `call="token",code="keycloak_config_error"} 0+1x20`, true},
		{"KeycloakSetUpWrong", "expired certificate", `ginkeycloak_calls_total` + who + `call="key_set",code="cert_expired"} 0+1x20`, true},
		{"KeycloakSetUpWrong", "calls that work", `ginkeycloak_calls_total` + who + `call="token",code="ok"} 0+1x20`, false},
		{"KeycloakKeysNotRefreshed", "old, with requests", `
			ginkeycloak_key_set_age_seconds` + who + `instance="a"} 1700+60x20
			ginkeycloak_authentications_total` + who + `instance="a",method="local",cached="true",code="ok"} 0+60x20`, true},
		{"KeycloakKeysNotRefreshed", "old, without requests", `
			ginkeycloak_key_set_age_seconds` + who + `instance="a"} 1700+60x20
			ginkeycloak_authentications_total` + who + `instance="a",method="local",cached="true",code="ok"} 60+0x20
			ginkeycloak_authentications_total` + who + `instance="b",method="local",cached="true",code="ok"} 0+60x20`, false},
		{"KeycloakKeysNotRefreshed", "fresh", `
			ginkeycloak_key_set_age_seconds` + who + `instance="a"} 0+30x20
			ginkeycloak_authentications_total` + who + `instance="a",method="local",cached="true",code="ok"} 0+60x20`, false},
		{"KeycloakBreakerOpen", "open", `ginkeycloak_breaker_state` + who + `call="token",state="closed"} 0x20`, true},
		{"KeycloakBreakerOpen", "closed", `ginkeycloak_breaker_state` + who + `call="token",state="closed"} 1x20`, false},
		{"KeycloakSlow", "between 2.5 s and 5 s", `
			ginkeycloak_call_duration_seconds_bucket` + who + `call="token",le="2.5"} 0x20
			ginkeycloak_call_duration_seconds_bucket` + who + `call="token",le="5"} 0+6x20
			ginkeycloak_call_duration_seconds_bucket` + who + `call="token",le="+Inf"} 0+6x20`, true},
		{"KeycloakSlow", "below 50 ms", `
			ginkeycloak_call_duration_seconds_bucket` + who + `call="token",le="0.05"} 0+6x20
			ginkeycloak_call_duration_seconds_bucket` + who + `call="token",le="+Inf"} 0+6x20`, false},
		{"TokensRefused", "every other for another API", `
			ginkeycloak_authentications_total` + who + `method="local",cached="false",code="invalid_claims"} 0+6x20
			ginkeycloak_authentications_total` + who + `method="local",cached="false",code="ok"} 0+6x20`, true},
		{"TokensRefused", "many expired", `
			ginkeycloak_authentications_total` + who + `method="local",cached="false",code="token_expired"} 0+6x20
			ginkeycloak_authentications_total` + who + `method="local",cached="false",code="invalid_claims"} 0+1x20
			ginkeycloak_authentications_total` + who + `method="local",cached="false",code="ok"} 0+6x20`, false},
	}
	rules := alerts(t)
	untested := maps.Clone(rules)
	for _, tt := range tests {
		t.Run(tt.alert+"/"+tt.name, func(t *testing.T) {
			var load strings.Builder
			load.WriteString("load 1m\n")
			for line := range strings.Lines(strings.TrimSpace(tt.series)) {
				load.WriteString("  " + strings.TrimSpace(line) + "\n")
			}
			if got := len(evaluate(t, load.String(), rules[tt.alert].Expr)) > 0; got != tt.fires {
				t.Errorf("%s with %s: fires %t, want %t", tt.alert, tt.name, got, tt.fires)
			}
		})
		if tt.fires {
			delete(untested, tt.alert)
		}
	}
	for name := range untested {
		t.Errorf("no series raise %s", name)
	}
}

// evaluate returns what an expression gives at the twentieth minute of the series.
func evaluate(t *testing.T, load, expr string) promql.Vector {
	t.Helper()
	storage := promqltest.LoadedStorage(t, load)
	defer storage.Close()
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 10_000)
	query, err := engine.NewInstantQuery(t.Context(), storage, nil, expr, time.Unix(0, 0).Add(20*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	vector, err := query.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(vector)
}

func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile("../alerts.yaml", false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil {
		t.FailNow()
	}
	rules := make(map[string]rulefmt.Rule)
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			rules[rule.Alert] = rule
		}
	}
	return rules
}

// TestDashboard holds the expressions of the dashboard to the metrics, and its layout to the grid.
func TestDashboard(t *testing.T) {
	t.Parallel()
	type grid struct{ X, Y, W, H int }
	var dashboard struct {
		Templating struct {
			List []struct{ Name, Type, Query string }
		}
		Panels []struct {
			ID          int
			Title       string
			Description string
			GridPos     grid
			Targets     []struct{ Expr string }
		}
	}
	raw, err := os.ReadFile("../dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	known := gather(t)
	variables := []string{"__rate_interval"}
	for _, v := range dashboard.Templating.List {
		variables = append(variables, v.Name)
		if selector := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Query); selector != nil {
			checkExpr(t, "$"+v.Name, fill(selector[1]), known)
			if !slices.Contains(slices.Collect(maps.Keys(known["ginkeycloak_keys_held"])), selector[2]) {
				t.Errorf("$%s: there is no label %s", v.Name, selector[2])
			}
		} else if v.Type == "query" {
			t.Errorf("$%s: what does the query %s do?", v.Name, v.Query)
		}
	}
	ids := make(map[int]bool)
	for i, panel := range dashboard.Panels {
		if panel.Title == "" || panel.Description == "" || len(panel.Targets) == 0 || ids[panel.ID] {
			t.Errorf("panel %d %q: title, description, an expression and an ID of its own are wanted", panel.ID, panel.Title)
		}
		ids[panel.ID] = true
		for _, other := range dashboard.Panels[:i] {
			a, b := panel.GridPos, other.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H || a.X+a.W > 24 {
				t.Errorf("panel %q lies over %q or beyond the grid", panel.Title, other.Title)
			}
		}
		for _, target := range panel.Targets {
			for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				if !slices.Contains(variables, m[1]) {
					t.Errorf("panel %q: there is no variable $%s", panel.Title, m[1])
				}
			}
			checkExpr(t, panel.Title, fill(target.Expr), known)
		}
	}
	if len(dashboard.Panels) == 0 {
		t.Error("dashboard.json has no panels")
	}
}

// fill puts values in the place of Grafana's variables.
func fill(expr string) string {
	return strings.NewReplacer("$__rate_interval", "5m", "$realm", "demo", "$client_id", "orders-api").Replace(expr)
}

// series are the values that each label of a metric has.
type series map[string]map[string]bool

// checkExpr asserts that an expression parses, and that all metrics, labels and values in it exist.
func checkExpr(t *testing.T, where, expr string, known map[string]series) {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	labelsOf := make(map[string]bool)
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		s, ok := known[selector.Name]
		if !ok {
			t.Errorf("%s: there is no metric %s", where, selector.Name)
			return nil
		}
		for label := range s {
			labelsOf[label] = true
		}
		for _, m := range selector.LabelMatchers {
			checkMatcher(t, where, selector.Name, m, s)
		}
		return nil
	})
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if by, ok := node.(*parser.AggregateExpr); ok {
			for _, label := range by.Grouping {
				if !labelsOf[label] && label != "instance" {
					t.Errorf("%s: there is no label %s to aggregate by", where, label)
				}
			}
		}
		return nil
	})
}

// checkMatcher asserts that each of the values that a matcher lists is a value of the label.
func checkMatcher(t *testing.T, where, metric string, m *labels.Matcher, s series) {
	t.Helper()
	if m.Name == model.MetricNameLabel {
		return
	}
	values, ok := s[m.Name]
	if !ok {
		t.Errorf("%s: %s has no label %s", where, metric, m.Name)
		return
	}
	for alternative := range strings.SplitSeq(m.Value, "|") {
		one := labels.MustNewMatcher(labels.MatchRegexp, m.Name, alternative)
		if !slices.ContainsFunc(slices.Collect(maps.Keys(values)), one.Matches) {
			t.Errorf("%s: label %s of %s is never %q", where, m.Name, metric, alternative)
		}
	}
}

// gather returns all series, of both sets of names, as Prometheus sees them after a scrape.
func gather(t *testing.T) map[string]series {
	t.Helper()
	known := make(map[string]series)
	for _, family := range registry(t) {
		names := []string{family.GetName()}
		if family.GetType() == dto.MetricType_HISTOGRAM {
			names = []string{family.GetName() + "_bucket", family.GetName() + "_sum", family.GetName() + "_count"}
		}
		for _, name := range names {
			s := make(series)
			if strings.HasSuffix(name, "_bucket") {
				s["le"] = map[string]bool{"+Inf": true}
			}
			for _, m := range family.GetMetric() {
				for _, l := range m.GetLabel() {
					if s[l.GetName()] == nil {
						s[l.GetName()] = make(map[string]bool)
					}
					s[l.GetName()][l.GetValue()] = true
				}
			}
			known[name] = s
		}
	}
	for _, name := range []string{"ginkeycloak_keys_held", "fc_kc_token_validation_total", "fc_kc_errors_total"} {
		if known[name] == nil {
			t.Errorf("%s was not gathered", name)
		}
	}
	return known
}

// registry returns what is gathered of a plugin that has served a request, and whose trace has been told of every
// outcome.
func registry(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	reg, idp := prometheus.NewPedanticRegistry(), keycloaktest.New(t)
	trace := metrics.New(reg, metrics.WithPythonNames())
	kc, err := ginkeycloak.New(ginkeycloak.WithServerURL(idp.URL()), ginkeycloak.WithRealm(idp.Realm()),
		ginkeycloak.WithClientID("orders-api"), ginkeycloak.WithTrace(trace))
	if err != nil {
		t.Fatal(err)
	}
	defer kc.Close()
	gin.SetMode(gin.ReleaseMode)
	api := gin.New()
	api.GET("/", kc.Middleware())
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+idp.Token())
	for range 2 {
		api.ServeHTTP(httptest.NewRecorder(), r)
	}
	ctx := context.Background()
	for _, code := range append(ginkeycloak.Codes(), "") {
		trace.Authenticated(ctx, ginkeycloak.Authenticated{Method: ginkeycloak.MethodLocal, Code: code})
		trace.Authenticated(ctx, ginkeycloak.Authenticated{Method: ginkeycloak.MethodIntrospection, Code: code})
		trace.Refused(ctx, ginkeycloak.Refused{Code: code})
		trace.Introspected(ctx, ginkeycloak.Introspected{Code: code})
		trace.Refreshed(ctx, ginkeycloak.Refreshed{Code: code})
		trace.CallDone(ctx, ginkeycloak.CallDone{Call: ginkeycloak.CallDiscovery, Code: code})
		trace.CallDone(ctx, ginkeycloak.CallDone{Call: ginkeycloak.CallKeySet, Code: code})
		trace.CallDone(ctx, ginkeycloak.CallDone{Call: ginkeycloak.CallToken, Code: code})
	}
	trace.Introspected(ctx, ginkeycloak.Introspected{Remembered: true})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}
