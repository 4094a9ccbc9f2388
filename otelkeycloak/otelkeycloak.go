// Package otelkeycloak traces what a ginkeycloak.Plugin does with OpenTelemetry:
//
//	kc, err := ginkeycloak.New(
//		ginkeycloak.WithTrace(otelkeycloak.New()),
//		// where Keycloak is, and so on
//	)
//
// Each call to Keycloak gets a client span, named after what is called, with the attributes of the semantic
// conventions for HTTP, and carries the trace context in its header. The span of the request, which a middleware such
// as otelgin starts before, gets as attributes how its token was judged, and an event if it was refused. Nothing of a
// token or a user is in any of them.
package otelkeycloak

import (
	"context"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/c0mpiler/ginkeycloak"
)

// The attributes that no convention names.
const (
	CallKey   = attribute.Key("ginkeycloak.call")   // of a client span: what is called, such as key_set
	MethodKey = attribute.Key("ginkeycloak.method") // of the request's span: local or introspection
	CodeKey   = attribute.Key("ginkeycloak.code")   // of both: why it was refused or failed; ok on the request's span
	CachedKey = attribute.Key("ginkeycloak.cached") // of the request's span: the token was recognised
)

// RefusedEvent is the name of the event on the span of a request that is refused. Its one attribute is CodeKey.
const RefusedEvent = "ginkeycloak.refused"

const scope = "github.com/c0mpiler/ginkeycloak/otelkeycloak"

// An Option configures New.
type Option func(*config)

type config struct {
	provider   trace.TracerProvider
	propagator propagation.TextMapPropagator
}

// WithTracerProvider sets what makes the spans. Default: otel.GetTracerProvider().
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(c *config) {
		if p != nil {
			c.provider = p
		}
	}
}

// WithPropagator sets what writes the trace context, and baggage if it does that, into the header of calls to
// Keycloak. Default: otel.GetTextMapPropagator().
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(c *config) {
		if p != nil {
			c.propagator = p
		}
	}
}

// New returns a trace that makes spans of calls to Keycloak, and notes on the span of a request how it was
// authenticated. Several plugins may share it.
func New(opts ...Option) *ginkeycloak.Trace {
	c := config{provider: otel.GetTracerProvider(), propagator: otel.GetTextMapPropagator()}
	for _, opt := range opts {
		opt(&c)
	}
	t := &tracing{tracer: c.provider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)), propagator: c.propagator}
	return &ginkeycloak.Trace{
		Authenticated: authenticated,
		Refused:       refused,
		CallStarted:   t.callStarted,
		CallDone:      t.callDone,
	}
}

func authenticated(ctx context.Context, e ginkeycloak.Authenticated) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(MethodKey.String(string(e.Method)), CodeKey.String(orOK(e.Code)), CachedKey.Bool(e.Cached))
}

func orOK(code ginkeycloak.Code) string {
	if code == "" {
		return "ok"
	}
	return string(code)
}

// refused adds an event and leaves the status alone: that a server refuses a request is no error of the server, and
// what a middleware makes of 503 is its own affair.
func refused(ctx context.Context, e ginkeycloak.Refused) {
	trace.SpanFromContext(ctx).AddEvent(RefusedEvent, trace.WithAttributes(CodeKey.String(string(e.Code))))
}

type tracing struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
}

// spanKey is the key of a call's span in its context. It has the tracing in it, because another one of the same
// plugin may put a span of its own on top.
type spanKey struct{ *tracing }

func (t *tracing) callStarted(ctx context.Context, e ginkeycloak.CallStarted) context.Context {
	ctx, span := t.tracer.Start(ctx, "keycloak "+string(e.Call),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(describe(e)...))
	t.propagator.Inject(ctx, propagation.HeaderCarrier(e.Header))
	return context.WithValue(ctx, spanKey{t}, span)
}

// describe gives the attributes of the semantic conventions for HTTP clients.
func describe(e ginkeycloak.CallStarted) []attribute.KeyValue {
	attributes := []attribute.KeyValue{CallKey.String(string(e.Call)), semconv.HTTPRequestMethodKey.String(e.Method)}
	u, err := url.Parse(e.URL)
	if err != nil {
		return attributes
	}
	u.User, u.RawQuery, u.Fragment = nil, "", "" // the conventions forbid credentials, and neither is expected here
	attributes = append(attributes, semconv.URLFull(u.String()), semconv.ServerAddress(u.Hostname()))
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if number, err := strconv.Atoi(port); err == nil {
		attributes = append(attributes, semconv.ServerPort(number))
	}
	return attributes
}

func (t *tracing) callDone(ctx context.Context, e ginkeycloak.CallDone) {
	span, ok := ctx.Value(spanKey{t}).(trace.Span)
	if !ok {
		return
	}
	defer span.End()
	if e.Status != 0 {
		span.SetAttributes(semconv.HTTPResponseStatusCode(e.Status))
	}
	if e.Code == "" {
		return // also of 400, by which Keycloak says that a refresh token is not good any more
	}
	kind := string(e.Code)
	if e.Status >= 400 {
		kind = strconv.Itoa(e.Status)
	}
	span.SetAttributes(CodeKey.String(string(e.Code)), semconv.ErrorTypeKey.String(kind))
	span.SetStatus(codes.Error, string(e.Code))
}
