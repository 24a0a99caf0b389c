package share

// worth holds what an idle piece of a GPU is worth to the mix, by its size in
// thousandths of a GPU: worth[r] <= r.
type worth [Whole + 1]float64

// size is one row of the configuration program: tasks that ask for size
// thousandths of one GPU, and how many of them there are for each GPU of the
// cluster.
type size struct {
	milli  int64
	demand float64
}

// price solves the configuration program of one GPU. A configuration c is a
// multiset of sizes that fits into one GPU, z(c) the share of GPUs that are cut
// up so:
//
//	maximise   Σ_c  z(c) · Σ_s n(s,c)·size(s)
//	subject to Σ_c  z(c) · n(s,c) <= demand(s)   for every size    dual y(s)
//	           Σ_c  z(c)          <= 1                             dual λ
//
// and returns the worth of pieces, v(r): the best a piece of r thousandths can
// be cut up into when a task of size s is worth size(s) - y(s), what is left of
// its size after paying for the shortage of such tasks.
//
// There are far too many configurations to list. The revised simplex method
// asks only for the one of the highest reduced cost, and finding that is a
// knapsack, which is again v(Whole).
func price(sizes []size) *worth {
	lp := newProgram(sizes)
	// Some 2 steps for each row are usual; the bound is for degenerate cases,
	// where the prices reached so far are valid, if not the sharpest.
	for range 20 * (len(sizes) + 1) {
		if !lp.step() {
			break
		}
	}
	return lp.worth()
}

// program is the revised simplex tableau with an explicit inverse of the basis.
// Row i < len(sizes) is the demand for sizes[i], the last one the GPU itself.
type program struct {
	sizes   []size
	unit    int64       // greatest common divisor of the sizes and Whole
	inverse [][]float64 // of the basis
	gain    []float64   // objective of each basic column
	level   []float64   // value of each basic column, >= 0
	dual    []float64   // y and, last, λ
	column  []float64   // scratch: the entering column
	rates   []float64   // scratch: inverse · column
	best    []float64   // scratch: knapsack, best value by capacity in units
	take    []int       // scratch: knapsack, the size last taken, or -1
}

func newProgram(sizes []size) *program {
	rows := len(sizes) + 1
	lp := &program{
		sizes: sizes, unit: Whole,
		inverse: make([][]float64, rows), gain: make([]float64, rows), level: make([]float64, rows),
		dual: make([]float64, rows), column: make([]float64, rows), rates: make([]float64, rows),
	}
	for i := range rows {
		lp.inverse[i] = make([]float64, rows)
		lp.inverse[i][i] = 1 // the basis starts with the slacks
		lp.level[i] = 1
		if i < len(sizes) {
			lp.level[i] = sizes[i].demand
			lp.unit = gcd(lp.unit, sizes[i].milli)
		}
	}
	cells := Whole/lp.unit + 1
	lp.best, lp.take = make([]float64, cells), make([]int, cells)
	return lp
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// step lets the best configuration, or slack, into the basis. It returns false
// when nothing gains any more.
func (lp *program) step() bool {
	const negligible = 1e-7
	last := len(lp.sizes)
	for i := range lp.dual {
		lp.dual[i] = 0
		for j, gain := range lp.gain {
			lp.dual[i] += gain * lp.inverse[j][i]
		}
	}
	gain, entering := lp.knapsack(), negligible
	clear(lp.column)
	slack := -1
	for i, dual := range lp.dual {
		if -dual > entering {
			entering, slack = -dual, i
		}
	}
	switch {
	case gain-lp.dual[last] > entering:
		entering = lp.configuration()
	case slack >= 0:
		lp.column[slack], entering = 1, 0
	default:
		return false
	}
	return lp.pivot(entering)
}

// knapsack fills best and take for the present duals and returns the value of a
// whole GPU.
func (lp *program) knapsack() float64 {
	for r := range lp.best {
		lp.best[r], lp.take[r] = 0, -1
		if r > 0 {
			lp.best[r] = lp.best[r-1]
		}
		for i, s := range lp.sizes {
			need := int(s.milli / lp.unit)
			if need > r {
				continue
			}
			if v := lp.best[r-need] + float64(s.milli) - lp.dual[i]; v > lp.best[r]+1e-9 {
				lp.best[r], lp.take[r] = v, i
			}
		}
	}
	return lp.best[len(lp.best)-1]
}

// configuration writes the knapsack's best cut of a GPU to column and returns
// how much it packs.
func (lp *program) configuration() (packed float64) {
	lp.column[len(lp.sizes)] = 1
	for r := len(lp.best) - 1; r > 0; {
		i := lp.take[r]
		if i < 0 {
			r--
			continue
		}
		lp.column[i]++
		packed += float64(lp.sizes[i].milli)
		r -= int(lp.sizes[i].milli / lp.unit)
	}
	return packed
}

// pivot exchanges column for the basic column that reaches zero first.
func (lp *program) pivot(gain float64) bool {
	const tiny = 1e-9
	leaving, least := -1, 0.0
	for i, row := range lp.inverse {
		lp.rates[i] = 0
		for j, x := range row {
			lp.rates[i] += x * lp.column[j]
		}
		if lp.rates[i] > tiny && (leaving < 0 || lp.level[i]/lp.rates[i] < least) {
			leaving, least = i, lp.level[i]/lp.rates[i]
		}
	}
	if leaving < 0 {
		return false // unbounded: cannot be, every column uses up its row
	}
	lp.gain[leaving] = gain
	pivot := lp.inverse[leaving]
	for j := range pivot {
		pivot[j] /= lp.rates[leaving]
	}
	for i, row := range lp.inverse {
		if i == leaving {
			continue
		}
		for j := range row {
			row[j] -= lp.rates[i] * pivot[j]
		}
		lp.level[i] = max(lp.level[i]-lp.rates[i]*least, 0)
	}
	lp.level[leaving] = least
	return true
}

// worth spreads the knapsack's values, which are by units, over thousandths.
func (lp *program) worth() *worth {
	lp.knapsack()
	w := new(worth)
	for r := range w {
		w[r] = min(lp.best[r/int(lp.unit)], float64(r)) // but for rounding
	}
	return w
}
