package grpc_test

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/c0mpiler/ginkeycloak"
	recipe "github.com/c0mpiler/ginkeycloak/docs/grpc"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service answers with the name of who asks, as the name of a service that is not serving.
type service struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (service) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	user, ok := ginkeycloak.UserFromContext(ctx)
	if !ok || user.Username != "alice" {
		return nil, status.Error(codes.Internal, "the handler ran without alice")
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

func TestInterceptor(t *testing.T) {
	t.Parallel()
	idp := keycloaktest.New(t)
	kc, err := ginkeycloak.New(ginkeycloak.WithServerURL(idp.URL()), ginkeycloak.WithRealm(idp.Realm()), ginkeycloak.WithClientID("orders-api"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kc.Close() })
	client := dial(t, kc)
	alice := idp.Token(keycloaktest.ForUser("alice"))
	idp.Stop()
	check := func(name string, want codes.Code, authorization ...string) {
		t.Helper()
		ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": authorization})
		_, err := client.Check(ctx, new(grpc_health_v1.HealthCheckRequest))
		if got := status.Code(err); got != want {
			t.Errorf("%s = %v, want %v", name, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "eyJ") {
			t.Errorf("%s: the token is in the error: %v", name, err)
		}
	}
	check("a good token while Keycloak is away", codes.Unavailable, "Bearer "+alice)
	idp.Restart()
	check("a good token", codes.OK, "Bearer "+alice)
	check("a good token, scheme in lower case", codes.OK, "bearer "+alice)
	check("no token", codes.Unauthenticated)
	check("two tokens", codes.Unauthenticated, "Bearer "+alice, "Bearer "+alice)
	check("another scheme", codes.Unauthenticated, "Basic eDp5")
	check("a token cut off", codes.Unauthenticated, "Bearer "+alice[:len(alice)-9])
	check("an ID token", codes.Unauthenticated, "Bearer "+idp.IDToken(keycloaktest.ForUser("alice")))
}

// dial returns a client of a server behind the interceptor.
func dial(t *testing.T, kc *ginkeycloak.Plugin) grpc_health_v1.HealthClient {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer(grpc.UnaryInterceptor(recipe.Interceptor(kc)))
	grpc_health_v1.RegisterHealthServer(server, service{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:api", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v, want none", err)
		}
	})
	return grpc_health_v1.NewHealthClient(conn)
}

// TestTheRecipeIsThisFile: what docs/recipes.md shows is what is tested here.
func TestTheRecipeIsThisFile(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("interceptor.go")
	if err != nil {
		t.Fatal(err)
	}
	_, functions, _ := strings.Cut(string(source), "// Interceptor lets")
	if want := "// Interceptor lets" + strings.TrimSpace(functions); !strings.Contains(string(document), want) {
		t.Errorf("docs/recipes.md does not show interceptor.go:\n%s", want)
	}
}
