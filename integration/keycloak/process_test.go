//go:build unix

package keycloak

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script runs a shell script as a process with a folder of its own, in which it writes down its own ID and its child's.
func script(t *testing.T, text string) (p *process, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "dir")
	must(t, os.Mkdir(dir, 0o700))
	p, err := startProcess(command{
		path: "/bin/sh", args: []string{"-c", text, "sh", dir + "/pids"}, env: os.Environ(), log: dir + "/log", dir: dir,
	})
	must(t, err)
	t.Cleanup(func() { must(t, p.stop()) })
	return p, dir
}

const parentAndChild = `sleep 600 & echo $$ $! >"$1.tmp"; mv "$1.tmp" "$1"; wait`

func TestStopEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	p, dir := script(t, parentAndChild)
	pids := readPIDs(t, dir+"/pids")
	must(t, p.stop())
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d of the group lives after stop", pid)
		}
	}
	if alive(p.watcher.Process.Pid) {
		t.Error("the watcher lives after stop")
	}
	must(t, p.stop()) // once more does no harm
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the folder is gone after stop, though a restart needs it: %v", err)
	}
}

// TestWatcherEndsTheGroup is about the death of the program that started a Keycloak: here its end of the pipe is closed, as the
// system does for a program that was killed.
func TestWatcherEndsTheGroup(t *testing.T) {
	t.Parallel()
	p, dir := script(t, parentAndChild)
	pids := readPIDs(t, dir+"/pids")
	must(t, p.alive.Close())
	for _, pid := range pids {
		eventually(t, "process "+strconv.Itoa(pid)+" has ended", func() bool { return !alive(pid) })
	}
	eventually(t, "the folder is deleted", func() bool {
		_, err := os.Stat(dir)
		return errors.Is(err, os.ErrNotExist)
	})
}

func TestProcessThatEndsByItself(t *testing.T) {
	t.Parallel()
	p, _ := script(t, "exit 3")
	<-p.ended
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("err = %v, want exit status 3", p.err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func readPIDs(t *testing.T, file string) []int {
	t.Helper()
	var text []byte
	eventually(t, file+" is there", func() (ok bool) {
		b, err := os.ReadFile(file)
		text = b
		return err == nil
	})
	var pids []int
	for _, field := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(field)
		must(t, err)
		pids = append(pids, pid)
	}
	return pids
}

// alive reports whether the process exists and is no zombie that its new parent has yet to reap.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(stat), ") Z ")
}
