package gpus

import (
	"cmp"
	"maps"
	"slices"
)

// Hardware is what a node's offers of one model are made of.
type Hardware struct {
	// Model is the product, or the resource where no label names a product.
	Model string
	// MemoryMiB is that of a whole GPU, 0 if unknown.
	MemoryMiB int64
	// MilliGPUs is how much of it the node has, in thousandths of a GPU.
	MilliGPUs int64
}

// Census counts a cluster's GPUs by model. The zero value is an empty census.
type Census struct {
	// total is by model and memory, so that removing undoes adding exactly.
	total map[Hardware]int64
}

// Add counts a node's hardware, and Remove takes back what was counted.
func (c *Census) Add(hardware []Hardware) { c.change(hardware, 1) }

// Remove takes back what Add counted.
func (c *Census) Remove(hardware []Hardware) { c.change(hardware, -1) }

func (c *Census) change(hardware []Hardware, sign int64) {
	if c.total == nil {
		c.total = map[Hardware]int64{}
	}
	for _, h := range hardware {
		key := Hardware{Model: h.Model, MemoryMiB: h.MemoryMiB}
		if c.total[key] += sign * h.MilliGPUs; c.total[key] <= 0 {
			delete(c.total, key)
		}
	}
}

// MaxWorth is the worth of the scarcest model, and of one that was not counted.
const MaxWorth = 1<<worthBits - 1

// Worth says how scarce each model of a cluster is. It never changes. A nil
// Worth knows no model.
type Worth struct {
	byModel map[string]int64
}

// Worth ranks the models: the fewest GPUs of a model first, of equally many the
// ones with more memory, then by name. The scarcest has MaxWorth, the next one
// less; no model has less than 1.
func (c *Census) Worth() *Worth {
	type model struct {
		name              string
		milliGPUs, memory int64
	}
	byName := map[string]model{}
	for key, milliGPUs := range c.total {
		m := byName[key.Model]
		byName[key.Model] = model{key.Model, m.milliGPUs + milliGPUs, max(m.memory, key.MemoryMiB)}
	}
	models := slices.SortedFunc(maps.Values(byName), func(a, b model) int {
		return cmp.Or(cmp.Compare(a.milliGPUs, b.milliGPUs), cmp.Compare(b.memory, a.memory), cmp.Compare(a.name, b.name))
	})
	w := &Worth{byModel: make(map[string]int64, len(models))}
	for i, m := range models {
		w.byModel[m.name] = max(int64(MaxWorth-i), 1)
	}
	return w
}

// Of is the worth of the scarcest model of a node: 0 for a node without GPUs,
// which is where a pod that asks for none belongs, up to MaxWorth.
func (w *Worth) Of(f *Facts) int64 {
	var out int64
	for i := range f.Hardware {
		worth := int64(MaxWorth)
		if w != nil {
			if known, found := w.byModel[f.Hardware[i].Model]; found {
				worth = known
			}
		}
		out = max(out, worth)
	}
	return out
}
