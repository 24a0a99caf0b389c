package simulate

import (
	"fmt"
	"strings"
	"testing"

	"plimsoll.dev/scheduler/internal/snapshot"
)

// explained asks about a pod under either scheduler.
func explained(t *testing.T, s *snapshot.Snapshot, pod string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, scheduler := range []string{Plimsoll, Default} {
		copied := *s
		e, err := Explain(t.Context(), ExplainOptions{Snapshot: &copied, Pod: pod, Scheduler: scheduler, Top: 5})
		if err != nil {
			t.Fatal(err)
		}
		ifEmpty := "-"
		if e.IfEmpty != nil {
			ifEmpty = fmt.Sprint(*e.IfEmpty)
		}
		out[scheduler] = fmt.Sprintf("%d nodes, %s if empty", e.Feasible, ifEmpty)
	}
	return out
}

// TestABusyDeviceIsFreeIfNoOtherPodRan: what others' claims hold is theirs only as
// long as they run.
func TestABusyDeviceIsFreeIfNoOtherPodRan(t *testing.T) {
	const held = `
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: %[1]s, namespace: shop}
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.example, allocationMode: ExactCount, count: 1}}]}}
status:
  allocation: {devices: {results: [{request: gpu, driver: gpu.example, pool: n-1, device: gpu-0}]}, nodeSelector: {nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [n-1]}]}]}}
  reservedFor: [%[2]s]
---
apiVersion: v1
kind: Pod
metadata: {name: runs, namespace: shop, uid: "7d3f0a4e-0000-4000-8000-000000000001"}
spec:
  nodeName: n-1
  resourceClaims: [{name: g, resourceClaimName: %[1]s}]
  containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}, claims: [{name: g}]}}]
status: {phase: Running}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: mine, namespace: shop}
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.example, allocationMode: ExactCount, count: 1}}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: waits, namespace: shop}
spec:
  resourceClaims: [{name: g, resourceClaimName: mine}]
  containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}, claims: [{name: g}]}}]
`
	for reserved, want := range map[string]string{
		`{resource: pods, name: runs, uid: "7d3f0a4e-0000-4000-8000-000000000001"}`: "0 nodes, 1 if empty",
		"": "0 nodes, 1 if empty",
		`{apiGroup: example.com, resource: machines, name: m, uid: "7d3f0a4e-0000-4000-8000-000000000002"}`: "0 nodes, 0 if empty",
	} {
		for scheduler, got := range explained(t, readText(t, twoNodes+oneGPU+fmt.Sprintf(held, "theirs", reserved)), "waits") {
			if got != want {
				t.Errorf("%s, reserved for [%s]: %s, want %s", scheduler, reserved, got, want)
			}
		}
	}
}

// full is a node to which as many volumes are attached as it takes; a DaemonSet's pod
// has one of them.
func full() string {
	const node = `
---
apiVersion: storage.k8s.io/v1
kind: CSINode
metadata: {name: n-1}
spec: {drivers: [{name: disk.example, nodeID: n-1, allocatable: {count: 3}}]}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: disks}
provisioner: disk.example
`
	const volume = `
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv-%[1]d}
spec: {storageClassName: disks, capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: shop, name: data-%[1]d, uid: "7d3f0a4e-0000-4000-8000-00000000010%[1]d"}, csi: {driver: disk.example, volumeHandle: vol-%[1]d}}
status: {phase: Bound}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data-%[1]d, namespace: shop, uid: "7d3f0a4e-0000-4000-8000-00000000010%[1]d", annotations: {pv.kubernetes.io/bind-completed: "yes"}}
spec: {storageClassName: disks, volumeName: pv-%[1]d, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
status: {phase: Bound, accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}}
---
apiVersion: storage.k8s.io/v1
kind: VolumeAttachment
metadata: {name: attached-%[1]d}
spec: {attacher: disk.example, nodeName: n-1, source: {persistentVolumeName: pv-%[1]d}}
status: {attached: true}
---
apiVersion: v1
kind: Pod
metadata: {name: db-%[1]d, namespace: shop%[2]s}
spec:
  nodeName: n-1
  volumes: [{name: d, persistentVolumeClaim: {claimName: data-%[1]d}}]
  containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]
status: {phase: Running}
`
	var out strings.Builder
	out.WriteString(twoNodes[:strings.LastIndex(twoNodes, "\n---")] + node)
	for i, owner := range []string{"", "", `, ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: d, uid: "7d3f0a4e-0000-4000-8000-000000000003", controller: true}]`} {
		fmt.Fprintf(&out, volume, i, owner)
	}
	return out.String()
}

// TestPodsComeBackWithTheirVolumes: these do not count against the node before the
// pods are there.
func TestPodsComeBackWithTheirVolumes(t *testing.T) {
	for scheduler, got := range explained(t, readText(t, full()), "db-0") {
		if got != "1 nodes, - if empty" {
			t.Errorf("%s: explained as %s, want its node to take it", scheduler, got)
		}
	}
	for _, engine := range []string{InMemory, InControlPlane} {
		s := readText(t, full())
		if n := snapshot.Unbind(s, snapshot.IsNodeAgent); n != 2 {
			t.Fatalf("%d pods were taken off, want 2", n)
		}
		if r := run(t, s, engine); r.Summary.Running != 2 {
			t.Errorf("%s, from scratch: %s", engine, where(r))
		}
	}
	// Those of other pods count.
	another := readText(t, full()+`
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: new, namespace: shop}
spec: {storageClassName: disks, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: late, namespace: shop}
spec:
  volumes: [{name: d, persistentVolumeClaim: {claimName: new}}]
  containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]
`)
	for scheduler, got := range explained(t, another, "late") {
		if got != "0 nodes, 1 if empty" {
			t.Errorf("%s: explained as %s, want room only if no other pod ran", scheduler, got)
		}
	}
}

// TestANodeThatSchedulersPassOverDoesNotEndWhatIsExplained: on one of many nodes a claim's
// selector fails. Plimsoll leaves that node out beforehand; the default scheduler meets it.
func TestANodeThatSchedulersPassOverDoesNotEndWhatIsExplained(t *testing.T) {
	var text strings.Builder
	text.WriteString(oneGPU) // its GPU does not tell a generation
	for i := range 40 {
		fmt.Fprintf(&text, `---
apiVersion: v1
kind: Node
metadata: {name: n-%[1]d}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "110"}}
`, i+1)
		if i == 0 || i > 3 { // a short list of many nodes
			continue
		}
		fmt.Fprintf(&text, `---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: n-%[1]d-gpus}
spec:
  driver: gpu.example
  nodeName: n-%[1]d
  pool: {name: n-%[1]d, generation: 1, resourceSliceCount: 1}
  devices: [{name: gpu-0, attributes: {generation: {string: new}}}]
`, i+1)
	}
	text.WriteString(careless)
	for scheduler, fits := range map[string]bool{Plimsoll: true, Default: false} {
		e, err := Explain(t.Context(), ExplainOptions{Snapshot: readText(t, text.String()), Pod: "fails", Scheduler: scheduler, Top: 5})
		if err != nil {
			t.Fatal(err)
		}
		if (e.Feasible > 0) != fits || (e.Refused == nil) != fits {
			t.Errorf("%s: %d nodes, refused: %v; want it to fit: %t", scheduler, e.Feasible, e.Refused, fits)
		}
		if got := inMemory(t, readText(t, text.String()), scheduler).Results[0].Summary.Running == 1; got != fits {
			t.Errorf("%s: it runs in the simulation: %t, want %t", scheduler, got, fits)
		}
	}
}
