package inventory

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// samples reads testdata/gpu-nodes.yaml.
func samples(t testing.TB) map[string]*v1.Node {
	t.Helper()
	file, err := os.ReadFile("testdata/gpu-nodes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*v1.Node{}
	for part := range bytes.SplitSeq(file, []byte("\n---\n")) {
		node := &v1.Node{}
		if err := yaml.UnmarshalStrict(part, node); err != nil {
			t.Fatal(err)
		}
		if node.Name != "" {
			out[node.Name] = node
		}
	}
	return out
}

// emptyInfo is the node without pods.
func emptyInfo(node *v1.Node) fwk.NodeInfo {
	info := framework.NewNodeInfo()
	info.SetNode(node)
	return info
}

func TestSampleNodesReadAs(t *testing.T) {
	want := map[string]string{
		"nv-none-0":   "nvidia.com/gpu whole 79.6Gi exclusive ░░░░░░░░ 8 of 8 free",
		"nv-gb200-0":  "nvidia.com/gpu whole 185Gi exclusive ░░░░ 4 of 4 free",
		"nv-single-0": "nvidia.com/gpu slice 9.7Gi mig ░░░░░░░░░░░░░░░░ 56 of 56 free",
		"nv-mixed-0": `nvidia.com/gpu whole 79.6Gi exclusive - 0 of 0 free
nvidia.com/mig-1g.10gb slice 9.7Gi mig ░░░░░░░░░░░░░░░░ 16 of 16 free
nvidia.com/mig-2g.20gb slice 19.6Gi mig ░░░░░░░░ 8 of 8 free
nvidia.com/mig-3g.40gb slice 39.5Gi mig ░░░░░░░░ 8 of 8 free`,
		"nv-mixed-half-0": `nvidia.com/gpu whole 80Gi exclusive ░░░ 3 of 3 free
nvidia.com/mig-1g.10gb slice 9.6Gi mig ░░░░░░░░░░░░░░░░ 28 of 28 free
nvidia.com/mig-1g.10gb.me slice 9.6Gi mig ░ 1 of 1 free`,
		"nv-timeslice-0": "nvidia.com/gpu share 4.4Gi time-slicing ░░░░░░░░░░░░░░░░ 40 of 40 free",
		"nv-timeslice-renamed-0": `nvidia.com/gpu whole 44.9Gi exclusive - 0 of 0 free
nvidia.com/gpu.shared share 4.4Gi time-slicing ░░░░░░░░░░░░░░░░ 40 of 40 free`,
		"nv-mps-0": "nvidia.com/gpu share 11.2Gi mps ░░░░░░░░░░░░░░░░ 16 of 16 free",
		"nv-mig-pending-0": `nvidia.com/gpu whole 79.6Gi exclusive - 0 of 0 free
changing: nvidia.com/mig.config.state=pending`,
		"nv-single-invalid-0": "nvidia.com/gpu slice ? mig - 0 of 0 free",
		"h100-0":              "",
		"amd-spx-0":           "amd.com/gpu whole 191.5Gi exclusive ░░░░░░░░ 8 of 8 free",
		"amd-cpx-single-0":    "amd.com/gpu slice 23.9Gi mig ░░░░░░░░░░░░░░░░ 64 of 64 free",
		"amd-cpx-mixed-0":     "amd.com/cpx_nps4 slice 23.9Gi mig ░░░░░░░░░░░░░░░░ 64 of 64 free",
		"amd-cpx-single-1":    "amd.com/gpu slice 23.5Gi mig ░░░░░░░░░░░░░░░░ 64 of 64 free",
		"amd-cpx-mixed-1":     "amd.com/cpx_nps4 slice 23.5Gi mig ░░░░░░░░░░░░░░░░ 64 of 64 free",
		"amd-hetero-1": `amd.com/cpx_nps1 slice 23.5Gi mig ░░░░░░░░░░░░░░░░ 24 of 24 free
amd.com/spx_nps1 whole 191.5Gi exclusive ░░░░░ 5 of 5 free`,
		"amd-hetero-0": `amd.com/cpx_nps1 slice 23.9Gi mig ░░░░░░░░░░░░░░░░ 24 of 24 free
amd.com/spx_nps1 whole 191.5Gi exclusive ░░░░░ 5 of 5 free`,
		"intel-max-0":    "gpu.intel.com/i915 whole ? exclusive ░░ 2 of 2 free",
		"intel-shared-0": "gpu.intel.com/xe share ? time-slicing ░░░░░░░░ 8 of 8 free",
	}
	got := map[string]string{}
	inventory := NewGPUs()
	for name, node := range samples(t) {
		var read gpus.Node
		inventory.Read(emptyInfo(node), &read)
		got[name] = read.String()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestSampleNodesAreMadeOf(t *testing.T) {
	const h100, a100, mi300 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-80GB", "AMD_Instinct_MI300X_OAM"
	for name, want := range map[string][]gpus.Hardware{
		"nv-none-0":              {{Model: h100, MemoryMiB: 81559, MilliGPUs: 8000}},
		"nv-single-0":            {{Model: h100, MemoryMiB: 79872, MilliGPUs: 7000}}, // 56 slices of an eighth
		"nv-mixed-0":             {{Model: h100, MemoryMiB: 80896, MilliGPUs: 8000}},
		"nv-mixed-half-0":        {{Model: a100, MemoryMiB: 81920, MilliGPUs: 6625}},
		"nv-timeslice-0":         {{Model: "NVIDIA-L40S", MemoryMiB: 46060, MilliGPUs: 4000}},
		"nv-timeslice-renamed-0": {{Model: "NVIDIA-L40S", MemoryMiB: 46060, MilliGPUs: 4000}},
		"nv-mig-pending-0":       {{Model: h100, MemoryMiB: 81559, MilliGPUs: 8000}}, // by its labels
		"nv-single-invalid-0":    {{Model: h100, MilliGPUs: 1000}},                   // how many, no label tells
		"h100-0":                 {{Model: h100, MemoryMiB: 81559, MilliGPUs: 8000}}, // by its labels
		"amd-cpx-single-0":       {{Model: mi300, MemoryMiB: 196096, MilliGPUs: 8000}},
		"amd-cpx-mixed-1":        {{Model: mi300, MemoryMiB: 192512, MilliGPUs: 8000}}, // 8 times 24G less what was rounded
		"amd-hetero-1":           {{Model: mi300, MemoryMiB: 196096, MilliGPUs: 8000}},
		"amd-hetero-0":           {{Model: mi300, MemoryMiB: 196096, MilliGPUs: 8000}},
		"intel-max-0":            {{Model: "Max_1100", MilliGPUs: 2000}},
		"intel-shared-0":         {{Model: "gpu.intel.com/xe", MilliGPUs: 2000}},
	} {
		if diff := cmp.Diff(want, GPUFacts(samples(t)[name]).Hardware); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// TestNodesThatOfferNothingAtTheMoment are nodes with GPUs all the same.
func TestNodesThatOfferNothingAtTheMoment(t *testing.T) {
	for name, tc := range map[string]struct {
		labels map[string]string
		want   []gpus.Hardware
	}{
		"the GPU operator has just found them": {map[string]string{"nvidia.com/gpu.present": "true"}, []gpus.Hardware{{Model: "nvidia.com/gpu", MilliGPUs: 1000}}},
		"the operator found none":              {map[string]string{"nvidia.com/gpu.present": "false"}, nil},
		"slices, and the plugin is gone": {map[string]string{"nvidia.com/gpu.product": "NVIDIA-A30-MIG-1g.6gb", "nvidia.com/gpu.count": "8"},
			[]gpus.Hardware{{Model: "NVIDIA-A30", MilliGPUs: 1000}}},
		"AMD's labeller":             {map[string]string{"amd.com/gpu.vram": "192G", "amd.com/gpu.product-name": "MI300X"}, []gpus.Hardware{{Model: "MI300X", MilliGPUs: 1000}}},
		"an old one of AMD's":        {map[string]string{"beta.amd.com/gpu.vram.64G": "8"}, []gpus.Hardware{{Model: "amd.com/gpu", MilliGPUs: 1000}}},
		"Intel's rules":              {map[string]string{"gpu.intel.com/device-id.0380-0bda.count": "2"}, []gpus.Hardware{{Model: "gpu.intel.com/xe", MilliGPUs: 1000}}},
		"Intel's rules count none":   {map[string]string{"gpu.intel.com/device.count": "0"}, nil},
		"another product of the two": {map[string]string{"amd.com/cpu": "true", "intel.com/qat": "true"}, nil},
	} {
		if diff := cmp.Diff(tc.want, GPUFacts(&v1.Node{ObjectMeta: metav1.ObjectMeta{Labels: tc.labels}}).Hardware); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// TestLabelsThatAreWrong changes labels of a sample ("key" removes, "key=value"
// sets) and says what becomes of the offer of one resource.
func TestLabelsThatAreWrong(t *testing.T) {
	const plain, slices, shared, renamed, amd, intel = "nv-none-0", "nv-mixed-0", "nv-timeslice-0", "nv-timeslice-renamed-0", "amd-spx-0", "intel-max-0"
	const product, sharing, replicas, memory = "nvidia.com/gpu.product", "nvidia.com/gpu.sharing-strategy", "nvidia.com/gpu.replicas", "nvidia.com/gpu.memory"
	for name, tc := range map[string]struct {
		node, resource string
		change         []string
		want           string
	}{
		"memory missing":                       {plain, gpu, []string{memory}, "whole ? exclusive no memory: nvidia.com/gpu.memory="},
		"memory empty":                         {plain, gpu, []string{memory + "="}, "whole ? exclusive no memory: nvidia.com/gpu.memory="},
		"memory 0":                             {plain, gpu, []string{memory + "=0"}, "whole ? exclusive no memory: nvidia.com/gpu.memory=0"},
		"memory with a unit":                   {plain, gpu, []string{memory + "=80Gi"}, "whole ? exclusive no memory: nvidia.com/gpu.memory=80Gi"},
		"memory negative":                      {plain, gpu, []string{memory + "=-1"}, "whole ? exclusive no memory: nvidia.com/gpu.memory=-1"},
		"memory past an int64":                 {plain, gpu, []string{memory + "=99999999999999999999"}, "whole ? exclusive no memory: nvidia.com/gpu.memory=99999999999999999999"},
		"memory of a petabyte more":            {plain, gpu, []string{memory + "=1073741825"}, "whole ? exclusive no memory: nvidia.com/gpu.memory=1073741825"},
		"product missing":                      {plain, gpu, []string{product}, "whole 79.6Gi exclusive"},
		"count missing":                        {plain, gpu, []string{"nvidia.com/gpu.count"}, "whole 79.6Gi exclusive"},
		"count not a number":                   {plain, gpu, []string{"nvidia.com/gpu.count=many"}, "whole 79.6Gi exclusive"},
		"several models, labels of one":        {plain, gpu, []string{"nvidia.com/gpu.count=3"}, "whole 79.6Gi exclusive covers 3"},
		"shared of late, labels of before":     {plain, gpu, []string{"allocatable:nvidia.com/gpu=40"}, "whole 79.6Gi exclusive covers 8"},
		"the same without a memory":            {plain, gpu, []string{"allocatable:nvidia.com/gpu=40", memory}, "whole ? exclusive no memory: nvidia.com/gpu.memory= covers 8"},
		"no labels at all":                     {plain, gpu, []string{memory, product, sharing, replicas, "nvidia.com/gpu.count"}, "whole ? time-slicing no memory: nvidia.com/gpu.replicas= no sharing: nvidia.com/gpu.sharing-strategy="},
		"labels of before MPS, not shared":     {plain, gpu, []string{sharing}, "whole 79.6Gi exclusive"},
		"labels of before MPS, shared":         {shared, gpu, []string{sharing}, "share 4.4Gi time-slicing"},
		"strategy empty":                       {shared, gpu, []string{sharing + "="}, "share 4.4Gi time-slicing"},
		"strategy unknown":                     {shared, gpu, []string{sharing + "=quantum"}, "share 4.4Gi time-slicing no sharing: nvidia.com/gpu.sharing-strategy=quantum"},
		"strategy none but product shared":     {shared, gpu, []string{sharing + "=none"}, "share 4.4Gi time-slicing"},
		"strategy none but replicas":           {plain, gpu, []string{replicas + "=2"}, "share 39.8Gi time-slicing"},
		"shared by an unknown number":          {shared, gpu, []string{replicas}, "share ? time-slicing no memory: nvidia.com/gpu.replicas="},
		"shared by none":                       {shared, gpu, []string{replicas + "=0"}, "share ? time-slicing no memory: nvidia.com/gpu.replicas=0"},
		"shared by words":                      {shared, gpu, []string{replicas + "=ten"}, "share ? time-slicing no memory: nvidia.com/gpu.replicas=ten"},
		"shared by more than there is":         {shared, gpu, []string{replicas + "=1000000000"}, "share ? time-slicing no memory: nvidia.com/gpu.replicas=1000000000"},
		"whole GPUs beside renamed shares":     {renamed, gpu, []string{"allocatable:nvidia.com/gpu=2"}, "whole 44.9Gi exclusive"},
		"old name, once renamed, now not":      {renamed, gpu, []string{"allocatable:nvidia.com/gpu=40", "allocatable:nvidia.com/gpu.shared=0"}, "share 4.4Gi time-slicing"},
		"a slice without memory":               {slices, "nvidia.com/mig-2g.20gb", []string{"nvidia.com/mig-2g.20gb.memory"}, "slice ? mig no memory: nvidia.com/mig-2g.20gb.memory="},
		"a slice, name and label disagree":     {slices, "nvidia.com/mig-2g.20gb", []string{"nvidia.com/mig-2g.20gb.memory=12032"}, "slice 11.7Gi mig"},
		"a slice that is time-sliced":          {slices, "nvidia.com/mig-3g.40gb", []string{"nvidia.com/mig-3g.40gb.replicas=4", "nvidia.com/mig-3g.40gb.sharing-strategy=time-slicing"}, "share 9.8Gi time-slicing"},
		"a slice with no labels":               {plain, "nvidia.com/mig-1g.10gb", []string{"allocatable:nvidia.com/mig-1g.10gb=7"}, "slice ? time-slicing no memory: nvidia.com/mig-1g.10gb.replicas= no sharing: nvidia.com/mig-1g.10gb.sharing-strategy="},
		"single strategy without a product":    {"nv-single-0", gpu, []string{product, "nvidia.com/gpu.slices.gi"}, "slice 9.7Gi mig"},
		"single strategy, nothing partitioned": {plain, gpu, []string{"nvidia.com/mig.strategy=single"}, "whole 79.6Gi exclusive"},
		"single strategy, invalid":             {"nv-single-invalid-0", gpu, nil, "slice ? mig no memory: nvidia.com/gpu.memory=0 invalid: nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3-MIG-INVALID"},
		"a vGPU":                               {plain, gpu, []string{"nvidia.com/vgpu.present=true"}, "share 79.6Gi time-slicing"},
		"a vGPU that its guest shares":         {"nv-mps-0", gpu, []string{"nvidia.com/vgpu.present=true"}, "share 11.2Gi time-slicing"},
		"no vGPU":                              {plain, gpu, []string{"nvidia.com/vgpu.present=false"}, "whole 79.6Gi exclusive"},
		"a product that is all suffixes":       {plain, gpu, []string{product + "=-MIG--SHARED"}, "share ? time-slicing no memory: nvidia.com/gpu.replicas=1"},

		"vram missing":         {amd, "amd.com/gpu", []string{"amd.com/gpu.vram", "beta.amd.com/gpu.vram", "beta.amd.com/gpu.vram.192G"}, "whole ? exclusive no memory: amd.com/gpu.vram="},
		"vram as a copy only":  {amd, "amd.com/gpu", []string{"amd.com/gpu.vram", "beta.amd.com/gpu.vram.192G"}, "whole 191.5Gi exclusive"},
		"vram as a count only": {amd, "amd.com/gpu", []string{"amd.com/gpu.vram", "beta.amd.com/gpu.vram"}, "whole 191.5Gi exclusive"},
		"vram of two sizes":    {amd, "amd.com/gpu", []string{"beta.amd.com/gpu.vram.64G=4"}, "whole ? exclusive no memory: amd.com/gpu.vram="},
		"vram of two sizes, not counted as the units are": {"amd-hetero-1", "amd.com/spx_nps1", []string{"beta.amd.com/gpu.vram.24G=25"}, "whole ? exclusive no memory: amd.com/gpu.vram="},
		"as many of each size: the smaller":               {"amd-hetero-1", "amd.com/spx_nps1", []string{"allocatable:amd.com/spx_nps1=24", "beta.amd.com/gpu.vram.192G=24"}, "whole 23.5Gi exclusive"},
		"vram in plain words":                             {amd, "amd.com/gpu", []string{"amd.com/gpu.vram=lots", "beta.amd.com/gpu.vram.192G"}, "whole ? exclusive no memory: amd.com/gpu.vram=lots"},
		"vram 0G":                                         {amd, "amd.com/gpu", []string{"amd.com/gpu.vram=0G", "beta.amd.com/gpu.vram.192G"}, "whole ? exclusive no memory: amd.com/gpu.vram=0G"},
		"vram in MiB":                                     {amd, "amd.com/gpu", []string{"amd.com/gpu.vram=65520M", "beta.amd.com/gpu.vram.192G"}, "whole 63.9Gi exclusive"},
		"partition without gpu.":                          {amd, "amd.com/gpu", []string{"amd.com/gpu.compute-memory-partition", "amd.com/compute-memory-partition=dpx_nps1", "beta.amd.com/gpu.vram.192G"}, "slice 95.7Gi mig"},
		"partition in capitals":                           {amd, "amd.com/gpu", []string{"amd.com/gpu.compute-memory-partition=QPX_NPS4", "beta.amd.com/gpu.vram.192G"}, "slice 47.8Gi mig"},
		"partition unknown, more units":                   {amd, "amd.com/gpu", []string{"amd.com/gpu.compute-memory-partition", "allocatable:amd.com/gpu=48"}, "slice 31.9Gi mig"},

		"no device count":             {intel, "gpu.intel.com/i915", []string{"gpu.intel.com/device.count", "gpu.intel.com/device-id.0380-0bda.count"}, "whole ? time-slicing no memory: gpu.intel.com/memory.max= no sharing: gpu.intel.com/device.count="},
		"devices counted by kind":     {intel, "gpu.intel.com/i915", []string{"gpu.intel.com/device.count"}, "whole ? exclusive no memory: gpu.intel.com/memory.max="},
		"two drivers, counted as one": {intel, "gpu.intel.com/i915", []string{"allocatable:gpu.intel.com/xe=2"}, "share ? time-slicing no memory: gpu.intel.com/memory.max="},
		"memory told by the operator": {intel, "gpu.intel.com/i915", []string{"gpu.intel.com/memory.max=103079215104"}, "whole 48Gi exclusive"},
		"memory told in words":        {intel, "gpu.intel.com/i915", []string{"gpu.intel.com/memory.max=96Gi"}, "whole ? exclusive no memory: gpu.intel.com/memory.max=96Gi"},
	} {
		t.Run(name, func(t *testing.T) {
			node := changed(samples(t)[tc.node], tc.change...)
			for _, o := range GPUFacts(node).Offers {
				if o.Resource == tc.resource {
					if got := told(&o); got != tc.want {
						t.Errorf("\ngot  %s\nwant %s", got, tc.want)
					}
					return
				}
			}
			t.Errorf("no offer of %s", tc.resource)
		})
	}
}

func changed(node *v1.Node, changes ...string) *v1.Node {
	node = node.DeepCopy()
	for _, change := range changes {
		key, value, set := strings.Cut(change, "=")
		if resource, found := strings.CutPrefix(key, "allocatable:"); found {
			node.Status.Allocatable[v1.ResourceName(resource)] = amounts("x", value)["x"]
		} else if set {
			node.Labels[key] = value
		} else {
			delete(node.Labels, key)
		}
	}
	return node
}

func told(o *gpus.Offer) string {
	out := fmt.Sprintf("%s %s %s", o.Kind, gpus.GiB(o.MemoryMiB), o.Isolation)
	for _, l := range []struct {
		name  string
		label gpus.Label
	}{{"no memory", o.NoMemory}, {"no sharing", o.NoSharing}, {"invalid", o.Invalid}} {
		if l.label != (gpus.Label{}) {
			out += fmt.Sprintf(" %s: %s", l.name, l.label)
		}
	}
	if o.Covers > 0 {
		out += fmt.Sprintf(" covers %d", o.Covers)
	}
	return out
}

func TestALayoutIsChangingWhen(t *testing.T) {
	const state, deploy = "nvidia.com/mig.config.state", "nvidia.com/gpu.deploy."
	for name, tc := range map[string]struct {
		labels map[string]string
		want   string // "paused " before what is not the layout's
	}{
		"there is no manager":                     {nil, ""},
		"a change is pending":                     {map[string]string{state: "pending"}, state + "=pending"},
		"the node reboots":                        {map[string]string{state: "rebooting"}, state + "=rebooting"},
		"a word of a later version":               {map[string]string{state: "draining"}, state + "=draining"},
		"the change succeeded":                    {map[string]string{state: "success"}, ""},
		"the change failed and all runs again":    {map[string]string{state: "failed", deploy + "device-plugin": "true"}, ""},
		"the state is empty":                      {map[string]string{state: ""}, ""},
		"a wish that nobody has acted on":         {map[string]string{state: "success", "nvidia.com/mig.config": "all-7g.80gb"}, ""},
		"components are paused, first by name":    {map[string]string{deploy + "gpu-feature-discovery": "paused-for-mig-change", deploy + "device-plugin": "paused-for-mig-change"}, deploy + "device-plugin=paused-for-mig-change"},
		"they are still paused after a failure":   {map[string]string{state: "failed", deploy + "dcgm": "paused-for-mig-change"}, deploy + "dcgm=paused-for-mig-change"},
		"the driver is replaced":                  {map[string]string{deploy + "device-plugin": "paused-for-driver-upgrade"}, "paused " + deploy + "device-plugin=paused-for-driver-upgrade"},
		"components that somebody switched off":   {map[string]string{deploy + "dcgm": "false"}, ""},
		"the state is told before what is paused": {map[string]string{state: "pending", deploy + "dcgm": "paused-for-mig-change"}, state + "=pending"},
	} {
		facts, got := GPUFacts(&v1.Node{ObjectMeta: metav1.ObjectMeta{Labels: tc.labels}}), ""
		if facts.Changing != (gpus.Label{}) {
			got = facts.Changing.String()
		}
		if facts.Paused != (gpus.Label{}) {
			got += "paused " + facts.Paused.String()
		}
		if got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
