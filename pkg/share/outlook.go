package share

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Bounds of what an Outlook judges by; they bound the cost of a decision and of
// a rebuild.
const (
	maxClasses = 64   // classes that the fragmentation gradient looks at,
	mostOfMix  = 0.95 // or as many as make up this share of the mix
	maxSizes   = 24   // sizes of the configuration program
	// load is the demand for GPU over all GPUs that pieces are priced for: a
	// little over 1, or what a mix fills without loss would be worth nothing.
	load = 1.02
)

// Outlook is what a Mix concludes about the tasks to come. It is immutable.
type Outlook struct {
	weights Weights
	// known is how far the mix is trusted, 0 to 1; the best-fit terms always
	// count in full.
	known float64
	// groups hold the GPU classes; popularity sums to 1 over all of them.
	groups []group
	piece  *worth
	// scarcity by model: demand that insists on it over what there is of it.
	scarcity map[Model]float64
	// ratios are thousandths of a GPU per milli-core to judge idle cores by,
	// descending, > 0.
	ratios []float64
	// sets are the sizes of the multi-GPU tasks of the mix.
	sets []set
	// withRoom are the same for clusters with ever more room.
	withRoom []Outlook
}

// group is the classes that differ only by CPU.
type group struct {
	gpu        int64
	gpus       int
	models     modelSet
	popularity float64
	classes    []appetite
}

// appetite is a class within its group.
type appetite struct {
	cpu        int64
	popularity float64
	// reach is the thousandths of a GPU that one thousandth of a core feeds.
	reach float64
}

// set is a number of whole GPUs that tasks want in one node, and their share of
// the demand for GPU.
type set struct {
	gpus  int
	share float64
}

// NewOutlook draws the conclusions from a mix that is known, such as one written
// down by hand: known is how far to trust it, 0 to 1.
func NewOutlook(classes []Class, supply Supply, known float64, weights Weights) *Outlook {
	const most = 1e9 // beyond, sums would not stay finite
	merged := map[class]float64{}
	for i := range classes {
		if s := min(classes[i].Share, most); s > 0 {
			a := classes[i].ask()
			merged[class{min(a.cpu, 1<<40), a.gpu, a.gpus, setOf(classes[i].Models)}] += s
		}
	}
	m := Mix{counts: merged}
	return build(m.ranked(), supply, min(max(known, 0), 1), weights)
}

// build makes an Outlook of classes, the most frequent first.
func build(classes []counted, supply Supply, known float64, weights Weights) *Outlook {
	o := &Outlook{weights: weights}
	defer o.makeRoom()
	usable := classes[:0:0]
	demand := 0.0
	for _, c := range classes {
		if c.gpus > 0 && c.gpu <= Whole {
			c.gpus = min(c.gpus, 1<<20)
			usable = append(usable, c)
			demand += c.weight * c.milli()
		}
	}
	if demand <= 0 || math.IsNaN(known) {
		return o
	}
	o.known = known
	o.groups = groupsOf(usable)
	o.piece = price(sizesOf(usable, demand))
	o.scarcity = scarcityOf(usable, demand, supply)
	o.ratios = ratiosOf(usable, demand)
	o.sets = setsOf(usable, demand)
	return o
}

// milli is the GPU that a task of the class asks for in all, in thousandths.
func (c class) milli() float64 { return float64(c.gpu) * float64(c.gpus) }

func groupsOf(classes []counted) []group {
	total, sum := 0.0, 0.0
	for _, c := range classes {
		total += c.weight
	}
	kept := make([]counted, 0, maxClasses)
	for _, c := range classes {
		if len(kept) == maxClasses || sum >= mostOfMix*total {
			break
		}
		kept = append(kept, c)
		sum += c.weight
	}
	slices.SortFunc(kept, func(a, b counted) int {
		return cmp.Or(cmp.Compare(a.gpu, b.gpu), cmp.Compare(a.gpus, b.gpus), cmp.Compare(a.models, b.models),
			cmp.Compare(a.cpu, b.cpu))
	})
	var groups []group
	for _, c := range kept {
		last := len(groups) - 1
		if last < 0 || groups[last].gpu != c.gpu || groups[last].gpus != c.gpus || groups[last].models != c.models {
			groups = append(groups, group{gpu: c.gpu, gpus: c.gpus, models: c.models})
			last++
		}
		g := &groups[last]
		p := c.weight / sum
		g.popularity += p
		g.classes = append(g.classes, appetite{c.cpu, p, c.milli() / float64(max(c.cpu, 1))})
	}
	return groups
}

// sizesOf sums the demand by size, at the load. Sizes beyond the maxSizes of the largest demand count as the
// next larger size kept, or else as the largest.
func sizesOf(classes []counted, demand float64) []size {
	bySize := map[int64]float64{}
	for _, c := range classes {
		bySize[c.gpu] += load * c.weight * float64(c.gpus) * Whole / demand
	}
	all := make([]size, 0, len(bySize))
	for milli, d := range bySize {
		all = append(all, size{milli, d})
	}
	slices.SortFunc(all, func(a, b size) int {
		return cmp.Or(cmp.Compare(b.demand*float64(b.milli), a.demand*float64(a.milli)), cmp.Compare(a.milli, b.milli))
	})
	kept, rest := all[:min(len(all), maxSizes)], all[min(len(all), maxSizes):]
	slices.SortFunc(kept, func(a, b size) int { return cmp.Compare(a.milli, b.milli) })
	slices.SortFunc(rest, func(a, b size) int { return cmp.Compare(a.milli, b.milli) })
	for _, s := range rest {
		i, _ := slices.BinarySearchFunc(kept, s.milli, func(k size, milli int64) int { return cmp.Compare(k.milli, milli) })
		i = min(i, len(kept)-1)
		kept[i].demand += s.demand * float64(s.milli) / float64(kept[i].milli)
	}
	return kept
}

// scarcityOf splits the demand that names models over those models by how many
// GPUs there are of each, at a load of 1.
func scarcityOf(classes []counted, demand float64, supply Supply) map[Model]float64 {
	all := supply.of(0)
	scarcity := map[Model]float64{}
	for _, c := range classes {
		named := supply.of(c.models)
		if c.models == 0 || named <= 0 {
			continue
		}
		for _, m := range supply.models() {
			if c.models.has(m) {
				scarcity[m] += c.weight * c.milli() / demand * all / named
			}
		}
	}
	return scarcity
}

// ratiosOf returns the deciles of cores per GPU, weighted by the demand for
// GPU. Half of them is what a node should keep: below it, GPUs stay idle for
// want of cores whatever comes.
func ratiosOf(classes []counted, demand float64) []float64 {
	sorted := slices.Clone(classes)
	ratio := func(c counted) float64 { return float64(c.cpu) / c.milli() }
	slices.SortFunc(sorted, func(a, b counted) int {
		return cmp.Or(cmp.Compare(ratio(a), ratio(b)), moreFrequent(a, b))
	})
	var ratios []float64
	sum, decile := 0.0, 1
	for _, c := range sorted {
		sum += c.weight * c.milli()
		for decile < 10 && sum >= float64(decile)/10*demand {
			if r := ratio(c) / 2; r > 0 {
				ratios = append(ratios, 1/r)
			}
			decile++
		}
	}
	return ratios
}

// setsOf sums the demand by the number of whole GPUs that it wants together.
func setsOf(classes []counted, demand float64) (sets []set) {
	shares := map[int]float64{}
	for _, c := range classes {
		if c.gpus > 1 && c.gpu == Whole {
			shares[c.gpus] += c.weight * c.milli() / demand
		}
	}
	for gpus, share := range shares {
		sets = append(sets, set{gpus, share})
	}
	slices.SortFunc(sets, func(a, b set) int { return cmp.Compare(a.gpus, b.gpus) })
	return sets
}

// Worth is what an idle piece of a GPU is worth to the mix, both in thousandths
// of a GPU: at most its size, and 0 before a mix is known.
func (o *Outlook) Worth(milli int64) float64 {
	if o.piece == nil {
		return 0
	}
	return o.piece[idle(milli)]
}

// Scarcity is the demand that insists on this GPU model over how many GPUs
// there are of it, at a load of 1.
func (o *Outlook) Scarcity(m Model) float64 { return o.scarcity[m] }

// Known is how far the mix is trusted, 0 to 1.
func (o *Outlook) Known() float64 { return o.known }

// String draws what pieces are worth, by the tenth of a GPU.
func (o *Outlook) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "known %.0f%%, %d kinds, worth of a piece", 100*o.known, len(o.groups))
	for tenth := int64(1); tenth <= 10; tenth++ {
		fmt.Fprintf(&b, " %.1f:%.2f", float64(tenth)/10, o.Worth(tenth*Whole/10)/Whole)
	}
	return b.String()
}
