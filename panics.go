package ginkeycloak

import (
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak/internal/rescue"
)

// rescue answers 500 where something panicked that the program plugged in, such as a hook or an error handler: nobody
// gets in, and the process goes on. Each handler of this package that runs such things defers it. Handlers behind it
// are not its business: they have returned, or were not called yet.
//
// It aborts before anything else. A recovery in front that does not abort would have Gin go on with the next handler.
func (p *Plugin) rescue(c *gin.Context) {
	v := recover()
	if v == nil {
		return
	}
	c.Abort()
	if v == http.ErrAbortHandler { //nolint:errorlint // as net/http does: it is this very value, for net/http
		panic(v)
	}
	_ = rescue.Note(p.cfg.logger, v)
	if c.Writer.Written() {
		return
	}
	header := c.Writer.Header()
	for _, name := range []string{"Www-Authenticate", "Retry-After"} {
		header.Del(name) // of a refusal that was not finished
	}
	header.Set("Cache-Control", "no-store")
	c.Status(http.StatusInternalServerError)
	c.Writer.WriteHeaderNow()
}

// rescueInto is rescue for calls that come from no Gin handler: they fail as if Keycloak were away.
func (p *Plugin) rescueInto(err *error) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // as above
		panic(v)
	}
	*err = &Error{Code: CodeConnection, Err: rescue.Note(p.cfg.logger, v)}
}

// recoverInto is for calls that several wait for, on a goroutine that belongs to none of them: nothing passes through.
func recoverInto(logger *slog.Logger, err *error) {
	if v := recover(); v != nil {
		*err = &Error{Code: CodeConnection, Err: rescue.Note(logger, v)}
	}
}
