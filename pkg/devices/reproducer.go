package devices

import (
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// Reproducer is all that decides what the model and the in-tree allocator answer:
// enough to ask both again. hack/drafuzz -replay reads its YAML form.
type Reproducer struct {
	// Note says what it shows.
	Note     string
	Features structured.Features
	Nodes    []*v1.Node // of these only names and labels are written
	Slices   []*resourceapi.ResourceSlice
	Classes  []*resourceapi.DeviceClass
	// Allocated is what is in use, never nil.
	Allocated *structured.AllocatedState
	Claims    []*resourceapi.ResourceClaim
	Limits    Limits
}

// document is the YAML form of a Reproducer.
type document struct {
	Note      string                       `json:"note,omitempty"`
	Features  structured.Features          `json:"features"`
	Nodes     []documentNode               `json:"nodes"`
	Classes   []*resourceapi.DeviceClass   `json:"deviceClasses"`
	Slices    []*resourceapi.ResourceSlice `json:"resourceSlices"`
	Allocated []documentUsage              `json:"allocated,omitempty"`
	Claims    []documentClaim              `json:"claims"`
	Memory    int64                        `json:"memoryBytes,omitempty"`
	Isolation []string                     `json:"isolation,omitempty"`
}

type documentNode struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
}

type documentClaim struct {
	Namespace string                        `json:"namespace"`
	Name      string                        `json:"name"`
	UID       types.UID                     `json:"uid"`
	Spec      resourceapi.ResourceClaimSpec `json:"spec"`
}

// documentUsage is what is in use of one device. Used is nil where nothing was
// counted, which is not the same as a count of nothing.
type documentUsage struct {
	Driver string                                           `json:"driver"`
	Pool   string                                           `json:"pool"`
	Device string                                           `json:"device"`
	Alone  bool                                             `json:"alone,omitempty"`
	Shares []string                                         `json:"shares,omitempty"`
	Used   *map[resourceapi.QualifiedName]resource.Quantity `json:"used,omitempty"`
}

// Reproducer returns what the view knows of one node, for claims that are to be
// allocated there. Classes that cannot be found are left out.
func (v *View) Reproducer(s *Scope, node *v1.Node, claims []*resourceapi.ResourceClaim, classes ClassLister) *Reproducer {
	out := &Reproducer{Features: v.m.features, Nodes: []*v1.Node{node}, Slices: s.Slices, Allocated: s.Allocated,
		Claims: claims, Limits: v.shape.limits}
	names := sets.New[string]()
	for _, c := range claims {
		for i := range c.Spec.Devices.Requests {
			for _, d := range details(&c.Spec.Devices.Requests[i]) {
				names.Insert(d.class)
			}
		}
	}
	for _, name := range sets.List(names) {
		if class, err := classes.Get(name); err == nil {
			out.Classes = append(out.Classes, class)
		}
	}
	return out
}

// YAML returns the reproducer as ReadReproducer reads it.
func (r *Reproducer) YAML() ([]byte, error) {
	d := document{Note: r.Note, Features: r.Features, Classes: r.Classes, Slices: r.Slices, Allocated: usagesOf(r.Allocated), Memory: r.Limits.Memory}
	for _, n := range r.Nodes {
		d.Nodes = append(d.Nodes, documentNode{n.Name, n.Labels})
	}
	for _, c := range r.Claims {
		d.Claims = append(d.Claims, documentClaim{c.Namespace, c.Name, c.UID, c.Spec})
	}
	for _, level := range r.Limits.Isolation {
		d.Isolation = append(d.Isolation, level.String())
	}
	out, err := yaml.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("writing a reproducer: %w", err)
	}
	return out, nil
}

// ReadReproducer reads what YAML wrote. Fields that it does not know are errors.
func ReadReproducer(text []byte) (*Reproducer, error) {
	var d document
	if err := yaml.UnmarshalStrict(text, &d); err != nil {
		return nil, fmt.Errorf("reading a reproducer: %w", err)
	}
	out := &Reproducer{Note: d.Note, Features: d.Features, Classes: d.Classes, Slices: d.Slices, Limits: Limits{Memory: d.Memory}, Allocated: stateOf(d.Allocated)}
	if slices.Contains(d.Classes, nil) || slices.Contains(d.Slices, nil) {
		return nil, fmt.Errorf("reading a reproducer: an empty entry among deviceClasses or resourceSlices")
	}
	for _, n := range d.Nodes {
		out.Nodes = append(out.Nodes, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels}})
	}
	for _, c := range d.Claims {
		out.Claims = append(out.Claims, &resourceapi.ResourceClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name, UID: c.UID}, Spec: c.Spec})
	}
	for _, name := range d.Isolation {
		level, known := gpus.ParseIsolation(name)
		if !known {
			return nil, fmt.Errorf("reading a reproducer: isolation %q, want one of %q", name, gpus.Levels())
		}
		out.Limits.Isolation = append(out.Limits.Isolation, level)
	}
	return out, nil
}

// usagesOf lists what is in use, by device.
func usagesOf(state *structured.AllocatedState) []documentUsage {
	found := map[structured.DeviceID]*documentUsage{}
	of := func(id structured.DeviceID) *documentUsage {
		if found[id] == nil {
			found[id] = &documentUsage{Driver: id.Driver.String(), Pool: id.Pool.String(), Device: id.Device.String()}
		}
		return found[id]
	}
	for id := range state.AllocatedDevices {
		of(id).Alone = true
	}
	for share := range state.AllocatedSharedDeviceIDs {
		u := of(share.GetDeviceID())
		u.Shares = append(u.Shares, share.ShareID.String())
	}
	for id, used := range state.AggregatedCapacity {
		amounts := map[resourceapi.QualifiedName]resource.Quantity{}
		for name, amount := range used {
			amounts[name] = *amount
		}
		of(id).Used = &amounts
	}
	out := make([]documentUsage, 0, len(found))
	for _, u := range found {
		slices.Sort(u.Shares)
		out = append(out, *u)
	}
	slices.SortFunc(out, func(a, b documentUsage) int {
		return slices.Compare([]string{a.Driver, a.Pool, a.Device}, []string{b.Driver, b.Pool, b.Device})
	})
	return out
}

func stateOf(usages []documentUsage) *structured.AllocatedState {
	out := &structured.AllocatedState{AllocatedDevices: sets.New[structured.DeviceID](),
		AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](), AggregatedCapacity: structured.NewConsumedCapacityCollection()}
	for _, u := range usages {
		id := structured.MakeDeviceID(u.Driver, u.Pool, u.Device)
		if u.Alone {
			out.AllocatedDevices.Insert(id)
		}
		for _, share := range u.Shares {
			uid := types.UID(share)
			out.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, &uid))
		}
		if u.Used != nil {
			out.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, *u.Used))
		}
	}
	return out
}
