// Package testkit reads and draws small clusters as text, for placement stories
// and tests: a line per node or pod, on top of upstream's own builders.
package testkit

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	st "k8s.io/kubernetes/pkg/scheduler/testing"
)

// SchedulerName is the profile that pods of a story use unless they say
// otherwise.
const SchedulerName = "plimsoll"

// Nodes reads one node per line:
//
//	eu-a-01  zone=eu-a arch=arm64 cpu=8 memory=32Gi nvidia.com/gpu=8 label:pool=gpu taint:spot=true:PreferNoSchedule image:web=200Mi
//
// A name may end in a range, such as eu-a-[01-03]. What is not region, zone, block,
// rack, arch, label, taint or image is allocatable; pods defaults to 110. Several
// labels that begin alike may be written label:nvidia.com/gpu.{memory=81559,count=8}.
func Nodes(text string) ([]*v1.Node, error) {
	var nodes []*v1.Node
	err := eachLine(text, func(names []string, fields []string) error {
		for _, name := range names {
			node, err := nodeOf(name, fields)
			if err != nil {
				return err
			}
			nodes = append(nodes, node)
		}
		return nil
	})
	return nodes, err
}

func nodeOf(name string, fields []string) (*v1.Node, error) {
	capacity := map[v1.ResourceName]string{v1.ResourcePods: "110"}
	b := st.MakeNode().Name(name).Label(v1.LabelHostname, name)
	images := map[string]int64{}
	var taints []v1.Taint
	for _, f := range fields {
		key, value, found := strings.Cut(f, "=")
		kind, rest, prefixed := strings.Cut(key, ":")
		switch {
		case !found:
			return nil, fmt.Errorf("node %s: %q: want key=value", name, f)
		case labelOfLevel(key) != "":
			b = b.Label(labelOfLevel(key), value)
		case key == "arch":
			b = b.Label(v1.LabelArchStable, value).Label(v1.LabelOSStable, "linux")
		case prefixed && kind == "label":
			b = b.Label(rest, value)
		case prefixed && kind == "taint":
			text, effect, _ := strings.Cut(value, ":")
			taints = append(taints, v1.Taint{Key: rest, Value: text, Effect: v1.TaintEffect(effect)})
		case prefixed && kind == "image":
			size, err := resource.ParseQuantity(value)
			if err != nil {
				return nil, fmt.Errorf("node %s: %q: %w", name, f, err)
			}
			images[rest] = size.Value()
		default:
			if _, err := resource.ParseQuantity(value); err != nil {
				return nil, fmt.Errorf("node %s: %q: %w", name, f, err)
			}
			capacity[v1.ResourceName(key)] = value
		}
	}
	node := b.Capacity(capacity).Taints(taints).Obj()
	for image, size := range images {
		node.Status.Images = append(node.Status.Images, v1.ContainerImage{Names: []string{image}, SizeBytes: size})
	}
	return node, nil
}

// Pods reads one pod per line:
//
//	web-1  cpu=1 memory=4Gi node=eu-a-01 owner=DaemonSet label:app=web annotation:plimsoll.dev/target-utilization=65
//
// A name may end in a range. What is not node, owner, revision, priority, gate, label,
// annotation, image, scheduler, phase, selector, tolerates, class, secret or prefers
// is a resource request; several images are several containers, class is a
// RuntimeClass and secret an image pull secret; prefers:KEY=VALUE@WEIGHT is
// a preferred node affinity (weight 10 if left out, several add up), near:KEY=VALUE a preferred affinity to pods of that
// label on one host. claim=WHAT is a claim of the pod's own, see Claims. owner is
// KIND/NAME, or a kind alone; revision is that of its ReplicaSet's template. Several
// annotations that begin alike may be written as labels of nodes are.
//
// A range of pods may go to a range of nodes, one to each, and each may ask for more
// than the one before:
//
//	load-[01-20] cpu=1+250m memory=4Gi node=eu-a-[01-20]
func Pods(text string) ([]*v1.Pod, error) {
	var pods []*v1.Pod
	err := eachLine(text, func(names []string, fields []string) error {
		for i, name := range names {
			own, err := fieldsOf(fields, i)
			if err != nil {
				return fmt.Errorf("pod %s: %w", name, err)
			}
			pod, err := podOf(name, own)
			if err != nil {
				return err
			}
			pods = append(pods, pod)
		}
		return nil
	})
	return pods, err
}

func podOf(name string, fields []string) (*v1.Pod, error) {
	b := st.MakePod().Namespace("default").Name(name).UID(name).SchedulerName(SchedulerName)
	requests := map[v1.ResourceName]string{}
	var images []string
	var err error
	for _, f := range fields {
		key, value, found := strings.Cut(f, "=")
		kind, rest, prefixed := strings.Cut(key, ":")
		switch {
		case !found:
			return nil, fmt.Errorf("pod %s: %q: want key=value", name, f)
		case plain(b.Obj(), key, value):
		case key == "priority":
			priority, err := strconv.ParseInt(value, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("pod %s: %q: %w", name, f, err)
			}
			b = b.Priority(int32(priority))
		case key == "image":
			images = append(images, value)
		case key == "claim":
			b = b.PodResourceClaims(v1.PodResourceClaim{Name: "gpu", ResourceClaimName: claimOf(name)})
		case prefixed && kind == "label":
			b = b.Label(rest, value)
		case prefixed && kind == "annotation":
			b = b.Annotation(rest, value)
		case prefixed && kind == "selector":
			b = b.NodeSelector(map[string]string{rest: value})
		case prefixed && kind == "tolerates":
			b = b.Toleration(rest)
		case prefixed && kind == "prefers":
			if b, err = prefer(b, rest, value); err != nil {
				return nil, fmt.Errorf("pod %s: %q: %w", name, f, err)
			}
		case prefixed && kind == "near":
			b = b.PodAffinityIn(rest, v1.LabelHostname, []string{value}, st.PodAffinityWithPreferredReq)
		default:
			if _, err := resource.ParseQuantity(value); err != nil {
				return nil, fmt.Errorf("pod %s: %q: %w", name, f, err)
			}
			requests[v1.ResourceName(key)] = value
		}
	}
	return finish(b, requests, images), nil
}

// plain sets the fields that take any value as it is; false for others.
func plain(pod *v1.Pod, key, value string) bool {
	switch key {
	case "node":
		pod.Spec.NodeName = value
	case "scheduler":
		pod.Spec.SchedulerName = value
	case "class":
		pod.Spec.RuntimeClassName = &value
	case "secret":
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, v1.LocalObjectReference{Name: value})
	case "revision":
		metav1.SetMetaDataLabel(&pod.ObjectMeta, appsv1.DefaultDeploymentUniqueLabelKey, value)
	case "gate":
		pod.Spec.SchedulingGates = append(pod.Spec.SchedulingGates, v1.PodSchedulingGate{Name: value})
	case "owner":
		pod.OwnerReferences = []metav1.OwnerReference{ownerOf(value)}
	case "phase":
		pod.Status.Phase = v1.PodPhase(value)
	default:
		return false
	}
	return true
}

func prefer(b *st.PodWrapper, label, text string) (*st.PodWrapper, error) {
	value, weightText, found := strings.Cut(text, "@")
	weight := int64(10)
	if found {
		var err error
		if weight, err = strconv.ParseInt(weightText, 10, 32); err != nil {
			return nil, err
		}
	}
	affinity := &v1.NodeAffinity{}
	if a := b.Obj().Spec.Affinity; a != nil && a.NodeAffinity != nil {
		affinity = a.NodeAffinity
	}
	affinity.PreferredDuringSchedulingIgnoredDuringExecution = append(affinity.PreferredDuringSchedulingIgnoredDuringExecution,
		v1.PreferredSchedulingTerm{Weight: int32(weight), Preference: v1.NodeSelectorTerm{
			MatchExpressions: []v1.NodeSelectorRequirement{{Key: label, Operator: v1.NodeSelectorOpIn, Values: []string{value}}},
		}})
	return b.NodeAffinity(affinity), nil
}

func finish(b *st.PodWrapper, requests map[v1.ResourceName]string, images []string) *v1.Pod {
	if len(images) == 0 {
		images = []string{"example.test/app:1"}
	}
	if len(requests) > 0 {
		b = b.Req(requests)
	} else {
		b = b.Container(images[0])
	}
	pod := b.Obj()
	for i, image := range images {
		if i >= len(pod.Spec.Containers) {
			pod.Spec.Containers = append(pod.Spec.Containers, v1.Container{Name: fmt.Sprintf("con%d", i)})
		}
		pod.Spec.Containers[i].Image = image
	}
	return pod
}

// eachLine splits text into lines of a name and fields; empty lines and those
// that begin with # are left out.
func eachLine(text string, do func(names []string, fields []string) error) error {
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		names, err := expand(words[0])
		if err == nil {
			err = do(names, unbrace(words[1:]))
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return nil
}

// expand turns eu-a-[01-03] into eu-a-01, eu-a-02 and eu-a-03.
func expand(name string) ([]string, error) {
	prefix, rest, found := strings.Cut(name, "[")
	if !found {
		return []string{name}, nil
	}
	from, to, found := strings.Cut(strings.TrimSuffix(rest, "]"), "-")
	low, err1 := strconv.Atoi(from)
	high, err2 := strconv.Atoi(to)
	if !found || err1 != nil || err2 != nil || low > high {
		return nil, fmt.Errorf("%q: want a range such as [01-12]", name)
	}
	var names []string
	for i := low; i <= high; i++ {
		names = append(names, fmt.Sprintf("%s%0*d", prefix, len(from), i))
	}
	return names, nil
}

// fieldsOf are the fields of the pod at this place of its range.
func fieldsOf(fields []string, at int) ([]string, error) {
	own := slices.Clone(fields)
	for i, f := range fields {
		key, value, _ := strings.Cut(f, "=")
		first, step, grows := strings.Cut(value, "+")
		switch {
		case key == "node":
			nodes, err := expand(value)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", f, err)
			}
			if len(nodes) > 1 && at >= len(nodes) {
				return nil, fmt.Errorf("%q: want as many nodes as pods", f)
			}
			own[i] = "node=" + nodes[min(at, len(nodes)-1)]
		case grows && !strings.Contains(key, ":"):
			amount, err1 := resource.ParseQuantity(first)
			more, err2 := resource.ParseQuantity(step)
			if err := errors.Join(err1, err2); err != nil {
				return nil, fmt.Errorf("%q: want an amount and what each pod adds, such as 1+250m: %w", f, err)
			}
			for range at {
				amount.Add(more)
			}
			own[i] = key + "=" + amount.String()
		}
	}
	return own, nil
}

// unbrace turns label:a.{x=1,y=2} into label:a.x=1 and label:a.y=2.
func unbrace(fields []string) []string {
	var out []string
	for _, f := range fields {
		prefix, list, found := strings.Cut(f, "{")
		inner, closed := strings.CutSuffix(list, "}")
		if !found || !closed {
			out = append(out, f)
			continue
		}
		for item := range strings.SplitSeq(inner, ",") {
			out = append(out, prefix+item)
		}
	}
	return out
}
