// Package offline runs the real scheduling framework, with any configuration,
// over a cluster held in memory: no API server, no goroutine that decides
// anything beside the caller, the same answer every time. It is upstream's
// scheduler up to and including the scores; choosing among equal ones and
// placing the pod is the caller's. Pods that wait for each other in Permit do so
// until others let them go or the caller ends their time: no clock runs.
package offline
