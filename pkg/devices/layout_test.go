package devices

import (
	"testing"

	resourceapi "k8s.io/api/resource/v1"

	"plimsoll.dev/scheduler/internal/samples"
)

// TestSamplesAreLaidOut: of every sample, the GPUs that there are, their grids, and
// how much of them each device is.
func TestSamplesAreLaidOut(t *testing.T) {
	gpus, grids := 0, 0
	for _, file := range samples.SliceFiles() {
		for _, l := range Layouts(sample[*resourceapi.ResourceSlice](t, file)) {
			gpus++
			if l.Cells > 0 {
				grids++
			}
			if l.Node == "" || l.Name == "" || l.Model == "" || len(l.Pieces) == 0 {
				t.Errorf("%s: %+v", file, l)
			}
			for i := range l.Pieces {
				p := &l.Pieces[i]
				if p.Part <= 0 || p.Part > 1 || p.Spec == nil || p.ID.Device.String() != p.Spec.Name {
					t.Errorf("%s: device %+v of %s", file, p, l.Name)
				}
				if got := float64(p.Mask.Count()) / float64(max(l.Cells, 1)); p.Mask != 0 && got != p.Part {
					t.Errorf("%s: %s takes %v of the grid of %s, and is %v of it", file, p.Spec.Name, got, l.Name, p.Part)
				}
			}
		}
	}
	if gpus < len(samples.SliceFiles()) || grids == 0 {
		t.Errorf("%d files have %d GPUs, %d of them with a grid", len(samples.SliceFiles()), gpus, grids)
	}
}

func TestAnIncompletePoolIsNotLaidOut(t *testing.T) {
	list := sample[*resourceapi.ResourceSlice](t, samples.SliceFiles()[0])
	for i := range list {
		list[i] = list[i].DeepCopy()
		list[i].Spec.Pool.ResourceSliceCount++
	}
	if got := Layouts(list); len(got) > 0 {
		t.Errorf("%d GPUs of pools that lack a slice", len(got))
	}
}
