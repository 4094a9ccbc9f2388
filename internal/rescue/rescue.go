// Package rescue deals with panics of what the program plugged in: a hook, a logger, a transport. They end neither the
// process nor a call that others wait for.
package rescue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// ErrPanic stands for a panic. What it was about is in the log only, since it may be anything.
var ErrPanic = errors.New("something that the program plugged in panicked, the log says where")

// Note logs what recover returned, with the stack, and returns ErrPanic. A deferred function calls it.
func Note(logger *slog.Logger, value any) (err error) {
	err = ErrPanic
	defer func() { _ = recover() }() // it may be the logger that panics
	logger.LogAttrs(context.Background(), slog.LevelError, "keycloak: PANIC in what the program plugged in, nobody is let in by it",
		slog.String("panic", fmt.Sprint(value)), slog.String("stack", string(debug.Stack())))
	return err
}
