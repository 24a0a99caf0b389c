package simulate

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// strange has a node of which NodeVolumeLimits cannot count the volumes: the claim
// for a pod's ephemeral volume is not the pod's. A pod with a volume waits, which fits
// on another node.
const strange = twoNodes + `
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
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: runs-d, namespace: shop}
spec: {storageClassName: disks, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: runs, namespace: shop}
spec:
  nodeName: n-1
  volumes: [{name: d, ephemeral: {volumeClaimTemplate: {spec: {storageClassName: disks, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}]
  containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]
status: {phase: Running}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: new, namespace: shop}
spec: {storageClassName: disks, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: new, namespace: shop}
spec:
  priority: 100
  volumes: [{name: d, persistentVolumeClaim: {claimName: new}}]
  containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]
`

// TestAnErrorAboutOneNodeKeepsThePodFromAll: as with upstream, in both engines.
func TestAnErrorAboutOneNodeKeepsThePodFromAll(t *testing.T) {
	memory, plane := run(t, readText(t, strange), InMemory), run(t, readText(t, strange), InControlPlane)
	want := `new Pending running "NodeVolumeLimits" filter plugin: PVC shop/runs-d was not created for pod shop/runs (pod is not owner)`
	if diff := cmp.Diff(want, where(memory)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(plane.Pods, memory.Pods); diff != "" {
		t.Errorf("(-control plane +memory)\n%s", diff)
	}
	e, err := Explain(t.Context(), ExplainOptions{Snapshot: readText(t, strange), Pod: "new", Scheduler: Plimsoll, Top: 5})
	if err != nil {
		t.Fatal(err)
	}
	if e.Node != "" || e.Feasible != 0 || e.Refused == nil || e.Refused.Plugin != "NodeVolumeLimits" || string(e.Refused.Code) != "Error" {
		t.Errorf("explained as %+v, refused %+v", e, e.Refused)
	}
	var helps []string
	for _, change := range e.Changes {
		helps = append(helps, change.What)
	}
	if !strings.Contains(strings.Join(helps, "\n"), "drop volume d") {
		t.Errorf("%q would help, want the volume among them", helps)
	}
}
