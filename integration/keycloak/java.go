package keycloak

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// minJava is the oldest Java that Keycloak 24 to 26 run on.
const minJava = 17

// MissingError says that this machine lacks a program a Keycloak needs, and how to mend that.
type MissingError struct {
	Program string // "Java 17 or newer"
	Found   string // what is there instead, if anything
	Mend    string
}

func (e *MissingError) Error() string {
	if e.Found == "" {
		return fmt.Sprintf("a real Keycloak needs %s: %s", e.Program, e.Mend)
	}
	return fmt.Sprintf("a real Keycloak needs %s, found %s: %s", e.Program, e.Found, e.Mend)
}

// findJava returns the java of JAVA_HOME or PATH, whichever is the first that is new enough.
func findJava(ctx context.Context) (string, error) {
	missing := &MissingError{
		Program: fmt.Sprintf("Java %d or newer", minJava),
		Mend:    "install a JDK or JRE and put java on PATH, or set JAVA_HOME to its folder",
	}
	var candidates []string
	if home := os.Getenv("JAVA_HOME"); home != "" {
		candidates = append(candidates, filepath.Join(home, "bin", "java"))
	}
	if path, err := exec.LookPath("java"); err == nil {
		candidates = append(candidates, path)
	}
	for _, java := range candidates {
		out, err := exec.CommandContext(ctx, java, "-version").CombinedOutput()
		if err != nil {
			missing.Found = fmt.Sprintf("%s, which does not run (%v)", java, err)
			continue
		}
		version := javaVersion(string(out))
		if version >= minJava {
			return java, nil
		}
		missing.Found = fmt.Sprintf("%s, which is Java %d", java, version)
	}
	return "", missing
}

// javaVersion is the feature release in the output of java -version: 17 of `openjdk version "17.0.15"`, 8 of
// `java version "1.8.0_392"`, 0 if there is none.
func javaVersion(output string) int {
	m := javaVersionLine.FindStringSubmatch(output)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

var javaVersionLine = regexp.MustCompile(`version "(?:1\.)?(\d+)`)
