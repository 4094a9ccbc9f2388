// Command handlertest is an API whose handlers are tested: main_test.go is the file to copy from. It wants KEYCLOAK_URL,
// KEYCLOAK_REALM and KEYCLOAK_CLIENT_ID.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
)

func main() {
	kc, err := ginkeycloak.New(
		ginkeycloak.WithServerURL(os.Getenv("KEYCLOAK_URL")),
		ginkeycloak.WithRealm(os.Getenv("KEYCLOAK_REALM")),
		ginkeycloak.WithClientID(os.Getenv("KEYCLOAK_CLIENT_ID")),
	)
	if err != nil {
		log.Fatal(err)
	}
	log.Print(newRouter(kc).Run("localhost:8080"))
}

// newRouter is apart from main, so that a test can have the routes with a plugin of its own.
func newRouter(kc *ginkeycloak.Plugin) *gin.Engine {
	router := gin.New()
	router.Use(kc.Middleware())
	router.GET("/orders", listOrders)
	router.DELETE("/orders", kc.RequireRoles("admin"), func(c *gin.Context) { c.Status(http.StatusNoContent) })
	return router
}

func listOrders(c *gin.Context) {
	user, _ := ginkeycloak.UserFromContext(c)
	c.JSON(http.StatusOK, gin.H{"orders of": user.Username})
}
