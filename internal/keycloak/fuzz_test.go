package keycloak_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/c0mpiler/ginkeycloak/internal/keycloak"
)

const (
	realmAddress    = "https://sso.example.com/realms/demo"
	internalAddress = "http://keycloak:8080/auth/realms/demo"
	discoveryPath   = "/.well-known/openid-configuration"
	fuzzedSecret    = "s3cret-of-the-client"
)

// FuzzDiscovery has a realm answer with any discovery document, or a redirect to anywhere before it: nothing goes to a
// host that the configuration does not name, neither from here nor from a browser.
func FuzzDiscovery(f *testing.F) {
	for _, doc := range []string{
		`{"issuer":"https://sso.example.com/realms/demo","authorization_endpoint":"https://sso.example.com/realms/demo/protocol/openid-connect/auth",` +
			`"token_endpoint":"https://sso.example.com/realms/demo/protocol/openid-connect/token","jwks_uri":"https://sso.example.com/realms/demo/protocol/openid-connect/certs",` +
			`"introspection_endpoint":"https://sso.example.com/realms/demo/protocol/openid-connect/token/introspect","end_session_endpoint":"https://sso.example.com/realms/demo/protocol/openid-connect/logout"}`,
		`{"issuer":"http://keycloak:8080/auth/realms/demo","jwks_uri":"http://keycloak:8080/auth/realms/demo/certs","token_endpoint":"http://KEYCLOAK:8080/x?a=b"}`,
		`{"issuer":"https://evil.example/realms/demo"}`, `{"issuer":["https://sso.example.com/realms/demo"]}`, `{}`, `null`, `[]`, `1`, `""`, ``, `<html>`, "\xff",
	} {
		f.Add(doc, "", false)
		f.Add(doc, "", true)
	}
	for _, address := range []string{
		"", "https://evil.example/certs", "//evil.example/certs", "https:sso.example.com", "http://sso.example.com/certs", "https://sso.example.com:443/certs", "https://sso.example.com@evil.example/",
		`https://sso.example.com\\@evil.example/`, `https://sso.example.com/\\evil`, "https://user:pw@sso.example.com/", "https://sso.example.com/#x", "https://sso.example.com.evil.example/", "https://sso.example.com%00.evil.example/",
		"https://sso.example.com?x", "https://sso.example.com", "https://SSO.EXAMPLE.COM/realms/demo/../../x", "https://[::1]/", "certs", "javascript:alert(1)", `https://sso.example.com\t/`, "https://ſso.example.com/",
	} {
		member := `"` + address + `"`
		f.Add(`{"issuer":"https://sso.example.com/realms/demo","jwks_uri":`+member+`,"authorization_endpoint":`+member+`,"token_endpoint":`+member+`,"introspection_endpoint":`+member+`,"end_session_endpoint":`+member+`}`, "", false)
		f.Add(`{"issuer":"https://sso.example.com/realms/demo"}`, address, false)
	}
	f.Fuzz(func(t *testing.T, doc, location string, inside bool) {
		if inside {
			checkDiscovery(t, doc, location, internalAddress, mustParse(t, internalAddress))
			return
		}
		checkDiscovery(t, doc, location, realmAddress, nil)
	})
}

// checkDiscovery makes every call there is to a realm that is reached at base.
func checkDiscovery(t *testing.T, doc, location, base string, inner *url.URL) {
	t.Helper()
	realm := &documented{t: t, base: base, doc: doc, location: location}
	c := keycloak.NewClient(keycloak.Config{
		Realm:          mustParse(t, realmAddress),
		Internal:       inner,
		Issuers:        []string{realmAddress},
		Credentials:    keycloak.Credentials{ClientID: "orders-api", Secret: func() string { return fuzzedSecret }},
		HTTPClient:     &http.Client{Transport: realm},
		ConnectTimeout: time.Minute,
		ReadTimeout:    time.Minute,
		MetadataTTL:    time.Hour,
		Logger:         slog.New(slog.DiscardHandler),
		Now:            time.Now,
	})
	defer c.Close()
	ctx := t.Context()
	_, keysErr := c.KeySet(ctx)
	_, introspectErr := c.Introspect(ctx, "token")
	_, refreshErr := c.Refresh(ctx, "token")
	logoutErr := c.Logout(ctx, "token")
	browser, browserErr := c.BrowserEndpoints(ctx)
	for _, err := range []error{keysErr, introspectErr, refreshErr, logoutErr, browserErr} {
		if err != nil && (strings.Contains(err.Error(), "panic") || strings.Contains(err.Error(), fuzzedSecret) || strings.ContainsFunc(err.Error(), isControl)) {
			t.Errorf("the document %q: %q", doc, err)
		}
	}
	if keysErr == nil && !names(doc, base) {
		t.Errorf("the document %q was taken, want its issuer to be %s", doc, realmAddress)
	}
	if browserErr != nil {
		return
	}
	for _, address := range []string{browser.Authorization, browser.Token, browser.EndSession} {
		if address != "" && !leadsTo("https://sso.example.com", address) {
			t.Errorf("the document %q sends browsers to %q", doc, address)
		}
	}
	if got := c.BrowserOrigins(); !slices.Equal(got, []string{"https://sso.example.com"}) {
		t.Errorf("origins for browsers = %q", got)
	}
}

func mustParse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// names reports whether a document has an issuer that the realm may have.
func names(doc, base string) bool {
	var m map[string]any
	return json.Unmarshal([]byte(doc), &m) == nil && (m["issuer"] == realmAddress || m["issuer"] == base)
}

// leadsTo reports whether an address is of an origin also to a browser, which takes a backslash for a slash.
func leadsTo(origin, address string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(address), origin)
	return ok && (rest == "" || rest[0] == '/' || rest[0] == '?')
}

// documented is a realm with this discovery document. It answers everything else as if all were well, and holds
// requests to its own host.
type documented struct {
	t                   *testing.T
	base, doc, location string
	redirected          bool
}

func (d *documented) RoundTrip(r *http.Request) (*http.Response, error) {
	origin, _, _ := strings.Cut(d.base, "/realms/")
	if got, want := r.URL.Scheme+"://"+r.URL.Host+"/", mustParse(d.t, origin); !strings.EqualFold(got, want.Scheme+"://"+want.Host+"/") || r.Host != "" && r.Host != r.URL.Host {
		d.t.Errorf("the document %q, redirecting to %q, sends a request to %s", d.doc, d.location, r.URL)
	}
	answer := func(status int, body string) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, Header: http.Header{"Location": {d.location}}, Request: r,
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	}
	discovery := r.Method == http.MethodGet && r.URL.Path == mustParse(d.t, d.base).Path+discoveryPath
	switch {
	case discovery && d.location != "" && !d.redirected:
		d.redirected = true
		return answer(http.StatusFound, "")
	case discovery || d.redirected && r.Method == http.MethodGet:
		return answer(http.StatusOK, d.doc)
	case r.Method == http.MethodGet:
		return answer(http.StatusOK, `{"keys":[{}]}`)
	}
	return answer(http.StatusOK, `{"active":true}`)
}
