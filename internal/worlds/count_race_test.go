//go:build race

package worlds

// judged is lower where the race detector slows everything down: worlds are judged
// in one goroutine each, and it has little to find.
const judged = 2000
