package simulate

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/dynamic-resource-allocation/structured"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/gpus"
	"plimsoll.dev/scheduler/pkg/inventory"
)

// wholeLabel is what a part is called that is all of a GPU.
const wholeLabel = "whole"

// hardware is what GPUs there are.
type hardware struct {
	layouts []devices.Layout
	// byLayout lists them by node.
	byNode map[string][]int
	// holders are the layouts and pieces by device.
	pieces map[structured.DeviceID]pieceAt
	units  *inventory.GPUs
}

type pieceAt struct{ layout, piece int }

// readHardware reads what drivers publish.
func readHardware(objects []runtime.Object) *hardware {
	var published []*resourceapi.ResourceSlice
	for _, object := range objects {
		if s, is := object.(*resourceapi.ResourceSlice); is {
			published = append(published, s)
		}
	}
	h := &hardware{layouts: devices.Layouts(published), byNode: map[string][]int{}, pieces: map[structured.DeviceID]pieceAt{}, units: inventory.NewGPUs()}
	for i := range h.layouts {
		l := &h.layouts[i]
		h.byNode[l.Node] = append(h.byNode[l.Node], i)
		for j := range l.Pieces {
			h.pieces[l.Pieces[j].ID] = pieceAt{i, j}
		}
	}
	return h
}

// held is what a claim holds of a device.
type held struct {
	id    structured.DeviceID
	takes map[resourceapi.QualifiedName]int64 // thousandths of each capacity; nil for all of it
	pod   string
}

// heldBy lists what claims hold.
func heldBy(claims []resourceapi.ResourceClaim) []held {
	var out []held
	for i := range claims {
		claim := &claims[i]
		if claim.Status.Allocation == nil {
			continue
		}
		pod := ""
		if users := claim.Status.ReservedFor; len(users) > 0 {
			pod = claim.Namespace + "/" + users[0].Name
		}
		for _, r := range claim.Status.Allocation.Devices.Results {
			if r.AdminAccess != nil && *r.AdminAccess {
				continue
			}
			h := held{id: structured.MakeDeviceID(r.Driver, r.Pool, r.Device), pod: pod}
			for name, amount := range r.ConsumedCapacity {
				if h.takes == nil {
					h.takes = map[resourceapi.QualifiedName]int64{}
				}
				h.takes[name] = amount.MilliValue()
			}
			out = append(out, h)
		}
	}
	return out
}

// published lists a node's GPUs that drivers publish, with what is held of them.
func (h *hardware) published(node string, holds map[int][]held) []placement.GPU {
	var out []placement.GPU
	for _, at := range h.byNode[node] {
		l := &h.layouts[at]
		g := placement.GPU{Name: l.Name, Count: 1, Model: l.Model, Cells: l.Cells, Parts: []placement.Part{}}
		for _, one := range holds[at] {
			g.Parts = append(g.Parts, part(l, &l.Pieces[h.pieces[one.id].piece], one))
		}
		out = append(out, sum(g))
	}
	return out
}

// sum orders the parts and adds them up.
func sum(g placement.GPU) placement.GPU {
	slices.SortFunc(g.Parts, func(a, b placement.Part) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Percent, b.Percent))
	})
	for _, p := range g.Parts {
		g.UsedPercent += p.Percent
	}
	g.UsedPercent = rounded(min(g.UsedPercent, 100))
	return g
}

// part is what a claim holds of a GPU.
func part(l *devices.Layout, piece *devices.Piece, h held) placement.Part {
	share := piece.Part
	label := cmp.Or(piece.Profile, wholeLabel)
	if h.takes != nil {
		share = 0
		for name, takes := range h.takes {
			capacity := piece.Spec.Capacity[name]
			if all := capacity.Value.MilliValue(); all > 0 {
				share = max(share, float64(takes)/float64(all))
			}
		}
		if share < 1 {
			label = fmt.Sprintf("%.0f %%", 100*share)
		}
	}
	out := placement.Part{Label: label, Percent: rounded(100 * share), Pod: h.pod}
	if piece.Mask != 0 && l.Cells > 0 {
		out.Start, out.Cells = bits.TrailingZeros64(uint64(piece.Mask)), piece.Mask.Count()
		out.Percent = rounded(100 * float64(out.Cells) / float64(l.Cells))
	}
	return out
}

// counted is a node's GPUs that a device plugin counts. Nobody knows which unit a pod
// got; they are drawn in the order of the pods.
func (h *hardware) counted(info fwk.NodeInfo) []placement.GPU {
	var read gpus.Node
	h.units.Read(info, &read)
	var out []placement.GPU
	for i := range read.Offers {
		offer := &read.Offers[i]
		all := read.Counts[i].Allocatable
		if all <= 0 {
			continue // a device plugin that is gone left its name behind
		}
		users := usersOf(info, offer.Resource)
		if offer.Kind != gpus.Whole || all > maxDrawn {
			out = append(out, strip(offer, all, users))
			continue
		}
		for unit := range all {
			g := placement.GPU{Name: fmt.Sprintf("gpu-%d", unit), Count: 1, Model: offer.Model, Parts: []placement.Part{}}
			if len(users) > 0 {
				g.Parts = append(g.Parts, placement.Part{Label: wholeLabel, Percent: 100, Pod: users[0].pod})
				if users[0].units--; users[0].units == 0 {
					users = users[1:]
				}
			}
			out = append(out, sum(g))
		}
	}
	return out
}

// maxDrawn bounds how many units of a resource are drawn one by one.
const maxDrawn = 64

// strip draws units that are no GPU each, or too many to draw: on a grid if they are few.
func strip(offer *gpus.Offer, all int64, users []user) placement.GPU {
	g := placement.GPU{Name: offer.Resource, Units: offer.Resource, Count: rounded(float64(all) * float64(offer.MilliGPUs()) / gpus.MilliGPU), Model: offer.Model, Parts: []placement.Part{}}
	if all <= maxDrawn {
		g.Cells = int(all)
	}
	at := int64(0)
	for _, u := range users {
		units := min(u.units, all-at) // of those that broke, more may be asked for than there are
		if units <= 0 {
			break
		}
		p := placement.Part{Label: offer.Resource, Percent: 100 * float64(units) / float64(all), Pod: u.pod}
		if g.Cells > 0 {
			p.Start, p.Cells = int(at), int(units)
		}
		at += units
		g.Parts = append(g.Parts, p)
	}
	return sum(g)
}

// user is a pod, and how many units of a resource it asks for: at least one.
type user struct {
	pod   string
	units int64
}

// usersOf lists the pods that use units of a resource, by name.
func usersOf(info fwk.NodeInfo, resource string) []user {
	var out []user
	for _, p := range info.GetPods() {
		pod, units := p.GetPod(), int64(0)
		for _, want := range countedGPUs(pod) {
			if want.Resource == resource {
				units += want.Count
			}
		}
		if units > 0 {
			out = append(out, user{pod.Namespace + "/" + pod.Name, units})
		}
	}
	slices.SortFunc(out, func(a, b user) int { return cmp.Compare(a.pod, b.pod) })
	return out
}

// countedGPUs are what a pod asks for of device plugins: not what a claim serves.
func countedGPUs(pod *v1.Pod) []gpus.Want {
	extended := pod.Status.ExtendedResourceClaimStatus
	if extended == nil {
		return inventory.PodGPUs(pod)
	}
	return slices.DeleteFunc(inventory.PodGPUs(pod), func(want gpus.Want) bool {
		return slices.ContainsFunc(extended.RequestMappings, func(m v1.ContainerExtendedResourceRequest) bool { return m.ResourceName == want.Resource })
	})
}

// units are what a node has of a resource that a device plugin counts.
type units struct {
	resource string
	// milliGPUs is how much of a GPU a unit is.
	milliGPUs int64
	has, used int64
}

// milli is how much of GPUs so many units are, in thousandths.
func (u *units) milli(count int64) int64 { return count * u.milliGPUs * 1000 / gpus.MilliGPU }

// unitsOf is what a node has by device plugins.
func (h *hardware) unitsOf(info fwk.NodeInfo) []units {
	var read gpus.Node
	h.units.Read(info, &read)
	var out []units
	for i := range read.Offers {
		if has := read.Counts[i].Allocatable; has > 0 {
			out = append(out, units{resource: read.Offers[i].Resource, milliGPUs: read.Offers[i].MilliGPUs(), has: has})
		}
	}
	return out
}

func rounded(x float64) float64 { return math.Round(x*100) / 100 }
