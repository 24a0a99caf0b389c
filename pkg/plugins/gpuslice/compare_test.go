package gpuslice

import (
	"math/rand/v2"
	"slices"
	"testing"

	"plimsoll.dev/scheduler/pkg/devices"
	"plimsoll.dev/scheduler/pkg/gpus"
)

func planOf(c devices.Cost) *devices.Plan { return &devices.Plan{Cost: c} }

// TestNodesAreComparedInThisOrder lists nodes from the best to the worst.
func TestNodesAreComparedInThisOrder(t *testing.T) {
	want := []standing{
		{name: "the user's first choice, however large", listed: 8, plan: planOf(devices.Cost{Memory: 80, Loss: 900})},
		{name: "the preferred isolation", plan: planOf(devices.Cost{Memory: 40})},
		{name: "then the smallest that suffices", plan: planOf(devices.Cost{Isolation: 1, Memory: 10, Loss: 500})},
		{name: "then the least loss", plan: planOf(devices.Cost{Isolation: 1, Memory: 20, Loss: 100, Extra: 9})},
		{name: "then fewer engines", plan: planOf(devices.Cost{Isolation: 1, Memory: 20, Loss: 200, Extra: 1, Empty: 9})},
		{name: "then the fuller GPU", plan: planOf(devices.Cost{Isolation: 1, Memory: 20, Loss: 200, Extra: 2, Empty: 3})},
		{name: "then the emptier", plan: planOf(devices.Cost{Isolation: 1, Memory: 20, Loss: 200, Extra: 2, Empty: 4})},
		{name: "a node in use before one that is not", plan: planOf(devices.Cost{Isolation: 1, Memory: 20, Loss: 200, Extra: 2, Empty: 4}), untouched: true},
		{name: "a slice before a whole GPU", plan: planOf(devices.Cost{Isolation: 1, Memory: 20}), whole: true, loss: 5},
		{name: "whole GPUs by their loss", plan: planOf(devices.Cost{Isolation: 1, Memory: 20}), whole: true, loss: 6},
		{name: "what the model does not understand comes last"},
	}
	for range 20 {
		got := slices.Clone(want)
		rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		slices.SortFunc(got, func(a, b standing) int { return better(&a, &b) })
		for i := range want {
			if got[i].name != want[i].name {
				t.Fatalf("place %d: %q, want %q", i, got[i].name, want[i].name)
			}
		}
	}
	a, b := standing{plan: planOf(devices.Cost{Loss: 1})}, standing{plan: planOf(devices.Cost{Loss: 1})}
	if better(&a, &b) != 0 {
		t.Error("equal nodes are not left to the other plugins")
	}
}

func TestUnitsAreComparedBySufficiencyThenLoss(t *testing.T) {
	want := []standing{
		{name: "preferred isolation", rank: gpus.Rank{MemoryGiB: 80}, loss: 9},
		{name: "smallest", rank: gpus.Rank{Isolation: 1, MemoryGiB: 20}, loss: 9},
		{name: "least loss", rank: gpus.Rank{Isolation: 1, MemoryGiB: 40, Worth: 9}, loss: 1},
		{name: "least worth", rank: gpus.Rank{Isolation: 1, MemoryGiB: 40, Worth: 1}, loss: 2},
		{name: "rest", rank: gpus.Rank{Isolation: 1, MemoryGiB: 40, Worth: 2}, loss: 2},
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, func(a, b standing) int { return better(&a, &b) })
	for i := range want {
		if got[i].name != want[i].name {
			t.Errorf("place %d: %q, want %q", i, got[i].name, want[i].name)
		}
	}
}

// TestAPlanInTermsOfTheMix: slices are learnt as profiles, GPUs as tasks.
func TestAPlanInTermsOfTheMix(t *testing.T) {
	task, profiles := taskOfPlan(&devices.Plan{Chosen: []devices.Chosen{{Profile: "1g.10gb"}, {Profile: "2g.20gb"}}}, 1000)
	if task != nil || !slices.Equal(profiles, []string{"1g.10gb", "2g.20gb"}) {
		t.Errorf("slices: %v %v", task, profiles)
	}
	task, profiles = taskOfPlan(&devices.Plan{Chosen: []devices.Chosen{{Memory: 80}, {Memory: 80}, {Driver: "nic"}}}, 1000)
	if task == nil || task.GPUs != 2 || task.GPUMilli != 1000 || task.CPUMilli != 1000 || profiles != nil {
		t.Errorf("two whole GPUs and a NIC: %+v %v", task, profiles)
	}
	task, _ = taskOfPlan(&devices.Plan{Chosen: []devices.Chosen{{Memory: 20, Shared: 250}}}, 0)
	if task == nil || task.GPUs != 1 || task.GPUMilli != 250 {
		t.Errorf("a quarter: %+v", task)
	}
	if task, _ = taskOfPlan(&devices.Plan{Chosen: []devices.Chosen{{Driver: "nic"}}}, 0); task != nil {
		t.Errorf("a NIC: %+v", task)
	}
}
