package archaware

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/images"
	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// request is what a cycle knows of its pod: a judgement for every kind of
// platform (pkg/inventory). It never changes once PreFilter has made it.
type request struct {
	pod     arch.Pod
	asked   intent.Arch
	judged  []judgement
	present []bool // by kind: the cluster has such nodes
	filters bool   // some node may be refused
	scores  bool   // kinds that are not refused differ in score
	// leans: what is assumed of images is a preference only, since it cannot be
	// told which nodes can hold the pod.
	leans bool
	// choice: the cluster has several architectures, so that it matters what
	// decided.
	choice bool
	// ownAffinity: the pod's own affinity prefers architectures.
	ownAffinity bool
	// places are those that scarcity gave the architectures; nil if it had no say.
	places *places
}

// Clone implements fwk.StateData.
func (r *request) Clone() fwk.StateData { return r }

// judgement is what is said of one kind of platform.
type judgement struct {
	arch.Verdict
	// refusal is empty if nodes of the kind can take the pod.
	refusal string
	// against: the pod's own selector overrules its images.
	against bool
	score   int64
}

// exempt tells whether a pod is none of our business: one that comes with its
// node or names it, or that opts out.
func exempt(pod *v1.Pod, asked *intent.Intent) bool {
	return intent.IsNodeAgent(pod) || intent.NamesNode(pod) ||
		asked.Arch.Policy == intent.ArchOff && asked.Arch.Preference.Empty()
}

// insists tells whether the pod waits until its images are known.
func (p *ArchAware) insists(asked *intent.Intent) bool {
	return asked.Arch.Policy == intent.ArchStrict || p.closed && asked.Arch.Policy == intent.ArchDefault
}

// asker is who asks for the pod's images.
func asker(pod *v1.Pod) images.Asker {
	return images.Asker{Namespace: pod.Namespace, PullSecrets: intent.PullSecrets(pod)}
}

// inspect has all images of the pod inspected that have to be. It returns one
// that the pod has to wait for, empty if none.
func (p *ArchAware) inspect(pod *v1.Pod, asked *intent.Intent) (waiting string) {
	if asked.Arch.Policy == intent.ArchOff {
		return ""
	}
	selection := intent.SelectArchitectures(pod)
	if selection.Pinned() {
		return "" // it goes there whatever its images are
	}
	who := asker(pod)
	for _, image := range intent.Images(pod) {
		answer := p.images.Want(who, image)
		countLookup(p.handle.ProfileName(), &answer)
		if answer.State == images.Waiting && waiting == "" {
			waiting = image
		}
	}
	if asked.Arch.Policy == intent.ArchPrefer {
		return ""
	}
	return waiting
}

func held(image string) verdict.Reason {
	return verdict.Say(verdict.ImageHeld, "image", verdict.Quote(image))
}

// read makes the request of a pod, or says why the pod as a whole has to wait.
func (p *ArchAware) read(pod *v1.Pod, asked *intent.Intent, nodes []fwk.NodeInfo) (*request, []string) {
	r := &request{asked: asked.Arch, pod: arch.Pod{
		Preference: asked.Arch.Preference, OS: intent.OS(pod), Closed: p.insists(asked), Beside: p.classes[intent.RuntimeClass(pod)],
	}}
	selection := intent.SelectArchitectures(pod)
	var refused []string
	if asked.Arch.Policy != intent.ArchOff {
		refused = p.readImages(r, pod, &selection)
	}
	if len(refused) > 0 {
		return nil, refused
	}
	p.parked.letGo(pod)
	census := p.platforms.CensusOf(nodes)
	if selection.Stated && len(r.pod.Images) > 0 {
		census = p.platforms.Count(nodes) // what wins must be there
	}
	known := p.hosts.all()
	if r.unknown() != nil && !r.pod.Closed {
		p.assume(r, pod, nodes)
	}
	if r.pod.Failed() {
		r.pod.Doubt(p.admitting(pod, nodes))
	}
	r.judged = make([]judgement, len(known))
	for kind, host := range known {
		r.judged[kind] = p.judge(r, host)
	}
	r.letSelectionWin(&selection, census, known)
	r.choice, r.ownAffinity = severalArchitectures(census, known), selection.Prefers
	p.rank(r, pod, nodes, census, known, &selection)
	r.summarize(census)
	return r, nil
}

// readImages looks all images up. What it returns keeps the pod from being
// scheduled. Only an image of which nothing is known holds the pod here: that puts
// it at the end of the queue and takes its nomination away.
func (p *ArchAware) readImages(r *request, pod *v1.Pod, selection *intent.Selection) (refused []string) {
	who, pinned := asker(pod), selection.Pinned()
	for _, name := range intent.Images(pod) {
		ask := p.images.Want
		if pinned {
			ask = p.images.Lookup
		}
		answer := ask(who, name)
		image := imageOf(pod, name, &answer)
		switch {
		case pinned && !image.Known && !image.Anywhere:
			continue // nobody asked for it, and it would change nothing
		case pinned || r.asked.Policy == intent.ArchPrefer:
		case image.Known || image.Anywhere: // if that is old, Want has it renewed
		case answer.State == images.Waiting && p.parked.add(pod):
			refused = append(refused, held(name).Message)
		case r.pod.Closed && image.Proven.Len() == 0:
			refused = append(refused, verdict.Say(verdict.ImageUnknown, "image", verdict.Quote(name), "why", image.Why).Message)
		}
		r.pod.Images = append(r.pod.Images, image)
	}
	return refused
}

// imageOf translates an answer for the model. What the pod only mounts need not
// run.
func imageOf(pod *v1.Pod, name string, answer *images.Answer) arch.Image {
	image := arch.Image{Name: name, Proven: answer.Proven, Disproved: answer.Disproved, Why: answer.Message}
	switch {
	case answer.Anywhere, answer.Mountable && slices.Contains(intent.Mounted(pod), name):
		image.Anywhere = true
	case !answer.Platforms.Empty(): // if no more than what it was known for before
		image.Known, image.Platforms = true, answer.Platforms
	case image.Why == "":
		image.Why = "not inspected yet"
	}
	return image
}

// judge says whether nodes of the host's platform can take the pod.
func (p *ArchAware) judge(r *request, host *arch.Host) judgement {
	j := judgement{Verdict: r.pod.Judge(host)}
	leans := j.Cause == arch.NotAssumed && r.leans || j.Cause.OfImages() && r.asked.Policy == intent.ArchPrefer
	if j.Cause == arch.Fine || leans {
		return j // preferred against by its score only
	}
	j.refusal = r.why(j.Verdict, host.Platform()).Message
	return j
}

// why puts a refusal into words.
func (r *request) why(v arch.Verdict, platform arch.Platform) verdict.Reason {
	var image arch.Image
	if v.Image >= 0 {
		image = r.pod.Images[v.Image]
	}
	name := verdict.Quote(image.Name)
	switch v.Cause {
	case arch.Untold:
		return verdict.Say(verdict.ArchUntold)
	case arch.OtherOS:
		return verdict.Say(verdict.OSNotStated, "platform", platform, "os", r.pod.OS)
	case arch.NotListed:
		return verdict.Say(verdict.ArchNotListed, "platform", platform, "listed", r.pod.Preference)
	case arch.FailsOn:
		return verdict.Say(verdict.ImageFailsOn, "platform", platform, "image", name)
	case arch.NotAssumed:
		return verdict.Say(verdict.ImageAssumed, "platform", platform, "image", name, "why", image.Why, "platforms", r.pod.Assumed.Union(image.Proven))
	case arch.Unproven:
		return verdict.Say(verdict.ImageUnproven, "platform", platform, "image", name, "why", image.Why, "platforms", image.Proven)
	}
	return verdict.Say(verdict.ImageLacksPlatform, "platform", platform, "image", name, "platforms", image.Platforms)
}

// letSelectionWin lifts what images have against the platforms that the pod
// itself selects, if they have something against all of them.
func (r *request) letSelectionWin(selection *intent.Selection, census *inventory.PlatformCensus, known []*arch.Host) {
	if !selection.Stated {
		return
	}
	var selected []int
	for kind, host := range known {
		if !census.Present(kind) || !selection.Allows(host.Platform().Architecture) {
			continue
		}
		if j := r.judged[kind]; !j.Cause.OfImages() {
			if j.Cause == arch.Fine {
				return // something is left to choose
			}
			continue
		}
		selected = append(selected, kind)
	}
	for _, kind := range selected {
		r.judged[kind].refusal, r.judged[kind].against = "", true
	}
}

// severalArchitectures tells whether the cluster has more than one.
func severalArchitectures(census *inventory.PlatformCensus, known []*arch.Host) bool {
	first := ""
	for kind, host := range known {
		name := host.Platform().Architecture
		if name == "" || !census.Present(kind) {
			continue
		}
		if first != "" && first != name {
			return true
		}
		first = name
	}
	return false
}

// summarize tells whether Filter and Score have anything to do. Filter is left out
// only if no platform whatever could be refused: the census of nodes may be some
// moments behind the snapshot.
func (r *request) summarize(census *inventory.PlatformCensus) {
	r.filters = len(r.pod.Images) > 0 || !r.pod.Preference.Empty() || r.pod.OS != "" || census.Tainted > 0
	r.present = make([]bool, len(r.judged))
	best := int64(-1)
	for kind := range r.judged {
		r.present[kind] = census.Present(kind)
		if j := &r.judged[kind]; r.present[kind] && j.refusal == "" {
			r.scores = r.scores || best >= 0 && best != j.score
			best = j.score
		}
	}
}

// verdict looks the node's judgement up. A node that came since PreFilter may be
// of a new kind.
func (p *ArchAware) verdict(r *request, node *v1.Node) *judgement {
	if kind := p.platforms.Kind(node); kind < len(r.judged) {
		return &r.judged[kind]
	}
	j := p.judge(r, p.hosts.of(node))
	return &j
}

// taintBlocks names the taint that keeps a pod from an architecture which it
// could use. TaintToleration would refuse the node as well, without saying which
// toleration is missing.
func (p *ArchAware) taintBlocks(pod *v1.Pod, node *v1.Node) (verdict.Reason, bool) {
	taint := inventory.ArchTaint(node)
	if taint == nil || corev1.TolerationsTolerateTaint(klog.Background(), pod.Spec.Tolerations, taint, p.operators) {
		return verdict.Reason{}, false
	}
	return verdict.Say(verdict.ArchTaintBlocks, "platform", inventory.PlatformOf(node),
		"taint", fmt.Sprintf("%s=%s:%s", taint.Key, strings.TrimSpace(taint.Value), taint.Effect)), true
}
