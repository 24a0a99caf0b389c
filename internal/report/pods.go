package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"plimsoll.dev/scheduler/internal/placement"
)

// rows is how many pods the table lists at most.
const rows = 500

// podLists is why pods wait, and where the pods are.
type podLists struct {
	Total   int
	Pending []waiting
	// Waits is set if a pod waits under a scheduler.
	Waits bool
	Kinds []podKind
	Rows  []podRow
	// Listed says how many of the pods the rows are; empty if all.
	Listed string
}

// waiting is the reasons for which pods wait under one scheduler.
type waiting struct {
	By      scheduler
	Pods    string
	Reasons []reason
	// More are the rarer ones, Hidden how many.
	More   []reason
	Hidden string
}

// podKind is how a pod fared under the schedulers.
type podKind struct {
	Key, Label string
	All, Shown string
	// Partly is set if some of them are not in the table.
	Partly bool
}

type podRow struct {
	Kind, Name string
	Places     []podPlace
}

// podPlace is where a pod is under one scheduler.
type podPlace struct {
	By scheduler
	// Absent says why there is nothing to tell; empty if there is.
	Absent  string
	Waits   bool
	Phase   string
	Node    string
	Where   string
	Why     []string
	Devices []string
}

// The kinds of pods, in the order in which the table gives them room.
const (
	onlyUnderOne = "one"
	pendingAll   = "pending"
	preempted    = "preempted"
	elsewhere    = "moved"
	alike        = "same"
)

// kinds are those that a report tells apart; preempted pods only if there are any.
func kinds(schedulers int, preempts bool) []podKind {
	all := []podKind{
		{Key: onlyUnderOne, Label: "placed by some only"},
		{Key: pendingAll, Label: "pending under all"},
		{Key: preempted, Label: "preempted by some"},
		{Key: elsewhere, Label: "on different nodes"},
		{Key: alike, Label: "on the same node"},
	}
	if schedulers == 1 {
		all = []podKind{{Key: pendingAll, Label: "pending"}, {Key: preempted, Label: "preempted"}, {Key: alike, Label: "placed"}}
	}
	return slices.DeleteFunc(all, func(k podKind) bool { return k.Key == preempted && !preempts })
}

func newPodLists(runs []run) podLists {
	var l podLists
	if len(runs) == 0 {
		return l
	}
	for i := range runs {
		w := newWaiting(&runs[i])
		l.Waits = l.Waits || len(w.Reasons) > 0
		l.Pending = append(l.Pending, w)
	}
	byKind := map[string][]podRow{}
	for _, places := range paired(runs) {
		row := newPodRow(runs, places)
		byKind[row.Kind] = append(byKind[row.Kind], row)
		l.Total++
	}
	l.Kinds = kinds(len(runs), len(byKind[preempted]) > 0)
	room := rows
	for i := range l.Kinds {
		k := &l.Kinds[i]
		all := byKind[k.Key]
		// What earlier kinds leave of their share is free for later ones.
		shown := min(len(all), max(room/(len(l.Kinds)-i), room-others(byKind, l.Kinds[i+1:])))
		room -= shown
		k.All, k.Shown, k.Partly = count(len(all)), count(shown), shown < len(all)
		l.Rows = append(l.Rows, all[:shown]...)
	}
	if len(l.Rows) < l.Total {
		l.Listed = fmt.Sprintf("The table lists %s of all %s: some of each kind.", count(len(l.Rows)), counted(l.Total, "pod"))
	}
	return l
}

func others(byKind map[string][]podRow, kinds []podKind) int {
	n := 0
	for _, k := range kinds {
		n += len(byKind[k.Key])
	}
	return n
}

// paired brings a pod's places under all runs together, by namespace and name.
func paired(runs []run) [][]*placement.Pod {
	type key struct{ namespace, name string }
	index := map[key]int{}
	var out [][]*placement.Pod
	for i := range runs {
		for j := range runs[i].Pods {
			p := &runs[i].Pods[j]
			k := key{p.Namespace, p.Name}
			at, ok := index[k]
			if !ok {
				at = len(out)
				index[k] = at
				out = append(out, make([]*placement.Pod, len(runs)))
			}
			out[at][i] = p
		}
	}
	slices.SortStableFunc(out, func(a, b []*placement.Pod) int { return cmp.Compare(anyOf(a), anyOf(b)) })
	return out
}

// anyOf is the name of the pod, from a run that saw it.
func anyOf(places []*placement.Pod) string {
	for _, p := range places {
		if p != nil {
			return podName(p)
		}
	}
	return ""
}

func podName(p *placement.Pod) string { return p.Namespace + "/" + p.Name }

// waits tells whether a pod waits for a place. One that was preempted had its own,
// and is gone.
func waits(p *placement.Pod) bool {
	return p.Phase != placement.Preempted && (p.Phase == "Pending" || p.Node == "")
}

func newPodRow(runs []run, pods []*placement.Pod) podRow {
	row := podRow{Name: anyOf(pods)}
	var nodes []string
	pending := 0
	gone := slices.ContainsFunc(pods, func(p *placement.Pod) bool { return p != nil && p.Phase == placement.Preempted })
	for i, p := range pods {
		place := podPlace{By: runs[i].scheduler}
		switch {
		case p == nil && gone:
			// Pods that ran before and run on are not listed.
			place.Absent = "stays where it ran"
		case p == nil:
			place.Absent = "not seen"
			pending++
		case waits(p) || p.Phase == placement.Preempted:
			place.Waits = true
			place.Phase = p.Phase
			place.Why = why(p)
			pending++
		default:
			place.Phase, place.Node = p.Phase, p.Node
			place.Where = strings.Join(nonEmpty(p.Zone, p.Arch), " · ")
			place.Why, place.Devices = why(p), p.Devices
			nodes = append(nodes, p.Node)
		}
		row.Places = append(row.Places, place)
	}
	slices.Sort(nodes)
	switch {
	case gone:
		row.Kind = preempted
	case pending == len(pods):
		row.Kind = pendingAll
	case pending > 0:
		row.Kind = onlyUnderOne
	case len(slices.Compact(nodes)) > 1:
		row.Kind = elsewhere
	default:
		row.Kind = alike
	}
	return row
}

func why(p *placement.Pod) []string {
	var lines []string
	for _, r := range p.Reasons {
		lines = append(lines, spoken(r.Plugin, r.Message))
	}
	return lines
}

// spoken is a reason and whose it is.
func spoken(plugin, message string) string {
	if plugin == "" {
		return message
	}
	return fmt.Sprintf("%s: %s", plugin, message)
}
