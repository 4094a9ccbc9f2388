package stand

import "runtime"

// HeldMiB is what a program that is measured holds in memory besides, in MiB, as a small API does. With next to nothing
// held, the collector would run up to a hundred times a second, and be most of what is measured of those who allocate little.
const HeldMiB = 64

// Hold holds that much memory until the function that it returns is called.
func Hold() (release func()) {
	held := make([]byte, HeldMiB<<20)
	return func() { runtime.KeepAlive(held) }
}
