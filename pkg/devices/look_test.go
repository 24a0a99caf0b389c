package devices

import (
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/structured"
)

// look is View, of a model that has seen just this.
func look(m *Model, published []*resourceapi.ResourceSlice, allocated *structured.AllocatedState, s *Shape, w *Worth) *View {
	m.Adopt(allocated)
	m.Refresh(published)
	return m.View(s, w)
}

// refresh is Refresh, of a model in which just this is in use.
func refresh(m *Model, published []*resourceapi.ResourceSlice, allocated *structured.AllocatedState) {
	m.Adopt(allocated)
	m.Refresh(published)
}
