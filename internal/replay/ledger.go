package replay

import (
	"context"
	"crypto/sha256"
	"fmt"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/registry"
)

const ledgerName = "ReplayLedger"

// ledger is a plugin that notes which devices a pod was bound with.
type ledger struct {
	handle fwk.Handle
	// devices of the last pod, in the order of its claims.
	devices []resourceapi.DeviceRequestAllocationResult
	err     error
}

var _ fwk.PostBindPlugin = (*ledger)(nil)

func (l *ledger) new(_ context.Context, _ runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
	l.handle = handle
	return l, nil
}

// Name implements fwk.Plugin.
func (l *ledger) Name() string { return ledgerName }

// PostBind reads what the pod's claims were allocated.
func (l *ledger) PostBind(_ context.Context, _ fwk.CycleState, pod *v1.Pod, _ string) {
	l.devices, l.err = l.devices[:0], nil
	for i := range pod.Spec.ResourceClaims {
		name, _, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i])
		if err != nil || name == nil {
			l.err = err
			continue
		}
		claim, err := l.handle.SharedDRAManager().ResourceClaims().Get(pod.Namespace, *name)
		if err != nil {
			l.err = err
			continue
		}
		if claim.Status.Allocation == nil {
			l.err = fmt.Errorf("claim %s/%s of a pod that was bound is not allocated", pod.Namespace, *name)
			continue
		}
		l.devices = append(l.devices, claim.Status.Allocation.Devices.Results...)
	}
}

// anywhere is a registry in which every image runs on amd64 and arm64: a trace does
// not tell what its pods run.
type anywhere struct{}

// Resolve implements images.Resolver.
func (anywhere) Resolve(_ context.Context, ref registry.Reference, _ *registry.Credential, _ func(string) (registry.Manifest, bool)) (registry.Manifest, error) {
	return registry.Manifest{Digest: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(ref.String()))), Kind: registry.Index,
		Platforms: arch.NewSet(arch.New("linux", "amd64", "", ""), arch.New("linux", "arm64", "", ""))}, nil
}
