package explain

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plimsoll.dev/scheduler/internal/placement"
)

func said(changes []placement.Change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, fmt.Sprintf("%s: %d %s", c.What, c.Nodes, strings.Join(c.Examples, " ")))
	}
	return out
}

func TestTheChangeThatHelpsIsFound(t *testing.T) {
	tests := map[string]struct {
		world *world
		want  []string
	}{
		"a taint that one node has": {&world{
			nodes: "n-[1-2] cpu=4 memory=8Gi taint:dedicated=ml:NoSchedule\nn-3 cpu=1 memory=8Gi", pods: "p cpu=2"},
			[]string{"tolerate dedicated=ml:NoSchedule: 2 n-1 n-2", "ask for cpu 1 instead of 2: 1 n-3"}},
		"two taints of one node": {&world{
			nodes: "n-1 cpu=4 memory=8Gi taint:a=x:NoSchedule taint:b=y:NoExecute", pods: "p cpu=2"},
			[]string{"tolerate a=x:NoSchedule and b=y:NoExecute: 1 n-1"}},
		"all taints gain more nodes than any": {&world{
			nodes: "n-1 cpu=4 memory=8Gi taint:a=x:NoSchedule\nn-2 cpu=4 memory=8Gi taint:b=y:NoSchedule", pods: "p cpu=2"},
			[]string{"tolerate every taint: 2 n-1 n-2", "tolerate a=x:NoSchedule: 1 n-1", "tolerate b=y:NoSchedule: 1 n-2"}},
		"a node selector": {&world{
			nodes: "n-[1-4] cpu=4 memory=8Gi zone=eu-a", pods: "p cpu=1 selector:disk=ssd"},
			[]string{"drop nodeSelector disk=ssd: 4 n-1 n-2 n-3"}},
		"too much of one resource": {&world{
			nodes: "n-1 cpu=8 memory=8Gi\nn-2 cpu=4 memory=16Gi", pods: "q cpu=4500m memory=1Gi node=n-1\np cpu=6 memory=2Gi"},
			[]string{"ask for cpu 4 instead of 6: 1 n-2"}},
		"too much of two resources": {&world{
			nodes: "n-1 cpu=4 memory=8Gi", pods: "p cpu=6 memory=10Gi"},
			[]string{"ask for cpu 4 instead of 6, and ask for memory 8Gi instead of 10Gi: 1 n-1"}},
		"an extended resource": {&world{
			nodes: "n-1 cpu=4 memory=8Gi example.com/nic=3", pods: "p cpu=1 example.com/nic=5"},
			[]string{"ask for example.com/nic 3 instead of 5: 1 n-1"}},
		"a taint and a selector": {&world{
			nodes: "n-1 cpu=4 memory=8Gi taint:a=x:NoSchedule", pods: "p cpu=1 selector:disk=ssd"},
			[]string{"tolerate a=x:NoSchedule, and drop nodeSelector disk=ssd: 1 n-1"}},
		"gates": {&world{
			nodes: "n-1 cpu=4 memory=8Gi", pods: "p cpu=1 gate=example.com/quota gate=example.com/audit"},
			[]string{"remove the scheduling gates example.com/quota, example.com/audit: 1 n-1"}},
		"an annotation that is not valid": {&world{
			nodes: "n-1 cpu=4 memory=8Gi", pods: "p cpu=1 annotation:plimsoll.dev/target-utilization=much"},
			[]string{"drop annotation plimsoll.dev/target-utilization=much: 1 n-1"}},
		"an architecture that only others have": {&world{
			nodes: "n-1 cpu=4 memory=8Gi arch=amd64", pods: "p cpu=1 annotation:plimsoll.dev/arch=arm64"},
			[]string{"drop annotation plimsoll.dev/arch=arm64: 1 n-1"}},
		"a device that is not there": {&world{
			nodes: "n-1 cpu=4 memory=8Gi", gpus: "n-1 1xA30", pods: "p cpu=1 claim=7g.80gb"},
			[]string{"drop claim gpu: 1 n-1", "drop the selectors in request gpu of claim gpu: 1 n-1"}},
		"more devices than there are": {&world{
			nodes: "n-1 cpu=4 memory=8Gi", gpus: "n-1 1xA30", pods: "p cpu=1 claim=9x1g.6gb"},
			[]string{"drop claim gpu: 1 n-1", "ask for 4 devices instead of 9 in request gpu of claim gpu: 1 n-1"}},
		"more of a shared device than it has": {&world{
			nodes: "n-1 cpu=4 memory=8Gi", gpus: "n-1 1xH100-SHARED", pods: "p cpu=1 claim=share:90Gi"},
			[]string{"drop claim gpu: 1 n-1", "ask for memory 81559Mi instead of 90Gi in request gpu of claim gpu: 1 n-1"}},
		"an annotation about GPUs": {&world{
			nodes: "n-1 cpu=4 memory=8Gi", gpus: "n-1 1xA30", pods: "p cpu=1 claim=1g.6gb annotation:plimsoll.dev/gpu-memory=20Gi"},
			[]string{"drop annotation plimsoll.dev/gpu-memory=20Gi: 1 n-1", "drop the selectors in request gpu of claim gpu: 1 n-1"}},
		"nothing": {&world{
			nodes: "n-1 cpu=4 memory=8Gi arch=amd64", images: "only-arm linux/arm64", pods: "p cpu=1 image=only-arm"}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := test.world.explain(t)
			if diff := cmp.Diff(test.want, said(e.Changes)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if e.Node != "" || e.Feasible != 0 || e.Tried == 0 || e.Untried != 0 {
				t.Errorf("node %q, feasible %d, tried %d, untried %d", e.Node, e.Feasible, e.Tried, e.Untried)
			}
		})
	}
}

func TestWhatUsersWriteInFieldsIsFound(t *testing.T) {
	const two = "n-1 cpu=4 memory=8Gi zone=eu-a\nn-2 cpu=4 memory=8Gi zone=eu-b"
	like := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	hosts := []v1.PodAffinityTerm{{LabelSelector: like, TopologyKey: v1.LabelHostname}}
	zone := func(values ...string) v1.NodeSelectorRequirement {
		return v1.NodeSelectorRequirement{Key: v1.LabelTopologyZone, Operator: v1.NodeSelectorOpIn, Values: values}
	}
	affinity := func(terms ...v1.NodeSelectorTerm) *v1.Affinity {
		return &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{NodeSelectorTerms: terms}}}
	}
	tests := map[string]struct {
		pods string
		edit func(*v1.Pod)
		want []string
	}{
		"node affinity": {"p cpu=1", func(p *v1.Pod) {
			p.Spec.Affinity = affinity(v1.NodeSelectorTerm{MatchExpressions: []v1.NodeSelectorRequirement{zone("eu-c")}})
		}, []string{"drop the whole required node affinity: 2 n-1 n-2"}},
		"one requirement of node affinity": {"p cpu=1", func(p *v1.Pod) {
			p.Spec.Affinity = affinity(v1.NodeSelectorTerm{MatchExpressions: []v1.NodeSelectorRequirement{
				zone("eu-b"), {Key: "disk", Operator: v1.NodeSelectorOpExists}}})
		}, []string{"drop the whole required node affinity: 2 n-1 n-2", "drop required node affinity disk Exists: 1 n-2"}},
		"a pin to a host that is gone": {"p cpu=1", func(p *v1.Pod) {
			p.Spec.Affinity = affinity(v1.NodeSelectorTerm{MatchFields: []v1.NodeSelectorRequirement{
				{Key: metav1.ObjectNameField, Operator: v1.NodeSelectorOpIn, Values: []string{"n-9"}}}})
		}, []string{"drop the whole required node affinity: 2 n-1 n-2"}},
		"pod anti-affinity": {"web-1 cpu=1 node=n-1 label:app=web\nweb-2 cpu=1 node=n-2 label:app=web\np cpu=1", func(p *v1.Pod) {
			p.Spec.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: hosts}}
		}, []string{"drop required pod anti-affinity to app=web over kubernetes.io/hostname: 2 n-1 n-2"}},
		"pod affinity": {"p cpu=1", func(p *v1.Pod) {
			p.Spec.Affinity = &v1.Affinity{PodAffinity: &v1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: hosts}}
		}, []string{"drop required pod affinity to app=web over kubernetes.io/hostname: 2 n-1 n-2"}},
		"a spread over zones": {"web-1 cpu=1 node=n-1 label:app=web\nbig cpu=4 node=n-2\np cpu=1 label:app=web", func(p *v1.Pod) {
			p.Spec.TopologySpreadConstraints = []v1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: v1.LabelTopologyZone,
				WhenUnsatisfiable: v1.DoNotSchedule, LabelSelector: like}}
		}, []string{"drop the spread over topology.kubernetes.io/zone with maxSkew 1: 1 n-1", "ask for no cpu instead of 1: 1 n-2"}},
		"a host port": {"port-80 cpu=1 node=n-1\nport-443 cpu=1 node=n-2\np cpu=1", func(p *v1.Pod) {
			for _, port := range []int32{80, 443} {
				if p.Name == "p" || p.Name == fmt.Sprintf("port-%d", port) {
					p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, v1.ContainerPort{ContainerPort: port, HostPort: port})
				}
			}
		}, []string{"drop all host ports: 2 n-1 n-2", "drop host port 80: 1 n-1", "drop host port 443: 1 n-2"}},
		"several containers": {"p cpu=3", func(p *v1.Pod) {
			second := *p.Spec.Containers[0].DeepCopy()
			second.Name = "second"
			second.Resources.Requests = v1.ResourceList{v1.ResourceCPU: resource.MustParse("5")}
			p.Spec.Containers = append(p.Spec.Containers, second)
		}, []string{"ask for cpu 4 instead of 8, each container in proportion: 2 n-1 n-2"}},
		"a pin to a host by label": {"p cpu=1", func(p *v1.Pod) {
			p.Spec.NodeSelector = map[string]string{v1.LabelHostname: "n-9"}
		}, []string{"drop nodeSelector kubernetes.io/hostname=n-9: 2 n-1 n-2"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := world{nodes: two, pods: test.pods, edit: test.edit}
			e := w.explain(t)
			if diff := cmp.Diff(test.want, said(e.Changes)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
