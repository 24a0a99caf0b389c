package archaware

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-base/metrics/legacyregistry"

	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// Users name images, and images name registries: the metric must not grow with
// what they make up.
func TestRegistriesInMetricsAreBounded(t *testing.T) {
	build(t, "", twoNodes, knows(t, someImages)) // registers the metrics
	i := newInspections()
	for n := range 10 * mostRegistries {
		i.count(fmt.Sprintf("bounded-%d.example.com", n), "ok", time.Second)
	}
	i.count("bounded-0.example.com", "timeout", time.Second)
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "plimsoll_archaware_image_inspections_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "registry" {
					seen[label.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
	}
	if len(seen) != mostRegistries+1 || seen["other"] != 9*mostRegistries || seen["bounded-0.example.com"] != 2 {
		t.Errorf("%d label values, other %v, the first %v", len(seen), seen["other"], seen["bounded-0.example.com"])
	}
}

func TestMatchersAreMadeOnceAKind(t *testing.T) {
	platforms := inventory.NewPlatforms()
	h := &hosts{platforms: platforms, fallback32: true}
	amd := h.of(node(t, "a arch=amd64"))
	arm := h.of(node(t, "b arch=arm64"))
	if amd.Platform() != arch.New("linux", "amd64", "", "") || arm.Platform() != arch.New("linux", "arm64", "", "") {
		t.Errorf("got %v and %v", amd, arm)
	}
	if all := h.all(); len(all) != 2 || all[0] != amd || h.of(node(t, "c arch=amd64")) != amd {
		t.Errorf("got %v, want one matcher for each kind, the same as before", all)
	}
}

func TestPodsAreFoundByTheImagesTheyWaitFor(t *testing.T) {
	f := build(t, "", twoNodes, knows(t, someImages))
	for line, want := range map[string][]string{
		"p image=a image=b":       {"a", "b"},
		"p image=a node=amd":      nil,
		"p image=a scheduler=any": nil,
	} {
		if got, err := indexWaiting(testkit.SchedulerName)(f.pod(line)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v, want %v", line, got, err, want)
		}
	}
	if got, err := indexWaiting(testkit.SchedulerName)("no pod"); err != nil || got != nil {
		t.Errorf("what is no pod: got %v, %v", got, err)
	}
}

func TestANewsOfAnImageWakesThePodsThatWaitForIt(t *testing.T) {
	f := build(t, "", twoNodes, knows(t, someImages))
	indexer := f.handle.SharedInformerFactory().Core().V1().Pods().Informer().GetIndexer()
	for _, line := range []string{"first image=busy", "second image=both image=busy", "third image=both", "bound image=busy node=amd"} {
		pod := f.pod(line)
		pod.Spec.SchedulerName = f.handle.ProfileName()
		if err := indexer.Add(pod); err != nil {
			t.Fatal(err)
		}
	}
	f.changed("busy")
	if !slices.Equal(f.woken, []string{"first", "second"}) {
		t.Errorf("woke %v, want the two that wait for the image", f.woken)
	}
	f.changed("nobody's")
	if len(f.woken) != 2 {
		t.Errorf("woke %v for an image of nobody", f.woken)
	}
}

// A pod that is tried again is not new demand.
func TestDemandIsCountedOncePerPod(t *testing.T) {
	s := newScarcity(1000)
	f := &fixture{TB: t}
	pod := f.pod("p cpu=4 memory=16Gi")
	for range 50 {
		s.see(pod, []string{"arm64"})
	}
	once := s.demand.Mix().String()
	t2 := newScarcity(1000)
	t2.see(pod, []string{"arm64"})
	if want := t2.demand.Mix().String(); once != want {
		t.Errorf("fifty tries count as %s, want %s", once, want)
	}
	other := f.pod("q cpu=4 memory=16Gi")
	s.see(other, []string{"arm64"})
	if after := s.demand.Mix().String(); after == once {
		t.Error("another pod changes nothing")
	}
	s.see(f.pod("nowhere"), nil) // one that can go nowhere is no demand
}

// On a large cluster what is free is added up once in a while only; a node more
// or less is noticed at once.
func TestSupplyIsAddedUpOnceInAWhile(t *testing.T) {
	f := build(t, "", "amd-[01-40] arch=amd64 cpu=10 memory=40Gi\narm-01 arch=arm64 cpu=10 memory=40Gi\nbusy-01 arch=arm64 cpu=10 memory=40Gi taint:gpu=:NoSchedule", knows(t, someImages))
	known := f.hosts.all()
	free := func(architecture string) int64 {
		for _, s := range f.scarcity.supply(f.nodes(), f.platforms, known) {
			if s.Architecture == architecture {
				return s.Free.MilliCPU
			}
		}
		return -1
	}
	if got := []int64{free("amd64"), free("arm64")}; !slices.Equal(got, []int64{400_000, 10_000}) {
		t.Fatalf("got %v, want the cores of all nodes but the tainted one", got)
	}
	pod := f.pod("p cpu=4 node=arm-01")
	info := f.nodes()[slices.IndexFunc(f.nodes(), func(n nodeInfo) bool { return n.Node().Name == "arm-01" })]
	info.AddPodInfo(podInfo(t, pod))
	if got := free("arm64"); got != 10_000 {
		t.Errorf("got %d at once, want what was added up before", got)
	}
	for range 5 {
		free("arm64")
	}
	if got := free("arm64"); got != 6_000 {
		t.Errorf("got %d some pods later, want it added up again", got)
	}
}

func TestPodsThatPullWithDifferentSecretsAskForThemselves(t *testing.T) {
	f := &fixture{TB: t}
	who := asker(f.pod("p image=a secret=one secret=two"))
	if who.Namespace != "default" || !slices.Equal(who.PullSecrets, []string{"one", "two"}) {
		t.Errorf("got %+v", who)
	}
	if got := intent.PullSecrets(&v1.Pod{Spec: v1.PodSpec{ImagePullSecrets: []v1.LocalObjectReference{{}}}}); len(got) != 0 {
		t.Errorf("a reference without a name counts as %v", got)
	}
}

func TestEveryEventIsInTheGuide(t *testing.T) {
	guide := string(testkit.RepoFile(t, "docs/guide/architectures.md"))
	for _, event := range []verdict.Event{verdict.ImagePlatformsAssumed, verdict.ImagePlatformsOverruled} {
		if !strings.Contains(guide, "`"+string(event)+"`") {
			t.Errorf("the guide does not say what event %s is", event)
		}
	}
}
