package topology

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	st "k8s.io/kubernetes/pkg/scheduler/testing"

	"plimsoll.dev/scheduler/internal/testkit"
)

func node(t testing.TB, line string) *v1.Node {
	t.Helper()
	nodes, err := testkit.Nodes(line)
	if err != nil {
		t.Fatal(err)
	}
	return nodes[0]
}

func TestPodsAreTriedAgainWhenANodeCouldHelp(t *testing.T) {
	f := build(t, "", "a-1 rack=a cpu=1")
	const train = "p-[1-2] cpu=2 annotation:plimsoll.dev/topology-required=rack annotation:plimsoll.dev/group=train annotation:plimsoll.dev/group-size="
	whole := f.pods(train + "2")[0]
	incomplete := f.pods("q-1 cpu=2 annotation:plimsoll.dev/topology-required=rack annotation:plimsoll.dev/group=other annotation:plimsoll.dev/group-size=2")[0]
	wrong := f.pods("r-1 cpu=2 annotation:plimsoll.dev/min-zones=2")[0]
	zonal := f.pods("s-[1-2] cpu=2 annotation:plimsoll.dev/{topology-required=zone,group=zonal,group-size=2}")[0]
	for name, tc := range map[string]struct {
		pod     *v1.Pod
		was, is string
		want    fwk.QueueingHint
	}{
		"a node of that level":          {whole, "", "n rack=b cpu=2", fwk.Queue},
		"one that is too small":         {whole, "", "n rack=b cpu=1", fwk.QueueSkip},
		"one of no such level":          {whole, "", "n cpu=2", fwk.QueueSkip},
		"one that is tainted":           {whole, "", "n rack=b cpu=2 taint:x=y:NoSchedule", fwk.QueueSkip},
		"a taint that is gone":          {whole, "n rack=b cpu=2 taint:x=y:NoSchedule", "n rack=b cpu=2", fwk.Queue},
		"a node that grew enough":       {whole, "n rack=b cpu=2", "n rack=b cpu=4", fwk.Queue},
		"one that grew too little":      {whole, "n rack=b cpu=2", "n rack=b cpu=3", fwk.QueueSkip},
		"a label that was missing":      {whole, "n cpu=2", "n rack=b cpu=2", fwk.Queue},
		"one that moved":                {whole, "n rack=a cpu=2", "n rack=b cpu=2", fwk.Queue},
		"one that may adopt its zone":   {zonal, "", "n rack=b cpu=2", fwk.Queue},
		"one that may not":              {zonal, "", "n region=e cpu=2", fwk.QueueSkip},
		"one that lends its zone":       {zonal, "n rack=b cpu=1", "n zone=z rack=b cpu=1", fwk.Queue},
		"another label":                 {whole, "n rack=b cpu=2", "n rack=b cpu=2 label:a=b", fwk.QueueSkip},
		"for a group with pods missing": {incomplete, "", "n rack=b cpu=2", fwk.QueueSkip},
		"for a wrong annotation":        {wrong, "", "n rack=b cpu=2", fwk.QueueSkip},
	} {
		var was any
		if tc.was != "" {
			was = node(t, tc.was)
		}
		if got, err := f.afterNodeChange(klog.Background(), tc.pod, was, node(t, tc.is)); got != tc.want || err != nil {
			t.Errorf("%s: %v, %v; want %v", name, got, err, tc.want)
		}
	}
}

func TestPodsAreTriedAgainWhenOthersLeave(t *testing.T) {
	f := build(t, "", "a-1 rack=a cpu=1")
	pod := f.pods("p cpu=2 annotation:plimsoll.dev/topology-required=rack")[0]
	wrong := f.pods("r cpu=2 annotation:plimsoll.dev/group-size=none")[0]
	read := func(line string) *v1.Pod {
		pods, err := testkit.Pods(line)
		if err != nil {
			t.Fatal(err)
		}
		return pods[0]
	}
	running := read("x cpu=2 node=a-1")
	nominated := st.MakePod().Name("x").UID("x").Req(map[v1.ResourceName]string{"cpu": "1"}).NominatedNodeName("a-1").Obj()
	for name, tc := range map[string]struct {
		pod, was *v1.Pod
		is       *v1.Pod
		want     fwk.QueueingHint
	}{
		"a pod that ran is gone":       {pod, running, nil, fwk.Queue},
		"one that was nominated":       {pod, nominated, nil, fwk.Queue},
		"one that never ran":           {pod, read("x cpu=2"), nil, fwk.QueueSkip},
		"one that shrank":              {pod, running, read("x cpu=1 node=a-1"), fwk.Queue},
		"one that did not":             {pod, running, running, fwk.QueueSkip},
		"and the annotation was wrong": {wrong, running, nil, fwk.QueueSkip},
	} {
		var is any
		if tc.is != nil {
			is = tc.is
		}
		if got, err := f.afterPodLeft(klog.Background(), tc.pod, tc.was, is); got != tc.want || err != nil {
			t.Errorf("%s: %v, %v; want %v", name, got, err, tc.want)
		}
	}
}

func TestPodsAreTriedAgainWhenTheyChangeThemselves(t *testing.T) {
	f := build(t, "", "a-1 rack=a cpu=1")
	pod := f.pods("p cpu=2 annotation:plimsoll.dev/topology-required=rak")[0]
	changed := func(do func(*v1.Pod)) *v1.Pod {
		is := pod.DeepCopy()
		do(is)
		return is
	}
	for name, tc := range map[string]struct {
		is   *v1.Pod
		want fwk.QueueingHint
	}{
		"its annotation":   {changed(func(p *v1.Pod) { p.Annotations["plimsoll.dev/topology-required"] = "rack" }), fwk.Queue},
		"its group":        {changed(func(p *v1.Pod) { p.Labels = map[string]string{"scheduling.x-k8s.io/pod-group": "g"} }), fwk.Queue},
		"a toleration":     {changed(func(p *v1.Pod) { p.Spec.Tolerations = append(p.Spec.Tolerations, v1.Toleration{Key: "x"}) }), fwk.Queue},
		"its requests":     {changed(func(p *v1.Pod) { p.Spec.Containers[0].Resources.Requests = nil }), fwk.Queue},
		"its status":       {changed(func(p *v1.Pod) { p.Status.Message = "x" }), fwk.QueueSkip},
		"somebody else's":  {changed(func(p *v1.Pod) { p.UID, p.Annotations = "x", nil }), fwk.QueueSkip},
		"another's labels": {changed(func(p *v1.Pod) { p.Labels = map[string]string{"app": "x"} }), fwk.QueueSkip},
	} {
		if got, err := f.afterOwnChange(klog.Background(), pod, pod, tc.is); got != tc.want || err != nil {
			t.Errorf("%s: %v, %v; want %v", name, got, err, tc.want)
		}
	}
	if _, err := f.afterOwnChange(klog.Background(), pod, "no pod", "no pod"); err == nil {
		t.Error("took what is no pod")
	}
}
