package claimgate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/utils/ptr"

	"plimsoll.dev/scheduler/internal/testkit"
)

// tracker knows the claims of a store.
type tracker struct {
	fwk.ResourceClaimTracker
	store cache.Store
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
	known     cache.Store
	activated map[string]int
}

func newGate(t testing.TB) *gate {
	known, activated := cache.NewStore(cache.MetaNamespaceKeyFunc), map[string]int{}
	g := &gate{TB: t, known: known, activated: activated, ClaimGate: &ClaimGate{
		handle: profile{activated: activated}, tracker: tracker{store: known}, held: newHeld(), created: newQueue(), start: func() {},
		claims: cache.NewStore(cache.MetaNamespaceKeyFunc), pods: cache.NewStore(cache.MetaNamespaceKeyFunc),
	}}
	t.Cleanup(g.created.ShutDown)
	return g
}

func (g *gate) put(store cache.Store, object any) {
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
		"by name, going":             {pod("me", "leaving"), "resource claim leaving cannot be used: it is being deleted"},
		"one of two":                 {both, "resource claim none"},
		"of a template, not made":    {pod("me", ""), "a resource claim made of template gpus"},
		"of a template, made":        {named("me", "mine"), ""},
		"of a template, not needed":  {named("me", ""), ""},
		"of a template, not heard":   {named("me", "unheard"), "resource claim unheard, which does not exist"},
		"of a template, another's":   {named("me", "other"), "resource claim other cannot be used: "},
		"neither name nor template ": {strange, "resource claim gpu cannot be used: "},
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

// arrive has a pod come to the queue, and tells whether it is held.
func (g *gate) arrive(pod *v1.Pod) bool {
	g.Helper()
	g.put(g.pods, pod)
	return !g.PreEnqueue(g.Context(), pod).IsSuccess()
}

func TestANewClaimLetsInThePodsThatWaitForIt(t *testing.T) {
	g := newGate(t)
	g.put(g.claims, claim("there", ""))
	g.put(g.known, claim("there", ""))
	tried := pod("tried", "there")
	tried.Spec.ResourceClaims = append(tried.Spec.ResourceClaims, v1.PodResourceClaim{Name: "more", ResourceClaimName: ptr.To("there")})
	for p, want := range map[*v1.Pod]bool{pod("a", "shared"): true, pod("b", "shared"): true, named("made", "made-gpu"): true, pod("unmade", ""): true, tried: false} {
		if held := g.arrive(p); held != want {
			t.Fatalf("pod %s is held: %v", p.Name, held)
		}
	}
	for _, c := range []*resourceapi.ResourceClaim{claim("shared", ""), claim("made-gpu", "made"), claim("of-nobody", ""), claim("there", "")} {
		g.put(g.claims, c)
		g.note(nil, c)
	}
	if got := g.queued(); !slices.Equal(got, []string{"made-gpu", "shared"}) {
		t.Fatalf("put down: %v", got)
	}
	shared := cache.NewObjectName("ml", "shared")
	if g.let(shared) || len(g.activated) > 0 {
		t.Fatalf("the tracker has not heard of the claim, and %v were activated", g.activated)
	}
	g.put(g.known, claim("shared", ""))
	if !g.let(shared) || !maps.Equal(g.activated, map[string]int{"a": 1, "b": 1}) {
		t.Errorf("activated: %v, want a and b", g.activated)
	}
	if !g.let(cache.NewObjectName("ml", "gone")) {
		t.Error("a claim that is gone is waited for")
	}
}

// heldUntilNow is a gate with a pod that it has held, and the pod's claim, which has come.
func heldUntilNow(t *testing.T) (*gate, *v1.Pod, *resourceapi.ResourceClaim) {
	t.Helper()
	g, p, c := newGate(t), pod("me", "shared"), claim("shared", "")
	if !g.arrive(p) {
		t.Fatal("the pod is not held")
	}
	g.put(g.claims, c)
	g.put(g.known, c)
	return g, p, c
}

// What has been let in is the queue's, with its back-off.
func TestAPodThatWasLetInIsNotActivatedAgain(t *testing.T) {
	g, p, c := heldUntilNow(t)
	if !g.let(cache.MetaObjectToName(c)) || g.activated["me"] != 1 || g.arrive(p) {
		t.Fatalf("activated: %v", g.activated)
	}
	anew := claim("shared", "")
	anew.UID = "anew"
	if g.note(c, anew); len(g.queued()) > 0 || !g.let(cache.MetaObjectToName(c)) || g.activated["me"] != 1 {
		t.Errorf("put down: %v, activated: %v", g.queued(), g.activated)
	}
}

// Plimsoll's own explain and simulate ask plugins what holds a pod, beside the queue.
func TestWhoAsksWhatHoldsAPodDoesNotKeepItOut(t *testing.T) {
	g, p, c := heldUntilNow(t)
	if status := g.PreEnqueue(t.Context(), p); !status.IsSuccess() {
		t.Fatal(status)
	}
	g.note(nil, c)
	if got := g.queued(); !slices.Equal(got, []string{"shared"}) || !g.let(cache.MetaObjectToName(c)) || g.activated["me"] != 1 {
		t.Errorf("put down: %v, activated: %v", got, g.activated)
	}
}

// The claim's event comes before the pod's status names it, and the tracker is late:
// no event is left to wait for.
func TestAPodIsNotLeftOutWhenOnlyTheTrackerIsLate(t *testing.T) {
	g := newGate(t)
	if !g.arrive(pod("me", "")) {
		t.Fatal("the pod is not held")
	}
	g.put(g.claims, claim("mine", "me"))
	g.note(nil, claim("mine", "me"))
	if got := g.queued(); len(got) > 0 {
		t.Fatalf("put down: %v, and no pod waits for it", got)
	}
	g.put(g.pods, named("me", "mine"))
	if hint, err := g.afterOwnChange(klog.Background(), pod("me", ""), nil, named("me", "mine")); hint != fwk.QueueSkip || err != nil {
		t.Fatal(hint, err)
	}
	if got := g.queued(); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("put down: %v, want the claim", got)
	}
}

// So it is if the tracker still has a claim of that name which the informer has not.
func TestAPodIsNotLeftOutWhenTheTrackerHasAnOlderClaim(t *testing.T) {
	for name, edit := range map[string]func(*resourceapi.ResourceClaim){
		"being deleted": func(c *resourceapi.ResourceClaim) { c.UID, c.DeletionTimestamp = "old", &metav1.Time{} },
		"another's":     func(c *resourceapi.ResourceClaim) { c.OwnerReferences = nil },
	} {
		g := newGate(t)
		old := claim("mine", "me")
		edit(old)
		g.put(g.known, old)
		g.put(g.claims, claim("mine", "me"))
		if !g.arrive(named("me", "mine")) {
			t.Fatalf("%s: the pod is not held", name)
		}
		mine := cache.NewObjectName("ml", "mine")
		if got := g.queued(); !slices.Equal(got, []string{"mine"}) || g.let(mine) {
			t.Fatalf("%s: put down: %v, activated: %v", name, got, g.activated)
		}
		g.put(g.known, claim("mine", "me"))
		if !g.let(mine) || g.activated["me"] != 1 {
			t.Errorf("%s: activated: %v", name, g.activated)
		}
	}
}

func TestWhatBecomesOfAClaimLaterIsForOthers(t *testing.T) {
	g := newGate(t)
	g.arrive(named("me", "mine"))
	was := claim("mine", "")
	bound := was.DeepCopy()
	bound.Finalizers = []string{resourceapi.Finalizer}
	bound.Status.Allocation = &resourceapi.AllocationResult{}
	bound.OwnerReferences = []metav1.OwnerReference{{Kind: "Other", UID: "no controller"}}
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
}

func TestPodsThatNeedNotWaitAreForgotten(t *testing.T) {
	elsewhere := pod("me", "none")
	elsewhere.Spec.NodeName = "gpu-01"
	for name, leave := range map[string]func(*gate){
		"deleted":           func(g *gate) { g.changed(pod("me", "none"), nil) },
		"deleted unseen":    func(g *gate) { g.changed(cache.DeletedFinalStateUnknown{Obj: pod("me", "none")}, nil) },
		"on a node":         func(g *gate) { g.changed(pod("me", "none"), elsewhere) },
		"on a node already": func(g *gate) { g.put(g.pods, elsewhere); g.PreEnqueue(g.Context(), pod("me", "none")) },
		"deleted meanwhile": func(g *gate) {
			g.pods = cache.NewStore(cache.MetaNamespaceKeyFunc)
			g.PreEnqueue(g.Context(), pod("me", "none"))
		},
	} {
		g := newGate(t)
		g.arrive(pod("me", "none"))
		g.arrive(pod("you", "none"))
		g.changed(pod("you", "none"), pod("you", "none"))
		if leave(g); len(g.held.claim) != 1 || len(g.held.pods) != 1 || !g.held.waits(cache.NewObjectName("ml", "none")) {
			t.Errorf("%s: held: %v", name, g.held.claim)
		}
		if g.held.remove("you"); len(g.held.claim)+len(g.held.pods) > 0 {
			t.Errorf("%s: left: %v, %v", name, g.held.claim, g.held.pods)
		}
	}
}

// While nobody watched, a pod was deleted and made anew: informers tell of a change, and
// the queue does not ask what the new one waits for.
func TestAPodThatWasMadeAnewIsJudged(t *testing.T) {
	anew := pod("me", "second")
	anew.UID = "anew"
	elsewhere := pod("me", "second")
	elsewhere.UID, elsewhere.Spec.SchedulerName = "anew", "default-scheduler"
	second := cache.NewObjectName("ml", "second")
	for _, old := range []*v1.Pod{pod("me", "first"), pod("me", "")} { // the latter waits for a template
		g := newGate(t)
		g.arrive(old)
		g.put(g.pods, anew)
		g.changed(old, anew)
		if g.activated["me"] != 1 || g.held.waits(cache.NewObjectName("ml", "first")) {
			t.Fatalf("activated: %v, held: %v", g.activated, g.held.claim)
		}
		// The queue asks again, and may still have the old one.
		if g.PreEnqueue(t.Context(), old).IsSuccess() || !g.held.waits(second) {
			t.Errorf("held: %v, want the new pod's claim", g.held.claim)
		}
		g.put(g.known, claim("second", ""))
		if status := g.PreEnqueue(t.Context(), old); !status.IsSuccess() {
			t.Error(status)
		}
	}
	g := newGate(t)
	if g.changed(pod("me", ""), elsewhere); len(g.activated) > 0 {
		t.Error("another profile's pod is activated")
	}
}

func TestAPodWaitsForOneClaimAfterTheOther(t *testing.T) {
	g := newGate(t)
	p := pod("me", "first")
	p.Spec.ResourceClaims = append(p.Spec.ResourceClaims, v1.PodResourceClaim{Name: "more", ResourceClaimName: ptr.To("second")})
	g.arrive(p)
	g.put(g.known, claim("first", ""))
	g.arrive(p)
	if first, second := g.held.waits(cache.NewObjectName("ml", "first")), g.held.waits(cache.NewObjectName("ml", "second")); first || !second {
		t.Errorf("waits for the first: %v, for the second: %v", first, second)
	}
}

// A claim of a pod outside of groups is no reason to look for the pod's group.
func TestAPodWithoutAGroupIsJudgedWhereGroupsHaveClaims(t *testing.T) {
	g := newGate(t)
	g.groups = true
	g.put(g.known, claim("other", "someone"))
	if !g.arrive(named("me", "other")) {
		t.Error("another's claim lets the pod in")
	}
}

// The tracker lags behind hundreds of claims at once: no common limit delays the last.
func TestABurstOfClaimsIsLetInAsSoonAsTheTrackerHasThem(t *testing.T) {
	const claims = 500
	g := newGate(t)
	let := make(chan string, claims)
	g.handle = announcer{let: let}
	for i := range claims {
		name := fmt.Sprintf("c-%03d", i)
		if g.arrive(pod(name, name)); !g.held.waits(cache.NewObjectName("ml", name)) {
			t.Fatal("the pod is not held")
		}
		g.put(g.claims, claim(name, ""))
		g.note(nil, claim(name, ""))
	}
	done := make(chan struct{})
	go func() { defer close(done); g.run() }()
	// All have been looked at in vain.
	testkit.Eventually(t, time.Minute, func() error {
		for i := range claims {
			if g.created.NumRequeues(cache.NewObjectName("ml", fmt.Sprintf("c-%03d", i))) == 0 {
				return fmt.Errorf("claim %d has not been looked at", i)
			}
		}
		return nil
	})
	for i := range claims {
		g.put(g.known, claim(fmt.Sprintf("c-%03d", i), ""))
	}
	// With a bucket of ten a second, as of controllers, this takes 40 seconds.
	deadline := time.After(20 * time.Second)
	for in := map[string]bool{}; len(in) < claims; {
		select {
		case name := <-let:
			in[name] = true
		case <-deadline:
			t.Fatalf("%d of %d pods were let in", len(in), claims)
		}
	}
	g.created.ShutDown()
	<-done
}

// announcer tells of the pods that are activated.
type announcer struct {
	fwk.Handle
	let chan<- string
}

func (a announcer) Activate(_ klog.Logger, pods map[string]*v1.Pod) {
	for _, pod := range pods {
		a.let <- pod.Name
	}
}
