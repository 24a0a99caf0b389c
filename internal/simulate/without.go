package simulate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// missing are objects that the control plane does without.
type missing struct {
	count int
	// first is one of them, and why is what the API server said of it.
	first string
	why   error
}

// dispensable are kinds that say with whom pods belong. All others say where pods can
// go or what they hold there: a copy without one of these is of another cluster.
var dispensable = []string{"Deployment", "ReplicationController", "ReplicaSet", "StatefulSet", "DaemonSet", "CronJob", "Job", "Service", "EndpointSlice"}

// optional are kinds of alpha and beta APIs, which a server need not serve.
var optional = []string{"PodGroup", "DeviceTaintRule"}

// statusOf precedes a kind where the object was taken and its status was not.
const statusOf = "the status of "

// doesWithout tells whether the copy can do without an object, or its status, that the
// API server did not take, and notes it if so.
func (c *copier) doesWithout(what string, object metav1.Object, err error) bool {
	kind := strings.TrimPrefix(what, statusOf)
	switch {
	case refuses(err) && slices.Contains(dispensable, kind):
	case apierrors.IsNotFound(err) && slices.Contains(optional, kind):
	default:
		return false
	}
	if c.without[what] == nil {
		c.without[what] = &missing{first: name(object), why: err}
	}
	c.without[what].count++
	return true
}

// refuses tells whether the API server found fault with an object.
func refuses(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err)
}

// lacks says, a line for each kind, what the copy does without.
func (c *copier) lacks() []string {
	var out []string
	for _, what := range slices.Sorted(maps.Keys(c.without)) {
		m := c.without[what]
		if m.count == 1 {
			out = append(out, fmt.Sprintf("without %s %s, which the API server does not take: %v", what, m.first, m.why))
			continue
		}
		out = append(out, fmt.Sprintf("without %s %s and %d more, which the API server does not take: %v", what, m.first, m.count-1, m.why))
	}
	return out
}
