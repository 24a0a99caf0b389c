package testkit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTree(t *testing.T) {
	nodes, err := Nodes(`
		a-[01-02]  region=eu zone=eu-1a rack=r1 cpu=1
		b-[01-03]  region=eu zone=eu-1b rack=r1 cpu=1
		b-04       region=eu zone=eu-1b cpu=1
		lost       cpu=1`)
	if err != nil {
		t.Fatal(err)
	}
	pods := map[string][]string{"a-01": {"web-10", "web-9", "db"}, "b-04": {"web-8"}}
	const want = `
region eu  4
├─ zone eu-1a  3
│  └─ rack r1  3
│     ├─ a-01  db web-[9-10]
│     └─ a-02
└─ zone eu-1b  1
   ├─ b-04  web-8
   └─ rack r1
      └─ b-[01-03]
lost
`
	if diff := cmp.Diff(want, "\n"+Tree(nodes, func(node string) []string { return pods[node] })); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFoldIsUndoneByExpand(t *testing.T) {
	for folded, names := range map[string][]string{
		"n-[07-12]":      {"n-12", "n-07", "n-08", "n-10", "n-09", "n-11"},
		"a b-1 b-[3-4]":  {"b-3", "b-1", "a", "b-4"},
		"x-[9-10] x-012": {"x-10", "x-9", "x-012"},
	} {
		if got := Fold(names); got != folded {
			t.Errorf("%v: %s, want %s", names, got, folded)
		}
		total := 0
		for _, part := range strings.Fields(folded) {
			expanded, err := expand(part)
			if err != nil {
				t.Error(err)
			}
			total += len(expanded)
		}
		if total != len(names) {
			t.Errorf("%s stands for %d names, want %d", folded, total, len(names))
		}
	}
}

func TestPodsOfARangeGoToNodesOfARangeAndGrow(t *testing.T) {
	pods, err := Pods("p-[1-3] cpu=1+250m node=n-[07-09]")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range pods {
		got = append(got, fmt.Sprintf("%s %s %s", p.Name, p.Spec.NodeName, p.Spec.Containers[0].Resources.Requests.Cpu()))
	}
	if diff := cmp.Diff([]string{"p-1 n-07 1", "p-2 n-08 1250m", "p-3 n-09 1500m"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, wrong := range []string{"p-[1-3] node=n-[1-2]", "p-[1-3] cpu=1+much"} {
		if _, err := Pods(wrong); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}

func TestFoldKeepsQuestionMarksApart(t *testing.T) {
	if got, want := Fold([]string{"t-1?", "t-3", "t-2?", "web?"}), "t-3 t-[1-2]? web?"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestPodsReferToTheirOwners(t *testing.T) {
	owners, err := Owners(`
		Deployment/web    replicas=9
		ReplicaSet/web-1  replicas=5 desired=9 of=Deployment/web revision=5d4f
		StatefulSet/db    replicas=3 parallel
		Job/train         parallelism=16 completions=32`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range owners {
		m := o.(metav1.Object)
		line := fmt.Sprintf("%T %s %s", o, m.GetName(), m.GetUID())
		for _, r := range m.GetOwnerReferences() {
			line += " of " + string(r.UID)
		}
		got = append(got, line)
	}
	want := []string{"*v1.Deployment web deployment/web", "*v1.ReplicaSet web-1 replicaset/web-1 of deployment/web", "*v1.StatefulSet db statefulset/db", "*v1.Job train job/train"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	pods, err := Pods("web-1-a owner=ReplicaSet/web-1 revision=5d4f priority=7\nagent owner=DaemonSet")
	if err != nil {
		t.Fatal(err)
	}
	if r := metav1.GetControllerOf(pods[0]); r == nil || r.UID != owners[1].(metav1.Object).GetUID() || r.APIVersion != "apps/v1" {
		t.Errorf("the pod's owner is %v", r)
	}
	if pods[0].Labels["pod-template-hash"] != "5d4f" || *pods[0].Spec.Priority != 7 {
		t.Errorf("labels %v, priority %v", pods[0].Labels, pods[0].Spec.Priority)
	}
	if r := metav1.GetControllerOf(pods[1]); r.Kind != "DaemonSet" || r.Name != "DaemonSet" {
		t.Errorf("a kind alone: %v", r)
	}
	for line, want := range map[string]string{"Cron/x": "want Deployment", "Job/x size=3": "want replicas", "Job/x parallelism=many": "invalid syntax"} {
		if _, err := Owners(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", line, err, want)
		}
	}
}

func TestServicesHaveEndpoints(t *testing.T) {
	objects, err := Services("db zone:eu-1a=2 notready:eu-1b=1 nozone=1 selector:app=db annotation:x=y")
	if err != nil || len(objects) != 2 {
		t.Fatalf("%v, %v", objects, err)
	}
	service := objects[0].(*v1.Service)
	if service.Spec.Selector["app"] != "db" || service.Annotations["x"] != "y" {
		t.Errorf("%v %v", service.Spec.Selector, service.Annotations)
	}
	got := map[string]int{}
	for _, e := range objects[1].(*discoveryv1.EndpointSlice).Endpoints {
		zone := "nowhere"
		if e.Zone != nil {
			zone = *e.Zone
		}
		got[fmt.Sprint(zone, " ", *e.Conditions.Ready)]++
	}
	if diff := cmp.Diff(map[string]int{"eu-1a true": 2, "eu-1b false": 1, "nowhere true": 1}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, err := Services("db zones=3"); err == nil {
		t.Error("a word that is not known is taken")
	}
}
