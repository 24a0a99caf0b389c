package intent

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func annotated(pairs ...string) *v1.Pod {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{}}}
	for i := 0; i < len(pairs); i += 2 {
		pod.Annotations[pairs[i]] = pairs[i+1]
	}
	return pod
}

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		pod  *v1.Pod
		want Intent
		errs []string
	}{
		"a pod without annotations":   {&v1.Pod{}, Intent{}, nil},
		"annotations of others":       {annotated("example.com/target-utilization", "eighty"), Intent{}, nil},
		"a subdomain is not ours":     {annotated("demo.plimsoll.dev/expect", "x"), Intent{}, nil},
		"the lowest target":           {annotated(TargetUtilization, "1"), Intent{TargetPercent: 1}, nil},
		"the highest target":          {annotated(TargetUtilization, "100"), Intent{TargetPercent: 100}, nil},
		"a target of nothing":         {annotated(TargetUtilization, "0"), Intent{}, []string{`"0" is not valid: want a whole number of percent from 1 to 100`}},
		"a target past the brim":      {annotated(TargetUtilization, "101"), Intent{}, []string{`"101" is not valid`}},
		"a word":                      {annotated(TargetUtilization, "eighty"), Intent{}, []string{`"eighty" is not valid`}},
		"an empty value":              {annotated(TargetUtilization, ""), Intent{}, []string{`"" is not valid`}},
		"a leading zero":              {annotated(TargetUtilization, "080"), Intent{}, []string{`"080" is not valid`}},
		"more than an int64":          {annotated(TargetUtilization, "99999999999999999999"), Intent{}, []string{"is not valid"}},
		"a key nobody knows":          {annotated(Prefix+"target", "80"), Intent{}, []string{`knows only plimsoll.dev/target-utilization`}},
		"all that is wrong, in order": {annotated(TargetUtilization, "-1", Prefix+"a", "b"), Intent{}, []string{`plimsoll.dev/a: "b"`, `plimsoll.dev/target-utilization: "-1"`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(tc.pod)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if (err != nil) != (len(tc.errs) > 0) {
				t.Fatalf("error %v, want %v", err, tc.errs)
			}
			at := 0
			for _, want := range tc.errs {
				i := strings.Index(err.Error()[at:], want)
				if i < 0 {
					t.Fatalf("error %q does not say %q after byte %d", err, want, at)
				}
				at += i
			}
		})
	}
}

func TestExamplesOfAnnotationsAreValid(t *testing.T) {
	for _, a := range Annotations() {
		pod := annotated(a.Key, a.Example)
		for _, other := range Annotations() {
			if other.Key == a.Needs {
				pod.Annotations[other.Key] = other.Example
			}
		}
		if _, err := Parse(pod); err != nil {
			t.Errorf("%s: its own example is refused: %v", a.Key, err)
		}
		if a.Doc == "" || !strings.HasPrefix(a.Key, Prefix) || !strings.HasPrefix(a.Forms, "want ") {
			t.Errorf("%s: want a documented key under %s whose forms begin with want", a.Key, Prefix)
		}
	}
}

func TestChangedSeesOursOnly(t *testing.T) {
	for name, tc := range map[string]struct {
		before, after *v1.Pod
		want          bool
	}{
		"nothing":            {annotated(TargetUtilization, "80"), annotated(TargetUtilization, "80"), false},
		"another's":          {annotated("a/b", "1"), annotated("a/b", "2"), false},
		"a value":            {annotated(TargetUtilization, "80"), annotated(TargetUtilization, "81"), true},
		"one more":           {annotated(), annotated(TargetUtilization, ""), true},
		"one less":           {annotated(TargetUtilization, ""), annotated(), true},
		"another key, equal": {annotated(Prefix+"a", "1"), annotated(Prefix+"b", "1"), true},
	} {
		if got := Changed(tc.before, tc.after); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func TestNodeAgents(t *testing.T) {
	yes := true
	owned := func(kind string, controller *bool) *v1.Pod {
		return &v1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: kind, Controller: controller}}}}
	}
	for name, tc := range map[string]struct {
		pod  *v1.Pod
		want bool
	}{
		"a DaemonSet's pod":          {owned("DaemonSet", &yes), true},
		"a static pod by its mirror": {annotated(v1.MirrorPodAnnotationKey, "hash"), true},
		"a static pod by its owner":  {owned("Node", &yes), true},
		"a ReplicaSet's pod":         {owned("ReplicaSet", &yes), false},
		"owned but not controlled":   {owned("DaemonSet", nil), false},
		"a pod on its own":           {&v1.Pod{}, false},
	} {
		if got := IsNodeAgent(tc.pod); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("target-utilization", "80")
	f.Add("target-utilization", "\x00")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, key, value string) {
		got, err := Parse(annotated(Prefix+key, value))
		if key == "target-utilization" && err == nil && (got.TargetPercent < 1 || got.TargetPercent > 100) {
			t.Errorf("%q=%q is accepted as %+v", key, value, got)
		}
		var wrong *AnnotationError
		if err != nil && (!errors.As(err, &wrong) || wrong.Key != Prefix+key || wrong.Value != value || wrong.Want == "") {
			t.Errorf("%q=%q: error %v does not name them and what is right", key, value, err)
		}
	})
}
