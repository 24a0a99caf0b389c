package fleet

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"

	"plimsoll.dev/scheduler/pkg/mig"
)

func allocated(node string, devices ...string) *structured.AllocatedState {
	out := &structured.AllocatedState{AllocatedDevices: sets.New[structured.DeviceID](), AggregatedCapacity: structured.NewConsumedCapacityCollection()}
	for _, d := range devices {
		out.AllocatedDevices.Insert(structured.MakeDeviceID(Driver, node, d))
	}
	return out
}

// TestEveryPlacementIsOnTheGrid holds what is published against pkg/mig.
func TestEveryPlacementIsOnTheGrid(t *testing.T) {
	for _, product := range []string{"A100-SXM4-80GB", "A30"} {
		published, err := Partitionable("n", product, 2)
		if err != nil {
			t.Fatal(err)
		}
		geometry, _ := mig.Table(product)
		want := 0
		for _, p := range geometry.Profiles() {
			want += 2 * len(p.Placements)
		}
		got := 0
		for _, s := range published {
			for _, d := range s.Spec.Devices {
				got++
				if _, err := Draw(published, allocated("n", d.Name)); err != nil {
					t.Errorf("%s: %v", product, err)
				}
			}
		}
		if got != want {
			t.Errorf("%s: %d placements are published, want %d", product, got, want)
		}
	}
	if _, err := Partitionable("n", "L4", 1); err == nil || !strings.Contains(err.Error(), `"L4"`) {
		t.Errorf("an unknown product: error %v, want it to be named", err)
	}
}

func TestDraw(t *testing.T) {
	published, err := Partitionable("b", "A30", 2)
	if err != nil {
		t.Fatal(err)
	}
	state := allocated("b", "gpu-0-mig-2g12gb-5-2", "gpu-0-mig-1g6gb-14-0")
	half := map[resourceapi.QualifiedName]resource.Quantity{capacityMemory: mebibytes(h100MemoryMi / 2)}
	state.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(structured.MakeDeviceID(Driver, "a", "gpu-0"), half))
	got, err := Draw(append(published, Sharable("a", 1)), state)
	want := []string{"a gpu-0  ██████████░░░░░░░░░░│  39 of 79Gi", "b gpu-0  [1g.6gb|·|2g.12gb═]", "b gpu-1  [····]"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if _, err := Draw(published, allocated("b", "gpu-0-mig-4g24gb-0-0", "gpu-0-mig-1g6gb-14-0")); err == nil {
		t.Error("two partitions in one place are drawn")
	}
}

func TestTheSmallestMixedClusterHasEveryPool(t *testing.T) {
	f, err := Mixed(MinNodes)
	if err != nil || len(f.Nodes) != MinNodes {
		t.Fatalf("%v, want %d nodes", err, MinNodes)
	}
	zonesOf := map[string][]string{}
	for _, n := range f.Nodes {
		pool, zone := n.Labels[PoolLabel], n.Labels["topology.kubernetes.io/zone"]
		if !slices.Contains(zonesOf[pool], zone) {
			zonesOf[pool] = append(zonesOf[pool], zone)
		}
	}
	for pool, want := range map[string]int{"amd64": 3, "arm64": 3, "mig": 2, "shared-gpu": 1, "l4": 1, "mps": 1} {
		if len(zonesOf[pool]) != want {
			t.Errorf("pool %s is in zones %v, want %d of them", pool, zonesOf[pool], want)
		}
	}
}

func TestEveryNodeStandsInARackOfItsZone(t *testing.T) {
	for _, n := range []int{MinNodes, 100} {
		f, err := Mixed(n)
		if err != nil {
			t.Fatal(err)
		}
		held := map[string]int{}
		for _, node := range f.Nodes {
			rack := node.Labels[RackLabel]
			if rack == "" {
				t.Errorf("node %s stands in no rack", node.Name)
			}
			held[node.Labels["topology.kubernetes.io/zone"]+"/"+rack]++
		}
		if len(held) < 2*len(zones) {
			t.Errorf("%d nodes: racks %v, want two or more in each zone", n, held)
		}
		for rack, count := range held {
			if count > rackNodes || count < 2 {
				t.Errorf("%d nodes: rack %s holds %d, want 2 to %d", n, rack, count, rackNodes)
			}
		}
	}
}
