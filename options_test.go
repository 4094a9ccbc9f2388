package ginkeycloak_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// goodAnd is a configuration without mistakes, followed by more options. Of an option that sets one value the last
// one holds.
func goodAnd(more ...ginkeycloak.Option) []ginkeycloak.Option {
	return append([]ginkeycloak.Option{
		ginkeycloak.WithServerURL("https://sso.example.test"), ginkeycloak.WithRealm("demo"),
		ginkeycloak.WithClientID("orders-api"), ginkeycloak.WithLogger(slog.New(slog.DiscardHandler)),
	}, more...)
}

// mistake is what a ConfigError is to say.
type mistake struct {
	option string
	value  any
	phrase string // in Reason
}

// configErrors takes a joined error apart.
func configErrors(t *testing.T, err error) []*ginkeycloak.ConfigError {
	t.Helper()
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("New = %T %v, want joined errors", err, err)
	}
	var all []*ginkeycloak.ConfigError
	for _, err := range joined.Unwrap() {
		e, ok := errors.AsType[*ginkeycloak.ConfigError](err)
		if !ok {
			t.Fatalf("New = %T %v among the joined errors, want *ConfigError only", err, err)
		}
		all = append(all, e)
	}
	return all
}

// judge is New for configurations with mistakes, which are never a reason to panic.
func judge(t *testing.T, opts ...ginkeycloak.Option) (kc *ginkeycloak.Plugin, err error) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("New panics: %v, want an error", r)
		}
	}()
	kc, err = ginkeycloak.New(opts...)
	if kc != nil {
		_ = kc.Close()
	}
	return kc, err
}

func TestMistakesOfTheConfiguration(t *testing.T) {
	t.Parallel()
	const (
		empty = "environment variable"
		isNil = "nil"
	)
	withoutServer := func(more ...ginkeycloak.Option) []ginkeycloak.Option {
		return append([]ginkeycloak.Option{ginkeycloak.WithClientID("orders-api")}, more...)
	}
	ourTransport := &http.Client{Transport: http.DefaultTransport}
	tests := []struct {
		name string
		opts []ginkeycloak.Option
		want []mistake // all there are; none for a good configuration
	}{
		{"good", goodAnd(), nil},
		{"nothing", nil, []mistake{
			{"WithServerURL", nil, "WithIssuer"}, {"WithAudience", nil, "WithClientID"},
		}},
		{"a nil option", goodAnd(nil), []mistake{{"New", nil, isNil}}},

		{"server URL is missing", withoutServer(ginkeycloak.WithRealm("demo")), []mistake{{"WithServerURL", nil, "WithRealm"}}},
		{"server URL is empty", goodAnd(ginkeycloak.WithServerURL("")), []mistake{{"WithServerURL", nil, empty}}},
		{"server URL without scheme", goodAnd(ginkeycloak.WithServerURL("sso.example.test")), []mistake{{"WithServerURL", "sso.example.test", "absolute"}}},
		{"server URL without scheme, with port", goodAnd(ginkeycloak.WithServerURL("localhost:8080")), []mistake{{"WithServerURL", "localhost:8080", "absolute"}}},
		{"server URL without host", goodAnd(ginkeycloak.WithServerURL("https://")), []mistake{{"WithServerURL", "https://", "absolute"}}},
		{"server URL with port only", goodAnd(ginkeycloak.WithServerURL("https://:8443")), []mistake{{"WithServerURL", "https://:8443", "absolute"}}},
		{"server URL of another scheme", goodAnd(ginkeycloak.WithServerURL("ftp://sso.example.test")), []mistake{{"WithServerURL", "ftp://sso.example.test", "http"}}},
		{"server URL that is a path", goodAnd(ginkeycloak.WithServerURL("/auth")), []mistake{{"WithServerURL", "/auth", "absolute"}}},
		{"server URL that is none", goodAnd(ginkeycloak.WithServerURL("https://sso example")), []mistake{{"WithServerURL", nil, "address"}}},
		{"server URL with a line break", goodAnd(ginkeycloak.WithServerURL("https://sso.example.test\n")), []mistake{{"WithServerURL", nil, "white space"}}},
		{"server URL with a fragment", goodAnd(ginkeycloak.WithServerURL("https://sso.example.test/#x")), []mistake{{"WithServerURL", nil, "fragment"}}},
		{"server URL with user", goodAnd(ginkeycloak.WithServerURL("https://u:p@sso.example.test")), []mistake{{"WithServerURL", nil, "credentials"}}},
		{"server URL that has the realm in it", goodAnd(ginkeycloak.WithServerURL("https://sso.example.test/realms/demo")), []mistake{
			{"WithServerURL", "https://sso.example.test/realms/demo", "realm"},
		}},
		{"internal URL is empty", goodAnd(ginkeycloak.WithInternalURL("")), []mistake{{"WithInternalURL", nil, empty}}},
		{"internal URL without scheme", goodAnd(ginkeycloak.WithInternalURL("keycloak:8080")), []mistake{{"WithInternalURL", "keycloak:8080", "absolute"}}},
		{"internal URL with user", goodAnd(ginkeycloak.WithInternalURL("http://u:p@keycloak:8080")), []mistake{{"WithInternalURL", nil, "credentials"}}},
		{"key set URL is empty", goodAnd(ginkeycloak.WithJWKSURL("")), []mistake{{"WithJWKSURL", nil, empty}}},
		{"key set URL that is a path", goodAnd(ginkeycloak.WithJWKSURL("/certs")), []mistake{{"WithJWKSURL", "/certs", "absolute"}}},
		{"key set URL that is a file", goodAnd(ginkeycloak.WithJWKSURL("file:///etc/keys.json")), []mistake{{"WithJWKSURL", "file:///etc/keys.json", "http"}}},

		{"realm is missing", []ginkeycloak.Option{ginkeycloak.WithServerURL("https://sso.example.test"), ginkeycloak.WithClientID("x")}, []mistake{{"WithRealm", nil, "set it"}}},
		{"realm is empty", goodAnd(ginkeycloak.WithRealm("")), []mistake{{"WithRealm", nil, empty}}},
		{"realm is a path", goodAnd(ginkeycloak.WithRealm("realms/demo")), []mistake{{"WithRealm", "realms/demo", "name of a realm"}}},
		{"realm is an address", goodAnd(ginkeycloak.WithRealm("https://x/realms/demo")), []mistake{{"WithRealm", "https://x/realms/demo", "name of a realm"}}},
		{"realm goes up", goodAnd(ginkeycloak.WithRealm("..")), []mistake{{"WithRealm", "..", "name of a realm"}}},
		{"realm stays", goodAnd(ginkeycloak.WithRealm(".")), []mistake{{"WithRealm", ".", "name of a realm"}}},
		{"realm with a query", goodAnd(ginkeycloak.WithRealm("demo?x")), []mistake{{"WithRealm", "demo?x", "name of a realm"}}},
		{"realm that is escaped", goodAnd(ginkeycloak.WithRealm("a%2fb")), []mistake{{"WithRealm", "a%2fb", "name of a realm"}}},
		{"realm with a backslash", goodAnd(ginkeycloak.WithRealm(`a\b`)), []mistake{{"WithRealm", `a\b`, "name of a realm"}}},

		{"issuer list is empty", goodAnd(ginkeycloak.WithIssuer()), []mistake{{"WithIssuer", nil, empty}}},
		{"an issuer is empty", goodAnd(ginkeycloak.WithIssuer("https://sso.example.test/realms/demo", "")), []mistake{{"WithIssuer", nil, empty}}},
		{"issuer alone, empty", withoutServer(ginkeycloak.WithIssuer("")), []mistake{{"WithIssuer", nil, empty}}},
		{"issuer is no address", goodAnd(ginkeycloak.WithIssuer("demo")), []mistake{{"WithIssuer", "demo", "absolute"}}},
		{"issuer alone is no address", withoutServer(ginkeycloak.WithIssuer("ftp://x/realms/demo")), []mistake{{"WithIssuer", "ftp://x/realms/demo", "http"}}},
		{"issuer of another realm", goodAnd(ginkeycloak.WithIssuer("https://sso.example.test/realms/other")), []mistake{
			{"WithIssuer", "https://sso.example.test/realms/other", "one realm"},
		}},
		{"issuers of two realms", withoutServer(ginkeycloak.WithIssuer("https://a.test/realms/demo", "https://a.test/realms/other")), []mistake{
			{"WithIssuer", "https://a.test/realms/other", "one realm"},
		}},
		{"issuers are two names of one realm", withoutServer(ginkeycloak.WithIssuer("https://a.test/realms/demo", "http://b.test/auth/realms/demo")), nil},

		{"client ID is missing", []ginkeycloak.Option{ginkeycloak.WithServerURL("https://sso.example.test"), ginkeycloak.WithRealm("demo")}, []mistake{{"WithAudience", nil, "other APIs"}}},
		{"client ID is empty, audience is set", goodAnd(ginkeycloak.WithClientID(""), ginkeycloak.WithAudience("x")), []mistake{{"WithClientID", nil, empty}}},
		{"client ID is missing, audience is set", []ginkeycloak.Option{
			ginkeycloak.WithServerURL("https://sso.example.test"), ginkeycloak.WithRealm("demo"), ginkeycloak.WithAudience("x"),
		}, nil},
		{"client ID is missing, any audience", []ginkeycloak.Option{
			ginkeycloak.WithServerURL("https://sso.example.test"), ginkeycloak.WithRealm("demo"), ginkeycloak.WithInsecureSkipAudience(),
		}, nil},
		{"audience list is empty", goodAnd(ginkeycloak.WithAudience()), []mistake{{"WithAudience", nil, empty}}},
		{"an audience is empty", goodAnd(ginkeycloak.WithAudience("orders-api", "")), []mistake{{"WithAudience", nil, empty}}},
		{"audience and none", goodAnd(ginkeycloak.WithAudience("x"), ginkeycloak.WithInsecureSkipAudience()), []mistake{{"WithInsecureSkipAudience", nil, "WithAudience"}}},
		{"authorized parties are none", goodAnd(ginkeycloak.WithAuthorizedParties()), []mistake{{"WithAuthorizedParties", nil, empty}}},
		{"an authorized party is empty", goodAnd(ginkeycloak.WithAuthorizedParties("spa", "")), []mistake{{"WithAuthorizedParties", nil, empty}}},

		{"algorithms: none given", goodAnd(ginkeycloak.WithAlgorithms()), []mistake{{"WithAlgorithms", nil, empty}}},
		{"algorithms: an empty one", goodAnd(ginkeycloak.WithAlgorithms("RS256", "")), []mistake{{"WithAlgorithms", nil, empty}}},
		{"algorithms: none", goodAnd(ginkeycloak.WithAlgorithms("none")), []mistake{{"WithAlgorithms", "none", "asymmetric"}}},
		{"algorithms: None", goodAnd(ginkeycloak.WithAlgorithms("None")), []mistake{{"WithAlgorithms", "None", "asymmetric"}}},
		{"algorithms: symmetric ones", goodAnd(ginkeycloak.WithAlgorithms("HS256", "HS384", "HS512")), []mistake{
			{"WithAlgorithms", "HS256", "asymmetric"}, {"WithAlgorithms", "HS384", "asymmetric"}, {"WithAlgorithms", "HS512", "asymmetric"},
		}},
		{"algorithms: other case", goodAnd(ginkeycloak.WithAlgorithms("rs256")), []mistake{{"WithAlgorithms", "rs256", "RS256"}}},
		{"algorithms: of encryption", goodAnd(ginkeycloak.WithAlgorithms("RSA-OAEP")), []mistake{{"WithAlgorithms", "RSA-OAEP", "asymmetric"}}},
		{"algorithms: one bad among good ones", goodAnd(ginkeycloak.WithAlgorithms("RS256", "ES256K", "ES256")), []mistake{{"WithAlgorithms", "ES256K", "asymmetric"}}},
		{"algorithms: in one string", goodAnd(ginkeycloak.WithAlgorithms("RS256,ES256")), []mistake{{"WithAlgorithms", "RS256,ES256", "RS256"}}},

		{"leeway below 0", goodAnd(ginkeycloak.WithLeeway(-time.Nanosecond)), []mistake{{"WithLeeway", -time.Nanosecond, "5m"}}},
		{"leeway 0", goodAnd(ginkeycloak.WithLeeway(0)), nil},
		{"leeway at its most", goodAnd(ginkeycloak.WithLeeway(5 * time.Minute)), nil},
		{"leeway above", goodAnd(ginkeycloak.WithLeeway(5*time.Minute + 1)), []mistake{{"WithLeeway", 5*time.Minute + 1, "5m"}}},
		{"connect time 0", goodAnd(ginkeycloak.WithTimeouts(0, time.Second)), []mistake{{"WithTimeouts", time.Duration(0), "more than 0"}}},
		{"read time 0", goodAnd(ginkeycloak.WithTimeouts(time.Second, 0)), []mistake{{"WithTimeouts", time.Duration(0), "more than 0"}}},
		{"read time below 0", goodAnd(ginkeycloak.WithTimeouts(time.Second, -1)), []mistake{{"WithTimeouts", time.Duration(-1), "more than 0"}}},
		{"both times too long", goodAnd(ginkeycloak.WithTimeouts(time.Hour, 61*time.Second)), []mistake{
			{"WithTimeouts", time.Hour, "1m"}, {"WithTimeouts", 61 * time.Second, "1m"},
		}},
		{"times at their most", goodAnd(ginkeycloak.WithTimeouts(time.Minute, time.Minute)), nil},
		{"key cache too short", goodAnd(ginkeycloak.WithKeyCache(time.Second - 1)), []mistake{{"WithKeyCache", time.Second - 1, "1s"}}},
		{"key cache at its least", goodAnd(ginkeycloak.WithKeyCache(time.Second)), nil},
		{"stale before the cache ends", goodAnd(ginkeycloak.WithMaxStale(time.Minute)), []mistake{{"WithMaxStale", time.Minute, "10m"}}},
		{"key cache beyond the default of stale", goodAnd(ginkeycloak.WithKeyCache(48 * time.Hour)), []mistake{{"WithMaxStale", 24 * time.Hour, "48h"}}},
		{"stale as long as the cache", goodAnd(ginkeycloak.WithMaxStale(time.Hour), ginkeycloak.WithKeyCache(time.Hour)), nil},

		{"HTTP client is nil", goodAnd(ginkeycloak.WithHTTPClient(nil)), []mistake{{"WithHTTPClient", nil, isNil}}},
		{"CAs are nil", goodAnd(ginkeycloak.WithRootCAs(nil)), []mistake{{"WithRootCAs", nil, isNil}}},
		{"transport and CAs", goodAnd(ginkeycloak.WithHTTPClient(ourTransport), ginkeycloak.WithRootCAs(x509.NewCertPool())), []mistake{{"WithHTTPClient", nil, "WithRootCAs"}}},
		{"transport and no verification", goodAnd(ginkeycloak.WithHTTPClient(ourTransport), ginkeycloak.WithInsecureSkipTLSVerify()), []mistake{{"WithHTTPClient", nil, "WithInsecureSkipTLSVerify"}}},
		{"client without transport, and CAs", goodAnd(ginkeycloak.WithHTTPClient(new(http.Client)), ginkeycloak.WithRootCAs(x509.NewCertPool())), nil},
		{"logger is nil", goodAnd(ginkeycloak.WithLogger(nil)), []mistake{{"WithLogger", nil, isNil}}},
		{"clock is nil", goodAnd(ginkeycloak.WithClock(nil)), []mistake{{"WithClock", nil, isNil}}},
		{"error handler is nil", goodAnd(ginkeycloak.WithErrorHandler(nil)), []mistake{{"WithErrorHandler", nil, isNil}}},
		{"an extractor is nil", goodAnd(ginkeycloak.WithTokenExtractor(ginkeycloak.TokenFromForm(), nil)), []mistake{{"WithTokenExtractor", nil, isNil}}},

		{"introspection by a public client", goodAnd(ginkeycloak.WithIntrospection()), []mistake{{"WithIntrospection", nil, "public clients"}}},
		{"introspection remembered for too long", goodAnd(ginkeycloak.WithClientSecret("s"), ginkeycloak.WithIntrospection(ginkeycloak.IntrospectionCache(10, 2*time.Hour))), []mistake{{"WithIntrospection", 2 * time.Hour, "1h"}}},
		{"introspection remembered in no table", goodAnd(ginkeycloak.WithClientSecret("s"), ginkeycloak.WithIntrospection(ginkeycloak.IntrospectionCache(0, time.Minute))), []mistake{{"WithIntrospection", 0, "positive"}}},
		{"introspection: an option is nil", goodAnd(ginkeycloak.WithClientSecret("s"), ginkeycloak.WithIntrospection(nil)), []mistake{{"WithIntrospection", nil, "nil"}}},
		{"client key empty", goodAnd(ginkeycloak.WithClientKey(nil)), []mistake{{"WithClientKey", nil, "empty"}}},
		{"client key that is none", goodAnd(ginkeycloak.WithClientKey([]byte("key"))), []mistake{{"WithClientKey", nil, "PEM or JWK"}}},
		{"refresh replayed for too long", goodAnd(ginkeycloak.WithRefresh(time.Hour)), []mistake{{"WithRefresh", time.Hour, "1m"}}},
		{"refresh replayed for less than nothing", goodAnd(ginkeycloak.WithRefresh(-1)), []mistake{{"WithRefresh", time.Duration(-1), "from 0"}}},
		{"refresh cookie trusts no origin", goodAnd(ginkeycloak.WithRefreshCookie("rt", "app.example.com")), []mistake{{"WithRefreshCookie", "app.example.com", "origin"}}},
		{"token cache of a negative size", goodAnd(ginkeycloak.WithTokenCache(-1, time.Minute)), []mistake{{"WithTokenCache", -1, "negative"}}},
		{"token cache without time", goodAnd(ginkeycloak.WithTokenCache(10, 0)), []mistake{{"WithTokenCache", time.Duration(0), "24h"}}},
		{"trace nil", goodAnd(ginkeycloak.WithTrace(nil)), []mistake{{"WithTrace", nil, "nil"}}},

		{"public routes: none", goodAnd(ginkeycloak.WithPublicRoutes()), []mistake{{"WithPublicRoutes", nil, empty}}},
		{"public routes: an empty one", goodAnd(ginkeycloak.WithPublicRoutes("/health", "")), []mistake{{"WithPublicRoutes", nil, empty}}},
		{"public routes: no slash", goodAnd(ginkeycloak.WithPublicRoutes("health")), []mistake{{"WithPublicRoutes", "health", "GET /health"}}},
		{"public routes: an asterisk", goodAnd(ginkeycloak.WithPublicRoutes("*")), []mistake{{"WithPublicRoutes", "*", "pattern"}}},
		{"public routes: an address", goodAnd(ginkeycloak.WithPublicRoutes("https://x/health")), []mistake{{"WithPublicRoutes", "https://x/health", "pattern"}}},
		{"public routes: a method alone", goodAnd(ginkeycloak.WithPublicRoutes("GET")), []mistake{{"WithPublicRoutes", "GET", "pattern"}}},
		{"public routes: a small method", goodAnd(ginkeycloak.WithPublicRoutes("get /health")), []mistake{{"WithPublicRoutes", "get /health", "method"}}},
		{"public routes: two spaces", goodAnd(ginkeycloak.WithPublicRoutes("GET  /health")), []mistake{{"WithPublicRoutes", "GET  /health", "pattern"}}},
		{"public routes: a space before", goodAnd(ginkeycloak.WithPublicRoutes(" /health")), []mistake{{"WithPublicRoutes", nil, "white space"}}},
		{"public routes: a space behind", goodAnd(ginkeycloak.WithPublicRoutes("/health ")), []mistake{{"WithPublicRoutes", nil, "white space"}}},
		{"public routes: a query", goodAnd(ginkeycloak.WithPublicRoutes("/health?x=1")), []mistake{{"WithPublicRoutes", "/health?x=1", "pattern"}}},
		{"public routes: two methods", goodAnd(ginkeycloak.WithPublicRoutes("GET,HEAD /health", "GET|HEAD /health")), []mistake{
			{"WithPublicRoutes", "GET,HEAD /health", "method"}, {"WithPublicRoutes", "GET|HEAD /health", "method"},
		}},
		{"public routes: good ones", goodAnd(ginkeycloak.WithPublicRoutes("/", "GET /health", "/docs/*any", "/users/:id", "PROPFIND /dav")), nil},

		{"all at once", []ginkeycloak.Option{
			ginkeycloak.WithServerURL("ftp://x"), ginkeycloak.WithRealm("a/b"), ginkeycloak.WithInternalURL("y"), ginkeycloak.WithAlgorithms("none"),
			ginkeycloak.WithLeeway(-1), ginkeycloak.WithTimeouts(0, time.Second), ginkeycloak.WithKeyCache(0), ginkeycloak.WithPublicRoutes("health"),
			ginkeycloak.WithClock(nil), ginkeycloak.WithHTTPClient(ourTransport), ginkeycloak.WithInsecureSkipTLSVerify(), nil,
		}, []mistake{
			{"WithServerURL", "ftp://x", "http"}, {"WithRealm", "a/b", "realm"}, {"WithInternalURL", "y", "absolute"}, {"WithAlgorithms", "none", "asymmetric"},
			{"WithLeeway", time.Duration(-1), "5m"}, {"WithTimeouts", time.Duration(0), "more than 0"}, {"WithKeyCache", time.Duration(0), "1s"},
			{"WithPublicRoutes", "health", "pattern"}, {"WithClock", nil, isNil}, {"WithHTTPClient", nil, "WithInsecureSkipTLSVerify"},
			{"New", nil, isNil}, {"WithAudience", nil, "WithClientID"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			kc, err := judge(t, tt.opts...)
			if (kc != nil) != (len(tt.want) == 0) || (err == nil) != (len(tt.want) == 0) {
				t.Fatalf("New where %s = %v, %v, want a plugin or an error", tt.name, kc, err)
			}
			got := configErrors(t, err)
			for _, want := range tt.want {
				i := slices.IndexFunc(got, func(e *ginkeycloak.ConfigError) bool {
					return e.Option == want.option && reflect.DeepEqual(e.Value, want.value) && strings.Contains(e.Reason, want.phrase)
				})
				if i < 0 {
					t.Errorf("New where %s lacks %s(%v) for %q, has %v", tt.name, want.option, want.value, want.phrase, err)
					continue
				}
				if text := got[i].Error(); !strings.HasPrefix(text, "ginkeycloak: "+want.option) || !strings.HasSuffix(text, got[i].Reason) {
					t.Errorf("text of the error = %q, want package, option and reason", text)
				}
				got = slices.Delete(got, i, i+1)
			}
			for _, e := range got {
				t.Errorf("New where %s also reports %v, want each mistake once and nothing else", tt.name, e)
			}
		})
	}
}

// TestConfigErrorIsFound: errors.As finds the first of the joined errors.
func TestConfigErrorIsFound(t *testing.T) {
	t.Parallel()
	_, err := ginkeycloak.New(goodAnd(ginkeycloak.WithLeeway(time.Hour), ginkeycloak.WithAlgorithms("HS256"))...)
	var first *ginkeycloak.ConfigError
	if !errors.As(err, &first) || first.Option != "WithLeeway" {
		t.Errorf("errors.As of two mistakes = %v, want the one of WithLeeway", first)
	}
	want := "ginkeycloak: WithLeeway(1h0m0s): it must be from 0 to 5m0s"
	if first != nil && first.Error() != want {
		t.Errorf("Error() = %q, want %q", first.Error(), want)
	}
}

// permutations calls f with every order of list.
func permutations[T any](list []T, f func([]T)) {
	var permute func(int)
	permute = func(n int) {
		if n == len(list) {
			f(slices.Clone(list))
			return
		}
		for i := n; i < len(list); i++ {
			list[n], list[i] = list[i], list[n]
			permute(n + 1)
			list[n], list[i] = list[i], list[n]
		}
	}
	permute(0)
}

func TestOrderOfMistakesDoesNotMatter(t *testing.T) {
	t.Parallel()
	opts := []ginkeycloak.Option{
		ginkeycloak.WithServerURL("https://sso.example.test"), ginkeycloak.WithRealm("demo"), ginkeycloak.WithAudience("x"),
		ginkeycloak.WithInsecureSkipAudience(), ginkeycloak.WithIssuer("https://sso.example.test/realms/other"), ginkeycloak.WithKeyCache(48 * time.Hour),
	}
	var first []string
	permutations(opts, func(opts []ginkeycloak.Option) {
		_, err := judge(t, opts...)
		var got []string
		for _, e := range configErrors(t, err) {
			got = append(got, e.Error())
		}
		slices.Sort(got)
		if first == nil {
			first = got
		}
		if len(got) != 3 || !slices.Equal(got, first) {
			t.Fatalf("New with the options in another order = %q, want the same three mistakes %q", got, first)
		}
	})
}

func TestOrderOfOptionsDoesNotMatter(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t, keycloaktest.InMemory(), keycloaktest.WithAlgorithm("ES256"))
	good := srv.Token(keycloaktest.Audience("billing"), keycloaktest.ClientRoles("orders-api", "manage"))
	bad := srv.Token(keycloaktest.Audience("orders-api"))
	opts := []ginkeycloak.Option{
		ginkeycloak.WithServerURL(srv.URL()), ginkeycloak.WithRealm(srv.Realm()), ginkeycloak.WithClientID("orders-api"),
		ginkeycloak.WithAudience("billing"), ginkeycloak.WithHTTPClient(&http.Client{Transport: srv.Transport()}),
	}
	permutations(opts, func(opts []ginkeycloak.Option) {
		kc, err := ginkeycloak.New(append(opts, ginkeycloak.WithAlgorithms("ES256"))...)
		if err != nil {
			t.Fatalf("New in another order = %v", err)
		}
		defer func() { _ = kc.Close() }()
		if u, err := kc.Authenticate(t.Context(), good); err != nil || !u.HasRole("manage") {
			t.Errorf("Authenticate with the options in another order = %v, %v, want a user with the role of the client", u, err)
		}
		if _, err := kc.Authenticate(t.Context(), bad); !errors.Is(err, ginkeycloak.ErrInvalidClaims) {
			t.Errorf("Authenticate for the client ID, where WithAudience names another = %v, want ErrInvalidClaims", err)
		}
	})
}

// TestSecretsAreNeverPrinted: neither by a mistake in the configuration, nor by printing what was configured.
func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	const mark = "hunter2MARK"
	check := func(t *testing.T, what string, v any) {
		t.Helper()
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			text := fmt.Sprintf(format, v)
			for _, hidden := range []string{mark, strings.ToLower(mark), fmt.Sprintf("%x", mark), base64.StdEncoding.EncodeToString([]byte(mark))} {
				if strings.Contains(text, hidden) {
					t.Errorf("%s printed with %s = %s, want no secret in it", what, format, text)
					return
				}
			}
		}
	}
	setters := map[string]func(string) ginkeycloak.Option{
		"WithServerURL": ginkeycloak.WithServerURL, "WithInternalURL": ginkeycloak.WithInternalURL, "WithJWKSURL": ginkeycloak.WithJWKSURL,
		"WithIntrospectionURL": ginkeycloak.WithIntrospectionURL, "WithTokenURL": ginkeycloak.WithTokenURL,
		"WithIssuer": func(s string) ginkeycloak.Option { return ginkeycloak.WithIssuer(s) },
	}
	for _, address := range []string{
		"https://admin:" + mark + "@sso.example.test",
		"https://" + mark + "@sso.example.test",
		"ftp://admin:" + mark + "@sso.example.test",
		"//admin:" + mark + "@sso.example.test",
		"admin:" + mark + "@sso.example.test", // no scheme: "admin" is taken for it
		"admin:" + mark + "@sso.example.test/auth",
		"https:admin:" + mark + "@sso.example.test",
		"https:/admin:" + mark + "@sso.example.test",
		"https//admin:" + mark + "@sso.example.test",
		"https:///admin:" + mark + "@sso.example.test",
		"https://admin:" + mark + "@",
		"https://admin:" + mark + "%zz@sso.example.test",
		"https://admin:" + mark + "@sso.example.test:port",
		"https://sso.example.test/?client_secret=" + mark,
		"https://sso.example.test/#access_token=" + mark,
		"https://sso.example.test\x7f?client_secret=" + mark,
	} {
		for name, set := range setters {
			t.Run(name+"("+strings.ReplaceAll(address, mark, "…")+")", func(t *testing.T) {
				t.Parallel()
				_, err := judge(t, goodAnd(set(address), ginkeycloak.WithClientSecret(mark), ginkeycloak.WithLeeway(-1))...)
				if err == nil {
					t.Fatalf("New with %s of an address with a secret = no error, want one", name)
				}
				check(t, "the joined error", err)
				found := false
				for _, e := range configErrors(t, err) {
					check(t, "an error", e)
					check(t, "a copied error", *e)
					found = found || e.Option == name
				}
				if !found {
					t.Errorf("New with %s of an address with a secret = %v, want a mistake of it", name, err)
				}
			})
		}
	}

	opts := goodAnd(ginkeycloak.WithClientSecret(mark))
	kc, err := ginkeycloak.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kc.Close() })
	check(t, "the plugin", kc)
	check(t, "the plugin in a struct", struct{ KC *ginkeycloak.Plugin }{kc})
	check(t, "what the plugin points to", reflect.ValueOf(kc).Elem())
	check(t, "what its configuration points to", reflect.ValueOf(kc).Elem().FieldByName("cfg").Elem())
	check(t, "the options", opts)
	var buf bytes.Buffer
	slog.New(slog.NewTextHandler(&buf, nil)).Info("started", "plugin", kc)
	slog.New(slog.NewJSONHandler(&buf, nil)).Info("started", "plugin", kc)
	check(t, "the plugin in a log", buf.String())
	if encoded, err := stdjson.Marshal(kc); err == nil {
		check(t, "the plugin as JSON", string(encoded))
	}
}

// TestAddressesOfTheRealm: what people write for the server URL, and where Keycloak is.
func TestAddressesOfTheRealm(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		server []keycloaktest.Option
		opts   func(*keycloaktest.Server) []ginkeycloak.Option
	}{
		{"as it is", nil, func(s *keycloaktest.Server) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(s.URL()), ginkeycloak.WithRealm("demo")}
		}},
		{"with a slash behind", nil, func(s *keycloaktest.Server) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(s.URL() + "/"), ginkeycloak.WithRealm("demo")}
		}},
		{"with slashes behind", nil, func(s *keycloaktest.Server) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(s.URL() + "//"), ginkeycloak.WithRealm("demo")}
		}},
		{"with a large scheme", nil, func(s *keycloaktest.Server) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(strings.Replace(s.URL(), "http:", "HTTP:", 1)), ginkeycloak.WithRealm("demo")}
		}},
		{"/auth", []keycloaktest.Option{keycloaktest.WithBasePath("/auth")}, func(s *keycloaktest.Server) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(s.URL()), ginkeycloak.WithRealm("demo")}
		}},
		{"/auth/", []keycloaktest.Option{keycloaktest.WithBasePath("/auth")}, func(s *keycloaktest.Server) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(s.URL() + "/"), ginkeycloak.WithRealm("demo")}
		}},
		{"two segments", []keycloaktest.Option{keycloaktest.WithBasePath("/iam/sso")}, func(s *keycloaktest.Server) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(s.URL()), ginkeycloak.WithRealm("demo")}
		}},
		{"issuer alone", nil, func(s *keycloaktest.Server) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithIssuer(s.Issuer())}
		}},
		{"issuer alone, /auth", []keycloaktest.Option{keycloaktest.WithBasePath("/auth")}, func(s *keycloaktest.Server) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithIssuer(s.Issuer())}
		}},
		{"issuer with realm", nil, func(s *keycloaktest.Server) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithIssuer(s.Issuer()), ginkeycloak.WithRealm("demo")}
		}},
		{"everything", nil, func(s *keycloaktest.Server) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(s.URL()), ginkeycloak.WithIssuer(s.Issuer()), ginkeycloak.WithRealm("demo")}
		}},
		{"the key set's address", nil, func(s *keycloaktest.Server) []ginkeycloak.Option {
			s.Fail(keycloaktest.Discovery, keycloaktest.Hangup()) // not needed then
			return []ginkeycloak.Option{ginkeycloak.WithIssuer(s.Issuer()), ginkeycloak.WithJWKSURL(s.Issuer() + "/protocol/openid-connect/certs")}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := keycloaktest.New(t, append(tt.server, keycloaktest.WithRealm("demo"))...)
			kc, err := ginkeycloak.New(append(tt.opts(srv), ginkeycloak.WithClientID("orders-api"), ginkeycloak.WithLogger(slog.New(slog.DiscardHandler)))...)
			if err != nil {
				t.Fatalf("New where the address is %s: %v", tt.name, err)
			}
			t.Cleanup(func() { _ = kc.Close() })
			a := (&api{keycloak: srv, kc: kc}).behind(kc.Middleware())
			checkKind(t, "a good token", a.get(t, "/guarded", srv.Token()), kindOK)
			checkKind(t, "no token", a.get(t, "/guarded", ""), kindNone)
			checkKind(t, "another issuer", a.get(t, "/guarded", srv.Token(keycloaktest.Issuer(srv.Issuer()+"2"))), kindTok)
		})
	}
}

func TestRealmNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ realm, inIssuer, inChallenge string }{
		{"demo", "demo", "demo"},
		{"Demo-1_x.y", "Demo-1_x.y", "Demo-1_x.y"},
		{"my realm", "my%20realm", "my realm"},
		{"köln", "k%C3%B6ln", "k??ln"}, // a header has room for ASCII only
		{`say "hi"`, "say%20%22hi%22", `say \"hi\"`},
		{"a;b&c=d", "a;b&c=d", "a;b&c=d"},
	} {
		t.Run(tt.realm, func(t *testing.T) {
			t.Parallel()
			srv := keycloaktest.New(t, keycloaktest.InMemory(), keycloaktest.WithRealm(tt.realm),
				keycloaktest.WithIssuer("http://keycloak.test/realms/"+tt.inIssuer))
			a := newAPIFor(t, srv, ginkeycloak.WithHTTPClient(&http.Client{Transport: srv.Transport()}))
			if got := a.get(t, "/me", srv.Token()); got.status != 200 {
				t.Errorf("GET /me with a token of realm %q = %d %s, want 200", tt.realm, got.status, got.body)
			}
			got := a.get(t, "/me", "").header.Get("WWW-Authenticate")
			if want := `Bearer realm="` + tt.inChallenge + `"`; got != want {
				t.Errorf("challenge of realm %q = %q, want %q", tt.realm, got, want)
			}
		})
	}
}

func TestIssuersAndAudiences(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	const alias = "https://sso.example.test/realms/demo"
	many := []ginkeycloak.Option{ginkeycloak.WithIssuer(srv.Issuer(), alias), ginkeycloak.WithAudience("a"), ginkeycloak.WithAudience("b", "c")}
	tests := []struct {
		name  string
		opts  []ginkeycloak.Option
		token []keycloaktest.TokenOption
		want  ginkeycloak.Code
	}{
		{"default, its own", nil, nil, ""},
		{"default, another issuer", nil, []keycloaktest.TokenOption{keycloaktest.Issuer(alias)}, ginkeycloak.CodeInvalidClaims},
		{"default, another audience", nil, []keycloaktest.TokenOption{keycloaktest.Audience("billing")}, ginkeycloak.CodeInvalidClaims},
		{"default, its audience among others", nil, []keycloaktest.TokenOption{keycloaktest.Audience("billing", "orders-api")}, ""},
		{"default, no audience", nil, []keycloaktest.TokenOption{keycloaktest.WithoutClaim("aud")}, ginkeycloak.CodeMissingClaim},
		{"several, first issuer and audience", many, []keycloaktest.TokenOption{keycloaktest.Audience("a")}, ""},
		{"several, last issuer and audience", many, []keycloaktest.TokenOption{keycloaktest.Issuer(alias), keycloaktest.Audience("c")}, ""},
		{"several, the client ID counts no more", many, []keycloaktest.TokenOption{keycloaktest.Audience("orders-api")}, ginkeycloak.CodeInvalidClaims},
		{"several, an issuer with a slash more", many, []keycloaktest.TokenOption{keycloaktest.Issuer(alias + "/"), keycloaktest.Audience("a")}, ginkeycloak.CodeInvalidClaims},
		{"several, an issuer of other case", many, []keycloaktest.TokenOption{keycloaktest.Issuer(strings.ToUpper(alias)), keycloaktest.Audience("a")}, ginkeycloak.CodeInvalidClaims},
		{"an issuer in place of the default", []ginkeycloak.Option{ginkeycloak.WithIssuer(alias)}, []keycloaktest.TokenOption{keycloaktest.Issuer(alias)}, ""},
		{"an issuer in place of the default, the default", []ginkeycloak.Option{ginkeycloak.WithIssuer(alias)}, nil, ginkeycloak.CodeInvalidClaims},
		{"any audience, another", []ginkeycloak.Option{ginkeycloak.WithInsecureSkipAudience()}, []keycloaktest.TokenOption{keycloaktest.Audience("billing")}, ""},
		{"any audience, none", []ginkeycloak.Option{ginkeycloak.WithInsecureSkipAudience()}, []keycloaktest.TokenOption{keycloaktest.WithoutClaim("aud")}, ""},
		{"any audience, another issuer", []ginkeycloak.Option{ginkeycloak.WithInsecureSkipAudience()}, []keycloaktest.TokenOption{keycloaktest.Issuer(alias)}, ginkeycloak.CodeInvalidClaims},
		{"authorized party, the one", []ginkeycloak.Option{ginkeycloak.WithAuthorizedParties("orders-api")}, nil, ""},
		{"authorized party, one of two", []ginkeycloak.Option{ginkeycloak.WithAuthorizedParties("x"), ginkeycloak.WithAuthorizedParties("spa")},
			[]keycloaktest.TokenOption{keycloaktest.ForClient("spa")}, ""},
		{"authorized party, another", []ginkeycloak.Option{ginkeycloak.WithAuthorizedParties("spa")}, nil, ginkeycloak.CodeInvalidClaims},
		{"authorized party, none in the token", []ginkeycloak.Option{ginkeycloak.WithAuthorizedParties("spa")},
			[]keycloaktest.TokenOption{keycloaktest.WithoutClaim("azp")}, ginkeycloak.CodeInvalidClaims},
		{"authorized party by default, any", nil, []keycloaktest.TokenOption{keycloaktest.ForClient("spa")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPIFor(t, srv, tt.opts...)
			got := a.get(t, "/me", srv.Token(tt.token...))
			if got.code != tt.want || got.ran != (tt.want == "") {
				t.Errorf("GET /me where %s = %d %s, want %q", tt.name, got.status, got.body, tt.want)
			}
		})
	}
}

// TestInternalURL: the public name of Keycloak does not resolve here; everything goes to the internal one.
func TestInternalURL(t *testing.T) {
	t.Parallel()
	const public = "https://sso.example.test"
	dynamic := func(s *keycloaktest.Server, basePath string) { // hostname-backchannel-dynamic: endpoints as they were asked for
		s.Fail(keycloaktest.Discovery, keycloaktest.Edited(func(body map[string]any) {
			body["jwks_uri"] = strings.TrimSuffix(s.URL(), basePath) + basePath + "/realms/demo/protocol/openid-connect/certs"
		}))
	}
	tests := []struct {
		name       string
		publicPath string                                                         // behind the public name
		basePath   string                                                         // behind the internal one
		opts       func(s *keycloaktest.Server, bare string) []ginkeycloak.Option // bare is the internal address without a path
	}{
		{"no path on either side", "", "", func(s *keycloaktest.Server, bare string) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(public), ginkeycloak.WithInternalURL(bare)}
		}},
		{"a slash on both sides", "", "", func(s *keycloaktest.Server, bare string) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(public + "/"), ginkeycloak.WithInternalURL(bare + "/")}
		}},
		{"/auth on both sides", "/auth", "/auth", func(s *keycloaktest.Server, bare string) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(public + "/auth"), ginkeycloak.WithInternalURL(bare + "/auth")}
		}},
		{"/auth on both sides, said once", "/auth", "/auth", func(s *keycloaktest.Server, bare string) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(public + "/auth"), ginkeycloak.WithInternalURL(bare)}
		}},
		{"/auth inside only", "", "/auth", func(s *keycloaktest.Server, bare string) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(public), ginkeycloak.WithInternalURL(bare + "/auth/")}
		}},
		{"different paths", "/login", "/auth", func(s *keycloaktest.Server, bare string) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(public + "/login"), ginkeycloak.WithInternalURL(bare + "/auth")}
		}},
		{"issuer alone", "", "", func(s *keycloaktest.Server, bare string) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithIssuer(public + "/realms/demo"), ginkeycloak.WithInternalURL(bare)}
		}},
		{"issuer alone, /auth on both sides", "/auth", "/auth", func(s *keycloaktest.Server, bare string) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithIssuer(public + "/auth/realms/demo"), ginkeycloak.WithInternalURL(bare)}
		}},
		{"issuer alone, /auth inside only", "", "/auth", func(s *keycloaktest.Server, bare string) []ginkeycloak.Option {
			return []ginkeycloak.Option{ginkeycloak.WithIssuer(public + "/realms/demo"), ginkeycloak.WithInternalURL(bare + "/auth")}
		}},
		{"the document prints the internal host", "", "", func(s *keycloaktest.Server, bare string) []ginkeycloak.Option {
			dynamic(s, "")
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(public), ginkeycloak.WithInternalURL(bare)}
		}},
		{"the document prints the internal host and path", "", "/auth", func(s *keycloaktest.Server, bare string) []ginkeycloak.Option {
			dynamic(s, "/auth")
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(public), ginkeycloak.WithInternalURL(bare + "/auth")}
		}},
		{"the document names the internal issuer", "", "", func(s *keycloaktest.Server, bare string) []ginkeycloak.Option {
			s.Fail(keycloaktest.Discovery, keycloaktest.Edited(func(body map[string]any) {
				body["issuer"] = bare + "/realms/demo"
				body["jwks_uri"] = bare + "/realms/demo/protocol/openid-connect/certs"
			}))
			return []ginkeycloak.Option{ginkeycloak.WithServerURL(public), ginkeycloak.WithInternalURL(bare)}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := keycloaktest.New(t, keycloaktest.WithBasePath(tt.basePath), keycloaktest.WithIssuer(public+tt.publicPath+"/realms/demo"))
			opts := tt.opts(srv, strings.TrimSuffix(srv.URL(), tt.basePath))
			kc, err := ginkeycloak.New(append(opts, ginkeycloak.WithRealm("demo"), ginkeycloak.WithClientID("orders-api"),
				ginkeycloak.WithErrorDetails(true), ginkeycloak.WithLogger(slog.New(slog.DiscardHandler)))...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = kc.Close() })
			a := (&api{keycloak: srv, kc: kc}).behind(kc.Middleware())
			if got := a.get(t, "/guarded", srv.Token()); got.status != 200 {
				t.Errorf("a token of the public issuer where %s = %d %s, want 200", tt.name, got.status, got.body)
			}
			if got := a.get(t, "/guarded", srv.Token(keycloaktest.Issuer(srv.URL()+"/realms/demo"))); got.code != ginkeycloak.CodeInvalidClaims {
				t.Errorf("a token of the internal issuer where %s = %d %s, want invalid_claims", tt.name, got.status, got.body)
			}
			if d, k := srv.Calls(keycloaktest.Discovery), srv.Calls(keycloaktest.KeySet); d != 1 || k != 1 {
				t.Errorf("%d discoveries and %d key fetches at the internal address, want 1 and 1", d, k)
			}
		})
	}
}

// TestDocumentMayNotSendUsElsewhere: whoever can change the discovery document must not choose our keys.
func TestDocumentMayNotSendUsElsewhere(t *testing.T) {
	t.Parallel()
	thief := keycloaktest.New(t)
	certs := thief.Issuer() + "/protocol/openid-connect/certs"
	tests := []struct {
		name string
		edit func(map[string]any)
	}{
		{"keys on another host", func(b map[string]any) { b["jwks_uri"] = certs }},
		{"keys on another scheme", func(b map[string]any) { b["jwks_uri"] = strings.Replace(b["jwks_uri"].(string), "http:", "https:", 1) }},
		{"keys behind a user", func(b map[string]any) {
			b["jwks_uri"] = strings.Replace(b["jwks_uri"].(string), "//", "//sso.example.test@", 1)
		}},
		{"no keys", func(b map[string]any) { delete(b, "jwks_uri") }},
		{"keys at a path", func(b map[string]any) { b["jwks_uri"] = "/certs" }},
		{"another issuer", func(b map[string]any) { b["issuer"] = thief.Issuer() }},
		{"no issuer", func(b map[string]any) { delete(b, "issuer") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			a.keycloak.Fail(keycloaktest.Discovery, keycloaktest.Edited(tt.edit))
			got := a.get(t, "/me", a.keycloak.Token())
			checkKind(t, tt.name, got, kindDown)
			if got.code != ginkeycloak.CodeConfig {
				t.Errorf("GET /me where the document has %s = %q, want keycloak_config_error", tt.name, got.code)
			}
		})
	}
	if got := thief.Calls(keycloaktest.All); got != 0 {
		t.Errorf("the other host was asked %d times, want never", got)
	}
}

func TestEveryAlgorithmWorks(t *testing.T) {
	t.Parallel()
	all := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	for _, alg := range all {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			srv := keycloaktest.New(t, keycloaktest.WithAlgorithm(alg))
			token := srv.Token()
			checkKind(t, alg+" alone", newAPIFor(t, srv, ginkeycloak.WithAlgorithms(alg)).get(t, "/me", token), kindOK)
			checkKind(t, alg+" among all", newAPIFor(t, srv, ginkeycloak.WithAlgorithms(all[:5]...), ginkeycloak.WithAlgorithms(all[5:]...)).get(t, "/me", token), kindOK)

			want := kindTok
			if alg == "RS256" {
				want = kindOK
			}
			checkKind(t, alg+" by default", newAPIFor(t, srv).get(t, "/me", token), want)
			others := slices.DeleteFunc(slices.Clone(all), func(other string) bool { return other == alg })
			got := newAPIFor(t, srv, ginkeycloak.WithAlgorithms(others...)).get(t, "/me", token)
			checkKind(t, alg+" with all others allowed", got, kindTok)
			if got.code != ginkeycloak.CodeInvalidAlgorithm {
				t.Errorf("a token of %s with %q allowed = %q, want invalid_algorithm", alg, others, got.code)
			}
		})
	}
}

func TestLeewayIsWhatTheOptionSays(t *testing.T) {
	t.Parallel()
	base := time.Now().Truncate(time.Second)
	clock := func() time.Time { return base }
	srv := keycloaktest.New(t, keycloaktest.WithClock(clock))
	tests := []struct {
		name   string
		leeway ginkeycloak.Option // nil for the default
		most   time.Duration      // how long ago a token may have expired, not included
	}{
		{"default", nil, 30 * time.Second},
		{"none", ginkeycloak.WithLeeway(0), 0},
		{"two minutes", ginkeycloak.WithLeeway(2 * time.Minute), 2 * time.Minute},
		{"five minutes", ginkeycloak.WithLeeway(5 * time.Minute), 5 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := []ginkeycloak.Option{ginkeycloak.WithClock(clock)}
			if tt.leeway != nil {
				opts = append(opts, tt.leeway)
			}
			a := newAPIFor(t, srv, opts...)
			for _, row := range []struct {
				name  string
				token keycloaktest.TokenOption
				want  ginkeycloak.Code
			}{
				{"expired a second less than that ago", keycloaktest.ExpiresIn(time.Second - tt.most), ""},
				{"expired just that long ago", keycloaktest.ExpiresIn(-tt.most), ginkeycloak.CodeTokenExpired},
				{"valid in that time", keycloaktest.NotBeforeIn(tt.most), ""},
				{"valid a second later", keycloaktest.NotBeforeIn(tt.most + time.Second), ginkeycloak.CodeTokenNotYetValid},
				{"issued in that time", keycloaktest.IssuedIn(tt.most), ""},
				{"issued a second later", keycloaktest.IssuedIn(tt.most + time.Second), ginkeycloak.CodeTokenNotYetValid},
			} {
				if got := a.get(t, "/me", srv.Token(row.token)); got.code != row.want {
					t.Errorf("leeway %v, a token %s = %d %q, want %q", tt.most, row.name, got.status, got.code, row.want)
				}
			}
		})
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	token := srv.Token() // for five minutes
	for _, tt := range []struct {
		off  time.Duration
		want ginkeycloak.Code
	}{
		{0, ""}, {time.Hour, ginkeycloak.CodeTokenExpired}, {-time.Hour, ginkeycloak.CodeTokenNotYetValid},
	} {
		a := newAPIFor(t, srv, ginkeycloak.WithClock(func() time.Time { return time.Now().Add(tt.off) }))
		if got := a.get(t, "/me", token); got.code != tt.want {
			t.Errorf("GET /me with a clock that is %v off = %d %q, want %q", tt.off, got.status, got.code, tt.want)
		}
	}
}

func TestHTTPClient(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	var asked []string
	client := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		return srv.Transport().RoundTrip(r)
	})}
	a := newAPIFor(t, srv, ginkeycloak.WithHTTPClient(client))
	checkKind(t, "a good token", a.get(t, "/me", srv.Token()), kindOK)
	want := []string{"GET /realms/demo/.well-known/openid-configuration", "GET /realms/demo/protocol/openid-connect/certs"}
	if !slices.Equal(asked, want) {
		t.Errorf("the client of WithHTTPClient was asked for %q, want %q", asked, want)
	}
	if client.CheckRedirect != nil {
		t.Error("the client of WithHTTPClient was changed, want it left alone: it is the user's")
	}
}

// TestHTTPClientFollowsOurRedirectRule: a client's own rule does not open the door to other hosts.
func TestHTTPClientFollowsOurRedirectRule(t *testing.T) {
	t.Parallel()
	thief := keycloaktest.New(t)
	a := newAPI(t, ginkeycloak.WithHTTPClient(&http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
	}))
	a.keycloak.Fail(keycloaktest.KeySet, keycloaktest.RedirectTo(thief.Issuer()+"/protocol/openid-connect/certs"))
	got := a.get(t, "/me", a.keycloak.Token())
	checkKind(t, "redirected", got, kindDown)
	if got.code != ginkeycloak.CodeConfig || thief.Calls(keycloaktest.All) != 0 {
		t.Errorf("a key set that redirects to another host = %q after %d calls there, want keycloak_config_error and none", got.code, thief.Calls(keycloaktest.All))
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	rootCAs := func(s *keycloaktest.Server) ginkeycloak.Option { return ginkeycloak.WithRootCAs(s.RootCAs()) }
	skip := func(*keycloaktest.Server) ginkeycloak.Option { return ginkeycloak.WithInsecureSkipTLSVerify() }
	system := func(*keycloaktest.Server) ginkeycloak.Option { return ginkeycloak.WithLeeway(0) } // nothing about TLS
	bare := func(*keycloaktest.Server) ginkeycloak.Option { return ginkeycloak.WithHTTPClient(new(http.Client)) }
	tests := []struct {
		name string
		kind keycloaktest.TLSKind
		opt  func(*keycloaktest.Server) ginkeycloak.Option
		want ginkeycloak.Code
	}{
		{"valid, CA given", keycloaktest.Valid, rootCAs, ""},
		{"valid, CA of the system", keycloaktest.Valid, system, ginkeycloak.CodeCertUntrusted},
		{"valid, client without transport", keycloaktest.Valid, bare, ginkeycloak.CodeCertUntrusted},
		{"expired", keycloaktest.Expired, rootCAs, ginkeycloak.CodeCertExpired},
		{"unknown CA", keycloaktest.UnknownCA, rootCAs, ginkeycloak.CodeCertUntrusted},
		{"wrong host", keycloaktest.WrongHost, rootCAs, ginkeycloak.CodeHostnameMismatch},
		{"TLS 1.0", keycloaktest.Outdated, rootCAs, ginkeycloak.CodeConnection},
		{"a client certificate is wanted", keycloaktest.WantsClientCertificate, rootCAs, ginkeycloak.CodeConnection},
		{"valid, not verified", keycloaktest.Valid, skip, ""},
		{"expired, not verified", keycloaktest.Expired, skip, ""},
		{"unknown CA, not verified", keycloaktest.UnknownCA, skip, ""},
		{"wrong host, not verified", keycloaktest.WrongHost, skip, ""},
		{"TLS 1.0, not verified", keycloaktest.Outdated, skip, ginkeycloak.CodeConnection},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := keycloaktest.New(t, keycloaktest.WithTLS(tt.kind))
			a := newAPIFor(t, srv, tt.opt(srv))
			got := a.get(t, "/me", srv.Token())
			want := kindDown
			if tt.want == "" {
				want = kindOK
			}
			checkKind(t, tt.name, got, want)
			if got.code != tt.want {
				t.Errorf("GET /me where Keycloak's certificate is %s = %q, want %q", tt.name, got.code, tt.want)
			}
			if tt.want != "" && !strings.Contains(a.log.String(), "level=WARN") {
				t.Errorf("log where Keycloak's certificate is %s = %s, want a warning", tt.name, a.log.String())
			}
		})
	}
}

// TestRootCAsWithAClientOfOnesOwn: the client lends what it has, the pool the rest.
func TestRootCAsWithAClientOfOnesOwn(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t, keycloaktest.WithTLS(keycloaktest.Valid))
	a := newAPIFor(t, srv, ginkeycloak.WithRootCAs(srv.RootCAs()), ginkeycloak.WithHTTPClient(&http.Client{Timeout: time.Minute}))
	checkKind(t, "CAs and a client without transport", a.get(t, "/me", srv.Token()), kindOK)
}

func TestSkippedTLSVerificationWarnsAtEveryStart(t *testing.T) {
	t.Parallel()
	log := new(logBuffer)
	for start := range 3 {
		kc, err := ginkeycloak.New(goodAnd(ginkeycloak.WithInsecureSkipTLSVerify(), ginkeycloak.WithLogger(log.logger()))...)
		if err != nil {
			t.Fatal(err)
		}
		_ = kc.Close()
		if got := strings.Count(log.String(), "level=WARN"); got != start+1 || !strings.Contains(log.String(), "WithInsecureSkipTLSVerify") {
			t.Errorf("log after %d starts without verification = %s, want a warning for each", start+1, log.String())
		}
	}
	quiet := new(logBuffer)
	kc, err := ginkeycloak.New(goodAnd(ginkeycloak.WithLogger(quiet.logger()))...)
	if err != nil {
		t.Fatal(err)
	}
	_ = kc.Close()
	if got := quiet.String(); got != "" {
		t.Errorf("log of a start with verification = %s, want nothing", got)
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		endpoint keycloaktest.Endpoint
		fault    keycloaktest.Fault
	}{
		"discovery hangs":     {keycloaktest.Discovery, keycloaktest.Hang()},
		"key set hangs":       {keycloaktest.KeySet, keycloaktest.Hang()},
		"key set stalls":      {keycloaktest.KeySet, keycloaktest.Stalled()},
		"key set is too slow": {keycloaktest.KeySet, keycloaktest.Slow(time.Minute)},
	} {
		for client, opts := range map[string][]ginkeycloak.Option{
			"our client":  nil,
			"another one": {ginkeycloak.WithHTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}})},
		} {
			t.Run(name+", "+client, func(t *testing.T) {
				t.Parallel()
				a := newAPI(t, append(opts, ginkeycloak.WithTimeouts(50*time.Millisecond, 50*time.Millisecond))...)
				a.keycloak.Fail(fault.endpoint, fault.fault)
				begin := time.Now()
				got := a.get(t, "/me", a.keycloak.Token())
				checkKind(t, name, got, kindDown)
				if took := time.Since(begin); got.code != ginkeycloak.CodeConnection || took > 30*time.Second {
					t.Errorf("GET /me with time limits of 50ms where the %s = %q after %v, want keycloak_connection_error at once", name, got.code, took)
				}
			})
		}
	}
	a := newAPI(t, ginkeycloak.WithTimeouts(time.Second, time.Minute))
	a.keycloak.Fail(keycloaktest.KeySet, keycloaktest.Slow(10*time.Millisecond))
	checkKind(t, "slow, within the limits", a.get(t, "/me", a.keycloak.Token()), kindOK)
}

func TestErrorHandler(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		handler    ginkeycloak.ErrorHandler
		wantStatus int // 0 for the refusal's own
		wantBody   string
		wantType   string
	}{
		{"replaces the body", func(c *gin.Context, err *ginkeycloak.Error) {
			c.String(c.Writer.Status(), "no: %s", err.Code)
		}, 0, "no: ", "text/plain; charset=utf-8"},
		{"writes JSON of its own", func(c *gin.Context, err *ginkeycloak.Error) {
			c.JSON(err.Status(), gin.H{"title": err.Message()})
		}, 0, `{"title":"`, "application/json; charset=utf-8"},
		{"does nothing", func(*gin.Context, *ginkeycloak.Error) {}, 0, "", ""},
		{"sets a header only", func(c *gin.Context, _ *ginkeycloak.Error) { c.Header("X-Help", "yes") }, 0, "", ""},
		{"calls Next", func(c *gin.Context, _ *ginkeycloak.Error) { c.Next() }, 0, "", ""},
		{"calls Next often", func(c *gin.Context, _ *ginkeycloak.Error) {
			for range 50 {
				c.Next()
			}
		}, 0, "", ""},
		{"writes, then calls Next", func(c *gin.Context, _ *ginkeycloak.Error) {
			c.String(c.Writer.Status(), "no: ")
			c.Next()
		}, 0, "no: ", "text/plain; charset=utf-8"},
		{"writes 200", func(c *gin.Context, _ *ginkeycloak.Error) { c.String(http.StatusOK, "fine") }, 200, "fine", "text/plain; charset=utf-8"},
		{"sets 200", func(c *gin.Context, _ *ginkeycloak.Error) { c.Status(http.StatusOK) }, 200, "", ""},
		{"redirects to a login", func(c *gin.Context, _ *ginkeycloak.Error) { c.Redirect(http.StatusFound, "/login") }, 302, "", ""},
		{"aborts once more", func(c *gin.Context, err *ginkeycloak.Error) { c.AbortWithStatus(http.StatusTeapot) }, 418, "", ""},
		{"adds to the errors", func(c *gin.Context, err *ginkeycloak.Error) { _ = c.Error(err) }, 0, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, ginkeycloak.WithErrorHandler(tt.handler))
			good, bad := a.keycloak.Token(), a.keycloak.Token(keycloaktest.ExpiresIn(-time.Hour))
			for place, row := range map[string]struct {
				handlers []gin.HandlerFunc
				token    string
				status   int
			}{
				"Middleware":         {[]gin.HandlerFunc{a.kc.Middleware()}, "", 401},
				"OptionalMiddleware": {[]gin.HandlerFunc{a.kc.OptionalMiddleware()}, bad, 401},
				"RequireRoles":       {[]gin.HandlerFunc{a.kc.Middleware(), a.kc.RequireRoles("admin")}, good, 403},
				"RequireRoles alone": {[]gin.HandlerFunc{a.kc.RequireRoles("admin")}, "", 401},
			} {
				got := a.behind(row.handlers...).get(t, "/guarded", row.token)
				if got.ran {
					t.Errorf("%s: a handler ran behind a refusal whose error handler %s", place, tt.name)
				}
				want := row.status
				if tt.wantStatus != 0 {
					want = tt.wantStatus
				}
				if got.status != want {
					t.Errorf("%s: status of a refusal whose error handler %s = %d, want %d", place, tt.name, got.status, want)
				}
				if !strings.HasPrefix(got.body, tt.wantBody) || tt.wantBody == "" && tt.wantStatus != 302 && got.body != "" {
					t.Errorf("%s: body of a refusal whose error handler %s = %q, want %q", place, tt.name, got.body, tt.wantBody)
				}
				if ct := got.header.Get("Content-Type"); ct != tt.wantType && tt.wantStatus != 302 {
					t.Errorf("%s: Content-Type of a refusal whose error handler %s = %q, want %q", place, tt.name, ct, tt.wantType)
				}
				if got.header.Get("WWW-Authenticate") == "" || got.header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: headers of a refusal whose error handler %s = %v, want challenge and no-store", place, tt.name, got.header)
				}
			}
			// Who gets in does not meet it.
			checkKind(t, "a good token", a.get(t, "/me", good), kindOK)
		})
	}
}

// TestErrorHandlerThatPanics: whatever becomes of the request, it does not get in.
func TestErrorHandlerThatPanics(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithErrorHandler(func(*gin.Context, *ginkeycloak.Error) { panic("oops") }))
	recovery := gin.CustomRecoveryWithWriter(new(logBuffer), func(c *gin.Context, _ any) {
		c.Status(http.StatusInternalServerError)
		c.Next() // as bad as it can be
	})
	if got := a.behind(recovery, a.kc.Middleware()).get(t, "/guarded", ""); got.ran || got.status != 500 {
		t.Errorf("GET /guarded with an error handler that panics = %d, the handler ran: %t; want 500 and not", got.status, got.ran)
	}
}

// TestErrorHandlerSeesTheCause: it gets what a log would get, with the status already set.
func TestErrorHandlerSeesTheCause(t *testing.T) {
	t.Parallel()
	var seen *ginkeycloak.Error
	var status int
	a := newAPI(t, ginkeycloak.WithErrorHandler(func(c *gin.Context, err *ginkeycloak.Error) { seen, status = err, c.Writer.Status() }))
	a.get(t, "/me", a.keycloak.Token(keycloaktest.Audience("billing")))
	if !errors.Is(seen, ginkeycloak.ErrInvalidClaims) || seen.Err == nil || status != 401 {
		t.Errorf("the error handler saw %v and status %d, want invalid_claims with its cause and 401", seen, status)
	}
}

func TestErrorDetails(t *testing.T) {
	t.Parallel()
	rows := codeRows()
	details := newAPI(t, ginkeycloak.WithErrorDetails(true))
	plain := newAPI(t, ginkeycloak.WithErrorDetails(false))
	for _, tt := range []struct {
		name  string
		token []keycloaktest.TokenOption
		want  string // in the reason
	}{
		{"another audience", []keycloaktest.TokenOption{keycloaktest.Audience("MARK")}, "audience mapper"},
		{"another issuer", []keycloaktest.TokenOption{keycloaktest.Issuer("https://MARK.example")}, "issuer"},
		{"no subject", []keycloaktest.TokenOption{keycloaktest.WithoutClaim("sub")}, "sub"},
		{"an ID token", []keycloaktest.TokenOption{keycloaktest.Type("ID")}, "ID token"},
		{"another algorithm", []keycloaktest.TokenOption{keycloaktest.HMAC("HS256", []byte("MARK"))}, "RS256"},
		{"expired", []keycloaktest.TokenOption{keycloaktest.ExpiresIn(-time.Hour)}, "exp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			token := details.keycloak.Token(tt.token...)
			got := details.get(t, "/me", token)
			var body struct {
				Error struct {
					Details struct {
						Reason string `json:"reason"`
					} `json:"details"`
				} `json:"error"`
			}
			if err := stdjson.Unmarshal([]byte(got.body), &body); err != nil || !strings.Contains(body.Error.Details.Reason, tt.want) {
				t.Errorf("body with details where %s = %s, want %q in its reason", tt.name, got.body, tt.want)
			}
			if strings.Contains(got.body, "MARK") || strings.Contains(got.body, token[len(token)-20:]) {
				t.Errorf("body with details where %s = %s, want nothing of the token", tt.name, got.body)
			}
			if row := rows[got.code]; got.status != row.status || got.ran {
				t.Errorf("status with details where %s = %d, want %d as without", tt.name, got.status, row.status)
			}
			checkKind(t, "without details", plain.get(t, "/me", plain.keycloak.Token(tt.token...)), kindTok)
		})
	}
}

func TestTokenExtractors(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithTokenExtractor(ginkeycloak.TokenFromCookie("session"), ginkeycloak.TokenFromQuery("access_token")),
		ginkeycloak.WithTokenExtractor(ginkeycloak.TokenFromForm()))
	a.POST("/me", a.me)
	headerOnly := newAPIFor(t, a.keycloak)
	headerOnly.POST("/me", headerOnly.me)
	token := a.keycloak.Token()

	const form = "application/x-www-form-urlencoded"
	type request struct {
		method, query, contentType, body string
		header, cookies                  []string
	}
	tests := []struct {
		name       string
		request    request
		want       string // kind
		headerOnly string // kind of an API without extractors
	}{
		{"nowhere", request{}, kindNone, kindNone},
		{"header", request{header: []string{"Bearer " + token}}, kindOK, kindOK},
		{"cookie", request{cookies: []string{"session=" + token}}, kindOK, kindNone},
		{"cookie of another name", request{cookies: []string{"Session=" + token}}, kindNone, kindNone},
		{"cookie, empty", request{cookies: []string{"session="}}, kindNone, kindNone},
		{"cookie twice", request{cookies: []string{"session=" + token, "session=" + token}}, kindReq, kindNone},
		{"cookie, nonsense", request{cookies: []string{"session=nonsense"}}, kindTok, kindNone},
		{"cookie with scheme", request{cookies: []string{"session=Bearer " + token}}, kindReq, kindNone},
		{"query", request{query: "?access_token=" + token}, kindOK, kindNone},
		{"query, escaped", request{query: "?access%5Ftoken=" + token}, kindOK, kindNone},
		{"query, empty", request{query: "?access_token="}, kindNone, kindNone},
		{"query twice", request{query: "?access_token=" + token + "&access_token=" + token}, kindReq, kindNone},
		{"query twice, one empty", request{query: "?access_token=&access_token=" + token}, kindReq, kindNone},
		{"query of other case", request{query: "?Access_Token=" + token}, kindNone, kindNone},
		{"form", request{method: "POST", contentType: form, body: "a=b&access_token=" + token}, kindOK, kindNone},
		{"form with charset", request{method: "POST", contentType: form + "; charset=UTF-8", body: "access_token=" + token}, kindOK, kindNone},
		{"form twice", request{method: "POST", contentType: form, body: "access_token=" + token + "&access_token=" + token}, kindReq, kindNone},
		{"form, broken", request{method: "POST", contentType: form, body: "access_token=" + token + "&x=%zz"}, kindReq, kindNone},
		{"form of another type", request{method: "POST", contentType: "text/plain", body: "access_token=" + token}, kindNone, kindNone},
		{"form with GET", request{method: "GET", contentType: form, body: "access_token=" + token}, kindNone, kindNone},
		{"JSON", request{method: "POST", contentType: "application/json", body: `{"access_token":"` + token + `"}`}, kindNone, kindNone},
		{"header and cookie", request{header: []string{"Bearer " + token}, cookies: []string{"session=" + token}}, kindReq, kindOK},
		{"header and query", request{header: []string{"Bearer " + token}, query: "?access_token=" + token}, kindReq, kindOK},
		{"cookie and query", request{cookies: []string{"session=" + token}, query: "?access_token=" + token}, kindReq, kindNone},
		{"header and form", request{method: "POST", header: []string{"Bearer " + token}, contentType: form, body: "access_token=" + token}, kindReq, kindOK},
		{"query and form", request{method: "POST", query: "?access_token=" + token, contentType: form, body: "access_token=" + token}, kindReq, kindNone},
		{"bad header and good cookie", request{header: []string{"Bearer"}, cookies: []string{"session=" + token}}, kindReq, kindReq},
		{"two headers and good cookie", request{header: []string{"Bearer " + token, "Bearer " + token}, cookies: []string{"session=" + token}}, kindReq, kindReq},
		{"Basic and cookie", request{header: []string{"Basic dTpw"}, cookies: []string{"session=" + token}}, kindOK, kindNone},
		{"header and empty cookie", request{header: []string{"Bearer " + token}, cookies: []string{"session="}}, kindOK, kindOK},
		{"a token in two halves", request{cookies: []string{"session=" + token[:100]}, query: "?access_token=" + token[100:]}, kindReq, kindNone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			build := func() *http.Request {
				method := tt.request.method
				if method == "" {
					method = http.MethodGet
				}
				r := httptest.NewRequestWithContext(t.Context(), method, "/me"+tt.request.query, strings.NewReader(tt.request.body))
				if tt.request.contentType != "" {
					r.Header.Set("Content-Type", tt.request.contentType)
				}
				if tt.request.header != nil {
					r.Header["Authorization"] = tt.request.header
				}
				for _, cookie := range tt.request.cookies {
					r.Header.Add("Cookie", cookie)
				}
				return r
			}
			checkKind(t, "token in "+tt.name, a.do(t, build()), tt.want)
			checkKind(t, "token in "+tt.name+", header only", headerOnly.do(t, build()), tt.headerOnly)
		})
	}
}

// TestHandlersStillFindTheForm: the body that the extractor read is not lost.
func TestHandlersStillFindTheForm(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithTokenExtractor(ginkeycloak.TokenFromForm()))
	a.POST("/form", func(c *gin.Context) { c.String(http.StatusOK, c.PostForm("item")) })
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/form", strings.NewReader("item=book&access_token="+a.keycloak.Token()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if got := a.do(t, r); got.status != 200 || got.body != "book" {
		t.Errorf("POST /form = %d %q, want 200 and the form's value", got.status, got.body)
	}
}

// TestExtractorOfOnesOwn: its error refuses, and does not reach the client.
func TestExtractorOfOnesOwn(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithTokenExtractor(func(r *http.Request) (string, error) {
		if r.Header.Get("X-Broken") != "" {
			return "", errors.New("MARK")
		}
		return r.Header.Get("X-Token"), nil
	}))
	ask := func(name, value string) answer {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/me", http.NoBody)
		r.Header.Set(name, value)
		return a.do(t, r)
	}
	checkKind(t, "X-Token", ask("X-Token", a.keycloak.Token()), kindOK)
	got := ask("X-Broken", "1")
	checkKind(t, "an extractor's error", got, kindReq)
	if strings.Contains(got.body, "MARK") {
		t.Errorf("body = %s, want nothing of the extractor's error", got.body)
	}
}

func TestWithCORSPreflight(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		method      string
		path        string
		origin, acr string // headers
		want        int    // with the option
		without     int
	}{
		{"preflight", "OPTIONS", "/me", "https://app.example", "GET", 204, 401},
		{"preflight without origin", "OPTIONS", "/me", "", "GET", 401, 401},
		{"preflight without method", "OPTIONS", "/me", "https://app.example", "", 401, 401},
		{"OPTIONS only", "OPTIONS", "/me", "", "", 401, 401},
		{"the request itself", "GET", "/me", "https://app.example", "GET", 401, 401},
		{"a POST that looks like one", "POST", "/me", "https://app.example", "GET", 401, 401},
		{"a path that does not exist", "OPTIONS", "/nosuch", "https://app.example", "GET", 404, 401},
		{"a route with a requirement", "OPTIONS", "/admin", "https://app.example", "GET", 401, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for allow, want := range map[bool]int{true: tt.want, false: tt.without} {
				a := newAPI(t, ginkeycloak.WithCORSPreflight(allow))
				user := "not asked"
				a.OPTIONS("/me", func(c *gin.Context) {
					if _, ok := ginkeycloak.UserFromContext(c); ok {
						user = "somebody"
					}
					c.Status(http.StatusNoContent)
				})
				a.OPTIONS("/admin", a.kc.RequireRoles("admin"), a.me)
				a.POST("/me", a.me)
				r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, http.NoBody)
				for name, value := range map[string]string{"Origin": tt.origin, "Access-Control-Request-Method": tt.acr} {
					if value != "" {
						r.Header.Set(name, value)
					}
				}
				got := a.do(t, r)
				if got.status != want || got.ran {
					t.Errorf("%s %s, %s, allowed %t = %d %s, the handler ran: %t; want %d", tt.method, tt.path, tt.name, allow, got.status, got.body, got.ran, want)
				}
				if user == "somebody" {
					t.Errorf("%s: a handler behind a preflight found a user, want none", tt.name)
				}
			}
		})
	}
}

func TestLogger(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	token := a.keycloak.Token()
	a.get(t, "/me", "")
	if got := a.log.String(); !strings.Contains(got, "level=DEBUG") || !strings.Contains(got, "missing_header") || strings.Count(got, "\n") != 1 {
		t.Errorf("log of a refusal = %s, want one line of level DEBUG with the code", got)
	}
	a.keycloak.Stop()
	for range 5 {
		a.get(t, "/me", token)
	}
	if got := strings.Count(a.log.String(), "level=WARN"); got != 1 {
		t.Errorf("five requests while Keycloak is down: %d warnings, want 1: %s", got, a.log.String())
	}
}

func TestCheckRoutes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		public []string
		want   []string // values of the mistakes
	}{
		{"all are there", []string{"GET /health", "/docs/*any", "/users/:id", "/"}, nil},
		{"without a method", []string{"/health"}, nil},
		{"a typing error", []string{"GET /heatlh", "/health"}, []string{"GET /heatlh"}},
		{"another method", []string{"POST /health"}, []string{"POST /health"}},
		{"another name of the parameter", []string{"/users/:name"}, []string{"/users/:name"}},
		{"a path, not a pattern", []string{"/users/7", "/docs/index.html"}, []string{"/users/7", "/docs/index.html"}},
		{"a slash behind", []string{"/health/"}, []string{"/health/"}},
		{"a method that does not exist", []string{"GTE /health"}, []string{"GTE /health"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, ginkeycloak.WithPublicRoutes(tt.public...))
			for _, path := range []string{"/", "/health", "/docs/*any", "/users/:id"} {
				a.GET(path, a.me)
			}
			var got []string
			err := a.kc.CheckRoutes(a.Routes())
			for _, e := range configErrors(t, err) {
				if e.Option != "WithPublicRoutes" {
					t.Errorf("CheckRoutes(%q) = %v, want the option WithPublicRoutes", tt.public, e)
				}
				got = append(got, fmt.Sprint(e.Value))
			}
			if !slices.Equal(got, tt.want) || (err == nil) != (len(tt.want) == 0) {
				t.Errorf("CheckRoutes with %q public = %q, want %q", tt.public, got, tt.want)
			}
		})
	}
	if err := newAPI(t).kc.CheckRoutes(nil); err != nil {
		t.Errorf("CheckRoutes without public routes = %v, want none", err)
	}
}
