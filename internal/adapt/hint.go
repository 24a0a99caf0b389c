package adapt

import fwk "k8s.io/kube-scheduler/framework"

// Hint is the queueing hint of an event that may, or cannot, help a pod.
func Hint(helps bool) fwk.QueueingHint {
	if helps {
		return fwk.Queue
	}
	return fwk.QueueSkip
}
