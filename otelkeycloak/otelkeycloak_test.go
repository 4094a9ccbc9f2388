package otelkeycloak_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
	"github.com/c0mpiler/ginkeycloak/otelkeycloak"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

// traced is an API whose requests have spans, as a middleware such as otelgin makes them.
type traced struct {
	*gin.Engine

	keycloak *keycloaktest.Server
	kc       *ginkeycloak.Plugin
	provider *sdktrace.TracerProvider
	spans    *tracetest.SpanRecorder

	mu      sync.Mutex
	parents map[keycloaktest.Endpoint]string // the traceparent of the last call
}

func newTraced(t *testing.T, opts ...ginkeycloak.Option) *traced {
	t.Helper()
	a := &traced{Engine: gin.New(), keycloak: keycloaktest.New(t), spans: tracetest.NewSpanRecorder(), parents: make(map[keycloaktest.Endpoint]string)}
	a.provider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(a.spans))
	t.Cleanup(func() { _ = a.provider.Shutdown(context.Background()) })
	a.keycloak.OnRequest(func(e keycloaktest.Endpoint, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.parents[e] = r.Header.Get("Traceparent")
	})
	kc, err := ginkeycloak.New(append([]ginkeycloak.Option{
		ginkeycloak.WithServerURL(a.keycloak.URL()),
		ginkeycloak.WithRealm(a.keycloak.Realm()),
		ginkeycloak.WithClientID("orders-api"),
		ginkeycloak.WithClientSecret("s3cret"),
		ginkeycloak.WithLogger(slog.New(slog.DiscardHandler)),
		ginkeycloak.WithTrace(otelkeycloak.New(
			otelkeycloak.WithTracerProvider(a.provider), otelkeycloak.WithPropagator(propagation.TraceContext{}))),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kc.Close() })
	a.kc = kc
	a.Use(func(c *gin.Context) {
		ctx, span := a.provider.Tracer("test").Start(c.Request.Context(), "request", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		c.Request = c.Request.WithContext(ctx)
		c.Next()
	}, kc.Middleware())
	a.GET("/me", func(*gin.Context) {})
	a.GET("/admin", kc.RequireRoles("admin"))
	kc.RegisterRefreshRoute(a)
	return a
}

func (a *traced) get(t *testing.T, path, token string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	a.ServeHTTP(httptest.NewRecorder(), r)
}

// take returns the spans that have ended since the last take, by name.
func (a *traced) take(t *testing.T) map[string]sdktrace.ReadOnlySpan {
	t.Helper()
	spans := make(map[string]sdktrace.ReadOnlySpan)
	for _, s := range a.spans.Ended() {
		if _, ok := spans[s.Name()]; ok {
			t.Errorf("there are two spans %q", s.Name())
		}
		spans[s.Name()] = s
	}
	if len(a.spans.Started()) != len(a.spans.Ended()) {
		t.Errorf("%d spans were started and %d ended", len(a.spans.Started()), len(a.spans.Ended()))
	}
	a.spans.Reset()
	return spans
}

func attributes(list []attribute.KeyValue) map[string]any {
	found := make(map[string]any)
	for _, kv := range list {
		found[string(kv.Key)] = kv.Value.AsInterface()
	}
	return found
}

func expect(t *testing.T, what string, got []attribute.KeyValue, want map[string]any) {
	t.Helper()
	if got := attributes(got); !maps.Equal(got, want) {
		t.Errorf("%s: attributes\n%v\nwant\n%v", what, got, want)
	}
}

func TestLocalValidation(t *testing.T) {
	t.Parallel()
	a := newTraced(t)
	address, err := url.Parse(a.keycloak.URL())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseInt(address.Port(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	token := a.keycloak.Token(keycloaktest.ForUser("bob"))
	a.get(t, "/me", token)
	spans := a.take(t)
	if len(spans) != 3 {
		t.Fatalf("the first request has the spans %v, want request, discovery and key set", slices.Collect(maps.Keys(spans)))
	}
	for name, path := range map[string]string{
		"discovery": "/realms/demo/.well-known/openid-configuration", "key_set": "/realms/demo/protocol/openid-connect/certs",
	} {
		span := spans["keycloak "+name]
		expect(t, name, span.Attributes(), map[string]any{
			"ginkeycloak.call": name, "http.request.method": "GET", "url.full": a.keycloak.URL() + path,
			"server.address": address.Hostname(), "server.port": port, "http.response.status_code": int64(200),
		})
		if span.SpanKind() != trace.SpanKindClient || span.Status().Code != codes.Unset {
			t.Errorf("%s: kind %v, status %v, want client and unset", name, span.SpanKind(), span.Status())
		}
		if !strings.Contains(span.InstrumentationScope().SchemaURL, "opentelemetry.io/schemas/") {
			t.Errorf("%s: schema %q", name, span.InstrumentationScope().SchemaURL)
		}
	}
	for endpoint, name := range map[keycloaktest.Endpoint]string{keycloaktest.Discovery: "discovery", keycloaktest.KeySet: "key_set"} {
		checkParent(t, a, endpoint, spans["keycloak "+name])
	}
	expect(t, "first request", spans["request"].Attributes(), map[string]any{
		"ginkeycloak.method": "local", "ginkeycloak.code": "ok", "ginkeycloak.cached": false,
	})

	a.get(t, "/admin", token)
	refused := a.take(t)["request"]
	expect(t, "without the role", refused.Attributes(), map[string]any{
		"ginkeycloak.method": "local", "ginkeycloak.code": "ok", "ginkeycloak.cached": true,
	})
	if events := refused.Events(); len(events) != 1 || events[0].Name != otelkeycloak.RefusedEvent {
		t.Errorf("without the role: events %v, want one that tells of the refusal", events)
	} else {
		expect(t, "the refusal", events[0].Attributes, map[string]any{"ginkeycloak.code": "missing_roles"})
	}
	if refused.Status().Code != codes.Unset {
		t.Errorf("without the role: status %v, want it unset", refused.Status())
	}

	a.get(t, "/me", "")
	expect(t, "without a token", a.take(t)["request"].Attributes(), map[string]any{
		"ginkeycloak.method": "local", "ginkeycloak.code": "missing_header", "ginkeycloak.cached": false,
	})
}

// checkParent asserts that a call carried the context of its span.
func checkParent(t *testing.T, a *traced, endpoint keycloaktest.Endpoint, span sdktrace.ReadOnlySpan) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	ctx := span.SpanContext()
	if got, want := a.parents[endpoint], fmt.Sprintf("00-%s-%s-01", ctx.TraceID(), ctx.SpanID()); got != want {
		t.Errorf("%s: Traceparent %q, want %q", span.Name(), got, want)
	}
}

// A call that a request waits for is a child of the request's span, although it does not end with the request.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	a := newTraced(t, ginkeycloak.WithIntrospection())
	a.get(t, "/me", a.keycloak.Token())
	spans := a.take(t)
	call, request := spans["keycloak introspection"], spans["request"]
	if call == nil || call.Parent().SpanID() != request.SpanContext().SpanID() {
		t.Fatalf("the spans are %v, want the introspection below the request", spans)
	}
	if got := attributes(call.Attributes())["http.request.method"]; got != "POST" {
		t.Errorf("introspection: http.request.method %v, want POST", got)
	}
	checkParent(t, a, keycloaktest.Introspection, call)
	expect(t, "request", request.Attributes(), map[string]any{
		"ginkeycloak.method": "introspection", "ginkeycloak.code": "ok", "ginkeycloak.cached": false,
	})
}

func TestCallsThatFail(t *testing.T) {
	t.Parallel()
	a := newTraced(t, ginkeycloak.WithIntrospection())
	tests := []struct {
		name, code, kind string
		status           any
		fail             func()
	}{
		{"a server error", "keycloak_connection_error", "500", int64(500),
			func() { a.keycloak.Fail(keycloaktest.Introspection, keycloaktest.Status(500)) }},
		{"an answer that is no JSON", "", "", int64(200),
			func() { a.keycloak.Fail(keycloaktest.Introspection, keycloaktest.Answer(200, "text/html", "<html>")) }},
		{"no answer", "keycloak_connection_error", "keycloak_connection_error", nil, a.keycloak.Stop},
	}
	a.get(t, "/me", a.keycloak.Token())
	a.take(t)
	for _, tt := range tests {
		tt.fail()
		a.get(t, "/me", a.keycloak.Token())
		span := a.take(t)["keycloak introspection"]
		if span == nil {
			t.Fatalf("%s: there is no span", tt.name)
		}
		got := attributes(span.Attributes())
		if got["http.response.status_code"] != tt.status {
			t.Errorf("%s: http.response.status_code %v, want %v", tt.name, got["http.response.status_code"], tt.status)
		}
		if tt.code == "" { // the call was fine, what it said was not
			continue
		}
		if got["ginkeycloak.code"] != tt.code || got["error.type"] != tt.kind || span.Status().Code != codes.Error || span.Status().Description != tt.code {
			t.Errorf("%s: attributes %v, status %v, want code %s and error.type %s", tt.name, got, span.Status(), tt.code, tt.kind)
		}
	}
}

// A refresh token that Keycloak does not take any more is an answer like any other.
func TestRefresh(t *testing.T) {
	t.Parallel()
	a := newTraced(t)
	for token, want := range map[string]int64{a.keycloak.RefreshToken(): 200, "nonsense": 400} {
		_, _ = a.kc.Refresh(t.Context(), token)
		span := a.take(t)["keycloak token"]
		if got := attributes(span.Attributes())["http.response.status_code"]; got != want || span.Status().Code != codes.Unset {
			t.Errorf("refresh: status %v and %v, want %d and unset", got, span.Status(), want)
		}
	}
}

// Two traces make two spans for a call, each ended by its own.
func TestSeveralTraces(t *testing.T) {
	t.Parallel()
	other := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(other))
	defer func() { _ = provider.Shutdown(context.Background()) }()
	a := newTraced(t, ginkeycloak.WithTrace(otelkeycloak.New(otelkeycloak.WithTracerProvider(provider))))
	a.get(t, "/me", a.keycloak.Token())
	a.take(t)
	if len(other.Started()) != 2 || len(other.Ended()) != 2 {
		t.Errorf("the other trace started %d spans and ended %d, want 2", len(other.Started()), len(other.Ended()))
	}
}

// Without a provider nothing is recorded, and nothing breaks.
func TestDefaults(t *testing.T) {
	t.Parallel()
	idp := keycloaktest.New(t)
	kc, err := ginkeycloak.New(ginkeycloak.WithServerURL(idp.URL()), ginkeycloak.WithRealm(idp.Realm()), ginkeycloak.WithClientID("orders-api"),
		ginkeycloak.WithTrace(otelkeycloak.New(otelkeycloak.WithTracerProvider(nil), otelkeycloak.WithPropagator(nil))))
	if err != nil {
		t.Fatal(err)
	}
	defer kc.Close()
	if _, err := kc.Authenticate(t.Context(), idp.Token()); err != nil {
		t.Error(err)
	}
}

// Nothing of a token, a user or a secret is in a span, whatever is wrong.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	const mark = "XmarkX"
	a := newTraced(t, ginkeycloak.WithClientSecret(mark), ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOpaque()))
	marked := func(opts ...keycloaktest.TokenOption) string {
		return a.keycloak.Token(append([]keycloaktest.TokenOption{
			keycloaktest.Subject(mark), keycloaktest.Claim("email", mark+"@example.com"), keycloaktest.Claim("name", mark),
			keycloaktest.Claim("preferred_username", mark), keycloaktest.Claim("sid", mark), keycloaktest.RealmRoles(mark),
		}, opts...)...)
	}
	tokens := []string{
		marked(), marked(keycloaktest.ExpiresIn(-time.Hour)), marked(keycloaktest.Audience(mark)), marked(keycloaktest.Issuer(mark)),
		marked(keycloaktest.KeyID(mark)), marked(keycloaktest.Header("alg", mark)), marked() + "AAAA", mark, mark + ", " + mark,
	}
	for _, token := range tokens {
		a.get(t, "/admin", token)
		a.get(t, "/"+mark, token)
	}
	_, _ = a.kc.Refresh(t.Context(), mark)
	a.keycloak.Stop()
	_, _ = a.kc.Refresh(t.Context(), mark)
	trace := otelkeycloak.New(otelkeycloak.WithTracerProvider(a.provider))
	for _, address := range []string{"https://" + mark + ":" + mark + "@sso.example.com/token?" + mark + "#" + mark, mark + "://\x7f"} {
		call := ginkeycloak.CallStarted{Call: ginkeycloak.CallToken, Method: http.MethodPost, URL: address, Header: make(http.Header)}
		trace.CallDone(trace.CallStarted(t.Context(), call), ginkeycloak.CallDone{Call: ginkeycloak.CallToken})
	}
	if len(a.spans.Ended()) < len(tokens) {
		t.Fatalf("there are %d spans", len(a.spans.Ended()))
	}
	for _, stub := range tracetest.SpanStubsFromReadOnlySpans(a.spans.Ended()) {
		if text := fmt.Sprintf("%+v", stub); strings.Contains(text, mark) {
			t.Errorf("the mark is in the span %s", text)
		}
	}
}
