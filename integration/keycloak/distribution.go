package keycloak

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// distribution is an unpacked Keycloak in the cache. Nothing in it is ever changed, only added by one atomic rename,
// so that runs of other programs can use it at the same time without a lock.
type distribution struct {
	dir       string // the unpacked distribution
	augmented string // lib/quarkus as the first start left it, if there was one
}

// openDistribution returns the unpacked distribution of version, which it downloads and unpacks if need be.
func openDistribution(ctx context.Context, cache, version string) (*distribution, error) {
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find the cache folder: %w", err)
		}
		cache = filepath.Join(dir, "ginkeycloak")
	}
	if !filepath.IsLocal(version) || strings.ContainsAny(version, `:/\`) {
		return nil, fmt.Errorf("%q is no version of Keycloak, like %s", version, DefaultVersion)
	}
	d := &distribution{
		dir:       filepath.Join(cache, "keycloak-"+version),
		augmented: filepath.Join(cache, "keycloak-"+version+"-augmented"),
	}
	if isDir(d.dir) {
		return d, nil
	}
	archive, err := fetchArchive(ctx, cache, version)
	if err != nil {
		return nil, err
	}
	return d, unpack(archive, cache, d.dir)
}

// copyForRun copies the distribution to a new temporary directory: 185 MB, in about 0.2 s. Keycloak writes below its
// own folder, so every run needs one.
func (d *distribution) copyForRun() (home string, err error) {
	home, err = os.MkdirTemp("", "ginkeycloak-keycloak-")
	if err != nil {
		return "", err
	}
	if err := d.copyTo(home); err != nil {
		return "", joinCleanup(fmt.Errorf("copy %s: %w", d.dir, err), os.RemoveAll(home))
	}
	return home, nil
}

func (d *distribution) copyTo(home string) error {
	if err := os.CopyFS(home, os.DirFS(d.dir)); err != nil {
		return err
	}
	if !isDir(d.augmented) {
		return nil
	}
	quarkus := filepath.Join(home, "lib", "quarkus")
	if err := os.RemoveAll(quarkus); err != nil {
		return err
	}
	return os.CopyFS(quarkus, os.DirFS(d.augmented))
}

// keepAugmented saves what the first start-dev of a distribution generates for its build options (20 s of the start),
// so that later runs need not.
func (d *distribution) keepAugmented(home string) error {
	if isDir(d.augmented) {
		return nil
	}
	tmp, err := os.MkdirTemp(filepath.Dir(d.augmented), ".augmented-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.CopyFS(tmp, os.DirFS(filepath.Join(home, "lib", "quarkus"))); err != nil {
		return err
	}
	return publish(tmp, d.augmented)
}

// fetchArchive returns the distribution's zip file, which Maven downloads and verifies if the cache has none.
func fetchArchive(ctx context.Context, cache, version string) (string, error) {
	name := "keycloak-quarkus-dist-" + version + ".zip"
	archive := filepath.Join(cache, name)
	if _, err := os.Stat(archive); err == nil {
		return archive, nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", &MissingError{
			Program: "Maven",
			Mend:    "put mvn on PATH, or put " + name + " into " + cache,
		}
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(cache, ".download-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "dependency:copy",
		"-Dartifact=org.keycloak:keycloak-quarkus-dist:"+version+":zip", "-DoutputDirectory="+tmp)
	cmd.Dir = tmp // a pom.xml of the current directory is none of our business
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("download Keycloak %s with Maven: %w\n%s", version, err, lastLines(string(out), 10))
	}
	return archive, publish(filepath.Join(tmp, name), archive)
}

// unpack unpacks the one folder of the archive as dir.
func unpack(archive, cache, dir string) error {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("unpack %s (if it is damaged, delete it): %w", archive, err)
	}
	defer r.Close()
	tmp, err := os.MkdirTemp(cache, ".unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := unzip(&r.Reader, tmp); err != nil {
		return fmt.Errorf("unpack %s: %w", archive, err)
	}
	return publish(filepath.Join(tmp, filepath.Base(dir)), dir)
}

// unzip writes the files of r below dir. [os.Root] refuses every name that would lead out of it.
func unzip(r *zip.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range r.File {
		if err := unzipFile(root, f); err != nil {
			return fmt.Errorf("%q: %w", f.Name, err)
		}
	}
	return nil
}

func unzipFile(root *os.Root, f *zip.File) error {
	if f.FileInfo().IsDir() {
		return root.MkdirAll(path.Clean(f.Name), 0o755)
	}
	if !f.Mode().IsRegular() {
		return fmt.Errorf("neither a file nor a folder but %s", f.Mode().Type())
	}
	if err := root.MkdirAll(path.Dir(f.Name), 0o755); err != nil {
		return err
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := root.OpenFile(f.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.Mode().Perm()|0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// publish gives a finished file or folder its final name. If another run was faster, its result stays.
func publish(tmp, final string) error {
	err := os.Rename(tmp, final)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
