// Command cookie serves a page that logs in, and the API that it calls. The page has the access token only: the refresh
// token goes from Keycloak to this program, and from here into a cookie that no script can read. KEYCLOAK_URL says where
// the realm demo is, ADDR where to listen; then open http://localhost:8080/app/ and log in as alice.
package main

import (
	"cmp"
	"log"
	"net/http"
	"os"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
)

func main() {
	kc, err := ginkeycloak.New(
		ginkeycloak.WithServerURL(os.Getenv("KEYCLOAK_URL")), ginkeycloak.WithRealm("demo"),
		ginkeycloak.WithClientID(clientID), ginkeycloak.WithAudience("orders-api"),
		ginkeycloak.WithRefreshCookie(""),
		ginkeycloak.WithPublicRoutes("GET /app/*file", "GET /auth/login", "POST /auth/login"),
	)
	if err != nil {
		log.Fatal(err)
	}
	router := gin.Default()
	router.Use(kc.Middleware())
	router.GET("/app/*file", servePage)
	router.GET("/me", func(c *gin.Context) {
		user, _ := ginkeycloak.UserFromContext(c)
		c.JSON(http.StatusOK, user)
	})
	router.GET("/auth/login", toKeycloak)
	router.POST("/auth/login", fromKeycloak(kc))
	kc.RegisterRefreshRoute(router) // POST /auth/refresh
	kc.RegisterLogoutRoute(router)  // POST /auth/logout
	log.Print(router.Run(cmp.Or(os.Getenv("ADDR"), "localhost:8080")))
}
