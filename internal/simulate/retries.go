package simulate

import "k8s.io/apimachinery/pkg/types"

// vainErrors is after how many errors in a row a pod is given up, if nothing has
// changed since its last attempt began. One may be a conflict with another writer.
const vainErrors = 3

// retries counts attempts that end in an error, such as that of a claim's selector.
// The scheduler takes every error for one that passes, and tries such a pod for ever.
// The engine's lock guards it.
type retries struct {
	// moves counts what may have changed the answer: pods that got a place or went,
	// and volumes that were bound.
	moves int
	// began is what moves was when the attempt under way for a pod began.
	began  map[types.UID]int
	errors map[types.UID]failing
}

// failing is a pod whose last attempts ended in errors.
type failing struct {
	times int
	// moves is what it was when the last of them began.
	moves int
}

func newRetries() retries {
	return retries{began: map[types.UID]int{}, errors: map[types.UID]failing{}}
}

// begin notes that an attempt begins.
func (r *retries) begin(pod types.UID) { r.began[pod] = r.moves }

// end notes how one that came to nothing has ended.
func (r *retries) end(pod types.UID, inError bool) {
	began, known := r.began[pod]
	if !known {
		began = r.moves // it ended before any plugin was asked
	}
	delete(r.began, pod)
	if !inError {
		delete(r.errors, pod)
		return
	}
	r.errors[pod] = failing{r.errors[pod].times + 1, began}
}

// found notes that an attempt has found a place.
func (r *retries) found(pod types.UID) {
	r.moves++
	delete(r.began, pod)
	delete(r.errors, pod)
}

// inVain tells of a pod that would only fail again.
func (r *retries) inVain(pod types.UID) bool {
	f := r.errors[pod]
	return f.times >= vainErrors && f.moves == r.moves
}

// moved notes that something has changed for all pods.
func (e *ControlPlane) moved() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.retries.moves++
}
