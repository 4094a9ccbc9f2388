package metrics_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
	"github.com/c0mpiler/ginkeycloak/metrics"
)

// The caller's registry gets the series, and promhttp serves it: on a port that only Prometheus reaches.
func ExampleNew() {
	idp, err := keycloaktest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer idp.Close()

	registry := prometheus.NewRegistry()
	kc, err := ginkeycloak.New(
		ginkeycloak.WithServerURL(idp.URL()),
		ginkeycloak.WithRealm(idp.Realm()),
		ginkeycloak.WithClientID("orders-api"),
		ginkeycloak.WithTrace(metrics.New(registry)),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer kc.Close()

	good, late := idp.Token(), idp.Token(keycloaktest.ExpiresIn(-time.Hour))
	for _, token := range []string{good, good, late} {
		_, _ = kc.Authenticate(context.Background(), token)
	}

	scrape := httptest.NewRecorder() // what Prometheus sees
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(scrape, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/metrics", http.NoBody))
	for line := range strings.Lines(scrape.Body.String()) {
		if strings.HasPrefix(line, "ginkeycloak_authentications_total{") {
			fmt.Print(line)
		}
	}
	// Output:
	// ginkeycloak_authentications_total{cached="false",client_id="orders-api",code="ok",method="local",realm="demo"} 1
	// ginkeycloak_authentications_total{cached="false",client_id="orders-api",code="token_expired",method="local",realm="demo"} 1
	// ginkeycloak_authentications_total{cached="true",client_id="orders-api",code="ok",method="local",realm="demo"} 1
}
