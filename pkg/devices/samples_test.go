package devices

import (
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"

	"plimsoll.dev/scheduler/internal/samples"
)

func sample[T runtime.Object](t testing.TB, name string) []T {
	t.Helper()
	out, err := samples.Of[T](name)
	if err != nil || len(out) == 0 {
		t.Fatalf("sample %s: %d objects, %v", name, len(out), err)
	}
	return out
}

func sampleClasses(t testing.TB) classes {
	out := classes{}
	for _, c := range sample[*resourceapi.DeviceClass](t, "deviceclasses") {
		out[c.Name] = c
	}
	return out
}

// scene is a node of the samples with devices allocated to it so far.
type scene struct {
	model     *Model
	classes   classes
	slices    []*resourceapi.ResourceSlice
	node      *v1.Node
	allocated structured.AllocatedState
}

func newScene(t testing.TB, file string) *scene {
	s := &scene{model: NewModel(features, expressions), classes: sampleClasses(t), slices: sample[*resourceapi.ResourceSlice](t, file),
		allocated: structured.AllocatedState{AllocatedDevices: sets.New[structured.DeviceID](),
			AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](), AggregatedCapacity: structured.NewConsumedCapacityCollection()}}
	s.model.cel = testCEL
	s.node = &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: *s.slices[0].Spec.NodeName}}
	return s
}

// view plans a claim.
func (s *scene) view(t testing.TB, spec *resourceapi.ResourceClaimSpec) *View {
	t.Helper()
	shape, err := s.model.Shape([]Ask{{Name: "gpu", Spec: spec}}, Limits{}, s.classes)
	if err != nil {
		t.Fatal(err)
	}
	return look(s.model, s.slices, &s.allocated, shape, NewWorth(nil, nil))
}

// allocate asks the in-tree allocator.
func (s *scene) allocate(t testing.TB, spec *resourceapi.ResourceClaimSpec, slices []*resourceapi.ResourceSlice) ([]resourceapi.AllocationResult, error) {
	t.Helper()
	a, err := structured.NewAllocator(t.Context(), features, s.allocated, s.classes, slices, testCEL)
	if err != nil {
		t.Fatal(err)
	}
	return a.Allocate(t.Context(), s.node, []*resourceapi.ResourceClaim{{ObjectMeta: metav1.ObjectMeta{Name: "gpu"}, Spec: *spec}})
}

// take allocates a claim in our order and keeps it; it reports false if nothing
// fits.
func (s *scene) take(t testing.TB, spec *resourceapi.ResourceClaimSpec) ([]string, bool) {
	t.Helper()
	view := s.view(t, spec)
	results, err := s.allocate(t, spec, view.Ordered())
	if err != nil || len(results) == 0 {
		return nil, false
	}
	var names []string
	for i := range results[0].Devices.Results {
		d := &results[0].Devices.Results[i]
		names = append(names, d.Device)
		id := structured.MakeDeviceID(d.Driver, d.Pool, d.Device)
		if d.ShareID == nil {
			s.allocated.AllocatedDevices.Insert(id)
			continue
		}
		s.allocated.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, d.ShareID))
		s.allocated.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, d.ConsumedCapacity))
	}
	return names, true
}

// TestEverySampleGetsTheInTreeVerdict runs every claim of the samples against
// every node of theirs, empty and filling up.
func TestEverySampleGetsTheInTreeVerdict(t *testing.T) {
	templates := sample[*resourceapi.ResourceClaimTemplate](t, "resourceclaimtemplates")
	files := samples.SliceFiles()
	if len(files) < 10 || len(templates) < 15 {
		t.Fatalf("%d files and %d templates: some are missing", len(files), len(templates))
	}
	planned := 0
	for _, file := range files {
		t.Run(strings.TrimPrefix(file, "resourceslices-"), func(t *testing.T) {
			s := newScene(t, file)
			// Thrice over: the later rounds meet what the earlier took.
			for range 3 {
				for _, template := range templates {
					spec := &template.Spec.Spec
					view := s.view(t, spec)
					natural, naturalErr := s.allocate(t, spec, s.slices)
					ours, oursErr := s.allocate(t, spec, view.Ordered())
					if (len(natural) == 0) != (len(ours) == 0) || (naturalErr == nil) != (oursErr == nil) {
						t.Fatalf("%s: in-tree says %v %v, in our order %v %v", template.Name, natural, naturalErr, ours, oursErr)
					}
					plan := view.Plan(s.node.Name)
					if plan == nil && len(natural) > 0 {
						t.Errorf("%s: the allocator finds %v, the model nothing", template.Name, natural[0].Devices.Results)
					}
					if plan != nil {
						planned++
						checkFollowed(t, template.Name, plan, ours)
					}
					s.take(t, spec)
				}
			}
		})
	}
	if planned < 100 {
		t.Errorf("%d plans: hardly anything was compared", planned)
	}
}

func checkFollowed(t *testing.T, name string, plan *Plan, results []resourceapi.AllocationResult) {
	t.Helper()
	var want, got []string
	for _, c := range plan.Chosen {
		want = append(want, c.Device)
	}
	for _, r := range results {
		for _, d := range r.Devices.Results {
			got = append(got, d.Device)
		}
	}
	if !slices.Equal(want, got) {
		t.Errorf("%s: planned %v, the allocator took %v", name, want, got)
	}
}

func template(t testing.TB, name string) *resourceapi.ResourceClaimSpec {
	t.Helper()
	for _, c := range sample[*resourceapi.ResourceClaimTemplate](t, "resourceclaimtemplates") {
		if c.Name == name {
			return &c.Spec.Spec
		}
	}
	t.Fatalf("no template %s", name)
	return nil
}

// profile is a claim for one slice.
func profile(name string) *resourceapi.ResourceClaimSpec {
	return &resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{Name: "slice",
		Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "mig.nvidia.com", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 1,
			Selectors: selectors("device.attributes['gpu.nvidia.com'].profile == '" + name + "'")}}}}}
}

func gpuOf(device string) string { return strings.SplitN(device, "-mig-", 2)[0] }

func TestTheSmallestSlicesFillOneGPUBeforeTheNext(t *testing.T) {
	for file, c := range map[string]struct {
		profile string
		copies  int
	}{
		"resourceslices-a100-80gb-8x-dynamic-mig":                      {"1g.10gb", 7},
		"resourceslices-a100-80gb-8x-dynamic-mig-legacy-with-full-gpu": {"1g.10gb", 7},
		"resourceslices-h100-80gb-8x-dynamic-mig":                      {"1g.10gb", 7},
		"resourceslices-h200-141gb-8x-dynamic-mig":                     {"1g.18gb", 7},
		"resourceslices-a30-2x-dynamic-mig":                            {"1g.6gb", 4},
		"resourceslices-rtxpro6000-2x-dynamic-mig":                     {"1g.24gb", 4},
	} {
		s := newScene(t, file)
		used := sets.New[string]()
		for range c.copies {
			names, ok := s.take(t, profile(c.profile))
			if !ok {
				t.Fatalf("%s: %d %s do not fit", file, c.copies, c.profile)
			}
			used.Insert(gpuOf(names[0]))
		}
		if len(used) != 1 {
			t.Errorf("%s: %d %s went to GPUs %v, want one", file, c.copies, c.profile, sets.List(used))
		}
	}
}

func TestALargeSliceStillFitsBesideSmallOnes(t *testing.T) {
	s := newScene(t, "resourceslices-a100-80gb-8x-dynamic-mig")
	var gpus []string
	for _, p := range []string{"1g.10gb", "1g.10gb", "1g.10gb", "4g.40gb"} {
		names, ok := s.take(t, profile(p))
		if !ok {
			t.Fatalf("%s does not fit", p)
		}
		t.Log(names)
		gpus = append(gpus, gpuOf(names[0]))
	}
	if len(sets.New(gpus...)) != 1 {
		t.Errorf("three 1g and a 4g went to %v, want one GPU", gpus)
	}
}

func TestASizedRequestGetsTheSmallestThatSuffices(t *testing.T) {
	for name, c := range map[string]struct{ file, template, want string }{
		"20Gi is more than a 2g.20gb has": {"resourceslices-h100-80gb-8x-dynamic-mig", "any-slice-20gi", "3g40gb"},
		"19Gi is not":                     {"resourceslices-h100-80gb-8x-dynamic-mig", "any-slice-19gi", "1g20gb"},
		"any slice is the smallest":       {"resourceslices-h100-80gb-8x-dynamic-mig", "any-mig", "1g10gb-19"},
		"static slices":                   {"resourceslices-h100-static-mig", "any-slice-19gi", "2g20gb"},
	} {
		s := newScene(t, c.file)
		names, ok := s.take(t, template(t, c.template))
		if !ok || !strings.Contains(names[0], "-mig-"+c.want) {
			t.Errorf("%s: took %v, want a %s", name, names, c.want)
		}
	}
}

func TestSharesAreBestFitAndNeverTooMany(t *testing.T) {
	s := newScene(t, "resourceslices-h100-consumable-shares")
	s.slices = s.slices[:1] // the node that shares by memory
	s.node.Name = *s.slices[0].Spec.NodeName
	used := map[string]int{}
	spec := template(t, "shared-20gi")
	total := 0
	for {
		names, ok := s.take(t, spec)
		if !ok {
			break
		}
		used[names[0]]++
		if total++; used[names[0]] < total && used[names[0]] == 1 {
			for gpu, n := range used {
				if gpu != names[0] && n < 3 {
					t.Errorf("share %d opens %s while %s has %d shares of at most 3: %v", total, names[0], gpu, n, used)
				}
			}
		}
	}
	// 81559Mi hold three shares of 20Gi.
	for gpu, n := range used {
		if n != 3 {
			t.Errorf("%s has %d shares of 20Gi, want 3", gpu, n)
		}
	}
	if len(used) < 2 {
		t.Errorf("only %v was used", used)
	}
}
