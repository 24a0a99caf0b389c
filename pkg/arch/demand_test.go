package arch

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const gib = 1 << 30

var pod1 = Amount{1000, 4 * gib}

// cores is a supply with so many cores free and memory in proportion.
func cores(architecture string, n int64) Supply {
	return Supply{architecture, Amount{1000 * n, 4 * gib * n}}
}

// learnt is the mix after so many pods, of which the shares in percent are
// captive.
func learnt(t testing.TB, pods int, captive map[string]int) *Mix {
	t.Helper()
	d := NewDemand(1 << 40)
	for i := range pods {
		only, sum := "", 0
		for _, name := range architectures {
			if sum += captive[name]; only == "" && i%100 < sum {
				only = name
			}
		}
		d.See(only, pod1)
	}
	return d.learnt.mix()
}

func TestAnUntaughtMixKeepsAmd64ForPodsThatCannotChoose(t *testing.T) {
	m := NewDemand(100).Mix()
	for name, tc := range map[string]struct {
		supplies []Supply
		want     []int
	}{
		"equal supplies":                  {[]Supply{cores("amd64", 100), cores("arm64", 100)}, []int{3, 0}},
		"more amd64":                      {[]Supply{cores("amd64", 400), cores("arm64", 100)}, []int{1, 0}},
		"ten times as much amd64":         {[]Supply{cores("amd64", 1000), cores("arm64", 100)}, []int{0, 0}},
		"much more amd64":                 {[]Supply{cores("amd64", 5000), cores("arm64", 100)}, []int{0, 2}},
		"hardly any arm64":                {[]Supply{cores("amd64", 1e6), cores("arm64", 1)}, []int{0, 7}},
		"no arm64":                        {[]Supply{cores("amd64", 100), cores("arm64", 0)}, []int{0, 7}},
		"nothing":                         {[]Supply{cores("amd64", 0), cores("arm64", 0)}, []int{7, 7}},
		"more requested than there is":    {[]Supply{cores("amd64", 1), cores("arm64", -5)}, []int{0, 7}},
		"cores without memory":            {[]Supply{{"amd64", Amount{1e6, 0}}, cores("arm64", 1)}, []int{7, 0}},
		"the scarcer of both counts":      {[]Supply{cores("arm64", 100), {"riscv64", Amount{100_000, 90 * gib}}}, []int{0, 2}},
		"an architecture not on any list": {[]Supply{cores("amd64", 100), cores("pdp11", 100)}, []int{3, 0}},
		"one supply":                      {[]Supply{cores("amd64", 1)}, []int{0}},
		"none":                            {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := m.Places(tc.supplies, nil)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%v (-want +got)\n%s", m, diff)
			}
		})
	}
}

func TestPlacesFollowWhatIsLearnt(t *testing.T) {
	supplies := []Supply{cores("amd64", 100), cores("arm64", 100), cores("s390x", 10)}
	for name, tc := range map[string]struct {
		captive map[string]int
		want    []int
	}{
		"amd64 is captive":         {map[string]int{"amd64": 64}, []int{7, 0, 3}},
		"arm64 is captive":         {map[string]int{"arm64": 64}, []int{0, 7, 0}}, // ten times as much amd64 as s390x, and a tenth of its demand
		"amd64 and arm64 are":      {map[string]int{"amd64": 40, "arm64": 40}, []int{7, 7, 0}},
		"one four times the other": {map[string]int{"amd64": 70, "arm64": 16, "s390x": 2}, []int{2, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			m := learnt(t, 10_000, tc.captive)
			if diff := cmp.Diff(tc.want, m.Places(supplies, nil)); diff != "" {
				t.Errorf("%v (-want +got)\n%s", m, diff)
			}
		})
	}
}

func TestARunwayCountsPodsUntilTheFirstRefusal(t *testing.T) {
	// A two-thousandth of what is learnt is still the assumption.
	m := learnt(t, 80_000, map[string]int{"amd64": 25, "arm64": 5})
	for _, tc := range []struct {
		supply Supply
		want   float64
	}{
		{cores("amd64", 100), 400}, {cores("arm64", 100), 2000}, {Supply{"amd64", Amount{100_000, 40 * gib}}, 40},
	} {
		if got := m.Runway(&tc.supply); got < tc.want*.99 || got > tc.want*1.01 {
			t.Errorf("%v: %v pods, want about %v", tc.supply, got, tc.want)
		}
	}
}

func TestOldPodsAreForgotten(t *testing.T) {
	d := NewDemand(50)
	for range 1000 {
		d.See("arm64", pod1)
	}
	supplies := []Supply{cores("amd64", 100), cores("arm64", 100)}
	if diff := cmp.Diff([]int{0, 3}, d.Mix().Places(supplies, nil)); diff != "" {
		t.Errorf("arm64 only (-want +got)\n%s", diff)
	}
	for range 500 { // ten half-lives
		d.See("amd64", pod1)
	}
	if diff := cmp.Diff([]int{6, 0}, d.Mix().Places(supplies, nil)); diff != "" {
		t.Errorf("then amd64 only (-want +got)\n%s", diff)
	}
}

func TestTheFirstPodsAreLearntAtOnceAndTheOthersSoon(t *testing.T) {
	d := NewDemand(1000)
	last := d.Mix()
	for i := range 300 {
		d.See("arm64", pod1)
		if next := d.Mix(); i < publishEach && next == last {
			t.Fatalf("pod %d was not learnt", i)
		} else if next != last {
			last = next
		} else if float64(i+1)-last.pods > 100 {
			t.Fatalf("of %d pods, %v were learnt", i+1, last.pods)
		}
	}
	if last.pods < 200 {
		t.Errorf("of 300 pods, %v were learnt", last.pods)
	}
}

func TestPodsThatNeedNothingOrLessTeachNothingAbsurd(t *testing.T) {
	d := NewDemand(0)
	for range 100 {
		d.See("amd64", Amount{-1 << 62, -1 << 62})
		d.See("pdp11", Amount{})
	}
	got := d.Mix().Places([]Supply{cores("amd64", 100), cores("arm64", 100)}, nil)
	if diff := cmp.Diff([]int{3, 0}, got); diff != "" {
		t.Errorf("%v (-want +got)\n%s", d.Mix(), diff)
	}
}

func TestAMixShowsWhoIsCaptive(t *testing.T) {
	if got, want := NewDemand(1).Mix().String(), "of 0 pods, captive of cores and memory: amd64 30% 30%, arm64 3% 3%, arm 3% 3%"; !strings.HasPrefix(got, want) {
		t.Errorf("got  %s\nwant %s ...", got, want)
	}
	got := learnt(t, 10_000, map[string]int{"arm64": 40}).String()
	if want := "of 10000 pods, captive of cores and memory: amd64 0% 0%, arm64 40% 40%"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestManyMayLearnAndAskAtOnce(t *testing.T) {
	d := NewDemand(100)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 200 {
				d.See(architectures[(g+i)%2], pod1)
				d.Mix().Places([]Supply{cores("amd64", 1), cores("arm64", 1)}, nil)
			}
		})
	}
	all.Wait()
	if d.shown != 800 {
		t.Errorf("%d pods were counted, want 800", d.shown)
	}
}

// history draws a stream of pods.
type history []struct {
	only  string
	needs Amount
}

func drawHistory(t *rapid.T) history {
	h := make(history, rapid.IntRange(0, 80).Draw(t, "pods"))
	for i := range h {
		h[i].only = rapid.SampledFrom([]string{"", "amd64", "arm64", "s390x", "pdp11"}).Draw(t, "only")
		h[i].needs = drawAmount(t)
	}
	return h
}

func drawAmount(t *rapid.T) Amount {
	return Amount{rapid.Int64Range(-10, 100_000).Draw(t, "cpu"), rapid.Int64Range(-10, 1<<40).Draw(t, "memory")}
}

func (h history) mix() *Mix {
	d := NewDemand(30)
	for _, pod := range h {
		d.See(pod.only, pod.needs)
	}
	return d.learnt.mix()
}

func drawSupplies(t *rapid.T) []Supply {
	names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"amd64", "arm64", "s390x", "riscv64", "pdp11"}), 1, 5, rapid.ID[string]).Draw(t, "names")
	out := make([]Supply, len(names))
	for i, name := range names {
		out[i] = Supply{name, drawAmount(t)}
	}
	return out
}

func TestPlacesDoNotDependOnTheOrderOfSupplies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, supplies := drawHistory(t).mix(), drawSupplies(t)
		want := map[Supply]int{}
		for i, place := range m.Places(supplies, nil) {
			want[supplies[i]] = place
		}
		shuffled := rapid.Permutation(supplies).Draw(t, "order")
		for i, place := range m.Places(shuffled, nil) {
			if place != want[shuffled[i]] || place < 0 || place > LastPlace {
				t.Fatalf("%v: place %d in %v, %d in %v", shuffled[i], want[shuffled[i]], supplies, place, shuffled)
			}
		}
	})
}

func TestAPlaceCountsTheFactorsOfTwoToTheLongestRunway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, supplies := drawHistory(t).mix(), drawSupplies(t)
		longest, first := 0.0, LastPlace
		for i := range supplies {
			longest = max(longest, m.Runway(&supplies[i]))
		}
		for i, place := range m.Places(supplies, nil) {
			first = min(first, place)
			times := longest / m.Runway(&supplies[i])
			if place > 0 && times < math.Exp2(float64(place))*.999 || place < LastPlace && times > math.Exp2(float64(place+1))*1.001 {
				t.Fatalf("%v has place %d, its runway is %v times shorter than the longest", supplies[i], place, times)
			}
		}
		if longest > 0 && first != 0 {
			t.Fatalf("%v: no supply is the first to use", supplies)
		}
	})
}

func TestLessLeftNeverImprovesAPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, supplies := drawHistory(t).mix(), drawSupplies(t)
		at := rapid.IntRange(0, len(supplies)-1).Draw(t, "at")
		before := m.Places(supplies, nil)
		supplies[at].Free.MilliCPU -= rapid.Int64Range(0, 100_000).Draw(t, "taken")
		supplies[at].Free.MemoryBytes -= rapid.Int64Range(0, 1<<40).Draw(t, "taken")
		after := m.Places(supplies, nil)
		if after[at] < before[at] {
			t.Fatalf("%v improved from place %d to %d", supplies[at], before[at], after[at])
		}
		for i := range supplies {
			if i != at && after[i] > before[i] {
				t.Fatalf("%v fell from place %d to %d, because another has less", supplies[i], before[i], after[i])
			}
		}
	})
}

func TestMoreCaptiveDemandNeverImprovesAPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, supplies := drawHistory(t), drawSupplies(t)
		at := rapid.IntRange(0, len(supplies)-1).Draw(t, "at")
		before := h.mix().Places(supplies, nil)
		for i := range h {
			if h[i].only == "" && rapid.Bool().Draw(t, "captive now") {
				h[i].only = supplies[at].Architecture
			}
		}
		if after := h.mix().Places(supplies, nil); after[at] < before[at] {
			t.Fatalf("%v improved from place %d to %d", supplies[at], before[at], after[at])
		}
	})
}

func TestPlacesAllocateNothing(t *testing.T) {
	m, supplies, into := NewDemand(1).Mix(), []Supply{cores("amd64", 100), cores("arm64", 50)}, make([]int, 2)
	if n := testing.AllocsPerRun(100, func() { into = m.Places(supplies, into) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkPlaces(b *testing.B) {
	m, supplies, into := NewDemand(1).Mix(), []Supply{cores("amd64", 100), cores("arm64", 50), cores("s390x", 1)}, make([]int, 3)
	b.ReportAllocs()
	for b.Loop() {
		into = m.Places(supplies, into)
	}
}

func BenchmarkSee(b *testing.B) {
	d := NewDemand(1000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		d.See(architectures[i%2], pod1)
	}
}

// The worked example of the package's documentation.
func ExampleMix_Places() {
	d := NewDemand(1_000_000)
	for i := range 200 {
		only := ""
		if i%4 == 0 {
			only = "amd64"
		}
		d.See(only, Amount{1000, 4 << 30})
	}
	supplies := []Supply{{"amd64", Amount{400_000, 1600 << 30}}, {"arm64", Amount{100_000, 400 << 30}}}
	fmt.Println(d.Mix().Places(supplies, nil))
	// Output: [3 0]
}
