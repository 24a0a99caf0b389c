package claimgate

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/utils/ptr"
)

// tracker knows the claims of a store.
type tracker struct {
	fwk.ResourceClaimTracker
	store cache.Indexer
}

func (t tracker) Get(namespace, name string) (*resourceapi.ResourceClaim, error) {
	object, exists, err := t.store.GetByKey(namespace + "/" + name)
	if err != nil || !exists {
		return nil, apierrors.NewNotFound(resourceapi.Resource("resourceclaims"), name)
	}
	return object.(*resourceapi.ResourceClaim), nil
}

// profile notes the pods that are activated.
type profile struct {
	fwk.Handle
	activated map[string]int
}

func (profile) ProfileName() string { return "plimsoll" }

func (p profile) Activate(_ klog.Logger, pods map[string]*v1.Pod) {
	for _, pod := range pods {
		p.activated[pod.Name]++
	}
}

// gate is a plugin over stores of the test's own: informer, tracker and pods.
type gate struct {
	*ClaimGate
	testing.TB
	known     cache.Indexer
	activated map[string]int
}

func newGate(t testing.TB) *gate {
	known, activated := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}), map[string]int{}
	g := &gate{TB: t, known: known, activated: activated, ClaimGate: &ClaimGate{
		handle: profile{activated: activated}, tracker: tracker{store: known},
		claims:  cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}),
		pods:    cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{byClaim: claimsOf}),
		created: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]()),
	}}
	t.Cleanup(g.created.ShutDown)
	return g
}

func (g *gate) put(store cache.Indexer, object any) {
	g.Helper()
	if err := store.Add(object); err != nil {
		g.Fatal(err)
	}
}

// queued takes the claims that were put down, in order of their names.
func (g *gate) queued() []string {
	var out []string
	for g.created.Len() > 0 {
		claim, _ := g.created.Get()
		g.created.Done(claim)
		out = append(out, claim.Name)
	}
	slices.Sort(out)
	return out
}

// pod asks for a claim by name, or for one of template "gpus".
func pod(name, claim string) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name, UID: types.UID(name)},
		Spec: v1.PodSpec{SchedulerName: "plimsoll", ResourceClaims: []v1.PodResourceClaim{{Name: "gpu"}}}}
	if claim != "" {
		p.Spec.ResourceClaims[0].ResourceClaimName = &claim
	} else {
		p.Spec.ResourceClaims[0].ResourceClaimTemplateName = ptr.To("gpus")
	}
	return p
}

// named is a pod whose status says which claim was made for it; "" if none was needed.
func named(name, claim string) *v1.Pod {
	p := pod(name, "")
	status := v1.PodResourceClaimStatus{Name: "gpu"}
	if claim != "" {
		status.ResourceClaimName = &claim
	}
	p.Status.ResourceClaimStatuses = []v1.PodResourceClaimStatus{status}
	return p
}

// claim belongs to the pod of that name, if one is given.
func claim(name, owner string) *resourceapi.ResourceClaim {
	c := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name, UID: types.UID(name)}}
	if owner != "" {
		c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: owner, UID: types.UID(owner), Controller: ptr.To(true)}}
	}
	return c
}

func TestPodsWaitForTheirClaims(t *testing.T) {
	leaving := claim("leaving", "")
	leaving.DeletionTimestamp = &metav1.Time{}
	g := newGate(t)
	for _, c := range []*resourceapi.ResourceClaim{claim("shared", ""), claim("mine", "me"), claim("other", "someone"), leaving} {
		g.put(g.known, c)
	}
	both := pod("me", "shared")
	both.Spec.ResourceClaims = append(both.Spec.ResourceClaims, v1.PodResourceClaim{Name: "more", ResourceClaimName: ptr.To("none")})
	elsewhere := pod("me", "shared")
	elsewhere.Namespace = "web"
	strange := pod("me", "")
	strange.Spec.ResourceClaims[0].ResourceClaimTemplateName = nil
	for name, test := range map[string]struct {
		pod  *v1.Pod
		want string // part of the message, "" if the pod gets in
	}{
		"none asked for":             {&v1.Pod{}, ""},
		"by name, there":             {pod("me", "shared"), ""},
		"by name, not there":         {pod("me", "none"), "resource claim none, which does not exist"},
		"by name, elsewhere":         {elsewhere, "resource claim shared, which does not exist"},
		"by name, going":             {pod("me", "leaving"), "another resource claim leaving: it is being deleted"},
		"one of two":                 {both, "resource claim none"},
		"of a template, not made":    {pod("me", ""), "a resource claim made of template gpus"},
		"of a template, made":        {named("me", "mine"), ""},
		"of a template, not needed":  {named("me", ""), ""},
		"of a template, not heard":   {named("me", "unheard"), "resource claim unheard, which does not exist"},
		"of a template, another's":   {named("me", "other"), "another resource claim other: "},
		"neither name nor template ": {strange, "another resource claim gpu: "},
	} {
		status := g.PreEnqueue(t.Context(), test.pod)
		if status.IsSuccess() != (test.want == "") || !strings.Contains(status.Message(), test.want) {
			t.Errorf("%s: %v, want %q", name, status, test.want)
		}
		if !status.IsSuccess() && status.Code() != fwk.UnschedulableAndUnresolvable {
			t.Errorf("%s: %v", name, status.Code())
		}
		after, err := g.afterOwnChange(klog.Background(), test.pod, nil, test.pod)
		if err != nil || (after == fwk.Queue) != (test.want == "") {
			t.Errorf("%s: a change of the pod gives %v, %v", name, after, err)
		}
	}
	if hint, err := g.afterOwnChange(klog.Background(), pod("you", "shared"), nil, pod("me", "shared")); hint != fwk.QueueSkip || err != nil {
		t.Errorf("a change of another pod gives %v, %v", hint, err)
	}
}

func TestWithoutDRANoPodWaits(t *testing.T) {
	g := &ClaimGate{}
	if status := g.PreEnqueue(t.Context(), pod("me", "none")); !status.IsSuccess() {
		t.Error(status)
	}
	if events, err := g.EventsToRegister(t.Context()); len(events) > 0 || err != nil {
		t.Error(events, err)
	}
}

func TestArgumentsAreRefused(t *testing.T) {
	if _, err := New(context.Background(), &runtime.Unknown{}, nil); err == nil || !strings.Contains(err.Error(), "no arguments") {
		t.Error(err)
	}
}

// The queue asks no hint about pods that this plugin holds when a claim changes.
func TestNoEventOfClaimsIsRegistered(t *testing.T) {
	events, err := newGate(t).EventsToRegister(t.Context())
	if err != nil || len(events) == 0 {
		t.Fatal(events, err)
	}
	for _, e := range events {
		if e.Event.Resource != fwk.Pod || e.Event.ActionType != fwk.UpdatePodGeneratedResourceClaim {
			t.Errorf("registered: %v", e.Event)
		}
	}
}

func TestANewClaimLetsInThePodsThatNameIt(t *testing.T) {
	g := newGate(t)
	bound, foreign := pod("bound", "shared"), pod("foreign", "shared")
	bound.Spec.NodeName, foreign.Spec.SchedulerName = "gpu-01", "default-scheduler"
	for _, p := range []*v1.Pod{pod("a", "shared"), pod("b", "shared"), named("made", "made-gpu"), pod("unmade", ""), bound, foreign} {
		g.put(g.pods, p)
	}
	for _, c := range []*resourceapi.ResourceClaim{claim("shared", ""), claim("made-gpu", "made"), claim("of-nobody", "")} {
		g.put(g.claims, c)
		g.note(nil, c)
	}
	if got := g.queued(); !slices.Equal(got, []string{"made-gpu", "shared"}) {
		t.Fatalf("put down: %v", got)
	}
	shared := cache.NewObjectName("ml", "shared")
	if g.let(klog.Background(), shared) || len(g.activated) > 0 {
		t.Fatalf("the tracker has not heard of the claim, and %v were activated", g.activated)
	}
	g.put(g.known, claim("shared", ""))
	if !g.let(klog.Background(), shared) || !maps.Equal(g.activated, map[string]int{"a": 1, "b": 1}) {
		t.Errorf("activated: %v, want a and b", g.activated)
	}
	if !g.let(klog.Background(), cache.NewObjectName("ml", "gone")) {
		t.Error("a claim that is gone is waited for")
	}
}

// The claim's event comes before the pod's status names it, and the tracker is late:
// no event is left to wait for.
func TestAPodIsNotLeftOutWhenOnlyTheTrackerIsLate(t *testing.T) {
	g := newGate(t)
	g.put(g.pods, pod("me", ""))
	g.put(g.claims, claim("mine", "me"))
	g.note(nil, claim("mine", "me"))
	if got := g.queued(); len(got) > 0 {
		t.Fatalf("put down: %v, and no pod names it", got)
	}
	g.put(g.pods, named("me", "mine"))
	if hint, err := g.afterOwnChange(klog.Background(), pod("me", ""), nil, named("me", "mine")); hint != fwk.QueueSkip || err != nil {
		t.Fatal(hint, err)
	}
	if got := g.queued(); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("put down: %v, want the claim", got)
	}
}

func TestWhatBecomesOfAClaimLaterIsForOthers(t *testing.T) {
	g := newGate(t)
	g.put(g.pods, named("me", "mine"))
	was := claim("mine", "")
	bound := was.DeepCopy()
	bound.Finalizers = []string{resourceapi.Finalizer}
	bound.Status.Allocation = &resourceapi.AllocationResult{}
	if g.note(was, bound); len(g.queued()) > 0 {
		t.Error("an allocation lets pods in")
	}
	if g.note(was, claim("mine", "me")); len(g.queued()) != 1 {
		t.Error("a claim that was given to the pod does not let it in")
	}
	anew := claim("mine", "me")
	anew.UID = "anew"
	if g.note(claim("mine", "me"), anew); len(g.queued()) != 1 {
		t.Error("a claim that was made anew does not let the pod in")
	}
	g.put(g.claims, anew)
	g.put(g.known, claim("mine", "me"))
	if g.let(klog.Background(), cache.NewObjectName("ml", "mine")) {
		t.Error("the tracker still has the old claim")
	}
}
