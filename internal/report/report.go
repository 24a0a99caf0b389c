// Package report draws a simulation as one HTML file that stands by itself: it
// loads nothing, says so in a content security policy, and reads without
// JavaScript, which only adds read-outs and a search.
//
// The file is for people; tools read the simulation's JSON. Names of pods and
// nodes and what schedulers say are other people's text: html/template escapes
// all of it.
package report

import (
	"bufio"
	"crypto/sha256"
	_ "embed" // the page, its style and its script
	"encoding/base64"
	"fmt"
	"html/template"
	"io"

	"plimsoll.dev/scheduler/internal/placement"
)

//go:embed assets/report.html
var pageText string

//go:embed assets/report.css
var styleText string

//go:embed assets/report.js
var scriptText string

// page is what the template shows, top down.
type page struct {
	Policy string
	Style  template.CSS
	Script template.JS

	Source, Engine, Seed string
	Version              int
	Notes                []string
	Schedulers           []scheduler

	Headline   string
	Sentences  []string
	Figures    []figure
	Unexpected []saying

	Arrival arrival
	Fleet   fleet
	GPUs    gpuFleet
	Pods    podLists
}

// saying is a line that one scheduler's run ended with.
type saying struct {
	By   scheduler
	Text string
}

// Write writes the simulation as one HTML file. The same simulation gives the
// same bytes.
func Write(w io.Writer, s *placement.Simulation) error {
	t, err := template.New("report").Parse(pageText)
	if err != nil {
		return fmt.Errorf("reading the report's template: %w", err)
	}
	out := bufio.NewWriter(w)
	if err := t.Execute(out, newPage(s)); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func newPage(s *placement.Simulation) *page {
	runs := newRuns(s.Results)
	p := &page{
		Policy:     policy(scriptText),
		Style:      template.CSS(styleText), //nolint:gosec // our own file
		Script:     template.JS(scriptText), //nolint:gosec // our own file
		Source:     s.Source,
		Engine:     engineName(s.Engine),
		Version:    s.SchemaVersion,
		Notes:      s.Notes,
		Schedulers: schedulers(runs),
		Figures:    figures(runs),
		Arrival:    newArrival(runs),
		Fleet:      newFleet(runs),
		GPUs:       newGPUFleet(runs),
		Pods:       newPodLists(runs),
	}
	if s.SeedDecides() {
		p.Seed = fmt.Sprint(s.Seed)
	}
	p.Headline, p.Sentences = sentences(runs)
	for _, r := range runs {
		for _, line := range r.Summary.Unexpected {
			p.Unexpected = append(p.Unexpected, saying{r.scheduler, line})
		}
	}
	return p
}

// policy lets the page run its own script, by its hash, and load nothing.
func policy(script string) string {
	sum := sha256.Sum256([]byte(script))
	return "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" +
		base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src data:; base-uri 'none'; form-action 'none'"
}

func engineName(engine string) string {
	switch engine {
	case "control-plane":
		return "control plane: a real API server and scheduler"
	case "memory":
		return "memory: the real scheduling framework, without an API server"
	case "":
		return "not stated"
	}
	return engine
}
