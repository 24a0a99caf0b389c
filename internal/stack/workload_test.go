package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// nodes is the cluster of these tests; small has no room for more than two pods.
//
//	small  1 cpu  2 pods        large  16 cpu  110 pods
const nodes = `
apiVersion: v1
kind: Node
metadata: {name: small}
status:
  allocatable: {cpu: "1", memory: 1Gi, pods: "2"}
  capacity: {cpu: "1", memory: 1Gi, pods: "2"}
---
apiVersion: v1
kind: Node
metadata: {name: large}
status:
  allocatable: {cpu: "16", memory: 64Gi, pods: "110"}
  capacity: {cpu: "16", memory: 64Gi, pods: "110"}
`

const secondScheduler = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: true}
clientConnection: {kubeconfig: /no/such/file}
profiles:
- schedulerName: second
`

// podManifest is a pod for the named scheduler; further is added to its spec.
func podManifest(name, scheduler, further string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  schedulerName: %s
  containers: [{name: main, image: example.org/main}]
  %s
`, name, scheduler, further)
}

// TestTwoStacksAtOnce runs two control planes side by side, one of them with two schedulers: every name
// upstream keeps once per process is taken twice.
func TestTwoStacksAtOnce(t *testing.T) {
	first := start(t, Options{})
	// Not start: the first stack's check for leftovers sees the goroutines of both.
	second, err := Start(t.Context(), Options{
		Dir:            shortTempDir(t),
		APIServerFlags: []string{"--runtime-config=resource.k8s.io/v1beta1=true"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := second.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	startScheduler(t, first, SchedulerOptions{})
	startScheduler(t, first, SchedulerOptions{Config: []byte(secondScheduler)})
	startScheduler(t, second, SchedulerOptions{})

	for _, s := range []*Stack{first, second} {
		apply(t, s, nodes)
		apply(t, s, podManifest("for-default", "default-scheduler", ""))
		assertRunning(t, s, "for-default")
	}
	apply(t, first, podManifest("for-second", "second", ""))
	assertRunning(t, first, "for-second")
	apply(t, second, podManifest("for-second", "second", ""))

	for _, name := range []string{"for-default", "for-second"} {
		deletePod(t, first, name)
	}
	pod, err := second.Client().CoreV1().Pods("default").Get(t.Context(), "for-second", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if pod.Spec.NodeName != "" {
		t.Errorf("a scheduler of another stack put the pod on %s", pod.Spec.NodeName)
	}
	for s, want := range map[*Stack]bool{first: false, second: true} {
		_, err := s.Client().ResourceV1beta1().DeviceClasses().List(t.Context(), metav1.ListOptions{})
		if served := err == nil; served != want {
			t.Errorf("resource.k8s.io/v1beta1 served: %v, want %v (%v)", served, want, err)
		}
	}
}

// TestWorkloads walks through what the controllers and fake nodes are there for, on one stack.
func TestWorkloads(t *testing.T) {
	s := start(t, Options{})
	startScheduler(t, s, SchedulerOptions{})
	apply(t, s, nodes)

	t.Run("nodes become ready and keep their capacity", func(t *testing.T) { testNodes(t, s) })
	t.Run("claim is allocated and released", func(t *testing.T) { testClaim(t, s) })
	t.Run("deployment gets and loses its pods", func(t *testing.T) { testDeployment(t, s) })
	t.Run("job completes", func(t *testing.T) { testJob(t, s) })
	t.Run("namespace goes with its pods", func(t *testing.T) { testNamespace(t, s) })
	t.Run("priority class sets the priority", func(t *testing.T) { testPriority(t, s) })
	t.Run("pod bound ahead of its node runs once the node is there", func(t *testing.T) { testEarlyPod(t, s) })
	t.Run("RBAC decides", func(t *testing.T) { testRBAC(t, s) })
}

// TestStopAmidWork stops a stack whose every part has its hands full.
func TestStopAmidWork(t *testing.T) {
	s := start(t, Options{})
	startScheduler(t, s, SchedulerOptions{})
	apply(t, s, nodes)
	apply(t, s, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: crowd}
spec:
  replicas: 100
  selector: {matchLabels: {app: crowd}}
  template:
    metadata: {labels: {app: crowd}}
    spec: {containers: [{name: main, image: example.org/main}]}
`)
	eventually(t, "some of the crowd running", func(ctx context.Context) error {
		crowd, err := s.Client().AppsV1().Deployments("default").Get(ctx, "crowd", metav1.GetOptions{})
		if err == nil && crowd.Status.AvailableReplicas == 0 {
			err = fmt.Errorf("status is %+v", crowd.Status)
		}
		return err
	})
}

func startScheduler(t *testing.T, s *Stack, o SchedulerOptions) *Scheduler {
	t.Helper()
	sc, err := s.StartScheduler(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

func assertRunning(t *testing.T, s *Stack, name string) {
	t.Helper()
	eventually(t, "running pod "+name, func(ctx context.Context) error {
		pod, err := s.Client().CoreV1().Pods("default").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if pod.Status.Phase != v1.PodRunning || pod.Spec.NodeName == "" || pod.Status.PodIP == "" {
			return fmt.Errorf("on %q, %s: %v", pod.Spec.NodeName, pod.Status.Phase, pod.Status.Conditions)
		}
		return nil
	})
}

// deletePod deletes a pod as kubectl would, with its grace period, and waits until it is gone.
func deletePod(t *testing.T, s *Stack, name string) {
	t.Helper()
	pods := s.Client().CoreV1().Pods("default")
	if err := pods.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "deleting pod "+name, func(ctx context.Context) error {
		_, err := pods.Get(ctx, name, metav1.GetOptions{})
		return goneOr(err)
	})
}

// goneOr turns the answer to a Get into nil once the object is gone.
func goneOr(err error) error {
	switch {
	case err == nil:
		return errors.New("still there")
	case apierrors.IsNotFound(err):
		return nil
	default:
		return err
	}
}

func testNodes(t *testing.T, s *Stack) {
	for name, pods := range map[string]string{"small": "2", "large": "110"} {
		eventually(t, "ready node "+name, func(ctx context.Context) error {
			node, err := s.Client().CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			ready := slices.ContainsFunc(node.Status.Conditions, func(c v1.NodeCondition) bool {
				return c.Type == v1.NodeReady && c.Status == v1.ConditionTrue
			})
			if !ready {
				return fmt.Errorf("conditions are %v", node.Status.Conditions)
			}
			if got := node.Status.Allocatable.Pods().String(); got != pods {
				t.Errorf("%s has room for %s pods, want %s", name, got, pods)
			}
			return nil
		})
	}
}

const claimManifests = `
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu}
spec:
  selectors: [{cel: {expression: 'device.driver == "gpu.example.org"'}}]
---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: large-gpus}
spec:
  driver: gpu.example.org
  nodeName: large
  pool: {name: large, generation: 1, resourceSliceCount: 1}
  devices: [{name: gpu-0}]
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: one-gpu}
spec:
  spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu}}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: with-gpu}
spec:
  resourceClaims: [{name: gpu, resourceClaimTemplateName: one-gpu}]
  containers:
  - name: main
    image: example.org/main
    resources: {claims: [{name: gpu}]}
`

func testClaim(t *testing.T, s *Stack) {
	apply(t, s, claimManifests)
	assertRunning(t, s, "with-gpu")
	pod, err := s.Client().CoreV1().Pods("default").Get(t.Context(), "with-gpu", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	claims := s.Client().ResourceV1().ResourceClaims("default")
	name := *pod.Status.ResourceClaimStatuses[0].ResourceClaimName
	claim, err := claims.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if claim.Status.Allocation == nil || claim.Status.Allocation.Devices.Results[0].Device != "gpu-0" {
		t.Errorf("allocation is %v", claim.Status.Allocation)
	}
	if pod.Spec.NodeName != "large" {
		t.Errorf("pod is on %s, its device on large", pod.Spec.NodeName)
	}
	deletePod(t, s, "with-gpu")
	eventually(t, "deleting claim "+name, func(ctx context.Context) error {
		_, err := claims.Get(ctx, name, metav1.GetOptions{})
		return goneOr(err)
	})
}

func testDeployment(t *testing.T, s *Stack) {
	apply(t, s, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: example.org/main}]}
`)
	deployments := s.Client().AppsV1().Deployments("default")
	eventually(t, "available deployment", func(ctx context.Context) error {
		d, err := deployments.Get(ctx, "web", metav1.GetOptions{})
		if err == nil && d.Status.AvailableReplicas != 3 {
			err = fmt.Errorf("status is %+v", d.Status)
		}
		return err
	})
	if err := deployments.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "deleting its pods", func(ctx context.Context) error { return noPods(ctx, s, "default", "app=web") })
}

func noPods(ctx context.Context, s *Stack, namespace, selector string) error {
	pods, err := s.Client().CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err == nil && len(pods.Items) > 0 {
		err = fmt.Errorf("%d pods left", len(pods.Items))
	}
	return err
}

func testJob(t *testing.T, s *Stack) {
	apply(t, s, `
apiVersion: batch/v1
kind: Job
metadata: {name: sum}
spec:
  completions: 2
  parallelism: 2
  template: {spec: {restartPolicy: Never, containers: [{name: main, image: example.org/main}]}}
`)
	eventually(t, "completed job", func(ctx context.Context) error {
		job, err := s.Client().BatchV1().Jobs("default").Get(ctx, "sum", metav1.GetOptions{})
		if err == nil && job.Status.Succeeded != 2 {
			err = fmt.Errorf("status is %+v", job.Status)
		}
		return err
	})
}

func testNamespace(t *testing.T, s *Stack) {
	apply(t, s, `
apiVersion: v1
kind: Namespace
metadata: {name: passing}
---
apiVersion: v1
kind: Pod
metadata: {name: guest, namespace: passing}
spec: {containers: [{name: main, image: example.org/main}]}
`)
	namespaces := s.Client().CoreV1().Namespaces()
	if err := namespaces.Delete(t.Context(), "passing", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "deleting namespace", func(ctx context.Context) error {
		_, err := namespaces.Get(ctx, "passing", metav1.GetOptions{})
		return goneOr(err)
	})
}

func testPriority(t *testing.T, s *Stack) {
	apply(t, s, podManifest("critical", "nobody", "priorityClassName: system-node-critical"))
	pod, err := s.Client().CoreV1().Pods("default").Get(t.Context(), "critical", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if pod.Spec.Priority == nil || *pod.Spec.Priority != 2000001000 {
		t.Errorf("priority is %v", pod.Spec.Priority)
	}
}

func testEarlyPod(t *testing.T, s *Stack) {
	apply(t, s, podManifest("early", "nobody", "nodeName: late"))
	apply(t, s, podManifest("orphan", "nobody", "nodeName: never"))
	// A pod whose node never comes can still be deleted.
	deletePod(t, s, "orphan")
	pod, err := s.Client().CoreV1().Pods("default").Get(t.Context(), "early", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if pod.Status.Phase != v1.PodPending {
		t.Errorf("pod without a node is %s", pod.Status.Phase)
	}
	apply(t, s, `{apiVersion: v1, kind: Node, metadata: {name: late}}`)
	assertRunning(t, s, "early")
}

func testRBAC(t *testing.T, s *Stack) {
	config := s.RESTConfig()
	config.Impersonate.UserName = "visitor"
	visitor, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	list := func(ctx context.Context) error {
		_, err := visitor.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		return err
	}
	if err := list(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("a user without rights got %v", err)
	}
	apply(t, s, `
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: visitors-look}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: visitor}]
`)
	eventually(t, "list of a user with the role", list)
	err = visitor.CoreV1().Pods("default").Delete(t.Context(), "early", metav1.DeleteOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("a user who may look got to delete: %v", err)
	}
}
