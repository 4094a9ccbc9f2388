// Apidiff compares what the library exports with what a release exported, and says which of it breaks programs. With
// -version it also fails if that version promises more than the changes keep.
//
//	go run ./apidiff [-version v0.2.0] [BASE]
//
// BASE is a tag or commit. Without one it is the last release; with -version the last one before the commit at hand, for
// that may have its tag already. It uses the package behind golang.org/x/exp/cmd/apidiff, whose command can no longer
// write a module's export data, and does not compare modules in two folders.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/exp/apidiff"
	"golang.org/x/mod/semver"
	"golang.org/x/tools/go/packages"
)

// modules are those that programs import, by their folder.
var modules = []string{".", "otelkeycloak"}

var errNoRelease = errors.New("no release yet: nothing to compare with")

func main() {
	version := flag.String("version", "", "the `version` that is to be released")
	flag.Parse()
	err := run("..", flag.Arg(0), *version)
	switch {
	case errors.Is(err, errNoRelease):
		fmt.Println(err)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(repository, base, version string) error {
	if base == "" {
		head := "HEAD"
		if version != "" {
			head = "HEAD^"
		}
		var err error
		if base, err = lastRelease(repository, head); err != nil {
			return err
		}
	}
	temp, err := os.MkdirTemp("", "apidiff-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	old := filepath.Join(temp, "base")
	if _, err := git(repository, "worktree", "add", "--quiet", "--detach", old, base); err != nil {
		return err
	}
	defer func() { _, _ = git(repository, "worktree", "remove", "--force", old) }()

	var all apidiff.Report
	for _, dir := range modules {
		report, err := compare(filepath.Join(old, dir), filepath.Join(repository, dir))
		if err != nil {
			return err
		}
		all.Changes = append(all.Changes, report.Changes...)
	}
	fmt.Printf("since %s:\n", base)
	if len(all.Changes) == 0 {
		fmt.Println("no changes")
	} else if err := all.Text(os.Stdout); err != nil {
		return err
	}
	if version == "" {
		return nil
	}
	return judge(base, version, all)
}

// lastRelease returns the newest tag of the root module that head contains.
func lastRelease(repository, head string) (string, error) {
	shallow, err := git(repository, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return "", err
	}
	if shallow == "true" {
		return "", errors.New("this clone is shallow, so it does not know the last release: git fetch --unshallow --tags")
	}
	tags, err := git(repository, "tag", "--list", "v[0-9]*", "--merged", head, "--sort=-version:refname")
	if err != nil {
		return "", err
	}
	if tags == "" {
		return "", errNoRelease
	}
	last, _, _ := strings.Cut(tags, "\n")
	return last, nil
}

func git(repository string, args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-C", repository}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// compare returns what changed from the module in one folder to the module in the other.
func compare(oldDir, newDir string) (apidiff.Report, error) {
	if _, err := os.Stat(filepath.Join(oldDir, "go.mod")); errors.Is(err, os.ErrNotExist) {
		added := apidiff.Change{Message: "module " + filepath.Base(newDir) + ": added", Compatible: true}
		return apidiff.Report{Changes: []apidiff.Change{added}}, nil
	}
	before, err := load(oldDir)
	if err != nil {
		return apidiff.Report{}, err
	}
	after, err := load(newDir)
	if err != nil {
		return apidiff.Report{}, err
	}
	return apidiff.ModuleChanges(before, after), nil
}

// load reads the packages of the module in dir that others can import.
func load(dir string) (*apidiff.Module, error) {
	loaded, err := packages.Load(&packages.Config{
		Dir:  dir,
		Mode: packages.LoadTypes | packages.NeedName | packages.NeedModule,
	}, "./...")
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", dir, err)
	}
	module := &apidiff.Module{}
	for _, p := range loaded {
		for _, e := range p.Errors {
			return nil, fmt.Errorf("load %s in %s: %w", p.PkgPath, dir, e)
		}
		module.Path = p.Module.Path
		if p.Name != "main" && !strings.Contains(p.PkgPath+"/", "/internal/") {
			module.Packages = append(module.Packages, p.Types)
		}
	}
	if len(module.Packages) == 0 {
		return nil, fmt.Errorf("no package in %s", dir)
	}
	return module, nil
}

// judge holds a version to its promise: what breaks programs needs a new major version, what is new a minor one. Before
// v1.0.0 what breaks programs needs a minor one, and what is new may come in any.
func judge(base, version string, report apidiff.Report) error {
	if !semver.IsValid(base) || !semver.IsValid(version) || semver.Compare(version, base) <= 0 {
		return fmt.Errorf("%s is no version after %s", version, base)
	}
	breaks, adds := 0, 0
	for _, c := range report.Changes {
		if c.Compatible {
			adds++
		} else {
			breaks++
		}
	}
	major := semver.Major(version) != semver.Major(base)
	minor := major || semver.MajorMinor(version) != semver.MajorMinor(base)
	switch early := semver.Major(version) == "v0"; {
	case breaks > 0 && early && !minor:
		return fmt.Errorf("%s breaks programs of %s in %d places, which asks for a new minor version", version, base, breaks)
	case breaks > 0 && !early && !major:
		return fmt.Errorf("%s breaks programs of %s in %d places, which asks for a new major version", version, base, breaks)
	case adds > 0 && !early && !minor:
		return fmt.Errorf("%s adds to %s in %d places, which asks for a new minor version", version, base, adds)
	}
	return nil
}
