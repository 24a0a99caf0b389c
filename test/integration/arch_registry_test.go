package integration

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"plimsoll.dev/scheduler/internal/fakeregistry"
	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
)

// Repositories of the odd registry, below its address. What is odd about each is
// in its name.
const (
	privateUser, privatePassword = "reader", "not-a-secret"
	bodyOfOneGB                  = 1 << 30
)

// oddRegistry is a registry in front of which somebody stands who answers for
// some repositories himself, and counts what is asked of manifests.
type oddRegistry struct {
	*fakeregistry.Registry
	t testing.TB

	mu   sync.Mutex
	gets map[string]int // manifests fetched, by repository
	all  int            // requests of any kind
	sent int64          // of the endless body

	hang    chan struct{} // closed when the test is over
	guarded atomic.Bool   // the private image is pushed
}

func startOddRegistry(t testing.TB) *oddRegistry {
	t.Helper()
	o := &oddRegistry{t: t, gets: map[string]int{}, hang: make(chan struct{})}
	r, err := fakeregistry.Start(t.TempDir(), o.wrap)
	if err != nil {
		t.Fatal(err)
	}
	o.Registry = r
	t.Cleanup(func() {
		close(o.hang)
		_ = r.Close() // some tests kill it themselves
	})
	return o
}

func (o *oddRegistry) wrap(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		repository, manifest := manifestOf(req)
		o.mu.Lock()
		o.all++
		if manifest && req.Method == http.MethodGet {
			o.gets[repository]++
		}
		o.mu.Unlock()
		switch {
		case !manifest:
			inner.ServeHTTP(w, req)
		case repository == "odd/private" && o.guarded.Load():
			if user, password, _ := req.BasicAuth(); user != privateUser || password != privatePassword {
				w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
				http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
				return
			}
			inner.ServeHTTP(w, req)
		case repository == "odd/limited":
			w.Header().Set("Retry-After", "600")
			http.Error(w, `{"errors":[{"code":"TOOMANYREQUESTS"}]}`, http.StatusTooManyRequests)
		case repository == "odd/hanging":
			select {
			case <-o.hang:
			case <-req.Context().Done():
			}
		case repository == "odd/endless":
			o.endless(w, req)
		case repository == "odd/redirected":
			http.Redirect(w, req, "https://169.254.169.254/latest/meta-data", http.StatusTemporaryRedirect)
		case repository == "odd/schema1":
			w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+json")
			body := `{"schemaVersion":1,"name":"odd/schema1","tag":"1","architecture":"amd64","fsLayers":[],"history":[]}`
			w.Header().Set("Docker-Content-Digest", fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(body))))
			_, _ = io.WriteString(w, body)
		default:
			inner.ServeHTTP(w, req)
		}
	})
}

// endless sends a manifest of one gigabyte, as long as somebody reads it.
func (o *oddRegistry) endless(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
	if req.Method == http.MethodHead {
		w.Header().Set("Content-Length", fmt.Sprint(bodyOfOneGB))
		return
	}
	chunk := make([]byte, 64<<10)
	for i := range chunk {
		chunk[i] = ' '
	}
	for sent := 0; sent < bodyOfOneGB; {
		n, err := w.Write(chunk)
		sent += n
		o.mu.Lock()
		o.sent += int64(n)
		o.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// manifestOf reads /v2/<repository>/manifests/<reference>.
func manifestOf(req *http.Request) (repository string, ok bool) {
	path, found := strings.CutPrefix(req.URL.Path, "/v2/")
	if !found {
		return "", false
	}
	repository, _, ok = strings.Cut(path, "/manifests/")
	return repository, ok
}

// fetched is how many manifests were fetched of a repository, their indexes'
// entries included.
func (o *oddRegistry) fetched(repository string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.gets[repository]
}

// asked is how many requests of any kind came.
func (o *oddRegistry) asked() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all
}

// sentMiB is how much was sent of the endless manifest.
func (o *oddRegistry) sentMiB() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent >> 20
}

// image is the name by which pods know an image of this registry.
func (o *oddRegistry) image(name string) string { return o.Host + "/" + name }

// push stores an index of images for the platforms.
func (o *oddRegistry) push(name string, platforms ...string) string {
	o.t.Helper()
	if err := o.Push(o.t.Context(), o.image(name), platforms...); err != nil {
		o.t.Fatal(err)
	}
	return o.image(name)
}

// pushWith stores an index for the platforms that has other entries too.
func (o *oddRegistry) pushWith(name, platform string, others ...ggcr.Descriptor) string {
	o.t.Helper()
	index := ggcr.ImageIndex(empty.Index)
	add := func(d ggcr.Descriptor) {
		one, err := random.Image(64, 1)
		if err != nil {
			o.t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: one, Descriptor: d})
	}
	os, architecture, _ := strings.Cut(platform, "/")
	add(ggcr.Descriptor{Platform: &ggcr.Platform{OS: os, Architecture: architecture}})
	for _, d := range others {
		add(d)
	}
	if err := o.PushIndex(o.t.Context(), o.image(name), index); err != nil {
		o.t.Fatal(err)
	}
	return o.image(name)
}

// profile is the shipped one, with the registry trusted; change sees the arguments
// first.
func (o *oddRegistry) profile(change func(*archaware.Args)) string {
	o.t.Helper()
	args := archaware.DefaultArgs()
	args.Registries = []archaware.RegistryArgs{{Name: o.Host, CAFile: o.CAFile}}
	args.AllowedNetworks = []string{"127.0.0.0/8"}
	if change != nil {
		change(&args)
	}
	text, err := schedconfig.WithArgs([]byte(shippedProfile(o.t)), archaware.Name, args)
	if err != nil {
		o.t.Fatal(err)
	}
	return string(text)
}
