//go:build !race

package worlds

// judged is how many worlds a run of the tests compares.
const judged = 200_000
