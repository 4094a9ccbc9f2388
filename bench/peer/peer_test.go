package peer_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/c0mpiler/ginkeycloak/bench/peer"
	"github.com/c0mpiler/ginkeycloak/bench/stand"
)

// Each peer is set up so that it works, and lets in what its description says, no more and no less: the report's table of
// what each one lets in is measured, and this keeps the reasons beside it true.
func TestAdmission(t *testing.T) {
	if err := peer.LogInto(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	server, err := stand.Start("RS256")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	for _, p := range peer.All() {
		t.Run(p.Name, func(t *testing.T) {
			got, err := p.Admit(t.Context(), server)
			if err != nil {
				t.Fatal(err)
			}
			if got.Good != http.StatusOK {
				t.Errorf("a good token = %d, want 200: the handler needs the user's name", got.Good)
			}
			for name, status := range got.Bad {
				if status != http.StatusOK && (status < 400 || status >= 500) {
					t.Errorf("a token %s = %d, want 200 or 4xx", name, status)
				}
			}
			if let := got.LetIn(); !slices.Equal(let, p.LetsIn) {
				t.Errorf("let in = %q, want %q", let, p.LetsIn)
			}
		})
	}
}

func TestPeersAreDescribed(t *testing.T) {
	for _, p := range peer.All() {
		if p.Name == "" || p.Module == "" || p.Setup == "" || p.Start == nil {
			t.Errorf("peer %q lacks name, module, set-up or start", p.Name)
		}
		if p.Ours && len(p.LetsIn) > 0 {
			t.Errorf("%s lets in %q, want nothing", p.Name, p.LetsIn)
		}
		for row, why := range p.Ahead {
			if why == "" {
				t.Errorf("%s is ahead in %q and does not say why", p.Name, row)
			}
		}
	}
}
