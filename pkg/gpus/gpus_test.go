package gpus

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// The nodes of these tests:
//
//	h100    nvidia.com/gpu          8 whole GPUs of 79.6Gi
//	h200    nvidia.com/gpu          8 whole GPUs of 140Gi
//	l40s    nvidia.com/gpu          40 shares of 4.4Gi, 4 GPUs time-sliced by 10
//	mps     nvidia.com/gpu          16 shares of 11.2Gi, 4 GPUs under MPS
//	single  nvidia.com/gpu          56 slices of 9.7Gi
//	mixed   nvidia.com/mig-1g.10gb  16 slices of 9.7Gi
//	        nvidia.com/mig-3g.40gb  8 slices of 39.5Gi
const (
	slice1g = "nvidia.com/mig-1g.10gb"
	slice3g = "nvidia.com/mig-3g.40gb"
)

func whole(mib int64) Offer {
	return Offer{Resource: NvidiaGPU, Kind: Whole, MemoryMiB: mib, Isolation: Exclusive, Replicas: 1, Slices: 8}
}

func part(resource string, mib, eighths int64) Offer {
	return Offer{Resource: resource, Kind: Slice, MemoryMiB: mib, Isolation: MIG, Replicas: 1, Slices: eighths}
}

func share(mib, replicas int64, level Isolation) Offer {
	return Offer{Resource: NvidiaGPU, Kind: Share, MemoryMiB: mib, Isolation: level, Replicas: replicas, Slices: 8}
}

// node is a node with as many units allocatable and requested of each offer, in
// turn.
func node(offers []Offer, counts ...int64) *Node {
	n := &Node{Facts: &Facts{Offers: offers}}
	for i := range offers {
		n.Counts[i] = Count{counts[2*i], counts[2*i+1]}
	}
	return n
}

func h100(used int64) *Node   { return node([]Offer{whole(81559)}, 8, used) }
func h200(used int64) *Node   { return node([]Offer{whole(143771)}, 8, used) }
func l40s(used int64) *Node   { return node([]Offer{share(4606, 10, TimeSlicing)}, 40, used) }
func mps(used int64) *Node    { return node([]Offer{share(11517, 4, MPS)}, 16, used) }
func single(used int64) *Node { return node([]Offer{part(NvidiaGPU, 9984, 1)}, 56, used) }
func mixed(used1g, used3g int64) *Node {
	return node([]Offer{part(slice1g, 9984, 1), part(slice3g, 40448, 4)}, 16, used1g, 8, used3g)
}

const gib = 1 << 30

// asks is a request for one unit of nvidia.com/gpu.
func asks(memoryBytes int64, preference ...Isolation) *Request {
	return NewRequest([]Want{{Resource: NvidiaGPU, Count: 1}}, memoryBytes, preference)
}

// several asks for some of one container.
func several(count, memoryBytes int64, preference ...Isolation) *Request {
	return NewRequest([]Want{{Resource: NvidiaGPU, Count: count, PerContainer: count}}, memoryBytes, preference)
}

func TestFits(t *testing.T) {
	changing, gone := h100(0), mixed(0, 0)
	changing.Changing = Label{"nvidia.com/mig.config.state", "pending"}
	gone.Offers, gone.Changing = gone.Offers[:1], changing.Changing
	amd := node([]Offer{{Resource: AMDGPU, MemoryMiB: 196096, Isolation: Exclusive, Replicas: 1, Slices: 8}}, 8, 0)
	amd.Changing = changing.Changing
	paused := h100(0)
	paused.Paused = Label{"nvidia.com/gpu.deploy.device-plugin", "paused-for-driver-upgrade"}
	amd.Paused = paused.Paused
	unlabelled := Offer{Resource: NvidiaGPU, Isolation: TimeSlicing, NoSharing: Label{Key: "s"}, NoMemory: Label{Key: "m"}, Replicas: 1, Slices: 8}
	invalid := part(NvidiaGPU, 0, 1)
	invalid.Invalid, invalid.NoMemory = Label{"nvidia.com/gpu.product", "X-MIG-INVALID"}, Label{"nvidia.com/gpu.memory", "0"}
	covers := whole(81559)
	covers.Covers, covers.Units = 3, 8
	wants := func(pairs ...Want) *Request { return NewRequest(pairs, 0, nil) }

	for name, tc := range map[string]struct {
		request *Request
		node    *Node
		want    Refusal
	}{
		"a pod that states nothing takes any unit":     {asks(0), l40s(0), Refusal{}},
		"memory to the last MiB":                       {asks(81559 << 20), h100(0), Refusal{}},
		"a byte more than there is":                    {asks(81559<<20 + 1), h100(0), Refusal{Reason: MemoryTooSmall, Need: 81560, Has: 81559, Isolation: Exclusive}},
		"a slice is held against its label, not name":  {NewRequest([]Want{{Resource: slice1g, Count: 1}}, 10*gib, nil), mixed(0, 0), Refusal{Reason: MemoryTooSmall, Resource: slice1g, Need: 10240, Has: 9984, Isolation: MIG}},
		"a share is held against its part":             {asks(18 * gib), l40s(0), Refusal{Reason: MemoryTooSmall, Need: 18432, Has: 4606, Isolation: TimeSlicing}},
		"a share that is enough":                       {asks(11 * gib), mps(0), Refusal{}},
		"memory that no label tells":                   {asks(1), node([]Offer{unlabelled}, 8, 0), Refusal{Reason: MemoryUnknown, Label: Label{Key: "m"}, Need: 1, Isolation: TimeSlicing}},
		"labels of some of the GPUs":                   {asks(1), node([]Offer{covers}, 8, 0), Refusal{Reason: LabelsPartial, Need: 8, Has: 3, Isolation: Exclusive}},
		"labels of some, and a floor":                  {asks(0, Exclusive), node([]Offer{covers}, 8, 0), Refusal{Reason: LabelsPartial, Need: 8, Has: 3, Isolation: Exclusive, Floor: Exclusive}},
		"labels of some, the lowest floor":             {asks(0, Exclusive, TimeSlicing), node([]Offer{covers}, 8, 0), Refusal{}},
		"labels of some, nothing stated":               {asks(0), node([]Offer{covers}, 8, 0), Refusal{}},
		"no labels, nothing stated":                    {asks(0), node([]Offer{unlabelled}, 8, 0), Refusal{}},
		"a floor, and sharing that no label tells":     {asks(0, MPS), node([]Offer{unlabelled}, 8, 0), Refusal{Reason: SharingUnknown, Label: Label{Key: "s"}, Isolation: TimeSlicing, Floor: MPS}},
		"the lowest floor is met by anything":          {asks(0, TimeSlicing), node([]Offer{unlabelled}, 8, 0), Refusal{}},
		"weaker than the floor":                        {asks(0, MIG, MPS), l40s(0), Refusal{Reason: IsolationTooWeak, Isolation: TimeSlicing, Floor: MPS}},
		"on the floor":                                 {asks(0, MIG, MPS), mps(0), Refusal{}},
		"stronger than the floor, not listed":          {asks(0, MIG, MPS), h100(0), Refusal{}},
		"between two that are listed":                  {asks(0, Exclusive, MPS), single(0), Refusal{}},
		"a slice where a whole GPU is wanted":          {asks(0, Exclusive), single(0), Refusal{Reason: IsolationTooWeak, Isolation: MIG, Floor: Exclusive}},
		"too weak is told before too small":            {asks(18*gib, MIG), l40s(0), Refusal{Reason: IsolationTooWeak, Need: 18432, Isolation: TimeSlicing, Floor: MIG}},
		"the layout is changing":                       {asks(0), changing, Refusal{Reason: LayoutChanging, Label: changing.Changing}},
		"changing, and the resource is gone for now":   {wants(Want{Resource: slice3g, Count: 1}), gone, Refusal{Reason: LayoutChanging, Resource: slice3g, Label: changing.Changing}},
		"paused for another driver":                    {asks(0), paused, Refusal{Reason: GPUsPaused, Label: paused.Paused}},
		"NVIDIA's layout is nothing to AMD's":          {wants(Want{Resource: AMDGPU, Count: 1}), amd, Refusal{}},
		"slices that are not all alike":                {asks(gib), node([]Offer{invalid}, 0, 0), Refusal{Reason: LayoutInvalid, Label: invalid.Invalid, Need: 1024, Isolation: MIG}},
		"a resource the node does not have":            {asks(0), mixed(0, 0), Refusal{Reason: NotOffered, Need: 1}},
		"what is known goes before what is not there":  {NewRequest([]Want{{Resource: AMDGPU, Count: 1}, {Resource: slice1g, Count: 1}}, 40*gib, nil), mixed(0, 0), Refusal{Reason: MemoryTooSmall, Resource: slice1g, Need: 40960, Has: 9984, Isolation: MIG}},
		"all are taken":                                {asks(0), h100(8), Refusal{Reason: TooFew, Need: 1, Has: 0}},
		"more are taken than there are":                {asks(0), h100(9), Refusal{Reason: TooFew, Need: 1, Has: 0}},
		"the last ones":                                {wants(Want{Resource: NvidiaGPU, Count: 3}), h100(5), Refusal{}},
		"one too many":                                 {wants(Want{Resource: NvidiaGPU, Count: 4}), h100(5), Refusal{Reason: TooFew, Need: 4, Has: 3}},
		"full and too small: only one can be evicted":  {asks(80 * gib), h100(8), Refusal{Reason: MemoryTooSmall, Need: 81920, Has: 81559, Isolation: Exclusive}},
		"two resources, one of them short":             {wants(Want{Resource: slice1g, Count: 1}, Want{Resource: slice3g, Count: 2}), mixed(0, 7), Refusal{Reason: TooFew, Resource: slice3g, Need: 2, Has: 1}},
		"every unit must do, not only the first asked": {NewRequest([]Want{{Resource: slice1g, Count: 1}, {Resource: slice3g, Count: 1}}, 30*gib, nil), mixed(0, 0), Refusal{Reason: MemoryTooSmall, Resource: slice1g, Need: 30720, Has: 9984, Isolation: MIG}},
	} {
		if tc.want.Reason != Suitable && tc.want.Resource == "" {
			tc.want.Resource = tc.request.wants[0].Resource
		}
		if got := tc.request.Fits(tc.node); got != tc.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, tc.want)
		}
	}
}

// TestRankPrefers lists nodes from the best to the worst; "=" says that two are
// equally good.
func TestRankPrefers(t *testing.T) {
	var census Census
	census.Add([]Hardware{{"rare", 40960, 4000}})
	census.Add([]Hardware{{"common", 40960, 64000}})
	worth := census.Worth()
	of := func(model string) *Node {
		n := node([]Offer{whole(40960)}, 8, 4)
		n.Hardware = []Hardware{{model, 40960, 8000}}
		return n
	}
	beside := node([]Offer{whole(81559), part(slice1g, 9984, 1)}, 3, 0, 28, 28)
	besideFree := node([]Offer{whole(81559), part(slice1g, 9984, 1)}, 3, 0, 28, 1)
	for name, tc := range map[string]struct {
		request *Request
		nodes   []*Node
	}{
		"the smallest that suffices":                       {asks(4 * gib), []*Node{l40s(0), single(0), mps(0), h100(4), h200(4)}},
		"the smallest, even if it is untouched":            {asks(60 * gib), []*Node{h100(0), h200(4)}},
		"the order of the preference, before memory":       {asks(4*gib, MIG, MPS), []*Node{single(0), mps(15), h100(4)}},
		"unlisted levels last, nearest to the floor first": {asks(4*gib, TimeSlicing), []*Node{l40s(0), mps(0), single(0), h100(4)}},
		"an order that skips one":                          {asks(4*gib, Exclusive, MPS), []*Node{h100(4), mps(0), single(0)}},
		"the fewest free GPUs that still fit":              {asks(0), []*Node{h100(7), h100(6), h100(1), h100(0)}},
		"fewest free, for several GPUs":                    {NewRequest([]Want{{Resource: NvidiaGPU, Count: 4}}, 0, nil), []*Node{h100(4), h100(3), h100(1), h100(0)}},
		"an untouched node last, even if it is small":      {asks(0), []*Node{h100(1), node([]Offer{whole(81559)}, 1, 0)}},
		"mixed slices by what all of them leave":           {NewRequest([]Want{{Resource: slice1g, Count: 1}}, 0, nil), []*Node{mixed(10, 7), mixed(15, 4), mixed(15, 0), mixed(0, 0)}},
		"whole GPUs for several, however large":            {several(2, 4*gib), []*Node{h200(4), single(0), l40s(0)}},
		"the preference before whole GPUs":                 {several(2, 0, MIG, TimeSlicing), []*Node{single(0), l40s(0), h200(4)}},
		"one for each of several containers":               {NewRequest([]Want{{Resource: NvidiaGPU, Count: 4, PerContainer: 1}}, 4*gib, nil), []*Node{l40s(0), single(0), h200(4)}},
		"the commoner model":                               {asks(0), []*Node{of("common"), of("rare")}},
		"whole GPUs beside slices that are in use":         {asks(0), []*Node{beside, besideFree, h100(4), h100(1)}},
	} {
		for i := 1; i < len(tc.nodes); i++ {
			better, worse := tc.request.Rank(tc.nodes[i-1], worth.Of(tc.nodes[i-1].Facts)), tc.request.Rank(tc.nodes[i], worth.Of(tc.nodes[i].Facts))
			if better.Compare(worse) >= 0 || better.Score() <= worse.Score() {
				t.Errorf("%s: want the first before the second\n%+v %d\n%v\n%+v %d\n%v", name,
					better, better.Score(), tc.nodes[i-1], worse, worse.Score(), tc.nodes[i])
			}
		}
	}
}

func TestRanksAre(t *testing.T) {
	two := []Want{{Resource: slice1g, Count: 2}, {Resource: slice3g, Count: 1}}
	for name, tc := range map[string]struct {
		request *Request
		node    *Node
		want    Rank
	}{
		"a whole GPU, nothing stated":  {asks(0), h100(5), Rank{FreeKind: 2000, FreeAll: 2000}},
		"an untouched node":            {asks(0), h100(0), Rank{Untouched: 1, FreeKind: 7000, FreeAll: 7000}},
		"a share":                      {asks(gib, MIG, TimeSlicing), l40s(5), Rank{Isolation: 1, MemoryGiB: 5, FreeKind: 3400, FreeAll: 3400}},
		"an unlisted level":            {asks(0, MIG, MPS), h100(5), Rank{Isolation: 2, FreeKind: 2000, FreeAll: 2000}},
		"slices of two kinds":          {NewRequest(two, gib, nil), mixed(3, 2), Rank{MemoryGiB: 60, FreeKind: 13*125 + 6*500 - 750, FreeAll: 13*125 + 6*500 - 750}},
		"a whole GPU beside slices":    {asks(0), node([]Offer{whole(81559), part(slice1g, 9984, 1)}, 3, 1, 28, 20), Rank{FreeKind: 1000, FreeAll: 2000}},
		"more asked than the node has": {asks(0), h100(9), Rank{}},
	} {
		if got := tc.request.Rank(tc.node, 0); got != tc.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, tc.want)
		}
	}
}

func TestTheSameGPUWithAnotherDriverIsEquallyGood(t *testing.T) {
	older, newer := node([]Offer{whole(81251)}, 8, 4), node([]Offer{whole(81920)}, 8, 4)
	for count := range int64(4) {
		r := NewRequest([]Want{{Resource: NvidiaGPU, Count: count + 1}}, 40*gib, nil)
		if a, b := r.Rank(older, 0), r.Rank(newer, 0); a != b || a.MemoryGiB != 80*(count+1) {
			t.Errorf("got %+v and %+v", a, b)
		}
	}
}

func TestWorth(t *testing.T) {
	var census Census
	common, rare, big := Hardware{"common", 16384, 64000}, Hardware{"rare", 81920, 8000}, Hardware{"big", 143771, 8000}
	for _, h := range []Hardware{common, rare, big} {
		census.Add([]Hardware{h})
	}
	census.Add([]Hardware{{"gone", 1, 1}})
	census.Remove([]Hardware{{"gone", 1, 1}})
	w := census.Worth()
	has := func(hardware ...Hardware) int64 { return w.Of(&Facts{Hardware: hardware}) }
	for name, tc := range map[string]struct{ got, want int64 }{
		"no GPUs":                             {has(), 0},
		"the scarcest, of equals the biggest": {has(big), MaxWorth},
		"as few, smaller":                     {has(rare), MaxWorth - 1},
		"the commonest":                       {has(common), MaxWorth - 2},
		"a node of two: its scarcest":         {has(common, rare), MaxWorth - 1},
		"a model that was not counted":        {has(Hardware{Model: "new"}), MaxWorth},
		"no census yet":                       {(*Worth)(nil).Of(&Facts{Hardware: []Hardware{common}}), MaxWorth},
		"no census and no GPUs":               {(*Worth)(nil).Of(&Facts{}), 0},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %d, want %d", name, tc.got, tc.want)
		}
	}
	var many Census
	for i := range int64(1000) {
		many.Add([]Hardware{{strings.Repeat("x", int(i)+1), 1, i + 1}})
	}
	if got := many.Worth().Of(&Facts{Hardware: []Hardware{{Model: strings.Repeat("x", 1000)}}}); got != 1 {
		t.Errorf("the commonest of a thousand models has %d, want 1: it is still a GPU", got)
	}
}

func TestVendorOf(t *testing.T) {
	for resource, want := range map[string]Vendor{
		"nvidia.com/gpu": Nvidia, "nvidia.com/gpu.shared": Nvidia, "nvidia.com/mig-1g.10gb": Nvidia, "nvidia.com/mig-1g.10gb.me": Nvidia, "nvidia.com/mig-1g.10gb.shared": Nvidia,
		"amd.com/gpu": AMD, "amd.com/spx_nps1": AMD, "amd.com/cpx_nps4": AMD, "gpu.intel.com/i915": Intel, "gpu.intel.com/xe": Intel,
		"nvidia.com/mig-": "", "nvidia.com/gpu.count": "", "nvidia.com/hostdev": "", "gpu.intel.com/monitoring": "", "gpu.intel.com/i915_monitoring": "",
		"amd.com/cpx": "", "amd.com/cpx_nps": "", "amd.com/cpx_nps44": "", "amd.com/cpx_nps0": "", "amd.com/cpx_nps:": "", "amd.com/fpga_nps1": "", "example.com/gpu": "", "cpu": "", "": "",
	} {
		if got := VendorOf(resource); got != want {
			t.Errorf("%s: got %q, want %q", resource, got, want)
		}
	}
}

func TestPartitionModes(t *testing.T) {
	for mode, want := range map[string]int64{
		"spx_nps1": 1, "dpx_nps2": 2, "tpx_nps1": 3, "qpx_nps4": 4, "cpx_nps4": 8, "CPX_NPS1": 8,
		"": 0, "cpx": 0, "_nps1": 0, "cpx_nps": 0, "cpx_nps9": 0, "cpx_nps14": 0, "zpx_nps1": 0,
	} {
		if got := Partitions(mode); got != want {
			t.Errorf("%s: got %d, want %d", mode, got, want)
		}
	}
}

func TestANodeWithoutTheResourceCanBeRanked(t *testing.T) {
	// Claims may serve the resource there: the node was not refused for it.
	if got := asks(gib).Rank(mixed(0, 0), 7); got.Isolation != 0 || got.MemoryGiB != 0 || got.Worth != 7 {
		t.Errorf("got %+v", got)
	}
}

func TestAUnitIsThisMuchOfAGPU(t *testing.T) {
	for name, tc := range map[string]struct {
		offer Offer
		want  int64
	}{
		"a whole one":                    {whole(1), 1000},
		"an eighth":                      {part(slice1g, 1, 1), 125},
		"half":                           {part(slice3g, 1, 4), 500},
		"one of ten":                     {share(1, 10, TimeSlicing), 100},
		"one of four of half":            {Offer{Kind: Share, Slices: 4, Replicas: 4}, 125},
		"one of more than are counted":   {share(1, 100_000, TimeSlicing), 1},
		"an offer that was never filled": {Offer{}, 1},
	} {
		if got := tc.offer.MilliGPUs(); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
}

func TestIdleIsListedGPUByGPU(t *testing.T) {
	for name, tc := range map[string]struct {
		node *Node
		most int
		want []int64
	}{
		"whole GPUs":                 {h100(6), 64, []int64{1000, 1000, 0, 0, 0, 0, 0, 0}},
		"slices, two of them free":   {node([]Offer{part(slice1g, 9984, 1)}, 14, 12), 64, []int64{250, 0}},
		"shares":                     {node([]Offer{share(4606, 10, TimeSlicing)}, 20, 5), 64, []int64{1000, 500}},
		"whole GPUs beside slices":   {node([]Offer{whole(81559), part(slice3g, 40000, 4)}, 1, 1, 4, 1), 64, []int64{0, 1000, 500}},
		"more than there is room of": {h100(0), 2, []int64{1000, 1000}},
		"and of slices":              {node([]Offer{part(slice1g, 9984, 1)}, 80, 0), 2, []int64{1000, 1000}},
		"nothing":                    {node([]Offer{whole(1)}, 0, 0), 64, []int64{}},
	} {
		into := make([]int64, tc.most)
		if n, _ := tc.node.Idle(into); !slices.Equal(into[:n], tc.want) {
			t.Errorf("%s: got %v, want %v", name, into[:n], tc.want)
		}
	}
}

func TestGiB(t *testing.T) {
	for mib, want := range map[int64]string{0: "?", -1: "?", 1: "1Mi", 102: "102Mi", 103: "0.1Gi", 20096: "19.6Gi", 81920: "80Gi", 81919: "79.9Gi", math.MaxInt32: "2097151.9Gi"} {
		if got := GiB(mib); got != want {
			t.Errorf("%d: got %s, want %s", mib, got, want)
		}
	}
}

func TestANodeIsDrawnOfferByOffer(t *testing.T) {
	n := mixed(3, 2)
	n.Changing = Label{"nvidia.com/mig.config.state", "pending"}
	want := `nvidia.com/mig-1g.10gb slice 9.7Gi mig ███░░░░░░░░░░░░░ 13 of 16 free
nvidia.com/mig-3g.40gb slice 39.5Gi mig ██░░░░░░ 6 of 8 free
changing: nvidia.com/mig.config.state=pending`
	if got := n.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPreferences(t *testing.T) {
	for value, want := range map[string][]Isolation{
		"exclusive": {Exclusive}, "mig>mps": {MIG, MPS}, "exclusive>mig>mps>time-slicing": {Exclusive, MIG, MPS, TimeSlicing},
		"": nil, ">": nil, "mps>mig": nil, "mig>mig": nil, "MIG": nil, "mig> mps": nil, "mig>": nil, "none": nil, "mig>mig>mig>mig>mig>mig": nil,
	} {
		got, ok := ParsePreference(value)
		if ok != (want != nil) || ok && !slices.Equal(got, want) {
			t.Errorf("%q: got %v %v, want %v", value, got, ok, want)
		}
	}
	if got := strings.Join(Levels(), ">"); got != "exclusive>mig>mps>time-slicing" {
		t.Errorf("levels are listed as %s", got)
	}
	if got := Isolation(200).String(); got != "" {
		t.Errorf("no level is called %q", got)
	}
}

func TestARequestKeepsNothingOfItsCallers(t *testing.T) {
	wants := []Want{{Resource: NvidiaGPU, Count: 1}}
	r := NewRequest(wants, 0, nil)
	wants[0].Count = 100
	if got := r.Fits(h100(0)); got != (Refusal{}) {
		t.Errorf("the caller changed the request: %+v", got)
	}
	if r.Demanding() || !asks(1).Demanding() || !asks(0, MPS).Demanding() || asks(0, TimeSlicing).Demanding() {
		t.Error("only a need of memory or a floor above the lowest demands something of labels")
	}
}
