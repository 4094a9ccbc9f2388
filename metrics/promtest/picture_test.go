package promtest

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
	"github.com/c0mpiler/ginkeycloak/metrics"
)

var updatePicture = flag.Bool("update-picture", false, "watch an API for five minutes and draw docs/images/dashboard.svg")

const (
	picture = "../../docs/images/dashboard.svg"
	watched = 5 * time.Minute
	scrape  = 2 * time.Second
)

type panel struct {
	Type, Title string
	GridPos     struct{ X, Y, W, H float64 }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct{ Expr, LegendFormat string }
}

// TestPictureOfTheDashboard holds the picture to the panels of dashboard.json. With -update-picture it draws it: five
// minutes of an API and a fake Keycloak with their bad moments, scraped into Prometheus' storage, the panels' queries
// answered by its engine. Grafana is not involved, and the picture says so.
func TestPictureOfTheDashboard(t *testing.T) {
	raw, err := os.ReadFile("../dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct{ Panels []panel }
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	if *updatePicture {
		svg := draw(t, dashboard.Panels, watch(t))
		if err := os.WriteFile(picture, []byte(svg), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shown, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	var titles, want []string
	for _, m := range regexp.MustCompile(`class="title"[^>]*>([^<]+)<`).FindAllStringSubmatch(string(shown), -1) {
		titles = append(titles, m[1])
	}
	for _, p := range dashboard.Panels {
		want = append(want, escape(p.Title))
	}
	if !slices.Equal(titles, want) {
		t.Errorf("the picture has the panels %q, the dashboard %q; go test -run Picture . -timeout 20m -update-picture draws it", titles, want)
	}
}

// record is what was scraped, and when.
type record struct {
	storage    storage.Queryable
	begin, end time.Time
}

// watch runs an API with traffic, good and bad, and scrapes it.
func watch(t *testing.T) record {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), watched)
	defer stop()
	idp := keycloaktest.New(t, keycloaktest.WithTokenLifespan(20*time.Second))
	idp.Fail(keycloaktest.All, keycloaktest.Slow(15*time.Millisecond)) // a network in between
	reg := prometheus.NewPedanticRegistry()
	kc, err := ginkeycloak.New(ginkeycloak.WithServerURL(idp.URL()), ginkeycloak.WithRealm(idp.Realm()), ginkeycloak.WithClientID("orders-api"),
		ginkeycloak.WithClientSecret("s3cret"), ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOnDemand()), ginkeycloak.WithKeyCache(30*time.Second),
		ginkeycloak.WithTrace(metrics.New(reg)))
	if err != nil {
		t.Fatal(err)
	}
	defer kc.Close()
	gin.SetMode(gin.ReleaseMode)
	api := gin.New()
	api.Use(kc.Middleware())
	api.GET("/orders", func(*gin.Context) {})
	api.GET("/admin", kc.RequireRoles("admin"), func(*gin.Context) {})
	api.GET("/payments", kc.RequireActive(), func(*gin.Context) {})
	kc.RegisterRefreshRoute(api)

	var clients sync.WaitGroup
	every := func(pause time.Duration, do func(n int)) {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				do(n)
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		})
	}
	get := func(path, token string) {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		api.ServeHTTP(httptest.NewRecorder(), r)
	}
	for c := range 8 { // users, each with a token that is renewed
		var token string
		every(50*time.Millisecond, func(n int) {
			if n%(200+10*c) == 0 {
				token = idp.Token(keycloaktest.ForUser("alice"))
			}
			get([]string{"/orders", "/orders", "/orders", "/orders", "/orders", "/orders", "/orders", "/admin", "/orders", "/payments"}[n%10], token)
		})
	}
	every(time.Second, func(int) { get("/admin", idp.Token(keycloaktest.ForUser("bob"))) })
	every(700*time.Millisecond, func(int) { get("/orders", idp.Token(keycloaktest.ExpiresIn(-time.Hour))) })
	every(900*time.Millisecond, func(int) { get("/orders", idp.Token(keycloaktest.Audience("account"))) })
	every(400*time.Millisecond, func(int) {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/auth/refresh", strings.NewReader("refresh_token="+idp.RefreshToken()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		api.ServeHTTP(httptest.NewRecorder(), r)
	})
	every(watched/4, func(n int) { // the bad moments
		switch n {
		case 1:
			idp.RotateKeys()
		case 2:
			idp.Stop()
			time.Sleep(40 * time.Second)
			idp.Restart()
		case 3:
			for i := range 40 { // a flood, one after the other: each waits for its turn to ask
				get("/orders", idp.Token(keycloaktest.KeyID("made-up-"+strconv.Itoa(i))))
			}
		}
	})

	store := promqltest.LoadedStorage(t, "")
	t.Cleanup(func() { store.Close() })
	begin := time.Now()
	for ctx.Err() == nil {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		keep(t, store, families, time.Now())
		time.Sleep(scrape)
	}
	clients.Wait()
	return record{store, begin, time.Now()}
}

// keep stores what was gathered, as a scrape does.
func keep(t *testing.T, store storage.Appendable, families []*dto.MetricFamily, now time.Time) {
	t.Helper()
	into := store.Appender(t.Context())
	add := func(name string, m *dto.Metric, value float64, more ...string) {
		of := labels.NewBuilder(labels.EmptyLabels()).Set(model.MetricNameLabel, name)
		for _, l := range m.GetLabel() {
			of.Set(l.GetName(), l.GetValue())
		}
		for i := 0; i < len(more); i += 2 {
			of.Set(more[i], more[i+1])
		}
		if _, err := into.Append(0, of.Labels(), now.UnixMilli(), value); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetType() {
			case dto.MetricType_HISTOGRAM:
				for _, b := range m.GetHistogram().GetBucket() {
					add(f.GetName()+"_bucket", m, float64(b.GetCumulativeCount()), "le", strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64))
				}
				add(f.GetName()+"_bucket", m, float64(m.GetHistogram().GetSampleCount()), "le", "+Inf")
				add(f.GetName()+"_count", m, float64(m.GetHistogram().GetSampleCount()))
			case dto.MetricType_COUNTER:
				add(f.GetName(), m, m.GetCounter().GetValue())
			default:
				add(f.GetName(), m, m.GetGauge().GetValue())
			}
		}
	}
	if err := into.Commit(); err != nil {
		t.Fatal(err)
	}
}

// line is one series of a panel.
type line struct {
	legend string
	points []promql.FPoint
}

// ask has Prometheus' engine answer a panel's queries over all of the record.
func (r record) ask(t *testing.T, p panel) []line {
	t.Helper()
	engine := promqltest.NewTestEngine(t, false, 10*time.Second, 10_000_000)
	var lines []line
	for _, target := range p.Targets {
		expr := strings.NewReplacer("$__rate_interval", "20s", "$realm", ".*", "$client_id", ".*").Replace(target.Expr)
		query, err := engine.NewRangeQuery(t.Context(), r.storage, nil, expr, r.begin.Add(20*time.Second), r.end, scrape)
		if err != nil {
			t.Fatalf("%s: %v", p.Title, err)
		}
		matrix, err := query.Exec(t.Context()).Matrix()
		if err != nil {
			t.Fatalf("%s: %v", p.Title, err)
		}
		for _, s := range matrix {
			legend := regexp.MustCompile(`{{(\w+)}}`).ReplaceAllStringFunc(target.LegendFormat, func(m string) string {
				return s.Metric.Get(strings.Trim(m, "{}"))
			})
			points := slices.DeleteFunc(slices.Clone(s.Floats), func(p promql.FPoint) bool { return math.IsNaN(p.F) })
			if len(points) > 0 && slices.ContainsFunc(points, func(p promql.FPoint) bool { return p.F != 0 }) || p.Type == "stat" {
				lines = append(lines, line{legend, points})
			}
		}
		query.Close()
	}
	return lines
}

var colours = []string{"#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#b877d9", "#f2495c", "#8ab8ff", "#c0d8ff", "#96d98d", "#ffb357"}

const unitW, unitH, gap, head = 50.0, 28.0, 4.0, 46.0

func draw(t *testing.T, panels []panel, r record) string {
	t.Helper()
	height := head
	for _, p := range panels {
		height = max(height, head+(p.GridPos.Y+p.GridPos.H)*unitH)
	}
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" width="1200" height="%.0f" viewBox="0 0 1200 %[1]v" role="img" aria-label="The panels of metrics/dashboard.json">
<style>text{font:11px system-ui,"DejaVu Sans",sans-serif;fill:#ccccdc}.title{font-size:13px;font-weight:600}.big{font-size:34px}.dim{fill:#8e8e99}</style>
<rect width="1200" height="%[1]v" fill="#111217"/>
<text x="10" y="20" style="font-size:16px;font-weight:600">Keycloak, as the API sees it</text>
<text x="10" y="38" class="dim">metrics/dashboard.json drawn without Grafana: %.0f minutes of an API and a fake Keycloak, queried with Prometheus' engine. Keys are rotated, Keycloak is away for 40 s, tokens of made-up keys come in.</text>
`, height, watched.Minutes())
	for _, p := range panels {
		drawPanel(&svg, p, r.ask(t, p), r)
	}
	svg.WriteString("</svg>\n")
	return svg.String()
}

func drawPanel(svg *strings.Builder, p panel, lines []line, r record) {
	x, y, w, h := p.GridPos.X*unitW+gap, head+p.GridPos.Y*unitH+gap, p.GridPos.W*unitW-2*gap, p.GridPos.H*unitH-2*gap
	fmt.Fprintf(svg, `<rect x="%.0f" y="%.0f" width="%.0f" height="%.0f" rx="2" fill="#181b1f" stroke="#25272c"/><text x="%.0f" y="%.0f" class="title">%s</text>`+"\n",
		x, y, w, h, x+8, y+18, escape(p.Title))
	unit := p.FieldConfig.Defaults.Unit
	if p.Type == "stat" {
		text := "No data"
		if len(lines) > 0 && len(lines[0].points) > 0 {
			text = inUnit(lines[0].points[len(lines[0].points)-1].F, unit)
		}
		fmt.Fprintf(svg, `<text x="%.0f" y="%.0f" class="big" text-anchor="middle" style="fill:#73bf69">%s</text>`+"\n", x+w/2, y+h/2+24, text)
		return
	}
	most := 0.0
	for _, l := range lines {
		for _, point := range l.points {
			most = max(most, point.F)
		}
	}
	if most == 0 {
		most = 1
	}
	left, right, top, bottom := x+64, x+w-10, y+30, y+h-34
	for i := range 5 {
		value := most * float64(i) / 4
		at := bottom - (bottom-top)*float64(i)/4
		fmt.Fprintf(svg, `<line x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f" stroke="#2c2f36"/><text x="%.0f" y="%.1f" text-anchor="end" class="dim">%s</text>`+"\n",
			left, right, at, at, left-6, at+4, inUnit(value, unit))
	}
	span := float64(r.end.UnixMilli() - r.begin.UnixMilli())
	legend := left - 50
	for i, l := range lines {
		colour := colours[i%len(colours)]
		var points strings.Builder
		for _, point := range l.points {
			fmt.Fprintf(&points, "%.1f,%.1f ", left+(right-left)*float64(point.T-r.begin.UnixMilli())/span, bottom-(bottom-top)*point.F/most)
		}
		fmt.Fprintf(svg, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>`+"\n", colour, strings.TrimSpace(points.String()))
		end := legend + 30 + 6.3*float64(len(l.legend))
		if end <= x+w { // as many as there is room for; the lines are all there
			fmt.Fprintf(svg, `<rect x="%.0f" y="%.0f" width="10" height="3" fill="%s"/><text x="%.0f" y="%.0f">%s</text>`+"\n", legend, y+h-15, colour, legend+14, y+h-10, escape(l.legend))
			legend = end
		}
	}
}

// inUnit writes a value as Grafana would.
func inUnit(value float64, unit string) string {
	short := func(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }
	switch {
	case unit == "percentunit":
		return strconv.FormatFloat(100*value, 'f', 0, 64) + " %"
	case unit == "reqps":
		return short(value) + "/s"
	case unit != "s" || value == 0:
		return short(value)
	case value < 0.001:
		return short(value*1e6) + " µs"
	case value < 1:
		return short(value*1e3) + " ms"
	}
	return short(value) + " s"
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes everything
	return b.String()
}
