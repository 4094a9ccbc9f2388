package main

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

// TestPrintedCommands runs the program as go run ./example does, pastes every command that it prints into a shell,
// and reads the answers.
func TestPrintedCommands(t *testing.T) {
	t.Parallel()
	for _, validation := range []string{"", "introspection"} {
		t.Run("KEYCLOAK_VALIDATION="+validation, func(t *testing.T) {
			t.Parallel()
			checkPrintedCommands(t, start(t, map[string]string{"KEYCLOAK_VALIDATION": validation}))
		})
	}
}

func checkPrintedCommands(t *testing.T, printed string) {
	t.Helper()
	want := []struct{ user, path, status, body string }{
		{"nobody", "/public", "200", `{"message":"open to everybody"}`},
		{"nobody", "/me", "401", `{"error":{"code":"missing_header",`},
		{"alice", "/me", "200", `"username":"alice"`},
		{"alice", "/admin", "200", `hello admin alice`},
		{"alice", "/manage", "200", `hello manager alice`},
		{"alice", "/sre", "200", `hello engineer alice`},
		{"bob", "/me", "200", `"username":"bob"`},
		{"bob", "/admin", "403", `{"error":{"code":"missing_roles",`},
		{"bob", "/manage", "403", `{"error":{"code":"missing_roles",`},
		{"bob", "/sre", "403", `{"error":{"code":"missing_groups",`},
		{"alice", "/auth/refresh", "200", `{"access_token":"`},
		{"alice", "/auth/logout", "204", ""},
	}
	answers := paste(t, commands(printed))
	if len(answers) != len(want) {
		t.Fatalf("the commands gave %d answers, want %d:\n%s", len(answers), len(want), strings.Join(answers, "\n"))
	}
	for i, w := range want {
		if got := answers[i]; !strings.HasSuffix(got, "  "+w.status) || !strings.Contains(got, w.body) {
			t.Errorf("%s as %s = %s, want %s and %s", w.path, w.user, got, w.status, w.body)
		}
	}
}

// TestWithAKeycloakOfYourOwn runs the program as if a real server were configured.
func TestWithAKeycloakOfYourOwn(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	printed := start(t, map[string]string{
		"KEYCLOAK_URL":           srv.URL() + "/",
		"KEYCLOAK_REALM":         srv.Realm(),
		"KEYCLOAK_CLIENT_ID":     "orders-api",
		"KEYCLOAK_CLIENT_SECRET": "s3cret",
		"KEYCLOAK_AUDIENCE":      "billing",
	})
	if strings.Contains(printed, "s3cret") || !strings.Contains(printed, srv.URL()+"/realms/demo/protocol") {
		t.Errorf("the hints name the secret, or not the server:\n%s", printed)
	}
	api := regexp.MustCompile(`http://[0-9.:]+`).FindString(printed)
	for client, want := range map[string]string{"billing": "200", "orders-api": "401"} {
		token := srv.Token(keycloaktest.ForUser("alice"), keycloaktest.ForClient(client))
		if got := get(t, api+"/me", token); !strings.HasSuffix(got, want) {
			t.Errorf("GET /me with a token of %s, audience billing = %s, want %s", client, got, want)
		}
	}
}

// TestValidation tells the modes apart by a token of a session that was ended over the API: its signature is as good
// as before, only Keycloak knows better.
func TestValidation(t *testing.T) {
	t.Parallel()
	for validation, want := range map[string]string{"": "200", "local": "200", "introspection": "401"} {
		t.Run("KEYCLOAK_VALIDATION="+validation, func(t *testing.T) {
			t.Parallel()
			srv := keycloaktest.New(t)
			printed := start(t, map[string]string{
				"KEYCLOAK_URL":           srv.URL(),
				"KEYCLOAK_REALM":         srv.Realm(),
				"KEYCLOAK_CLIENT_ID":     "orders-api",
				"KEYCLOAK_CLIENT_SECRET": "s3cret",
				"KEYCLOAK_VALIDATION":    validation,
			})
			if got := strings.Contains(printed, "Keycloak is asked about every token."); got != (validation == "introspection") {
				t.Errorf("the hints say that Keycloak is asked: %t", got)
			}
			api := regexp.MustCompile(`http://[0-9.:]+`).FindString(printed)
			session := login(t, srv.Issuer()+"/protocol/openid-connect/token", "alice", "alice")
			if got := post(t, api+"/auth/logout", url.Values{"refresh_token": {session["refresh_token"]}}); got != "  204" {
				t.Fatalf("POST /auth/logout = %s, want 204", got)
			}
			if got := get(t, api+"/me", session["access_token"]); !strings.HasSuffix(got, "  "+want) {
				t.Errorf("GET /me after the logout = %s, want %s", got, want)
			}
		})
	}
}

func TestRunReportsMistakes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, key, value, want string
	}{
		{"no realm", "KEYCLOAK_URL", "https://sso.example.com", "WithRealm"},
		{"a bad address", "ADDR", "nowhere", "ADDR says where to listen"},
		{"an unknown mode", "KEYCLOAK_VALIDATION", "remote", "it must be local or introspection"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			getenv := func(key string) string { return map[string]string{tt.key: tt.value}[key] }
			err := run(t.Context(), getenv, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("run with %s=%s = %v, want an error with %q", tt.key, tt.value, err, tt.want)
			}
		})
	}
}

// start runs the program until the test ends, and returns what it printed.
func start(t *testing.T, env map[string]string) string {
	t.Helper()
	getenv := func(key string) string {
		if key == "ADDR" {
			return "127.0.0.1:0"
		}
		return env[key]
	}
	ctx, stop := context.WithCancel(context.Background())
	printed, ended := make(output, 1), make(chan error, 1)
	go func() { ended <- run(ctx, getenv, printed) }()
	t.Cleanup(func() {
		stop()
		http.DefaultClient.CloseIdleConnections()
		if err := <-ended; err != nil {
			t.Errorf("run = %v, want none after an interrupt", err)
		}
	})
	select {
	case text := <-printed:
		return text
	case err := <-ended:
		ended <- nil
		t.Fatalf("run = %v before it served", err)
		return ""
	}
}

// output is a writer that hands over what is written to it, all at once.
type output chan string

func (o output) Write(p []byte) (int, error) {
	o <- string(p)
	return len(p), nil
}

// commands are the indented lines.
func commands(printed string) []string {
	var lines []string
	for line := range strings.Lines(printed) {
		if command, ok := strings.CutPrefix(line, "  "); ok {
			lines = append(lines, strings.TrimSpace(command))
		}
	}
	return lines
}

// paste runs the commands and returns the answers, each a line of body and status. Where there is no shell or no
// curl, it sends the same requests itself.
func paste(t *testing.T, commands []string) []string {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		return send(t, commands)
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		return send(t, commands)
	}
	out, err := exec.CommandContext(t.Context(), sh, "-e", "-c", strings.Join(commands, "\n")).Output()
	if err != nil {
		t.Fatalf("the commands: %v\n%s", err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

var (
	tokenCommand = regexp.MustCompile(`^token\(\) \{ curl -s (\S+) `)
	loginCommand = regexp.MustCompile(`^([A-Z]+)=\$\(token (\w+) (\w+)( refresh_token)?\)$`)
	formCommand  = regexp.MustCompile(`^curl .*-d "(\w+)=\$([A-Z]+)" (http://\S+)$`)
	curlCommand  = regexp.MustCompile(`^curl .*?(?:-H "Authorization: Bearer \$([A-Z]+)" )?(http://\S+)$`)
)

// send does what the commands say, over net/http.
func send(t *testing.T, commands []string) []string {
	t.Helper()
	var answers []string
	endpoint, tokens := "", map[string]string{}
	for _, command := range commands {
		if m := tokenCommand.FindStringSubmatch(command); m != nil {
			endpoint = m[1]
		} else if m := loginCommand.FindStringSubmatch(command); m != nil {
			tokens[m[1]] = login(t, endpoint, m[2], m[3])[cmp.Or(strings.TrimSpace(m[4]), "access_token")]
		} else if m := formCommand.FindStringSubmatch(command); m != nil {
			answers = append(answers, post(t, m[3], url.Values{m[1]: {tokens[m[2]]}}))
		} else if m := curlCommand.FindStringSubmatch(command); m != nil {
			answers = append(answers, get(t, m[2], tokens[m[1]]))
		} else {
			t.Fatalf("what does this command do? %s", command)
		}
	}
	return answers
}

// TestPrintedCommandsWithoutCurl keeps the other way of TestPrintedCommands in step.
func TestPrintedCommandsWithoutCurl(t *testing.T) {
	t.Parallel()
	list := commands(start(t, nil))
	got, want := withoutTokens(send(t, list)), withoutTokens(paste(t, list))
	if got != want {
		t.Errorf("over net/http:\n%s\nwith curl:\n%s", got, want)
	}
}

// withoutTokens joins answers and leaves out what is another in each.
func withoutTokens(answers []string) string {
	text := strings.Join(answers, "\n")
	text = regexp.MustCompile(`"(\w+_token|session_state)":"[^"]+"`).ReplaceAllString(text, `"$1":"…"`)
	return regexp.MustCompile(`expires_in":\d+`).ReplaceAllString(text, `expires_in":…`)
}

// login returns the tokens that Keycloak gives, by their names.
func login(t *testing.T, endpoint, username, password string) map[string]string {
	t.Helper()
	form := url.Values{
		"grant_type": {"password"}, "client_id": {"orders-api"}, "client_secret": {"s3cret"},
		"username": {username}, "password": {password},
	}
	body, _, _ := strings.Cut(post(t, endpoint, form), "  ")
	var answer struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.AccessToken == "" || answer.RefreshToken == "" {
		t.Fatalf("login of %s: %v, body %s", username, err, body)
	}
	return map[string]string{"access_token": answer.AccessToken, "refresh_token": answer.RefreshToken}
}

// post sends a form, and returns body and status as the printed commands do.
func post(t *testing.T, address string, form url.Values) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	body, status := do(t, r)
	return body + "  " + status
}

// get returns body and status as the printed commands do.
func get(t *testing.T, address, token string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	body, status := do(t, r)
	return body + "  " + status
}

func do(t *testing.T, r *http.Request) (body, status string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw), strconv.Itoa(resp.StatusCode)
}

// Whoever just opens the address finds the page with the login.
func TestAddressLeadsToSwagger(t *testing.T) {
	t.Parallel()
	address := regexp.MustCompile(`Serving (http://[^,]+),`).FindStringSubmatch(start(t, nil))
	if address == nil {
		t.Fatal("no address is printed")
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address[1], http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Request.URL.Path, "/swagger/") {
		t.Errorf("GET / ends at %s with %d, want Swagger UI", resp.Request.URL, resp.StatusCode)
	}
}
