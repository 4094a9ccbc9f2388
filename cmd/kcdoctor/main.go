// Command kcdoctor says why an API cannot use a Keycloak, or why it refuses a token. It looks at everything between
// this machine and Keycloak, then at the token if there is one, and begins with what is the matter:
//
//	go run github.com/c0mpiler/ginkeycloak/cmd/kcdoctor -issuer https://sso.example.com/realms/shop -audience orders-api
//
// A token comes from a file or, with -token -, from standard input; never from the command line, which others can see.
// Neither does the secret of -client-id: -client-secret-env names the environment variable that has it.
//
// It exits with 0 if all is well, with 1 if it found something, and with 2 if it was not asked properly.
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/c0mpiler/ginkeycloak"
)

// The exit codes.
const (
	exitWell  = 0
	exitFound = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, colour: isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == ""}
	code := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// program is one run.
type program struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	colour   bool
}

// question is what the flags ask for.
type question struct {
	issuer, internal                   string
	audience, algorithms               list
	clientID, secretEnv, tokenFile     string
	roles, clientRoles, groups, scopes list
	introspect, insecure, anyAudience  bool
	caFile                             string
	asJSON                             bool
	timeout                            time.Duration
}

// list is a flag that can be repeated, or given values with commas between.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	for _, v := range strings.Split(value, ",") {
		if v == "" {
			return errors.New("it is empty")
		}
		*l = append(*l, v)
	}
	return nil
}

// result is what -json prints.
type result struct {
	OK          bool                     `json:"ok"`
	Headline    string                   `json:"headline"`
	Report      ginkeycloak.Report       `json:"report"`
	Explanation *ginkeycloak.Explanation `json:"explanation,omitzero"`
}

func (p *program) run(ctx context.Context, args []string) int {
	q, err := p.parse(args)
	if err != nil {
		return exitUsage // which package flag has told
	}
	if q == nil {
		return exitWell // it was -help
	}
	kc, token, err := p.prepare(q)
	if err != nil {
		p.complain(strings.ReplaceAll(err.Error(), "\n", "\nkcdoctor: "))
		return exitUsage
	}
	defer func() { _ = kc.Close() }()
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()

	r := result{Report: kc.Diagnose(ctx)}
	r.OK = r.Report.OK
	if token != nil {
		e := kc.Explain(ctx, *token, q.wants()...)
		r.Explanation, r.OK = &e, r.OK && e.Valid
	}
	if err := p.print(q, &r); err != nil {
		p.complain(err.Error())
		return exitFound
	}
	if !r.OK {
		return exitFound
	}
	return exitWell
}

// complain writes to standard error. If that fails, there is nobody to tell.
func (p *program) complain(text string) { _, _ = fmt.Fprintln(p.err, "kcdoctor: "+text) }

func (p *program) parse(args []string) (*question, error) {
	q := new(question)
	f := flag.NewFlagSet("kcdoctor", flag.ContinueOnError)
	f.SetOutput(p.err)
	f.StringVar(&q.issuer, "issuer", "", "the issuer as tokens name it: https://sso.example.com/realms/shop")
	f.StringVar(&q.internal, "internal-url", "", "where Keycloak is reached from here, if not there: http://keycloak:8080")
	f.Var(&q.audience, "audience", "what the API expects in aud; default: the client ID")
	f.BoolVar(&q.anyAudience, "any-audience", false, "do not look at aud")
	f.Var(&q.algorithms, "alg", "signature algorithms that the API accepts; default: RS256")
	f.StringVar(&q.clientID, "client-id", "", "client of the API")
	f.StringVar(&q.secretEnv, "client-secret-env", "", "environment `variable` with the secret of the client")
	f.StringVar(&q.tokenFile, "token", "", "`file` with an access token to be explained, - for standard input")
	f.BoolVar(&q.introspect, "introspect", false, "have Keycloak judge the token, as with WithIntrospection")
	f.Var(&q.roles, "role", "role that the token should have, of the realm or of the client")
	f.Var(&q.clientRoles, "client-role", "role of another client that the token should have, as `client:role`")
	f.Var(&q.groups, "group", "group that the token should have: /eng")
	f.Var(&q.scopes, "scope", "scope that the token should have")
	f.StringVar(&q.caFile, "ca", "", "`file` with the certificates, as PEM, that may vouch for Keycloak's; default: the system's")
	f.BoolVar(&q.insecure, "insecure", false, "do not verify certificates, but still say what is wrong with them")
	f.BoolVar(&q.asJSON, "json", false, "print JSON")
	f.DurationVar(&q.timeout, "timeout", 30*time.Second, "how long all of it may take")
	f.Usage = func() {
		_, _ = io.WriteString(p.err, "kcdoctor says why an API cannot use a Keycloak, or why it refuses a token.\n\n"+
			"  kcdoctor -issuer https://sso.example.com/realms/shop -audience orders-api\n"+
			"  kcdoctor -issuer … -client-id orders-api -client-secret-env SECRET -token - <token.txt\n\n"+
			"It exits with 0 if all is well, 1 if it found something, 2 if it was not asked properly.\n\n")
		f.PrintDefaults()
	}
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, nil //nolint:nilnil // there is no question, and no mistake
	case err != nil:
		return nil, err
	case f.NArg() > 0:
		p.complain("there are arguments without a flag before them") // which may be tokens
		return nil, errors.New("arguments")
	}
	return q, nil
}

// prepare makes a plugin as the API has it, and reads the token; nil if none is asked about.
func (p *program) prepare(q *question) (*ginkeycloak.Plugin, *string, error) {
	var mistakes []error
	if q.issuer == "" {
		mistakes = append(mistakes, errors.New("-issuer is missing: https://sso.example.com/realms/shop"))
	}
	token, err := p.readToken(q.tokenFile)
	mistakes = append(mistakes, err)
	opts, err := p.options(q)
	mistakes = append(mistakes, err)
	for _, role := range q.clientRoles {
		if client, role, ok := strings.Cut(role, ":"); !ok || client == "" || role == "" {
			mistakes = append(mistakes, errors.New("-client-role must be client:role"))
		}
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, nil, err
	}
	kc, err := ginkeycloak.New(opts...)
	return kc, token, err
}

// options are those of the API.
func (p *program) options(q *question) ([]ginkeycloak.Option, error) {
	opts := []ginkeycloak.Option{
		ginkeycloak.WithIssuer(q.issuer),
		ginkeycloak.WithLogger(slog.New(slog.DiscardHandler)), // the report says it all
	}
	add := func(wanted bool, option func() ginkeycloak.Option) {
		if wanted {
			opts = append(opts, option())
		}
	}
	add(q.internal != "", func() ginkeycloak.Option { return ginkeycloak.WithInternalURL(q.internal) })
	add(q.clientID != "", func() ginkeycloak.Option { return ginkeycloak.WithClientID(q.clientID) })
	add(len(q.audience) > 0, func() ginkeycloak.Option { return ginkeycloak.WithAudience(q.audience...) })
	add(q.anyAudience, ginkeycloak.WithInsecureSkipAudience)
	add(len(q.algorithms) > 0, func() ginkeycloak.Option { return ginkeycloak.WithAlgorithms(q.algorithms...) })
	add(q.insecure, ginkeycloak.WithInsecureSkipTLSVerify)
	add(q.introspect, func() ginkeycloak.Option { return ginkeycloak.WithIntrospection() })
	if q.secretEnv != "" {
		secret := p.getenv(q.secretEnv)
		if secret == "" {
			return nil, errors.New("-client-secret-env: no such environment variable, or it is empty") // its name may be the secret
		}
		opts = append(opts, ginkeycloak.WithClientSecret(secret))
	}
	if q.caFile == "" {
		return opts, nil
	}
	pem, err := os.ReadFile(q.caFile)
	if err != nil {
		return nil, fmt.Errorf("-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("-ca: the file has no certificate as PEM")
	}
	return append(opts, ginkeycloak.WithRootCAs(pool)), nil
}

// maxToken is how much is read of a token. What is longer is too long in any case.
const maxToken = 1 << 20

func (p *program) readToken(file string) (*string, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // no token is a fine thing to have
	}
	in := p.in
	if file != "-" {
		f, err := os.Open(file) //nolint:gosec // the user names the file
		if err != nil {
			return nil, errors.New("-token: it names a file that cannot be read, or - for standard input") // it may be a token
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxToken))
	if err != nil {
		return nil, errors.New("-token: it cannot be read")
	}
	// The line break at the end of a file is no part of the token.
	token := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	return &token, nil
}

func (q *question) wants() []ginkeycloak.Want {
	wants := []ginkeycloak.Want{ginkeycloak.WantRoles(q.roles...)}
	for _, role := range q.clientRoles {
		client, role, _ := strings.Cut(role, ":")
		wants = append(wants, ginkeycloak.WantClientRoles(client, role))
	}
	return append(wants, ginkeycloak.WantGroups(q.groups...), ginkeycloak.WantScopes(q.scopes...))
}

// print prints a result. What is the matter comes first: with Keycloak, or else with the token.
func (p *program) print(q *question, r *result) error {
	report := r.Report.String()
	text := report
	r.Headline = firstLine(report)
	if r.Explanation != nil {
		explanation := r.Explanation.String()
		text = report + "\n" + explanation
		if r.Report.OK {
			text = explanation + "\n" + report
			r.Headline = firstLine(explanation)
		}
	}
	if q.asJSON {
		return json.MarshalWrite(p.out, r, jsontext.WithIndent("  "), json.Deterministic(true))
	}
	if p.colour {
		text = coloured(text)
	}
	_, err := io.WriteString(p.out, text)
	return err
}

// firstLine is the first line of a text, without the mark before it.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	_, line, _ = strings.Cut(line, " ")
	return strings.TrimSpace(line)
}

// coloured gives the mark at the beginning of each line its colour.
func coloured(text string) string {
	colours := map[string]string{"ok": "\x1b[32m", "FAIL": "\x1b[31;1m", "warn": "\x1b[33m"}
	var b strings.Builder
	for line := range strings.Lines(text) {
		mark, rest, _ := strings.Cut(line, " ")
		if colour, ok := colours[mark]; ok {
			line = colour + mark + "\x1b[0m " + rest
		}
		b.WriteString(line)
	}
	return b.String()
}

// isTerminal reports whether a file is one.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
