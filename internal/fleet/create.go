package fleet

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Create creates everything on an API server.
func (f *Fleet) Create(ctx context.Context, client kubernetes.Interface) error {
	for _, c := range f.DeviceClasses {
		if _, err := client.ResourceV1().DeviceClasses().Create(ctx, c, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("creating DeviceClass %s: %w", c.Name, err)
		}
	}
	for _, n := range f.Nodes {
		if _, err := client.CoreV1().Nodes().Create(ctx, n, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("creating Node %s: %w", n.Name, err)
		}
	}
	for _, s := range f.Slices {
		if _, err := client.ResourceV1().ResourceSlices().Create(ctx, s, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("creating ResourceSlice %s: %w", s.Name, err)
		}
	}
	return nil
}
