//go:build !race

package devices

// worlds is how many generated cases are compared.
const worlds = 10500
