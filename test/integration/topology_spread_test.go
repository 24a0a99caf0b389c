package integration

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plimsoll.dev/scheduler/internal/testkit"
)

// deploy creates a Deployment with so many replicas and annotations for its pods.
func (c *cluster) deploy(name string, replicas int32, annotations map[string]string) {
	c.Helper()
	labels := map[string]string{"app": name}
	requests := v1.ResourceList{"cpu": *amount("1"), "memory": *amount("1Gi")}
	_, err := c.client.AppsV1().Deployments("default").Create(c.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: v1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations},
			Spec: v1.PodSpec{SchedulerName: testkit.SchedulerName, Containers: []v1.Container{{
				Name: "app", Image: "example.test/app:1", Resources: v1.ResourceRequirements{Requests: requests}}}}}},
	}, metav1.CreateOptions{})
	if err != nil {
		c.Fatal(err)
	}
}

// change edits a Deployment.
func (c *cluster) change(name string, edit func(*appsv1.Deployment)) {
	c.Helper()
	c.eventually(func() error {
		d, err := c.client.AppsV1().Deployments("default").Get(c.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		edit(d)
		_, err = c.client.AppsV1().Deployments("default").Update(c.Context(), d, metav1.UpdateOptions{})
		return err
	})
}

// perZone waits until the Deployment is through with what was last asked of it and
// returns how many of its pods each zone holds, fewest first.
func (c *cluster) perZone(name string) []int {
	c.Helper()
	var counts []int
	c.eventually(func() error {
		d, err := c.client.AppsV1().Deployments("default").Get(c.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		pods, err := c.client.CoreV1().Pods("default").List(c.Context(), metav1.ListOptions{LabelSelector: "app=" + name})
		if err != nil {
			return err
		}
		s, want := d.Status, *d.Spec.Replicas
		if s.ObservedGeneration < d.Generation || s.UpdatedReplicas != want || s.Replicas != want || s.AvailableReplicas != want || len(pods.Items) != int(want) {
			return fmt.Errorf("deployment %s, of %d replicas, has %d pods: %+v", name, want, len(pods.Items), s)
		}
		var names []string
		for _, p := range pods.Items {
			names = append(names, p.Name)
		}
		counts = slices.Sorted(maps.Values(c.domains(names, zoneLabel)))
		return nil
	})
	return counts
}

const threeZones = `
	a-[1-3]  zone=eu-1a cpu=32 memory=128Gi
	b-[1-3]  zone=eu-1b cpu=32 memory=128Gi
	c-[1-3]  zone=eu-1c cpu=32 memory=128Gi`

func threePerZone() map[string]string { return map[string]string{"plimsoll.dev/min-per-zone": "3"} }

// A zone that is used holds three or more, and two are used in any case.
func TestReplicasSpreadOverAsManyZonesAsTheyFill(t *testing.T) {
	c := topologyCluster(t, threeZones, "{}")
	want := map[int32][]int{9: {3, 3, 3}, 7: {3, 4}, 4: {2, 2}, 2: {1, 1}, 12: {4, 4, 4}}
	for replicas := range want {
		c.deploy(fmt.Sprintf("web-%d", replicas), replicas, threePerZone())
	}
	for replicas, counts := range want {
		if diff := cmp.Diff(counts, c.perZone(fmt.Sprintf("web-%d", replicas))); diff != "" {
			t.Errorf("%d replicas (-want +got)\n%s", replicas, diff)
		}
	}
	one := threePerZone()
	one["plimsoll.dev/min-zones"] = "1"
	c.deploy("one", 4, one)
	if diff := cmp.Diff([]int{4}, c.perZone("one")); diff != "" {
		t.Errorf("4 replicas with min-zones 1 (-want +got)\n%s", diff)
	}
}

// Scaling and rollouts end as balanced as a fresh Deployment.
func TestScalingAndRolloutsStayBalanced(t *testing.T) {
	c := topologyCluster(t, threeZones, "{}")
	c.deploy("web", 4, threePerZone())
	if diff := cmp.Diff([]int{2, 2}, c.perZone("web")); diff != "" {
		t.Errorf("4 replicas (-want +got)\n%s", diff)
	}
	c.change("web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(9)) })
	if diff := cmp.Diff([]int{3, 3, 3}, c.perZone("web")); diff != "" {
		t.Errorf("scaled to 9 (-want +got)\n%s", diff)
	}
	for version := 2; version <= 4; version++ {
		c.change("web", func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.Containers[0].Image = fmt.Sprintf("example.test/app:%d", version)
		})
		if diff := cmp.Diff([]int{3, 3, 3}, c.perZone("web")); diff != "" {
			t.Errorf("rolled out to version %d (-want +got)\n%s", version, diff)
		}
	}
	// Down to 7: which pods leave is the ReplicaSet's choice, the next ones are ours.
	c.change("web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(7)) })
	c.perZone("web")
	c.change("web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(12)) })
	if diff := cmp.Diff([]int{4, 4, 4}, c.perZone("web")); diff != "" {
		t.Errorf("scaled from 7 to 12 (-want +got)\n%s", diff)
	}
}

// A zone without room for the floor is not opened, one that is in use and full is
// no reason to wait.
func TestAFullZoneIsNoReasonToWait(t *testing.T) {
	c := topologyCluster(t, `
		a-1      zone=eu-1a cpu=3 memory=128Gi
		b-[1-2]  zone=eu-1b cpu=32 memory=128Gi
		c-[1-2]  zone=eu-1c cpu=32 memory=128Gi`, "{}")
	c.deploy("web", 9, threePerZone())
	if diff := cmp.Diff([]int{3, 3, 3}, c.perZone("web")); diff != "" {
		t.Errorf("9 replicas (-want +got)\n%s", diff)
	}
	c.change("web", func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(13)) })
	if diff := cmp.Diff([]int{3, 5, 5}, c.perZone("web")); diff != "" {
		t.Errorf("scaled to 13, of which one zone cannot take its share (-want +got)\n%s", diff)
	}
	c.deploy("late", 9, threePerZone())
	if diff := cmp.Diff([]int{4, 5}, c.perZone("late")); diff != "" {
		t.Errorf("9 replicas with one zone full from the start (-want +got)\n%s", diff)
	}
}

// serve creates Services and where their endpoints are, one per line.
func (c *cluster) serve(lines string) {
	c.Helper()
	objects, err := testkit.Services(lines)
	if err != nil {
		c.Fatal(err)
	}
	for _, object := range objects {
		switch o := object.(type) {
		case *v1.Service:
			_, err = c.client.CoreV1().Services("default").Create(c.Context(), o, metav1.CreateOptions{})
		case *discoveryv1.EndpointSlice:
			_, err = c.client.DiscoveryV1().EndpointSlices("default").Create(c.Context(), o, metav1.CreateOptions{})
		}
		if err != nil {
			c.Fatal(err)
		}
	}
}

// Callers go where the endpoints are that they talk to, and elsewhere if there is
// no room or nothing is known of them.
func TestCallersGoNearTheirService(t *testing.T) {
	c := topologyCluster(t, threeZones, "{}")
	c.serve("db zone:eu-1a=3 zone:eu-1b=1 notready:eu-1c=4")
	c.running(c.create("busy-[1-12] cpu=1 selector:topology.kubernetes.io/zone=eu-1c")...) // packing would go there
	callers := c.create("web-[01-40] cpu=1 annotation:plimsoll.dev/near=db")
	got := c.domains(callers, zoneLabel)
	if near := got["eu-1a"] + got["eu-1b"]; near < 36 {
		t.Errorf("%v: %d of 40 callers are in zones with ready endpoints, want 36 or more", got, near)
	}
	if got["eu-1a"] <= got["eu-1b"] {
		t.Errorf("%v, want more callers in the zone with three endpoints than in the one with one", got)
	}
	c.running(c.create("stray-[1-4] cpu=1 annotation:plimsoll.dev/near=nothing-of-that-name")...)
	// Far more than fits near.
	c.running(c.create("flood-[001-200] cpu=1 annotation:plimsoll.dev/near=db")...)
}
