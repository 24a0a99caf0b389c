package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"plimsoll.dev/scheduler/internal/placement"
)

// steps is how many points of a series are drawn: about one per two pixels.
const steps = 320

// The plots' own coordinates; they are stretched to the page's width.
const (
	plotWidth  = 1000
	plotHeight = 400
)

// arrival is how the cluster filled, one chart per measure.
type arrival struct {
	Charts []chart
	// Data is what the charts' read-out needs.
	Data arrivalData
	// Why says why there are no charts.
	Why string
}

// arrivalData holds the drawn points: at X pods arrived, so much GPU had been
// asked for, and Series has per chart and scheduler the values there, null
// before a scheduler's first point.
type arrivalData struct {
	X      []int          `json:"x"`
	Asked  []float64      `json:"asked"`
	Series [][][]*float64 `json:"series"`
}

type chart struct {
	Index       int
	Title, Unit string
	Hint        string
	Max         float64
	Lines       []line
	YTicks      []tick
	XTicks      []tick
	// Marks are where so much GPU had been asked for.
	Marks []tick
	// Wide is set for the chart that comes first.
	Wide bool
}

// tick is a label at a place along an axis, in percent of it.
type tick struct {
	At    string
	Label string
}

type line struct {
	By scheduler
	// Path and Area are the line and what lies below it.
	Path, Area string
	// Last is the value at the end, LastAt its height in percent of the plot's.
	Last, LastAt string
}

// curve is a measure of a Point.
type curve struct {
	title, hint, unit string
	value             func(*placement.Point) float64
	// top is where the axis ends; 0 to fit the values.
	top float64
}

func newArrival(runs []run) arrival {
	if len(runs) == 0 {
		return arrival{Why: "Nothing was simulated."}
	}
	x := grid(runs)
	if len(x) < 2 {
		return arrival{Why: "No pods arrived one after the other, so there is nothing to draw over time."}
	}
	a := arrival{Data: arrivalData{X: x, Asked: asked(runs, x)}}
	for _, c := range curves(runs) {
		ch, values := c.chart(runs, x)
		ch.Index = len(a.Charts)
		ch.Wide = ch.Index == 0
		ch.Marks = marks(a.Data)
		a.Charts = append(a.Charts, ch)
		a.Data.Series = append(a.Data.Series, values)
	}
	return a
}

func curves(runs []run) []curve {
	var out []curve
	if slices.ContainsFunc(runs, func(r run) bool { return r.total.drawn > 0 }) {
		out = append(out,
			curve{title: "GPU taken", hint: "of all GPUs", unit: "%", top: 100, value: func(p *placement.Point) float64 { return p.GPUPercent }},
			curve{title: "GPU fragmented", hint: "idle on GPUs that are partly taken", unit: "%", value: func(p *placement.Point) float64 { return p.FragmentedGPUPercent }})
	}
	return append(out,
		curve{title: "CPU requested", hint: "of all nodes", unit: "%", top: 100, value: func(p *placement.Point) float64 { return p.CPUPercent }},
		curve{title: "Memory requested", hint: "of all nodes", unit: "%", top: 100, value: func(p *placement.Point) float64 { return p.MemoryPercent }},
		curve{title: "Nodes in use", hint: "that carry a pod", value: func(p *placement.Point) float64 { return float64(p.NodesInUse) }})
}

// grid is where the series are read: so many steps from the first arrival to the
// last.
func grid(runs []run) []int {
	low, high := math.MaxInt, 0
	for i := range runs {
		for _, p := range runs[i].Series {
			low, high = min(low, p.Arrived), max(high, p.Arrived)
		}
	}
	var x []int
	for i := 0; i <= steps && low < high; i++ {
		at := low + int(math.Round(float64(i)*float64(high-low)/steps))
		if len(x) == 0 || x[len(x)-1] != at {
			x = append(x, at)
		}
	}
	return x
}

// sampled is what a series says at each place of the grid: its last point there
// or before.
func sampled(series []placement.Point, x []int) []*placement.Point {
	out := make([]*placement.Point, len(x))
	next := 0
	var last *placement.Point
	for i, at := range x {
		for next < len(series) && series[next].Arrived <= at {
			last = &series[next]
			next++
		}
		out[i] = last
	}
	return out
}

// asked is how much GPU had been asked for; the runs saw the same arrivals.
func asked(runs []run, x []int) []float64 {
	out := make([]float64, len(x))
	for i := range runs {
		for j, p := range sampled(runs[i].Series, x) {
			if p != nil {
				out[j] = max(out[j], rounded(p.AskedGPUPercent))
			}
		}
	}
	return out
}

func marks(d arrivalData) []tick {
	var out []tick
	for _, level := range []float64{100, 130} {
		i := slices.IndexFunc(d.Asked, func(a float64) bool { return a >= level })
		if i <= 0 {
			// A trace drawn up to its end stops just short of it.
			if last := len(d.Asked) - 1; d.Asked[last] < level-0.5 || i == 0 {
				continue
			}
			i = len(d.Asked) - 1
		}
		out = append(out, tick{along(d.X, i), fmt.Sprintf("%.0f%s%%", level, nbsp)})
	}
	return out
}

// along is how far place i is on the way, in percent.
func along(x []int, i int) string {
	return decimal(ratio(float64(x[i]-x[0]), float64(x[len(x)-1]-x[0])))
}

// rounded keeps two decimals, and what is no sensible number out of the page.
func rounded(v float64) float64 {
	const most = 1e9
	if math.IsNaN(v) {
		return 0
	}
	return math.Round(min(max(v, 0), most)*100) / 100
}

func (c *curve) chart(runs []run, x []int) (chart, [][]*float64) {
	ch := chart{Title: c.title, Hint: c.hint, Unit: c.unit, Max: c.top}
	values := make([][]*float64, len(runs))
	highest := 0.0
	for i := range runs {
		values[i] = make([]*float64, len(x))
		for j, p := range sampled(runs[i].Series, x) {
			if p != nil {
				v := rounded(c.value(p))
				values[i][j] = &v
				highest = max(highest, v)
			}
		}
	}
	step, top := axis(highest)
	if c.top > 0 {
		step, top = 25, c.top
	}
	ch.Max = top
	for i := range int(math.Round(top/step)) + 1 {
		v := float64(i) * step
		label := count(int(v))
		if step != math.Trunc(step) {
			label = decimal(v)
		}
		if c.unit != "" {
			label += nbsp + c.unit
		}
		ch.YTicks = append(ch.YTicks, tick{decimal(100 - ratio(v, top)), label})
	}
	ch.XTicks = xTicks(x)
	for i := range runs {
		ch.Lines = append(ch.Lines, c.line(runs[i].scheduler, x, values[i], top))
	}
	return ch, values
}

// axis ends an axis a little above the highest value, at a round number.
func axis(highest float64) (step, top float64) {
	if highest <= 0 {
		return 1, 1
	}
	power := math.Pow(10, math.Floor(math.Log10(highest/3)))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		step = m * power
		if highest/step <= 4 {
			break
		}
	}
	return step, step * math.Ceil(highest/step)
}

func xTicks(x []int) []tick {
	first, last := x[0], x[len(x)-1]
	step, _ := axis(float64(last - first))
	step = max(step, 1)
	var out []tick
	begin := math.Ceil(float64(first)/step) * step
	for i := range int((float64(last)-begin)/step) + 1 {
		v := begin + float64(i)*step
		out = append(out, tick{decimal(ratio(v-float64(first), float64(last-first))), count(int(v))})
	}
	return out
}

func (c *curve) line(by scheduler, x []int, values []*float64, top float64) line {
	var path strings.Builder
	l := line{By: by, Last: "–", LastAt: "100"}
	start, end := -1.0, 0.0
	for i, v := range values {
		if v == nil {
			continue
		}
		end = plotWidth * float64(x[i]-x[0]) / float64(x[len(x)-1]-x[0])
		op := "L"
		if start < 0 {
			start, op = end, "M"
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", op, end, plotHeight*(1-min(*v/top, 1)))
		l.Last = c.text(*v)
		l.LastAt = decimal(100 - share(ratio(*v, top)))
	}
	l.Path = path.String()
	if start >= 0 {
		l.Area = fmt.Sprintf("%sL%.1f %dL%.1f %dZ", l.Path, end, plotHeight, start, plotHeight)
	}
	return l
}

func (c *curve) text(v float64) string {
	if c.unit == "" {
		return count(int(v))
	}
	return decimal(v) + nbsp + c.unit
}
