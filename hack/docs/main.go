// Command docs writes the reference pages and schemas from the tables and types
// they describe. Its test fails when a page on disk differs.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

func main() {
	root, err := os.Getwd()
	if err == nil {
		err = write(root)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

// page is one generated file, by its path from the repository's root.
type page struct {
	path string
	text func(root string) (string, error)
}

func pages() []page {
	out := []page{
		{"docs/reference/annotations.md", annotations},
		{"docs/reference/args.md", arguments},
		{"docs/reference/metrics.md", metricsPage},
		{"docs/reference/reasons.md", reasons},
	}
	for _, p := range pluginsWithArguments() {
		out = append(out, page{p.schemaPath(), p.schema})
	}
	return out
}

func write(root string) error {
	for _, p := range pages() {
		text, err := p.text(root)
		if err != nil {
			return fmt.Errorf("%s: %w", p.path, err)
		}
		path := filepath.Join(root, p.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generated heads every page.
func generated(title string) string {
	return "<!-- Written by `go run ./hack/docs`; change the code instead. -->\n# " + title + "\n\n"
}

func sorted(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return out
}
