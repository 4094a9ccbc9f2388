// Licenses lists the licences of everything that a program with ginkeycloak may link, as docs/licenses.md. It fails on a
// licence that it does not know or that is not among the permissive ones, so that none gets in unseen.
//
// It goes by the go.mod files, because they name what any operating system and build tag may need, and reads the licences
// in the module cache.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

const self = "github.com/c0mpiler/ginkeycloak"

// ours are the modules that programs import, by their folder, with the packages that are meant for programs.
var ours = []struct {
	dir      string
	packages []string
}{
	{"..", []string{self, self + "/metrics", self + "/keycloaktest", self + "/cmd/kcdoctor"}},
	{"../otelkeycloak", []string{self + "/otelkeycloak"}},
}

// systems are those for which it is asked what is linked.
var systems = []string{"linux", "darwin", "windows"}

// A dependency is a module at a version.
type dependency struct {
	Path, Version string
	Dir           string // in the module cache

	linkedBy map[string]bool // our packages that link it
	licences []string
	notice   bool // there is a NOTICE file, which Apache-2.0 §4(d) wants passed on
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./licenses FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(file string) error {
	found := make(map[string]*dependency)
	for _, m := range ours {
		if err := collect(found, m.dir, m.packages); err != nil {
			return err
		}
	}
	deps := slices.SortedFunc(maps.Values(found), func(a, b *dependency) int {
		return strings.Compare(a.Path+" "+a.Version, b.Path+" "+b.Version)
	})
	var bad []error
	for _, d := range deps {
		if err := d.read(os.DirFS(d.Dir)); err != nil {
			bad = append(bad, fmt.Errorf("%s %s: %w", d.Path, d.Version, err))
		}
	}
	if err := errors.Join(bad...); err != nil {
		return err
	}
	text, err := document(deps)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// collect adds what the module in dir requires, and notes what the packages link of it.
func collect(found map[string]*dependency, dir string, packages []string) error {
	required, err := requirements(dir)
	if err != nil {
		return err
	}
	mine := make(map[string]*dependency)
	for _, d := range required {
		key := d.Path + "@" + d.Version
		if found[key] == nil {
			found[key] = d
		}
		mine[d.Path] = found[key]
	}
	for _, pkg := range packages {
		for _, system := range systems {
			out, err := command(dir, []string{"GOOS=" + system, "CGO_ENABLED=0"},
				"list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", pkg)
			if err != nil {
				return err
			}
			for p := range strings.FieldsSeq(string(out)) {
				if d := mine[p]; d != nil {
					d.linkedBy[pkg] = true
				} else if p != self && !strings.HasPrefix(p, self+"/") {
					return fmt.Errorf("%s links %s, which %s/go.mod does not require", pkg, p, dir)
				}
			}
		}
	}
	return nil
}

// requirements returns what the go.mod in dir names, but for ours, with the folders in the module cache.
func requirements(dir string) ([]*dependency, error) {
	out, err := command(dir, nil, "mod", "edit", "-json")
	if err != nil {
		return nil, err
	}
	var mod struct{ Require []*dependency }
	if err := json.Unmarshal(out, &mod); err != nil {
		return nil, fmt.Errorf("read %s/go.mod: %w", dir, err)
	}
	args := []string{"mod", "download", "-json"}
	for _, d := range mod.Require {
		if d.Path != self {
			args = append(args, d.Path+"@"+d.Version)
		}
	}
	if out, err = command(dir, nil, args...); err != nil {
		return nil, err
	}
	var deps []*dependency
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		d := &dependency{linkedBy: make(map[string]bool)}
		if err := dec.Decode(d); err != nil {
			return nil, fmt.Errorf("read what go mod download says in %s: %w", dir, err)
		}
		deps = append(deps, d)
	}
	return deps, nil
}

func command(dir string, env []string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s in %s: %w: %s", strings.Join(args, " "), dir, err, stderr.String())
	}
	return out, nil
}

// users says in a word or two who gets the dependency.
func (d *dependency) users() string {
	if d.linkedBy[self] {
		return "every program"
	}
	if len(d.linkedBy) == 0 {
		return "our tests, or a build tag"
	}
	names := make([]string, 0, len(d.linkedBy))
	for pkg := range d.linkedBy {
		names = append(names, "`"+path.Base(pkg)+"`")
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
