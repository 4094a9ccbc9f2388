package browser_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/go-openapi/loads"
	"github.com/go-openapi/strfmt"
	"github.com/go-openapi/validate"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/swaggo/swag"

	"github.com/c0mpiler/ginkeycloak"
)

// What swag generates is a document.
var _ ginkeycloak.SwaggerSpec = (*swag.Spec)(nil)

// check20 and check3 hold a document to the schema of its specification, and to the rules beyond the schema.
func check20(document []byte) error {
	doc, err := loads.Analyzed(json.RawMessage(document), "2.0")
	if err != nil {
		return err
	}
	return validate.Spec(doc, strfmt.Default)
}

func check3(document []byte) error {
	doc, err := libopenapi.NewDocument(document)
	if err != nil {
		return err
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		return errs[0]
	}
	if ok, problems := v.ValidateDocument(); !ok {
		var all []error
		for _, p := range problems {
			all = append(all, p)
			for _, cause := range p.SchemaValidationErrors {
				all = append(all, fmt.Errorf("%s: %s", cause.FieldPath, cause.Reason))
			}
		}
		return errors.Join(all...)
	}
	return nil
}

func TestDocumentIsValid(t *testing.T) {
	tests := []struct {
		name  string
		spec  ginkeycloak.SwaggerSpec
		check func([]byte) error
	}{
		{"made by swag", file(t, documents["Swagger 2.0"]), check20},
		{"swag's SwaggerInfo", &swag.Spec{Title: "Orders", Version: "1.0", SwaggerTemplate: swagTemplate, LeftDelim: "{{", RightDelim: "}}"}, check20},
		{"OpenAPI 3.1", file(t, documents["OpenAPI 3.1"]), check3},
		{"OpenAPI 3.0", ginkeycloak.SwaggerDocument(openAPI30), check3},
	}
	kc := fakeServer(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			served := get(t, serve(t, kc, tt.spec)+"/swagger/doc.json")
			if err := tt.check(served); err != nil {
				t.Errorf("%v\nin %s", err, served)
			}
			broken := strings.Replace(string(served), `"authorizationUrl"`, `"authorisationUrl"`, 1)
			if tt.check([]byte(broken)) == nil {
				t.Error("without authorizationUrl it is still valid: the validator checks nothing")
			}
		})
	}
}

// swagTemplate is what swag init writes into docs.go.
const swagTemplate = `{
	"schemes": {{ marshal .Schemes }}, "swagger": "2.0",
	"info": {"description": "{{escape .Description}}", "title": "{{.Title}}", "contact": {}, "version": "{{.Version}}"},
	"host": "{{.Host}}", "basePath": "{{.BasePath}}",
	"paths": {"/me": {"get": {"security": [{"KeycloakAuth": []}], "responses": {"200": {"description": "OK"}}}}}
}`

const openAPI30 = `{
	"openapi": "3.0.3", "info": {"title": "Orders", "version": "1.0"},
	"paths": {"/me": {"get": {"security": [{"KeycloakAuth": ["orders:read"]}], "responses": {"200": {"description": "OK"}}}}}
}`

func file(t *testing.T, name string) ginkeycloak.SwaggerDocument {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func get(t *testing.T, address string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", address, resp.Status, err)
	}
	return body
}
