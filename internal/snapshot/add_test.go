package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/component-helpers/storage/ephemeral"
)

// base has two nodes, one of them tainted, and a Deployment's pod.
const base = `
{apiVersion: v1, kind: Node, metadata: {name: a, labels: {disk: ssd}}}
---
{apiVersion: v1, kind: Node, metadata: {name: b}, spec: {taints: [{key: gpu, effect: NoSchedule}]}}
---
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: std, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}, provisioner: p.example}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: old-1, namespace: shop, uid: u1, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: old, uid: u0, controller: true}]}
spec: {replicas: 1, selector: {matchLabels: {app: old}}, template: {metadata: {labels: {app: old}}, spec: {containers: [{name: c, image: i}]}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: old-1-x, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: old-1, uid: u1, controller: true}]}, spec: {nodeName: a, containers: [{name: c, image: i}]}}
`

// workload is one with the pods of an app.
func workload(apiVersion, kind, name, more string) string {
	return fmt.Sprintf(`{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: shop}, spec: {%s selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %s}}, spec: {containers: [{name: c, image: i, resources: {limits: {cpu: 1}}}]}}}}`,
		apiVersion, kind, name, more, name, name)
}

func TestWorkloadsBecomeThePodsOfTheirControllers(t *testing.T) {
	job := func(more string) string {
		return `{metadata: {name: j, namespace: shop}, spec: {` + more + ` template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}`
	}
	for name, tc := range map[string]struct {
		input string
		want  []string // what there is more, less the hash of a template
	}{
		"a Deployment":                        {workload("apps/v1", "Deployment", "web", "replicas: 2,"), []string{"ReplicaSet shop/web-HASH", "Pod shop/web-HASH-0", "Pod shop/web-HASH-1"}},
		"a Deployment of none":                {workload("apps/v1", "Deployment", "web", "replicas: 0,"), []string{"ReplicaSet shop/web-HASH"}},
		"a ReplicaSet":                        {workload("apps/v1", "ReplicaSet", "web", ""), []string{"ReplicaSet shop/web", "Pod shop/web-0"}},
		"a StatefulSet":                       {workload("apps/v1", "StatefulSet", "db", "serviceName: db, replicas: 2, ordinals: {start: 3}, volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}],"), []string{"PersistentVolumeClaim shop/data-db-3", "PersistentVolumeClaim shop/data-db-4", "StatefulSet shop/db", "Pod shop/db-3", "Pod shop/db-4"}},
		"a DaemonSet":                         {workload("apps/v1", "DaemonSet", "agent", ""), []string{"Pod shop/agent-a"}},
		"a Job":                               {strings.Replace(job("parallelism: 3, completions: 2,"), "{", "{apiVersion: batch/v1, kind: Job, ", 1), []string{"Job shop/j", "Pod shop/j-0", "Pod shop/j-1"}},
		"a Job that is held":                  {strings.Replace(job("suspend: true,"), "{", "{apiVersion: batch/v1, kind: Job, ", 1), []string{"Job shop/j"}},
		"a CronJob":                           {`{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly, namespace: shop}, spec: {schedule: "0 1 * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}}}`, []string{"Job shop/nightly-0", "Pod shop/nightly-0-0"}},
		"a ReplicationControler":              {`{apiVersion: v1, kind: ReplicationController, metadata: {name: rc, namespace: shop}, spec: {selector: {app: rc}, template: {metadata: {labels: {app: rc}}, spec: {containers: [{name: c, image: i}]}}}}`, []string{"ReplicationController shop/rc", "Pod shop/rc-0"}},
		"a node, and a DaemonSet's pod on it": {workload("apps/v1", "DaemonSet", "agent", "") + "\n---\n{apiVersion: v1, kind: Node, metadata: {name: c}}", []string{"Node c", "Pod shop/agent-a", "Pod shop/agent-c"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustRead(t, base)
			before := names(s)
			if err := s.Add(mustReadWhatIf(t, tc.input)); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, name := range names(s) {
				if !slices.Contains(before, name) {
					got = append(got, name)
				}
			}
			for _, set := range objectsOf[*appsv1.ReplicaSet](s) {
				if hash := set.Labels[appsv1.DefaultDeploymentUniqueLabelKey]; hash != "" {
					for i := range got {
						got[i] = strings.Replace(got[i], hash, "HASH", 1)
					}
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, pod := range s.Pods[1:] {
				owner := metav1.GetControllerOf(pod)
				if owner == nil || owner.UID == "" || pod.UID == "" || pod.Spec.Priority == nil || pod.Spec.SchedulerName == "" || pod.Status.QOSClass == "" {
					t.Errorf("%s is incomplete: owner %v, UID %q, %+v", pod.Name, owner, pod.UID, pod.Spec)
				}
			}
		})
	}
}

func TestPodsOfWorkloadsAreLikeTheRealOnes(t *testing.T) {
	s := mustRead(t, base)
	if err := s.Add(mustReadWhatIf(t, strings.Join([]string{
		workload("apps/v1", "Deployment", "web", "replicas: 4,"),
		workload("apps/v1", "StatefulSet", "db", "serviceName: db, volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}],"),
		workload("apps/v1", "DaemonSet", "agent", ""),
	}, "\n---\n"))); err != nil {
		t.Fatal(err)
	}
	set := objectsOf[*appsv1.ReplicaSet](s)[1]
	if got := set.Annotations["deployment.kubernetes.io/desired-replicas"]; got != "4" || *set.Spec.Replicas != 4 {
		t.Errorf("ReplicaSet of %d, desired %q", *set.Spec.Replicas, got)
	}
	pods := map[string]*v1.Pod{}
	for _, pod := range s.Pods {
		pods[strings.TrimRight(strings.ReplaceAll(pod.Name, set.Labels[appsv1.DefaultDeploymentUniqueLabelKey], ""), "0123456789")] = pod
	}
	if web := pods["web--"]; web == nil || metav1.GetControllerOf(web).UID != set.UID || web.Spec.Containers[0].Resources.Requests.Cpu().String() != "1" {
		t.Errorf("pod of the Deployment: %+v", web)
	}
	db := pods["db-"]
	if db == nil || db.Spec.Hostname != "db-0" || db.Labels["apps.kubernetes.io/pod-index"] != "0" || db.Spec.Volumes[0].PersistentVolumeClaim.ClaimName != "data-db-0" {
		t.Errorf("pod of the StatefulSet: %+v", db)
	}
	if claim := objectsOf[*v1.PersistentVolumeClaim](s)[0]; *claim.Spec.StorageClassName != "std" || claim.Labels["app"] != "db" || claim.UID == "" {
		t.Errorf("volume claim: %+v", claim)
	}
	agent := pods["agent-a"]
	if agent == nil || !IsNodeAgent(agent) {
		t.Fatalf("pod of the DaemonSet: %+v", agent)
	}
	terms := agent.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if diff := cmp.Diff([]v1.NodeSelectorRequirement{{Key: "metadata.name", Operator: v1.NodeSelectorOpIn, Values: []string{"a"}}}, terms[0].MatchFields); diff != "" {
		t.Errorf("affinity (-want +got):\n%s", diff)
	}
}

// TestAddedPodsHaveTheirEphemeralVolumes: their claims are those that upstream's
// controller makes, which upstream's plugins check.
func TestAddedPodsHaveTheirEphemeralVolumes(t *testing.T) {
	const scratch = "volumes: [{name: scratch, ephemeral: {volumeClaimTemplate: {metadata: {labels: {tier: fast}, annotations: {note: here}}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 5Gi}}}}}}], "
	s := mustRead(t, base+"\n---\n"+strings.Replace(podX, "containers:", scratch+"containers:", 1)) // its claim was not dumped
	if err := s.Add(mustReadWhatIf(t, strings.Join([]string{
		strings.Replace(workload("apps/v1", "StatefulSet", "db", "serviceName: db, replicas: 2,"), "containers:", scratch+"containers:", 1),
		strings.NewReplacer("name: x", "name: bare", "containers:", scratch+"containers:").Replace(podX),
		strings.NewReplacer("name: x", "name: other", "containers:", scratch+"containers:").Replace(podX),
		"{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: other-scratch, namespace: shop}, spec: {storageClassName: std, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}",
	}, "\n---\n"))); err != nil {
		t.Fatal(err)
	}
	pods := map[string]*v1.Pod{}
	for _, pod := range s.Pods {
		pods[pod.Name] = pod
	}
	var got []string
	for _, claim := range objectsOf[*v1.PersistentVolumeClaim](s) {
		pod := strings.TrimSuffix(claim.Name, "-scratch")
		got = append(got, fmt.Sprintf("%s %v %v %s %s %s %s %v", claim.Name, claim.Labels, claim.Annotations, *claim.Spec.StorageClassName, claim.Spec.Resources.Requests.Storage(),
			claim.Status.Phase, claim.Spec.AccessModes[0], ephemeral.VolumeIsForPod(pods[pod], claim) == nil))
	}
	want := []string{
		"bare-scratch map[tier:fast] map[note:here] std 5Gi Pending ReadWriteOnce true",
		"db-0-scratch map[tier:fast] map[note:here] std 5Gi Pending ReadWriteOnce true",
		"db-1-scratch map[tier:fast] map[note:here] std 5Gi Pending ReadWriteOnce true",
		"other-scratch map[] map[] std 1Gi Pending ReadWriteOnce false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if gaps := s.Gaps(); len(gaps) != 1 || !strings.Contains(gaps[0], "shop/x-scratch") {
		t.Errorf("gaps %q, want one about the pod of the dump", gaps)
	}
}

func TestWhatCannotBeAddedChangesNothing(t *testing.T) {
	for name, tc := range map[string]struct{ input, want string }{
		"a node that is there":               {"\n" + nodeA, "standard input:2: Node a is in the cluster already"},
		"a pod that is there":                {strings.Replace(podX, "name: x", "name: old-1-x", 1), "standard input:1: Pod shop/old-1-x is in the cluster already"},
		"a Deployment that is there":         {workload("apps/v1", "Deployment", "old", ""), "standard input:1: Deployment shop/old is in the cluster already: it owns ReplicaSet shop/old-1"},
		"a pod on no node":                   {strings.Replace(podX, "spec: {", "spec: {nodeName: c, ", 1), `standard input:1: Pod shop/x: spec.nodeName: there is no node "c"`},
		"more pods than anybody can want":    {workload("apps/v1", "Deployment", "web", "replicas: 2000000000,"), "standard input:1: Deployment shop/web: wants 2000000000 pods; the workloads that are added may have 500000 in all"},
		"a workload whose pod's name exists": {podX + "\n---\n" + strings.Replace(podX, "name: x", "name: w-0", 1) + "\n---\n" + workload("apps/v1", "ReplicaSet", "w", ""), "standard input:5: ReplicaSet shop/w: standard input:3: Pod shop/w-0 is in the cluster already"},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustRead(t, base)
			before := names(s)
			err := s.Add(mustReadWhatIf(t, tc.input))
			if err == nil || err.Error() != "adding to the cluster: "+tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
			if diff := cmp.Diff(before, names(s)); diff != "" {
				t.Errorf("it did (-before +after):\n%s", diff)
			}
		})
	}
}

func TestWhatIfFilesAreReadStrictly(t *testing.T) {
	input := "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers:\n  - name: c\n    image: i\n    resuorces: {}\n"
	mustRead(t, input)
	_, err := ReadWhatIf([]string{"-"}, strings.NewReader(input))
	if want := "standard input:8: Pod default/x: spec.containers[0].resuorces: there is no such field"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestNamespacesThatWereAssumedCanBeAdded(t *testing.T) {
	s := mustRead(t, base)
	namespace := "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: a}}}"
	if err := s.Add(mustReadWhatIf(t, namespace)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ns := range objectsOf[*v1.Namespace](s) {
		got = append(got, ns.Name+" "+ns.Labels["team"])
	}
	if diff := cmp.Diff([]string{"shop a"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := s.Add(mustReadWhatIf(t, namespace)); err == nil {
		t.Error("it was added twice")
	}
}

func TestGeneratedNamesAreNumbered(t *testing.T) {
	input := strings.Replace(podX, "name: x", "generateName: try-", 1)
	other := mustReadWhatIf(t, input+"\n---\n"+input)
	if diff := cmp.Diff([]string{"Pod shop/try-0", "Pod shop/try-1"}, names(other)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := Read([]string{"-"}, strings.NewReader(input)); err == nil {
		t.Error("a cluster has a pod without a name")
	}
}

func TestAddedPodsComeLastInTheOrderOfTheirFile(t *testing.T) {
	s := mustRead(t, base)
	other := mustReadWhatIf(t, strings.Join([]string{strings.Replace(podX, "name: x", "name: z", 1), podX, workload("apps/v1", "ReplicaSet", "many", "replicas: 12,")}, "\n---\n"))
	for range 2 { // what is added stays as it is
		twin := *s
		if err := twin.Add(other); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, pod := range twin.Pods {
			got = append(got, pod.Name)
		}
		if got := strings.Join(got, " "); got != "old-1-x z x many-0 many-1 many-2 many-3 many-4 many-5 many-6 many-7 many-8 many-9 many-10 many-11" {
			t.Errorf("order: %s", got)
		}
	}
}

func TestClaimsAreMadeOfTemplates(t *testing.T) {
	const templates = `
		{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: one, namespace: ml}, spec: {metadata: {labels: {a: b}}, spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu}}]}}}}
		---
	`
	pod := func(name, more string) string {
		return "{apiVersion: v1, kind: Pod, metadata: {name: " + name + ", namespace: ml, uid: u-" + name + "}, spec: {resourceClaims: [{name: gpu, resourceClaimTemplateName: one}], containers: [{name: c, image: i}]}" + more + "}"
	}
	s := mustRead(t, text(templates+strings.Join([]string{
		pod("fresh", ""), strings.Repeat("-", 3),
		pod("served", ", status: {resourceClaimStatuses: [{name: gpu, resourceClaimName: its}]}"), "---",
		"{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: its, namespace: ml}, spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu}}]}}}", "---",
		pod("unaware", ""), "---",
		"{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: made, namespace: ml, annotations: {resource.kubernetes.io/pod-claim-name: gpu}, ownerReferences: [{apiVersion: v1, kind: Pod, name: unaware, uid: u-unaware, controller: true}]}, spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu}}]}}}", "---",
		strings.Replace(pod("lost", ""), "resourceClaimTemplateName: one", "resourceClaimTemplateName: two", 1), "",
	}, "\n")))
	claims := map[string]*resourceapi.ResourceClaim{}
	for _, claim := range objectsOf[*resourceapi.ResourceClaim](s) {
		claims[claim.Name] = claim
	}
	got := map[string]string{}
	for _, pod := range s.Pods {
		for _, status := range pod.Status.ResourceClaimStatuses {
			got[pod.Name] = *status.ResourceClaimName
		}
	}
	fresh := got["fresh"]
	if diff := cmp.Diff(map[string]string{"fresh": fresh, "served": "its", "unaware": "made"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	claim := claims[fresh]
	if claim == nil || !strings.HasPrefix(fresh, "fresh-gpu-") || len(claims) != 3 {
		t.Fatalf("claims %v", claims)
	}
	if owner := metav1.GetControllerOf(claim); owner == nil || owner.UID != "u-fresh" || claim.Annotations[resourceapi.PodResourceClaimAnnotation] != "gpu" || claim.Labels["a"] != "b" {
		t.Errorf("claim %+v", claim.ObjectMeta)
	}
	long := mustRead(t, text(templates+pod(strings.Repeat("long-", 30)+"x", "")))
	if name := objectsOf[*resourceapi.ResourceClaim](long)[0].Name; len(name) > 63 || !strings.HasPrefix(name, "long-long-") {
		t.Errorf("name %s", name)
	}
}

func TestUnbindingGivesBackWhatNobodyHolds(t *testing.T) {
	pod := func(name, more string) string {
		return "{apiVersion: v1, kind: Pod, metadata: {name: " + name + ", uid: " + name + more + "}, spec: {nodeName: a, containers: [{name: c, image: i}]}, status: {phase: Running, resourceClaimStatuses: [{name: g, resourceClaimName: " + name + "s}]}}"
	}
	claim := func(name string, holders ...string) string {
		var reserved []string
		for _, holder := range holders {
			reserved = append(reserved, "{resource: pods, name: "+holder+", uid: "+holder+"}")
		}
		return "{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: " + name + "}, spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu}}]}}, status: {allocation: {devices: {results: [{request: r, driver: d, pool: a, device: g}]}}, reservedFor: [" + strings.Join(reserved, ", ") + "]}}"
	}
	s := mustRead(t, strings.Join([]string{nodeA, pod("web", ""),
		pod("agent", ", ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: d, uid: d, controller: true}]"),
		pod("static", ", annotations: {kubernetes.io/config.mirror: x}"),
		pod("leaving", ", deletionTimestamp: 2026-01-01T00:00:00Z, deletionGracePeriodSeconds: 1"),
		strings.Replace(pod("early", ""), "nodeName: a, ", "", 1), claim("earlys", "early"), claim("spare"),
		strings.Replace(pod("foreign", ""), "nodeName: a, ", "nodeName: a, schedulerName: volcano, ", 1), claim("foreigns", "foreign"),
		claim("webs", "web"), claim("agents", "agent"), claim("shared", "web", "agent"),
	}, "\n---\n"))
	twin := *s
	if n := Unbind(s, StaysBeside(sets.New("default-scheduler", "plimsoll"))); n != 1 {
		t.Errorf("%d pods were unbound, want 1", n)
	}
	got := map[string]string{}
	for _, pod := range s.Pods {
		got[pod.Name] = fmt.Sprintf("%s %s %d", pod.Spec.NodeName, pod.Status.Phase, len(pod.Status.ResourceClaimStatuses))
	}
	for _, claim := range objectsOf[*resourceapi.ResourceClaim](s) {
		got[claim.Name] = fmt.Sprint(claim.Status.Allocation != nil, " ", len(claim.Status.ReservedFor))
	}
	want := map[string]string{"web": " Pending 1", "agent": "a Running 1", "static": "a Running 1", "leaving": "a Running 1", "foreign": "a Running 1", "foreigns": "true 1",
		"early": " Pending 1", "earlys": "false 0", "spare": "true 0", "webs": "false 0", "agents": "true 1", "shared": "true 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, pod := range twin.Pods {
		if pod.Name != "early" && pod.Spec.NodeName != "a" {
			t.Errorf("the twin's pod %s is off its node", pod.Name)
		}
	}
}
