package openb

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// loaded is the trace that is shipped.
func loaded(tb testing.TB) ([]Node, []Pod) {
	tb.Helper()
	nodes, err := Nodes()
	if err != nil {
		tb.Fatal(err)
	}
	pods, err := Pods()
	if err != nil {
		tb.Fatal(err)
	}
	return nodes, pods
}

// TestTheTraceIsThatOfThePaper holds the lists against the figures published with
// them.
func TestTheTraceIsThatOfThePaper(t *testing.T) {
	nodes, pods := loaded(t)
	type figures struct {
		nodes, pods               int
		gpus, cores, asked        int64
		cpuOnly, shared, one, two int
		four, eight, choosy       int
	}
	got := figures{nodes: len(nodes), pods: len(pods), gpus: Capacity(nodes) / Whole}
	for i := range nodes {
		got.cores += nodes[i].CPUMilli
	}
	got.cores /= 1000
	for i := range pods {
		p := &pods[i]
		got.asked += p.Asks()
		if len(p.Models) > 0 {
			got.choosy++
		}
		switch {
		case p.GPUs == 0:
			got.cpuOnly++
		case p.GPUMilli < Whole:
			got.shared++
		case p.GPUs == 1:
			got.one++
		case p.GPUs == 2:
			got.two++
		case p.GPUs == 4:
			got.four++
		case p.GPUs == 8:
			got.eight++
		}
	}
	want := figures{nodes: 1213, pods: 8152, gpus: 6212, cores: 107018, asked: 6_086_800, // 98.0 %
		cpuOnly: 1088, shared: 3078, one: 3911, two: 16, four: 15, eight: 44}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(figures{})); diff != "" {
		t.Errorf("the trace (-want +got):\n%s", diff)
	}
}

const (
	nodeHead = "sn,cpu_milli,memory_mib,gpu,model\n"
	podHead  = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"
)

func TestReadNodes(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []Node
		wrong      string
	}{
		{name: "nodes with and without GPUs", text: nodeHead + "a,64000,262144,2,P100\nb,32000,1024,0,\n",
			want: []Node{{"a", 64000, 262144, 2, "P100"}, {"b", 32000, 1024, 0, ""}}},
		{name: "columns in another order, and more of them", text: "gpu,zone,model,sn,memory_mib,cpu_milli\n1,z,T4,a,2,3\n",
			want: []Node{{"a", 3, 2, 1, "T4"}}},
		{name: "a list without rows", text: nodeHead},
		{name: "nothing at all", wrong: "reading f: it is empty; want a first line with columns sn,cpu_milli,memory_mib,gpu,model"},
		{name: "a missing column", text: "sn,cpu_milli,memory_mib,gpu\n", wrong: `reading f: line 1 has no column "model", only ["sn" "cpu_milli" "memory_mib" "gpu"]`},
		{name: "a column twice", text: "sn,gpu,gpu\n", wrong: `reading f: line 1 names column "gpu" twice; want it once`},
		{name: "no number", text: nodeHead + "a,64,1,2,T4\nb,many,1,2,T4\n", wrong: `reading f: line 3, column cpu_milli: "many": want 1 to 2147483648 thousandths of a core`},
		{name: "a number with a fraction", text: nodeHead + "a,64,1.5,2,T4\n", wrong: `line 2, column memory_mib: "1.5": want 1 to 2147483648 MiB`},
		{name: "less than none", text: nodeHead + "a,64,1,-2,T4\n", wrong: `line 2, column gpu: "-2": want 0 to 64 GPUs`},
		{name: "more than a slice holds", text: nodeHead + "a,64,1,65,T4\n", wrong: `line 2, column gpu: "65": want 0 to 64 GPUs`},
		{name: "GPUs of no model", text: nodeHead + "a,64,1,2,\n", wrong: `line 2, column model: "": want a GPU model, since the node has GPUs`},
		{name: "a model that is no label", text: nodeHead + "a,64,1,2,T4\"]\n", wrong: "line 2, column "},
		{name: "a name twice", text: nodeHead + "a,64,1,2,T4\n\nb,64,1,2,T4\na,64,1,2,T4\n", wrong: `line 5, column sn: "a": want a name of its own: line 2 has it, too`},
		{name: "no name", text: nodeHead + ",64,1,2,T4\n", wrong: `line 2, column sn: "": want a DNS label`},
		{name: "a short line", text: nodeHead + "a,64\n", wrong: "reading f: record on line 2: wrong number of fields"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ReadNodes("f", strings.NewReader(c.text))
			check(t, c.want, got, c.wrong, err)
		})
	}
}

func TestReadPods(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []Pod
		wrong      string
	}{
		{name: "CPU only, shared and several", text: podHead + "a,8000,30517,0,0,\nb,1,2,1,460,T4\nc,1,2,8,1000,\n",
			want: []Pod{{"a", 8000, 30517, 0, 0, nil}, {"b", 1, 2, 1, 460, []string{"T4"}}, {"c", 1, 2, 8, 1000, nil}}},
		{name: "a model that nothing is known of, and one twice", text: podHead + "a,1,2,1,1000,X9|V100M32|V100M32\n",
			want: []Pod{{"a", 1, 2, 1, 1000, []string{"X9", "V100M32"}}}},
		{name: "the list without the later columns", text: "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,2,1,1000\n",
			want: []Pod{{"a", 1, 2, 1, 1000, nil}}},
		{name: "the list with more of them", text: "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\na,1,2,1,1000,,BE\n",
			want: []Pod{{"a", 1, 2, 1, 1000, nil}}},
		{name: "more than a GPU", text: podHead + "a,1,2,1,1001,\n", wrong: `reading f: line 2, column gpu_milli: "1001": want 0 to 1000 thousandths of a GPU`},
		{name: "parts of several GPUs", text: podHead + "a,1,2,2,500,\n", wrong: `line 2, column gpu_milli: "500": want 1000, since num_gpu is 2: only one GPU can be shared`},
		{name: "nothing of a GPU", text: podHead + "a,1,2,1,0,\n", wrong: `line 2, column gpu_milli: "0": want 1 to 1000, since num_gpu is 1`},
		{name: "part of no GPU", text: podHead + "a,1,2,0,500,\n", wrong: `line 2, column gpu_milli: "500": want 0, since num_gpu is 0`},
		{name: "less than no GPU", text: podHead + "a,1,2,-1,1000,\n", wrong: `line 2, column num_gpu: "-1": want 0 to 32 GPUs`},
		{name: "a choice of nothing", text: podHead + "a,1,2,1,1000,T4|\n", wrong: `line 2, column gpu_spec: "T4|": want names of GPU models`},
		{name: "no number", text: podHead + "a,1,2,one,1000,\n", wrong: `line 2, column num_gpu: "one": want 0 to 32 GPUs`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ReadPods("f", strings.NewReader(c.text))
			check(t, c.want, got, c.wrong, err)
		})
	}
}

func check[T any](t *testing.T, want, got []T, wrong string, err error) {
	t.Helper()
	switch {
	case wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)):
		t.Errorf("error %v, want %q in it", err, wrong)
	case wrong == "" && err != nil:
		t.Error(err)
	case wrong == "":
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// FuzzReadPods: whatever is read can be asked for, and what cannot is named with its
// file.
func FuzzReadPods(f *testing.F) {
	f.Add(podHead + "a,8000,30517,0,0,\nb,1,2,1,460,T4|P100\n")
	f.Add("name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,2,8,1000\n")
	f.Add(podHead + "a,1,2,2,500,\"x\n")
	f.Fuzz(func(t *testing.T, text string) {
		pods, err := ReadPods("list.csv", strings.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "reading list.csv: ") {
				t.Fatalf("error %q does not name the file", err)
			}
			return
		}
		names := map[string]bool{}
		for i := range pods {
			p := &pods[i]
			if names[p.Name] {
				t.Errorf("two pods are named %q", p.Name)
			}
			names[p.Name] = true
			if p.CPUMilli < 0 || p.MemoryMiB < 0 || p.GPUs < 0 || p.GPUMilli < 0 || p.GPUMilli > Whole || (p.GPUs == 0) != (p.GPUMilli == 0) || p.GPUs > 1 && p.GPUMilli < Whole {
				t.Errorf("%+v is no request", p)
			}
		}
	})
}

// FuzzReadNodes is the same for nodes.
func FuzzReadNodes(f *testing.F) {
	f.Add(nodeHead + "a,64000,262144,2,P100\nb,32000,1024,0,\n")
	f.Add("gpu,sn\n1,a\n")
	f.Fuzz(func(t *testing.T, text string) {
		nodes, err := ReadNodes("list.csv", strings.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "reading list.csv: ") {
				t.Fatalf("error %q does not name the file", err)
			}
			return
		}
		for i := range nodes {
			n := &nodes[i]
			_, published := n.Objects()
			if (published == nil) != (n.GPUs == 0) || n.GPUs > 0 && (n.Model == "" || len(published.Spec.Devices) != n.GPUs) {
				t.Errorf("%+v publishes %v", n, published)
			}
		}
		if Capacity(nodes) < 0 {
			t.Errorf("capacity %d", Capacity(nodes))
		}
	})
}

func podsOf(t *rapid.T) []Pod {
	pods := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Pod {
		p := Pod{GPUs: rapid.IntRange(0, 8).Draw(t, "GPUs")}
		switch {
		case p.GPUs == 1:
			p.GPUMilli = rapid.Int64Range(1, Whole).Draw(t, "milli")
		case p.GPUs > 1:
			p.GPUMilli = Whole
		}
		return p
	}), 0, 30).Draw(t, "pods")
	return append(pods, Pod{GPUs: 1, GPUMilli: 300})
}

func TestArrivals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pods := podsOf(t)
		capacity, load := rapid.Int64Range(1, 200_000).Draw(t, "capacity"), rapid.Float64Range(.01, 3).Draw(t, "load")
		seed := rapid.Uint64().Draw(t, "seed")
		got, err := Draw(pods, capacity, load, seed)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Draw(pods, capacity, load, seed); err != nil || !slices.Equal(got, again) {
			t.Fatalf("the same seed draws %v, then %v (%v)", got, again, err)
		}
		var asked int64
		times := make([]int, len(pods))
		for i, row := range got {
			if times[row]++; times[row] > 1 && i < len(pods) {
				t.Fatalf("%v: pod %d comes again before all have come once", got, row)
			}
			asked += pods[row].Asks()
		}
		limit := load * float64(capacity)
		if float64(asked) > limit {
			t.Errorf("the pods ask for %d, want %v at most", asked, limit)
		}
		// It ends only where the next could pass the limit.
		if float64(asked+8*Whole) <= limit {
			t.Errorf("the pods ask for %d, want more: %v is the limit", asked, limit)
		}
	})
}

func TestAnotherSeedIsAnotherOrder(t *testing.T) {
	nodes, pods := loaded(t)
	a, err := Draw(pods, Capacity(nodes), 1.3, 42)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Draw(pods, Capacity(nodes), 1.3, 43)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(a, b) {
		t.Error("seeds 42 and 43 draw the same order")
	}
	if n := len(a); n < 10_000 || n > 11_500 {
		t.Errorf("%d pods arrive for 130 %% of the GPUs, want some 10,800", n)
	}
}

func TestDrawRefusesWhatNeverEnds(t *testing.T) {
	one := []Pod{{GPUs: 1, GPUMilli: 1}}
	for name, c := range map[string]struct {
		pods     []Pod
		capacity int64
		load     float64
		wrong    string
	}{
		"no pods":                {nil, 1, 1, "none of the list asks for a GPU"},
		"pods without GPUs":      {[]Pod{{CPUMilli: 1}}, 1, 1, "none of the list asks for a GPU"},
		"no GPUs":                {one, 0, 1, "want both above 0"},
		"no load":                {one, 1, 0, "want both above 0"},
		"less than no load":      {one, 1, -1, "want both above 0"},
		"a load that is endless": {one, 1, math.Inf(1), "want both above 0"},
		"a load that is nothing": {one, 1, math.NaN(), "want both above 0"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Draw(c.pods, c.capacity, c.load, 1); err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("drew %v, error %v, want %q in it", got, err, c.wrong)
			}
			if got, err := NewChurn(c.pods, c.capacity, c.load, 1); err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("churning %v, error %v, want %q in it", got, err, c.wrong)
			}
		})
	}
}

// TestChurnIsOfItsLoad follows a churn for a hundred mean lifetimes.
func TestChurnIsOfItsLoad(t *testing.T) {
	nodes, pods := loaded(t)
	const load, lives = .8, 100
	c, err := NewChurn(pods, Capacity(nodes), load, 42)
	if err != nil {
		t.Fatal(err)
	}
	var first, all int
	var last, lived, asked float64
	for a := range c.All() {
		if a.At > lives {
			break
		}
		if a.At < last || a.Leaving < a.At {
			t.Fatalf("a pod comes at %v after one at %v, and leaves at %v", a.At, last, a.Leaving)
		}
		if last = a.At; a.At == 0 {
			first++
			continue
		}
		all++
		lived += a.Leaving - a.At
		asked += float64(pods[a.Pod].Asks())
	}
	if math.Abs(float64(first)-c.PerLife) > .5 {
		t.Errorf("%d pods are there at the beginning, want the %v of a mean lifetime", first, c.PerLife)
	}
	// Half a percent is three standard deviations and more: 660,000 pods.
	for what, ratio := range map[string]float64{
		"pods of a mean lifetime": float64(all) / c.PerLife / lives,
		"the mean lifetime":       lived / float64(all),
		"load":                    asked / lives / float64(Capacity(nodes)) / load,
	} {
		if math.Abs(ratio-1) > .005 {
			t.Errorf("%s: %v times what it should be", what, ratio)
		}
	}
}

func TestAScaledTraceHasTheSameMix(t *testing.T) {
	nodes, pods := loaded(t)
	few, some := Scaled(nodes, pods, 20)
	if len(few) != 61 || len(some) != 408 {
		t.Errorf("%d nodes and %d pods, want 61 and 408", len(few), len(some))
	}
	kept := map[string]bool{}
	for i := range few {
		kept[few[i].Model] = true
	}
	var gone int64
	for i := range nodes {
		if !kept[nodes[i].Model] {
			gone += int64(nodes[i].GPUs) * Whole
		}
	}
	if share := float64(gone) / float64(Capacity(nodes)); share > .05 {
		t.Errorf("%.3f of the GPUs are of models that a twentieth lacks, want 0.05 at most", share)
	}
	var asked int64
	for i := range some {
		asked += some[i].Asks()
	}
	if load := float64(asked) / float64(Capacity(few)); load < .95 || load > 1.05 {
		t.Errorf("the list asks for %.3f of the GPUs, want about 0.98", load)
	}
}

func BenchmarkReadPods(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(podCSV)))
	for b.Loop() {
		if _, err := Pods(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDraw(b *testing.B) {
	nodes, pods := loaded(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Draw(pods, Capacity(nodes), 1.3, 42); err != nil {
			b.Fatal(err)
		}
	}
}
