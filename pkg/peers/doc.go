// Package peers knows where the endpoints of Services are, and which Services ask
// for hints that keep traffic in its zone. Everything is answered from memory.
package peers
