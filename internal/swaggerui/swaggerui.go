// Package swaggerui is the page that shows an API's document and logs its users in at Keycloak: its files, and what it
// needs to find in the document. The page keeps tokens in memory only, and runs under a Content-Security-Policy
// without inline scripts.
package swaggerui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io"
	"sync"

	"github.com/swaggest/swgui/v5/static"
)

// The names of files that others refer to.
const (
	Index    = "index.html"
	Redirect = "oauth2-redirect.html"
	DocName  = "doc.json"
)

// Policy is the Content-Security-Policy of everything that belongs to the page. The page may call its own origin and
// the given ones, and nobody else. Swagger UI's style sheet has its icons as data.
func Policy(origins string) string {
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' " + origins +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// File is a file of the page.
type File struct {
	Name        string
	ContentType string
	ETag        string // of Plain
	Plain       func() []byte
	Zipped      []byte // the same by gzip, or nil
}

//go:embed page
var page embed.FS

const (
	html       = "text/html; charset=utf-8"
	javascript = "text/javascript; charset=utf-8"
	css        = "text/css; charset=utf-8"
)

// Files are the files of the page. swgui's redirect page is not among them: it would send the code of a login on though
// the state is not the one that was sent, and have its script inline or missing.
func Files() []File {
	return []File{
		own(Index, html),
		own("page.js", javascript),
		own("page.css", css),
		own(Redirect, html),
		own("oauth2-redirect.js", javascript),
		theirs("swagger-ui-bundle.js", javascript),
		theirs("swagger-ui.css", css),
		picture("favicon-32x32.png"),
	}
}

func own(name, contentType string) File {
	return plain(name, contentType, must(page.ReadFile("page/"+name)))
}

func picture(name string) File { return plain(name, "image/png", must(static.FS.ReadFile(name))) }

func plain(name, contentType string, content []byte) File {
	return File{Name: name, ContentType: contentType, ETag: etag(content), Plain: func() []byte { return content }}
}

// theirs is a file that swgui has zipped. Hardly anybody will ask for it in another way.
func theirs(name, contentType string) File {
	zipped := must(static.FS.ReadFile(name + ".gz"))
	return File{
		Name: name, ContentType: contentType, ETag: etag(zipped), Zipped: zipped,
		Plain: sync.OnceValue(func() []byte {
			return must(io.ReadAll(must(gzip.NewReader(bytes.NewReader(zipped)))))
		}),
	}
}

func etag(content []byte) string {
	sum := sha256.Sum256(content)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// must is for files that are compiled in: the tests read them all.
func must[T any](v T, err error) T {
	if err != nil {
		panic("ginkeycloak: swaggerui: " + err.Error())
	}
	return v
}
