package simulate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/snapshot"
)

// oddities are clusters with what a copy could easily lose, and what becomes of
// their pods under both engines.
var oddities = []struct {
	name, cluster string
	want          string
}{
	{"a pod that is being deleted does not count for spreading", twoNodes + `
---
apiVersion: v1
kind: Pod
metadata: {name: leaving, namespace: shop, labels: {app: web}, deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 30, finalizers: [example.com/wait]}
spec: {nodeName: n-1, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]}
status: {phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: stays, namespace: shop, labels: {app: web}}
spec: {nodeName: n-2, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]}
status: {phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: new, namespace: shop, labels: {app: web}}
spec:
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}]
  containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]
`, "new Running n-1"},
	{"labels of the default namespace are selected by", twoNodes + `
---
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {team: blue}}
status: {phase: Active}
---
apiVersion: v1
kind: Namespace
metadata: {name: gone, labels: {pod-security.kubernetes.io/enforce: restricted}}
status: {phase: Terminating}
---
apiVersion: v1
kind: Pod
metadata: {name: anchor, namespace: default, labels: {app: anchor}}
spec: {nodeName: n-2, hostNetwork: true, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]}
status: {phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: lingers, namespace: gone}
spec: {nodeName: n-1, hostNetwork: true, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]}
status: {phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: new, namespace: shop}
spec:
  affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, namespaceSelector: {matchLabels: {team: blue}}, labelSelector: {matchLabels: {app: anchor}}}]}}
  containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]
`, "new Running n-2"},
	{"volumes are provided where the pod goes, or beforehand", twoNodes + `
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: late}
provisioner: disk.example.test
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: early}
provisioner: example.test/disk
volumeBindingMode: Immediate
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop}
spec: {storageClassName: late, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: logs, namespace: shop}
spec: {storageClassName: early, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop}
spec:
  volumes: [{name: d, persistentVolumeClaim: {claimName: data}}, {name: l, persistentVolumeClaim: {claimName: logs}}]
  nodeSelector: {kubernetes.io/hostname: n-2}
  containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]
`, "db Running n-2"},
	{"a claim of a pod that is not there keeps its GPU", twoNodes + oneGPU + `
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: orphan, namespace: shop, finalizers: [resource.kubernetes.io/delete-protection], ownerReferences: [{apiVersion: v1, kind: Pod, name: lost, uid: "7d3f0a4e-0000-4000-8000-000000000001", controller: true}]}
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.example, allocationMode: ExactCount, count: 1}}]}}
status:
  allocation: {devices: {results: [{request: gpu, driver: gpu.example, pool: n-1, device: gpu-0}]}, nodeSelector: {nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [n-1]}]}]}}
  reservedFor: [{resource: pods, name: lost, uid: "7d3f0a4e-0000-4000-8000-000000000001"}]
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: mine, namespace: shop}
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.example, allocationMode: ExactCount, count: 1}}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: new, namespace: shop}
spec:
  resourceClaims: [{name: g, resourceClaimName: mine}]
  containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}, claims: [{name: g}]}}]
`, "new Pending"},
	{"extended resources are served by devices, and given back", twoNodes + oneGPU + `
---
apiVersion: v1
kind: Pod
metadata: {name: first, namespace: shop}
spec: {priority: 0, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m, example.test/gpu: 1}, limits: {example.test/gpu: 1}}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: second, namespace: shop}
spec: {priority: 0, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m, example.test/gpu: 1}, limits: {example.test/gpu: 1}}}]}
`, "first Running n-1\nsecond Pending"},
}

const twoNodes = `
apiVersion: v1
kind: Node
metadata: {name: n-1, labels: {kubernetes.io/hostname: n-1, kubernetes.io/arch: amd64}}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "110"}, nodeInfo: {architecture: amd64, operatingSystem: linux}}
---
apiVersion: v1
kind: Node
metadata: {name: n-2, labels: {kubernetes.io/hostname: n-2, kubernetes.io/arch: amd64}}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "110"}, nodeInfo: {architecture: amd64, operatingSystem: linux}}
`

// oneGPU is a GPU, on the first node.
const oneGPU = `
---
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu.example}
spec: {extendedResourceName: example.test/gpu, selectors: [{cel: {expression: "device.driver == 'gpu.example'"}}]}
---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: n-1-gpus}
spec:
  driver: gpu.example
  nodeName: n-1
  pool: {name: n-1, generation: 1, resourceSliceCount: 1}
  devices: [{name: gpu-0, attributes: {productName: {string: Example}}, capacity: {memory: {value: 80Gi}}}]
`

func readText(t *testing.T, text string) *snapshot.Snapshot {
	t.Helper()
	s, err := snapshot.Read([]string{"-"}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func run(t *testing.T, s *snapshot.Snapshot, engine string) *placement.SchedulerResult {
	t.Helper()
	out, err := Run(t.Context(), Options{Snapshot: s, Scheduler: Plimsoll, Engine: engine, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return &out.Results[0]
}

// TestNothingOfAClusterIsLost: both engines see all of it.
func TestNothingOfAClusterIsLost(t *testing.T) {
	for _, odd := range oddities {
		t.Run(odd.name, func(t *testing.T) {
			for _, engine := range []string{InMemory, InControlPlane} {
				r := run(t, readText(t, odd.cluster), engine)
				got := strings.Split(where(r), "\n")
				for i, want := range strings.Split(odd.want, "\n") {
					if i >= len(got) || !strings.HasPrefix(got[i], want) {
						t.Errorf("%s: %q, want %q", engine, got, odd.want)
					}
				}
				for _, n := range r.Nodes {
					for _, g := range n.GPUs {
						if n.Name == "n-1" && g.UsedPercent != 100 {
							t.Errorf("%s: the GPU is taken to %v %%, want all of it", engine, g.UsedPercent)
						}
					}
				}
			}
		})
	}
}

// TestAGroupIsPlacedWhole: binding its pods takes a while, and the end is awaited.
func TestAGroupIsPlacedWhole(t *testing.T) {
	const members = 120
	var pods strings.Builder
	fmt.Fprintf(&pods, "ring-[001-%d] cpu=1 annotation:plimsoll.dev/group=ring annotation:plimsoll.dev/group-size=%d annotation:plimsoll.dev/topology-required=zone\n", members, members)
	s := read(t, "n-[01-10] zone=eu-a cpu=16 memory=64Gi\n", "", pods.String(), "")
	for _, engine := range []string{InMemory, InControlPlane} {
		if r := run(t, s, engine); r.Summary.Running != members {
			t.Errorf("%s: %d of %d pods run:\n%.500s", engine, r.Summary.Running, members, where(r))
		}
	}
}

// TestPodsThatMakeRoomAreSeenByBothEngines compares all of what is said.
func TestPodsThatMakeRoomAreSeenByBothEngines(t *testing.T) {
	s := read(t, "n-1 cpu=4 memory=8Gi\n", "", "runs cpu=3 node=n-1 priority=0 phase=Running\nurgent cpu=4 priority=1000\nhuge cpu=40\n", "")
	memory, plane := run(t, s, InMemory), run(t, s, InControlPlane)
	if diff := cmp.Diff(plane, memory); diff != "" {
		t.Errorf("(-control plane +memory)\n%s", diff)
	}
	if !slices.Equal(strings.Split(where(memory), "\n")[1:], []string{"runs Preempted had to make room for a pod of higher priority", "urgent Running n-1"}) {
		t.Errorf("%s", where(memory))
	}
}

func TestAPodThatTheAPIServerRefusesIsOnePodsResult(t *testing.T) {
	s := read(t, "n-1 cpu=4 memory=8Gi\n", "", "bad cpu=1\ngood cpu=1\n", "")
	for _, pod := range s.Pods {
		if pod.Name == "bad" {
			pod.Spec.Containers[0].TerminationMessagePath = strings.Repeat("x", 5000)
			pod.Spec.Containers[0].ImagePullPolicy = "Sometimes"
		}
	}
	r := run(t, s, InControlPlane)
	if got := where(r); !strings.HasPrefix(got, "bad Pending") || !strings.Contains(got, "Sometimes") || !strings.Contains(got, "good Running n-1") {
		t.Errorf("%s", got)
	}
}

// TestAPodWaitsForOneThatIsBeingDeleted: nobody else could make room for it.
func TestAPodWaitsForOneThatIsBeingDeleted(t *testing.T) {
	s := readText(t, twoNodes+`
---
apiVersion: v1
kind: Pod
metadata: {name: leaving, namespace: shop, deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 30, finalizers: [example.com/wait]}
spec: {priority: 0, nodeName: n-1, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: "3"}}}]}
status: {phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: large, namespace: shop}
spec: {priority: 100, nodeSelector: {kubernetes.io/hostname: n-1}, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: "4"}}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: small, namespace: shop}
spec: {priority: 0, nodeSelector: {kubernetes.io/hostname: n-2}, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: "1"}}}]}
`)
	for _, engine := range []string{InMemory, InControlPlane} {
		if got := where(run(t, s, engine)); !strings.HasPrefix(got, "large Pending") || !strings.HasSuffix(got, "small Running n-2") {
			t.Errorf("%s: %s", engine, got)
		}
	}
}

// TestAGroupTriesItsOtherDomain: it backs off in between.
func TestAGroupTriesItsOtherDomain(t *testing.T) {
	group := "annotation:plimsoll.dev/group=ring annotation:plimsoll.dev/group-size=3 annotation:plimsoll.dev/topology-required=zone"
	s := read(t, "a-[1-2] zone=eu-a cpu=4 memory=16Gi\nb-[1-3] zone=eu-b cpu=2 memory=8Gi\n", "", "ring-[1-3] cpu=2500m "+group+"\nring2-[1-3] cpu=2 "+strings.ReplaceAll(group, "ring", "ring2")+"\n", "")
	for _, engine := range []string{InMemory, InControlPlane} {
		r := run(t, s, engine)
		if r.Summary.Running != 3 {
			t.Errorf("%s: %d pods run, want the 3 of the second group:\n%s", engine, r.Summary.Running, where(r))
		}
	}
}

func TestVolumesThatAreMadeUpHaveNamesOfTheirOwn(t *testing.T) {
	claim := func(namespace, name string) *v1.PersistentVolumeClaim {
		return &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	a, b := provisioned(claim("shop-db", "data"), "disk.example"), provisioned(claim("shop", "db-data"), "disk.example")
	if a.Name == b.Name || a.Spec.CSI.VolumeHandle == b.Spec.CSI.VolumeHandle || a.Spec.CSI.Driver != "disk.example" {
		t.Errorf("%s by %s, and %s", a.Name, a.Spec.CSI.Driver, b.Name)
	}
}
