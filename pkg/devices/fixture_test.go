package devices

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
)

// features are those that 1.36 has on by default.
var features = structured.Features{AdminAccess: true, PrioritizedList: true, PartitionableDevices: true,
	DeviceTaints: true, DeviceBindingAndStatus: true, ConsumableCapacity: true}

var expressions = cel.Features{EnableConsumableCapacity: true}

// testCEL is shared: compiling the same expressions anew would be most of the time.
var testCEL = cel.NewCache(100, expressions)

const testDriver = "gpu.example.com"

type classes map[string]*resourceapi.DeviceClass

func (c classes) Get(name string) (*resourceapi.DeviceClass, error) {
	if class := c[name]; class != nil {
		return class, nil
	}
	return nil, fmt.Errorf("device class %q does not exist", name)
}

func (c classes) List() ([]*resourceapi.DeviceClass, error) { return nil, nil }

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

// grid is a GPU's memory slices and the sizes it can be cut into.
type grid struct {
	cells    int
	profiles []gridProfile
}

type gridProfile struct {
	name   string
	size   int
	starts []int
	memory string
}

var grids = []grid{
	{8, []gridProfile{{"1g.10gb", 1, []int{0, 1, 2, 3, 4, 5, 6}, "9728Mi"}, {"2g.20gb", 2, []int{0, 2, 4}, "19968Mi"},
		{"3g.40gb", 4, []int{0, 4}, "40192Mi"}, {"4g.40gb", 4, []int{0}, "40192Mi"}, {"7g.80gb", 8, []int{0}, "81152Mi"}}},
	{4, []gridProfile{{"1g.6gb", 1, []int{0, 1, 2, 3}, "5952Mi"}, {"2g.12gb", 2, []int{0, 2}, "11968Mi"}, {"4g.24gb", 4, []int{0}, "24000Mi"}}},
	{12, []gridProfile{{"1g.24gb", 3, []int{0, 3, 6, 9}, "24192Mi"}, {"2g.48gb", 6, []int{0, 6}, "48512Mi"}, {"4g.96gb", 12, []int{0}, "97251Mi"}}},
}

// called is a node without labels.
func called(name string) *v1.Node { return &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}} }
