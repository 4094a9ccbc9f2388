//go:build race

package ginkeycloak_test

const raceDetector = true
