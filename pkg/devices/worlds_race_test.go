//go:build race

package devices

// worlds is lower where the race detector slows everything down: it has nothing
// to find in a comparison that runs in one goroutine.
const worlds = 600
