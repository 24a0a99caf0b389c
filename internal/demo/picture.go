package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"

	"plimsoll.dev/scheduler/internal/fleet"
	"plimsoll.dev/scheduler/pkg/gpus"
	"plimsoll.dev/scheduler/pkg/inventory"
)

// drawGPUs pictures every GPU and what of it is taken: those of claims first.
func (d *demo) drawGPUs(ctx context.Context) ([]string, error) {
	published, err := d.client.ResourceV1().ResourceSlices().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing ResourceSlices: %w", err)
	}
	claims, err := d.client.ResourceV1().ResourceClaims(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing ResourceClaims: %w", err)
	}
	all := make([]*resourceapi.ResourceSlice, len(published.Items))
	for i := range published.Items {
		all[i] = &published.Items[i]
	}
	out, err := fleet.Draw(all, allocatedBy(claims.Items))
	if err != nil {
		return nil, err
	}
	offers, err := d.drawOffers(ctx)
	return append(out, offers...), err
}

// allocatedBy is what claims hold.
func allocatedBy(claims []resourceapi.ResourceClaim) *structured.AllocatedState {
	out := &structured.AllocatedState{AllocatedDevices: sets.New[structured.DeviceID](), AggregatedCapacity: structured.NewConsumedCapacityCollection()}
	for i := range claims {
		if claims[i].Status.Allocation == nil {
			continue
		}
		for _, r := range claims[i].Status.Allocation.Devices.Results {
			id := structured.MakeDeviceID(r.Driver, r.Pool, r.Device)
			if r.ShareID == nil {
				out.AllocatedDevices.Insert(id)
				continue
			}
			out.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, r.ConsumedCapacity))
		}
	}
	return out
}

// drawOffers pictures what device plugins offer.
func (d *demo) drawOffers(ctx context.Context) ([]string, error) {
	nodes, err := d.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	pods, err := d.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	var out []string
	for i := range nodes.Items {
		node := &nodes.Items[i]
		n := gpus.Node{Facts: inventory.GPUFacts(node)}
		for j := range n.Offers {
			name := n.Offers[j].Resource
			amount := node.Status.Allocatable[v1.ResourceName(name)]
			n.Counts[j] = gpus.Count{Allocatable: amount.Value(), Requested: requested(pods.Items, node.Name, name)}
			out = append(out, node.Name+" "+strings.Split(n.String(), "\n")[j])
		}
	}
	slices.Sort(out)
	return out, nil
}

func requested(pods []v1.Pod, node, resource string) int64 {
	total := int64(0)
	for i := range pods {
		if pods[i].Spec.NodeName != node {
			continue
		}
		for _, want := range inventory.PodGPUs(&pods[i]) {
			if want.Resource == resource {
				total += want.Count
			}
		}
	}
	return total
}
