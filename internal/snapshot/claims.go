package snapshot

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/utils/ptr"
)

const (
	// longestBase is how much of a pod's and a claim's name a generated name keeps, in
	// bytes: an API server adds a suffix of six and takes 63.
	longestBase = 57
	claimKind   = "ResourceClaim"
)

// claimBook finds claims by their names and by whom they were made for.
type claimBook struct {
	templates map[key]*resourceapi.ResourceClaimTemplate
	claims    map[key]*resourceapi.ResourceClaim
	// made are claims by the pod that controls them and the name they have there.
	made  map[string]*resourceapi.ResourceClaim
	added []*resourceapi.ResourceClaim
}

// makeClaims makes the claims of pods that wait for theirs: those that name a
// template and have no claim yet.
func (s *Snapshot) makeClaims() {
	book := &claimBook{templates: map[key]*resourceapi.ResourceClaimTemplate{}, claims: map[key]*resourceapi.ResourceClaim{},
		made: map[string]*resourceapi.ResourceClaim{}}
	for _, template := range objectsOf[*resourceapi.ResourceClaimTemplate](s) {
		book.templates[key{namespace: template.Namespace, name: template.Name}] = template
	}
	for _, claim := range objectsOf[*resourceapi.ResourceClaim](s) {
		book.know(claim)
	}
	for _, pod := range s.Pods {
		if pod.Spec.NodeName != "" {
			continue // it has its claims
		}
		for i := range pod.Spec.ResourceClaims {
			book.give(pod, &pod.Spec.ResourceClaims[i])
		}
	}
	for _, claim := range book.added {
		s.Objects = append(s.Objects, claim)
	}
}

func (b *claimBook) know(claim *resourceapi.ResourceClaim) {
	b.claims[key{namespace: claim.Namespace, name: claim.Name}] = claim
	if owner := metav1.GetControllerOfNoCopy(claim); owner != nil {
		b.made[string(owner.UID)+"/"+claim.Annotations[resourceapi.PodResourceClaimAnnotation]] = claim
	}
}

// give makes the claim that the pod wants, unless it has it, and notes it there.
func (b *claimBook) give(pod *v1.Pod, wanted *v1.PodResourceClaim) {
	if wanted.ResourceClaimTemplateName == nil {
		return
	}
	name, _, err := resourceclaim.Name(pod, wanted)
	if err == nil && (name == nil || b.claims[key{namespace: pod.Namespace, name: *name}] != nil) || err != nil && !errors.Is(err, resourceclaim.ErrClaimNotFound) {
		return // it needs none, or it has one
	}
	claim := b.made[string(pod.UID)+"/"+wanted.Name]
	if claim == nil {
		template := b.templates[key{namespace: pod.Namespace, name: *wanted.ResourceClaimTemplateName}]
		if template == nil {
			return // Gaps tells
		}
		claim = b.make(pod, wanted.Name, template)
		b.know(claim)
		b.added = append(b.added, claim)
	}
	pod.Status.ResourceClaimStatuses = slices.DeleteFunc(pod.Status.ResourceClaimStatuses, func(s v1.PodResourceClaimStatus) bool { return s.Name == wanted.Name })
	pod.Status.ResourceClaimStatuses = append(pod.Status.ResourceClaimStatuses, v1.PodResourceClaimStatus{Name: wanted.Name, ResourceClaimName: &claim.Name})
}

// make returns the claim that the resource claim controller would make, with a name
// that is the same in every run.
func (b *claimBook) make(pod *v1.Pod, wanted string, template *resourceapi.ResourceClaimTemplate) *resourceapi.ResourceClaim {
	base := pod.Name + "-" + wanted
	if len(base) >= longestBase {
		keep := len(pod.Name) * (longestBase - 2) / (len(pod.Name) + len(wanted))
		base = pod.Name[:keep] + "-" + wanted[:longestBase-2-keep]
	}
	name := ""
	for round := 0; name == "" || b.claims[key{namespace: pod.Namespace, name: name}] != nil; round++ {
		sum := fnv.New32a()
		fmt.Fprint(sum, pod.Namespace, "/", pod.Name, "/", wanted, "/", round)
		name = strings.TrimSuffix(base, "-") + "-" + rand.SafeEncodeString(fmt.Sprintf("%05d", sum.Sum32()%100_000))
	}
	annotations := maps.Clone(template.Spec.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[resourceapi.PodResourceClaimAnnotation] = wanted
	claim := &resourceapi.ResourceClaim{
		TypeMeta: metav1.TypeMeta{APIVersion: resourceapi.SchemeGroupVersion.String(), Kind: claimKind},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: name, GenerateName: base + "-",
			Labels: maps.Clone(template.Spec.Labels), Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{ownedByPod(pod)},
		},
		Spec: *template.Spec.Spec.DeepCopy(),
	}
	claim.UID = stableUID(keyOf(claim))
	return claim
}

// ownedByPod is what the controllers that make a pod's claims write into them.
func ownedByPod(pod *v1.Pod) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}
}
