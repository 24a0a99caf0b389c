//go:build browser

package browser

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// within is how long one report may take in one window, on a slow machine.
const within = time.Minute

type window struct {
	width, height int64
	mobile        bool
}

// TestReports opens each report in windows of a desktop and of a phone, light
// and dark. PLIMSOLL_REPORT names a report or a folder of them; screenshots go
// to PLIMSOLL_SCREENSHOTS if that is set.
func TestReports(t *testing.T) {
	shots := os.Getenv("PLIMSOLL_SCREENSHOTS")
	if shots != "" {
		if err := os.MkdirAll(shots, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	chromium := start(t)
	for _, file := range reports(t) {
		for _, w := range []window{{1440, 900, false}, {390, 844, true}, {360, 740, true}} {
			for _, scheme := range []string{"light", "dark"} {
				name := fmt.Sprintf("%s-%d-%s", strings.TrimSuffix(filepath.Base(file), ".html"), w.width, scheme)
				t.Run(name, func(t *testing.T) {
					tab := open(t, chromium, file, w, scheme)
					for _, problem := range evaluate[[]string](t, tab, measured) {
						t.Error(problem)
					}
					if shots != "" {
						save(t, tab, filepath.Join(shots, name+".png"))
					}
					if !t.Failed() {
						use(t, tab)
					}
				})
			}
		}
	}
}

func reports(t *testing.T) []string {
	t.Helper()
	path := os.Getenv("PLIMSOLL_REPORT")
	if path == "" {
		t.Fatal("PLIMSOLL_REPORT is not set: want a report or a folder of them; hack/browser.sh makes some")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if !info.IsDir() {
		return []string{path}
	}
	files, err := filepath.Glob(filepath.Join(path, "*.html"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no .html file in %s", path)
	}
	return files
}

// start starts one Chromium, with a profile of its own and no network.
func start(t *testing.T) context.Context {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
	}
	if path := os.Getenv("PLIMSOLL_CHROMIUM"); path != "" {
		options = append(options, chromedp.ExecPath(path))
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	browser, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if _, err := chromedp.Run(browser, chromedp.Title()); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return browser
}

// complaints collects what the browser says against a page.
type complaints struct {
	mu   sync.Mutex
	said []string
}

func (c *complaints) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, fmt.Sprintf(format, args...))
}

func (c *complaints) hear(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		c.add("exception: %s", e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		c.add("console.%s", e.Type)
	case *log.EventEntryAdded:
		// Content security violations come this way, too.
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			c.add("%s: %s", e.Entry.Level, e.Entry.Text)
		}
	case *page.EventJavascriptDialogOpening:
		c.add("dialog: %s", e.Message)
	}
}

func (c *complaints) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.said)
}

// open opens the report in a tab of its own, in such a window and scheme. What
// the browser says against the page until the test ends fails the test.
func open(t *testing.T, browser context.Context, file string, w window, scheme string) context.Context {
	t.Helper()
	heard := &complaints{}
	tab, cancel := chromedp.NewContext(browser, chromedp.WithListener(heard.hear))
	t.Cleanup(cancel)
	// The first call opens the tab, which lives as long as that call's context.
	evaluate[string](t, tab, `document.title`)
	tab, stop := context.WithTimeout(tab, within)
	t.Cleanup(stop)
	t.Cleanup(func() {
		for _, said := range heard.all() {
			t.Error(said)
		}
	})
	absolute, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	metrics := emulation.SetDeviceMetricsOverrideParams{Width: w.width, Height: w.height, DeviceScaleFactor: 1, Mobile: w.mobile}
	if _, err := chromedp.Call(tab, emulation.SetDeviceMetricsOverride, metrics); err != nil {
		t.Fatal(err)
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatal(err)
	}
	do(t, tab, chromedp.Navigate((&url.URL{Scheme: "file", Path: absolute}).String()))
	return tab
}

// measured returns what is wrong with the page as it is laid out.
const measured = `(() => {
	const wrong = [];
	const page = document.documentElement;
	if (page.scrollWidth > page.clientWidth) {
		wrong.push("the page is " + page.scrollWidth + " wide in a window of " + page.clientWidth);
		for (const el of document.querySelectorAll("main *, header *, footer *")) {
			if (el.getBoundingClientRect().right > page.clientWidth + 1) { wrong.push("too far right: " + el.outerHTML.slice(0, 200)); break; }
		}
	}
	for (const el of document.querySelectorAll(".plot svg, .v, .grid, .flow, .cells, .card, table")) {
		const box = el.getBoundingClientRect();
		if (box.width < 1 || box.height < 1) wrong.push("nothing to see of " + el.outerHTML.slice(0, 200));
	}
	for (const path of document.querySelectorAll(".curve")) {
		if (path.getAttribute("d") && path.getBBox().width === 0 && path.getBBox().height === 0) wrong.push("a curve without an extent");
	}
	if (getComputedStyle(document.body).backgroundColor === "rgba(0, 0, 0, 0)") wrong.push("no style was applied");
	if (!document.querySelector("h1").textContent.trim()) wrong.push("no headline");
	if (document.querySelector(".tools[hidden]")) wrong.push("the script did not run");
	return wrong;
})()`

func do(t *testing.T, tab context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(tab, actions...); err != nil {
		t.Fatal(err)
	}
}

func evaluate[T any](t *testing.T, tab context.Context, script string) T {
	t.Helper()
	value, err := chromedp.Run(tab, chromedp.Evaluate[T](script))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return value
}

// save photographs the whole page.
func save(t *testing.T, tab context.Context, path string) {
	picture, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, picture, 0o644); err != nil {
		t.Fatal(err)
	}
}
