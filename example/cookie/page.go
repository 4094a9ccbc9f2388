package main

import (
	"embed"
	"net/http"

	"github.com/gin-gonic/gin"
)

//go:embed app
var app embed.FS

// policy allows what the page needs: its own script, and calls to its own origin. An injected script has nowhere to come
// from and nowhere to send a token to.
const policy = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func servePage(c *gin.Context) {
	c.Header("Content-Security-Policy", policy)
	c.Header("Referrer-Policy", "no-referrer")
	c.Header("X-Content-Type-Options", "nosniff")
	http.FileServerFS(app).ServeHTTP(c.Writer, c.Request)
}
