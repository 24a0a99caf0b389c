package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourceapi "k8s.io/api/resource/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/stack"
	"plimsoll.dev/scheduler/internal/testkit"
)

// patience bounds every wait.
const patience = time.Minute

func TestMain(m *testing.M) {
	stack.Quiet()
	m.Run()
}

const readerFile = "manifests/extras/simulate-reader.yaml"

// written is one object of about every kind that is read, and one that is not.
const written = `
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: a}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podgroups.scheduling.x-k8s.io, annotations: {api-approved.kubernetes.io: "unapproved, for tests"}}
spec:
  group: scheduling.x-k8s.io
  names: {kind: PodGroup, listKind: PodGroupList, plural: podgroups, singular: podgroup}
  scope: Namespaced
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {minMember: {type: integer}}}}}}
---
{apiVersion: scheduling.x-k8s.io/v1alpha1, kind: PodGroup, metadata: {name: gang, namespace: shop}, spec: {minMember: 3}}
---
{apiVersion: v1, kind: Node, metadata: {name: gpu-a-01, labels: {topology.kubernetes.io/zone: eu-1a}}, status: {capacity: {cpu: "8", memory: 32Gi, pods: "110"}, allocatable: {cpu: "8", memory: 32Gi, pods: "110"}}}
---
{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}, value: 700}
---
{apiVersion: resource.k8s.io/v1, kind: DeviceClass, metadata: {name: gpu}, spec: {selectors: [{cel: {expression: 'device.driver == "gpu.example.com"'}}]}}
---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: gpu-a-01-gpus}
spec: {driver: gpu.example.com, nodeName: gpu-a-01, pool: {name: gpu-a-01, generation: 1, resourceSliceCount: 1}, devices: [{name: gpu-0, attributes: {model: {string: H100}}, capacity: {memory: {value: 80Gi}}}]}
---
{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: one, namespace: shop}, spec: {spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu}}]}}}}
---
{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: held, namespace: shop}, spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu}}]}}, status: {allocation: {devices: {results: [{request: gpu, driver: gpu.example.com, pool: gpu-a-01, device: gpu-0}]}}}}
---
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: late}, provisioner: p.example.com, volumeBindingMode: WaitForFirstConsumer}
---
{apiVersion: storage.k8s.io/v1, kind: CSIDriver, metadata: {name: p.example.com}}
---
{apiVersion: storage.k8s.io/v1, kind: CSINode, metadata: {name: gpu-a-01}, spec: {drivers: []}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: shop}, spec: {storageClassName: late, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, namespace: shop}, addressType: IPv4, endpoints: [{addresses: [10.0.0.1], zone: eu-1a}]}
---
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web, namespace: shop}, spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: shop}, spec: {serviceName: db, replicas: 0, selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c, image: i}]}}}}
---
{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web, namespace: shop}, spec: {replicas: 0, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}}}
---
{apiVersion: batch/v1, kind: Job, metadata: {name: once, namespace: shop}, spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}
---
{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, stringData: {password: hunter2-hunter2}}
---
{apiVersion: v1, kind: Pod, metadata: {name: bound, namespace: shop}, spec: {nodeName: gpu-a-01, containers: [{name: c, image: i, resources: {limits: {cpu: 250m}}}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: waiting, namespace: shop}, spec: {priorityClassName: high, resourceClaims: [{name: gpu, resourceClaimTemplateName: one}], containers: [{name: c, image: i, resources: {claims: [{name: gpu}]}}]}}
`

// visitor is a client with the rights that were given to the manifest's service
// account, and no others.
func visitor(s *stack.Stack) *rest.Config {
	config := s.RESTConfig()
	config.Impersonate.UserName = "system:serviceaccount:default:plimsoll-simulate-reader"
	config.Impersonate.Groups = []string{"system:serviceaccounts", "system:authenticated"}
	return config
}

func TestALiveClusterIsReadWithTheRoleThatShips(t *testing.T) {
	s, err := stack.Start(t.Context(), stack.Options{Dir: shortDir(t), NoFakeNodes: true, NoControllers: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Apply(t.Context(), []byte(written)); err != nil {
		t.Fatal(err)
	}

	_, err = FromCluster(t.Context(), visitor(s), "lab")
	for _, want := range []string{"reading context lab: may not list pods in all namespaces\n", "may not list resourceslices.resource.k8s.io in", readerFile} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without rights: got %v, want %q in it", err, want)
		}
	}
	if _, err := s.Apply(t.Context(), testkit.RepoFile(t, readerFile)); err != nil {
		t.Fatal(err)
	}
	got := eventuallyRead(t, visitor(s))
	if want := "context lab (read once)"; got.Source != want {
		t.Errorf("source %q, want %q", got.Source, want)
	}
	assertAllThere(t, s, got)
	assertReadsAgain(t, got)
	assertPodsReady(t, got)

	// The role allows nothing else.
	config, err := dynamic.NewForConfig(visitor(s))
	if err != nil {
		t.Fatal(err)
	}
	secrets := v1.SchemeGroupVersion.WithResource("secrets")
	if _, err := config.Resource(secrets).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing secrets: %v", err)
	}
	pods := config.Resource(v1.SchemeGroupVersion.WithResource("pods"))
	if _, err := pods.Watch(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("watching pods: %v", err)
	}
}

// eventuallyRead reads until the authorizer has seen the role.
func eventuallyRead(t *testing.T, config *rest.Config) *Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := FromCluster(ctx, config, "lab")
		if err == nil {
			return s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

// assertAllThere compares with what the administrator lists.
func assertAllThere(t *testing.T, s *stack.Stack, got *Snapshot) {
	t.Helper()
	client, err := dynamic.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, gvr := range Kinds() {
		list, err := client.Resource(gvr).List(t.Context(), metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue // alpha, or not served by default
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range list.Items {
			want = append(want, fmt.Sprintf("%s %s", keyOf(&object), object.GetUID()))
		}
	}
	var have []string
	for _, obj := range got.Objects {
		have = append(have, fmt.Sprintf("%s %s", keyOf(obj), obj.(metav1.Object).GetUID()))
	}
	for _, pod := range got.Pods {
		have = append(have, fmt.Sprintf("%s %s", keyOf(pod), pod.GetUID()))
	}
	// The claim of the pod that waits is made here, since no controller runs there.
	have = slices.DeleteFunc(have, func(name string) bool { return strings.HasPrefix(name, "ResourceClaim shop/waiting-gpu-") })
	slices.Sort(want)
	slices.Sort(have)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, kind := range []string{"PodGroup shop/gang", "Node gpu-a-01", "ResourceClaim shop/held", "Job shop/once", "Pod shop/bound"} {
		if !slices.ContainsFunc(have, func(name string) bool { return strings.HasPrefix(name, kind+" ") }) {
			t.Errorf("%s is not there", kind)
		}
	}
}

// assertReadsAgain writes all as YAML, and reads the same.
func assertReadsAgain(t *testing.T, s *Snapshot) {
	t.Helper()
	var out bytes.Buffer
	if err := s.Write(&out); err != nil {
		t.Fatal(err)
	}
	again, err := Read([]string{"-"}, &out)
	if err != nil {
		t.Fatalf("reading it again: %v", err)
	}
	for i, pod := range again.Pods {
		if i < len(s.Pods) && !apiequality.Semantic.DeepEqual(pod, s.Pods[i]) {
			t.Errorf("Pod %s (-want +got):\n%s", pod.Name, cmp.Diff(s.Pods[i], pod))
		}
	}
	if diff := cmp.Diff(names(s), names(again)); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	for i, obj := range again.Objects {
		if !apiequality.Semantic.DeepEqual(obj, s.Objects[i]) {
			t.Errorf("%s (-want +got):\n%s", keyOf(obj), cmp.Diff(s.Objects[i], obj))
		}
	}
	if len(again.Notes) > 0 {
		t.Errorf("notes %q", again.Notes)
	}
}

// assertPodsReady looks at what a scheduler needs.
func assertPodsReady(t *testing.T, s *Snapshot) {
	t.Helper()
	bound, waiting := s.Pods[0], s.Pods[1]
	if bound.Name != "bound" {
		bound, waiting = waiting, bound
	}
	if bound.Spec.NodeName != "gpu-a-01" || bound.Spec.Containers[0].Resources.Requests.Cpu().MilliValue() != 250 {
		t.Errorf("bound: %+v", bound.Spec)
	}
	if *waiting.Spec.Priority != 700 || len(waiting.Status.ResourceClaimStatuses) != 1 {
		t.Errorf("waiting: %+v", waiting)
	}
	for _, claim := range objectsOf[*resourceapi.ResourceClaim](s) {
		if claim.Name == "held" && claim.Status.Allocation.Devices.Results[0].Device != "gpu-0" {
			t.Errorf("claim %+v", claim.Status)
		}
	}
}

// TestTheRoleIsWhatIsListed holds the manifest to Kinds, both ways.
func TestTheRoleIsWhatIsListed(t *testing.T) {
	var role rbacv1.ClusterRole
	documents := split(testkit.RepoFile(t, readerFile))
	if err := yaml.UnmarshalStrict(documents[0].data, &role); err != nil {
		t.Fatal(err)
	}
	var granted []string
	for _, rule := range role.Rules {
		if diff := cmp.Diff([]string{"list"}, rule.Verbs); diff != "" {
			t.Errorf("verbs of %v (-want +got):\n%s", rule.Resources, diff)
		}
		for _, resource := range rule.Resources {
			granted = append(granted, rule.APIGroups[0]+"/"+resource)
		}
	}
	var listed []string
	for _, gvr := range Kinds() {
		listed = append(listed, gvr.Group+"/"+gvr.Resource)
	}
	slices.Sort(granted)
	slices.Sort(listed)
	if diff := cmp.Diff(listed, granted); diff != "" {
		t.Errorf("%s (-listed +granted):\n%s", readerFile, diff)
	}
}
