package simulate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	resourcev1beta2 "k8s.io/api/resource/v1beta2"
	schedulingv1alpha2 "k8s.io/api/scheduling/v1alpha2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"

	"plimsoll.dev/scheduler/internal/replay"
	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/internal/snapshot"
	"plimsoll.dev/scheduler/manifests"
	"plimsoll.dev/scheduler/pkg/plugins/binpack"
)

// The schedulers that can be simulated.
const (
	Plimsoll = "plimsoll"
	Default  = "default"
	Both     = "both"
)

// contestant is a scheduler to simulate.
type contestant struct {
	name string
	yaml []byte
	cfg  *config.KubeSchedulerConfiguration
}

// contestants are those to simulate, in the order in which they run. Plimsoll runs
// under the given configuration, empty for the shipped one; the default scheduler
// looks at every node, as Plimsoll does: otherwise chance would decide which nodes of
// a large cluster it sees.
func contestants(which string, given []byte) ([]contestant, error) {
	ours, theirs := contestant{name: Plimsoll, yaml: given}, contestant{name: Default, yaml: replay.Default().Config}
	if len(given) == 0 {
		ours.yaml = manifests.SchedulerConfig
	}
	var out []contestant
	switch which {
	case Plimsoll:
		out = []contestant{ours}
	case Default:
		out = []contestant{theirs}
	case Both:
		out = []contestant{ours, theirs}
	default:
		return nil, fmt.Errorf("scheduler %q: want one of %s, %s, %s", which, Plimsoll, Default, Both)
	}
	for i := range out {
		var err error
		if out[i].cfg, err = schedconfig.Decode(out[i].yaml); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// targets are the lines to which a contestant fills nodes, nil if it has none.
func (c *contestant) targets() (func(*v1.Node) float64, error) {
	args, err := packing(&c.cfg.Profiles[0])
	switch {
	case err != nil:
		return nil, err
	case args != nil:
		return binpack.Targets(*args), nil
	case c.name == Plimsoll:
		return binpack.Targets(binpack.DefaultArgs()), nil
	}
	return nil, nil
}

// packing are the arguments of BinPack that a profile gives, nil if it gives none.
func packing(profile *config.KubeSchedulerProfile) (*binpack.Args, error) {
	for _, given := range profile.PluginConfig {
		if given.Name == binpack.Name {
			args, err := binpack.DecodeArgs(given.Args)
			return &args, err
		}
	}
	return nil, nil
}

// unmeasured says, a line each, which profiles would judge nodes by what they really
// use: a copy of a cluster uses nothing.
func (c *contestant) unmeasured() ([]string, error) {
	var out []string
	for i := range c.cfg.Profiles {
		args, err := packing(&c.cfg.Profiles[i])
		if err != nil {
			return nil, err
		}
		if args != nil && args.MeasuredUsage != nil {
			out = append(out, fmt.Sprintf("measured usage is not simulated: profile %s judges nodes by requests alone", c.cfg.Profiles[i].SchedulerName))
		}
	}
	return out, nil
}

// input is what is simulated.
type input struct {
	nodes   []*v1.Node
	objects []runtime.Object
	bound   []*v1.Pod
	// queue are the pods to schedule, in the order in which they come.
	queue []*v1.Pod
	// podGroups are those of scheduler-plugins.
	podGroups []*v1alpha1.PodGroup
	notes     []string
}

// prepare sorts a snapshot's pods into those that have a place and those that want
// one. Pods of other schedulers are left alone.
func prepare(s *snapshot.Snapshot, ours *config.KubeSchedulerConfiguration) (*input, error) {
	in := &input{notes: slices.Clone(s.Notes)}
	rules, groups := 0, 0
	for _, object := range s.Objects {
		switch o := object.(type) {
		case *v1.Node:
			in.nodes = append(in.nodes, o)
		case *unstructured.Unstructured:
			group := &v1alpha1.PodGroup{} // the only custom kind that is read
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, group); err != nil {
				return nil, fmt.Errorf("PodGroup %s/%s: %w", o.GetNamespace(), o.GetName(), err)
			}
			in.podGroups = append(in.podGroups, group)
			continue
		case *resourcev1beta2.DeviceTaintRule:
			if off(features.DRADeviceTaintRules) {
				rules++
				continue
			}
		case *schedulingv1alpha2.PodGroup:
			if off(features.GenericWorkload) {
				groups++
				continue
			}
		}
		in.objects = append(in.objects, object)
	}
	if len(in.nodes) == 0 {
		return nil, errors.New("there are no nodes: want at least one among what is read")
	}
	in.note(rules, "1 DeviceTaintRule is not taken into account: feature gate DRADeviceTaintRules is off, as by default",
		"%d DeviceTaintRules are not taken into account: feature gate DRADeviceTaintRules is off, as by default")
	in.note(groups, "1 PodGroup of scheduling.k8s.io is not taken into account: feature gate GenericWorkload is off, as by default",
		"%d PodGroups of scheduling.k8s.io are not taken into account: feature gate GenericWorkload is off, as by default")
	names := map[string]bool{v1.DefaultSchedulerName: true}
	for i := range ours.Profiles {
		names[ours.Profiles[i].SchedulerName] = true
	}
	others := 0
	for _, pod := range s.Pods {
		switch {
		case pod.Spec.NodeName != "":
			in.bound = append(in.bound, pod)
		case !names[pod.Spec.SchedulerName]:
			others++
		default:
			in.queue = append(in.queue, pod)
		}
	}
	in.note(others, "1 pod waits for another scheduler and is left alone", "%d pods wait for other schedulers and are left alone")
	var err error
	if in.objects, err = bindImmediate(in.objects); err != nil {
		return nil, err
	}
	slices.SortStableFunc(in.queue, func(a, b *v1.Pod) int {
		return cmp.Compare(corev1helpers.PodPriority(b), corev1helpers.PodPriority(a))
	})
	in.note(imagesOf(in.queue), "registries were not asked: 1 image is taken to run on every architecture that the cluster has",
		"registries were not asked: %d images are taken to run on every architecture that the cluster has")
	return in, nil
}

// off tells of a feature without which schedulers do not look at a kind of objects.
func off(gate featuregate.Feature) bool { return !utilfeature.DefaultFeatureGate.Enabled(gate) }

// cluster is what an engine begins with.
func (in *input) cluster() *Cluster {
	expected := sets.New[types.UID]()
	for _, pod := range in.queue {
		expected.Insert(pod.UID)
	}
	return &Cluster{Objects: in.objects, Bound: in.bound, Expected: expected, PodGroups: in.podGroups}
}

// note adds a line if there is something to count.
func (in *input) note(count int, one, many string) {
	switch {
	case count == 1:
		in.notes = append(in.notes, one)
	case count > 1:
		in.notes = append(in.notes, fmt.Sprintf(many, count))
	}
}

// imagesOf counts the images of pods.
func imagesOf(pods []*v1.Pod) int {
	images := map[string]bool{}
	for _, pod := range pods {
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			images[c.Image] = true
		}
	}
	return len(images)
}

// addressed are copies of pods that name a profile of the contestant: the one they
// name if it has it, else its first.
func (c *contestant) addressed(pods []*v1.Pod) []*v1.Pod {
	out := make([]*v1.Pod, len(pods))
	for i, pod := range pods {
		out[i] = pod.DeepCopy()
		out[i].Status.NominatedNodeName = "" // it will be tried anyway
		if !slices.ContainsFunc(c.cfg.Profiles, func(p config.KubeSchedulerProfile) bool { return p.SchedulerName == pod.Spec.SchedulerName }) {
			out[i].Spec.SchedulerName = c.cfg.Profiles[0].SchedulerName
		}
	}
	return out
}
