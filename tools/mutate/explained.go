package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// explanations are the mutants that may survive, each with the number of times that it may: the same change can be
// possible at several places of a function.
type explanations map[string]int

// readExplanations reads a file of mutants, one or several followed by indented lines that say why no test can notice
// them. Lines that begin with # are comments.
func readExplanations(r io.Reader) (explanations, error) {
	all := make(explanations)
	explained := true
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "\t"):
			if len(all) == 0 {
				return nil, fmt.Errorf("line %d: a reason without a mutant", n)
			}
			explained = true
		default:
			explained = false
			all[line]++
		}
	}
	if !explained {
		return nil, errors.New("the last mutant has no reason")
	}
	return all, lines.Err()
}

// take reports whether a survivor is explained, and uses the explanation up.
func (e explanations) take(m mutant) bool {
	if e[m.String()] == 0 {
		return false
	}
	e[m.String()]--
	return true
}

// left are the explanations that no survivor took, of those for which about says yes.
func (e explanations) left(about func(file string) bool) []string {
	var left []string
	for mutant, n := range e {
		file, _, _ := strings.Cut(mutant, " ")
		if n > 0 && about(file) {
			left = append(left, mutant)
		}
	}
	slices.Sort(left)
	return left
}
