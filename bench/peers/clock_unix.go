//go:build unix

package main

import (
	"syscall"
	"time"
)

// processTime is what this process has computed so far. On one core that is the time it takes, less what other programs
// on the machine take from it.
func processTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err) // it knows no such error
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
