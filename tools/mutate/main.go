// Command mutate changes the code that decides about access, one place at a time, and reports each change that no test
// notices: a check that is left out, a condition that is always true, a boundary that is off by one, an error that is
// forgotten.
//
// It writes all changes into the code at once, each behind a switch, compiles the tests once, and runs them for each
// change. So one change costs what its tests cost, and not a compilation. go's -overlay keeps the tree as it is.
//
// Run it in the folder tools: go run ./mutate. Survivors that no test could notice are explained in
// mutate/survivors.txt; anything else that survives makes it fail, and so does an explanation that is not needed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"time"
)

// target is code to change, and the tests that should notice.
type target struct {
	pkg   string   // with its tests, relative to the module
	files []string // of the package; nil for all
	run   []string // which tests, as for go test -run: quick ones first, which spare the others; nil for all
}

func (t target) String() string {
	if len(t.files) == 0 {
		return t.pkg
	}
	return fmt.Sprint(t.files)
}

func (t target) has(file string) bool {
	return filepath.Dir(file) == filepath.Clean(t.pkg) && (len(t.files) == 0 || slices.Contains(t.files, filepath.Base(file)))
}

var targets = []target{
	{pkg: "./internal/token"},
	{pkg: "./internal/bearer"},
	{pkg: "./internal/keys"},
	{pkg: ".", files: []string{"validate.go"}, run: []string{
		"^Test(Claims|Leeway|LastMomentOfAToken|Signature|IntrospectionAnswers|Lightweight.*|IssuersAndAudiences)$",
		"^Test(IDTokenIsNoAccessToken|TimesDoNotOverflow|KeyID|TokenDoesNotChooseTheIssuer|HopelessTokensFetchNothing|TwoRealmsOnOneEngine|" +
			"IntrospectionModes|VerifiedTokensAreRecognised|RecognisedTokensDie|CloseIsIdempotentAndRefusesRequests|NoCallsAfterClose|CloseEndsWhatIsUnderWay|" +
			"MetadataIsKeptTwiceAsLongAsKeys|ConnectReportsWhatIsWrong|TLS|CertificateForAnotherUse)$",
	}},
	{pkg: ".", files: []string{"extract.go"}, run: []string{"^Test(Credentials|CredentialsElsewhere|TokenExtractors|ExtractorOfOnesOwn|ReasonOfWrongCredentials|FormIsReadOnlyWhereOneCanBe)$"}},
	{pkg: ".", files: []string{"introspect.go"}, run: []string{
		"^Test(IntrospectionAnswers|IntrospectionModes|IntrospectionOfStrangeTokens|LightweightTokensAreRecognised|RequireActive.*|HintAboutTheAudience)$",
		"^Test(Introspection.*|Lightweight.*|Inactive.*|OwnCredentialsRefused|TraceOfIntrospection|MistakesOfTheConfiguration|PanicBehindARecoveryThatDoesNotAbort)$",
	}},
	{pkg: ".", files: []string{"roles.go"}, run: []string{
		"^Test(Require.*|ScopeChallengeNamesTheScopes|TwoRealmsOnOneEngine|MistakesInRequirementsPanicAtRegistration|GuardsDoNotBelieveTheContext|" +
			"OptionalMiddleware|SwaggerRequirements|PanicsInCallbacks)$",
	}},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1) //nolint:gocritic // the signals need not be given back
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	root := flags.String("C", "..", "the module's `folder`")
	list := flags.String("explained", "mutate/survivors.txt", "`file` of explained survivors")
	only := flags.String("only", "", "change only files that match this `pattern`")
	workers := flags.Int("p", runtime.GOMAXPROCS(0), "how many tests run at the same time")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(*root)
	if err != nil {
		return err
	}
	file, err := os.Open(*list)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	known, err := readExplanations(file)
	if err != nil {
		return fmt.Errorf("%s: %w", *list, err)
	}

	failed := false
	for _, t := range targets {
		if !chosen.MatchString(t.String()) {
			continue
		}
		ok, err := try(ctx, abs, t, known, *workers, out)
		if err != nil {
			return err
		}
		failed = failed || !ok
	}
	if failed {
		return errors.New("a change that no test notices: write the test, or explain in " + *list + " why there can be none")
	}
	return nil
}

// try tries all mutants of a target and reports whether all is well.
func try(ctx context.Context, root string, t target, known explanations, workers int, out io.Writer) (ok bool, err error) {
	tmp, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	begin := time.Now()
	p, err := build(ctx, root, tmp, t)
	if err != nil {
		return false, err
	}
	reached, err := p.prove(ctx, tmp)
	if err != nil {
		return false, err
	}
	survived, err := p.survivors(ctx, reached, known, workers)
	if err != nil {
		return false, err
	}
	ok = true
	explained := 0
	for _, m := range survived {
		if known.take(m) {
			explained++
			continue
		}
		ok = false
		how := "survived"
		if !reached[m.id] {
			how = "not reached"
		}
		_, _ = fmt.Fprintf(out, "%s: %s:%d\n%s\n", how, m.file, m.line, m)
	}
	for _, needless := range known.left(t.has) {
		ok = false
		_, _ = fmt.Fprintf(out, "explained, but it is noticed or gone:\n%s\n", needless)
	}
	_, _ = fmt.Fprintf(out, "%s: %d mutants, %d killed, %d explained, %d to do, %v\n", t,
		len(p.mutants), len(p.mutants)-len(survived), explained, len(survived)-explained, time.Since(begin).Round(time.Second))
	return ok, nil
}

// survivors runs the tests for each mutant that they get to, and returns those that they do not notice.
func (p *program) survivors(ctx context.Context, reached map[int]bool, known explanations, workers int) ([]mutant, error) {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex // guards alive and failed
		alive  []mutant
		failed error
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan mutant)
	for range workers {
		wg.Go(func() {
			for m := range queue {
				killed, err := p.kills(ctx, m)
				for tries := 1; killed && err == nil && known[m.String()] > 0 && tries < 3; tries++ {
					killed, err = p.kills(ctx, m) // a slow machine may fail a test that notices nothing
				}
				mu.Lock()
				if err != nil {
					failed = errors.Join(failed, err)
					cancel()
				} else if !killed {
					alive = append(alive, m)
				}
				mu.Unlock()
			}
		})
	}
	for _, m := range p.mutants {
		if reached[m.id] {
			queue <- m
			continue
		}
		mu.Lock()
		alive = append(alive, m)
		mu.Unlock()
	}
	close(queue)
	wg.Wait()
	slices.SortFunc(alive, func(a, b mutant) int { return a.id - b.id })
	return alive, failed
}
