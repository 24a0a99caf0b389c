package snapshot

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/sets"
)

const (
	volumeD   = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d, namespace: shop}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}"
	claimG    = "{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: g, namespace: shop}, spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu}}]}}}"
	templateT = "{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: t, namespace: shop}, spec: {spec: {devices: {requests: [{name: r, firstAvailable: [{name: s, deviceClassName: gpu}, {name: t, deviceClassName: nic}]}]}}}}"
	classGPU  = "{apiVersion: resource.k8s.io/v1, kind: DeviceClass, metadata: {name: gpu}}"
	classNIC  = "{apiVersion: resource.k8s.io/v1, kind: DeviceClass, metadata: {name: nic}}"
)

// needy is a pod of the namespace shop with more in its specification.
func needy(name, more string) string {
	return "{apiVersion: v1, kind: Pod, metadata: {name: " + name + ", namespace: shop, uid: u-" + name + "}, spec: {containers: [{name: c, image: i}], " + more + "}}"
}

func volumes(claims ...string) string {
	var out []string
	for _, claim := range claims {
		out = append(out, "{name: "+claim+", persistentVolumeClaim: {claimName: "+claim+"}}")
	}
	return "volumes: [" + strings.Join(out, ", ") + "]"
}

func TestWhatPodsWaitForInVainIsCounted(t *testing.T) {
	const (
		ofClaim    = "resourceClaims: [{name: c, resourceClaimName: g}]"
		ofTemplate = "resourceClaims: [{name: c, resourceClaimTemplateName: t}]"
	)
	for name, tc := range map[string]struct {
		objects []string
		want    []string
	}{
		"nothing is missing": {[]string{volumeD, claimG, templateT, classGPU, classNIC,
			needy("x", volumes("d")), needy("w", ofClaim), needy("z", ofTemplate)}, nil},
		"volume claims": {[]string{volumeD, needy("x", volumes("d")), needy("w", volumes("d", "e", "f")), needy("z", volumes("e"))},
			[]string{"2 pods name PersistentVolumeClaims that were not read, and will wait for them (shop/e, shop/f)"}},
		"a volume claim that a controller would make": {[]string{needy("x", "volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}]")},
			[]string{"1 pod names PersistentVolumeClaims that were not read, and will wait for them (shop/x-v)"}},
		"device claims": {[]string{classGPU, needy("x", ofClaim)},
			[]string{"1 pod names ResourceClaims that were not read, and will wait for them (shop/g)"}},
		"templates": {[]string{classGPU, needy("x", ofTemplate), needy("w", ofTemplate)},
			[]string{"2 pods name ResourceClaimTemplates that were not read, and will wait for them (shop/t)"}},
		"device classes": {[]string{templateT, claimG, classGPU, needy("x", ofTemplate), needy("w", ofClaim)},
			[]string{"1 pod names DeviceClasses that were not read, and will wait for them (nic)"}},
		"a class of which a device was allocated": {[]string{needy("x", ofClaim),
			strings.TrimSuffix(claimG, "}") + ", status: {allocation: {devices: {results: [{request: r, driver: d, pool: a, device: g}]}}}}"}, nil},
		"a pod that has a node waits for nothing": {[]string{needy("x", "nodeName: a, "+volumes("d"))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustRead(t, strings.Join(append(tc.objects, nodeA), "\n---\n"))
			if diff := cmp.Diff(tc.want, s.Gaps()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPodsTakenOffTheirNodesWaitForWhatIsMissing(t *testing.T) {
	s := mustRead(t, strings.Join([]string{nodeA, templateT, classGPU, classNIC,
		needy("x", "nodeName: a, "+volumes("d")), needy("w", "nodeName: a, resourceClaims: [{name: c, resourceClaimTemplateName: t}]")}, "\n---\n"))
	if n := Unbind(s, StaysBeside(sets.New("default-scheduler"))); n != 2 {
		t.Fatalf("%d pods were unbound, want 2", n)
	}
	// The claim of the other is made of its template.
	want := []string{"1 pod names PersistentVolumeClaims that were not read, and will wait for them (shop/d)"}
	if diff := cmp.Diff(want, s.Gaps()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := s.Add(mustReadWhatIf(t, volumeD)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string(nil), s.Gaps()); diff != "" {
		t.Errorf("after the claim was added (-want +got):\n%s", diff)
	}
}
