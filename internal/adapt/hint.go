package adapt

import fwk "k8s.io/kube-scheduler/framework"

// Hint is the queueing hint of an event that may, or cannot, help a pod.
func Hint(helps bool) fwk.QueueingHint {
	if helps {
		return fwk.Queue
	}
	return fwk.QueueSkip
}

// On registers a queueing hint for some actions on a resource.
func On(resource fwk.EventResource, action fwk.ActionType, hint fwk.QueueingHintFn) fwk.ClusterEventWithHint {
	return fwk.ClusterEventWithHint{Event: fwk.ClusterEvent{Resource: resource, ActionType: action}, QueueingHintFn: hint}
}
