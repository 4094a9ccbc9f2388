package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	gpl = `This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public
License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.`

	mpl = `This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0. If a copy of the MPL was not
distributed with this file, You can obtain one at http://mozilla.org/MPL/2.0/.`

	apache = `Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance
with the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0`

	house = `You may use this on weekdays, with our permission, as long as the moon is full.`
)

func TestRead(t *testing.T) {
	t.Parallel()
	ours, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	mit := string(ours)
	tests := []struct {
		name   string
		path   string
		files  map[string]string
		want   []string
		notice bool
		err    string
	}{
		{name: "MIT", files: map[string]string{"LICENSE": mit, "code.go": "package code"}, want: []string{"MIT"}},
		{name: "in another spelling", files: map[string]string{"Licence.md": mit}, want: []string{"MIT"}},
		{name: "a part with another one", files: map[string]string{"LICENSE": mit, "part/COPYING": apache}, want: []string{"Apache-2.0", "MIT"}},
		{name: "with a notice", files: map[string]string{"LICENSE": mit, "NOTICE": "by us"}, want: []string{"MIT"}, notice: true},
		{name: "none", files: map[string]string{"code.go": "package code"}, err: "no licence file"},
		{name: "only in a part", files: map[string]string{"part/LICENSE": mit}, err: "no licence file"},
		{name: "a Go file with such a name", files: map[string]string{"license.go": mit}, err: "no licence file"},
		{name: "unknown", files: map[string]string{"LICENSE": house}, err: "LICENSE: unknown licence"},
		{name: "more than the known one", files: map[string]string{"LICENSE": mit + strings.Repeat(house+"\n", 20)}, err: "unknown licence"},
		{name: "GPL", files: map[string]string{"COPYING": gpl}, err: "is not among the permissive ones"},
		{name: "MPL in a part", files: map[string]string{"LICENSE": mit, "a/b/LICENSE.txt": mpl}, err: "a/b/LICENSE.txt: licence MPL-2.0"},
		{name: "both", files: map[string]string{"LICENSE": mit, "LICENSE.GPL": gpl}, err: "is not among the permissive ones"},
		{name: "MPL in what only tests read", files: map[string]string{"LICENSE": mit, "testdata/LICENSE": mpl}, want: []string{"MIT"}},
		{
			name: "an ignored file", path: "github.com/quic-go/quic-go",
			files: map[string]string{"LICENSE": mit, "assets/LICENSE.md": house}, want: []string{"MIT"},
		},
		{
			name: "the ignored file of another module", path: "example.com/other",
			files: map[string]string{"LICENSE": mit, "assets/LICENSE.md": house}, err: "assets/LICENSE.md: unknown licence",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			module := make(fstest.MapFS)
			for name, text := range tt.files {
				module[name] = &fstest.MapFile{Data: []byte(text)}
			}
			d := &dependency{Path: tt.path}
			err := d.read(module)
			switch {
			case tt.err == "" && err != nil:
				t.Errorf("reading a module %s: %v, want no error", tt.name, err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("reading a module %s: error %v, want %q", tt.name, err, tt.err)
			case tt.err == "" && (!slices.Equal(d.licences, tt.want) || d.notice != tt.notice):
				t.Errorf("reading a module %s = %q, notice %t, want %q, %t", tt.name, d.licences, d.notice, tt.want, tt.notice)
			}
		})
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	deps := []*dependency{
		{Path: "example.com/a", Version: "v1.0.0", licences: []string{"BSD-3-Clause", "MIT"}, linkedBy: map[string]bool{self: true, self + "/metrics": true}},
		{Path: "example.com/b", Version: "v1.1.0", licences: []string{"Apache-2.0"}, notice: true, linkedBy: map[string]bool{self + "/metrics": true}},
		{Path: "example.com/c", Version: "v1.2.0", licences: []string{"MIT"}},
		{Path: swgui, Version: "v1.8.5", licences: []string{"MIT"}, linkedBy: map[string]bool{self: true}},
	}
	text, err := document(deps)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| example.com/a | v1.0.0 | BSD-3-Clause, MIT |  | every program |\n",
		"| example.com/b | v1.1.0 | Apache-2.0 | yes | `metrics` |\n",
		"| example.com/c | v1.2.0 | MIT |  | our tests, or a build tag |\n",
		"swagger-ui) 5.29.1, which",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the document has no %q:\n%s", want, text)
		}
	}

	deps[3].Version = "v99.0.0"
	if _, err := document(deps); err == nil || !strings.Contains(err.Error(), "look up which Swagger UI is in") {
		t.Errorf("the document with a swgui nobody looked at: error %v, want one that says so", err)
	}
}
