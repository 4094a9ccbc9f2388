package keycloak

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestUnzip is about archives that try to write elsewhere, or that hold what no Keycloak does.
func TestUnzip(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		entry string
		mode  fs.FileMode
		ok    bool
	}{
		{"a program", "keycloak-1/bin/kc.sh", 0o755, true},
		{"a folder", "keycloak-1/lib/", fs.ModeDir | 0o755, true},
		{"one folder up", "../evil", 0o644, false},
		{"up from inside", "keycloak-1/../../evil", 0o644, false},
		{"an absolute name", "/tmp/evil", 0o644, false},
		{"a folder above", "../evil/", fs.ModeDir | 0o755, false},
		{"a symbolic link", "keycloak-1/link", fs.ModeSymlink | 0o777, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			dir := filepath.Join(parent, "dir")
			must(t, os.Mkdir(dir, 0o700))
			err := unzip(archiveOf(t, tt.entry, tt.mode), dir)
			if (err == nil) != tt.ok {
				t.Errorf("unzip of %q: %v, want ok = %t", tt.entry, err, tt.ok)
			}
			outside, err := os.ReadDir(parent)
			must(t, err)
			if len(outside) != 1 {
				t.Errorf("unzip of %q wrote beside its folder: %v", tt.entry, outside)
			}
			if !tt.ok {
				return
			}
			info, err := os.Stat(filepath.Join(dir, tt.entry))
			must(t, err)
			if info.Mode()&0o700 != tt.mode&0o700 {
				t.Errorf("mode = %s, want the owner's part of %s", info.Mode(), tt.mode)
			}
		})
	}
}

func archiveOf(t *testing.T, entry string, mode fs.FileMode) *zip.Reader {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	header := &zip.FileHeader{Name: entry}
	header.SetMode(mode)
	f, err := w.CreateHeader(header)
	must(t, err)
	if !mode.IsDir() {
		_, err = f.Write([]byte("evil"))
		must(t, err)
	}
	must(t, w.Close())
	r, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil && r == nil {
		t.Fatal(err)
	}
	return r
}

// TestPublishTwice is about two runs that unpack at the same time: the first wins, the second is no error.
func TestPublishTwice(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	final := filepath.Join(cache, "keycloak-1")
	for _, content := range []string{"first", "second"} {
		tmp := filepath.Join(cache, content)
		must(t, os.Mkdir(tmp, 0o700))
		must(t, os.WriteFile(filepath.Join(tmp, "file"), []byte(content), 0o600))
		if err := publish(tmp, final); err != nil {
			t.Errorf("publish of the %s folder: %v", content, err)
		}
	}
	got, err := os.ReadFile(filepath.Join(final, "file"))
	must(t, err)
	if string(got) != "first" {
		t.Errorf("the cache holds the %s folder, want the first", got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
