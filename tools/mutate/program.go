package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/tools/go/packages"
)

// program is the tests of a target, with all mutants of the target's files in them.
type program struct {
	target  target
	mutants []mutant
	binary  string
	dir     string // of the package
	limit   time.Duration
}

// maxMemory is what a mutant may take, in KiB of address space: one that loops may also allocate.
const maxMemory = 8 << 20

// build writes the mutants into the target's files and compiles its tests. The files lie in tmp; the tree is left alone.
func build(ctx context.Context, root, tmp string, t target) (*program, error) {
	loaded, err := packages.Load(&packages.Config{Context: ctx, Mode: packages.LoadSyntax, Dir: root}, t.pkg)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", t.pkg, err)
	}
	pkg := loaded[0]
	if len(pkg.Errors) > 0 {
		return nil, fmt.Errorf("load %s: %w", t.pkg, pkg.Errors[0])
	}
	p := &program{target: t, binary: filepath.Join(tmp, "tests"), dir: filepath.Join(root, t.pkg)}
	replace := make(map[string]string)
	put := func(path, src string) error {
		to := filepath.Join(tmp, strconv.Itoa(len(replace))+".go")
		replace[path] = to
		return os.WriteFile(to, []byte(src), 0o600)
	}
	for i, f := range pkg.Syntax {
		path := pkg.CompiledGoFiles[i]
		if len(t.files) > 0 && !slices.Contains(t.files, filepath.Base(path)) {
			continue
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		changed, mutants := rewrite(pkg, f, relative(root, path), string(src), len(p.mutants)+1)
		p.mutants = append(p.mutants, mutants...)
		if err := put(path, changed); err != nil {
			return nil, err
		}
	}
	if err := put(filepath.Join(p.dir, "mutant_switch.go"), strings.Replace(switchSource, "PACKAGE", pkg.Name, 1)); err != nil {
		return nil, err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	overlayFile := filepath.Join(tmp, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay="+overlayFile, "-o", p.binary, t.pkg)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile the mutants of %s: %w\n%s", t, err, out)
	}
	return p, nil
}

// prove runs the tests without a mutant, which must pass, and returns the mutants that they get to.
func (p *program) prove(ctx context.Context, tmp string) (reached map[int]bool, err error) {
	log := filepath.Join(tmp, "reached")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		return nil, err
	}
	begin := time.Now()
	for _, pattern := range p.patterns() {
		if out, err := p.run(ctx, pattern, "MUTANT_LOG="+log); err != nil {
			return nil, fmt.Errorf("tests of %s without a mutant: %w\n%s", p.target, err, out)
		}
	}
	p.limit = 10*time.Second + 5*time.Since(begin)
	ids, err := os.ReadFile(log)
	if err != nil {
		return nil, err
	}
	reached = make(map[int]bool)
	for id := range strings.FieldsSeq(string(ids)) {
		n, err := strconv.Atoi(id)
		if err != nil {
			return nil, err
		}
		reached[n] = true
	}
	return reached, nil
}

// patterns are the tests to run one after the other, as for go test -run.
func (p *program) patterns() []string {
	if len(p.target.run) == 0 {
		return []string{""}
	}
	return p.target.run
}

// kills reports whether a test fails, or goes on for ever, with the mutant.
func (p *program) kills(ctx context.Context, m mutant) (bool, error) {
	limited, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	for _, pattern := range p.patterns() {
		_, err := p.run(limited, pattern, "MUTANT="+strconv.Itoa(m.id))
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited && limited.Err() == nil {
			return false, fmt.Errorf("run the tests of %s: %w", p.target, err)
		}
		if err != nil {
			return true, nil
		}
	}
	return false, nil
}

// run runs the tests of a pattern, within the limit on memory. Most of them wait for a clock and not for a core.
func (p *program) run(ctx context.Context, pattern, env string) ([]byte, error) {
	script := fmt.Sprintf(`ulimit -v %d; exec "$0" "$@"`, maxMemory)
	cmd := exec.CommandContext(ctx, "sh", "-c", script, p.binary, "-test.failfast", "-test.parallel=16", "-test.run="+pattern)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), env)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.Bytes(), err
}
