package keycloak

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The first admin of every server started here. It listens on the loopback interface only.
const (
	adminName     = "admin"
	adminPassword = "admin"
)

// maxBody bounds every answer that is read.
const maxBody = 4 << 20

var httpClient = &http.Client{Timeout: 30 * time.Second}

// Admin changes one realm through Keycloak's admin REST API.
type Admin struct {
	server string // base URL
	realm  string
}

// Admin returns the admin of the imported realm.
func (s *Server) Admin() *Admin { return &Admin{server: s.URL(), realm: s.realm} }

// CreateRealm adds a copy of the realm in realmFile under another name, with keys and users of its own, for tests
// that change what others rely on. It returns the new realm's admin.
func (s *Server) CreateRealm(ctx context.Context, name, realmFile string) (*Admin, error) {
	_, file, err := readRealm(realmFile)
	if err != nil {
		return nil, err
	}
	var realm map[string]any
	if err := json.Unmarshal(file, &realm); err != nil {
		return nil, fmt.Errorf("read the realm %s: %w", realmFile, err)
	}
	realm["realm"] = name
	a := &Admin{server: s.URL(), realm: name}
	if err := a.call(ctx, http.MethodPost, "/admin/realms", realm, nil); err != nil {
		return nil, err
	}
	return a, nil
}

// Realm is the name of the admin's realm.
func (a *Admin) Realm() string { return a.realm }

// Issuer is the issuer of the realm's tokens.
func (a *Admin) Issuer() string { return a.server + "/realms/" + a.realm }

// DeleteRealm deletes the realm and all that is in it.
func (a *Admin) DeleteRealm(ctx context.Context) error {
	return a.call(ctx, http.MethodDelete, a.path(), nil, nil)
}

// RotateRealmKey gives the realm a new signing key of the highest priority. The old keys stay in the key set, so
// that tokens signed with them are still good.
func (a *Admin) RotateRealmKey(ctx context.Context) error {
	keys, err := a.signingKeys(ctx)
	if err != nil {
		return err
	}
	priority := 100
	for _, k := range keys {
		priority = max(priority, k.priority()+1)
	}
	return a.call(ctx, http.MethodPost, a.path("components"), component{
		Name:         "rsa-generated-" + strconv.Itoa(priority),
		ProviderID:   "rsa-generated",
		ProviderType: "org.keycloak.keys.KeyProvider",
		Config: map[string][]string{
			"priority": {strconv.Itoa(priority)}, "enabled": {"true"}, "active": {"true"},
			"algorithm": {"RS256"}, "keySize": {"2048"},
		},
	}, nil)
}

// RemoveOldKeys removes every signing key but the one of the highest priority from the realm and its key set.
func (a *Admin) RemoveOldKeys(ctx context.Context) error {
	keys, err := a.signingKeys(ctx)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return fmt.Errorf("realm %s has no signing key", a.realm)
	}
	newest := slices.MaxFunc(keys, func(x, y component) int { return cmp.Compare(x.priority(), y.priority()) })
	for _, k := range keys {
		if k.ID == newest.ID {
			continue
		}
		if err := a.call(ctx, http.MethodDelete, a.path("components", k.ID), nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// component is a part of a realm that is made by a provider, a key for example.
type component struct {
	ID           string              `json:"id,omitempty"`
	Name         string              `json:"name"`
	ProviderID   string              `json:"providerId"`
	ProviderType string              `json:"providerType"`
	Config       map[string][]string `json:"config"`
}

func (c component) priority() int {
	p := c.Config["priority"]
	if len(p) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(p[0])
	return n
}

// signingKeys are the realm's generated RSA signing keys. Those for encryption are of another provider,
// rsa-enc-generated.
func (a *Admin) signingKeys(ctx context.Context) ([]component, error) {
	var all []component
	path := a.path("components") + "?type=" + url.QueryEscape("org.keycloak.keys.KeyProvider")
	if err := a.call(ctx, http.MethodGet, path, nil, &all); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(c component) bool { return c.ProviderID != "rsa-generated" }), nil
}

// LogoutUser ends all sessions of a user. Access tokens stay valid for whoever looks at their signature only.
func (a *Admin) LogoutUser(ctx context.Context, username string) error {
	id, err := a.id(ctx, a.path("users")+"?exact=true&username="+url.QueryEscape(username))
	if err != nil {
		return fmt.Errorf("user %q: %w", username, err)
	}
	return a.call(ctx, http.MethodPost, a.path("users", id, "logout"), nil, nil)
}

// SetNotBefore makes the realm's tokens issued before t invalid. The zero time takes that back.
func (a *Admin) SetNotBefore(ctx context.Context, t time.Time) error {
	var sec int64
	if !t.IsZero() {
		sec = t.Unix()
	}
	return a.UpdateRealm(ctx, map[string]any{"notBefore": sec})
}

// UpdateRealm changes settings of the realm; what settings does not name stays as it is.
func (a *Admin) UpdateRealm(ctx context.Context, settings map[string]any) error {
	return a.call(ctx, http.MethodPut, a.path(), settings, nil)
}

// CreateClient adds a client, in the form it has in a realm file.
func (a *Admin) CreateClient(ctx context.Context, client map[string]any) error {
	return a.call(ctx, http.MethodPost, a.path("clients"), client, nil)
}

// UpdateClient changes a client: change gets it in the form it has in a realm file and alters it in place.
func (a *Admin) UpdateClient(ctx context.Context, clientID string, change func(client map[string]any)) error {
	id, err := a.id(ctx, a.path("clients")+"?clientId="+url.QueryEscape(clientID))
	if err != nil {
		return fmt.Errorf("client %q: %w", clientID, err)
	}
	var client map[string]any
	if err := a.call(ctx, http.MethodGet, a.path("clients", id), nil, &client); err != nil {
		return err
	}
	change(client)
	return a.call(ctx, http.MethodPut, a.path("clients", id), client, nil)
}

// AddRedirectURIs lets a client send its users' browsers to uris too. Keycloak knows wildcards at the end of a path
// only, not for ports, so that tests name theirs here.
func (a *Admin) AddRedirectURIs(ctx context.Context, clientID string, uris ...string) error {
	return a.UpdateClient(ctx, clientID, func(client map[string]any) {
		have, _ := client["redirectUris"].([]any)
		for _, uri := range uris {
			have = append(have, uri)
		}
		client["redirectUris"] = have
	})
}

// id is the ID of the one element of the list at path.
func (a *Admin) id(ctx context.Context, path string) (string, error) {
	var found []struct {
		ID string `json:"id"`
	}
	if err := a.call(ctx, http.MethodGet, path, nil, &found); err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("found %d, want 1", len(found))
	}
	return found[0].ID, nil
}

// path is a path of the admin API below the realm.
func (a *Admin) path(segments ...string) string {
	escaped := []string{"/admin/realms", url.PathEscape(a.realm)}
	for _, s := range segments {
		escaped = append(escaped, url.PathEscape(s))
	}
	return strings.Join(escaped, "/")
}

// call makes one call of the admin API with a token of its own: they live for a minute only.
func (a *Admin) call(ctx context.Context, method, path string, in, out any) error {
	token, err := a.token(ctx)
	if err != nil {
		return err
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.server+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	return send(req, out)
}

// token logs the admin in.
func (a *Admin) token(ctx context.Context) (string, error) {
	form := url.Values{
		"grant_type": {"password"}, "client_id": {"admin-cli"},
		"username": {adminName}, "password": {adminPassword},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		a.server+"/realms/master/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := send(req, &answer); err != nil {
		return "", fmt.Errorf("log in as admin: %w", err)
	}
	return answer.AccessToken, nil
}

// send sends req and decodes the answer into out unless that is nil. A status other than 2xx is an error.
func send(req *http.Request, out any) error {
	resp, err := httpClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return fmt.Errorf("%s %s: %w", req.Method, req.URL.Path, err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %.300s", req.Method, req.URL.Path, resp.Status, body)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s %s: %w", req.Method, req.URL.Path, err)
	}
	return nil
}
