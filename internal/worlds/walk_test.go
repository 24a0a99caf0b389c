package worlds

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/utils/ptr"

	"plimsoll.dev/scheduler/pkg/devices"
)

// walk changes a world step by step, as a scheduler sees it: claims come, are
// allocated and go, by informers that lag behind, and drivers publish anew.
type walk struct {
	*draw
	model *devices.Model
	// ids are devices that claims may hold.
	ids    []structured.DeviceID
	multi  map[structured.DeviceID]bool
	all    []*resourceapi.ResourceSlice
	claims map[string]*known
	// lost are claims that are gone, and for which something is still reserved.
	lost []*known
	uids int
}

// known is what is known of one claim: what the test expects to count.
type known struct {
	seen *resourceapi.ResourceClaim // by the informers, nil if it is not there
	// version is of the last that was written, written its allocation while the
	// informers have not caught up.
	version                          int
	written, pending                 *resourceapi.AllocationResult
	hasWritten, hasPending, informed bool
	uid                              types.UID
	name                             string
}

func newWalk(g *Generator, seed uint64) *walk {
	w := &walk{draw: &draw{Rand: random(seed), Case: g.Generate(seed)}, multi: map[structured.DeviceID]bool{}, claims: map[string]*known{}}
	w.model = devices.NewModel(w.Features, celFeatures(w.Features))
	w.all = slices.Clone(w.Slices)
	for _, s := range w.Slices {
		for _, d := range s.Spec.Devices {
			id := structured.MakeDeviceID(s.Spec.Driver, s.Spec.Pool.Name, d.Name)
			w.ids = append(w.ids, id)
			w.multi[id] = ptr.Deref(d.AllowMultipleAllocations, false)
		}
	}
	w.ids = append(w.ids, structured.MakeDeviceID(gpuDriver, w.Nodes[0].Name, "unplugged"))
	return w
}

// allocation holds some devices, alone or by shares, and some with admin access.
func (w *walk) allocation() *resourceapi.AllocationResult {
	out := &resourceapi.AllocationResult{}
	for range 1 + w.IntN(3) {
		id := of(w.draw, w.ids...)
		r := resourceapi.DeviceRequestAllocationResult{Driver: id.Driver.String(), Pool: id.Pool.String(), Device: id.Device.String()}
		if w.one(10) {
			r.AdminAccess = ptr.To(true)
		}
		if w.multi[id] != w.one(20) {
			r.ShareID = ptr.To(types.UID(fmt.Sprint("share-", w.IntN(1<<30))))
			if !w.one(6) {
				r.ConsumedCapacity = map[resourceapi.QualifiedName]resource.Quantity{"memory": *resource.NewQuantity(int64(1+w.IntN(30))<<30, resource.BinarySI)}
			}
		}
		out.Devices.Results = append(out.Devices.Results, r)
	}
	return out
}

// object is a version of a claim.
func (k *known) object(version int, allocation *resourceapi.AllocationResult) *resourceapi.ResourceClaim {
	c := &resourceapi.ResourceClaim{}
	c.Namespace, c.Name, c.UID, c.ResourceVersion = "ns", k.name, k.uid, fmt.Sprint(version)
	c.Status.Allocation = allocation
	return c
}

// step does one thing to the model, and notes what it should mean.
func (w *walk) step() {
	name := fmt.Sprint("claim-", w.IntN(5))
	k := w.claims[name]
	if k == nil {
		w.uids++
		k = &known{name: name, uid: types.UID(fmt.Sprint("uid-", w.uids))}
		w.claims[name] = k
	}
	switch w.IntN(9) {
	case 0, 1: // the informers see a newer version, or the one that was written
		if !k.hasWritten || w.one(2) {
			k.version++
			k.seen = k.object(k.version, of(w.draw, nil, w.allocation(), w.allocation()))
		} else {
			k.seen = k.object(k.version, k.written)
		}
		k.hasWritten, k.informed = false, true
		w.observe(k)
	case 2: // what was seen is told again, or late
		w.observe(k)
	case 3:
		w.lose(k)
		delete(w.claims, name)
		w.observe(&known{name: name})
	case 4: // deleted and created again, and only the last was seen
		w.lose(k)
		w.uids++
		next := &known{name: name, uid: types.UID(fmt.Sprint("uid-", w.uids)), version: k.version + 1, informed: true}
		next.seen = next.object(next.version, w.allocation())
		w.claims[name] = next
		w.observe(next)
	case 5:
		k.pending, k.hasPending = w.allocation(), true
		w.model.Reserve(k.uid, k.object(k.version, k.pending))
	case 6:
		if len(w.lost) > 0 && w.one(2) {
			k, w.lost = w.lost[0], w.lost[1:]
		}
		k.pending, k.hasPending = nil, false
		release(w.model, k.uid)
	case 7:
		w.write(k)
	default:
		if k.informed {
			k.written, k.hasWritten = nil, false
			w.model.Restore("ns", name)
		}
	}
}

// observe tells the model to look at what the informers have.
func (w *walk) observe(k *known) {
	w.model.Observe("ns", k.name, func() *resourceapi.ResourceClaim { return k.seen })
}

// lose forgets a claim, but for what a cycle has reserved for it: that counts until
// the cycle lets go. What the informers have not seen they cannot lose.
func (w *walk) lose(k *known) {
	if k.hasPending {
		w.lost = append(w.lost, k)
	}
}

// write is an update that the API server answered. What is not there any more, or
// not seen yet, does not count.
func (w *walk) write(k *known) {
	k.version++
	allocation := of(w.draw, nil, w.allocation())
	w.model.Written(k.object(k.version, allocation), func() *resourceapi.ResourceClaim {
		return k.seen
	})
	if k.informed {
		k.written, k.hasWritten = allocation, true
	}
}

// republish takes pools away, brings them back, or replaces their objects.
func (w *walk) republish() {
	switch w.IntN(3) {
	case 0:
		w.Slices = slices.Clone(w.all)
	case 1:
		id := poolOf(of(w.draw, w.all...))
		w.Slices = slices.DeleteFunc(slices.Clone(w.Slices), func(s *resourceapi.ResourceSlice) bool { return poolOf(s) == id })
	default:
		id := poolOf(of(w.draw, w.all...))
		w.Slices = slices.Clone(w.Slices)
		for i, s := range w.Slices {
			if poolOf(s) == id {
				w.Slices[i] = s.DeepCopy()
				w.Slices[i].Spec.Pool.Generation++
			}
		}
	}
}

// holds is the state that the claims add up to.
func (w *walk) holds() *structured.AllocatedState {
	out := emptyState()
	for _, k := range slices.AppendSeq(slices.Clone(w.lost), maps.Values(w.claims)) {
		var now *resourceapi.AllocationResult
		switch {
		case k.hasPending:
			now = k.pending
		case k.hasWritten:
			now = k.written
		case k.informed:
			now = k.seen.Status.Allocation
		}
		if now == nil {
			continue
		}
		for _, r := range now.Devices.Results {
			id := structured.MakeDeviceID(r.Driver, r.Pool, r.Device)
			switch {
			case ptr.Deref(r.AdminAccess, false):
			case r.ShareID == nil || !w.Features.ConsumableCapacity:
				out.AllocatedDevices.Insert(id)
			default:
				out.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, r.ShareID))
				if r.ConsumedCapacity != nil {
					out.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, r.ConsumedCapacity))
				}
			}
		}
	}
	return out
}

// compare asks the model and a new one that adopts what the claims add up to.
func (w *walk) compare(t *testing.T, worth *devices.Worth) {
	t.Helper()
	want := w.holds()
	look := func(m *devices.Model) *devices.View {
		shape, err := m.Shape(asksOf(w.Case), devices.Limits{}, lister(w.Classes))
		if err != nil {
			t.Fatal(err)
		}
		return look(m, w.Slices, shape, worth)
	}
	fresh := devices.NewModel(w.Features, celFeatures(w.Features))
	fresh.Adopt(want)
	grown, anew := look(w.model), look(fresh)
	for _, n := range w.Nodes {
		if got, want := grown.Answer(n), anew.Answer(n); got != want {
			t.Fatalf("%s, %s: answer %d, a new model's %d", w.Note, n.Name, got, want)
		}
		if diff := cmp.Diff(anew.Plan(n.Name), grown.Plan(n.Name), cmpopts.IgnoreUnexported(devices.Chosen{})); diff != "" {
			t.Fatalf("%s, %s: the plan is not a new model's (-want +got)\n%s", w.Note, n.Name, diff)
		}
		if got, want := grown.Why(n), anew.Why(n); got != want {
			t.Fatalf("%s, %s: %+v, a new model says %+v", w.Note, n.Name, got, want)
		}
		scope := grown.Scope(n)
		if expected := usedWithin(want, poolsOf(scope.Slices)); !sameState(scope.Allocated, expected) {
			t.Fatalf("%s, %s: in use is %v, the claims say %v", w.Note, n.Name, scope.Allocated, expected)
		}
	}
}

// TestHowItCameAboutDoesNotMatter: a model that saw every step answers as one that
// only sees where they led.
func TestHowItCameAboutDoesNotMatter(t *testing.T) {
	g := generator(t)
	walks := min(400, judged/10)
	for seed := range uint64(walks) {
		w := newWalk(g, 1<<41+seed)
		if len(w.all) == 0 {
			continue
		}
		worth := devices.NewWorth(nil, nil)
		for range 12 {
			for range 1 + w.IntN(8) {
				w.step()
			}
			if w.one(3) {
				w.republish()
			}
			w.compare(t, worth)
		}
	}
}

// release has a model see that nothing is reserved for a claim.
func release(m *devices.Model, uid types.UID) {
	m.Release(uid, func() *resourceapi.AllocationResult { return nil })
}
