package main

import (
	_ "embed"
	"fmt"
	"math"
	"slices"
	"strings"
	"text/template"

	"plimsoll.dev/scheduler/internal/replay/evidence"
)

//go:embed page.md.tmpl
var pageText string

// page is the page for readers.
func page(results evidence.Results) (string, error) {
	text, err := template.New("page").Funcs(template.FuncMap{
		"fills":       func() string { return fills(results) },
		"lists":       func() string { return lists(results) },
		"churns":      func() string { return churns(results) },
		"compactions": func() string { return compactions(results) },
		"firstSeed":   func() int { return firstSeed },
		"arch":        func() string { return archs(results) },
	}).Parse(pageText)
	if err != nil {
		return "", fmt.Errorf("reading the page: %w", err)
	}
	var b strings.Builder
	if err := text.Execute(&b, nil); err != nil {
		return "", fmt.Errorf("writing the page: %w", err)
	}
	return b.String(), nil
}

// contender is a row of a table: a policy, and whether it knows the mix.
type contender struct {
	title, policy string
	known         bool
}

// contenders are those of the fill; elsewhere only the unknowing ones.
func contenders() []contender {
	return []contender{
		{"Plimsoll, known mix", "plimsoll", true}, {"Plimsoll, learnt mix", "plimsoll", false},
		{"default scheduler", "default", false}, {"`MostAllocated`", "MostAllocated", false},
	}
}

// of are the results of a contender, by seed.
func (c contender) of(results evidence.Results, experiment, list string) []evidence.Result {
	var out []evidence.Result
	for _, r := range results {
		if r.Experiment == experiment && r.List == list && r.Policy == c.policy && r.Known == c.known {
			out = append(out, r)
		}
	}
	return out
}

// missing stands for a figure of which there is no result.
const missing = "not run"

func table(head ...string) *strings.Builder {
	b := &strings.Builder{}
	row(b, head...)
	row(b, slices.Repeat([]string{"---"}, len(head))...)
	return b
}

func row(b *strings.Builder, cells ...string) {
	fmt.Fprintf(b, "|")
	for _, cell := range cells {
		if cell == "---" {
			fmt.Fprint(b, "---|")
			continue
		}
		fmt.Fprintf(b, " %s |", cell)
	}
	b.WriteByte('\n')
}

func fills(results evidence.Results) string {
	b := table("scheduler", "seeds", "unallocated at 100 %", "at 130 %", "several GPUs, early", "pods rejected", "nodes touched", "minutes a run")
	for _, c := range contenders() {
		runs := c.of(results, evidence.Fill, evidence.DefaultList)
		at := func(load string) string {
			return spread(runs, 2, func(r *evidence.Result) float64 { return r.Fill.UnallocatedPercent[load] }) + " %"
		}
		if len(runs) == 0 {
			row(b, c.title, missing, "", "", "", "", "", "")
			continue
		}
		row(b, c.title, seeds(runs), at("100"), at("130"),
			spread(runs, 1, func(r *evidence.Result) float64 { return float64(r.Fill.MultiGPURejectedBefore90) }),
			spread(runs, 0, func(r *evidence.Result) float64 { return float64(r.Fill.Rejected) }),
			spread(runs, 0, func(r *evidence.Result) float64 { return float64(r.Fill.NodesTouched) }),
			spread(runs, 1, func(r *evidence.Result) float64 { return r.Seconds / 60 }))
	}
	return b.String()
}

// anchor is what is known of a list from elsewhere: unallocated at 100 %, percent.
type anchor struct {
	list                string
	bestFit, fgd, bound float64
}

func anchors() []anchor {
	return []anchor{
		{"default", 7.07, 4.79, 3.09}, {"cpu050", 6.45, 5.02, 3.09}, {"cpu200", 7.88, 5.23, 3.10},
		{"gpushare40", 8.55, 5.99, 4.38}, {"gpuspec10", 6.96, 5.38, 3.14}, {"multigpu20", 6.15, 4.40, 2.67},
	}
}

func lists(results evidence.Results) string {
	b := table("list", "Plimsoll at 100 %", "at 130 %", "several GPUs, early", "best fit, 100 %", "FGD, 100 %", "bound, 100 %")
	var mean [5]float64
	all := true
	for _, a := range anchors() {
		others := fmt.Sprintf("%.2f %% | %.2f %% | %.2f %%", a.bestFit, a.fgd, a.bound)
		r := results.Find(evidence.Key{Experiment: evidence.Fill, List: a.list, Policy: "plimsoll", Known: true, Seed: firstSeed})
		if r == nil {
			all = false
			row(b, a.list, missing, "", "", others)
			continue
		}
		at100, at130 := r.Fill.UnallocatedPercent["100"], r.Fill.UnallocatedPercent["130"]
		for i, v := range []float64{at100, at130, a.bestFit, a.fgd, a.bound} {
			mean[i] += v / float64(len(anchors()))
		}
		row(b, a.list, fmt.Sprintf("%.2f %%", at100), fmt.Sprintf("%.2f %%", at130), fmt.Sprint(r.Fill.MultiGPURejectedBefore90), others)
	}
	if all {
		row(b, "**mean**", fmt.Sprintf("**%.2f %%**", mean[0]), fmt.Sprintf("**%.2f %%**", mean[1]), "", fmt.Sprintf("%.2f %% | %.2f %% | %.2f %%", mean[2], mean[3], mean[4]))
	}
	return b.String()
}

func churns(results evidence.Results) string {
	b := table("scheduler", "seeds", "GPU accepted", "pods for several GPUs", "GPU asked for", "minutes a run")
	for _, c := range contenders() {
		runs := c.of(results, evidence.Churn, evidence.DefaultList)
		switch {
		case c.known:
		case len(runs) == 0:
			row(b, c.title, missing, "", "", "", "")
		default:
			if len(runs) > 1 {
				churn(b, c.title, runs[:1]) // to be compared with the others, which have one
			}
			churn(b, c.title, runs)
		}
	}
	return b.String()
}

func churn(b *strings.Builder, title string, runs []evidence.Result) {
	row(b, title, seeds(runs),
		spread(runs, 2, func(r *evidence.Result) float64 { return r.Churn.GPUAcceptedPercent })+" %",
		spread(runs, 1, func(r *evidence.Result) float64 { return r.Churn.MultiGPUAcceptedPercent })+" %",
		spread(runs, 1, func(r *evidence.Result) float64 { return r.Churn.AskedPercent })+" %",
		spread(runs, 1, func(r *evidence.Result) float64 { return r.Seconds / 60 }))
}

func compactions(results evidence.Results) string {
	b := table("scheduler", "seeds", "fewest nodes", "nobody with fewer than", "pods that fit nowhere, all 1,213 offered", "nodes touched then")
	for _, c := range []contender{
		{"Plimsoll, target 100 %", "plimsoll-100", false}, {"Plimsoll as shipped, target 80 %", "plimsoll", false},
		{"default scheduler", "default", false}, {"`MostAllocated`", "MostAllocated", false},
	} {
		runs := c.of(results, evidence.Compact, evidence.DefaultList)
		if len(runs) == 0 {
			row(b, c.title, missing, "", "", "", "")
			continue
		}
		fewest := "more than there are"
		if !slices.ContainsFunc(runs, func(r evidence.Result) bool { return r.Compact.Fewest == 0 }) {
			fewest = spread(runs, 0, func(r *evidence.Result) float64 { return float64(r.Compact.Fewest) })
		}
		row(b, c.title, seeds(runs), fewest,
			spread(runs, 0, func(r *evidence.Result) float64 { return float64(r.Compact.Bound) }),
			spread(runs, 0, func(r *evidence.Result) float64 { return float64(r.Compact.Unplaced) }),
			spread(runs, 0, func(r *evidence.Result) float64 { return float64(r.Compact.Touched) }))
	}
	return b.String()
}

// seeds names those of the runs, which are sorted by them.
func seeds(runs []evidence.Result) string {
	first, last := runs[0].Seed, runs[len(runs)-1].Seed
	switch {
	case first == last:
		return fmt.Sprint(first)
	case last-first == uint64(len(runs)-1):
		return fmt.Sprintf("%d to %d", first, last)
	}
	return fmt.Sprintf("%d of %d to %d", len(runs), first, last)
}

// spread is the mean of a figure over the runs, with its standard deviation, and the
// least and the most, if there are several.
func spread(runs []evidence.Result, digits int, of func(*evidence.Result) float64) string {
	least, most, sum := math.Inf(1), math.Inf(-1), 0.0
	for i := range runs {
		v := of(&runs[i])
		least, most, sum = min(least, v), max(most, v), sum+v
	}
	mean := sum / float64(len(runs))
	if len(runs) == 1 {
		return strings.TrimSuffix(fmt.Sprintf("%.*f", digits, mean), ".0")
	}
	squares := 0.0
	for i := range runs {
		squares += (of(&runs[i]) - mean) * (of(&runs[i]) - mean)
	}
	deviation := math.Sqrt(squares / float64(len(runs)-1))
	return fmt.Sprintf("%.*f ± %.*f (%.*f to %.*f)", digits, mean, digits, deviation, digits, least, digits, most)
}

// archs are the machines' architectures.
func archs(results evidence.Results) string {
	var out []string
	for _, r := range results {
		if !slices.Contains(out, r.Arch) {
			out = append(out, r.Arch)
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		return "the machine that they come from"
	}
	return strings.Join(out, " and ")
}
