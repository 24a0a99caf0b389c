package share

import (
	"fmt"
	"os"
	"testing"
)

// lists are the pod lists of the trace to report on.
var lists = [...]string{"default", "cpu050", "cpu200", "gpushare40", "gpuspec10", "multigpu20"}

// contenders are made anew for every run.
var contenders = [...]struct {
	name string
	make func(*trace) policy
}{
	{"best-fit", func(*trace) policy { return bestFit{} }},
	{"FGD-name-order", func(tr *trace) policy { return newFGD(tr, false, false) }},
	{"FGD-random-ties", func(tr *trace) policy { return newFGD(tr, true, false) }},
	{"ours-learnt", func(tr *trace) policy { return newOurs(tr, DefaultWeights()) }},
	{"ours-given-the-mix", func(tr *trace) policy { return newOracle(tr, DefaultWeights()) }},
}

// forEachTrace runs the benchmark on the lists of the openb trace: the default one,
// which is shipped, and those in the folder that PLIMSOLL_OPENB names, if it is set.
func forEachTrace(b *testing.B, run func(*testing.B, *trace)) {
	folder, set := os.LookupEnv("PLIMSOLL_OPENB")
	for i, list := range lists {
		if i > 0 && !set {
			return
		}
		b.Run(list, func(b *testing.B) {
			tr, err := readTrace(folder, list)
			if err != nil {
				b.Fatalf("PLIMSOLL_OPENB should name a folder with openb_pod_list_*.csv of the Alibaba GPU trace of 2023: %v", err)
			}
			run(b, tr)
		})
	}
}

// BenchmarkOpenB reports what percentage of GPU is not allocated when 100 % and
// 130 % of it have been asked for, on average over the seeds of the FGD paper:
//
//	go test -run '^$' -bench OpenB -benchtime 1x ./pkg/share
func BenchmarkOpenB(b *testing.B) {
	forEachTrace(b, func(b *testing.B, tr *trace) {
		for _, c := range contenders {
			b.Run(c.name, func(b *testing.B) {
				const first, last = 42, 51
				var at100, at130 float64
				for range b.N {
					at100, at130 = 0, 0
					for seed := int64(first); seed <= last; seed++ {
						u := fill(b, tr, c.make(tr), seed, 1, 1.3)
						at100 += u[0] / (last - first + 1)
						at130 += u[1] / (last - first + 1)
					}
				}
				b.ReportMetric(at100, "%unallocated@100")
				b.ReportMetric(at130, "%unallocated@130")
			})
		}
	})
}

// BenchmarkChurn reports what percentage of the GPU asked for, and of the tasks
// that want several GPUs, is accepted when tasks come and go at a load of 1, on
// average over the same seeds, and with -benchtime 10x over ten times as many. What comes
// is what the seeds have come in the evidence, where the real scheduler places it.
func BenchmarkChurn(b *testing.B) {
	forEachTrace(b, func(b *testing.B, tr *trace) {
		for _, c := range contenders {
			b.Run(c.name, func(b *testing.B) {
				const first, seeds = 42, 10
				var sum accepted
				for i := range b.N {
					for seed := range uint64(seeds) {
						a := churn(b, tr, c.make(tr), first+uint64(i)*seeds+seed, 1)
						sum.gpu, sum.multi = sum.gpu+a.gpu, sum.multi+a.multi
					}
				}
				runs := float64(b.N * seeds)
				b.ReportMetric(sum.gpu/runs, "%GPU")
				b.ReportMetric(sum.multi/runs, "%multi-GPU")
			})
		}
	})
}

// learnt is an Outlook on the synthetic trace.
func learnt() *Outlook {
	tr := syntheticTrace(1)
	return NewOutlook(popularity(tr), tr.supply(), 1, DefaultWeights())
}

func BenchmarkBest(b *testing.B) {
	o := learnt()
	n := node(16, 1000, 190, 530, 1000, 350, 0, 190, 1000)
	for _, task := range []*Task{
		{CPUMilli: 3000, GPUMilli: 320, GPUs: 1},
		{CPUMilli: 8000, GPUMilli: Whole, GPUs: 1},
		{CPUMilli: 12000, GPUMilli: Whole, GPUs: 2},
		{CPUMilli: 4000},
	} {
		b.Run(fmt.Sprintf("%dx%d", task.GPUs, task.GPUMilli), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				o.Best(n, task)
			}
		})
	}
}

func BenchmarkObserve(b *testing.B) {
	m := NewMix(2000, DefaultWeights())
	tr := syntheticTrace(1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Observe(&tr.tasks[i*7919%len(tr.tasks)].Task)
	}
}

// BenchmarkOutlook makes an Outlook of the trace's classes, and of as many odd
// classes as are ever counted, whose sizes have no common divisor.
func BenchmarkOutlook(b *testing.B) {
	odd := NewMix(1_000_000, DefaultWeights())
	for i := range int64(maxTracked) {
		odd.Observe(&Task{CPUMilli: 100 * i * 7919 % 32_000, GPUMilli: 1 + i*7919%997, GPUs: 1 + int(i%3)})
	}
	trace := NewMix(1_000_000, DefaultWeights())
	tr := syntheticTrace(1)
	for i := range tr.tasks {
		trace.Observe(&tr.tasks[i].Task)
	}
	for name, m := range map[string]*Mix{"trace": trace, "odd": odd} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				m.Refresh()
			}
		})
	}
}
