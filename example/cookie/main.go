// Command cookie serves a page that logs in, and the API that it calls. The page has the access token only, the refresh
// token is in a cookie that no script can read. KEYCLOAK_URL says where the realm demo is, ADDR where to listen.
package main

import (
	"cmp"
	"embed"
	"log"
	"net/http"
	"os"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
)

//go:embed app
var app embed.FS

func main() {
	kc, err := ginkeycloak.New(
		ginkeycloak.WithServerURL(os.Getenv("KEYCLOAK_URL")), ginkeycloak.WithRealm("demo"), ginkeycloak.WithClientID("spa"),
		ginkeycloak.WithAudience("orders-api"), ginkeycloak.WithRefreshCookie(""), ginkeycloak.WithPublicRoutes("GET /app/*file"),
	)
	if err != nil {
		log.Fatal(err)
	}
	router := gin.Default()
	router.Use(kc.Middleware())
	router.GET("/app/*file", gin.WrapH(http.FileServerFS(app)))
	router.GET("/me", func(c *gin.Context) {
		user, _ := ginkeycloak.UserFromContext(c)
		c.JSON(http.StatusOK, user)
	})
	kc.RegisterLoginRoute(router)   // GET and POST /auth/login
	kc.RegisterRefreshRoute(router) // POST /auth/refresh
	kc.RegisterLogoutRoute(router)  // POST /auth/logout
	log.Print(router.Run(cmp.Or(os.Getenv("ADDR"), "localhost:8080")))
}
