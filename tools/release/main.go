// Release looks whether a version can be released out of the commit at hand, and prints its notes: the section of the
// changelog.
//
//	go run ./release v0.1.0
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

const module = "github.com/c0mpiler/ginkeycloak"

// nested are the other modules that programs import, by their folder. Each has a tag of its own for each release.
var nested = []string{"otelkeycloak"}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./release VERSION")
		os.Exit(2)
	}
	notes, err := check("..", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(notes)
}

// check returns the notes of a version, or all that is in its way.
func check(repository, version string) (notes string, err error) {
	if semver.Canonical(version) != version {
		return "", fmt.Errorf("%q is no version like v0.1.0", version)
	}
	changelog, err := os.ReadFile(filepath.Join(repository, "CHANGELOG.md"))
	if err != nil {
		return "", err
	}
	var wrong []error
	if notes, err = section(string(changelog), strings.TrimPrefix(version, "v")); err != nil {
		wrong = append(wrong, err)
	}
	root, err := goMod(repository)
	if err != nil {
		return "", err
	}
	if len(root.Replace) > 0 {
		wrong = append(wrong, errors.New("go.mod has a replace directive: go install refuses it"))
	}
	tags, err := command(repository, "git", "tag", "--points-at", "HEAD")
	if err != nil {
		return "", err
	}
	for _, dir := range nested {
		mod, err := goMod(filepath.Join(repository, dir))
		if err != nil {
			return "", err
		}
		if got := mod.requires(module); got != version {
			wrong = append(wrong, fmt.Errorf("%s/go.mod requires %s %s, want %s: a replace directive means nothing to programs",
				dir, module, got, version))
		}
		if tag := dir + "/" + version; !slices.Contains(strings.Fields(tags), tag) {
			wrong = append(wrong, fmt.Errorf("the commit has no tag %s, by which go get finds %s", tag, dir))
		}
	}
	return notes, errors.Join(wrong...)
}

var heading = regexp.MustCompile(`(?m)^## \[(.+)\](?: - (\d{4}-\d\d-\d\d))?$`)

// section returns what a changelog says of a version, and wants it to say a date.
func section(changelog, version string) (string, error) {
	found := heading.FindAllStringSubmatch(changelog, -1)
	at := heading.FindAllStringIndex(changelog, -1)
	for i, m := range found {
		if m[1] != version {
			continue
		}
		end := len(changelog)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		text := strings.TrimSpace(changelog[at[i][1]:end])
		switch {
		case m[2] == "":
			return "", fmt.Errorf("CHANGELOG.md has no date for %s, like ## [%s] - 2006-01-02", version, version)
		case text == "":
			return "", fmt.Errorf("CHANGELOG.md says nothing of %s", version)
		}
		return text, nil
	}
	return "", fmt.Errorf("CHANGELOG.md has no section ## [%s] - 2006-01-02", version)
}

// A modFile is the part of a go.mod that matters here.
type modFile struct {
	Require []struct{ Path, Version string }
	Replace []any
}

func goMod(dir string) (m modFile, err error) {
	out, err := command(dir, "go", "mod", "edit", "-json")
	if err != nil {
		return m, err
	}
	err = json.Unmarshal([]byte(out), &m)
	return m, err
}

func (m modFile) requires(path string) string {
	for _, r := range m.Require {
		if r.Path == path {
			return r.Version
		}
	}
	return "nothing"
}

func command(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s in %s: %w: %s", name, strings.Join(args, " "), dir, err, stderr.String())
	}
	return string(out), nil
}
