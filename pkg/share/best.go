package share

import (
	"cmp"
	"math"
)

// Loss is the usable capacity that a placement costs, in thousandths of a GPU
// weighted by Weights. Lower is better. Losses are comparable between the nodes
// for one task and one Outlook, not between tasks.
type Loss float64

// Fixed is the loss as an integer in millionths of its unit, for callers whose
// scores are integers. It keeps the order of losses that differ by more.
func (l Loss) Fixed() int64 {
	const most = 1 << 62
	return int64(min(max(math.Round(float64(l)*1e6), -most), most))
}

// Choice is a node that fits, for putting choices in order.
type Choice struct {
	Loss Loss
	// Node is the name of the node: it decides between equal losses, so that
	// equal nodes are filled one after the other.
	Node string
	// GPU is as Best returned it.
	GPU int
}

// Compare is a total order of choices with distinct names, the best first.
func (c Choice) Compare(d Choice) int {
	return cmp.Or(cmp.Compare(c.Loss, d.Loss), cmp.Compare(c.Node, d.Node))
}

// Best returns what placing the task on the node costs at least, and the GPU to
// place it on: the index in n.GPUs of the GPU for a task that wants one, of the
// first for a task that wants several (see Pick), and -1 for a task without
// GPU. If the task does not fit, ok is false.
func (o *Outlook) Best(n *Node, t *Task) (loss Loss, gpu int, ok bool) {
	if !n.Fits(t) {
		return 0, -1, false
	}
	s := scene{node: n, ask: t.ask(), cpu: max(n.IdleCPUMilli, 0), gpu: n.idleGPU()}
	s.cpuAfter, s.gpuAfter = s.cpu-s.ask.cpu, s.gpu-s.ask.total()
	s.find()
	common := o.ofNode(&s)
	o.ofGroups(&s)
	best := 0
	for i := range s.tries {
		s.loss[i] += o.ofPieces(&s, i)
		if s.loss[i] < s.loss[best] {
			best = i
		}
	}
	if s.n == 0 {
		return Loss(common + s.loss[0]), -1, true
	}
	return Loss(common + s.loss[best]), s.held[best].first, true
}

// ofNode sums the terms that are the same whichever GPUs are taken.
func (o *Outlook) ofNode(s *scene) float64 {
	w := &o.weights
	loss := w.IdleCore*float64(s.cpuAfter)/1000 + w.IdleGPU*float64(s.gpuAfter)
	if s.cpu >= s.node.CPUMilli && s.gpu == int64(len(s.node.GPUs))*Whole {
		loss += w.OpenNode
	}
	if o.known == 0 {
		return loss
	}
	asked := float64(s.gpu - s.gpuAfter)
	loss += o.known * w.Scarcity * o.scarcity[s.node.Model] * asked
	return loss + o.known*w.Cores*(o.coreless(s.cpuAfter, s.gpuAfter)-o.coreless(s.cpu, s.gpu))
}

// coreless is the idle GPU that tasks of the mix would find no cores for, in
// thousandths, on average over the deciles of cores per GPU.
func (o *Outlook) coreless(cpu, gpu int64) float64 {
	if len(o.ratios) == 0 {
		return 0
	}
	sum := 0.0
	for _, inverse := range o.ratios {
		short := float64(gpu) - float64(cpu)*inverse
		if short <= 0 {
			break // descending: the others ask for fewer cores still
		}
		sum += short
	}
	return sum / float64(len(o.ratios))
}

// ofGroups adds the fragmentation gradient to the loss of each try: how much
// more idle GPU the classes of the mix cannot use afterwards.
func (o *Outlook) ofGroups(s *scene) {
	if o.known == 0 {
		return
	}
	fragment, starved := o.known*o.weights.Fragment, o.known*o.weights.Starved
	for i := range o.groups {
		g := &o.groups[i]
		small, fitting := g.count(s.node)
		was := g.lose(s.node.Model, small, fitting, s.gpu, s.cpu)
		before := fragment*(was.fragments+was.barred) + starved*was.starved
		for try := range s.tries {
			smallAfter, fittingAfter := small, fitting
			for _, h := range s.taken(try) {
				times := s.times(h)
				if rest := h.idle - s.ask.gpu; h.idle < g.gpu {
					smallAfter -= int64(times) * s.ask.gpu
				} else if rest < g.gpu {
					smallAfter += int64(times) * rest
					fittingAfter -= times
				}
			}
			is := g.lose(s.node.Model, smallAfter, fittingAfter, s.gpuAfter, s.cpuAfter)
			s.loss[try] += fragment*(is.fragments+is.barred) + starved*is.starved - before
		}
	}
}

// ofPieces sums the terms that look at each GPU taken by itself.
func (o *Outlook) ofPieces(s *scene, try int) (loss float64) {
	w := &o.weights
	whole := 0 // of the GPUs taken, how many were fully idle
	for _, h := range s.taken(try) {
		times := s.times(h)
		if h.idle == Whole {
			whole += times
		}
		if o.known > 0 {
			loss += o.known * w.Piece * float64(times) * (o.piece[h.idle] - o.piece[h.idle-s.ask.gpu])
		}
	}
	if s.ask.gpu < Whole {
		loss += w.OpenGPU * float64(whole)
	}
	if whole == 0 || o.known == 0 {
		return loss
	}
	free := 0
	for _, r := range s.node.GPUs {
		if r >= Whole {
			free++
		}
	}
	for _, set := range o.sets {
		broken := free/set.gpus - (free-whole)/set.gpus
		loss += o.known * w.Sets * set.share * Whole * float64(broken*set.gpus)
	}
	return loss
}
