package snapshot

import (
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// Write writes the cluster as YAML that Read reads as the same cluster, pods that
// have ended and what else was left out aside.
func (s *Snapshot) Write(w io.Writer) error {
	for _, obj := range s.Objects {
		if err := writeObject(w, obj); err != nil {
			return err
		}
	}
	for _, pod := range s.Pods {
		if err := writeObject(w, pod); err != nil {
			return err
		}
	}
	return nil
}

func writeObject(w io.Writer, obj runtime.Object) error {
	text, err := yaml.Marshal(obj)
	if err != nil {
		return fmt.Errorf("writing %s: %w", keyOf(obj), err)
	}
	_, err = fmt.Fprintf(w, "---\n%s", text)
	return err
}
