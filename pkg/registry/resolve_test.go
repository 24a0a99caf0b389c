package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"plimsoll.dev/scheduler/pkg/arch"
)

func TestAnIndexTellsItsPlatformsInOneGet(t *testing.T) {
	f := newFake(t)
	digest := f.index(t, "app", "v1", "amd64", "arm64")
	h := newHarness(t, nil, f)
	m, err := h.resolve(t, f.host()+"/app:v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if drawn(m) != "index linux/amd64 linux/arm64" || m.Digest != digest || m.Sparse {
		t.Errorf("got %+v, want both platforms of %s", m, digest)
	}
	wantRequests(t, f, "GET /v2/", "HEAD /v2/app/manifests/v1", "GET /v2/app/manifests/"+digest)
}

func TestASingleImageTellsItsPlatformByItsConfig(t *testing.T) {
	f := newFake(t)
	for tag, tc := range map[string]struct{ config, want string }{
		"amd64":           {config("linux", "amd64", ""), "image linux/amd64"},
		"arm64-v8":        {config("linux", "arm64", "v8"), "image linux/arm64"},
		"arm-v6":          {config("linux", "arm", "v6"), "image linux/arm/v6"},
		"wasm":            {config("wasip1", "wasm", ""), "image wasip1/wasm"},
		"no-architecture": {`{"os":"linux"}`, "image"},
		"no-os":           {`{"architecture":"amd64"}`, "image"},
		"nothing":         {`{}`, "image"},
		"unknown":         {config("unknown", "unknown", ""), "image"},
	} {
		f.image(t, "app", tag, tc.config)
		if got := newHarness(t, nil, f).platforms(t, f.host()+"/app:"+tag); got != tc.want {
			t.Errorf("%s: got %q, want %q", tag, got, tc.want)
		}
	}
}

// Container runtimes look for a platform only where an index lists several.
func TestWhatIsOfNoPlatformInParticularCanBeMountedAnywhere(t *testing.T) {
	f := newFake(t)
	index := func(tag string, entries ...string) {
		f.put(t, "app", tag, types.OCIImageIndex, indexOf(entries...))
	}
	onARM := listed(someDigest, "linux", "arm64", "")
	f.image(t, "app", "plain", config("linux", "arm64", ""))
	f.image(t, "app", "silent", "{}")
	index("index", onARM)
	index("loose", onARM, entryOf(types.OCIManifestSchema1, ""))
	index("artifact", onARM, entryOf(types.OCIManifestSchema1, `,"artifactType":"application/x"`))
	index("attested", onARM, entryOf(types.OCIManifestSchema1, `,"annotations":{"vnd.docker.reference.type":"attestation-manifest"}`))
	index("nested", onARM, entryOf(types.OCIImageIndex, ""))
	h := newHarness(t, nil, f)
	for tag, want := range map[string]bool{"plain": true, "silent": true, "loose": true, "artifact": true, "index": false, "attested": false, "nested": false} {
		if m, err := h.resolve(t, f.host()+"/app:"+tag, nil); err != nil || m.Mountable != want {
			t.Errorf("%s: mountable anywhere %v, %v, want %v", tag, m.Mountable, err, want)
		}
	}
}

func TestAWindowsImageKeepsItsBuild(t *testing.T) {
	f := newFake(t)
	f.image(t, "app", "ltsc", `{"os":"windows","architecture":"amd64","os.version":"10.0.20348.2402"}`)
	m, err := newHarness(t, nil, f).resolve(t, f.host()+"/app:ltsc", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Platforms.Platforms(); len(got) != 1 || !strings.HasPrefix(got[0].OSVersion, "10.0.20348") {
		t.Errorf("got %+v, want windows/amd64 of build 10.0.20348.2402", got)
	}
}

func TestAnArtifactIsNoImageAndCostsNoBlob(t *testing.T) {
	f := newFake(t)
	for tag, configType := range map[string]types.MediaType{
		"helm":   "application/vnd.cncf.helm.config.v1+json",
		"empty":  types.OCIEmptyJSON,
		"plugin": types.DockerPluginConfig,
	} {
		f.put(t, "chart", tag, types.OCIManifestSchema1, imageManifest(configType, someDigest))
		if got := newHarness(t, nil, f).platforms(t, f.host()+"/chart:"+tag); got != "artifact" {
			t.Errorf("%s: got %q, want an artifact", tag, got)
		}
	}
	for _, request := range f.asked() {
		if strings.Contains(request, "/blobs/") {
			t.Errorf("%s: an artifact's config says nothing of platforms", request)
		}
	}
}

func TestAKnownDigestCostsNoGet(t *testing.T) {
	f := newFake(t)
	digest := f.index(t, "app", "v1", "amd64", "arm64")
	remembered := Manifest{Digest: digest, Kind: Index, Platforms: arch.NewSet(arch.New("linux", "s390x", "", ""))}
	known := func(asked string) (Manifest, bool) { return remembered, asked == digest }
	for _, image := range []string{"/app:v1", "/app@" + digest, "/app:other@" + digest} {
		ref, err := Parse(f.host() + image)
		if err != nil {
			t.Fatal(err)
		}
		m, err := newHarness(t, nil, f).Resolve(context.Background(), ref, nil, known)
		if err != nil || drawn(m) != drawn(remembered) {
			t.Errorf("%s: got %v, %v, want what is known", image, drawn(m), err)
		}
		wantRequests(t, f, "GET /v2/", "HEAD /v2/app"+ref.manifestPath())
	}
}

func TestAKnownDigestIsNoProofOfTheRightToReadIt(t *testing.T) {
	f := newFake(t)
	digest := f.index(t, "app", "v1", "amd64")
	f.on("/manifests/"+digest, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	ref, err := Parse(f.host() + "/app@" + digest)
	if err != nil {
		t.Fatal(err)
	}
	known := func(string) (Manifest, bool) { return Manifest{Kind: Index}, true }
	_, err = newHarness(t, nil, f).Resolve(context.Background(), ref, nil, known)
	if e, ok := errors.AsType[*Error](err); !ok || e.Problem != Unauthorized {
		t.Errorf("got %v, want %s", err, Unauthorized)
	}
}

func TestARegistryWithoutHeadIsAskedByGet(t *testing.T) {
	for name, head := range map[string]http.HandlerFunc{
		"405":              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) },
		"501":              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotImplemented) },
		"no digest":        func(http.ResponseWriter, *http.Request) {},
		"another's digest": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Docker-Content-Digest", "md5:1") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			digest := f.index(t, "app", "v1", "amd64", "arm64")
			f.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead {
					head(w, r)
					return
				}
				f.content.ServeHTTP(w, r)
			})
			m, err := newHarness(t, nil, f).resolve(t, f.host()+"/app:v1", nil)
			if err != nil || m.Digest != digest || m.Platforms.Len() != 2 {
				t.Errorf("got %+v, %v, want two platforms of %s", m, err, digest)
			}
			wantRequests(t, f, "GET /v2/", "HEAD /v2/app/manifests/v1", "GET /v2/app/manifests/v1")
		})
	}
}

func TestWithoutHeadTheComputedDigestIsLookedUpBeforeTheConfigIsRead(t *testing.T) {
	f := newFake(t)
	digest := f.image(t, "app", "v1", config("linux", "amd64", ""))
	f.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		f.content.ServeHTTP(w, r)
	})
	ref, _ := Parse(f.host() + "/app:v1")
	known := func(asked string) (Manifest, bool) { return Manifest{Digest: asked, Kind: Image}, asked == digest }
	if m, err := newHarness(t, nil, f).Resolve(context.Background(), ref, nil, known); err != nil || m.Digest != digest {
		t.Errorf("got %+v, %v, want what is known of %s", m, err, digest)
	}
	wantRequests(t, f, "GET /v2/", "HEAD /v2/app/manifests/v1", "GET /v2/app/manifests/v1")
}

func TestASparseEndpointHasThePlatformsWhoseManifestsAreThere(t *testing.T) {
	f := newFake(t)
	there := f.image(t, "app", "amd64", config("linux", "amd64", ""))
	failing := "sha256:" + strings.Repeat("cd", 32)
	f.on("/manifests/"+failing, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	index := f.put(t, "app", "v1", types.OCIImageIndex, indexOf(listed(there, "linux", "amd64", ""),
		listed(someDigest, "linux", "arm64", ""), listed(failing, "linux", "s390x", ""), listed("../../evil", "linux", "ppc64le", "")))

	if got, want := newHarness(t, nil, f).platforms(t, f.host()+"/app:v1"), "index linux/amd64 linux/arm64 linux/ppc64le linux/s390x"; got != want {
		t.Errorf("not sparse: got %q, want %q", got, want)
	}
	f.asked()

	sparse := newHarness(t, func(o *Options) { o.Hosts[0].Sparse = true }, f)
	ref, _ := Parse(f.host() + "/app:v1")
	full := func(digest string) (Manifest, bool) { return Manifest{Digest: digest, Kind: Index}, true }
	m, err := sparse.Resolve(context.Background(), ref, nil, full)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := drawn(m), "index linux/amd64 linux/ppc64le linux/s390x"; got != want || !m.Sparse {
		t.Errorf("sparse: got %q sparse %v, want %q: only what is clearly not there is dropped", got, m.Sparse, want)
	}
	wantRequests(t, f, "GET /v2/", "HEAD /v2/app/manifests/v1", "GET /v2/app/manifests/"+index, "HEAD /v2/app/manifests/"+there,
		"HEAD /v2/app/manifests/"+someDigest, "HEAD /v2/app/manifests/"+failing)
}

func TestTheCauseOfAFailureIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		want   Problem
		says   string
	}{
		"no manifest":        {404, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`, NotFound, "MANIFEST_UNKNOWN: manifest unknown"},
		"no repository":      {400, `{"errors":[{"code":"NAME_UNKNOWN"}]}`, NotFound, "NAME_UNKNOWN"},
		"404 without a word": {404, ``, NotFound, "no such image"},
		"401":                {401, ``, Unauthorized, "no such repository, or one that other credentials may read"},
		"403":                {403, `{"errors":[{"code":"DENIED","message":"requested access is denied"}]}`, Unauthorized, "asked without credentials"},
		"429 by code":        {403, `{"errors":[{"code":"TOOMANYREQUESTS"}]}`, RateLimited, "TOOMANYREQUESTS"},
		"500":                {500, `<html>sorry`, ServerError, "500 Internal Server Error"},
		"418":                {418, ``, Malformed, "418"},
		"204":                {204, ``, Malformed, "204"},
		"a message of lines": {404, `{"errors":[{"code":"X\nfake: log","message":"a\u001b[31m\nb\u202ec"}]}`, NotFound, "a [31m b c"},
		"a long message":     {404, `{"errors":[{"code":"DENIED","message":"` + strings.Repeat("x", 9000) + `"}]}`, NotFound, "xxx..."},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead {
					w.WriteHeader(http.StatusMethodNotAllowed)
					return
				}
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})
			e := newHarness(t, nil, f).problem(t, f.host()+"/app:v1", nil, tc.want)
			if !strings.Contains(e.Cause.Error(), tc.says) || !strings.Contains(e.Cause.Error(), f.host()) || !strings.Contains(e.Error(), f.host()+"/app:v1") || strings.ContainsAny(e.Cause.Error(), "\n\x1b\u202e") || strings.Contains(e.Cause.Error(), "fake") {
				t.Errorf("got %q, want the registry and %q on one line", e.Cause, tc.says)
			}
		})
	}
}

func TestWhatIsNoRegistryIsSaidToBeNone(t *testing.T) {
	f := newFake(t)
	f.on("/v2/", http.NotFound)
	if e := newHarness(t, nil, f).problem(t, f.host()+"/app", nil, Malformed); !strings.Contains(e.Cause.Error(), "no registry") {
		t.Errorf("got %v, want that there is no registry", e.Cause)
	}
}

func TestAContentThatIsNotTheDigestsIsRefused(t *testing.T) {
	f := newFake(t)
	digest := f.index(t, "app", "v1", "amd64")
	lie := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, indexOf(listed(someDigest, "linux", "riscv64", "")))
	}
	f.on("/manifests/"+digest, lie)
	h := newHarness(t, nil, f)
	for _, image := range []string{"/app:v1", "/app@" + digest} {
		if e := h.problem(t, f.host()+image, nil, Malformed); !strings.Contains(e.Cause.Error(), digest) {
			t.Errorf("got %v, want the digest that was wanted", e.Cause)
		}
	}
	image := f.image(t, "single", "v1", config("linux", "amd64", ""))
	f.on("/blobs/"+digestOf([]byte(config("linux", "amd64", ""))), lie)
	if e := h.problem(t, f.host()+"/single@"+image, nil, Malformed); !strings.Contains(e.Cause.Error(), "config") {
		t.Errorf("got %v, want that the config has another digest", e.Cause)
	}
}

func TestAnAnswerCutShortIsMalformed(t *testing.T) {
	whole := indexOf(listed(someDigest, "linux", "amd64", ""))
	for name, get := range map[string]http.HandlerFunc{
		"truncated JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, whole[:len(whole)/2]) },
		"longer length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			_, _ = io.WriteString(w, whole)
		},
		"shorter length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "30")
			_, _ = io.WriteString(w, whole)
		},
		"deep JSON": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat(`{"manifests":[`, 100_000))
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>log in") },
		"nothing": func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					get(w, r)
				}
			})
			newHarness(t, nil, f).wantProblem(t, f.host()+"/app:v1", nil, Malformed)
		})
	}
}

func TestAReferenceThatParseWouldNotReturnIsNotAsked(t *testing.T) {
	f := newFake(t)
	h := newHarness(t, nil, f)
	for _, ref := range []Reference{
		{},
		{Registry: f.host(), Repository: "../../etc", Tag: "v1"},
		{Registry: f.host(), Repository: "app", Tag: "v1?x=y"},
		{Registry: f.host(), Repository: "app", Digest: "sha256:short"},
		{Registry: "index.docker.io", Repository: "library/nginx", Tag: "latest"},
	} {
		_, err := h.Resolve(context.Background(), ref, nil, nil)
		if e, ok := errors.AsType[*Error](err); !ok || e.Problem != Malformed {
			t.Errorf("%+v: got %v, want %s", ref, err, Malformed)
		}
	}
	wantRequests(t, f)
}

func TestManyMayAskAtOnceOverAFewConnections(t *testing.T) {
	f := newFake(t)
	for i := range 4 {
		f.index(t, "app", fmt.Sprint("v", i), "amd64", "arm64")
	}
	h := newHarness(t, func(o *Options) { o.Burst = 10_000 }, f)
	var done sync.WaitGroup
	for i := range 32 {
		done.Go(func() {
			ref, _ := Parse(fmt.Sprintf("%s/app:v%d", f.host(), i%4))
			if m, err := h.Resolve(context.Background(), ref, nil, nil); err != nil || m.Platforms.Len() != 2 {
				t.Errorf("got %v, %v, want two platforms", drawn(m), err)
			}
		})
	}
	done.Wait()
}

func TestARegistryMaySpeakHTTP2(t *testing.T) {
	f := unstarted(t)
	f.EnableHTTP2 = true
	f.StartTLS()
	f.index(t, "app", "v1", "amd64")
	f.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("asked by %s, want HTTP/2", r.Proto)
		}
		f.content.ServeHTTP(w, r)
	})
	if got := newHarness(t, nil, f).platforms(t, f.host()+"/app:v1"); got != "index linux/amd64" {
		t.Errorf("got %s, want the image", got)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	f := newFake(t)
	f.index(t, "app", "v1", "amd64")
	remotes := map[string]bool{}
	f.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
		remotes[r.RemoteAddr] = true
		f.content.ServeHTTP(w, r)
	})
	h := newHarness(t, nil, f)
	for range 3 {
		h.platforms(t, f.host()+"/app:v1")
	}
	if len(remotes) != 1 {
		t.Errorf("three times asked over %d connections, want 1", len(remotes))
	}
}
