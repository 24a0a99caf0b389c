//go:build require

// Package require keeps the modules in go.mod that the registered but still idle
// plugins are designed on, so that their versions move together with Kubernetes
// from the start. It is never built.
package require

import (
	_ "sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"          // Topology: PodGroup
	_ "sigs.k8s.io/scheduler-plugins/pkg/generated/clientset/versioned" // Topology: PodGroup
)
