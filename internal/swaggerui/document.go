package swaggerui

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// BearerScheme is the name of the security scheme that takes a token by hand.
const BearerScheme = "BearerAuth"

// Settings are what the login of a document is made of.
type Settings struct {
	Scheme   string   // name of the security scheme
	ClientID string   // of a public client
	Scopes   []string // asked for unless the user says otherwise
	BasePath string   // what a proxy takes off the front of paths, or ""

	AuthorizationURL, TokenURL, EndSessionURL string

	// Notes are added to the descriptions of operations. Their keys are made by OperationKey.
	Notes map[string]string
}

var (
	errVersion = errors.New("it is neither Swagger 2.0 nor OpenAPI 3")
	parameters = regexp.MustCompile(`\{[^/{}]*\}`)
	methods    = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace", "query"}
)

// OperationKey names an operation by its method and its path, base path included. What parameters are called, as in
// /users/{id}, is no part of it.
func OperationKey(method, path string) string {
	return strings.ToUpper(method) + " " + parameters.ReplaceAllString(path, "{}")
}

// Document puts the login into a Swagger 2.0 or OpenAPI 3 document in JSON. What the document says of the scheme is
// replaced, and so are the addresses it gives for the API: it is served by the API, whose address is the page's own.
func Document(text []byte, s Settings) ([]byte, error) {
	doc, err := parseObject(text)
	if err != nil {
		return nil, fmt.Errorf("it is not a JSON object: %w", err)
	}
	r := &rewriter{Settings: s}
	if err := r.addScopes(s.Scopes); err != nil {
		return nil, err
	}
	var swagger, openapi string
	if err := errors.Join(doc.read("swagger", &swagger), doc.read("openapi", &openapi)); err != nil {
		return nil, err
	}
	switch {
	case swagger == "2.0":
		err = r.swagger2(&doc)
	case strings.HasPrefix(openapi, "3."):
		err = r.openAPI3(&doc)
	default:
		err = errVersion
	}
	if err != nil {
		return nil, err
	}
	// What the page must know to log in beyond what the specification has a place for.
	if err := doc.set("x-keycloak", map[string]any{
		"scheme": s.Scheme, "clientId": s.ClientID, "scopes": s.Scopes, "endSessionUrl": s.EndSessionURL,
	}); err != nil {
		return nil, err
	}
	return json.Marshal(doc, jsontext.EscapeForHTML(true))
}

// scopeDescriptions tell users what the scopes of every realm give away (OpenID Connect Core 1.0 §5.4).
var scopeDescriptions = map[string]string{
	"openid":  "log in",
	"profile": "your name",
	"email":   "your e-mail address",
}

// rewriter works on one document.
type rewriter struct {
	Settings

	scopes object // with their descriptions: those of the settings, and those that operations name
}

func (r *rewriter) addScopes(scopes []string) error {
	for _, scope := range scopes {
		if err := r.scopes.set(scope, scopeDescriptions[scope]); err != nil {
			return err
		}
	}
	return nil
}

func (r *rewriter) swagger2(doc *object) error {
	var base string
	if err := doc.read("basePath", &base); err != nil {
		return err
	}
	if err := errors.Join(r.operations(doc, base), doc.set("basePath", joinPath(r.BasePath, base))); err != nil {
		return err
	}
	doc.remove("host")
	doc.remove("schemes")
	return doc.edit("securityDefinitions", func(definitions *object) error {
		return errors.Join(
			definitions.set(r.Scheme, map[string]any{
				"type": "oauth2", "flow": "accessCode", "description": loginDescription,
				"authorizationUrl": r.AuthorizationURL, "tokenUrl": r.TokenURL, "scopes": r.scopes,
			}),
			// Swagger 2.0 has no bearer scheme. The page puts "Bearer " in front.
			definitions.set(BearerScheme, map[string]any{
				"type": "apiKey", "in": "header", "name": "Authorization", "description": bearerDescription,
			}))
	})
}

func (r *rewriter) openAPI3(doc *object) error {
	base, err := serverPath(*doc)
	if err != nil {
		return err
	}
	servers := []map[string]string{{"url": joinPath(r.BasePath, base)}}
	if err := errors.Join(r.operations(doc, base), doc.set("servers", servers)); err != nil {
		return err
	}
	return doc.edit("components", func(components *object) error {
		return components.edit("securitySchemes", func(schemes *object) error {
			return errors.Join(
				schemes.set(r.Scheme, map[string]any{
					"type": "oauth2", "description": loginDescription,
					"flows": map[string]any{"authorizationCode": map[string]any{
						"authorizationUrl": r.AuthorizationURL, "tokenUrl": r.TokenURL, "scopes": r.scopes,
					}},
				}),
				schemes.set(BearerScheme, map[string]any{
					"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": bearerDescription,
				}))
		})
	})
}

const (
	loginDescription  = "Log in at Keycloak."
	bearerDescription = "Paste an access token."
)

// serverPath is the path of the first server, the one that clients choose by default (OpenAPI 3.1 §4.8.5).
func serverPath(doc object) (string, error) {
	var servers []struct {
		URL       string `json:"url"`
		Variables map[string]struct {
			Default string `json:"default"`
		} `json:"variables"`
	}
	if err := doc.read("servers", &servers); err != nil || len(servers) == 0 {
		return "", err
	}
	address := servers[0].URL
	for name, variable := range servers[0].Variables {
		address = strings.ReplaceAll(address, "{"+name+"}", variable.Default)
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("its first server has no usable url")
	}
	return u.Path, nil
}

// joinPath joins two paths, each of which may be empty.
func joinPath(a, b string) string {
	return "/" + strings.Trim(strings.TrimRight(a, "/")+"/"+strings.TrimLeft(b, "/"), "/")
}

// operations goes through the security requirements of the document and of each operation.
func (r *rewriter) operations(doc *object, base string) error {
	if err := r.alternatives(doc); err != nil {
		return err
	}
	return doc.edit("paths", func(paths *object) error {
		for _, path := range slices.Clone(*paths) {
			if !strings.HasPrefix(path.name, "/") {
				continue // an extension
			}
			err := paths.edit(path.name, func(item *object) error {
				return r.pathItem(item, joinPath(base, path.name))
			})
			if err != nil {
				return fmt.Errorf("path %s: %w", path.name, err)
			}
		}
		return nil
	})
}

func (r *rewriter) pathItem(item *object, path string) error {
	for _, method := range methods {
		if !item.has(method) {
			continue
		}
		err := item.edit(method, func(operation *object) error {
			return errors.Join(r.alternatives(operation), r.note(operation, OperationKey(method, path)))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// alternatives lets a pasted token do wherever the login does: requirements are alternatives of each other.
func (r *rewriter) alternatives(o *object) error {
	if !o.has("security") {
		return nil
	}
	var requirements []map[string][]string
	if err := o.read("security", &requirements); err != nil {
		return err
	}
	for _, requirement := range slices.Clone(requirements) {
		scopes, ok := requirement[r.Scheme]
		if !ok {
			continue
		}
		if err := r.addScopes(scopes); err != nil {
			return err
		}
		other := map[string][]string{BearerScheme: {}}
		for scheme, scopes := range requirement {
			if scheme != r.Scheme {
				other[scheme] = scopes
			}
		}
		requirements = append(requirements, other)
	}
	return o.set("security", requirements)
}

// note adds to the description of an operation.
func (r *rewriter) note(operation *object, key string) error {
	note, ok := r.Notes[key]
	if !ok {
		return nil
	}
	var description string
	if err := operation.read("description", &description); err != nil {
		return err
	}
	return operation.set("description", strings.TrimPrefix(description+"\n\n"+note, "\n\n"))
}
