package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const changelog = `# Changelog

## [Unreleased]

## [0.2.0] - 2026-12-01

### Added

- Something, see [the list].

## [0.1.1]

- No date.

## [0.1.0] - 2026-11-01
`

func TestCheck(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		version  string
		required string // by otelkeycloak
		root     string // more of the root's go.mod
		tags     []string
		want     string // the notes
		errs     []string
	}{
		{
			name: "ready", version: "v0.2.0", required: "v0.2.0", tags: []string{"v0.2.0", "otelkeycloak/v0.2.0"},
			want: "### Added\n\n- Something, see [the list].",
		},
		{name: "no version", version: "0.2.0", errs: []string{`"0.2.0" is no version`}},
		{name: "half a version", version: "v0.2", errs: []string{`"v0.2" is no version`}},
		{
			name: "not in the changelog", version: "v0.3.0", required: "v0.3.0", tags: []string{"otelkeycloak/v0.3.0"},
			errs: []string{"CHANGELOG.md has no section ## [0.3.0]"},
		},
		{
			name: "without a date", version: "v0.1.1", required: "v0.1.1", tags: []string{"otelkeycloak/v0.1.1"},
			errs: []string{"CHANGELOG.md has no date for 0.1.1"},
		},
		{
			name: "without a word", version: "v0.1.0", required: "v0.1.0", tags: []string{"otelkeycloak/v0.1.0"},
			errs: []string{"CHANGELOG.md says nothing of 0.1.0"},
		},
		{
			name: "everything forgotten", version: "v0.2.0", required: "v0.0.0-00010101000000-000000000000", root: "replace example.com/a => ./a\n",
			errs: []string{
				"go.mod has a replace directive",
				"otelkeycloak/go.mod requires github.com/c0mpiler/ginkeycloak v0.0.0-00010101000000-000000000000, want v0.2.0",
				"the commit has no tag otelkeycloak/v0.2.0",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			repo := t.TempDir()
			write(t, repo, "CHANGELOG.md", changelog)
			write(t, repo, "go.mod", "module "+module+"\n\ngo 1.26.0\n"+tt.root)
			write(t, repo, "otelkeycloak/go.mod", "module "+module+"/otelkeycloak\n\ngo 1.26.0\n\nrequire "+module+" "+tt.required+"\n")
			run(t, repo, "init", "--quiet")
			run(t, repo, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--allow-empty", "--message", "m")
			for _, tag := range tt.tags {
				run(t, repo, "tag", tag)
			}

			got, err := check(repo, tt.version)
			if len(tt.errs) == 0 && (err != nil || got != tt.want) {
				t.Errorf("%s %s = %q, %v, want %q", tt.version, tt.name, got, err, tt.want)
			}
			if len(tt.errs) > 0 && err == nil {
				t.Errorf("%s %s = %q, want errors %q", tt.version, tt.name, got, tt.errs)
			}
			for _, want := range tt.errs {
				if err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%s %s: error %v, want %q in it", tt.version, tt.name, err, want)
				}
			}
			if err != nil {
				if lines := strings.Count(err.Error(), "\n") + 1; lines != len(tt.errs) {
					t.Errorf("%s %s: %d errors %v, want %d", tt.version, tt.name, lines, err, len(tt.errs))
				}
			}
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %q: %v: %s", args, err, out)
	}
}
