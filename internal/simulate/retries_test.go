package simulate

import (
	"strings"
	"testing"

	"plimsoll.dev/scheduler/internal/placement"
)

// careless is a claim that asks of devices what they may not tell, which is an error and
// no refusal, and a pod with it.
const careless = `
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: careless, namespace: shop}
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.example, allocationMode: ExactCount, count: 1, selectors: [{cel: {expression: "device.attributes['gpu.example'].generation == 'new'"}}]}}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: fails, namespace: shop}
spec:
  priority: 9
  resourceClaims: [{name: g, resourceClaimName: careless}]
  containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}, claims: [{name: g}]}}]
`

// failingPod is that pod, and one that comes after it.
const failingPod = twoNodes + oneGPU + careless + `
---
apiVersion: v1
kind: Pod
metadata: {name: fits, namespace: shop}
spec: {priority: 0, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]}
`

// TestAPodThatFailsForEverIsGivenUp: the scheduler tries it again and again, and each
// time takes what stops it for an error that passes.
func TestAPodThatFailsForEverIsGivenUp(t *testing.T) {
	for _, engine := range []string{InMemory, InControlPlane} {
		got := map[string]placement.Pod{}
		for _, p := range run(t, readText(t, failingPod), engine).Pods {
			got[p.Name] = p
		}
		fails := got["fails"]
		if fails.Phase != "Pending" || len(fails.Reasons) == 0 || !strings.Contains(fails.Reasons[0].Message, "no such key: generation") {
			t.Errorf("%s: %+v, want a pod that waits because there is no such key", engine, fails)
		}
		if got["fits"].Phase != "Running" {
			t.Errorf("%s: %+v, want a pod that runs", engine, got["fits"])
		}
	}
}

// TestErrorsAreInVainUntilSomethingMoves: what began before that counts for nothing.
func TestErrorsAreInVainUntilSomethingMoves(t *testing.T) {
	r := newRetries()
	fail := func() bool { r.begin("a"); r.end("a", true); return r.inVain("a") }
	for i := 1; i <= vainErrors; i++ {
		if got, want := fail(), i == vainErrors; got != want {
			t.Errorf("after %d errors in a row: in vain %v, want %v", i, got, want)
		}
	}
	r.begin("a")
	r.found("b")
	if r.inVain("a") {
		t.Error("another pod found a place, and the attempts before are said to be in vain")
	}
	if r.end("a", true); r.inVain("a") {
		t.Error("an attempt that began before another pod found a place is said to be in vain")
	}
	if !fail() {
		t.Error("one that began after it is not")
	}
	if r.begin("a"); true {
		r.end("a", false)
	}
	if fail() {
		t.Error("a refusal lies between, and the errors before it count")
	}
}
