package stand

import (
	"context"
	"net/http"
	"net/http/httptest"

	"github.com/gin-gonic/gin"
)

// Path is the route that is called.
const Path = "/orders"

// Engine returns a Gin engine with one route, and the handlers before its own.
func Engine(handlers ...gin.HandlerFunc) *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.GET(Path, handlers...)
	return engine
}

// Bare is a handler that does nothing.
func Bare(*gin.Context) {}

// A Client calls an engine, one request at a time. It allocates nothing of its own.
type Client struct {
	engine        http.Handler
	request       *http.Request
	authorization []string
	answer        answer
}

// NewClient returns a client of the engine. Clients that run at the same time need one each.
func NewClient(engine http.Handler) *Client {
	request := httptest.NewRequestWithContext(context.Background(), http.MethodGet, Path, http.NoBody)
	authorization := []string{""}
	request.Header["Authorization"] = authorization
	return &Client{engine: engine, request: request, authorization: authorization, answer: answer{header: http.Header{}}}
}

// Get sends the content of an Authorization field and returns the answer's status.
func (c *Client) Get(authorization string) int {
	c.authorization[0] = authorization
	c.answer.reset()
	c.engine.ServeHTTP(&c.answer, c.request)
	return c.answer.status
}

// Authorizations are the contents of the Authorization field for tokens.
func Authorizations(tokens ...string) []string {
	fields := make([]string, len(tokens))
	for i, token := range tokens {
		fields[i] = "Bearer " + token
	}
	return fields
}

// answer is a ResponseWriter that keeps the status only.
type answer struct {
	header http.Header
	status int
}

func (a *answer) reset() {
	clear(a.header)
	a.status = http.StatusOK
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(b []byte) (int, error) { return len(b), nil }
func (a *answer) WriteHeader(status int)      { a.status = status }
