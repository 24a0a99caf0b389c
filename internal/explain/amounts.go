package explain

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

const mebibyte = 1 << 20

// scale says in which steps an amount is counted: so many units, or thousandths of
// them, make one.
type scale struct {
	milli  bool
	step   int64
	format resource.Format
}

// scaleOf returns the steps in which a resource is tried.
func scaleOf(name v1.ResourceName, total resource.Quantity) scale {
	switch {
	case name == v1.ResourceCPU:
		return scale{milli: true, step: 1, format: resource.DecimalSI}
	case strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix):
		// A multiple of the page, or the API server refuses it.
		page, err := resource.ParseQuantity(strings.TrimPrefix(string(name), v1.ResourceHugePagesPrefix))
		if err == nil && page.Value() > 0 {
			return scale{step: page.Value(), format: resource.BinarySI}
		}
	case (name == v1.ResourceMemory || name == v1.ResourceEphemeralStorage) && total.Value() > mebibyte:
		return scale{step: mebibyte, format: resource.BinarySI}
	}
	return scale{step: 1, format: total.Format}
}

// of counts a quantity, rounded up.
func (s scale) of(q resource.Quantity) int64 {
	value := q.Value()
	if s.milli {
		value = q.MilliValue()
	}
	return (value + s.step - 1) / s.step
}

func (s scale) quantity(amount int64) resource.Quantity {
	if s.milli {
		return *resource.NewMilliQuantity(amount, s.format)
	}
	return *resource.NewQuantity(amount*s.step, s.format)
}

// ofRequests asks for less of each resource, in all that the pod's containers ask
// for together.
func ofRequests(pod *v1.Pod) []*change {
	totals := requestsOf(pod)
	common := []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory, v1.ResourceEphemeralStorage}
	names := slices.SortedFunc(maps.Keys(totals), func(a, b v1.ResourceName) int {
		at := func(n v1.ResourceName) int { return (slices.Index(common, n) + len(common) + 1) % (len(common) + 1) }
		return cmp.Or(cmp.Compare(at(a), at(b)), cmp.Compare(a, b))
	})
	var out []*change
	for _, name := range names {
		total := totals[name]
		s := scaleOf(name, total)
		if total.Sign() <= 0 {
			continue
		}
		out = append(out, &change{family: "requests", mixed: true, most: s.of(total) - 1, words: func(amount int64) string {
			lowered := pod.DeepCopy() // shares are rounded down
			lower(lowered, name, s.quantity(amount))
			return fmt.Sprintf("ask for %s instead of %s%s", amountOf(string(name), requestsOf(lowered)[name]), total.String(), among(pod, name))
		}, edit: func(v *variant, amount int64) { lower(v.pod, name, s.quantity(amount)) }})
	}
	return out
}

// requestsOf is what the containers ask for: overhead is not theirs to lower.
func requestsOf(pod *v1.Pod) v1.ResourceList {
	return resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{ExcludeOverhead: true})
}

func amountOf(name string, q resource.Quantity) string {
	if q.IsZero() {
		return "no " + name
	}
	return name + " " + q.String()
}

// among says how several containers share what is left.
func among(pod *v1.Pod, name v1.ResourceName) string {
	asking := 0
	eachContainer(pod, func(c *v1.Container) {
		if q, found := c.Resources.Requests[name]; found && !q.IsZero() {
			asking++
		}
	})
	if asking < 2 {
		return ""
	}
	return ", each container in proportion"
}

// lower scales what all containers ask for, so that the pod asks for no more than
// the target.
func lower(pod *v1.Pod, name v1.ResourceName, target resource.Quantity) {
	total := requestsOf(pod)[name]
	if total.Cmp(target) <= 0 {
		return
	}
	s := scale{milli: name == v1.ResourceCPU, step: 1, format: target.Format}
	whole, part := s.of(total), s.of(target)
	scaleIn := func(r *v1.ResourceRequirements) {
		q, found := r.Requests[name]
		if !found || q.Sign() <= 0 {
			return
		}
		// In 128 bits: a product of two amounts of memory needs them.
		high, low := bits.Mul64(uint64(s.of(q)), uint64(part))
		share, _ := bits.Div64(high, low, uint64(whole))
		set(r.Requests, name, s.quantity(int64(share)))
		if _, limited := r.Limits[name]; limited && strings.ContainsAny(string(name), "/-") && name != v1.ResourceEphemeralStorage {
			set(r.Limits, name, s.quantity(int64(share))) // must be the same for these
		}
	}
	eachContainer(pod, func(c *v1.Container) { scaleIn(&c.Resources) })
	if pod.Spec.Resources != nil {
		scaleIn(pod.Spec.Resources)
	}
}

func set(list v1.ResourceList, name v1.ResourceName, q resource.Quantity) {
	if q.IsZero() {
		delete(list, name)
		return
	}
	list[name] = q
}
