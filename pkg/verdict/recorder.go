package verdict

// Recorder is told why pods were placed where they are. Implementations must be
// safe for concurrent use and return quickly: they are called from binding
// goroutines.
type Recorder interface {
	Placed(namespace, name, uid, node string, reason Reason)
}
