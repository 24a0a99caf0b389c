package arch

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func set(t interface{ Fatal(...any) }, platforms ...string) Set {
	all := make([]Platform, len(platforms))
	for i, text := range platforms {
		p, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = p
	}
	return NewSet(all...)
}

func preference(t *testing.T, text string) Preference {
	p, ok := ParsePreference(text)
	if !ok {
		t.Fatalf("%q is no preference", text)
	}
	return p
}

// judged lists what the pod can run on, of amd64, arm64, wasm-less s390x, and a
// node that does not say: + native, ~ fallback, and else the cause.
func judged(p *Pod) string {
	var out []string
	for _, h := range []Platform{New("linux", "amd64", "", ""), New("linux", "arm64", "", ""), {}} {
		v := p.Judge(NewHost(h, true))
		mark := map[Cause]string{Untold: "untold", OtherOS: "os", NotListed: "unlisted", Lacks: "lacks", FailsOn: "fails", NotAssumed: "assumed", Unproven: "unproven"}[v.Cause]
		switch v.Fit {
		case Native:
			mark = "+"
		case Fallback:
			mark = "~"
		}
		out = append(out, mark)
	}
	return strings.Join(out, " ")
}

func TestWhereAPodCanRun(t *testing.T) {
	known := func(platforms ...string) Image { return Image{Known: true, Platforms: set(t, platforms...)} }
	amd, arm := set(t, "linux/amd64"), set(t, "linux/arm64")
	unknown := Image{Why: "timeout"}
	wasm := NewHost(New("wasip1", "wasm", "", ""), true)
	for name, tc := range map[string]struct {
		pod  Pod
		want string // amd64 arm64 untold
	}{
		"no image":                                  {Pod{}, "+ + ~"},
		"an image for both":                         {Pod{Images: []Image{known("linux/amd64", "linux/arm64")}}, "+ + ~"},
		"an image for one":                          {Pod{Images: []Image{known("linux/amd64")}}, "+ lacks ~"},
		"all images count":                          {Pod{Images: []Image{known("linux/amd64"), known("linux/arm64")}}, "lacks lacks ~"},
		"a 32-bit image":                            {Pod{Images: []Image{known("linux/386")}}, "~ lacks ~"},
		"an artifact binds to nothing":              {Pod{Images: []Image{{Anywhere: true}, known("linux/arm64")}}, "lacks + ~"},
		"a wasm image without its class":            {Pod{Images: []Image{known("wasip1/wasm")}}, "lacks lacks ~"},
		"a wasm image with its class":               {Pod{Images: []Image{known("wasip1/wasm")}, Beside: wasm}, "+ + ~"},
		"a sidecar beside wasm":                     {Pod{Images: []Image{known("wasip1/wasm"), known("linux/arm64")}, Beside: wasm}, "lacks + ~"},
		"the pod's own list":                        {Pod{Preference: preference(t, "arm64>s390x")}, "unlisted + untold"},
		"another operating system":                  {Pod{OS: "windows"}, "os os untold"},
		"nothing known, nothing assumed":            {Pod{Images: []Image{unknown}}, "+ + ~"},
		"nothing known, amd64 assumed":              {Pod{Images: []Image{unknown}, Assumed: amd}, "+ assumed ~"},
		"what ran is assumed as well":               {Pod{Images: []Image{{Proven: arm}}, Assumed: amd}, "+ + ~"},
		"what failed is assumed no longer":          {Pod{Images: []Image{{Disproved: amd}}, Assumed: amd}, "fails + ~"},
		"what it lists is what they are built for":  {Pod{Images: []Image{{Proven: arm}}, Preference: preference(t, "arm64>amd64")}, "+ + untold"},
		"closed: nowhere":                           {Pod{Images: []Image{unknown}, Closed: true}, "unproven unproven untold"},
		"closed: where it ran":                      {Pod{Images: []Image{{Proven: arm}}, Closed: true, Assumed: amd}, "unproven + untold"},
		"closed and known":                          {Pod{Images: []Image{known("linux/arm64")}, Closed: true}, "lacks + untold"},
		"an index that lies":                        {Pod{Images: []Image{{Known: true, Platforms: set(t, "linux/amd64", "linux/arm64"), Disproved: arm}}}, "+ fails ~"},
		"proofs do not add to what a registry says": {Pod{Images: []Image{{Known: true, Platforms: amd, Proven: arm}}}, "+ lacks ~"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := judged(&tc.pod); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestTheWorstImageIsBlamed(t *testing.T) {
	p := Pod{Images: []Image{
		{Known: true, Platforms: set(t, "linux/arm/v7")}, {Known: true, Platforms: set(t, "linux/amd64")}, {Known: true, Platforms: set(t, "linux/s390x")},
	}}
	v := p.Judge(NewHost(New("linux", "arm64", "", ""), true))
	if v.Fit != NoFit || v.Cause != Lacks || v.Image != 1 {
		t.Errorf("got %+v, want the second image blamed, the first that does not fit", v)
	}
}

// A verdict without a fit has a cause, and one with a fit has none; one image
// more never helps, nor does knowing that one of them failed.
func TestMoreImagesNeverHelp(t *testing.T) {
	all := []Platform{New("linux", "amd64", "", ""), New("linux", "arm64", "", ""), New("linux", "386", "", ""), New("linux", "arm", "v7", ""), New("wasip1", "wasm", "", "")}
	some := rapid.Custom(func(t *rapid.T) Set {
		return NewSet(rapid.SliceOfN(rapid.SampledFrom(all), 0, 3).Draw(t, "platforms")...)
	})
	image := rapid.Custom(func(t *rapid.T) Image {
		return Image{Known: rapid.Bool().Draw(t, "known"), Anywhere: rapid.IntRange(0, 9).Draw(t, "anywhere") == 0,
			Platforms: some.Draw(t, "platforms"), Proven: some.Draw(t, "proven"), Disproved: some.Draw(t, "disproved")}
	})
	rapid.Check(t, func(t *rapid.T) {
		p := Pod{Images: rapid.SliceOfN(image, 1, 4).Draw(t, "images"), Closed: rapid.Bool().Draw(t, "closed"), Assumed: some.Draw(t, "assumed")}
		host := NewHost(rapid.SampledFrom(all[:2]).Draw(t, "node"), rapid.Bool().Draw(t, "32 bit"))
		got := p.Judge(host)
		if (got.Fit == NoFit) != (got.Cause != Fine) {
			t.Fatalf("%+v", got)
		}
		fewer := p
		fewer.Images = p.Images[:len(p.Images)-1]
		if fewer.Judge(host).Fit < got.Fit {
			t.Fatalf("%+v with all images, %+v without the last", got, fewer.Judge(host))
		}
		if last := &p.Images[len(p.Images)-1]; last.Known && !last.Anywhere {
			last.Disproved = NewSet(host.Platform())
			if worse := p.Judge(host); worse.Fit > got.Fit || worse.Fit != NoFit {
				t.Fatalf("%+v although the last image failed here", worse)
			}
		}
	})
}

func TestJudgingAllocatesNothingOnceAnImageIsKnown(t *testing.T) {
	p := Pod{Images: []Image{{Known: true, Platforms: set(t, "linux/amd64", "linux/arm64")}, {Known: true, Platforms: set(t, "linux/arm64")}}}
	host := NewHost(New("linux", "arm64", "", ""), true)
	if n := testing.AllocsPerRun(100, func() { p.Judge(host) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
