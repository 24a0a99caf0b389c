package worlds

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"plimsoll.dev/scheduler/internal/samples"
)

// large is what real drivers publish for one node each, and claims that fit it.
type large struct {
	nodes   [][]*resourceapi.ResourceSlice
	classes []*resourceapi.DeviceClass
	claims  []*resourceapi.ResourceClaimTemplate
}

func readLarge() (*large, error) {
	out := &large{}
	for _, file := range samples.SliceFiles() {
		published, err := samples.Of[*resourceapi.ResourceSlice](file)
		if err != nil {
			return nil, err
		}
		byNode := map[string][]*resourceapi.ResourceSlice{}
		var names []string
		for _, s := range published {
			if s.Spec.NodeName == nil {
				continue
			}
			if byNode[*s.Spec.NodeName] == nil {
				names = append(names, *s.Spec.NodeName)
			}
			byNode[*s.Spec.NodeName] = append(byNode[*s.Spec.NodeName], s)
		}
		for _, name := range names {
			out.nodes = append(out.nodes, byNode[name])
		}
	}
	var err error
	if out.classes, err = samples.Of[*resourceapi.DeviceClass]("deviceclasses"); err != nil {
		return nil, err
	}
	for i, c := range out.classes {
		named := c.DeepCopy()
		named.UID = types.UID("sample-" + c.Name)
		out.classes[i] = named
	}
	out.claims, err = samples.Of[*resourceapi.ResourceClaimTemplate]("resourceclaimtemplates")
	return out, err
}

// fromSamples makes a world of one or two nodes that are like the samples'.
func (w *draw) fromSamples(l *large) {
	w.Classes = l.classes
	for i := range 1 + w.IntN(2) {
		name := fmt.Sprintf("gpu-b-%02d", i+1)
		w.Nodes = append(w.Nodes, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
		for _, s := range of(w, l.nodes...) {
			renamed := *s
			renamed.Name = strings.ReplaceAll(s.Name, *s.Spec.NodeName, name) + fmt.Sprint("-", i)
			renamed.Spec.NodeName = &name
			renamed.Spec.Pool.Name = strings.ReplaceAll(s.Spec.Pool.Name, *s.Spec.NodeName, name)
			w.Slices = append(w.Slices, &renamed)
		}
	}
	w.allocate()
	for i := range 1 + w.IntN(4)/3 {
		c := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("claim-%d", i), Namespace: "ns", UID: types.UID(fmt.Sprintf("claim-%d", i))},
			Spec: *of(w, l.claims...).Spec.Spec.DeepCopy()}
		if !w.Features.ConsumableCapacity {
			for j := range c.Spec.Devices.Requests {
				if e := c.Spec.Devices.Requests[j].Exactly; e != nil {
					e.Capacity = nil
				}
			}
		}
		w.Claims = append(w.Claims, c)
	}
}
