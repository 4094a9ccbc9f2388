// Package wycheproof runs Project Wycheproof's test vectors through the signature layer: the group's keys are the
// key set, the token is looked up and verified as one of a request would be, and its payload is left alone.
package wycheproof

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/c2sp/wycheproof"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/c0mpiler/ginkeycloak/internal/keys"
	"github.com/c0mpiler/ginkeycloak/internal/token"
)

type vectors struct {
	NumberOfTests int
	TestGroups    []struct {
		Comment string
		Private json.RawMessage
		Public  json.RawMessage
		Tests   []struct {
			TcID    int `json:"tcId"`
			Comment string
			JWS     string
			Result  string
		}
	}
}

// errata are vectors whose file says valid and that are refused here all the same, with the reason.
var errata = map[string]string{
	"json_web_signature_test.json/346": "a PS384 token on a key that says PS256",
	"json_web_signature_test.json/350": "a PS384 token on a key that says PS256",
	"json_web_signature_test.json/347": `the key's alg is "ES521", which no registry has`,
	"json_web_signature_test.json/351": `the key's alg is "ES521", which no registry has`,
}

func TestVectors(t *testing.T) {
	accepted, refused, hmac := 0, 0, 0
	for _, file := range []string{"json_web_signature_test.json", "json_web_key_test.json"} {
		data, err := fs.ReadFile(wycheproof.TestVectors, file)
		if err != nil {
			t.Fatal(err)
		}
		var v vectors
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		run := 0
		for _, group := range v.TestGroups {
			key := group.Public
			if key == nil {
				key = group.Private // of symmetric keys there is only this
			}
			for _, tt := range group.Tests {
				run++
				name := fmt.Sprintf("%s/%d", file, tt.TcID)
				err := verify(t, key, tt.JWS)
				want := tt.Result == "valid"
				switch {
				case want && strings.Contains(string(key), `"oct"`):
					hmac++
					if err == nil {
						t.Errorf("%s (%s, %s): a symmetric signature was let in", name, group.Comment, tt.Comment)
					}
				case errata[name] != "":
					if err == nil {
						t.Errorf("%s (%s, %s): was let in, want it refused: %s", name, group.Comment, tt.Comment, errata[name])
					}
				case want && err != nil:
					t.Errorf("%s (%s, %s) = %v, want valid", name, group.Comment, tt.Comment, err)
				case !want && err == nil:
					t.Errorf("%s (%s, %s) was let in, want it refused", name, group.Comment, tt.Comment)
				case want:
					accepted++
				default:
					refused++
				}
			}
		}
		if run != v.NumberOfTests || run == 0 {
			t.Errorf("%s: %d vectors were run, want %d", file, run, v.NumberOfTests)
		}
	}
	if hmac != 14 {
		t.Errorf("%d valid vectors need HMAC, want 14", hmac)
	}
	t.Logf("wycheproof: %d accepted, %d refused, %d refused for being symmetric, %d errata", accepted, refused, hmac, len(errata))
}

// verify looks the token's key up in a key set of these keys and checks the signature.
func verify(t *testing.T, key json.RawMessage, jws string) (result error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		set := keys.New(keys.Config{
			Fetch: func(context.Context) ([]jsontext.Value, error) {
				var list struct{ Keys []jsontext.Value }
				if json.Unmarshal(key, &list) == nil && list.Keys != nil {
					return list.Keys, nil
				}
				return []jsontext.Value{jsontext.Value(key)}, nil
			},
			Algorithms: token.Algorithms(),
			TTL:        time.Hour,
			MaxStale:   time.Hour,
			Logger:     slog.New(slog.DiscardHandler),
			Changed:    func(keys.State, int) {},
			Now:        time.Now,
		})
		defer set.Close()
		parsed, err := token.Parse(jws)
		if err != nil {
			result = err
			return
		}
		key, err := set.Key(t.Context(), parsed.Header.KeyID, parsed.Header.Algorithm)
		if err != nil {
			result = err
			return
		}
		result = parsed.Verify(key.Public)
	})
	return result
}
