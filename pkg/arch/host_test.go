package arch

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/containerd/platforms"
	"pgregory.net/rapid"
)

// all is an index as base images have it.
const all = "linux/386 linux/amd64 linux/arm/v5 linux/arm/v7 linux/arm64 linux/mips64le linux/ppc64le linux/riscv64 linux/s390x windows(10.0.20348.1)/amd64"

func TestAnImageFitsANodeAsContainerdWouldRunIt(t *testing.T) {
	for name, tc := range map[string]struct {
		node, image string
		want        Fit
	}{
		"the same":                                       {"linux/arm64", "linux/arm64", Native},
		"arm64 by its variant":                           {"linux/arm64", "linux/arm64/v8", Native},
		"one of many":                                    {"linux/s390x", all, Native},
		"none of many":                                   {"linux/loong64", all, NoFit},
		"no platform at all":                             {"linux/amd64", "", NoFit},
		"another architecture":                           {"linux/arm64", "linux/amd64", NoFit},
		"another operating system":                       {"linux/amd64", "windows/amd64", NoFit},
		"32-bit x86 on amd64":                            {"linux/amd64", "linux/386", Fallback},
		"arm/v8 on arm64":                                {"linux/arm64", "linux/arm/v8", Fallback},
		"arm/v7 on arm64":                                {"linux/arm64", "linux/arm", Fallback},
		"arm/v6 on arm64":                                {"linux/arm64", "linux/arm/v6", Fallback},
		"arm/v5 on arm64":                                {"linux/arm64", "linux/arm/v5", Fallback},
		"both 32 and 64 bits":                            {"linux/arm64", "linux/arm/v7 linux/arm64", Native},
		"64 bits on a 32-bit node":                       {"linux/arm", "linux/arm64", NoFit},
		"32-bit x86 on arm64":                            {"linux/arm64", "linux/386", NoFit},
		"a lower level of arm":                           {"linux/arm/v7", "linux/arm/v5", Native},
		"a higher level of arm":                          {"linux/arm/v6", "linux/arm/v7", NoFit},
		"a level of amd64 the node has":                  {"linux/amd64/v3", "linux/amd64/v3", Native},
		"a level below":                                  {"linux/amd64/v4", "linux/amd64/v2", Native},
		"the base on a level":                            {"linux/amd64/v4", "linux/amd64", Native},
		"a level above":                                  {"linux/amd64/v2", "linux/amd64/v3", NoFit},
		"a level on a node that declares none":           {"linux/amd64", "linux/amd64/v3", NoFit},
		"a level above, and the base":                    {"linux/amd64", "linux/amd64/v3 linux/amd64", Native},
		"a level above, and 32 bits":                     {"linux/amd64", "linux/amd64/v3 linux/386", Fallback},
		"a later arm64 on the base":                      {"linux/arm64", "linux/arm64/v8.2", NoFit},
		"a later arm64 on one later still":               {"linux/arm64/v9", "linux/arm64/v8.2", Native},
		"a variant of an architecture without levels":    {"linux/ppc64le", "linux/ppc64le/power9", NoFit},
		"wasm where a runtime class leads there":         {"wasip1/wasm", "wasi/wasm", Native},
		"wasm on a node":                                 {"linux/amd64", "wasip1/wasm", NoFit},
		"the same build of Windows":                      {"windows(10.0.17763.5)/amd64", "windows(10.0.17763.1)/amd64", Native},
		"a later build than 2019":                        {"windows(10.0.17763.5)/amd64", "windows(10.0.20348.1)/amd64", NoFit},
		"2019 on 2022":                                   {"windows(10.0.20348.5)/amd64", "windows(10.0.17763.1)/amd64", NoFit},
		"2022 on 2025":                                   {"windows(10.0.26100.1)/amd64", "windows(10.0.20348.1)/amd64", Native},
		"the annual channel on 2025":                     {"windows(10.0.26100.1)/amd64", "windows(10.0.25398.1)/amd64", Native},
		"2025 on 2022":                                   {"windows(10.0.20348.1)/amd64", "windows(10.0.26100.1)/amd64", NoFit},
		"an image that does not say its build":           {"windows(10.0.20348.1)/amd64", "windows/amd64", Native},
		"a node that does not say its build":             {"windows/amd64", "windows(10.0.17763.1)/amd64", Native},
		"one of several builds":                          {"windows(10.0.17763.5)/amd64", "windows(10.0.20348.1)/amd64 windows(10.0.17763.1)/amd64", Native},
		"32 bits of the right build of Windows":          {"windows(10.0.20348.1)/amd64", "windows(10.0.20348.1)/386", Fallback},
		"32 bits of the right, 64 bits of a wrong build": {"windows(10.0.17763.5)/amd64", "windows(10.0.20348.1)/amd64 windows(10.0.17763.1)/386", Fallback},
	} {
		t.Run(name, func(t *testing.T) {
			node, image := must(t, tc.node), setOf(t, tc.image)
			with, without := NewHost(node, true), NewHost(node, false)
			if got := with.Fit(image); got != tc.want {
				t.Errorf("%v on %v: got %v, want %v", image, with, got, tc.want)
			}
			want := tc.want
			if want == Fallback {
				want = NoFit
			}
			if got := without.Fit(image); got != want {
				t.Errorf("%v on %v: got %v, want %v", image, without, got, want)
			}
			if with.Platform() != node {
				t.Errorf("the host is %v, want %v", with.Platform(), node)
			}
		})
	}
}

func TestANodeThatDoesNotSayWhatItRunsTakesNothing(t *testing.T) {
	for _, node := range []Platform{{}, New("linux", "", "", ""), New("unknown", "unknown", "", "")} {
		if got := NewHost(node, true).Fit(setOf(t, all)); got != NoFit {
			t.Errorf("%v takes an image: %v", node, got)
		}
	}
}

// An index entry without platform reads as a platform without names.
func TestAnIndexEntryWithoutPlatformNeverCounts(t *testing.T) {
	index := NewSet(Platform{}, New("", "", "", ""), New("unknown", "unknown", "", ""), New("linux", "arm64", "", ""))
	if got, want := index.String(), "linux/arm64"; got != want {
		t.Errorf("the index has %s, want %s", got, want)
	}
	if got := NewHost(New(runtime.GOOS, runtime.GOARCH, "", ""), true).Fit(NewSet(Platform{})); got != NoFit {
		t.Errorf("an entry without platform on this very machine's: %v, want no fit", got)
	}
}

func TestAPodFitsAsItsWorstImageDoes(t *testing.T) {
	both, x86, arm32, none := setOf(t, "linux/amd64 linux/arm64"), setOf(t, "linux/amd64"), setOf(t, "linux/arm/v7"), Set{}
	h := NewHost(must(t, "linux/arm64"), true)
	for name, tc := range map[string]struct {
		sets    []Set
		want    Fit
		culprit int
	}{
		"no images":               {nil, Native, -1},
		"all native":              {[]Set{both, both}, Native, -1},
		"one is a fallback":       {[]Set{both, arm32, both}, Fallback, 1},
		"two are fallbacks":       {[]Set{both, arm32, arm32}, Fallback, 1},
		"one does not fit":        {[]Set{both, arm32, x86, both}, NoFit, 2},
		"two do not fit":          {[]Set{x86, none}, NoFit, 0},
		"one has no platform":     {[]Set{both, none}, NoFit, 1},
		"the bad one comes first": {[]Set{x86, arm32}, NoFit, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var pod Pod
			for _, s := range tc.sets {
				pod.Images = append(pod.Images, Image{Known: true, Platforms: s})
			}
			if got := pod.Judge(h); got.Fit != tc.want || got.Image != tc.culprit {
				t.Errorf("got %v because of %d, want %v because of %d", got.Fit, got.Image, tc.want, tc.culprit)
			}
		})
	}
}

func TestAnAbsurdLevelIsOnlyItself(t *testing.T) {
	node := New("linux", "amd64", absurdLevel, "")
	h := NewHost(node, true)
	if own, base := h.Fit(NewSet(node)), h.Fit(setOf(t, "linux/amd64")); own != Native || base != NoFit {
		t.Errorf("%v: %v for its own level, %v for the base, want native and no fit", h, own, base)
	}
}

func TestAHostShowsWhatItTakes(t *testing.T) {
	for want, h := range map[string]*Host{
		"linux/arm64: native linux/arm64; fallback linux/arm/v7, linux/arm/v5, linux/arm/v6, linux/arm/v8": NewHost(must(t, "linux/arm64"), true),
		"linux/amd64/v3: native linux/amd64/v3, linux/amd64, linux/amd64/v2":                               NewHost(must(t, "linux/amd64/v3"), false),
		"windows(10.0.20348)/amd64: native windows/amd64; fallback windows/386":                            NewHost(must(t, "windows(10.0.20348)/amd64"), true),
		"unknown/unknown: nothing":                                      NewHost(Platform{}, true),
		"linux/s390x: native linux/s390x":                               NewHost(must(t, "linux/s390x"), true),
		"linux/arm/v7: native linux/arm/v7, linux/arm/v5, linux/arm/v6": NewHost(must(t, "linux/arm"), true),
	} {
		if got := h.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if got := NoFit.String() + ", " + Fallback.String() + ", " + Native.String() + ", " + Fit(9).String(); got != "no fit, fallback, native, Fit(9)" {
		t.Errorf("the fits print as %s", got)
	}
}

// containerd is the judge of every pair of node and image that both can tell.
func TestFitAgreesWithContainerd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		node, image := drawPlatform(t, "node"), drawPlatform(t, "image")
		if node.Variant == absurdLevel {
			return // it takes containerd as many steps
		}
		if node.OS == unknown || image.OS == unknown || node.Architecture == unknown || image.Architecture == unknown {
			return // containerd runs unknown on unknown
		}
		theirs := platforms.Only(node.spec()).Match(image.spec())
		same := New("", node.Architecture, "", "").Architecture == New("", image.Architecture, "", "").Architecture
		want := NoFit
		if theirs && same {
			want = Native
		} else if theirs {
			want = Fallback
		}
		if got := NewHost(node, true).Fit(NewSet(image)); got != want {
			t.Fatalf("image %v on node %v: %v, containerd says %v", image, node, got, want)
		}
	})
}

func TestEveryBuildOfWindowsAgreesWithContainerd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		version := rapid.Custom(func(t *rapid.T) string {
			major := rapid.SampledFrom([]string{"10.0.", "10.0.", "10.0.", "10.1.", "0.0."}).Draw(t, "version")
			build := rapid.OneOf(rapid.IntRange(0, 1<<16), rapid.IntRange(20_340, 20_355), rapid.IntRange(26_095, 26_105)).Draw(t, "build")
			return major + strconv.Itoa(build) + rapid.SampledFrom([]string{"", ".", ".1", ".2340", ".7.7", "x", ".x"}).Draw(t, "tail")
		})
		node, image := Platform{OS: windows, Architecture: "amd64"}, Platform{OS: windows, Architecture: "amd64"}
		node.OSVersion, image.OSVersion = version.Draw(t, "node"), version.Draw(t, "image")
		theirs := platforms.Only(node.spec()).Match(image.spec())
		if got := NewHost(node, true).Fit(NewSet(image)) == Native; got != theirs {
			t.Fatalf("image %v on node %v: %t, containerd says %t", image, node, got, theirs)
		}
	})
}

func TestMorePlatformsNeverFitWorse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSet(t, "a"), drawSet(t, "b")
		node := drawPlatform(t, "node")
		h, strict := NewHost(node, true), NewHost(node, false)
		if fit, both := max(h.Fit(a), h.Fit(b)), h.Fit(a.Union(b)); both != fit {
			t.Fatalf("%v on %v: %v and %v apart, %v together", a, h, h.Fit(a), h.Fit(b), both)
		}
		if h.Fit(a) < strict.Fit(a) || strict.Fit(a) == Fallback || (h.Fit(a) == Native) != (strict.Fit(a) == Native) {
			t.Fatalf("%v: %v on %v, %v on %v", a, h.Fit(a), h, strict.Fit(a), strict)
		}
	})
}

func TestMatchingAllocatesNothing(t *testing.T) {
	h, sets := NewHost(must(t, "linux/arm64"), true), []Set{setOf(t, all), setOf(t, "linux/arm/v7"), setOf(t, "linux/amd64")}
	if n := testing.AllocsPerRun(100, func() {
		for _, s := range sets {
			h.Fit(s)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkFit(b *testing.B) {
	for name, tc := range map[string]struct{ node, image string }{
		"one of one":             {"linux/amd64", "linux/amd64"},
		"one of ten":             {"linux/arm64", all},
		"none of ten":            {"linux/loong64", all},
		"none of ten, nor 32bit": {"linux/arm64", "linux/386 linux/amd64 linux/amd64/v2 linux/amd64/v3 linux/amd64/v4 linux/mips64le linux/ppc64le linux/riscv64 linux/s390x linux/loong64"},
		"Windows":                {"windows(10.0.20348.1)/amd64", all},
	} {
		b.Run(name, func(b *testing.B) {
			h, s := NewHost(must(b, tc.node), true), setOf(b, tc.image)
			b.ReportAllocs()
			for b.Loop() {
				h.Fit(s)
			}
		})
	}
}

func BenchmarkJudge(b *testing.B) {
	h, pod := NewHost(must(b, "linux/arm64"), true), Pod{}
	for _, text := range []string{all, "linux/amd64 linux/arm64", "linux/arm64"} {
		pod.Images = append(pod.Images, Image{Known: true, Platforms: setOf(b, text)})
	}
	b.ReportAllocs()
	for b.Loop() {
		pod.Judge(h)
	}
}

func BenchmarkNewHost(b *testing.B) {
	node := must(b, "windows(10.0.26100.1)/amd64")
	b.ReportAllocs()
	for b.Loop() {
		NewHost(node, true)
	}
}

func BenchmarkNewSet(b *testing.B) {
	platforms := setOf(b, all).Platforms()
	b.ReportAllocs()
	for b.Loop() {
		NewSet(platforms...)
	}
}
