package devices

import (
	"slices"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// price is what taking a device costs in the search's present state.
func (q *search) price(s *slot, device int, found *match) Cost {
	p := q.n.pools[s.pool]
	d := &p.devices[device]
	var c Cost
	c.Isolation, _ = q.shape.limits.place(d.isolation())
	if q.shape.sized {
		c.Memory = gets(d, found.needs(device))
	}
	c.Extra = d.extra
	if d.gpu < 0 {
		return c
	}
	g := &p.gpus[d.gpu]
	switch {
	case g.kind != nil && d.mask != 0:
		used := q.used[s.pool][d.gpu]
		if used&d.mask == 0 {
			c.Loss = q.worth.of(g.kind).Loss(used, d.mask) * 1000 / int64(g.cells)
		}
		c.Empty = 1e6 - millionths(int64(used.Count()), int64(g.cells))
	case d.multi:
		before := dominant(d, q.capacity[s.pool][device], nil)
		c.Empty = 1e6 - before
		c.Loss = q.worth.piece(before, dominant(d, q.capacity[s.pool][device], found.needs(device)))
	default:
		c.Empty = 1e6 - millionths(g.busy, g.whole)
	}
	return c
}

// isolation is how well a device is fenced off from other users. How a claim
// configures sharing is the driver's business; a device that is shared by
// capacity has no fence of its own.
func (d *device) isolation() gpus.Isolation {
	switch {
	case d.multi:
		return gpus.TimeSlicing
	case d.partition:
		return gpus.MIG
	}
	return gpus.Exclusive
}

// accept tells whether a device meets the limits.
func (l *Limits) accept(d *device, needs []int64) bool {
	if l.none() || d.memory == 0 {
		return true
	}
	_, strong := l.place(d.isolation())
	return strong && gets(d, needs) >= l.Memory
}

// gets is the memory in bytes that a claim gets of a device.
func gets(d *device, needs []int64) int64 {
	for i := range needs {
		if slices.Contains(memoryNames, bare(d.capacities[i].name)) {
			return needs[i] / 1000
		}
	}
	return d.memory
}

// dominant is the largest share of a shared device's capacities that is used,
// in millionths, with what was added and what is needed besides.
func dominant(d *device, added, needs []int64) int64 {
	var most int64
	for c := range d.capacities {
		v := d.capacities[c].used
		if added != nil {
			v += added[c]
		}
		if needs != nil {
			v += needs[c]
		}
		most = max(most, millionths(v, d.capacities[c].total))
	}
	return most
}
