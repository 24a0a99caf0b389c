package simulate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"plimsoll.dev/scheduler/internal/journal"
)

// owners are Services, a ReplicationController and Jobs as kubectl prints those of a
// cluster with two address families; the controller is of a time when less was asked of it.
const owners = `
---
{apiVersion: v1, kind: Service, metadata: {name: two-families, namespace: shop, uid: s-1, resourceVersion: "1"}, spec: {type: LoadBalancer, selector: {app: web}, clusterIP: 172.20.0.7, clusterIPs: [172.20.0.7, "fd00::7"], ipFamilies: [IPv4, IPv6], ipFamilyPolicy: RequireDualStack, externalTrafficPolicy: Local, internalTrafficPolicy: Cluster, healthCheckNodePort: 31000, allocateLoadBalancerNodePorts: true, loadBalancerClass: example.test/lb, sessionAffinity: None, ports: [{port: 80, protocol: TCP, targetPort: 80, nodePort: 30080}]}, status: {loadBalancer: {ingress: [{ip: 192.0.2.1, ipMode: VIP}]}}}
---
{apiVersion: v1, kind: Service, metadata: {name: new-family, namespace: shop, uid: s-2, resourceVersion: "1"}, spec: {type: NodePort, selector: {app: web}, clusterIP: "fd00::8", clusterIPs: ["fd00::8"], ipFamilies: [IPv6], ipFamilyPolicy: SingleStack, externalTrafficPolicy: Cluster, internalTrafficPolicy: Cluster, sessionAffinity: None, ports: [{port: 80, protocol: TCP, targetPort: 80, nodePort: 30081}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: headless, namespace: shop, uid: s-3, resourceVersion: "1"}, spec: {type: ClusterIP, clusterIP: None, clusterIPs: [None], ipFamilies: [IPv4, IPv6], ipFamilyPolicy: RequireDualStack, internalTrafficPolicy: Cluster, sessionAffinity: None}}
---
{apiVersion: v1, kind: Service, metadata: {name: elsewhere, namespace: shop, uid: s-4, resourceVersion: "1"}, spec: {type: ExternalName, externalName: example.test, sessionAffinity: None}}
---
{apiVersion: v1, kind: ReplicationController, metadata: {name: odd, namespace: shop, uid: r-1, resourceVersion: "1"}, spec: {replicas: 1, selector: {app: odd}, template: {metadata: {labels: {app: odd}}, spec: {restartPolicy: Always, dnsPolicy: ClusterFirst, terminationGracePeriodSeconds: 30, schedulerName: default-scheduler, securityContext: {}, containers: [{name: c, image: example.test/c:1, imagePullPolicy: Always, terminationMessagePath: /dev/termination-log, terminationMessagePolicy: File}]}}}, status: {replicas: 1, readyReplicas: 2}}
`

// jobOf is a Job as kubectl prints it.
func jobOf(name, uid, spec, status string) string {
	return fmt.Sprintf(`
---
{apiVersion: batch/v1, kind: Job, metadata: {name: %[1]s, namespace: shop, uid: %[2]s, resourceVersion: "1", labels: {app: %[1]s}},
 spec: {%[3]s parallelism: 2, completions: 4, backoffLimit: 6, completionMode: NonIndexed, manualSelector: false, podReplacementPolicy: TerminatingOrFailed,
  selector: {matchLabels: {batch.kubernetes.io/controller-uid: %[2]s}},
  template: {metadata: {labels: {batch.kubernetes.io/controller-uid: %[2]s, controller-uid: %[2]s, batch.kubernetes.io/job-name: %[1]s, job-name: %[1]s}},
   spec: {restartPolicy: Never, dnsPolicy: ClusterFirst, terminationGracePeriodSeconds: 30, schedulerName: default-scheduler, securityContext: {}, containers: [{name: c, image: example.test/c:1, imagePullPolicy: Always, terminationMessagePath: /dev/termination-log, terminationMessagePolicy: File}]}}},
 status: {%[4]s}}
`, name, uid, spec, status)
}

var jobs = jobOf("runs", "j-1", "suspend: false,", `active: 2, ready: 2, succeeded: 1, startTime: "2026-01-01T00:00:00Z", uncountedTerminatedPods: {succeeded: [p-9]}`) +
	// As a controller of before 1.30 left it.
	jobOf("done", "j-2", "suspend: false,", `succeeded: 4, startTime: "2026-01-01T00:00:00Z", completionTime: "2026-01-01T01:00:00Z", uncountedTerminatedPods: {}, conditions: [{type: Complete, status: "True", lastProbeTime: "2026-01-01T01:00:00Z", lastTransitionTime: "2026-01-01T01:00:00Z"}]`) +
	jobOf("failed", "j-3", "suspend: false,", `failed: 7, startTime: "2026-01-01T00:00:00Z", uncountedTerminatedPods: {}, conditions: [{type: Failed, status: "True", reason: BackoffLimitExceeded, lastProbeTime: "2026-01-01T01:00:00Z", lastTransitionTime: "2026-01-01T01:00:00Z"}]`) +
	jobOf("stopped", "j-4", "suspend: true,", `uncountedTerminatedPods: {}, conditions: [{type: Suspended, status: "True", reason: JobSuspended, lastProbeTime: "2026-01-01T01:00:00Z", lastTransitionTime: "2026-01-01T01:00:00Z"}]`) + `
---
{apiVersion: v1, kind: Pod, metadata: {name: runs-1, namespace: shop, uid: p-1, resourceVersion: "1", labels: {batch.kubernetes.io/controller-uid: j-1, controller-uid: j-1, batch.kubernetes.io/job-name: runs, job-name: runs}, ownerReferences: [{apiVersion: batch/v1, kind: Job, name: runs, uid: j-1, controller: true}]}, spec: {nodeName: n-1, containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]}, status: {phase: Running}}
`

// ephemeral are volumes that come with their pods, of which a node takes two: that of a pod that
// runs, one that is bound and one that waits for its pod to have a node.
const ephemeral = `
---
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: late}, provisioner: disk.example.test, volumeBindingMode: WaitForFirstConsumer}
---
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: early}, provisioner: disk.example.test, volumeBindingMode: Immediate}
---
{apiVersion: storage.k8s.io/v1, kind: CSIDriver, metadata: {name: disk.example.test}, spec: {attachRequired: true}}
---
{apiVersion: storage.k8s.io/v1, kind: CSINode, metadata: {name: n-1}, spec: {drivers: [{name: disk.example.test, nodeID: n-1, allocatable: {count: 2}}]}}
---
{apiVersion: storage.k8s.io/v1, kind: CSINode, metadata: {name: n-2}, spec: {drivers: [{name: disk.example.test, nodeID: n-2, allocatable: {count: 2}}]}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: cache-scratch, namespace: shop, uid: c-1, ownerReferences: [{apiVersion: v1, kind: Pod, name: cache, uid: p-2, controller: true}]}, spec: {storageClassName: early, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: first-scratch, namespace: shop, uid: c-2, ownerReferences: [{apiVersion: v1, kind: Pod, name: first, uid: p-3, controller: true}]}, spec: {storageClassName: early, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: second-scratch, namespace: shop, uid: c-3, ownerReferences: [{apiVersion: v1, kind: Pod, name: second, uid: p-4, controller: true}]}, spec: {storageClassName: late, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: cache, namespace: shop, uid: p-2}, spec: {nodeName: n-1, volumes: [{name: scratch, ephemeral: {volumeClaimTemplate: {spec: {storageClassName: early, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}], containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]}, status: {phase: Running}}
---
{apiVersion: v1, kind: Pod, metadata: {name: first, namespace: shop, uid: p-3}, spec: {priority: 9, nodeSelector: {kubernetes.io/hostname: n-1}, volumes: [{name: scratch, ephemeral: {volumeClaimTemplate: {spec: {storageClassName: early, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}], containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: second, namespace: shop, uid: p-4}, spec: {priority: 8, volumes: [{name: scratch, ephemeral: {volumeClaimTemplate: {spec: {storageClassName: late, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}], containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]}}
`

// shelved are claims of three pods that want volumes that are there: of no class, of a
// class that makes none, and one that the claim names.
const shelved = `
---
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: by-hand}, provisioner: kubernetes.io/no-provisioner, volumeBindingMode: Immediate}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: small}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /small}, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [n-1]}]}]}}}}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: large}, spec: {capacity: {storage: 9Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /large}, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [n-2]}]}]}}}, status: {phase: Available}}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: larger}, spec: {capacity: {storage: 10Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /larger}}, status: {phase: Available}}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: made}, spec: {storageClassName: by-hand, capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /made}, claimRef: {namespace: shop, name: hand}}, status: {phase: Available}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: none, namespace: shop}, spec: {storageClassName: "", accessModes: [ReadWriteOnce], resources: {requests: {storage: 5Gi}}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: named, namespace: shop}, spec: {storageClassName: "", volumeName: small, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: hand, namespace: shop}, spec: {storageClassName: by-hand, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: more, namespace: shop}, spec: {storageClassName: by-hand, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: takes-large, namespace: shop}, spec: {volumes: [{name: a, persistentVolumeClaim: {claimName: none}}, {name: b, persistentVolumeClaim: {claimName: hand}}], containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: takes-more, namespace: shop}, spec: {volumes: [{name: a, persistentVolumeClaim: {claimName: more}}], containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: takes-small, namespace: shop}, spec: {volumes: [{name: a, persistentVolumeClaim: {claimName: named}}], containers: [{name: c, image: example.test/c:1, resources: {requests: {cpu: 100m}}}]}}
`

// gated are objects that schedulers look at with feature gates that are off.
const gated = `
---
{apiVersion: resource.k8s.io/v1beta2, kind: DeviceTaintRule, metadata: {name: broken}, spec: {deviceSelector: {driver: gpu.example}, taint: {key: example.test/broken, effect: NoSchedule}}}
---
{apiVersion: scheduling.k8s.io/v1alpha2, kind: PodGroup, metadata: {name: native, namespace: shop}, spec: {schedulingPolicy: {basic: {}}}}
`

// TestWhatBelongsToAnotherClusterIsCopied: as it is seen by schedulers, with other
// UIDs and addresses. What cannot be, and does not hold a place, is told of.
func TestWhatBelongsToAnotherClusterIsCopied(t *testing.T) {
	in, c := prepared(t, twoNodes+owners+jobs+ephemeral+shelved+gated)
	var steps []string
	plane, err := NewControlPlane(t.Context(), in.cluster(), &Scheduler{Config: c.cfg, YAML: c.yaml, Images: NewEverywhere(in.nodes), Journal: journal.New()}, t.TempDir(),
		func(step string) { steps = append(steps, step) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := plane.Close(); err != nil {
			t.Error(err)
		}
	}()
	memory, err := NewMemory(t.Context(), in.cluster(), &Scheduler{Config: c.cfg, YAML: c.yaml, Images: NewEverywhere(in.nodes), Journal: journal.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = memory.Close() }() // nothing to fail
	for _, e := range []Engine{memory, plane} {
		for _, pod := range c.addressed(in.queue) {
			if _, err := e.Submit(t.Context(), pod); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The first fills n-1, where two volumes are.
		if diff := cmp.Diff([]string{`cache "n-1" []`, `first "n-1" []`, `runs-1 "n-1" []`, `second "n-2" []`,
			`takes-large "n-2" []`, `takes-more "" []`, `takes-small "n-1" []`}, ends(t, e)); diff != "" {
			t.Errorf("%T: %v (-want +got)\n%s", e, e.Notes(), diff)
		}
	}
	if diff := cmp.Diff([]string{"elsewhere <none>", "headless <none>", "kubernetes <none>", "new-family app=web", "two-families app=web"}, servicesOf(t, plane)); diff != "" {
		t.Errorf("Services and their selectors (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"done 4 0: ", "failed 0 7: ", "runs 1 0: runs-1", "stopped 0 0: "}, jobsOf(t, plane)); diff != "" {
		t.Errorf("Jobs with what succeeded and failed, and the pods that they select (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"cache-scratch of cache", "first-scratch of first", "hand", "named", "none", "second-scratch of second"}, volumesOf(t, plane)); diff != "" {
		t.Errorf("volume claims (-want +got)\n%s", diff)
	}
	said := strings.Join(plane.Notes(), "\n")
	if want := "the control plane is without the status of ReplicationController shop/odd, which the API server does not take: "; !strings.HasPrefix(said, want) || len(plane.Notes()) != 1 ||
		!slices.Contains(steps, strings.TrimPrefix(said, "the control plane is ")) {
		t.Errorf("notes %q, steps %q: want one that begins with %q, as a step too", said, steps, want)
	}
	for _, want := range []string{"1 DeviceTaintRule is not taken into account", "1 PodGroup of scheduling.k8s.io is not taken into account"} {
		if !strings.Contains(strings.Join(in.notes, "\n"), want) {
			t.Errorf("notes %q, want %q", in.notes, want)
		}
	}
}

// TestWhatDecidesWherePodsGoIsIndispensable: a copy without it would be of another
// cluster.
func TestWhatDecidesWherePodsGoIsIndispensable(t *testing.T) {
	c := &copier{without: map[string]*missing{}}
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "Any"}, "any", nil)
	absent := apierrors.NewNotFound(schema.GroupResource{Resource: "any"}, "")
	for _, tc := range []struct {
		kind string
		err  error
		want bool
	}{
		{"Service", invalid, true}, {"Job", invalid, true}, {"Job", fmt.Errorf("copying: %w", invalid), true}, {"PodGroup", absent, true},
		{"Service", absent, false}, {"Service", nil, false}, {"PodGroup", invalid, false}, {"Service", apierrors.NewInternalError(errors.New("out of order")), false},
		{"Node", invalid, false}, {"Pod", invalid, false}, {"PersistentVolume", invalid, false}, {"StorageClass", invalid, false}, {"ResourceSlice", invalid, false},
		{"PodDisruptionBudget", invalid, false}, {"PriorityClass", invalid, false}, {"Namespace", invalid, false},
	} {
		if got := c.doesWithout(tc.kind, &metav1.ObjectMeta{Namespace: "shop", Name: "odd"}, tc.err); got != tc.want {
			t.Errorf("without a %s, for %v: %v, want %v", tc.kind, tc.err, got, tc.want)
		}
	}
	got := strings.Join(c.lacks(), "\n")
	for _, want := range []string{"without Job shop/odd and 1 more, which the API server does not take: ", "without Service shop/odd, which the API server does not take: ", "without PodGroup shop/odd"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nwant %q", got, want)
		}
	}
}

// prepared is a cluster as Plimsoll finds it.
func prepared(t *testing.T, cluster string) (*input, *contestant) {
	t.Helper()
	ours, err := contestants(Plimsoll, nil)
	if err != nil {
		t.Fatal(err)
	}
	in, err := prepare(readText(t, cluster), ours[0].cfg)
	if err != nil {
		t.Fatal(err)
	}
	return in, &ours[0]
}

// servicesOf lists the Services of a copy with their selectors.
func servicesOf(t *testing.T, e *ControlPlane) []string {
	t.Helper()
	list, err := e.client.CoreV1().Services(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := range list.Items {
		out = append(out, list.Items[i].Name+" "+labels.FormatLabels(list.Items[i].Spec.Selector))
	}
	slices.Sort(out)
	return out
}

// volumesOf lists the volume claims of a copy that their volumes name by UID, with the
// pods that they name so.
func volumesOf(t *testing.T, e *ControlPlane) []string {
	t.Helper()
	claims, err := e.client.CoreV1().PersistentVolumeClaims(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := range claims.Items {
		claim := &claims.Items[i]
		if claim.Spec.VolumeName == "" {
			continue
		}
		said := claim.Name
		if owner := metav1.GetControllerOf(claim); owner != nil {
			pod, err := e.client.CoreV1().Pods(claim.Namespace).Get(t.Context(), owner.Name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if metav1.IsControlledBy(claim, pod) {
				said += " of " + pod.Name
			}
		}
		pv, err := e.client.CoreV1().PersistentVolumes().Get(t.Context(), claim.Spec.VolumeName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if pv.Spec.ClaimRef.UID == claim.UID {
			out = append(out, said)
		}
	}
	slices.Sort(out)
	return out
}

// jobsOf lists the Jobs of a copy with the pods that they select and own.
func jobsOf(t *testing.T, e *ControlPlane) []string {
	t.Helper()
	list, err := e.client.BatchV1().Jobs(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := range list.Items {
		job := &list.Items[i]
		pods, err := e.client.CoreV1().Pods(job.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(job.Spec.Selector)})
		if err != nil {
			t.Fatal(err)
		}
		var selected []string
		for j := range pods.Items {
			if metav1.IsControlledBy(&pods.Items[j], job) {
				selected = append(selected, pods.Items[j].Name)
			}
		}
		out = append(out, fmt.Sprintf("%s %d %d: %s", job.Name, job.Status.Succeeded, job.Status.Failed, strings.Join(selected, ",")))
	}
	slices.Sort(out)
	return out
}
