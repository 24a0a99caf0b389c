package archaware

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/internal/adapt"
)

// Name is the plugin's name in scheduler configurations.
const Name = "ArchAware"

// New is the plugin's factory.
func New(_ context.Context, args runtime.Object, _ fwk.Handle) (fwk.Plugin, error) {
	return adapt.NewIdle(Name, args)
}
