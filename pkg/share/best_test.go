package share

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// halves is a mix of halves, wholes and pairs that want 4 cores per GPU.
func halves() *Outlook {
	return NewOutlook([]Class{
		{Task{CPUMilli: 2000, GPUMilli: 500, GPUs: 1}, .5},
		{Task{CPUMilli: 4000, GPUMilli: Whole, GPUs: 1}, .3},
		{Task{CPUMilli: 16000, GPUMilli: Whole, GPUs: 4}, .2},
	}, nil, 1, DefaultWeights())
}

func node(idleCores int64, gpus ...int64) *Node {
	return &Node{CPUMilli: 32000, IdleCPUMilli: idleCores * 1000, GPUs: gpus}
}

func TestBestPrefers(t *testing.T) {
	half := &Task{CPUMilli: 2000, GPUMilli: 500, GPUs: 1}
	whole := &Task{CPUMilli: 4000, GPUMilli: Whole, GPUs: 1}
	for name, tc := range map[string]struct {
		task          *Task
		better, worse *Node
	}{
		"the half left over by another half":         {half, node(16, 500, 1000), node(16, 1000, 1000)},
		"a node with three GPUs to one with four":    {whole, node(16, 0, 1000, 1000, 1000), node(32, 1000, 1000, 1000, 1000)},
		"the GPU that has too few cores for a whole": {half, node(3, 500), node(16, 500)},
		"the fuller of two nodes":                    {whole, node(8, 1000, 1000, 0, 0), node(12, 1000, 1000, 1000, 0)},
		"a piece of its size to one it would spoil":  {half, node(16, 500, 0), node(16, 900, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			o := halves()
			better, _, ok := o.Best(tc.better, tc.task)
			worse, _, ok2 := o.Best(tc.worse, tc.task)
			if !ok || !ok2 || better >= worse {
				t.Errorf("%v: loss %.3f\n%v: loss %.3f, want more", tc.better, better, tc.worse, worse)
			}
		})
	}
}

func TestBestLeavesScarceModelsToThoseWhoNameThem(t *testing.T) {
	const common, rare = Model(1), Model(2)
	o := NewOutlook([]Class{
		{Task{CPUMilli: 4000, GPUMilli: Whole, GPUs: 1}, .8},
		{Task{CPUMilli: 4000, GPUMilli: Whole, GPUs: 1, Models: []Model{rare}}, .2},
	}, Supply{common: 75, rare: 25}, 1, DefaultWeights())
	a, b := node(16, 1000, 1000), node(16, 1000, 1000)
	a.Model, b.Model = common, rare
	task := &Task{CPUMilli: 4000, GPUMilli: Whole, GPUs: 1}
	onCommon, _, _ := o.Best(a, task)
	onRare, _, _ := o.Best(b, task)
	if onCommon >= onRare {
		t.Errorf("loss on the common model %v, on the rare one %v; want less", onCommon, onRare)
	}
	task.Models = []Model{rare}
	if _, _, ok := o.Best(a, task); ok {
		t.Error("a task that names the rare model fits the common one")
	}
	if got := o.Scarcity(rare); math.Abs(got-.8) > 1e-9 {
		t.Errorf("a fifth of the demand for a quarter of the GPUs: scarcity %v, want .8", got)
	}
}

func TestBestChoosesTheGPU(t *testing.T) {
	for name, tc := range map[string]struct {
		task Task
		node *Node
		want int
	}{
		"the tightest piece":               {Task{GPUMilli: 500, GPUs: 1}, node(16, 1000, 800, 500, 400), 2},
		"the first of equal ones":          {Task{GPUMilli: 500, GPUs: 1}, node(16, 400, 500, 500), 1},
		"the first idle one for a whole":   {Task{GPUMilli: Whole, GPUs: 1}, node(16, 900, 1000, 1000), 1},
		"the first idle one of several":    {Task{GPUMilli: Whole, GPUs: 2}, node(16, 900, 1000, 0, 1000), 1},
		"none for a task of the CPU":       {Task{CPUMilli: 100}, node(16, 1000), -1},
		"none without an amount":           {Task{GPUs: 1}, node(16, 1000), -1},
		"none when there are too few idle": {Task{GPUMilli: Whole, GPUs: 2}, node(16, 900, 1000), -1},
	} {
		t.Run(name, func(t *testing.T) {
			if _, gpu, _ := halves().Best(tc.node, &tc.task); gpu != tc.want {
				t.Errorf("GPU %d of %v, want %d", gpu, tc.node, tc.want)
			}
		})
	}
}

func TestPickTakesTheTightestThatFit(t *testing.T) {
	o := halves()
	for name, tc := range map[string]struct {
		task Task
		want []int
	}{
		"several shares": {Task{GPUMilli: 300, GPUs: 3}, []int{1, 2, 4}},
		"one share":      {Task{GPUMilli: 500, GPUs: 1}, []int{2}},
		"whole GPUs":     {Task{GPUMilli: Whole, GPUs: 2}, []int{0, 3}},
		"too many":       {Task{GPUMilli: Whole, GPUs: 3}, nil},
		"no GPU":         {Task{CPUMilli: 1}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := o.Pick(node(16, 1000, 400, 500, 1000, 400), &tc.task, nil)
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestStrandedSaysWhy(t *testing.T) {
	o := NewOutlook([]Class{{Task{CPUMilli: 4000, GPUMilli: 500, GPUs: 1}, 1}}, nil, 1, DefaultWeights())
	for name, tc := range map[string]struct {
		node *Node
		want Stranding
	}{
		"nothing":                       {node(32, 1000, 1000), Stranding{Idle: 2000}},
		"pieces that are too small":     {node(32, 1000, 499), Stranding{Idle: 1499, Fragments: 499}},
		"GPUs beyond the cores":         {node(4, 1000, 1000), Stranding{Idle: 2000, Coreless: 1500}},
		"all of them for want of cores": {node(3, 1000, 1000), Stranding{Idle: 2000, Coreless: 2000}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, o.Stranded(tc.node)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// The fast gradient must be the one of the paper, which the fgd policy works
// out term by term.
func TestFragmentIsThePublishedGradient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		classes := drawClasses(t)
		for i := range classes { // so large that none is left out as rare
			classes[i].Share += 5
		}
		n, task := drawNode(t), drawTask(t)
		if task.GPUs > 1 { // the paper knows no tasks for several shares
			task.GPUMilli = Whole
		}
		reference := &fgd{exact: true}
		total := 0.0
		for _, c := range classes {
			if c.ask().gpus > 0 && c.GPUMilli <= Whole {
				reference.classes = append(reference.classes, c)
				total += c.Share
			}
		}
		slow, gpu, ok := reference.best(n, task)
		fast, gpu2, ok2 := NewOutlook(reference.classes, nil, 1, Weights{Fragment: 1}).Best(n, task)
		if total > 0 {
			slow /= total
		}
		if ok != ok2 || math.Abs(slow-float64(fast)) > 1e-6*max(1, math.Abs(slow)) {
			t.Fatalf("%v on %v: %v on %d, the paper's %v on %d", task, n, fast, gpu2, slow, gpu)
		}
	})
}

func TestWhatFitsIsNeverRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, n, task := drawOutlook(t), drawNode(t), drawTask(t)
		loss, gpu, ok := o.Best(n, task)
		if ok != n.Fits(task) {
			t.Fatalf("%v on %v: ok %v", task, n, ok)
		}
		if !ok {
			return
		}
		if l := float64(loss); math.IsNaN(l) || math.IsInf(l, 0) {
			t.Fatalf("%v on %v: loss %v", task, n, loss)
		}
		picked := o.Pick(n, task, nil)
		if a := task.ask(); len(picked) != a.gpus || (a.gpus > 0 && picked[0] != gpu) {
			t.Fatalf("%v on %v: GPU %d, of several %v", task, n, gpu, picked)
		}
		for i, g := range picked {
			if n.GPUs[g] < task.GPUMilli || slices.Contains(picked[:i], g) {
				t.Fatalf("%v on %v: picked %v", task, n, picked)
			}
		}
	})
}

func TestLargerTasksNeverFitWhereSmallerOnesDoNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, n, task := drawOutlook(t), drawNode(t), drawTask(t)
		larger := *task
		larger.CPUMilli += rapid.Int64Range(0, 1000).Draw(t, "more CPU")
		larger.GPUMilli += rapid.Int64Range(0, 1000).Draw(t, "more GPU")
		larger.GPUs += rapid.IntRange(0, 3).Draw(t, "more GPUs")
		_, _, fits := o.Best(n, task)
		if _, _, ok := o.Best(n, &larger); ok && !fits {
			t.Fatalf("on %v fits %v, but not %v", n, &larger, task)
		}
	})
}

func TestLossDoesNotDependOnTheOrderOfGPUs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, n, task := drawOutlook(t), drawNode(t), drawTask(t)
		shuffled := *n
		shuffled.GPUs = rapid.Permutation(n.GPUs).Draw(t, "shuffled")
		a, _, _ := o.Best(n, task)
		b, _, _ := o.Best(&shuffled, task)
		if math.Abs(float64(a-b)) > 1e-9 {
			t.Fatalf("%v on %v: %v, on %v: %v", task, n, a, &shuffled, b)
		}
	})
}

func TestChoicesAreInTotalOrderWhateverTheNodeOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, n, task := drawOutlook(t), drawNode(t), drawTask(t)
		var choices []Choice
		for i := range 5 { // identical nodes, and others
			if i == 3 {
				n = drawNode(t)
			}
			if loss, gpu, ok := o.Best(n, task); ok {
				choices = append(choices, Choice{loss, fmt.Sprintf("node-%d", i), gpu})
			}
		}
		if len(choices) == 0 {
			return
		}
		shuffled := rapid.Permutation(choices).Draw(t, "shuffled")
		if a, b := slices.MinFunc(choices, Choice.Compare), slices.MinFunc(shuffled, Choice.Compare); a != b {
			t.Fatalf("%v or %v", a, b)
		}
	})
}

func TestAbsurdAmountsDoNoHarm(t *testing.T) {
	extreme := []int64{math.MinInt64, -1, 0, 1, 500, 1000, 1001, math.MaxInt64}
	draw := rapid.SampledFrom(extreme)
	rapid.Check(t, func(t *rapid.T) {
		task := &Task{CPUMilli: draw.Draw(t, "cpu"), GPUMilli: draw.Draw(t, "gpu"), GPUs: int(draw.Draw(t, "gpus")),
			Models: rapid.SliceOfN(rapid.Map(draw, func(m int64) Model { return Model(m) }), 0, 2).Draw(t, "models")}
		n := &Node{Model: Model(draw.Draw(t, "model")), CPUMilli: draw.Draw(t, "all cpu"),
			IdleCPUMilli: draw.Draw(t, "idle cpu"), GPUs: rapid.SliceOfN(draw, 0, 40).Draw(t, "gpus")}
		share := rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), -1, 0, 1e-300, 1, math.MaxFloat64}).Draw(t, "share")
		m := NewMix(int(draw.Draw(t, "half-life")), DefaultWeights())
		m.SetSupply(Supply{n.Model: draw.Draw(t, "supply")})
		for range 20 {
			m.Observe(task)
		}
		for _, o := range []*Outlook{m.Outlook(), NewOutlook([]Class{{*task, share}, {Task{GPUMilli: 1, GPUs: 1}, share}},
			Supply{n.Model: draw.Draw(t, "supply")}, share, DefaultWeights())} {
			loss, _, _ := o.Best(n, task)
			s := o.Stranded(n)
			for _, v := range []float64{float64(loss), s.Idle, s.Fragments, s.Coreless} {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("%v on %v: loss %v, stranded %v", task, n, loss, s)
				}
			}
			_ = o.Pick(n, task, nil)
			_, _, _ = n.String(), task.String(), o.String()
		}
	})
}

func TestBestDoesNotAllocate(t *testing.T) {
	o := halves()
	n := node(16, 1000, 250, 500, 1000, 1000, 1000, 30, 0)
	for _, task := range []*Task{
		{CPUMilli: 2000, GPUMilli: 500, GPUs: 1, Models: []Model{0, 1}},
		{CPUMilli: 2000, GPUMilli: Whole, GPUs: 4},
		{CPUMilli: 2000},
	} {
		into := make([]int, 0, 8)
		if allocs := testing.AllocsPerRun(100, func() {
			o.Best(n, task)
			into = o.Pick(n, task, into[:0])
		}); allocs != 0 {
			t.Errorf("%v: %v allocations", task, allocs)
		}
	}
}

func TestFixedKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := Loss(rapid.Float64().Draw(t, "a")), Loss(rapid.Float64().Draw(t, "b"))
		if a < b && a.Fixed() > b.Fixed() {
			t.Fatalf("%v becomes %d, %v becomes %d", a, a.Fixed(), b, b.Fixed())
		}
	})
}

func drawTask(t *rapid.T) *Task {
	task := &Task{CPUMilli: rapid.Int64Range(0, 20_000).Draw(t, "cpu"), GPUs: rapid.SampledFrom([]int{0, 1, 1, 1, 2, 4}).Draw(t, "gpus")}
	task.GPUMilli = rapid.SampledFrom([]int64{0, 1, 100, 333, 500, 700, 1000, 1000}).Draw(t, "gpu")
	if rapid.IntRange(0, 3).Draw(t, "named") == 0 {
		task.Models = []Model{Model(rapid.IntRange(0, 2).Draw(t, "model"))}
	}
	return task
}

func drawNode(t *rapid.T) *Node {
	idle := rapid.SampledFrom([]int64{0, 1, 99, 100, 300, 333, 500, 667, 1000, 1000, 1000})
	n := &Node{Model: Model(rapid.IntRange(0, 2).Draw(t, "node model")), CPUMilli: 32_000,
		IdleCPUMilli: rapid.Int64Range(0, 32_000).Draw(t, "idle cpu")}
	n.GPUs = rapid.SliceOfN(idle, 0, 8).Draw(t, "idle GPUs")
	return n
}

func drawClasses(t *rapid.T) []Class {
	classes := make([]Class, rapid.IntRange(0, 12).Draw(t, "classes"))
	for i := range classes {
		classes[i] = Class{*drawTask(t), rapid.Float64Range(.01, 1).Draw(t, "share")}
	}
	return classes
}

func drawOutlook(t *rapid.T) *Outlook {
	return NewOutlook(drawClasses(t), Supply{0: 10, 1: 20, 2: 1}, rapid.Float64Range(0, 1).Draw(t, "known"), DefaultWeights())
}
