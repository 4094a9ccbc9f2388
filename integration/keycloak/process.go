//go:build unix

package keycloak

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// stopLimit is how long Keycloak may take to end by itself; it needs about a second.
const stopLimit = 15 * time.Second

// command is what startProcess runs.
type command struct {
	path string
	args []string
	env  []string
	log  string // stdout and stderr are appended to this file
	dir  string // deleted if we die before the process does
}

// process is a process group, and a watcher that ends it when our own process is gone.
type process struct {
	cmd     *exec.Cmd
	watcher *exec.Cmd
	alive   io.Closer // the write end of the watcher's standard input

	ended chan struct{} // closed when cmd has ended; err is set before
	err   error
}

// startProcess runs c in a process group of its own.
func startProcess(c command) (*process, error) {
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(c.path, c.args...) //nolint:noctx // it outlives the context of Start; stop ends it
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		if p.err == nil {
			p.err = errors.New("exit status 0")
		}
		close(p.ended)
	}()
	if err := p.watch(c.dir); err != nil {
		return nil, joinCleanup(fmt.Errorf("watch over Keycloak: %w", err), p.stop())
	}
	return p, nil
}

// watch starts the watcher: a shell that reads its standard input, which ends when we do (by panic, by the time limit
// of go test, by SIGKILL), and then ends the process group and deletes dir. It has a group of its own, so that Ctrl-C
// spares it.
func (p *process) watch(dir string) error {
	const script = `read -r _; kill -s KILL -- "-$1"; sleep 1; rm -rf -- "$2"`
	pid := strconv.Itoa(p.cmd.Process.Pid)
	w := exec.Command("/bin/sh", "-c", script, "watch", pid, dir) //nolint:noctx // as above
	w.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	alive, err := w.StdinPipe()
	if err != nil {
		return err
	}
	if err := w.Start(); err != nil {
		return err
	}
	p.watcher, p.alive = w, alive
	return nil
}

// stop ends the process group, first kindly, then not, and returns when it is gone.
func (p *process) stop() error {
	err := p.endGroup()
	if p.watcher != nil { // last, so that it stands in for us if we are killed while stopping
		_ = p.watcher.Process.Kill()
		_ = p.alive.Close()
		_ = p.watcher.Wait()
	}
	return err
}

func (p *process) endGroup() error {
	group := -p.cmd.Process.Pid
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(group, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		if p.gone(stopLimit) {
			return nil
		}
	}
	return fmt.Errorf("process group %d did not end", -group)
}

// gone waits until nobody of the process group is left: the script can end before the JVM does.
func (p *process) gone(limit time.Duration) bool {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.ended:
		default:
			continue // not yet reaped: kill would find the zombie
		}
		if errors.Is(syscall.Kill(-p.cmd.Process.Pid, 0), syscall.ESRCH) {
			return true
		}
	}
	return false
}
