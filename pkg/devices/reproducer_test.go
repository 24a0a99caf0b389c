package devices

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// TestAReproducerHasAllThatDecides: what a view knows of a node, written and read
// back, is answered alike.
func TestAReproducerHasAllThatDecides(t *testing.T) {
	m := NewModel(features, expressions)
	list := partitioned("gpu-a-01", onGrid, 1, nil)
	spec := profile("2g.20gb")
	spec.Devices.Requests[0].Exactly.DeviceClassName = "part"
	spec.Devices.Requests[0].Exactly.Selectors = selectors(`device.attributes["gpu.example.com"].profile == "2g.20gb"`)
	known := classes{"part": class("part", ""), "other": class("other", "")}
	limits := Limits{Memory: 10 << 30, Isolation: []gpus.Isolation{gpus.Exclusive, gpus.MIG}}
	shape, err := m.Shape([]Ask{{Name: "gpu", Spec: spec}}, limits, known)
	if err != nil {
		t.Fatal(err)
	}
	view := look(m, list, taken("gpu-a-01", "gpu-0-1g-0", "gpu-0-1g-4"), shape, NewWorth(nil, nil))
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gpu-a-01", Labels: map[string]string{"rack": "r1"}}}
	claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "gpu", UID: "u"}, Spec: *spec}
	text, err := view.Reproducer(view.Scope(node), node, []*resourceapi.ResourceClaim{claim}, known).YAML()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ReadReproducer(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(back.Classes) != 1 || back.Classes[0].Name != "part" || !apiequality.Semantic.DeepEqual(back.Limits, limits) ||
		!apiequality.Semantic.DeepEqual(back.Nodes, []*v1.Node{node}) {
		t.Errorf("read back otherwise:\n%s", text)
	}
	again := NewModel(back.Features, expressions)
	shape, err = again.Shape([]Ask{{Name: "gpu", Spec: &back.Claims[0].Spec}}, back.Limits, known)
	if err != nil {
		t.Fatal(err)
	}
	other := look(again, back.Slices, back.Allocated, shape, NewWorth(nil, nil))
	if view.Answer(called("gpu-a-01")) != Fits || other.Answer(called("gpu-a-01")) != Fits || view.Plan("gpu-a-01").Chosen[0].Device != other.Plan("gpu-a-01").Chosen[0].Device {
		t.Errorf("planned %+v, of what was read back %+v", view.Plan("gpu-a-01"), other.Plan("gpu-a-01"))
	}
}

func TestReadReproducerSaysWhatItCannotRead(t *testing.T) {
	for text, want := range map[string]string{
		"nodes: 3":               "reading a reproducer: ",
		"isolation: [none]":      `isolation "none", want one of`,
		"deviceClass: []":        `unknown field "deviceClass"`,
		"resourceSlices:\n- ~\n": "an empty entry",
	} {
		if _, err := ReadReproducer([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzReadReproducer(f *testing.F) {
	f.Add([]byte("nodes:\n- name: a\nallocated:\n- {driver: d, pool: p, device: x, shares: [s], used: {memory: 1Gi}}\nclaims:\n- name: c\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ReadReproducer(text)
		if err != nil {
			return
		}
		again, err := r.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadReproducer(again); err != nil {
			t.Errorf("what was written cannot be read: %v\n%s", err, again)
		}
	})
}
