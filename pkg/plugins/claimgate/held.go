package claimgate

import (
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// held are the pods that wait for a claim, each for one at a time: the first that it
// lacks. Pods whose claim has no name yet are not among them, their own status tells. A
// pod leaves when it is let in, is put on a node, or is gone.
type held struct {
	mu    sync.Mutex
	claim map[types.UID]cache.ObjectName
	pods  map[cache.ObjectName]map[types.UID]*v1.Pod
}

func newHeld() *held {
	return &held{claim: map[types.UID]cache.ObjectName{}, pods: map[cache.ObjectName]map[types.UID]*v1.Pod{}}
}

// add has a pod wait for a claim, and no longer for another.
func (h *held) add(pod *v1.Pod, claim cache.ObjectName) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(pod.UID)
	h.claim[pod.UID] = claim
	if h.pods[claim] == nil {
		h.pods[claim] = map[types.UID]*v1.Pod{}
	}
	h.pods[claim][pod.UID] = pod
}

// remove forgets a pod.
func (h *held) remove(pod types.UID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(pod)
}

func (h *held) drop(pod types.UID) {
	claim, found := h.claim[pod]
	if !found {
		return
	}
	delete(h.claim, pod)
	if delete(h.pods[claim], pod); len(h.pods[claim]) == 0 {
		delete(h.pods, claim)
	}
}

// waits tells whether any pod waits for a claim.
func (h *held) waits(claim cache.ObjectName) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.pods[claim]) > 0
}

// take lists the pods that wait for a claim, by UID, and forgets them.
func (h *held) take(claim cache.ObjectName) map[string]*v1.Pod {
	h.mu.Lock()
	defer h.mu.Unlock()
	pods := make(map[string]*v1.Pod, len(h.pods[claim]))
	for uid, pod := range h.pods[claim] {
		pods[string(uid)] = pod
		delete(h.claim, uid)
	}
	delete(h.pods, claim)
	return pods
}
