package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/exp/apidiff"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	var (
		none   = apidiff.Report{}
		adds   = apidiff.Report{Changes: []apidiff.Change{{Message: "New: added", Compatible: true}}}
		breaks = apidiff.Report{Changes: []apidiff.Change{{Message: "Old: removed"}, {Message: "New: added", Compatible: true}}}
	)
	tests := []struct {
		name          string
		base, version string
		report        apidiff.Report
		want          string // in the error
	}{
		{"the same API", "v1.2.3", "v1.2.4", none, ""},
		{"an addition in a minor version", "v1.2.3", "v1.3.0", adds, ""},
		{"an addition in a patch", "v1.2.3", "v1.2.4", adds, "new minor version"},
		{"an addition in a patch before v1", "v0.2.3", "v0.2.4", adds, ""},
		{"a break in a major version", "v1.2.3", "v2.0.0", breaks, ""},
		{"a break in a minor version", "v1.2.3", "v1.3.0", breaks, "new major version"},
		{"a break in a minor version before v1", "v0.2.3", "v0.3.0", breaks, ""},
		{"a break in v1 itself", "v0.2.3", "v1.0.0", breaks, ""},
		{"a break in a patch before v1", "v0.2.3", "v0.2.4", breaks, "new minor version"},
		{"the version of the base", "v1.2.3", "v1.2.3", none, "no version after"},
		{"an older version", "v1.2.3", "v1.2.2", none, "no version after"},
		{"a version without v", "v1.2.3", "1.2.4", none, "no version after"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := judge(tt.base, tt.version, tt.report)
			if got := message(err); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("judge(%s, %s, %s) = %q, want %q", tt.base, tt.version, tt.name, got, tt.want)
			}
		})
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestRun takes a small repository with the library's two modules through its first releases.
func TestRun(t *testing.T) {
	t.Parallel()
	repo := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(repo, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	try := func(args ...string) {
		t.Helper()
		if _, err := git(repo, args...); err != nil {
			t.Fatal(err)
		}
	}
	commit := func() {
		t.Helper()
		try("add", ".")
		try("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--message", "m")
	}
	expect := func(base, version, want string) {
		t.Helper()
		if got := message(run(repo, base, version)); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("apidiff from %q to %q: error %q, want %q", base, version, got, want)
		}
	}

	try("init", "--quiet")
	write("go.mod", "module example.com/lib\n\ngo 1.26.0\n")
	write("lib.go", "package lib\n\nfunc New() {}\n")
	write("internal/in/in.go", "package in\n\nfunc Hidden() {}\n")
	write("cmd/tool/main.go", "package main\n\nfunc main() {}\n")
	commit()
	if err := run(repo, "", ""); !errors.Is(err, errNoRelease) {
		t.Errorf("apidiff without a release = %v, want %v", err, errNoRelease)
	}

	try("tag", "v0.0.1")
	write("otelkeycloak/go.mod", "module example.com/lib/otelkeycloak\n\ngo 1.26.0\n")
	write("otelkeycloak/otel.go", "package otelkeycloak\n\nfunc Trace() {}\n")
	commit()
	expect("", "v0.1.0", "") // a module that is new

	try("tag", "v0.1.0")
	try("tag", "otelkeycloak/v0.9.0") // of the other module, so no release of the library
	write("internal/in/in.go", "package in\n")
	write("lib.go", "package lib\n\nfunc New() {}\n\nfunc More() {}\n")
	commit()
	try("tag", "v0.1.1")
	expect("", "v0.1.1", "") // from v0.1.0, though v0.1.1 is there already

	write("otelkeycloak/otel.go", "package otelkeycloak\n\nfunc Trace(name string) {}\n")
	expect("", "", "") // says so, and judges nothing
	commit()
	expect("", "v0.1.2", "asks for a new minor version")
	expect("v0.1.0", "v0.2.0", "")
	expect("v0.0.9", "", "git worktree add")

	write("lib.go", "package lib\n\nfunc New() { missing() }\n")
	expect("", "", "undefined: missing")

	if out, err := git(repo, "worktree", "list"); err != nil || strings.Contains(out, "\n") {
		t.Errorf("git worktree list = %q, %v, want no other folder to be left", out, err)
	}
}
