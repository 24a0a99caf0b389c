// Command writesamples writes the report of every sample into a folder, for the
// browser test and for whoever changes the report and wants to look at it.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/report"
	"plimsoll.dev/scheduler/internal/report/samples"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: writesamples FOLDER")
		os.Exit(2)
	}
	for name, s := range samples.All(samples.TraceNodes) {
		if err := write(filepath.Join(os.Args[1], name+".html"), s); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func write(path string, s *placement.Simulation) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := report.Write(file, s); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return file.Close()
}
