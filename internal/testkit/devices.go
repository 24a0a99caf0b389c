package testkit

import (
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"plimsoll.dev/scheduler/internal/fleet"
)

// GPUs reads what drivers publish, one node per line, as COUNTxPRODUCT: GPUs that
// are partitioned on demand, or H100s that claims share by memory.
//
//	gpu-a-[01-02]  2xA100-SXM4-80GB
//	gpu-b-01       1xA30
//	gpu-c-01       2xH100-SHARED
func GPUs(text string) ([]*resourceapi.ResourceSlice, error) {
	var out []*resourceapi.ResourceSlice
	err := eachLine(text, func(names []string, fields []string) error {
		for _, name := range names {
			for _, f := range fields {
				count, product := counted(f)
				if product == "H100-SHARED" {
					out = append(out, fleet.Sharable(name, count))
					continue
				}
				published, err := fleet.Partitionable(name, product, count)
				if err != nil {
					return fmt.Errorf("node %s: %w", name, err)
				}
				out = append(out, published...)
			}
		}
		return nil
	})
	return out, err
}

// Claims reads the claims of the lines that Pods reads. Each is COUNTxWHAT, or just
// WHAT for one:
//
//	claim=1g.10gb        a partition of that profile
//	claim=2x3g.40gb      two of them
//	claim=>=19Gi         any partition with as much memory
//	claim=3g.40gb|2g.20gb  the first that can be had
//	claim=share:30Gi     as much of a GPU that is shared by memory
func Claims(text string) ([]*resourceapi.ResourceClaim, error) {
	var out []*resourceapi.ResourceClaim
	err := eachLine(text, func(names []string, fields []string) error {
		for _, name := range names {
			for _, f := range fields {
				what, found := strings.CutPrefix(f, "claim=")
				if !found {
					continue
				}
				request, err := requestOf(what)
				if err != nil {
					return fmt.Errorf("pod %s: %q: %w", name, f, err)
				}
				claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{
					Namespace: "default", Name: *claimOf(name), UID: types.UID(*claimOf(name))}}
				claim.Spec.Devices.Requests = []resourceapi.DeviceRequest{request}
				out = append(out, claim)
			}
		}
		return nil
	})
	return out, err
}

// claimOf names the claim of a pod.
func claimOf(pod string) *string {
	name := pod + "-gpu"
	return &name
}

func requestOf(text string) (resourceapi.DeviceRequest, error) {
	r := resourceapi.DeviceRequest{Name: "gpu"}
	alternatives := strings.Split(text, "|")
	if len(alternatives) == 1 {
		var err error
		r.Exactly, err = exactly(text)
		return r, err
	}
	for i, what := range alternatives {
		e, err := exactly(what)
		if err != nil {
			return r, err
		}
		r.FirstAvailable = append(r.FirstAvailable, resourceapi.DeviceSubRequest{Name: fmt.Sprintf("choice-%d", i+1),
			DeviceClassName: e.DeviceClassName, AllocationMode: e.AllocationMode, Count: e.Count, Selectors: e.Selectors, Capacity: e.Capacity})
	}
	return r, nil
}

func exactly(text string) (*resourceapi.ExactDeviceRequest, error) {
	count, what := counted(text)
	e := &resourceapi.ExactDeviceRequest{DeviceClassName: "mig.nvidia.com",
		AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: int64(count)}
	if amount, found := strings.CutPrefix(what, "share:"); found {
		q, err := resource.ParseQuantity(amount)
		e.DeviceClassName = "gpu.nvidia.com"
		e.Capacity = &resourceapi.CapacityRequirements{Requests: map[resourceapi.QualifiedName]resource.Quantity{resourceapi.QualifiedName(v1.ResourceMemory): q}}
		return e, err
	}
	expression := fmt.Sprintf("device.attributes['%s'].profile == '%s'", fleet.Driver, what)
	if amount, found := strings.CutPrefix(what, ">="); found {
		if _, err := resource.ParseQuantity(amount); err != nil {
			return nil, err
		}
		expression = fmt.Sprintf("device.capacity['%s'].memory.compareTo(quantity('%s')) >= 0", fleet.Driver, amount)
	}
	e.Selectors = []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{Expression: expression}}}
	return e, nil
}

// counted reads 2xWHAT, and WHAT as one.
func counted(text string) (int, string) {
	number, what, found := strings.Cut(text, "x")
	if n, err := strconv.Atoi(number); found && err == nil && n > 0 {
		return n, what
	}
	return 1, text
}
