package integration_test

import (
	"net/http"
	"testing"
)

// TestRestart is about the runner itself: a Keycloak that comes back is the same one, at the same place.
func TestRestart(t *testing.T) {
	t.Run("keycloak", func(t *testing.T) {
		kc := realTarget(t)
		s := requireKeycloak(t)
		token := kc.login(t, ordersAPI, "alice", "-").Access

		do(t, s.Stop())
		req := newRequest(t, http.MethodGet, kc.issuer, nil)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			t.Errorf("a stopped Keycloak said %s, want no answer", resp.Status)
		}
		do(t, s.Restart(t.Context()))
		t.Logf("restarted in %s", s.StartupTime())

		if err := kc.verify(t, token); err != nil {
			t.Errorf("a token from before the restart: %v", err)
		}
		kc.login(t, ordersAPI, "alice", "-") // alice was not imported a second time, nor lost
		if kc.major >= 26 {                  // sessions are in the database since 26
			if got := kc.introspect(t, token, ordersAPI); got["active"] != true {
				t.Errorf("introspection of a token from before the restart = %v, want active", got)
			}
		}
	})
}
