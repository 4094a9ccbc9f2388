package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// permissive are the licences that go with our MIT licence in a program under any licence: they ask for their text and
// the copyright to be passed on. Copyleft is missing on purpose.
var permissive = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "ISC", "MIT", "MIT-0", "Unlicense", "Zlib"}

// enough is how much of a file, in percent, has to be the text of licences. Go's module index asks for the same; what
// is left is the copyright and the like.
const enough = 75

// ignored are licence files of what no package embeds, by module and file.
var ignored = map[string]string{
	"github.com/quic-go/quic-go": "assets/LICENSE.md", // the logo
}

var (
	licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([-._].*)?$`)
	noticeFile  = regexp.MustCompile(`(?i)^(third-party-)?notices?([.].*)?$`)
	errNone     = errors.New("no licence file")
)

// read finds the licences in the module's files: the one at the top, and those of parts that come from elsewhere.
func (d *dependency) read(module fs.FS) error {
	atTop := false
	var bad []error
	err := fs.WalkDir(module, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if entry.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		case noticeFile.MatchString(entry.Name()):
			d.notice = true
			return nil
		case !licenceFile.MatchString(entry.Name()) || strings.HasSuffix(name, ".go") || ignored[d.Path] == name:
			return nil
		}
		text, err := fs.ReadFile(module, name)
		if err != nil {
			return err
		}
		atTop = atTop || path.Dir(name) == "."
		licences, err := detect(text)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", name, err))
		}
		d.licences = append(d.licences, licences...)
		return nil
	})
	if err == nil && !atTop {
		bad = append(bad, errNone)
	}
	slices.Sort(d.licences)
	d.licences = slices.Compact(d.licences)
	return errors.Join(append(bad, err)...)
}

// detect returns the licences in a text by their SPDX identifiers, all of them permissive.
func detect(text []byte) ([]string, error) {
	cover := licensecheck.Scan(text)
	if cover.Percent < enough || len(cover.Match) == 0 {
		return nil, fmt.Errorf("unknown licence: only %.0f%% of the text is known", cover.Percent)
	}
	var found []string
	for _, m := range cover.Match {
		if !slices.Contains(permissive, m.ID) {
			return nil, fmt.Errorf("licence %s is not among the permissive ones", m.ID)
		}
		found = append(found, m.ID)
	}
	return found, nil
}
