package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample is code whose tests notice some changes and others not.
var sample = map[string]string{
	"go.mod": "module sample\n\ngo 1.26\n",
	"sample.go": `package sample

import (
	"errors"
	"fmt"
)

var errBad = errors.New("bad")

type set struct{ small, named bool }

func (s *set) check(n int, name string) (err error) {
	if n > 10 || name == "" {
		return errBad
	}
	switch name {
	case "root":
		return fmt.Errorf("%w: %d", errBad, 1)
	}
	s.small = n < 5
	s.named = true
	return parse(name)
}

func parse(name string) error {
	if len(name) > 3+5 {
		return errBad
	}
	return nil
}

func unused() int { return 1 }
`,
	"sample_test.go": `package sample

import "testing"

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		n     int
		name  string
		ok    bool
		small bool
	}{
		{10, "alice", true, false}, {11, "alice", false, false}, {1, "", false, false}, {1, "root", false, false}, {4, "12345678", true, true}, {1, "123456789", false, true},
	} {
		var s set
		if err := s.check(tt.n, tt.name); (err == nil) != tt.ok || s.small != tt.small {
			t.Errorf("check(%d, %q) = %v, %+v", tt.n, tt.name, err, s)
		}
	}
	_ = unused
}
`,
}

func TestMutants(t *testing.T) {
	root := t.TempDir()
	for name, src := range sample {
		if err := os.WriteFile(filepath.Join(root, name), []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	known := explanations{
		"sample.go set.check: `5` becomes `5 + 1` in `s.small = n < 5`":     1,
		"sample.go set.check: `name == \"\"` becomes `true` in `if n > 10`": 1, // there is no such mutant
	}
	var out strings.Builder
	ok, err := try(t.Context(), root, target{pkg: ".", files: []string{"sample.go"}}, known, 2, &out)
	if err != nil || ok {
		t.Fatalf("try = %t, %v, want false and none", ok, err)
	}
	got, summary, _ := strings.Cut(out.String(), "[sample.go]: ")
	want := strings.Join([]string{
		"survived: sample.go:20",
		"sample.go set.check: `n < 5` becomes `n <= 5` in `s.small = n < 5`",
		"survived: sample.go:21",
		"sample.go set.check: `s.named = true` becomes `nothing` in `s.named = true`",
		"survived: sample.go:21",
		"sample.go set.check: `true` becomes `false` in `s.named = true`",
		"not reached: sample.go:32",
		"sample.go unused: `1` becomes `1 + 1` in `func unused() int { return 1 }`",
		"explained, but it is noticed or gone:",
		"sample.go set.check: `name == \"\"` becomes `true` in `if n > 10`",
		"",
	}, "\n")
	if got != want {
		t.Errorf("the report is\n%s\nwant\n%s", got, want)
	}
	// 6 of the first if, 2 of the case, 5 and 2 of the assignments, 1 of the last return; 5 of parse; 1 of unused.
	if want := "22 mutants, 17 killed, 1 explained, 4 to do"; !strings.HasPrefix(summary, want) {
		t.Errorf("summary %q, want %q", summary, want)
	}
}

func TestTestsMustPassWithoutAMutant(t *testing.T) {
	root := t.TempDir()
	for name, src := range sample {
		if err := os.WriteFile(filepath.Join(root, name), []byte(strings.Replace(src, "n > 10", "n > 11", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := try(t.Context(), root, target{pkg: "."}, nil, 1, new(strings.Builder))
	if err == nil || !strings.Contains(err.Error(), "without a mutant") || !strings.Contains(err.Error(), "TestCheck") {
		t.Errorf("try with tests that fail anyway = %v, want an error that shows them", err)
	}
}

func TestExplanations(t *testing.T) {
	known, err := readExplanations(strings.NewReader("# comment\n\na.go f: x\na.go f: x\n\tbecause\n\tof this\n\nb.go g: y\n\tbecause\n"))
	if err != nil || known["a.go f: x"] != 2 || known["b.go g: y"] != 1 || len(known) != 2 {
		t.Errorf("readExplanations = %v, %v, want a.go twice and b.go once", known, err)
	}
	for name, file := range map[string]string{
		"no reason at the end": "a.go f: x\n", "a reason alone": "\tbecause\n", "no reason at all": "a.go f: x\n\nb.go g: y\n",
	} {
		if _, err := readExplanations(strings.NewReader(file)); err == nil {
			t.Errorf("readExplanations of a file with %s = no error, want one", name)
		}
	}
}
