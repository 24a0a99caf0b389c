package snapshot

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
)

// The kinds that pods wait for, in the order in which Gaps tells of them.
const (
	volumeClaimKind = "PersistentVolumeClaim"
	templateKind    = "ResourceClaimTemplate"
	classKind       = "DeviceClass"
)

// Gaps says, one line for each kind, how many pods that want a node name volume
// claims, device claims, templates of these or device classes that were not read:
// they wait in vain, perhaps only because a dump lacks the kind. It is asked when the
// cluster is complete, after Unbind and Add. Of a PriorityClass that was not read
// Notes tells already, where a pod would have its priority from it.
func (s *Snapshot) Gaps() []string {
	b := &gapBook{there: sets.New[key](), claims: map[key]*resourceapi.ResourceClaim{},
		pods: map[string]int{}, named: map[string]sets.Set[string]{}}
	for _, obj := range s.Objects {
		k := keyOf(obj)
		b.there.Insert(k)
		if claim, ok := obj.(*resourceapi.ResourceClaim); ok {
			b.claims[k] = claim
		}
	}
	for _, pod := range s.Pods {
		if pod.Spec.NodeName == "" {
			b.look(pod)
		}
	}
	var out []string
	for _, kind := range []string{volumeClaimKind, claimKind, templateKind, classKind} {
		if b.pods[kind] == 0 {
			continue
		}
		counted := fmt.Sprintf("%d pods name", b.pods[kind])
		if b.pods[kind] == 1 {
			counted = "1 pod names"
		}
		plural := kind + "s"
		if kind == classKind {
			plural = kind + "es"
		}
		out = append(out, fmt.Sprintf("%s %s that were not read, and will wait for them (%s)", counted, plural, some(sets.List(b.named[kind]))))
	}
	return out
}

// gapBook counts what pods name in vain.
type gapBook struct {
	there  sets.Set[key]
	claims map[key]*resourceapi.ResourceClaim
	// pods counts pods by the kind they miss an object of, and named has these objects.
	pods  map[string]int
	named map[string]sets.Set[string]
}

// look looks at what a pod names.
func (b *gapBook) look(pod *v1.Pod) {
	var volumes, claims, templates, classes []key
	for _, name := range volumeClaims(pod) { // nobody makes those of ephemeral volumes that a dump lacks
		volumes = append(volumes, keyFor(v1.GroupName, volumeClaimKind, pod.Namespace, name))
	}
	for i := range pod.Spec.ResourceClaims {
		ref := &pod.Spec.ResourceClaims[i]
		name, _, err := resourceclaim.Name(pod, ref)
		if err == nil && name == nil {
			continue // it was decided that the pod needs none
		}
		var claim *resourceapi.ResourceClaim
		if err == nil {
			claim = b.claims[keyFor(resourceapi.GroupName, claimKind, pod.Namespace, *name)]
		}
		switch {
		case claim != nil:
			classes = append(classes, classesOf(claim)...)
		case ref.ResourceClaimTemplateName != nil:
			templates = append(templates, keyFor(resourceapi.GroupName, templateKind, pod.Namespace, *ref.ResourceClaimTemplateName))
		case ref.ResourceClaimName != nil:
			claims = append(claims, keyFor(resourceapi.GroupName, claimKind, pod.Namespace, *ref.ResourceClaimName))
		}
	}
	for _, wanted := range [][]key{volumes, claims, templates, classes} {
		b.count(wanted)
	}
}

func keyFor(group, kind, namespace, name string) key {
	return key{schema.GroupKind{Group: group, Kind: kind}, namespace, name}
}

// classesOf lists the device classes that a claim names, if it is still to be
// allocated. A scheduler looks at all alternatives, and fails on each that is missing.
func classesOf(claim *resourceapi.ResourceClaim) []key {
	var out []key
	if claim.Status.Allocation != nil {
		return nil
	}
	for _, request := range claim.Spec.Devices.Requests {
		if request.Exactly != nil {
			out = append(out, keyFor(resourceapi.GroupName, classKind, "", request.Exactly.DeviceClassName))
		}
		for _, sub := range request.FirstAvailable {
			out = append(out, keyFor(resourceapi.GroupName, classKind, "", sub.DeviceClassName))
		}
	}
	return out
}

// count counts a pod once if it lacks any of these objects, which are of one kind.
func (b *gapBook) count(wanted []key) {
	missed := false
	for _, k := range wanted {
		if b.there.Has(k) {
			continue
		}
		name := k.name
		if k.namespace != "" {
			name = k.namespace + "/" + name
		}
		if b.named[k.Kind] == nil {
			b.named[k.Kind] = sets.New[string]()
		}
		b.named[k.Kind].Insert(name)
		if !missed {
			b.pods[k.Kind]++
		}
		missed = true
	}
}
