package keycloak

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJavaVersion(t *testing.T) {
	t.Parallel()
	tests := []struct {
		output string
		want   int
	}{
		{"openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment", 17},
		{`openjdk version "25" 2025-09-16`, 25},
		{`openjdk version "26-ea" 2026-03-17`, 26},
		{`java version "1.8.0_392"`, 8},
		{"Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"21.0.2\"", 21},
		{"The operation couldn't be completed.", 0},
	}
	for _, tt := range tests {
		if got := javaVersion(tt.output); got != tt.want {
			t.Errorf("javaVersion(%q) = %d, want %d", tt.output, got, tt.want)
		}
	}
}

func TestFindJava(t *testing.T) {
	old, young := fakeJava(t, "1.8.0_392"), fakeJava(t, "21.0.2")
	tests := []struct {
		name     string
		javaHome string
		path     string
		want     string // the java that is found, or
		missing  string // a part of the error
	}{
		{"none", "", "", "", "needs Java 17 or newer: install"},
		{"on PATH", "", young, young, ""},
		{"JAVA_HOME goes first", young, old, young, ""},
		{"JAVA_HOME is too old, PATH is not", old, young, young, ""},
		{"too old", old, "", "", "which is Java 8: install"},
		{"JAVA_HOME leads nowhere", filepath.Join(young, "nowhere"), "", "", "which does not run"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("JAVA_HOME", tt.javaHome)
			t.Setenv("PATH", filepath.Join(tt.path, "bin"))
			got, err := findJava(t.Context())
			if tt.missing != "" {
				var missing *MissingError
				if !errors.As(err, &missing) || !strings.Contains(err.Error(), tt.missing) {
					t.Errorf("error = %v, want a *MissingError with %q", err, tt.missing)
				}
				return
			}
			if want := filepath.Join(tt.want, "bin", "java"); err != nil || got != want {
				t.Errorf("findJava = %s, %v, want %s", got, err, want)
			}
		})
	}
}

// fakeJava is a JAVA_HOME whose java says that it is of the given version.
func fakeJava(t *testing.T, version string) string {
	t.Helper()
	home := t.TempDir()
	must(t, os.Mkdir(filepath.Join(home, "bin"), 0o700))
	script := "#!/bin/sh\necho 'openjdk version \"" + version + "\"' >&2\n"
	must(t, os.WriteFile(filepath.Join(home, "bin", "java"), []byte(script), 0o700))
	return home
}

func TestMissingMaven(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	cache := t.TempDir()
	_, err := openDistribution(t.Context(), cache, "1.2.3")
	var missing *MissingError
	if !errors.As(err, &missing) || !strings.Contains(missing.Mend, "keycloak-quarkus-dist-1.2.3.zip into "+cache) {
		t.Errorf("error = %v, want a *MissingError that says which file to put where", err)
	}
}

func TestVersionIsNoPath(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"../26.7.5", "26/7", "/26", "a:b", ""} {
		if _, err := openDistribution(t.Context(), t.TempDir(), version); err == nil {
			t.Errorf("openDistribution(%q) = no error, want one", version)
		}
	}
}
