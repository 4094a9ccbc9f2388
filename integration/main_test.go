package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/c0mpiler/ginkeycloak/integration/keycloak"
)

// realmFile is the realm of all tests here: the default world of package keycloaktest, and carol, who has a role of
// another client.
const realmFile = "testdata/demo-realm.json"

// realServer starts the one Keycloak that all tests of this package share, when the first of them asks for it.
var realServer = sync.OnceValues(func() (*keycloak.Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute) // a first download included
	defer cancel()
	s, err := keycloak.Start(ctx, keycloak.Options{RealmFile: realmFile})
	if err != nil {
		return nil, err
	}
	running, startup = s, s.StartupTime()
	return s, errors.Join(s.Admin().CreateClient(ctx, signerClient()), s.Admin().CreateClient(ctx, difficultClient()))
})

// running is the shared Keycloak, for TestMain to stop; nil if no test asked for it or it did not start. startup is
// how long its first start took.
var (
	running *keycloak.Server
	startup time.Duration
)

// requireKeycloak returns the shared Keycloak. Without Java or Maven it skips the test, or fails it where CI=true.
func requireKeycloak(t *testing.T) *keycloak.Server {
	t.Helper()
	s, err := realServer()
	var missing *keycloak.MissingError
	if errors.As(err, &missing) && os.Getenv("CI") != "true" {
		skipped = missing
		t.Skipf("NOT TESTED on a real Keycloak: %v", missing)
	}
	if err != nil {
		t.Fatalf("real Keycloak: %v", err)
	}
	return s
}

// skipped is why the real Keycloak was left out, for TestMain to say so even where go test hides skips.
var skipped error

func TestMain(m *testing.M) {
	code := m.Run()
	report := "ran on: fake"
	if running != nil {
		report += fmt.Sprintf(", Keycloak %s (started in %.1f s)", running.Version(), startup.Seconds())
		if err := running.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if skipped != nil {
		report += fmt.Sprintf("; NOT RUN on Keycloak %s: %v", keycloak.Version(), skipped)
	}
	fmt.Println(report)
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
