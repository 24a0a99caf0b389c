package share

import (
	"cmp"
	"math"
	"math/rand"
	"slices"
)

// ours is the policy under test, with the mix learnt on the way.
type ours struct {
	mix  *Mix
	used float64
}

func newOurs(tr *trace, w Weights) *ours {
	m := NewMix(2000, w)
	m.SetSupply(tr.supply())
	return &ours{mix: m}
}

func (p *ours) outlook() *Outlook { return p.mix.Outlook().At(p.used) }

func (p *ours) best(n *Node, t *Task) (float64, int, bool) {
	loss, gpu, ok := p.outlook().Best(n, t)
	return float64(loss), gpu, ok
}
func (p *ours) observe(t *Task)     { p.mix.Observe(t) }
func (p *ours) filled(used float64) { p.used = used }
func (p *ours) epoch() any          { return p.outlook() }
func (p *ours) ties() bool          { return false }

// oracle knows the mix from the beginning.
type oracle struct{ all, now *Outlook }

func newOracle(tr *trace, w Weights) *oracle {
	o := NewOutlook(popularity(tr), tr.supply(), 1, w)
	return &oracle{o, o}
}

func (p *oracle) best(n *Node, t *Task) (float64, int, bool) {
	loss, gpu, ok := p.now.Best(n, t)
	return float64(loss), gpu, ok
}
func (p *oracle) observe(*Task)       {}
func (p *oracle) filled(used float64) { p.now = p.all.At(used) }
func (p *oracle) epoch() any          { return p.now }
func (p *oracle) ties() bool          { return false }

func popularity(tr *trace) []Class {
	classes := make([]Class, len(tr.tasks))
	for i := range tr.tasks {
		classes[i] = Class{tr.tasks[i].Task, 1 / float64(len(tr.tasks))}
	}
	return classes
}

// fixed is the base of policies that do not learn.
type fixed struct{ random bool }

func (fixed) observe(*Task)  {}
func (fixed) filled(float64) {}
func (fixed) epoch() any     { return 0 }
func (p fixed) ties() bool   { return p.random }

// randomly takes any node, and any GPU in it.
type randomly struct {
	fixed
	rnd *rand.Rand
}

func (p *randomly) best(n *Node, t *Task) (float64, int, bool) {
	if !n.Fits(t) {
		return 0, -1, false
	}
	if t.GPUs != 1 {
		return 0, -1, true
	}
	for {
		if g := p.rnd.Intn(len(n.GPUs)); n.GPUs[g] >= t.GPUMilli {
			return 0, g, true
		}
	}
}

// tightest returns the GPU with the least idle that fits.
func tightest(n *Node, t *Task) int {
	best := -1
	for g, milli := range n.GPUs {
		if milli >= t.GPUMilli && (best < 0 || milli < n.GPUs[best]) {
			best = g
		}
	}
	return best
}

// bestFit leaves the least idle, as the FGD paper defines it: a truncated
// average of cores of 128 and of GPUs of 8.
type bestFit struct{ fixed }

func (bestFit) best(n *Node, t *Task) (float64, int, bool) {
	if !n.Fits(t) {
		return 0, -1, false
	}
	a := t.ask()
	score := 100 * (1 - .5*float64(n.IdleCPUMilli-a.cpu)/128000 - .5*float64(n.idleGPU()-a.total())/8000)
	return -math.Trunc(score), tightest(n, t), true
}

// fgd is the fragmentation gradient as published, term by term and slowly, with
// the mix of the whole trace given.
type fgd struct {
	fixed
	classes []Class
	exact   bool // do not round scores to integers
}

func newFGD(tr *trace, random, exact bool) *fgd {
	counts := map[class]*Class{}
	var all []Class
	for i := range tr.tasks {
		// Exact CPU, unlike classOf; memory is not part of the measure.
		t := &tr.tasks[i].Task
		key := class{t.CPUMilli, t.GPUMilli, t.GPUs, setOf(t.Models)}
		if counts[key] == nil {
			counts[key] = &Class{Task: *t}
		}
		counts[key].Share++
	}
	for _, c := range counts {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b Class) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.String(), b.String()))
	})
	sum, n := 0.0, 0
	for n < len(all) && sum < .95*float64(len(tr.tasks)) {
		sum += all[n].Share
		n++
	}
	for i := range n {
		all[i].Share /= sum
	}
	return &fgd{fixed{random}, all[:n], exact}
}

func (p *fgd) fragments(n *Node) (sum float64) {
	all := float64(n.idleGPU())
	for i := range p.classes {
		c := &p.classes[i]
		lost := all
		if c.GPUs > 0 && n.Fits(&c.Task) {
			lost = 0
			for _, g := range n.GPUs {
				if g < c.GPUMilli {
					lost += float64(g)
				}
			}
		}
		sum += c.Share * lost
	}
	return sum
}

func (p *fgd) score(before float64, n *Node) float64 {
	d := before - p.fragments(n)
	if p.exact {
		return d
	}
	return math.Trunc(100 / (1 + math.Exp(-d/1000)))
}

func (p *fgd) best(n *Node, t *Task) (float64, int, bool) {
	if !n.Fits(t) {
		return 0, -1, false
	}
	before := p.fragments(n)
	after := *n
	after.IdleCPUMilli -= t.CPUMilli
	after.GPUs = slices.Clone(n.GPUs)
	if t.GPUs != 1 {
		left := t.GPUs
		for g := range after.GPUs {
			if left > 0 && after.GPUs[g] >= t.GPUMilli {
				after.GPUs[g] -= t.GPUMilli
				left--
			}
		}
		return -p.score(before, &after), -1, true
	}
	best, at := math.Inf(-1), -1
	for g := range after.GPUs {
		if after.GPUs[g] < t.GPUMilli || (g > 0 && n.GPUs[g] == n.GPUs[g-1]) {
			continue
		}
		after.GPUs[g] -= t.GPUMilli
		if s := p.score(before, &after); s > best {
			best, at = s, g
		}
		after.GPUs[g] += t.GPUMilli
	}
	return -best, at, true
}
