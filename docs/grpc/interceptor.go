// Package grpc is the recipe for gRPC in docs/recipes.md, as a module of its own so that nobody links gRPC who does not
// want it.
package grpc

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/c0mpiler/ginkeycloak"
)

// Interceptor lets calls with a good token through, with the user in their context.
func Interceptor(kc *ginkeycloak.Plugin) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		values := metadata.ValueFromIncomingContext(ctx, "authorization")
		if len(values) != 1 {
			return nil, status.Error(codes.Unauthenticated, "exactly one token is required")
		}
		scheme, token, _ := strings.Cut(values[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return nil, status.Error(codes.Unauthenticated, "a bearer token is required")
		}
		user, err := kc.Authenticate(ctx, token)
		if err != nil {
			return nil, refusal(err)
		}
		return next(ginkeycloak.ContextWithUser(ctx, user), req)
	}
}

// refusal tells the caller as much as an HTTP client is told, and whether to try again.
func refusal(err error) error {
	var e *ginkeycloak.Error
	switch {
	case !errors.As(err, &e):
		return status.FromContextError(err).Err() // the caller left, or his deadline passed
	case e.Status() == http.StatusServiceUnavailable:
		return status.Error(codes.Unavailable, e.Message())
	}
	return status.Error(codes.Unauthenticated, e.Message())
}
