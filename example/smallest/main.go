// Command smallest is about the least that a protected API takes: GET /me tells whoever has a token who he is. It wants
// KEYCLOAK_URL, KEYCLOAK_REALM and KEYCLOAK_CLIENT_ID. ADDR is where it listens, localhost:8080 by default.
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
		ginkeycloak.WithServerURL(os.Getenv("KEYCLOAK_URL")), // such as https://sso.example.com
		ginkeycloak.WithRealm(os.Getenv("KEYCLOAK_REALM")),
		ginkeycloak.WithClientID(os.Getenv("KEYCLOAK_CLIENT_ID")), // this API; also the audience that tokens must have
	)
	if err != nil {
		log.Fatal(err)
	}
	router := gin.Default()
	router.Use(kc.Middleware())
	router.GET("/me", func(c *gin.Context) {
		user, _ := ginkeycloak.UserFromContext(c)
		c.JSON(http.StatusOK, user)
	})
	log.Print(router.Run(cmp.Or(os.Getenv("ADDR"), "localhost:8080")))
}
