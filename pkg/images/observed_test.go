package images

import (
	"testing"
	"time"

	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/registry"
)

func id(n int) string { return "docker.io/library/nginx@" + digest(n) }

func (w *world) expectSeen(a Answer, proven, disproved arch.Set) {
	w.t.Helper()
	if a.Proven.String() != proven.String() || a.Disproved.String() != disproved.String() {
		w.t.Fatalf("proven %v, disproved %v; want %v and %v", a.Proven, a.Disproved, proven, disproved)
	}
}

var none arch.Set

func only(p ...arch.Platform) arch.Set { return arch.NewSet(p...) }

func TestObservationsOfTheRegistrysDigestCountAndNoOthers(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set(nginxRef, reply{manifest: index(1, amd64, arm64)})
	w.Prove("default", nginx, id(2), amd64)
	w.Disprove("default", nginx, id(2), arm64)
	w.expectSeen(w.Lookup(nobody, nginx), only(amd64), only(arm64)) // the registry has not said it yet
	w.expectSeen(w.settled(nobody, nginx), none, none)
	w.Disprove("default", nginx, digest(1), arm64)
	w.expectSeen(w.Lookup(nobody, nginx), none, only(arm64))
	w.expectSeen(w.Lookup(nobody, nginxRef), none, only(arm64))
}

func TestObservationsSayNothingToOtherNamespaces(t *testing.T) {
	w := newWorld(t, nil)
	w.Prove("a", nginx, id(1), amd64)
	w.Disprove("a", nginx, "", arm64)
	w.expectSeen(w.Lookup(as("a"), nginx), only(amd64), only(arm64))
	w.expectSeen(w.Lookup(as("b"), nginx), none, none)
}

func TestAProofOutranksDisproofsBeforeAndAfterIt(t *testing.T) {
	w := newWorld(t, nil)
	w.Disprove("default", nginx, id(1), arch.New("linux", "arm64", "v9", ""))
	w.expectSeen(w.Lookup(nobody, nginx), none, only(arch.New("linux", "arm64", "v9", "")))
	w.Prove("default", nginx, id(1), arm64)
	w.expectSeen(w.Lookup(nobody, nginx), only(arm64), none)
	w.Disprove("default", nginx, id(1), arm64)
	w.Disprove("default", nginx, "", arm64) // known by another key, but the same image
	w.expectSeen(w.Lookup(nobody, nginx), only(arm64), none)
	w.Disprove("default", nginx, id(1), amd64)
	w.expectSeen(w.Lookup(nobody, nginx), only(arm64), only(amd64))
}

func TestAProofOutranksDisproofsOfItsBuildOfWindowsOnly(t *testing.T) {
	w := newWorld(t, nil)
	older, newer := arch.New("windows", "amd64", "", "10.0.20348"), arch.New("windows", "amd64", "", "10.0.26100")
	w.Disprove("default", nginx, id(1), older)
	w.Prove("default", nginx, id(1), newer) // an image for the newer one
	w.expectSeen(w.Lookup(nobody, nginx), only(newer), only(older))
	w.Disprove("default", nginx, "", older) // as before it was pulled
	w.expectSeen(w.Lookup(nobody, nginx), only(newer), only(older))
	w.Prove("default", nginx, id(1), older)
	w.expectSeen(w.Lookup(nobody, nginx), only(newer, older), none)
}

func TestDisproofsExpireAndThatIsTold(t *testing.T) {
	w := newWorld(t, nil)
	w.Disprove("default", nginx, id(1), amd64)
	w.Prove("default", nginx, id(1), arm64)
	w.step(disprovedFor - time.Second)
	w.expectSeen(w.Lookup(nobody, nginx), only(arm64), only(amd64))
	told := w.toldOf(nginx)
	w.step(time.Second)
	w.expectSeen(w.Lookup(nobody, nginx), only(arm64), none)
	if w.toldOf(nginx) != told+1 {
		t.Errorf("told %d times of the end of a disproof; want once", w.toldOf(nginx)-told)
	}
	w.step(1000 * time.Hour)
	w.expectSeen(w.Lookup(nobody, nginx), only(arm64), none)
}

func TestWhatWasNeverPulledIsForgottenWithItsTag(t *testing.T) {
	w := newWorld(t, nil)
	w.Disprove("default", nginx, "", arm64)
	w.step(10*time.Minute - time.Second)
	w.expectSeen(w.Lookup(nobody, nginx), none, only(arm64))
	w.step(time.Second)
	w.expectSeen(w.Lookup(nobody, nginx), none, none)
}

func TestListenersAreToldOnlyOfNews(t *testing.T) {
	w := newWorld(t, nil)
	for _, c := range []struct {
		why  string
		do   func()
		news bool
	}{
		{"first proof", func() { w.Prove("default", nginx, id(1), amd64) }, true},
		{"same proof", func() { w.Prove("default", nginx, id(1), amd64) }, false},
		{"disproof of what is proven", func() { w.Disprove("default", nginx, id(1), amd64) }, false},
		{"first disproof", func() { w.Disprove("default", nginx, id(1), arm64) }, true},
		{"same disproof", func() { w.Disprove("default", nginx, id(1), arm64) }, false},
		{"the contrary", func() { w.Prove("default", nginx, id(1), arm64) }, true},
		{"another digest", func() { w.Prove("default", nginx, id(2), arm64) }, true},
		{"the first digest again", func() { w.Prove("default", nginx, id(1), arm64) }, false},
		{"another namespace", func() { w.Prove("other", nginx, id(1), arm64) }, true},
	} {
		before := w.toldOf(nginx)
		c.do()
		w.calm()
		if news := w.toldOf(nginx) > before; news != c.news {
			t.Errorf("%s: told %v; want %v", c.why, news, c.news)
		}
	}
}

func TestAnUnknownImageKeepsWhatWasObserved(t *testing.T) {
	w := newWorld(t, nil)
	w.Prove("default", nginx, id(1), arm64)
	a := w.settled(nobody, nginx)
	w.expect(a, Unknown, registry.NotFound)
	w.expectSeen(a, only(arm64), none)
}

func TestTheDigestOfAnImageID(t *testing.T) {
	for imageID, want := range map[string]string{
		digest(1):                              digest(1),
		id(1):                                  digest(1),
		"docker-pullable://u@h/n@" + digest(2): digest(2),
		"":                                     "",
		"docker.io/library/nginx":              "",
		"nginx@sha256:123":                     "",
		"nginx@sha512:" + digest(1)[len(algorithm):]: "",
		digest(1) + "@": "",
	} {
		if got := digestOf(imageID); got != want {
			t.Errorf("%q: %q; want %q", imageID, got, want)
		}
	}
}

func FuzzADigestIsFoundExactlyOrNotAtAll(f *testing.F) {
	f.Add(id(1))
	f.Add(digest(1))
	f.Add("docker-pullable://a@@b@sha256:")
	f.Fuzz(func(t *testing.T, imageID string) {
		d := digestOf(imageID)
		if d == "" {
			return
		}
		if !isDigest(d) || imageID[len(imageID)-len(d):] != d {
			t.Errorf("%q in %q", d, imageID)
		}
	})
}
