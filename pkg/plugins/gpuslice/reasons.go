package gpuslice

import (
	"fmt"
	"strings"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/gpus"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// vague are the in-tree plugin's words for a search that found nothing.
var vague = []string{"cannot allocate all claims", "invalid resource pools were encountered"}

// explained says in the place of a vague refusal which request failed, and on
// what. All other statuses stay as they are.
func (r *request) explained(status *fwk.Status, node fwk.NodeInfo) *fwk.Status {
	if status.Code() != fwk.UnschedulableAndUnresolvable || !r.planned(node) {
		return status
	}
	for _, words := range vague {
		if strings.Contains(status.Message(), words) {
			if why := r.view.Why(node.Node()); why.Kind != devices.Served {
				return r.refuse(why)
			}
		}
	}
	return status
}

func (r *request) refuse(why devices.Why) *fwk.Status {
	return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, r.say(why))
}

// limited tells whether the pod's annotations say anything about its GPUs.
func (r *request) limited() bool { return r.limits.Memory > 0 || len(r.limits.Isolation) > 0 }

// withinLimits refuses a node whose devices would do for the claims, but not for
// the pod's annotations, of which the allocator knows nothing: only what was
// planned is known to meet them.
func (r *request) withinLimits(node fwk.NodeInfo) *fwk.Status {
	if !r.limited() || r.shape == nil || len(r.extended) > 0 && !r.planned(node) {
		return nil
	}
	if r.view == nil || r.view.Plan(node.Node().Name) != nil {
		return nil
	}
	why := r.view.Why(node.Node())
	if why.Kind == devices.Served {
		why = devices.Why{Kind: devices.Untold, Detail: "the model does not plan for them"}
		if opaque := r.shape.Opaque(); opaque != "" {
			why.Detail = opaque
		}
	}
	return r.refuse(why)
}

// allocatedWithinLimits refuses a pod whose claims were allocated before to
// devices that its annotations exclude.
func (p *GPUSlice) allocatedWithinLimits(r *request) *fwk.Status {
	return p.takenWithinLimits(r, r.held)
}

// takenWithinLimits judges what was allocated.
func (p *GPUSlice) takenWithinLimits(r *request, taken []*resourceapi.AllocationResult) *fwk.Status {
	if !r.limited() {
		return nil
	}
	for _, allocation := range taken {
		for i := range allocation.Devices.Results {
			d := &allocation.Devices.Results[i]
			if has, ok := p.manager.model.Meets(&r.limits, d); !ok {
				return r.refuse(devices.Why{Kind: devices.AgainstAnnotations, Request: d.Request, Claim: "allocated", Detail: has})
			}
		}
	}
	return nil
}

var codes = map[devices.Kind]verdict.Code{
	devices.NothingPublished:   verdict.DevicesMissing,
	devices.PoolUnusable:       verdict.DevicePoolUnusable,
	devices.NoneOfClass:        verdict.DeviceClassMissing,
	devices.NoneSelected:       verdict.DeviceNotSelected,
	devices.NoneLarge:          verdict.DeviceTooSmall,
	devices.AgainstAnnotations: verdict.DeviceAgainstAnnotations,
	devices.AllTainted:         verdict.DeviceTainted,
	devices.AllTaken:           verdict.DevicesTaken,
	devices.TooLittleLeft:      verdict.DeviceTooFragmented,
	devices.NotTogether:        verdict.DevicesNotTogether,
	devices.NotAtOnce:          verdict.DevicesNotAtOnce,
	devices.Untold:             verdict.DevicesUntold,
}

// say puts a reason into words, once per cycle for each that differs.
func (r *request) say(why devices.Why) string {
	if known, found := r.texts.Load(why); found {
		return known.(string)
	}
	request := why.Claim
	if why.Request != "" {
		request += "/" + why.Request
	}
	pairs := []any{"request", request}
	switch why.Kind {
	case devices.NothingPublished:
		pairs = nil
	case devices.PoolUnusable, devices.Untold:
		pairs = []any{"detail", why.Detail}
	case devices.NoneOfClass, devices.NoneSelected, devices.NoneLarge, devices.AllTainted, devices.AllTaken, devices.TooLittleLeft:
		pairs = append(pairs, "detail", why.Detail)
	case devices.AgainstAnnotations:
		pairs = append(pairs, "has", why.Detail, "want", r.wanted())
	}
	text := verdict.Say(codes[why.Kind], pairs...).Message
	r.texts.Store(why, text)
	return text
}

// wanted is what the annotations ask for, in words.
func (r *request) wanted() string {
	var out []string
	if r.gpu.MemoryBytes > 0 {
		out = append(out, fmt.Sprintf("%s of memory (%s)", mebibytes(r.gpu.MemoryBytes), r.gpu.MemoryFrom))
	}
	if n := len(r.gpu.Isolation); n > 0 {
		out = append(out, fmt.Sprintf("at least %s (%s)", r.gpu.Isolation[n-1], intent.GPUIsolation))
	}
	return strings.Join(out, " and ")
}

func mebibytes(bytes int64) string {
	return resource.NewQuantity((bytes+1<<20-1)>>20<<20, resource.BinarySI).String()
}

// refusal says what a node's labels hold against the pod; nil if nothing. What
// the framework's own check of resources says better is left to it.
func (r *request) refusal(facts *gpus.Facts) *fwk.Status {
	no := r.units.Suits(facts)
	var code verdict.Code
	pairs := []any{"resource", no.Resource}
	switch no.Reason {
	case gpus.LayoutChanging:
		code, pairs = verdict.GPULayoutChanging, []any{"label", no.Label}
	case gpus.GPUsPaused:
		code, pairs = verdict.GPUsPaused, []any{"label", no.Label}
	case gpus.LayoutInvalid:
		code, pairs = verdict.GPULayoutInvalid, append(pairs, "label", no.Label)
	case gpus.MemoryUnknown:
		code, pairs = verdict.GPUMemoryUnknown, append(pairs, "label", no.Label.Key, "key", r.gpu.MemoryFrom)
	case gpus.LabelsPartial:
		key := r.gpu.MemoryFrom
		if no.Floor > gpus.TimeSlicing {
			key = intent.GPUIsolation
		}
		code, pairs = verdict.GPUModelsMixed, append(pairs, "count", no.Has, "all", no.Need, "key", key)
	case gpus.MemoryTooSmall:
		code, pairs = verdict.GPUMemoryTooSmall, append(pairs, "has", gpus.GiB(no.Has), "need", gpus.GiB(no.Need), "key", r.gpu.MemoryFrom)
	case gpus.SharingUnknown:
		code, pairs = verdict.GPUSharingUnknown, append(pairs, "label", no.Label.Key, "floor", no.Floor)
	case gpus.IsolationTooWeak:
		code, pairs = verdict.GPUIsolationTooWeak, append(pairs, "has", no.Isolation, "floor", no.Floor)
	default:
		return nil
	}
	key := refusalKey{no}
	if known, found := r.texts.Load(key); found {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, known.(string))
	}
	text := verdict.Say(code, pairs...).Message
	r.texts.Store(key, text)
	return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, text)
}

type refusalKey struct{ gpus.Refusal }
