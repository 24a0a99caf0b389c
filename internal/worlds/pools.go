package worlds

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// reach says which nodes a slice's devices are on.
type reach func(*resourceapi.ResourceSliceSpec)

func onNode(name string) reach {
	return func(s *resourceapi.ResourceSliceSpec) { s.NodeName = &name }
}

func onAllNodes(s *resourceapi.ResourceSliceSpec) { s.AllNodes = ptr.To(true) }

func onRack(name string) reach {
	return func(s *resourceapi.ResourceSliceSpec) { s.NodeSelector = rack(name) }
}

func rack(name string) *v1.NodeSelector {
	return &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{
		{Key: "rack", Operator: v1.NodeSelectorOpIn, Values: []string{name}}}}}}
}

// publishFor publishes a node's own pools. Drivers call them as their node.
func (w *draw) publishFor(n *v1.Node) {
	if w.one(15) {
		return
	}
	if w.one(25) {
		// A driver that calls its pools alike on every node publishes one at most.
		w.pool(accDriver, w.Nodes[0].Name, onNode(n.Name))
	}
	w.pool(gpuDriver, n.Name, onNode(n.Name))
	if w.one(5) {
		w.pool(of(w, nicDriver, nicDriver, accDriver), of(w, n.Name, n.Name, "nics-"+n.Name), onNode(n.Name))
	}
	if w.one(8) {
		w.pool(gpuDriver, n.Name+"-more", onNode(n.Name))
	}
	if w.one(crowdEvery) {
		w.crowd(n)
	}
}

// publishBeyondNodes publishes a pool that is not on one node alone. The suffix tells
// several apart, if not always.
func (w *draw) publishBeyondNodes(suffix string) {
	name := of(w, "shared", "shared", w.Nodes[0].Name)
	if !w.one(20) {
		name += suffix
	}
	driver := of(w, gpuDriver, nicDriver, nicDriver, accDriver)
	from := len(w.Slices)
	switch w.IntN(7) {
	case 0:
		w.pool(driver, name, onAllNodes)
	case 1, 5:
		w.pool(driver, name, onRack(of(w, "rack-0", "rack-0", "rack-1")))
	case 6: // its devices say all the same, if not for one slice
		w.pool(driver, name, func(s *resourceapi.ResourceSliceSpec) { s.PerDeviceNodeSelection = ptr.To(true) })
		for i, s := range w.Slices[from:] {
			if i == 1 && w.one(3) {
				s.Spec.PerDeviceNodeSelection, s.Spec.NodeSelector = nil, rack("rack-0")
				continue
			}
			for i := range s.Spec.Devices {
				s.Spec.Devices[i].NodeSelector = rack("rack-0")
			}
		}
	case 2: // its slices are on one node each
		w.pool(driver, name, onNode(w.Nodes[0].Name))
		for _, s := range w.Slices[from:] {
			s.Spec.NodeName = ptr.To(of(w, w.Nodes...).Name)
		}
	case 3: // each device says where it is
		w.pool(driver, name, func(s *resourceapi.ResourceSliceSpec) { s.PerDeviceNodeSelection = ptr.To(true) })
		for _, s := range w.Slices[from:] {
			for i := range s.Spec.Devices {
				w.placeDevice(&s.Spec.Devices[i])
			}
		}
	default: // its last slice is on another node
		w.pool(driver, name, onNode(w.Nodes[0].Name))
		if len(w.Slices) > from {
			w.Slices[len(w.Slices)-1].Spec.NodeName = ptr.To(w.Nodes[len(w.Nodes)-1].Name)
		}
	}
}

func (w *draw) placeDevice(d *resourceapi.Device) {
	switch w.IntN(4) {
	case 0:
		d.AllNodes = ptr.To(true)
	case 1:
		d.NodeSelector = rack("rack-0")
	default:
		d.NodeName = ptr.To(of(w, w.Nodes...).Name)
	}
}

// crowd publishes more devices than one claim may hold, or just as many.
func (w *draw) crowd(n *v1.Node) {
	spec := resourceapi.ResourceSliceSpec{}
	for i := range 31 + w.IntN(5) {
		spec.Devices = append(spec.Devices, resourceapi.Device{Name: fmt.Sprintf("port-%02d", i)})
	}
	w.publish(nicDriver, "crowd-"+n.Name, onNode(n.Name), []resourceapi.ResourceSliceSpec{spec})
}

// pool publishes GPUs of one sort: partitionable, cut up, whole, or shared.
func (w *draw) pool(driver, name string, on reach) {
	if w.left <= 0 {
		return
	}
	var perGPU [][]resourceapi.Device
	var sets []resourceapi.CounterSet
	sort := w.IntN(12)
	for g := range 1 + w.IntN(3) {
		if w.left <= 0 {
			break
		}
		var list []resourceapi.Device
		switch {
		case sort < 6 && driver != nicDriver:
			var set resourceapi.CounterSet
			set, list = w.partitionable(g)
			sets = append(sets, set)
		case sort < 8:
			list = w.cutUp(g)
		case sort < 10:
			list = []resourceapi.Device{w.whole(g)}
		case sort == 10 && w.one(4): // one set of counters over whole and shared GPUs
			sets = w.counted(sets, w.shareable(g), &list)
		default:
			list = []resourceapi.Device{w.shareable(g)}
		}
		w.left -= len(list)
		perGPU = append(perGPU, list)
	}
	w.publish(driver, name, on, w.slicesOf(sets, perGPU))
}

// counted makes a device take of a counter that the whole pool has.
func (w *draw) counted(sets []resourceapi.CounterSet, d resourceapi.Device, list *[]resourceapi.Device) []resourceapi.CounterSet {
	const name, budget = "board", "watts"
	if len(sets) == 0 {
		sets = []resourceapi.CounterSet{{Name: name, Counters: map[string]resourceapi.Counter{budget: {Value: *resource.NewQuantity(int64(1+w.IntN(3)), resource.DecimalSI)}}}}
	}
	d.ConsumesCounters = []resourceapi.DeviceCounterConsumption{{CounterSet: name, Counters: map[string]resourceapi.Counter{budget: {Value: resource.MustParse("1")}}}}
	*list = append(*list, d)
	return sets
}

// slicesOf lays counters and devices out in slices as drivers do: a slice for
// each GPU or one for all, the counters before or behind them.
func (w *draw) slicesOf(sets []resourceapi.CounterSet, perGPU [][]resourceapi.Device) []resourceapi.ResourceSliceSpec {
	var out []resourceapi.ResourceSliceSpec
	if w.one(2) {
		for _, list := range perGPU {
			out = append(out, resourceapi.ResourceSliceSpec{Devices: list})
		}
	} else {
		var all resourceapi.ResourceSliceSpec
		for _, list := range perGPU {
			all.Devices = append(all.Devices, list...)
		}
		out = append(out, all)
	}
	if len(sets) == 0 {
		return out
	}
	counters := resourceapi.ResourceSliceSpec{SharedCounters: sets}
	if w.one(6) {
		return append(out, counters)
	}
	return append([]resourceapi.ResourceSliceSpec{counters}, out...)
}

// publish adds a pool, and may spoil it.
func (w *draw) publish(driver, name string, on reach, specs []resourceapi.ResourceSliceSpec) {
	from := len(w.Slices)
	generation := int64(1 + w.IntN(2))
	for i, s := range specs {
		s.Driver = driver
		s.Pool = resourceapi.ResourcePool{Name: name, Generation: generation, ResourceSliceCount: int64(len(specs))}
		on(&s)
		w.Slices = append(w.Slices, &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%05d-%s-%s-%d", i, driver, name, from)}, Spec: s})
	}
	if w.wild && w.one(3) || w.one(60) {
		w.spoil(from)
	}
}

// spoil makes of the slices from a position on what no driver should publish, or
// what is seen while a pool is published anew.
func (w *draw) spoil(from int) {
	slices := w.Slices[from:]
	s := of(w, slices...)
	last := slices[len(slices)-1]
	switch w.IntN(10) {
	case 0: // incomplete
		for _, s := range slices {
			s.Spec.Pool.ResourceSliceCount++
		}
	case 1:
		w.Slices = w.Slices[:len(w.Slices)-1]
	case 2: // the older generation was not removed yet
		left := *s.DeepCopy()
		left.Name, left.Spec.Pool.Generation = "old-"+s.Name, s.Spec.Pool.Generation-1
		w.Slices = append(w.Slices, &left)
	case 3: // the newer one has only begun
		last.Spec.Pool.Generation++
	case 4:
		if n := len(last.Spec.Devices); n > 0 {
			last.Spec.Devices = append(last.Spec.Devices[:n:n], last.Spec.Devices[w.IntN(n)])
		}
	case 5: // a counter, or a set, that is not published
		for i := range last.Spec.Devices {
			if d := &last.Spec.Devices[i]; len(d.ConsumesCounters) > 0 {
				d.ConsumesCounters = []resourceapi.DeviceCounterConsumption{{CounterSet: of(w, "missing", d.ConsumesCounters[0].CounterSet),
					Counters: map[string]resourceapi.Counter{"missing": {Value: resource.MustParse("1")}}}}
				return
			}
		}
	case 6: // a set twice
		for _, s := range slices {
			if n := len(s.Spec.SharedCounters); n > 0 {
				s.Spec.SharedCounters = append(s.Spec.SharedCounters[:n:n], s.Spec.SharedCounters[0])
				return
			}
		}
	case 7: // its name is another node's now
		last.Spec.Pool.Generation++
		last.Spec.Pool.ResourceSliceCount = 1
		if last.Spec.NodeName != nil {
			last.Spec.NodeName = ptr.To(of(w, w.Nodes...).Name)
		}
	case 8: // one of them, if there are several, is not of the others' opinion
		s.Spec.Pool.ResourceSliceCount += of(w, -1, int64(1))
	default: // fewer than there are
		for _, s := range slices {
			s.Spec.Pool.ResourceSliceCount--
		}
	}
}
