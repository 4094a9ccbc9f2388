package main

import (
	"io"
	"strings"
	"text/template"
)

// hints are what to try, as commands that can be pasted, indented. A secret of a real server is not printed: the
// command finds it where this program found it.
var hints = template.Must(template.New("hints").Parse(`
{{- define "token" -}}
token() { curl -s {{.Token}} -d grant_type=password -d client_id={{.ClientID}} -d client_secret={{.Secret}} --data-urlencode "username=$1" --data-urlencode "password=$2" | sed "s/.*\"${3:-access_token}\":\"\([^\"]*\)\".*/\1/"; }
{{- end -}}
{{- define "curl" }}curl -s -w '  %{http_code}\n' {{end -}}
{{- define "validation" -}}
{{if .Introspection}}Keycloak is asked about every token.{{else}}Tokens are checked here. With KEYCLOAK_VALIDATION=introspection, Keycloak is asked about every one.{{end}}
{{- end -}}
{{- define "session" }}  {{template "curl"}}-d "refresh_token=$REFRESH" {{.API}}/auth/refresh
  {{template "curl"}}-d "refresh_token=$REFRESH" {{.API}}/auth/logout
{{- end -}}
{{if .Fake -}}
Serving {{.API}}, protected by a fake Keycloak at {{.Server}}. Stop it with Ctrl-C.
In a browser, {{.API}} leads to Swagger UI, with a login for all that follows.
{{template "validation" .}}

Anybody may read /public; /me wants a token:

  {{template "curl"}}{{.API}}/public
  {{template "curl"}}{{.API}}/me

Log in as alice, who may do everything, and as bob, who is only a viewer:

  {{template "token" .}}
  ALICE=$(token alice alice)
  BOB=$(token bob bob)

Alice gets 200 four times:
{{range .Guarded}}
  {{template "curl"}}-H "Authorization: Bearer $ALICE" {{$.API}}{{.}}
{{- end}}

Bob gets 200 from /me and 403 from the others:
{{range .Guarded}}
  {{template "curl"}}-H "Authorization: Bearer $BOB" {{$.API}}{{.}}
{{- end}}

Get new tokens when the access token has expired, and end the session:

  REFRESH=$(token alice alice refresh_token)
{{template "session" .}}

{{else -}}
Serving {{.API}}, protected by realm {{.Realm}} of {{.Server}}. Stop it with Ctrl-C.
In a browser, {{.API}} leads to Swagger UI, with a login as the public client swagger of the realm.
{{template "validation" .}}

Anybody may read /public; /me wants a token:

  {{template "curl"}}{{.API}}/public
  {{template "curl"}}{{.API}}/me

If the client has "Direct access grants" switched on, log in with a name and a password:

  {{template "token" .}}
  TOKEN=$(token NAME PASSWORD)
{{range .Guarded}}
  {{template "curl"}}-H "Authorization: Bearer $TOKEN" {{$.API}}{{.}}
{{- end}}

Get new tokens when the access token has expired, and end the session:

  REFRESH=$(token NAME PASSWORD refresh_token)
{{template "session" .}}

{{end}}`))

// printHints says where the API is and what to try.
func printHints(out io.Writer, s settings, api string) error {
	secret := `"$KEYCLOAK_CLIENT_SECRET"`
	if s.fake {
		secret = s.clientSecret
	}
	server := strings.TrimRight(s.serverURL, "/")
	var text strings.Builder
	err := hints.Execute(&text, map[string]any{
		"API":      api,
		"Server":   server,
		"Realm":    s.realm,
		"Token":    server + "/realms/" + s.realm + "/protocol/openid-connect/token",
		"ClientID": s.clientID,
		"Secret":   secret,
		"Fake":     s.fake,
		"Guarded":  []string{"/me", "/admin", "/manage", "/sre"},

		"Introspection": s.validation == "introspection",
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, text.String())
	return err
}
