package devices

import (
	"sync"

	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
)

// Shared makes the one model of a process when the first profile asks for it.
// The zero value is ready for use.
type Shared struct {
	once  sync.Once
	model *Model
}

// Get returns the model. The features are those of the process: whoever asks
// first decides.
func (s *Shared) Get(features structured.Features, expressions cel.Features) *Model {
	s.once.Do(func() { s.model = NewModel(features, expressions) })
	return s.model
}
