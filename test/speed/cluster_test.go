package speed

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"plimsoll.dev/scheduler/internal/fleet"
)

const (
	product     = "A100-SXM4-80GB"
	gpusPerNode = 8
	zones       = 3
	// podsPerGPU in the proportions of podProfile fill a GPU without a rest.
	podsPerGPU = 4
	namespace  = metav1.NamespaceDefault
	// creators is how many requests the load generator has on the way.
	creators = 8
)

// podProfile is the MIG profile that a pod asks for: of four, the second one wants
// four of a GPU's seven parts, the others one each.
func podProfile(pod int) string {
	if pod%podsPerGPU == 1 {
		return "4g.40gb"
	}
	return "1g.10gb"
}

// cluster is what the load generator has created.
type cluster struct {
	client kubernetes.Interface
	// devices are all that are published, by pool and name.
	devices map[deviceID]resourceapi.Device
	// totals are what the counters hold, by pool.
	totals map[counterID]int64
}

type deviceID struct{ pool, device string }

type counterID struct{ pool, set, counter string }

// newCluster creates nodes, what their GPU driver publishes, and the classes.
func newCluster(ctx context.Context, client kubernetes.Interface, nodes int) (*cluster, error) {
	c := &cluster{client, map[deviceID]resourceapi.Device{}, map[counterID]int64{}}
	for _, class := range fleet.DeviceClasses() {
		if _, err := client.ResourceV1().DeviceClasses().Create(ctx, class, metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("creating DeviceClass %s: %w", class.Name, err)
		}
	}
	var published []*resourceapi.ResourceSlice
	for i := range nodes {
		perNode, err := fleet.Partitionable(nodeName(i), product, gpusPerNode)
		if err != nil {
			return nil, err
		}
		published = append(published, perNode...)
	}
	c.remember(published)
	err := inParallel(ctx, nodes, func(ctx context.Context, i int) error {
		_, err := client.CoreV1().Nodes().Create(ctx, newNode(i), metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("creating nodes: %w", err)
	}
	err = inParallel(ctx, len(published), func(ctx context.Context, i int) error {
		_, err := client.ResourceV1().ResourceSlices().Create(ctx, published[i], metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("creating ResourceSlices: %w", err)
	}
	return c, nil
}

func (c *cluster) remember(published []*resourceapi.ResourceSlice) {
	for _, s := range published {
		for _, d := range s.Spec.Devices {
			c.devices[deviceID{s.Spec.Pool.Name, d.Name}] = d
		}
		for _, set := range s.Spec.SharedCounters {
			for name, counter := range set.Counters {
				c.totals[counterID{s.Spec.Pool.Name, set.Name, name}] = counter.Value.Value()
			}
		}
	}
}

// createPods creates the pods from first up to end, each with a claim of its own, for a
// scheduler.
func (c *cluster) createPods(ctx context.Context, first, end int, schedulerName string) error {
	err := inParallel(ctx, end-first, func(ctx context.Context, i int) error {
		_, err := c.client.ResourceV1().ResourceClaims(namespace).Create(ctx, newClaim(first+i), metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("creating claims: %w", err)
	}
	err = inParallel(ctx, end-first, func(ctx context.Context, i int) error {
		_, err := c.client.CoreV1().Pods(namespace).Create(ctx, newPod(first+i, schedulerName), metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("creating pods: %w", err)
	}
	return nil
}

// check says what is wrong with the allocations of so many pods: every claim must
// have one device of its profile, on the node of its pod, and no counter may be
// drawn below 0.
func (c *cluster) check(ctx context.Context, pods int, nodeOf map[string]string) error {
	claims, err := c.client.ResourceV1().ResourceClaims(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing claims: %w", err)
	}
	if len(claims.Items) != pods {
		return fmt.Errorf("listing claims: want %d, got %d", pods, len(claims.Items))
	}
	var errs []error
	left := map[counterID]int64{}
	for id, total := range c.totals {
		left[id] = total
	}
	for i := range claims.Items {
		if err := c.draw(&claims.Items[i], nodeOf, left); err != nil {
			errs = append(errs, fmt.Errorf("claim %s: %w", claims.Items[i].Name, err))
		}
	}
	return errors.Join(errs...)
}

// draw takes what a claim was given from what is left.
func (c *cluster) draw(claim *resourceapi.ResourceClaim, nodeOf map[string]string, left map[counterID]int64) error {
	if claim.Status.Allocation == nil || len(claim.Status.Allocation.Devices.Results) != 1 {
		return fmt.Errorf("status.allocation: want one device, got %v", claim.Status.Allocation)
	}
	result := claim.Status.Allocation.Devices.Results[0]
	device, found := c.devices[deviceID{result.Pool, result.Device}]
	if !found {
		return fmt.Errorf("status.allocation: no such device %s/%s", result.Pool, result.Device)
	}
	if got, want := *device.Attributes["profile"].StringValue, claim.Labels[profileLabel]; got != want {
		return fmt.Errorf("status.allocation: want profile %s, got %s", want, got)
	}
	if node := nodeOf[claim.Name]; node != result.Pool {
		return fmt.Errorf("status.allocation: want a device of the pod's node %s, got one of %s", node, result.Pool)
	}
	for _, consumption := range device.ConsumesCounters {
		for name, counter := range consumption.Counters {
			id := counterID{result.Pool, consumption.CounterSet, name}
			if left[id] -= counter.Value.Value(); left[id] < 0 {
				return fmt.Errorf("counter %v: overdrawn by %d", id, -left[id])
			}
		}
	}
	return nil
}

// inParallel calls create for the numbers from 0 up to n.
func inParallel(ctx context.Context, n int, create func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return create(ctx, i) })
	}
	return group.Wait()
}

func nodeName(i int) string { return fmt.Sprintf("gpu-%04d", i) }

// newNode is a machine like an a2-ultragpu-8g.
func newNode(i int) *v1.Node {
	capacity := v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("96"), v1.ResourceMemory: resource.MustParse("1360Gi"),
		v1.ResourceEphemeralStorage: resource.MustParse("500Gi"), v1.ResourcePods: resource.MustParse("250"),
	}
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: nodeName(i), Labels: map[string]string{
			v1.LabelHostname: nodeName(i), v1.LabelArchStable: "amd64", v1.LabelOSStable: "linux",
			v1.LabelTopologyZone: fmt.Sprintf("zone-%d", i%zones), v1.LabelTopologyRegion: "region",
			v1.LabelInstanceTypeStable: "a2-ultragpu-8g",
		}},
		Status: v1.NodeStatus{
			Capacity: capacity, Allocatable: capacity,
			Conditions: []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "KubeletReady"}},
			NodeInfo:   v1.NodeSystemInfo{Architecture: "amd64", OperatingSystem: "linux"},
		},
	}
}

// profileLabel tells the check what a claim has asked for.
const profileLabel = "profile"

// podName is that of its claim, too.
func podName(i int) string { return fmt.Sprintf("pod-%05d", i) }

func newClaim(i int) *resourceapi.ResourceClaim {
	expression := fmt.Sprintf("device.attributes['%s'].profile == '%s'", fleet.Driver, podProfile(i))
	return &resourceapi.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{Name: podName(i), Labels: map[string]string{profileLabel: podProfile(i)}},
		Spec: resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{
			Name: "slice",
			Exactly: &resourceapi.ExactDeviceRequest{
				DeviceClassName: "mig.nvidia.com",
				Selectors:       []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{Expression: expression}}},
			},
		}}}},
	}
}

func newPod(i int, schedulerName string) *v1.Pod {
	name := podName(i)
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1.PodSpec{
			SchedulerName:  schedulerName,
			ResourceClaims: []v1.PodResourceClaim{{Name: "slice", ResourceClaimName: &name}},
			Containers: []v1.Container{{
				Name: "main", Image: "registry.k8s.io/pause:3.10.2",
				Resources: v1.ResourceRequirements{
					Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse("1"), v1.ResourceMemory: resource.MustParse("4Gi")},
					Claims:   []v1.ResourceClaim{{Name: "slice"}},
				},
			}},
		},
	}
}
