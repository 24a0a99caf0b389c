package worlds

import (
	"fmt"
	"math/rand/v2"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"

	"plimsoll.dev/scheduler/pkg/devices"
)

// Case is one world: what is published, what is in use, what is asked for.
type Case = devices.Reproducer

// The drivers of generated worlds.
const (
	gpuDriver = "gpu.example.com"
	nicDriver = "nic.example.com"
	accDriver = "acc.example.com"
)

const (
	// smallWorld is how many devices most worlds have at most, give or take a GPU.
	smallWorld = 15
	// largeEvery is how often nodes of the samples are drawn, crowdEvery how often
	// more devices than one claim may hold.
	largeEvery, crowdEvery = 150, 300
)

// Generator makes worlds. It is safe for concurrent use.
type Generator struct {
	classes []*resourceapi.DeviceClass
	large   *large
}

// NewGenerator reads the samples that large worlds are made of.
func NewGenerator() (*Generator, error) {
	large, err := readLarge()
	if err != nil {
		return nil, fmt.Errorf("reading the samples: %w", err)
	}
	return &Generator{classes: generatedClasses(), large: large}, nil
}

// Features are those that Kubernetes 1.36 has on by default.
func Features() structured.Features {
	return structured.Features{AdminAccess: true, PrioritizedList: true, PartitionableDevices: true,
		DeviceTaints: true, DeviceBindingAndStatus: true, ConsumableCapacity: true}
}

// draw is a world in the making.
type draw struct {
	*rand.Rand
	*Case
	// left is how many devices may still be published.
	left int
	// wild worlds publish and hold what nobody should.
	wild bool
	// failing is how many selectors in a hundred fail at run time on some device.
	failing int
}

// one tells true once in n times.
func (w *draw) one(n int) bool { return w.IntN(n) == 0 }

// of draws one of several, which may be listed more than once.
func of[T any](w *draw, list ...T) T { return list[w.IntN(len(list))] }

// Generate makes the world of a seed.
func (g *Generator) Generate(seed uint64) *Case {
	w := &draw{Rand: random(seed), Case: &Case{Note: fmt.Sprintf("seed %d", seed), Features: Features(), Classes: g.classes, Allocated: emptyState()}}
	w.left = 2 + w.IntN(smallWorld-1)
	w.wild = w.one(6)
	if w.one(16) {
		w.failing = 20
	}
	w.switchOff()
	if w.one(largeEvery) {
		w.fromSamples(g.large)
		return w.Case
	}
	for i := range 1 + w.IntN(10)/6 + w.IntN(10)/8 + w.IntN(12)/11 {
		w.Nodes = append(w.Nodes, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("gpu-a-%02d", i+1),
			Labels: map[string]string{"rack": fmt.Sprintf("rack-%d", i%2)}}})
	}
	fabric := w.one(10) // most devices are not in the nodes
	for _, n := range w.Nodes {
		if !fabric || w.one(3) {
			w.publishFor(n)
		}
	}
	switch {
	case fabric:
		for i := range 1 + w.IntN(4) {
			w.publishBeyondNodes(fmt.Sprintf("-%d", i))
		}
	case len(w.Nodes) > 1 && w.one(7), w.one(20):
		w.publishBeyondNodes("")
	}
	if w.one(8) {
		w.Shuffle(len(w.Slices), func(i, j int) { w.Slices[i], w.Slices[j] = w.Slices[j], w.Slices[i] })
	}
	w.allocate()
	for i := range 1 + w.IntN(6)/5 + w.IntN(12)/11 {
		w.Claims = append(w.Claims, w.claim(i))
	}
	return w.Case
}

// random is the same for the same seed.
func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 17)) }

func emptyState() *structured.AllocatedState {
	return &structured.AllocatedState{AllocatedDevices: sets.New[structured.DeviceID](),
		AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](), AggregatedCapacity: structured.NewConsumedCapacityCollection()}
}

// switchOff turns features off, as after a rollback: what is published stays.
func (w *draw) switchOff() {
	if !w.one(12) {
		return
	}
	f := &w.Features
	for range 1 + w.IntN(5)/4 {
		switch w.IntN(6) {
		case 0:
			f.ConsumableCapacity = false
		case 1:
			f.PartitionableDevices = false
		case 2:
			f.DeviceTaints = false
		case 3:
			f.DeviceBindingAndStatus = false
		case 4:
			f.PrioritizedList = false
		default:
			f.ListTypeAttributes = true
		}
	}
}

func class(name, expression string) *resourceapi.DeviceClass {
	return &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)},
		Spec: resourceapi.DeviceClassSpec{Selectors: selectors(expression)}}
}

func selectors(expressions ...string) []resourceapi.DeviceSelector {
	var out []resourceapi.DeviceSelector
	for _, e := range expressions {
		if e != "" {
			out = append(out, resourceapi.DeviceSelector{CEL: &resourceapi.CELDeviceSelector{Expression: e}})
		}
	}
	return out
}

func generatedClasses() []*resourceapi.DeviceClass {
	return []*resourceapi.DeviceClass{
		class("any", ""),
		class("gpu", `device.driver == "gpu.example.com"`),
		class("mig", `device.driver == "gpu.example.com" && device.attributes["gpu.example.com"].type == "mig"`),
		class("nic", `device.driver == "nic.example.com"`),
	}
}

// lister finds the classes of a world.
type lister []*resourceapi.DeviceClass

// Get returns the class of that name.
func (l lister) Get(name string) (*resourceapi.DeviceClass, error) {
	for _, c := range l {
		if c.Name == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("device class %q does not exist", name)
}

// List returns all classes.
func (l lister) List() ([]*resourceapi.DeviceClass, error) { return l, nil }
