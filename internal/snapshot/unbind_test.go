package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
)

const nodeB = `{apiVersion: v1, kind: Node, metadata: {name: b}, status: {allocatable: {cpu: "4", pods: "10"}}}`

// volumeUser is a pod on a node that uses a claim by name, or has one of its own.
func volumeUser(name, meta, node, volume string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: shop, uid: u-%s%s}, spec: {%svolumes: [{name: v, %s}], containers: [{name: c, image: i}]}, status: {phase: Running}}",
		name, name, meta, node, volume)
}

func claimed(name string) string { return "persistentVolumeClaim: {claimName: " + name + "}" }

// boundClaim is a volume claim and its volume.
func boundClaim(name string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: %s, namespace: shop}, spec: {volumeName: pv-%s, storageClassName: s, accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}}", name, name)
}

func attached(volume, node string) string {
	return fmt.Sprintf("{apiVersion: storage.k8s.io/v1, kind: VolumeAttachment, metadata: {name: %s-on-%s}, spec: {attacher: d.example, nodeName: %s, source: {persistentVolumeName: pv-%s}}}", volume, node, node, volume)
}

func attachments(objects []runtime.Object) []string {
	var out []string
	for _, o := range objects {
		if a, ok := o.(*storagev1.VolumeAttachment); ok {
			out = append(out, a.Name)
		}
	}
	return out
}

// TestVolumesAreDetachedFromWherePodsAreTakenOff: a scheduler counts an attachment
// against the limit of a node, whether or not a pod is there.
func TestVolumesAreDetachedFromWherePodsAreTakenOff(t *testing.T) {
	const agent = ", ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: d, uid: d, controller: true}]"
	const own = "ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}"
	input := strings.Join([]string{nodeA, nodeB,
		volumeUser("web", "", "nodeName: a, ", claimed("data")), boundClaim("data"), attached("data", "a"),
		volumeUser("scratch", "", "nodeName: a, ", own), boundClaim("scratch-v"), attached("scratch-v", "a"),
		volumeUser("agent", agent, "nodeName: a, ", claimed("logs")), boundClaim("logs"), attached("logs", "a"),
		volumeUser("reader", "", "nodeName: b, ", claimed("logs")), attached("logs", "b"),
		volumeUser("other", "", "nodeName: a, ", claimed("logs")),
		volumeUser("early", "", "", claimed("late")), boundClaim("late"), attached("late", "a"),
		attached("orphan", "a"),
	}, "\n---\n")
	for name, test := range map[string]struct {
		keep func(*v1.Pod) bool
		want []string
	}{
		"from scratch": {StaysBeside(sets.New("default-scheduler")), []string{"late-on-a", "logs-on-a", "orphan-on-a"}},
		"one pod":      {func(p *v1.Pod) bool { return p.Name != "web" }, []string{"late-on-a", "logs-on-a", "logs-on-b", "orphan-on-a", "scratch-v-on-a"}},
		"one of two":   {func(p *v1.Pod) bool { return p.Name != "other" }, []string{"data-on-a", "late-on-a", "logs-on-a", "logs-on-b", "orphan-on-a", "scratch-v-on-a"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustRead(t, input)
			twin := *s
			before := attachments(twin.Objects)
			Unbind(s, test.keep)
			if diff := cmp.Diff(test.want, attachments(s.Objects)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, attachments(twin.Objects)); diff != "" {
				t.Errorf("the twin's (-before +after):\n%s", diff)
			}
		})
	}
}

func TestAnIdleClusterHoldsNothingForPods(t *testing.T) {
	claim := func(name, reserved string) string {
		return "{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: " + name + "}, spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu}}]}}, status: {allocation: {devices: {results: [{request: r, driver: d, pool: a, device: g}]}}, reservedFor: [" + reserved + "]}}"
	}
	s := mustRead(t, strings.Join([]string{nodeA, attached("data", "a"), claim("nobodys", ""), claim("pods", "{resource: pods, name: x, uid: x}"),
		claim("groups", "{apiGroup: scheduling.k8s.io, resource: podgroups, name: x, uid: x}"),
		claim("others", "{resource: pods, name: x, uid: x}, {apiGroup: example.com, resource: machines, name: x, uid: u-2}")}, "\n---\n"))
	var held []string
	for _, o := range Idle(s.Objects) {
		if c, ok := o.(*resourceapi.ResourceClaim); ok && c.Status.Allocation != nil {
			held = append(held, c.Name)
		}
	}
	if diff := cmp.Diff([]string{"others"}, held); diff != "" || len(attachments(Idle(s.Objects))) > 0 {
		t.Errorf("attached: %v, claims that hold devices (-want +got):\n%s", attachments(Idle(s.Objects)), diff)
	}
	if i := slices.IndexFunc(objectsOf[*resourceapi.ResourceClaim](s), func(c *resourceapi.ResourceClaim) bool { return c.Status.Allocation == nil }); i >= 0 {
		t.Errorf("claim %d of the snapshot itself was released", i)
	}
}
