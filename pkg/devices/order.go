package devices

import (
	"slices"

	resourceapi "k8s.io/api/resource/v1"
)

// slicesOf returns each pool's slices as the allocator shall see them for a
// plan, nil where they stay as they are.
func (n *node) slicesOf(p *planned) [][]*resourceapi.ResourceSlice {
	if p == nil {
		return nil
	}
	if p.ordered == nil && (p.plan != nil || !p.natural && !p.shape.limits.none()) {
		var chosen []Chosen
		if p.plan != nil {
			chosen = p.plan.Chosen
		}
		p.ordered = n.reorder(chosen, &p.shape.limits, p.shape)
		for i := len(n.plans) - 1 - maxOrdered; i >= 0 && n.plans[i].ordered != nil; i-- {
			n.plans[i].ordered = nil
		}
	}
	return p.ordered
}

// reorder moves the chosen devices of each pool to the top of its first slice
// with devices, in the order of the plan. Only slices that lose or gain devices
// are copied, and their names, which are the allocator's sort keys, stay.
func (n *node) reorder(chosen []Chosen, limits *Limits, s *Shape) [][]*resourceapi.ResourceSlice {
	out := make([][]*resourceapi.ResourceSlice, len(n.pools))
	for i, p := range n.pools {
		if p.unusable != "" || p.opaque != "" || limits.none() && !slices.ContainsFunc(chosen, func(c Chosen) bool { return c.pool == i }) {
			continue
		}
		var picks []int
		elsewhere := map[int]bool{} // moved, or hidden
		touched := map[int]bool{}
		for _, c := range chosen {
			if c.pool == i && !elsewhere[c.device] {
				elsewhere[c.device] = true
				touched[p.devices[c.device].slice] = true
				picks = append(picks, c.device)
			}
		}
		if !limits.none() {
			// What the pod's annotations exclude is not shown, so that the allocator
			// cannot take it for an alternative that the user named first.
			for d := range p.devices {
				if !elsewhere[d] && p.devices[d].mayBeHidden() && !s.accepts(p, d) {
					elsewhere[d] = true
					touched[p.devices[d].slice] = true
				}
			}
		}
		if len(touched) > 0 {
			out[i] = p.reordered(picks, elsewhere, touched)
		}
	}
	return out
}

// mayBeHidden: not if counters are computed from it being in use.
func (d *device) mayBeHidden() bool { return !d.inUse() || len(d.takes) == 0 }

// reliable tells whether the allocator, which does not know the pod's
// annotations, follows the plan. It need not where a shared device stays in sight
// that suits one request and is too small a share for another, or for an
// alternative that the user named first.
func (q *search) reliable() bool {
	if q.shape.limits.none() {
		return true
	}
	for i := range q.slots {
		s := &q.slots[i]
		for k := 0; k <= s.alternative; k++ {
			a := &q.shape.claims[s.claim].requests[s.request].alternatives[k]
			for _, p := range q.n.pools {
				if p.unusable == "" && q.shape.exposes(p, q.m.match(p, a.selector)) {
					return false
				}
			}
		}
	}
	return true
}

// exposes tells whether a pool shows the allocator a device for a request that
// the annotations exclude for it.
func (s *Shape) exposes(p *pool, found *match) bool {
	for d := range p.devices {
		if found.is(d, fits|open) && !p.devices[d].allocated && !s.limits.accept(&p.devices[d], found.needs(d)) &&
			(!p.devices[d].mayBeHidden() || s.accepts(p, d)) && (p.devices[d].multi || !p.devices[d].inUse()) {
			return true
		}
	}
	return false
}

// accepts tells whether a device meets the pod's annotations for some request.
func (s *Shape) accepts(p *pool, device int) bool {
	for i := range s.claims {
		for j := range s.claims[i].requests {
			for _, a := range s.claims[i].requests[j].alternatives {
				if found := p.matches[a.selector]; found != nil && found.is(device, fits) &&
					s.limits.accept(&p.devices[device], found.needs(device)) {
					return true
				}
			}
		}
	}
	return false
}

func (p *pool) reordered(picks []int, elsewhere, touched map[int]bool) []*resourceapi.ResourceSlice {
	touched[p.first] = true
	out := append([]*resourceapi.ResourceSlice(nil), p.slices...)
	for at := range touched {
		clone := *p.slices[at]
		clone.Spec.Devices = make([]resourceapi.Device, 0, len(p.slices[at].Spec.Devices)+len(picks))
		out[at] = &clone
	}
	first := out[p.first]
	for _, pick := range picks {
		first.Spec.Devices = append(first.Spec.Devices, *p.devices[pick].spec)
	}
	for i := range p.devices {
		d := &p.devices[i]
		if touched[d.slice] && !elsewhere[i] {
			out[d.slice].Spec.Devices = append(out[d.slice].Spec.Devices, *d.spec)
		}
	}
	return out
}
