package share

import (
	"slices"
	"sync"
)

// Model is a GPU model of the cluster, such as "H100", as a small number. The
// zero Model is the one without a name.
type Model int32

// Models gives GPU models their numbers, in the order they are first seen. The
// zero value is ready for use, also by several goroutines.
type Models struct {
	mu    sync.RWMutex
	ids   map[string]Model
	names []string
}

// Of returns the number of the model with this name. The empty name is 0.
func (m *Models) Of(name string) Model {
	if name == "" {
		return 0
	}
	m.mu.RLock()
	id, known := m.ids[name]
	m.mu.RUnlock()
	if known {
		return id
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if id, known := m.ids[name]; known {
		return id
	}
	if m.ids == nil {
		m.ids = map[string]Model{}
	}
	m.names = append(m.names, name)
	m.ids[name] = Model(len(m.names))
	return m.ids[name]
}

// Name returns the name of a model, or "" for the one without or not known.
func (m *Models) Name(id Model) string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if id <= 0 || int(id) > len(m.names) {
		return ""
	}
	return m.names[id-1]
}

// modelSet is a set of models; 0 is the set of all. Models from the 64th on
// share a bit: this only blurs what is learnt of them, never what fits.
type modelSet uint64

func setOf(models []Model) (s modelSet) {
	for _, m := range models {
		s |= bitOf(m)
	}
	return s
}

func bitOf(m Model) modelSet { return 1 << uint(min(max(m, 0), 63)) }

func (s modelSet) has(m Model) bool { return s == 0 || s&bitOf(m) != 0 }

// Supply is how many GPUs the cluster has of each model.
type Supply map[Model]int64

// of sums the GPUs of the models in the set.
func (s Supply) of(set modelSet) (sum float64) {
	for m, n := range s {
		if set.has(m) {
			sum += float64(max(n, 0))
		}
	}
	return sum
}

// models lists the models in the supply in ascending order.
func (s Supply) models() []Model {
	out := make([]Model, 0, len(s))
	for m := range s {
		out = append(out, m)
	}
	slices.Sort(out)
	return out
}
