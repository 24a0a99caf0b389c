package images

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plimsoll.dev/scheduler/pkg/registry"
)

var problems = []registry.Problem{
	"", "", "", registry.NotFound, registry.Unauthorized, registry.RateLimited, registry.TimedOut, registry.Unreachable, registry.Malformed,
}

// Whoever is told to wait is told of the image by the deadline, whatever happens
// in between.
func TestNoWaitIsForgotten(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, func(o *Options) { o.MaxBytes = 1 << 20; o.Workers = 2 })
		images := []string{nginx, nginxRef, app, "example.com/a@" + digest(9)}
		refs := []string{nginxRef, nginxRef, app, "example.com/a@" + digest(9)}
		askers := []Asker{nobody, as("a", "pull"), as("c", "pull"), as("d", "none")}
		w.secrets.login("a/pull", map[string]string{"private.example": alice, "docker.io": alice})
		w.secrets.login("c/pull", map[string]string{"private.example": bob})
		type wait struct {
			image string
			until time.Time
			told  int
		}
		var waits []wait
		var release func()
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "pick") }
		want := func(*rapid.T) {
			i, who := pick(len(images)), askers[pick(len(askers))]
			told := w.toldOf(images[i])
			now := w.clock.Now()
			if a := w.Want(who, images[i]); a.State == Waiting {
				waits = append(waits, wait{images[i], now.Add(20 * time.Second), told})
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"want":       want,
			"want again": want,
			"look up":    func(*rapid.T) { w.Lookup(askers[pick(len(askers))], images[pick(len(images))]) },
			"reply": func(*rapid.T) {
				i := pick(len(refs))
				users := []string(nil)
				if rapid.Bool().Draw(rt, "private") {
					users = []string{alice}
				}
				w.registry.set(refs[i], reply{manifest: index(9, amd64), problem: problems[pick(len(problems))]}, users...)
			},
			"hold": func(*rapid.T) {
				if release == nil {
					release = w.registry.hold()
				}
			},
			"release": func(*rapid.T) {
				if release != nil {
					release()
					release = nil
				}
			},
			"observe": func(*rapid.T) { w.Disprove("a", images[pick(len(images))], digest(pick(3)), arm64) },
			"step": func(*rapid.T) {
				w.clock.Step(time.Duration(rapid.IntRange(1, 40).Draw(rt, "seconds")) * time.Second)
			},
			"jump": func(*rapid.T) { w.clock.Step(time.Duration(rapid.IntRange(1, 40).Draw(rt, "minutes")) * time.Minute) },
			"": func(*rapid.T) {
				w.expectSound()
				left := waits[:0]
				for _, one := range waits {
					if w.clock.Now().Before(one.until) {
						left = append(left, one)
						continue
					}
					w.eventually("whoever waits for "+one.image+" is told", func() bool { return w.toldOf(one.image) > one.told })
				}
				waits = left
			},
		})
		if release != nil {
			release()
		}
		w.stop()
	})
}

// The same, with everybody at once, for the race detector.
func TestEverybodyAtOnce(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxBytes = 1 << 20 })
	w.secrets.login("a/pull", map[string]string{"private.example": alice})
	const count = 40
	image := func(i int) string { return fmt.Sprintf("private.example/app:%d", i) }
	var all sync.WaitGroup
	for seed := range uint64(8) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			for range 400 {
				i := r.IntN(count)
				who := []Asker{nobody, as("a", "pull"), as("b", "pull")}[r.IntN(3)]
				switch r.IntN(8) {
				case 0:
					w.registry.set(image(i), reply{manifest: index(i, amd64), problem: problems[r.IntN(len(problems))]})
				case 1:
					w.registry.set(image(i), reply{manifest: index(i, amd64)}, alice)
				case 2:
					w.clock.Step(time.Duration(r.IntN(60)) * time.Second)
				case 3:
					w.Prove(who.Namespace, image(i), digest(i), amd64)
				case 4:
					w.Disprove(who.Namespace, image(i), "", arm64)
				case 5:
					w.Lookup(who, image(i))
				default:
					w.Want(who, image(i))
				}
			}
		})
	}
	all.Wait()
	for i := range count {
		w.registry.set(image(i), reply{manifest: index(i, amd64)}, alice)
	}
	for range 4 { // past every pause and every deadline
		for i := range count {
			w.Want(as("a", "pull"), image(i))
		}
		w.step(time.Hour)
	}
	for i := range count {
		w.expect(w.settled(as("a", "pull"), image(i)), Known, "")
		if a := w.settled(as("b", "pull"), image(i)); a.State != Known || !a.Stale { // what was public once stays known
			w.expect(a, Unknown, registry.Unauthorized)
		}
	}
	w.expectSound()
}
