package gpuslice

import (
	"strings"
	"testing"

	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/gpus"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// TestEveryReasonIsSaidInFull: no kind is without words, and no slot of a
// sentence stays empty.
func TestEveryReasonIsSaidInFull(t *testing.T) {
	r := &request{gpu: intent.GPU{MemoryBytes: 30 << 30, MemoryFrom: intent.GPUMemory, Isolation: []gpus.Isolation{gpus.MIG}}}
	for kind := devices.NothingPublished; kind <= devices.NotTogether; kind++ {
		text := r.say(devices.Why{Kind: kind, Claim: "gpu", Request: "slice", Detail: "something"})
		if code, known := verdict.CodeOf(Name, text); !known || code != codes[kind] || strings.Contains(text, "{") || !strings.HasPrefix(text, "node(s) ") {
			t.Errorf("kind %d: %q reads back as %q", kind, text, code)
		}
	}
	want := "node(s) have devices for request gpu/slice with 5952Mi, mig, but the pod's annotations ask for 30Gi of memory (plimsoll.dev/gpu-memory) and at least mig (plimsoll.dev/gpu-isolation)"
	if got := r.say(devices.Why{Kind: devices.AgainstAnnotations, Claim: "gpu", Request: "slice", Detail: "5952Mi, mig"}); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestWhatLabelsSayAgainstAPod, and that what the framework says better is left
// to it.
func TestWhatLabelsSayAgainstAPod(t *testing.T) {
	whole := gpus.Offer{Resource: "nvidia.com/gpu", MemoryMiB: 24 << 10, Isolation: gpus.Exclusive, Replicas: 1, Slices: 8}
	shared := whole
	shared.Isolation = gpus.TimeSlicing
	unknown := whole
	unknown.MemoryMiB, unknown.NoMemory = 0, gpus.Label{Key: "nvidia.com/gpu.memory"}
	for name, c := range map[string]struct {
		facts gpus.Facts
		want  string
	}{
		"enough":      {gpus.Facts{Offers: []gpus.Offer{{Resource: "nvidia.com/gpu", MemoryMiB: 48 << 10, Isolation: gpus.Exclusive}}}, ""},
		"not offered": {gpus.Facts{}, ""},
		"too small":   {gpus.Facts{Offers: []gpus.Offer{whole}}, "node(s) have 24Gi of memory per nvidia.com/gpu, plimsoll.dev/gpu-memory asks for 30Gi"},
		"unknown":     {gpus.Facts{Offers: []gpus.Offer{unknown}}, "node(s) do not say how much memory nvidia.com/gpu has (label nvidia.com/gpu.memory), which plimsoll.dev/gpu-memory asks for"},
		"too weak":    {gpus.Facts{Offers: []gpus.Offer{shared}}, "node(s) isolate nvidia.com/gpu by time-slicing, and the pod accepts nothing weaker than mig"},
		"partly described": {gpus.Facts{Offers: []gpus.Offer{{Resource: "nvidia.com/gpu", MemoryMiB: 48 << 10, Isolation: gpus.Exclusive, Units: 40, Covers: 4}}},
			"node(s) have labels that describe 4 of 40 units of nvidia.com/gpu, and plimsoll.dev/gpu-isolation asks something of each"},
		"being changed": {gpus.Facts{Offers: []gpus.Offer{whole}, Changing: gpus.Label{Key: "nvidia.com/mig.config.state", Value: "pending"}},
			"node(s) are changing the MIG layout of their GPUs (nvidia.com/mig.config.state=pending)"},
		"paused": {gpus.Facts{Offers: []gpus.Offer{whole}, Paused: gpus.Label{Key: "nvidia.com/gpu.deploy.device-plugin", Value: "paused-for-driver-upgrade"}},
			"node(s) have paused what serves their GPUs (nvidia.com/gpu.deploy.device-plugin=paused-for-driver-upgrade)"},
	} {
		wants := []gpus.Want{{Resource: "nvidia.com/gpu", Count: 1}}
		r := &request{wants: wants, gpu: intent.GPU{MemoryBytes: 30 << 30, MemoryFrom: intent.GPUMemory},
			units: gpus.NewRequest(wants, 30<<30, []gpus.Isolation{gpus.MIG})}
		for range 2 { // the second time from what was said before
			status := r.refusal(&c.facts)
			if got := status.Message(); got != c.want || c.want != "" && !status.IsRejected() {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
	}
}
