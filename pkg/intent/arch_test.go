package intent

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
)

func TestWhatAPodMayAskOfArchitectures(t *testing.T) {
	for value, want := range map[string]string{
		"arm64>amd64":       "arm64>amd64",
		"arm64":             "arm64",
		"arm64=80,amd64=20": "arm64=80,amd64=20",
	} {
		got, err := Parse(annotated(ArchPreference, value))
		if err != nil || got.Arch.Preference.String() != want {
			t.Errorf("%q: got %v, %v, want %s", value, got.Arch.Preference, err, want)
		}
	}
	for _, policy := range []ArchPolicy{ArchStrict, ArchPrefer, ArchOff} {
		got, err := Parse(annotated(ArchPolicyKey, string(policy)))
		if err != nil || got.Arch.Policy != policy {
			t.Errorf("%q: got %q, %v", policy, got.Arch.Policy, err)
		}
	}
}

func TestWhatAPodMayNotAskOfArchitectures(t *testing.T) {
	for key, values := range map[string][]string{
		ArchPreference: {"", "x86_64", "arm64 > amd64", "arm64>arm64", "arm64=80>amd64", "arm64=0", "arm64=101", "arm64=080", "arm64,", ">", "all", "arm64=80,amd64",
			strings.Repeat("arm64>", 10_000) + "amd64"},
		ArchPolicyKey: {"", "Strict", "open", "closed", "strict ", "strict,prefer"},
	} {
		for _, value := range values {
			got, err := Parse(annotated(key, value))
			var wrong *AnnotationError
			if !errors.As(err, &wrong) || wrong.Key != key || wrong.Value != value || !strings.HasPrefix(wrong.Want, "want ") {
				t.Errorf("%s=%.40q: error %v does not name both and what is right", key, value, err)
			}
			if !got.Arch.Preference.Empty() || got.Arch.Policy != "" {
				t.Errorf("%s=%.40q is refused but leaves %+v behind", key, value, got.Arch)
			}
		}
	}
}

func TestImagesAreThoseANodeMustPull(t *testing.T) {
	pod := &v1.Pod{Spec: v1.PodSpec{
		InitContainers: []v1.Container{{Image: "migrate:1"}, {Image: "web:1"}},
		Containers:     []v1.Container{{Image: "web:1"}, {Image: "proxy:2"}, {}},
		Volumes:        []v1.Volume{{VolumeSource: v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: "model:3"}}}, {Name: "none"}},
		EphemeralContainers: []v1.EphemeralContainer{
			{EphemeralContainerCommon: v1.EphemeralContainerCommon{Image: "debug:1"}}},
	}}
	want := []string{"migrate:1", "web:1", "proxy:2", "model:3"}
	if diff := cmp.Diff(want, Images(pod)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAnImageIsOnlyMountedIfNoContainerRunsIt(t *testing.T) {
	volume := func(reference string) v1.Volume {
		return v1.Volume{VolumeSource: v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: reference}}}
	}
	pod := &v1.Pod{Spec: v1.PodSpec{
		InitContainers: []v1.Container{{Image: "migrate:1"}},
		Containers:     []v1.Container{{Image: "web:1"}},
		Volumes:        []v1.Volume{volume("model:3"), volume("web:1"), volume("migrate:1"), volume(""), volume("model:3"), {Name: "none"}},
	}}
	if diff := cmp.Diff([]string{"model:3"}, Mounted(pod)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func in(key string, operator v1.NodeSelectorOperator, values ...string) v1.NodeSelectorRequirement {
	return v1.NodeSelectorRequirement{Key: key, Operator: operator, Values: values}
}

// requires is a pod with the terms as required node affinity, one of which must
// match.
func requires(terms ...[]v1.NodeSelectorRequirement) *v1.Pod {
	selector := &v1.NodeSelector{}
	for _, expressions := range terms {
		selector.NodeSelectorTerms = append(selector.NodeSelectorTerms, v1.NodeSelectorTerm{MatchExpressions: expressions})
	}
	return &v1.Pod{Spec: v1.PodSpec{Affinity: &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: selector}}}}
}

func TestWhatThePodItselfSaysOfArchitectures(t *testing.T) {
	type terms = []v1.NodeSelectorRequirement
	arm := in(v1.LabelArchStable, v1.NodeSelectorOpIn, "arm64")
	selects := func(labels map[string]string, pod *v1.Pod) *v1.Pod {
		pod.Spec.NodeSelector = labels
		return pod
	}
	for name, tc := range map[string]struct {
		pod          *v1.Pod
		stated, pins bool
		allows       string // of amd64, arm64, s390x
	}{
		"nothing":                       {&v1.Pod{}, false, false, "amd64 arm64 s390x"},
		"a zone":                        {selects(map[string]string{v1.LabelTopologyZone: "a"}, &v1.Pod{}), false, false, "amd64 arm64 s390x"},
		"a selector":                    {selects(map[string]string{v1.LabelArchStable: "arm64"}, &v1.Pod{}), true, true, "arm64"},
		"the deprecated label":          {selects(map[string]string{"beta.kubernetes.io/arch": "amd64"}, &v1.Pod{}), true, true, "amd64"},
		"an affinity":                   {requires(terms{arm}), true, true, "arm64"},
		"with a zone in the same term":  {requires(terms{in(v1.LabelTopologyZone, v1.NodeSelectorOpIn, "a"), arm}), true, true, "arm64"},
		"a term beside that says none":  {requires(terms{arm}, terms{in(v1.LabelTopologyZone, v1.NodeSelectorOpIn, "a")}), false, false, "amd64 arm64 s390x"},
		"several values":                {requires(terms{in(v1.LabelArchStable, v1.NodeSelectorOpIn, "arm64", "amd64")}), true, false, "amd64 arm64"},
		"several terms":                 {requires(terms{arm}, terms{in(v1.LabelArchStable, v1.NodeSelectorOpIn, "s390x")}), true, false, "arm64 s390x"},
		"not one":                       {requires(terms{in(v1.LabelArchStable, v1.NodeSelectorOpNotIn, "arm64")}), true, false, "amd64 s390x"},
		"that there is one":             {requires(terms{in(v1.LabelArchStable, v1.NodeSelectorOpExists)}), true, false, "amd64 arm64 s390x"},
		"selector and affinity agree":   {selects(map[string]string{v1.LabelArchStable: "arm64"}, requires(terms{in(v1.LabelArchStable, v1.NodeSelectorOpIn, "arm64", "amd64")})), true, true, "arm64"},
		"selector and affinity clash":   {selects(map[string]string{v1.LabelArchStable: "arm64"}, requires(terms{in(v1.LabelArchStable, v1.NodeSelectorOpIn, "amd64")})), true, false, ""},
		"an operator that is not one":   {requires(terms{in(v1.LabelArchStable, "Like", "arm")}), false, false, "amd64 arm64 s390x"},
		"a term that is empty, and one": {requires(terms{}, terms{arm}), true, true, "arm64"},
	} {
		t.Run(name, func(t *testing.T) {
			s := SelectArchitectures(tc.pod)
			var allows []string
			for _, a := range []string{"amd64", "arm64", "s390x"} {
				if s.Allows(a) {
					allows = append(allows, a)
				}
			}
			if s.Stated != tc.stated || s.Pinned() != tc.pins || strings.Join(allows, " ") != tc.allows {
				t.Errorf("got stated %v, pinned %v, allows %v", s.Stated, s.Pinned(), allows)
			}
		})
	}
}

func TestPodsThatNameTheirNode(t *testing.T) {
	named := v1.NodeSelectorTerm{MatchFields: []v1.NodeSelectorRequirement{in("metadata.name", v1.NodeSelectorOpIn, "eu-a-01")}}
	zone := v1.NodeSelectorTerm{MatchExpressions: []v1.NodeSelectorRequirement{in(v1.LabelTopologyZone, v1.NodeSelectorOpIn, "a")}}
	with := func(terms ...v1.NodeSelectorTerm) *v1.Pod {
		pod := requires()
		pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms = terms
		return pod
	}
	for name, tc := range map[string]struct {
		pod  *v1.Pod
		want bool
	}{
		"nothing":                  {&v1.Pod{}, false},
		"bound":                    {&v1.Pod{Spec: v1.PodSpec{NodeName: "eu-a-01"}}, true},
		"by its label":             {&v1.Pod{Spec: v1.PodSpec{NodeSelector: map[string]string{v1.LabelHostname: "eu-a-01"}}}, true},
		"as a DaemonSet's pod":     {with(named), true},
		"by a zone":                {with(zone), false},
		"one term of two names it": {with(named, zone), false},
		"no terms":                 {with(), false},
	} {
		if got := NamesNode(tc.pod); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func FuzzArch(f *testing.F) {
	for _, seed := range []string{"arm64>amd64", "arm64=80,amd64=20", "arm64", "=", ">"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if got, err := Parse(annotated(ArchPreference, value)); err == nil && got.Arch.Preference.String() != value {
			t.Errorf("%q is accepted as %v", value, got.Arch.Preference)
		}
	})
}
