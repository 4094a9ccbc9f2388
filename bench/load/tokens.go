package main

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// How many tokens there are of each kind besides the new ones.
const (
	users       = 500  // good ones that come again and again
	expired     = 500  // rightly signed
	unknownKeys = 2000 // each with a kid of its own
)

// tokenFiles are the files of tokens, one a line.
type tokenFiles struct {
	probe   string // one token, in no file
	one     string // one token
	fresh   string // many, each to be sent once
	users   string // some, sent again and again
	bad     string // expired and badly signed ones in turn
	unknown string // tokens that name keys nobody has
}

// mint makes the tokens. All are different, and as long as those of a user with roles and a group are.
func mint(idp *keycloaktest.Server, dir string, fresh int) (tokenFiles, error) {
	good := mintMany(fresh+users+2, func() string { return idp.Token(keycloaktest.ForUser("alice")) })
	late := mintMany(expired, func() string {
		return idp.Token(keycloaktest.ForUser("alice"), keycloaktest.ExpiresIn(-time.Hour))
	})
	unknown := mintMany(unknownKeys, func() string {
		noise := make([]byte, 32) // as long as Keycloak's
		_, _ = rand.Read(noise)   // never fails, by its documentation
		kid := base64.RawURLEncoding.EncodeToString(noise)
		return idp.Token(keycloaktest.ForUser("alice"), keycloaktest.KeyID(kid), keycloaktest.SignedWith("RS256", func([]byte) []byte {
			return make([]byte, rsaBytes(idp))
		}))
	})

	f := tokenFiles{probe: good[0]}
	regular := good[2 : 2+users]
	for _, file := range []struct {
		path   *string
		name   string
		tokens []string
	}{
		{&f.one, "one", good[1:2]},
		{&f.users, "users", regular},
		{&f.fresh, "fresh", good[2+users:]},
		{&f.bad, "bad", inTurn(late, badlySigned(regular))},
		{&f.unknown, "unknown", unknown},
	} {
		*file.path = filepath.Join(dir, file.name)
		if err := writeLines(*file.path, file.tokens); err != nil {
			return tokenFiles{}, fmt.Errorf("write tokens: %w", err)
		}
	}
	return f, nil
}

// rsaBytes is the length of a signature by the realm's key.
func rsaBytes(idp *keycloaktest.Server) int { return publicKey(idp).Size() }

// publicKey is the key that the realm signs with.
func publicKey(idp *keycloaktest.Server) *rsa.PublicKey {
	return idp.SigningKey().Public().(*rsa.PublicKey)
}

// mintMany calls mint that often, on all cores.
func mintMany(n int, mint func() string) []string {
	tokens := make([]string, n)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				tokens[i] = mint()
			}
		})
	}
	wg.Wait()
	return tokens
}

// badlySigned gives each token the signature of another one, which costs the server as much to check as a good one.
func badlySigned(tokens []string) []string {
	bad := make([]string, len(tokens))
	for i, token := range tokens {
		other := tokens[(i+1)%len(tokens)]
		bad[i] = token[:strings.LastIndexByte(token, '.')] + other[strings.LastIndexByte(other, '.'):]
	}
	return bad
}

func inTurn(a, b []string) []string {
	var all []string
	for i := range min(len(a), len(b)) {
		all = append(all, a[i], b[i])
	}
	return all
}

func writeLines(path string, lines []string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	for _, line := range lines {
		_, _ = w.WriteString(line + "\n") // Flush tells
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return file.Close()
}
