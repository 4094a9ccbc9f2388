// Command peers measures this library and others on the same tokens, in one run and in turns, and writes what it found
// into the documents. With -bounds it holds this library to what it promises.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/c0mpiler/ginkeycloak/bench/peer"
	"github.com/c0mpiler/ginkeycloak/bench/stand"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// options say how long is measured.
type options struct {
	rounds    int
	batch     time.Duration // of one entrant in one round
	tokens    int           // that are seen for the first time in a batch
	crowd     int           // requests at once, at a cold start
	flood     time.Duration // of unknown kids
	rotations int
	every     time.Duration // a rotation
	memory    int           // distinct tokens
	progress  io.Writer
}

// thorough is for figures, short shows that everything works.
func thorough(progress io.Writer) options {
	return options{
		rounds: 9, batch: 40 * time.Millisecond, tokens: 1000, crowd: 10_000, flood: 3 * time.Second,
		rotations: 10, every: 1100 * time.Millisecond, memory: 1_000_000, progress: progress,
	}
}

func short(progress io.Writer) options {
	return options{
		rounds: 2, batch: 4 * time.Millisecond, tokens: 20, crowd: 200, flood: 200 * time.Millisecond,
		rotations: 2, every: 300 * time.Millisecond, memory: 2000, progress: progress,
	}
}

func run(ctx context.Context, args []string, stdout, progress io.Writer) error {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.SetOutput(progress)
	bounds := flags.Bool("bounds", false, "hold this library to its bounds instead of comparing it with others")
	quick := flags.Bool("short", false, "measure for a moment only, to see that everything works")
	docs := flags.String("docs", "", "write into performance.md and images/performance.svg of this folder instead of the output")
	if err := flags.Parse(args); err != nil {
		return err
	}
	o := thorough(progress)
	if *quick {
		o = short(progress)
	}
	defer stand.Hold()()
	logs, err := os.MkdirTemp("", "bench-peers")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(logs) }()
	if err := peer.LogInto(logs); err != nil {
		return err
	}
	if *bounds {
		return checkBounds(ctx, o, stdout)
	}
	return compare(ctx, o, *docs, stdout)
}

// compare measures everything and writes the report.
func compare(ctx context.Context, o options, docs string, stdout io.Writer) error {
	r, err := measure(ctx, peer.All(), o)
	if err != nil {
		return err
	}
	if err := r.write(docs, stdout); err != nil {
		return err
	}
	var errs []error
	for _, l := range r.unexplained() {
		errs = append(errs, fmt.Errorf("%s is ahead of ours in %q (%s), and no row says why", l.peer, l.row, l.what))
	}
	return errors.Join(errs...)
}

func (r *report) write(docs string, stdout io.Writer) error {
	if docs == "" {
		_, err := io.WriteString(stdout, r.Markdown())
		return err
	}
	return errors.Join(
		writeInto(filepath.Join(docs, "performance.md"), r.Markdown()),
		os.WriteFile(filepath.Join(docs, "images", "performance.svg"), []byte(r.SVG()), 0o644),
	)
}

// measure fills a report, the rows that need quiet first.
func measure(ctx context.Context, peers []peer.Peer, o options) (*report, error) {
	r := &report{machine: machine(), method: method(o), peers: peers}
	rs256, err := newRealm("RS256", o.tokens)
	if err != nil {
		return nil, err
	}
	defer rs256.server.Close()
	es256, err := newRealm("ES256", o.tokens)
	if err != nil {
		return nil, err
	}
	defer es256.server.Close()
	for _, c := range timedCases(rs256, es256) {
		o.say("time: %s", c.row)
		lanes, err := c.measure(ctx, peers, o)
		if err != nil {
			return nil, err
		}
		r.timed = append(r.timed, timedRow{c.row, timings(lanes)})
	}
	o.say("what each one lets in")
	if r.admissions, err = each(peers, func(p peer.Peer) (peer.Admission, error) { return p.Admit(ctx, rs256.server) }); err != nil {
		return nil, err
	}
	if err := r.measureTrouble(ctx, o); err != nil {
		return nil, err
	}
	return r, nil
}

// measureTrouble counts instead of taking times, so the peers may do most of it side by side.
func (r *report) measureTrouble(ctx context.Context, o options) (err error) {
	o.say("cold start")
	r.coldStarts, err = each(r.peers, func(p peer.Peer) (coldStart, error) { return measureColdStart(ctx, p, o.crowd) })
	if err != nil {
		return err
	}
	o.say("unknown kid")
	r.kids, err = each(r.peers, func(p peer.Peer) (unknownKids, error) { return measureUnknownKids(ctx, p, o.flood) })
	if err != nil {
		return err
	}
	o.say("rotation")
	r.rotations, err = together(r.peers, func(p peer.Peer) (rotations, error) {
		return measureRotations(ctx, p, o.rotations, o.every)
	})
	if err != nil {
		return err
	}
	o.say("memory")
	var remembering []peer.Peer
	for _, p := range r.peers {
		if p.Remembers {
			remembering = append(remembering, p)
		}
	}
	r.memory, err = each(remembering, func(p peer.Peer) (memory, error) { return measureMemory(ctx, p, o.memory) })
	return err
}

func (o options) say(format string, args ...any) {
	_, _ = fmt.Fprintf(o.progress, format+"\n", args...)
}

// each measures peers one after the other.
func each[T any](peers []peer.Peer, measure func(peer.Peer) (T, error)) (map[string]T, error) {
	all := make(map[string]T, len(peers))
	for _, p := range peers {
		result, err := measure(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		all[p.Name] = result
	}
	return all, nil
}

// together measures peers at the same time.
func together[T any](peers []peer.Peer, measure func(peer.Peer) (T, error)) (map[string]T, error) {
	var (
		group sync.WaitGroup
		mu    sync.Mutex // guards all and errs
		all   = make(map[string]T, len(peers))
		errs  []error
	)
	for _, p := range peers {
		group.Go(func() {
			result, err := measure(p)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", p.Name, err))
			}
			all[p.Name] = result
		})
	}
	group.Wait()
	return all, errors.Join(errs...)
}

// machine says what this runs on.
func machine() string {
	return fmt.Sprintf("Measured with %s on %s, %d cores (%s).", runtime.Version(), processor(), runtime.NumCPU(), runtime.GOARCH)
}

// processor is its name, where Linux says it.
func processor() string {
	info, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "an unknown processor"
	}
	defer func() { _ = info.Close() }()
	lines := bufio.NewScanner(info)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "an unknown processor"
}

// method says how it was measured, with the numbers that were used.
func method(o options) string {
	return fmt.Sprintf(`In each of %d rounds all took turns, each for about %v: a Gin engine in release mode, from ServeHTTP to a handler that reads the user's name, less the same round's time for a bare route; it is the processor's time, and on two cores the clock's. The program holds %d MiB besides, as a small API does, which sets how often the garbage collector runs. No network is in it unless a library fetches keys. First-seen tokens are %d different ones, each sent once; where libraries remember tokens, to a new instance each time. Cold start: %d requests at once; unknown kid: tokens with a new kid each, as fast as 100 clients get answers, for %v, and good ones meanwhile; rotation: %d new keys, one each %v, while users come with the newest and the first; Keycloak takes %v for each answer.`,
		o.rounds, o.batch, stand.HeldMiB, o.tokens, o.crowd, o.flood, o.rotations, o.every, answerDelay)
}
