// Command load measures over HTTP what the library costs a server: it starts servers, sends them requests with wrk, and
// compares. Server, generator and the fake Keycloak are processes of their own, so that none shares a runtime with
// another. The table goes into docs/performance.md; a bound that is missed makes the command fail.
//
//	go run ./load -doc ../docs/performance.md
//
// The generator is wrk, and not a Go module such as vegeta or fortio, because it runs on the machine that it measures:
// per request it takes a fraction of what the server takes, so the ratios are about the servers. A heavy generator would
// make all servers look alike.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// options are how much is measured.
type options struct {
	rounds      int
	duration    time.Duration
	warmUp      time.Duration
	connections int
	pause       time.Duration // of each connection between requests, at least; 0 for as fast as it goes
	tokens      int
	only        *regexp.Regexp
	profiles    string // a directory
	say         func(format string, args ...any)
}

// tokensPerCore is how many new tokens are minted for each core. A core checks fewer signatures in a measurement, and
// it takes a core about a millisecond to mint one.
const tokensPerCore = 60_000

// errMissed means that everything was measured and a bound does not hold.
var errMissed = errors.New("a bound is missed")

func main() {
	if len(os.Args) > 1 && os.Args[1] == serveCommand {
		exit(serve(os.Args[2:], os.Stdin, os.Stdout))
	}
	o := options{say: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	flag.IntVar(&o.rounds, "rounds", 5, "how often each case is measured")
	flag.DurationVar(&o.duration, "duration", 4*time.Second, "how long each case is measured in a round, in whole seconds")
	flag.DurationVar(&o.warmUp, "warm-up", time.Second, "how long each server is warmed up before, in whole seconds")
	flag.IntVar(&o.connections, "connections", 32, "connections at once")
	flag.IntVar(&o.tokens, "tokens", tokensPerCore*runtime.NumCPU(), "how many new tokens there are for each server")
	flag.StringVar(&o.profiles, "profiles", "", "a directory for the servers' CPU profiles, by case and round")
	only := flag.String("only", "", "measure the cases that this regular expression matches, and write nothing")
	doc := flag.String("doc", "", "the document whose section \"Over HTTP\" is to be written")
	flag.Parse()
	exit(start(o, *only, *doc, os.Stdout))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// start measures, shows the result, and writes it into the document if all of it was measured.
func start(o options, only, doc string, out io.Writer) error {
	var err error
	if o.only, err = regexp.Compile(only); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	m, err := measure(ctx, o)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, m.markdown()); err != nil {
		return err
	}
	if doc != "" && only == "" {
		if err := writeInto(doc, m.markdown()); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(m.bounds(), func(b bound) bool { return b.verdict() == missed }) {
		return errMissed
	}
	return nil
}
