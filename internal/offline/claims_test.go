package offline

import (
	"context"
	"fmt"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plimsoll.dev/scheduler/internal/openb"
	"plimsoll.dev/scheduler/internal/schedconfig"
)

const defaultProfile = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles: [{schedulerName: plimsoll}]
`

// gpuCluster is two nodes, the first with one GPU.
func gpuCluster(t *testing.T) *Cluster {
	t.Helper()
	cfg, err := schedconfig.Decode([]byte(defaultProfile))
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(t.Context(), cfg, nil, openb.Cluster([]openb.Node{
		{Name: "gpu-01", CPUMilli: 4000, MemoryMiB: 4096, GPUs: 1, Model: "T4"}, {Name: "cpu-01", CPUMilli: 4000, MemoryMiB: 4096},
	})...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// claimant creates a pod that asks for a part of a GPU, and tells where it fits.
func claimant(t *testing.T, c *Cluster, name string, milli int64) *Evaluation {
	t.Helper()
	pod, claim := (&openb.Pod{CPUMilli: 100, MemoryMiB: 1, GPUs: 1, GPUMilli: milli}).Objects(name, "plimsoll")
	if err := c.AddClaims(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	e, err := c.Evaluate(t.Context(), pod)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func place(t *testing.T, c *Cluster, e *Evaluation) {
	t.Helper()
	if !slices.Equal(e.Best(), []string{"gpu-01"}) {
		t.Fatalf("pod %s fits on %v (refused: %v), want the node with the GPU", e.pod.Name, e.Best(), e.Refused)
	}
	if err := c.Place(t.Context(), e, "gpu-01"); err != nil {
		t.Fatal(err)
	}
}

// usedMilli is what is allocated of the one GPU.
func usedMilli(t *testing.T, c *Cluster) (used int64) {
	t.Helper()
	state, err := c.Allocated()
	if err != nil {
		t.Fatal(err)
	}
	for _, capacity := range state.AggregatedCapacity {
		used += capacity["milli"].Value()
	}
	return used
}

// TestDevicesCountAlikeWhetherWrittenOrInFlight is why it is only a matter of time
// whether claims are written.
func TestDevicesCountAlikeWhetherWrittenOrInFlight(t *testing.T) {
	for _, writes := range []bool{false, true} {
		t.Run(fmt.Sprintf("written %v", writes), func(t *testing.T) {
			c := gpuCluster(t)
			if writes {
				c.WriteClaims()
			}
			first := claimant(t, c, "a", 600)
			place(t, c, first)
			place(t, c, claimant(t, c, "b", 300))
			if used := usedMilli(t, c); used != 900 {
				t.Errorf("%d thousandths are used, want 900", used)
			}
			if e := claimant(t, c, "c", 101); len(e.Best()) > 0 {
				t.Errorf("a pod for 101 thousandths fits on %v, want it to fit nowhere", e.Best())
			}
			claim, err := c.client.ResourceV1().ResourceClaims(openb.Namespace).Get(t.Context(), "a", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if wrote := claim.Status.Allocation != nil && claim.Status.ReservedFor[0].Name == "a"; wrote != writes {
				t.Errorf("the claim's status is %+v, want it written: %v", claim.Status, writes)
			}
			if pending := c.dra().ResourceClaims().GetPendingAllocation(claim.UID); (pending == nil) != writes {
				t.Errorf("in flight: %v, want that if and only if it is not written", pending)
			}
			if err := c.Remove(t.Context(), first, "gpu-01"); err != nil {
				t.Fatal(err)
			}
			if used := usedMilli(t, c); used != 300 {
				t.Errorf("%d thousandths are used after the first pod left, want 300", used)
			}
			place(t, c, claimant(t, c, "d", 700))
		})
	}
}

func TestAClaimIsAddedOnce(t *testing.T) {
	c := gpuCluster(t)
	_, claim := (&openb.Pod{GPUs: 1, GPUMilli: 1}).Objects("a", "plimsoll")
	if err := c.AddClaims(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	if err := c.AddClaims(t.Context(), claim); err == nil {
		t.Error("a claim that exists was added again")
	}
	if claim.ResourceVersion != "" {
		t.Errorf("the caller's claim was given version %q, want it left alone", claim.ResourceVersion)
	}
	if _, err := c.dra().ResourceClaims().Get(openb.Namespace, "a"); err != nil {
		t.Error(err)
	}
}

// TestNobodyIsWaitedForThatProvidesVolumes: a pod with a claim of either kind is bound,
// with the device written and the volume left as it is.
func TestNobodyIsWaitedForThatProvidesVolumes(t *testing.T) {
	c := gpuCluster(t)
	c.WriteClaims()
	later, class := storagev1.VolumeBindingWaitForFirstConsumer, "later"
	volume := &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: openb.Namespace, Name: "data"},
		Spec:   v1.PersistentVolumeClaimSpec{StorageClassName: &class, AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce}},
		Status: v1.PersistentVolumeClaimStatus{Phase: v1.ClaimPending}}
	if err := c.Apply(t.Context(), &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: class}, Provisioner: "example.com/disks", VolumeBindingMode: &later}, volume); err != nil {
		t.Fatal(err)
	}
	pod, claim := (&openb.Pod{CPUMilli: 100, MemoryMiB: 1, GPUs: 1, GPUMilli: 500}).Objects("a", "plimsoll")
	pod.Spec.Volumes = []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
	if err := c.AddClaims(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	e, err := c.Evaluate(ctx, pod)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Place(ctx, e, "gpu-01"); err != nil {
		t.Fatal(err)
	}
	stored, err := c.Claim(openb.Namespace, "a")
	if err != nil || stored.Status.Allocation == nil {
		t.Errorf("the claim is %v, %v; want it allocated", stored, err)
	}
}

// BenchmarkArrival is what one pod with a claim costs on 100 nodes, from its creation
// to its binding and end, beside the scheduling itself.
func BenchmarkArrival(b *testing.B) {
	cfg, err := schedconfig.Decode([]byte(defaultProfile))
	if err != nil {
		b.Fatal(err)
	}
	nodes := make([]openb.Node, 100)
	for i := range nodes {
		nodes[i] = openb.Node{Name: fmt.Sprintf("n-%02d", i), CPUMilli: 4000, MemoryMiB: 4096, GPUs: 1, Model: "T4"}
	}
	c, err := New(b.Context(), cfg, nil, openb.Cluster(nodes)...)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	c.WriteClaims()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		pod, claim := (&openb.Pod{GPUs: 1, GPUMilli: 500}).Objects(fmt.Sprintf("p-%d", n), "plimsoll")
		if err := c.AddClaims(b.Context(), claim); err != nil {
			b.Fatal(err)
		}
		if err := c.Apply(b.Context(), pod); err != nil {
			b.Fatal(err)
		}
		e, err := c.Evaluate(b.Context(), pod)
		if err != nil {
			b.Fatal(err)
		}
		node := e.Best()[0]
		if err := c.Place(b.Context(), e, node); err != nil {
			b.Fatal(err)
		}
		if err := c.Remove(b.Context(), e, node); err != nil {
			b.Fatal(err)
		}
	}
}
