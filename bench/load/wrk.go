package main

import (
	"bufio"
	"context"
	_ "embed" // for the script
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

//go:embed wrk.lua
var script string

// errNoWrk says how to get the generator.
var errNoWrk = errors.New("wrk, the load generator, is not here: apt-get install wrk, or brew install wrk, or https://github.com/wg/wrk")

// wrk is the generator.
type wrk struct {
	path, script string
}

// load is what one process of the generator sends.
type load struct {
	path        string        // of the URL
	tokens      string        // the file of tokens, one a line, sent in turn
	once        bool          // each token at most once
	answered    answer        // how all requests have to be
	connections int           // spread over threads
	threads     int           // of the generator
	pause       time.Duration // the mean pause of a connection between two requests
}

// answer is what becomes of a request.
type answer int

const (
	letIn answer = iota
	refused
	anyhow
)

// result is what the generator saw.
type result struct {
	requests int
	duration time.Duration
	p50, p99 time.Duration
	refused  int // answers with a status of 400 and more
	broken   int // requests without an answer
	repeated int // how often a thread began with its tokens again
}

// rate is requests per second.
func (r result) rate() float64 { return float64(r.requests) / r.duration.Seconds() }

// findWrk looks for the generator.
func findWrk() (string, error) {
	path, err := exec.LookPath("wrk")
	if err != nil {
		return "", errNoWrk
	}
	return path, nil
}

// version is the first line that wrk says of itself.
func (w wrk) version(ctx context.Context) string {
	out, _ := exec.CommandContext(ctx, w.path, "-v").CombinedOutput()
	line, _, _ := strings.Cut(string(out), " [")
	return strings.TrimSpace(line)
}

// timeout is how long the generator waits for an answer: longer than the server makes an unknown kid wait.
const timeout = 5 * time.Second

// run sends the load to the server for that time, and sees to it that the answers are what they have to be.
func (w wrk) run(ctx context.Context, server string, l load, d time.Duration) (result, error) {
	threads := strconv.Itoa(l.threads)
	cmd := exec.CommandContext(ctx, w.path,
		"--threads", threads, "--connections", strconv.Itoa(l.connections), "--duration", seconds(d),
		"--timeout", seconds(timeout), "--script", w.script, server+l.path,
		"--", l.tokens, threads, strconv.FormatInt(l.pause.Milliseconds(), 10))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	r, err := parseResult(string(out))
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return r, l.judge(r)
}

// seconds writes a time as wrk reads it.
func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) + "s" }

// judge says what makes a result worthless.
func (l load) judge(r result) error {
	switch {
	case r.requests == 0:
		return errors.New("no request was answered")
	case r.broken > 0:
		return fmt.Errorf("%d requests got no answer", r.broken)
	case l.once && r.repeated > 0:
		return fmt.Errorf("the new tokens did not suffice for this machine, which took %d: ask for more with -tokens", r.requests)
	case l.answered == refused && r.refused != r.requests:
		return fmt.Errorf("%d of %d requests that have to be refused were let in", r.requests-r.refused, r.requests)
	case l.answered == letIn && r.refused != 0:
		return fmt.Errorf("%d of %d good requests were refused", r.refused, r.requests)
	}
	return nil
}

// parseResult finds the line that the script writes when all is done.
func parseResult(out string) (result, error) {
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		if fields, ok := strings.CutPrefix(lines.Text(), "result "); ok {
			return parseFields(fields)
		}
	}
	return result{}, errors.New("there is no result")
}

func parseFields(text string) (result, error) {
	values := make(map[string]int)
	for field := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(field, "=")
		n, err := strconv.Atoi(value)
		if err != nil {
			return result{}, fmt.Errorf("read %s: %w", name, err)
		}
		values[name] = n
	}
	for _, name := range []string{"requests", "duration", "p50", "p99", "refused", "broken", "repeated"} {
		if _, ok := values[name]; !ok {
			return result{}, fmt.Errorf("%s is missing", name)
		}
	}
	micro := func(name string) time.Duration { return time.Duration(values[name]) * time.Microsecond }
	return result{
		requests: values["requests"], duration: micro("duration"), p50: micro("p50"), p99: micro("p99"),
		refused: values["refused"], broken: values["broken"], repeated: values["repeated"],
	}, nil
}
