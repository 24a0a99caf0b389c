package gpuslice

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/utils/ptr"
)

// TestClaimsOfOtherPodsAreNotLookedInto: what a claim's event says about a pod that
// waits is the wrapped plugin's to tell, but for claims that are plainly another's.
func TestClaimsOfOtherPodsAreNotLookedInto(t *testing.T) {
	claim := func(namespace, name string, owner types.UID, allocated bool) *resourceapi.ResourceClaim {
		c := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name)}}
		if owner != "" {
			c.OwnerReferences = []metav1.OwnerReference{{Kind: "Pod", UID: owner, Controller: ptr.To(true)}}
		}
		if allocated {
			c.Status.Allocation = &resourceapi.AllocationResult{}
		}
		return c
	}
	ofGroup := claim("default", "x", "g", false)
	ofGroup.OwnerReferences[0].Kind = "PodGroup"
	named := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "p"},
		Spec: v1.PodSpec{ResourceClaims: []v1.PodResourceClaim{{Name: "a", ResourceClaimName: ptr.To("shared")}, {Name: "b", ResourceClaimTemplateName: ptr.To("t")}}}}
	for name, c := range map[string]struct {
		was, is *resourceapi.ResourceClaim
		asked   bool
		want    fwk.QueueingHint
	}{
		"another pod's is made":                 {is: claim("default", "x", "q", false), want: fwk.QueueSkip},
		"another pod's is allocated":            {was: claim("default", "x", "q", false), is: claim("default", "x", "q", true), want: fwk.QueueSkip},
		"another pod's gives devices back":      {was: claim("default", "x", "q", true), is: claim("default", "x", "q", false), asked: true, want: fwk.Queue},
		"another pod's is deleted, allocated":   {was: claim("default", "x", "q", true), want: fwk.Queue},
		"another pod's is deleted, unallocated": {was: claim("default", "x", "q", false), want: fwk.QueueSkip},
		"another pod's is named by this one":    {is: claim("default", "shared", "q", false), asked: true, want: fwk.Queue},
		"its own is deleted, unallocated":       {was: claim("default", "x", "p", false), want: fwk.Queue},
		"nobody's is deleted, unallocated":      {was: claim("default", "x", "", false), want: fwk.QueueSkip},
		"a group's is made":                     {is: ofGroup, asked: true, want: fwk.Queue},
		"its own is made":                       {is: claim("default", "x", "p", false), asked: true, want: fwk.Queue},
		"nobody's is made":                      {is: claim("default", "x", "", false), asked: true, want: fwk.Queue},
		"nobody's is made in another namespace": {is: claim("other", "shared", "", false), want: fwk.QueueSkip},
		"devices come back in another namespace": {was: claim("other", "x", "", true), is: claim("other", "x", "", false), asked: true,
			want: fwk.Queue},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			asked := false
			hint := b.afterClaimChange(func(klog.Logger, *v1.Pod, any, any) (fwk.QueueingHint, error) {
				asked = true
				return fwk.Queue, nil
			})
			var was, is any
			if c.was != nil {
				was = c.was
			}
			if c.is != nil {
				is = c.is
			}
			got, err := hint(klog.Background(), named, was, is)
			if err != nil || got != c.want || asked != c.asked {
				t.Errorf("got %v, %v, wrapped plugin asked: %v; want %v, %v", got, err, asked, c.want, c.asked)
			}
		})
	}
}
