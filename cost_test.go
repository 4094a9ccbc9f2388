package ginkeycloak_test

import (
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/internal/token"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// Size and cost: every byte of an unauthenticated token costs, so there are few.
func TestOversizedTokens(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	good := a.keycloak.Token(keycloaktest.Claim("pad", strings.Repeat("a", 11_000)))
	if len(good) > token.MaxSize {
		t.Fatalf("the good token has %d bytes", len(good))
	}
	checkToken(t, a, "a large token within the limit", good, "")
	for _, size := range []int{token.MaxSize + 1, 100_000, 1_000_000, 10_000_000} {
		segment := strings.Repeat("A", size/3)
		for name, oversized := range map[string]string{
			"segments": segment + "." + segment + "." + segment + "AAA",
			"dots":     strings.Repeat(".", size),
			"one":      strings.Repeat("A", size),
		} {
			if _, err := a.kc.Authenticate(t.Context(), oversized); err == nil {
				t.Errorf("%d bytes of %s were let in", size, name)
			}
		}
	}
}

// As many roles as fit into a token are read and compared.
func TestManyRoles(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	roles := make([]string, 1500)
	for i := range roles {
		roles[i] = strconv.Itoa(i)
	}
	a.GET("/many", a.kc.RequireRoles("1499"), a.me)
	checkKind(t, "1500 roles", a.get(t, "/many", a.keycloak.Token(keycloaktest.RealmRoles(roles...))), kindOK)
}

// Refusing a token costs less than 64 KiB of memory, however large it is.
func TestAllocRefusals(t *testing.T) {
	skipUnderRace(t)
	a := newAPI(t)
	if err := a.kc.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"garbage of 16 KiB": strings.Repeat("A", token.MaxSize),
		"10 MB":             strings.Repeat("A", 10_000_000),
		"10 MB of dots":     strings.Repeat(".", 10_000_000),
		"expired":           a.keycloak.Token(keycloaktest.ExpiresIn(-time.Hour)),
		"wrong issuer":      a.keycloak.Token(keycloaktest.Issuer("https://evil.example")),
		"wrong signature":   a.keycloak.Token() + "AAAA",
		"large and expired": a.keycloak.Token(keycloaktest.ExpiresIn(-time.Hour), keycloaktest.Claim("pad", strings.Repeat("a", 11_000))),
	} {
		got := allocatedBytes(func() {
			if _, err := a.kc.Authenticate(t.Context(), bad); err == nil {
				t.Errorf("%s was let in", name)
			}
		})
		if got >= 64<<10 {
			t.Errorf("refusing %s allocates %d bytes, want less than 64 KiB", name, got)
		}
	}
}

// allocatedBytes is how many bytes f allocates, on average.
func allocatedBytes(f func()) uint64 {
	const runs = 50
	f() // whatever is made once
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

// A token seen for the first time, from the middleware to the handler.
func TestAllocFirstSeenToken(t *testing.T) {
	skipUnderRace(t)
	const most = 25
	a := newAPI(t, ginkeycloak.WithTokenCache(0, 0))
	a.GET("/bare", func(*gin.Context) {})
	token := a.keycloak.Token(keycloaktest.ForUser("alice"))
	got := addedAllocations(t, a.Engine, "/bare", token)
	if a.get(t, "/bare", token).status != 200 {
		t.Fatal("the token is not let in")
	}
	if got > most {
		t.Errorf("a token takes %v allocations from middleware to handler, want at most %d", got, most)
	}
	t.Logf("%v allocations from middleware to handler", got)
}

// addedAllocations is how many allocations the engine makes for a request beyond those of a bare route.
func addedAllocations(t *testing.T, engine *gin.Engine, path, token string) float64 {
	t.Helper()
	bare := gin.New()
	bare.GET(path, func(*gin.Context) {})
	request := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
	request.Header.Set("Authorization", "Bearer "+token)
	count := func(engine *gin.Engine) float64 {
		w := httptest.NewRecorder()
		return testing.AllocsPerRun(200, func() { engine.ServeHTTP(w, request) })
	}
	return count(engine) - count(bare)
}

// A token that is recognised, from the middleware to the handler.
func TestAllocRepeatedToken(t *testing.T) {
	skipUnderRace(t)
	const most = 3
	a := newAPI(t)
	a.GET("/bare", func(*gin.Context) {})
	token := a.keycloak.Token(keycloaktest.ForUser("alice"))
	if a.get(t, "/bare", token).status != 200 {
		t.Fatal("the token is not let in")
	}
	if got := addedAllocations(t, a.Engine, "/bare", token); got > most {
		t.Errorf("a repeated token takes %v allocations from middleware to handler, want at most %d", got, most)
	}
}

// Requirements are compiled at registration: asking them of a known user allocates nothing.
func TestAllocRequirements(t *testing.T) {
	skipUnderRace(t)
	a := newAPI(t)
	a.GET("/bare", func(*gin.Context) {})
	a.GET("/guarded", a.kc.RequireRoles("admin", "manage"), a.kc.RequireGroups("/eng"), a.kc.RequireScopes("openid"), func(*gin.Context) {})
	token := a.keycloak.Token(keycloaktest.ForUser("alice"))
	if a.get(t, "/guarded", token).status != 200 {
		t.Fatal("the token is not let in")
	}
	if guarded, without := addedAllocations(t, a.Engine, "/guarded", token), addedAllocations(t, a.Engine, "/bare", token); guarded > without {
		t.Errorf("three requirements take %v allocations, want none", guarded-without)
	}
}
