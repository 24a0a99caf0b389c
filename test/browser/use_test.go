//go:build browser

package browser

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// use does once what a reader does: looks for a pod, reads a chart with the
// keyboard, walks over the small bars, and points at a node. A report without
// such a part has nothing to do there.
func use(t *testing.T, tab context.Context) {
	t.Helper()
	for _, part := range []struct {
		selector string
		use      func(*testing.T, context.Context)
	}{
		{"#pod-table tbody tr", search},
		{".plot", readChart},
		{".field", walk},
		{".named li", point},
	} {
		if evaluate[bool](t, tab, fmt.Sprintf(`document.querySelector(%q) !== null`, part.selector)) {
			part.use(t, tab)
		}
	}
}

const (
	shownRows = `[...document.querySelectorAll("#pod-table tbody tr")].filter(row => row.offsetHeight > 0).length`
	kinds     = `document.querySelectorAll(".kinds button")`
	tip       = `document.querySelector("#tip").textContent`
	readout   = `document.querySelector(".readout").textContent`
)

func search(t *testing.T, tab context.Context) {
	t.Helper()
	all := evaluate[int](t, tab, shownRows)
	if all == 0 {
		t.Error("no row of the table of pods is seen")
	}
	do(t, tab, chromedp.SendKeys(chromedp.CSS("#pod-search"), "surely-no-pod-is-called-so"))
	if n := evaluate[int](t, tab, shownRows); n != 0 {
		t.Errorf("a search for what is not there leaves %d rows", n)
	}
	evaluate[chromedp.Void](t, tab, `document.querySelector("#pod-search").value = ""`)
	do(t, tab, chromedp.SendKeys(chromedp.CSS("#pod-search"), " "))
	if n := evaluate[int](t, tab, shownRows); n != all {
		t.Errorf("without a search there are %d rows, want %d", n, all)
	}
	sum := 0
	for i := 1; i < evaluate[int](t, tab, kinds+".length"); i++ {
		sum += evaluate[int](t, tab, fmt.Sprintf("%s[%d].click(), %s", kinds, i, shownRows))
	}
	if sum != all {
		t.Errorf("the kinds of pods have %d rows together, want %d", sum, all)
	}
	if n := evaluate[int](t, tab, kinds+"[0].click(), "+shownRows); n != all {
		t.Errorf("after a click on all there are %d rows, want %d", n, all)
	}
}

func readChart(t *testing.T, tab context.Context) {
	t.Helper()
	end := evaluate[string](t, tab, readout)
	do(t, tab, chromedp.Focus(chromedp.CSS(".plot")), chromedp.KeyEvent(kb.Home), chromedp.KeyEvent(kb.End))
	if back := evaluate[string](t, tab, readout); back != end {
		t.Errorf("the end of the chart reads %q, the page said %q", back, end)
	}
	if !evaluate[bool](t, tab, `document.querySelector(".cross").offsetHeight > 0 && document.querySelector(".cross").textContent.includes("pods")`) {
		t.Error("the chart shows no crosshair while it is read")
	}
	evaluate[chromedp.Void](t, tab, `document.activeElement.blur()`)
	if evaluate[int](t, tab, `document.querySelector(".cross").offsetHeight`) != 0 {
		t.Error("the crosshair stays when the chart is left")
	}
}

func walk(t *testing.T, tab context.Context) {
	t.Helper()
	do(t, tab, chromedp.Focus(chromedp.CSS(".field")), chromedp.KeyEvent(kb.ArrowRight))
	first := evaluate[string](t, tab, tip)
	if first == "" {
		t.Error("the first of the small bars has no tooltip")
	}
	if evaluate[int](t, tab, `document.querySelector(".field").children.length`) > 1 {
		do(t, tab, chromedp.KeyEvent(kb.ArrowRight))
		if second := evaluate[string](t, tab, tip); second == first {
			t.Errorf("the arrow key stays on %q", first)
		}
	}
	do(t, tab, chromedp.KeyEvent(kb.Escape))
}

func point(t *testing.T, tab context.Context) {
	t.Helper()
	const node = `document.querySelector(".named li").dispatchEvent(new PointerEvent("pointerover", {bubbles: true})), `
	if evaluate[string](t, tab, node+tip) == "" {
		t.Error("a node has no tooltip")
	}
}
