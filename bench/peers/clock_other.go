//go:build !unix

package main

import "time"

var begin = time.Now()

// processTime is the time that has passed, where it cannot be told what the process had of it.
func processTime() time.Duration { return time.Since(begin) }
