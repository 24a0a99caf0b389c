package images

import (
	"strings"
	"testing"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"plimsoll.dev/scheduler/pkg/registry"
)

func TestAProblemIsAskedAgainByItselfAfterGrowingPausesWhileWanted(t *testing.T) {
	for _, problem := range []registry.Problem{registry.NotFound, registry.Unauthorized, registry.Forbidden, registry.Malformed, registry.TooLarge} {
		w := newWorld(t, nil)
		w.registry.set(nginxRef, reply{problem: problem})
		w.expect(w.settled(nobody, nginx), Unknown, problem)
		asked := 1
		for _, pause := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
			w.step(pause - time.Second)
			w.expect(w.settled(nobody, nginx), Unknown, problem) // and nobody waits again
			if n := w.registry.questions(nginxRef, ""); n != asked {
				t.Fatalf("%s: asked %d times before %v were over; want %d", problem, n, pause, asked)
			}
			w.step(time.Second)
			if asked++; w.registry.questions(nginxRef, "") != asked {
				t.Fatalf("%s: not asked again after %v", problem, pause)
			}
		}
		w.registry.set(nginxRef, reply{manifest: index(1, amd64)})
		told := w.toldOf(nginx)
		w.step(5 * time.Minute)
		w.expect(w.Lookup(nobody, nginx), Known, "")
		if n := w.toldOf(nginx) - told; n != 1 {
			t.Errorf("%s: told %d times of the success; want once", problem, n)
		}
	}
}

func TestAProblemIsNotAskedAgainOnceNobodyWantsTheImage(t *testing.T) {
	w := newWorld(t, nil)
	w.settled(nobody, nginx)
	for range 20 {
		w.step(time.Minute)
	}
	asked := w.registry.questions(nginxRef, "")
	for range 60 {
		w.step(time.Minute)
	}
	if n := w.registry.questions(nginxRef, ""); n != asked || asked > 4 {
		t.Errorf("asked %d times within 20 minutes and %d times within 80; want at most 4 in 10 minutes, then none", asked, n)
	}
	w.expect(w.Want(nobody, nginx), Unknown, registry.NotFound)
	w.calm()
	if n := w.registry.questions(nginxRef, ""); n != asked+1 {
		t.Error("not asked again at once when it was wanted again")
	}
}

func TestASecretThatIsMendedIsFoundWithoutAnybodyAsking(t *testing.T) {
	for why, before := range map[string]func(*world){
		"missing":       func(*world) {},
		"no match":      func(w *world) { w.secrets.login("d/late", map[string]string{"other.example": alice}) },
		"another's":     func(w *world) { w.secrets.login("d/late", map[string]string{"private.example": bob}) },
		"of wrong type": func(w *world) { w.secrets.put("d/late", "Opaque", "password", "none") },
	} {
		w := newPrivateWorld(t)
		before(w)
		who := as("d", "late")
		w.expect(w.settled(who, app), Unknown, registry.Unauthorized)
		w.step(time.Minute) // in vain
		w.secrets.login("d/late", map[string]string{"private.example": alice})
		told := w.toldOf(app)
		w.step(2 * time.Minute)
		w.expect(w.Lookup(who, app), Known, "")
		if w.toldOf(app) == told {
			t.Errorf("%s: nobody was told of the success", why)
		}
	}
}

func TestPullSecretsThatDoNotHelpAreReadAgainSeldom(t *testing.T) {
	w := newPrivateWorld(t)
	w.settled(as("d", "late"), app)
	for range 30 {
		w.step(time.Minute)
		w.Want(as("d", "late"), app)
		w.calm()
	}
	if w.secrets.reads < 5 || w.secrets.reads > 32 {
		t.Errorf("a missing secret was read %d times in 30 minutes; want once a minute at most", w.secrets.reads)
	}
	for range 15 {
		w.step(time.Minute)
	}
	reads := w.secrets.reads
	for range 60 {
		w.step(time.Minute)
	}
	if w.secrets.reads != reads {
		t.Errorf("read %d times more although nobody wanted the image", w.secrets.reads-reads)
	}
}

func TestACredentialThatOpensTheImageSparesTheRegistryTheAnonymousQuestion(t *testing.T) {
	w := newPrivateWorld(t)
	for range 12 {
		w.expect(w.settled(as("a", "pull"), app), Known, "")
		w.step(time.Minute)
	}
	asked := w.registry.questions(app, "")
	for range 60 {
		w.expect(w.settled(as("a", "pull"), app), Known, "")
		w.step(time.Minute)
	}
	if n := w.registry.questions(app, ""); n != asked {
		t.Errorf("asked %d times more without a credential although nobody needs that answer", n-asked)
	}
}

func TestPullSecretsAreTriedWhateverThePublicAnswerIs(t *testing.T) {
	for _, problem := range []registry.Problem{
		registry.NotFound, registry.Unauthorized, registry.Forbidden, registry.Malformed, registry.TooLarge,
		registry.RateLimited, registry.ServerError, registry.TimedOut, registry.Unreachable,
	} {
		w := newPrivateWorld(t)
		w.registry.set(app, reply{manifest: index(1, amd64), public: problem}, alice)
		w.Want(as("a", "pull"), app)
		w.step(2 * time.Second) // a host that did not answer is left alone for a second
		if a := w.Want(as("a", "pull"), app); a.State != Known || a.Stale || a.Digest != digest(1) {
			t.Errorf("%s: %+v; want what the credential opens", problem, a)
		}
		w.Want(as("c", "pull"), app) // a credential that opens nothing
		w.step(2 * time.Second)
		w.step(20 * time.Second)
		a := w.Want(as("c", "pull"), app)
		w.expect(a, Unknown, problem)
		if !strings.Contains(a.Message, string(problem)) {
			t.Errorf("%s: message %q does not say so", problem, a.Message)
		}
		w.Want(as("d", "missing"), app)
		w.step(20 * time.Second)
		a = w.Want(as("d", "missing"), app)
		w.expect(a, Unknown, problem)
		if !strings.Contains(a.Message, `pull secret "d/missing": not found`) {
			t.Errorf("%s: message %q does not name the secret", problem, a.Message)
		}
	}
}

func TestAPublicSuccessServesWhoFailedWithACredential(t *testing.T) {
	w := newPrivateWorld(t)
	w.registry.mu.Lock()
	delete(w.registry.users, app)
	w.registry.mu.Unlock()
	w.registry.set(app, reply{problem: registry.NotFound})
	w.expect(w.settled(as("c", "pull"), app), Unknown, registry.NotFound)
	w.registry.set(app, reply{manifest: index(1, amd64)}, "") // still not for bob
	w.step(time.Minute)
	for _, who := range []Asker{as("c", "pull"), as("c"), nobody} {
		w.expect(w.Lookup(who, app), Known, "")
	}
	for range 9 {
		w.step(time.Minute)
	}
	if n := w.registry.questions(app, bob); n > 2 {
		t.Errorf("a credential was shown %d times; want no more once it is not needed", n)
	}
}

func TestARenewalThatDoesNotEndLeavesTheOldAnswerStale(t *testing.T) {
	for why, age := range map[string]time.Duration{"expired": expire, "in the grace": 10*time.Minute + time.Second} {
		w := newWorld(t, nil)
		w.registry.set(nginxRef, reply{manifest: index(1, amd64)})
		w.settled(nobody, nginx)
		w.step(age)
		release := w.registry.hold()
		w.Want(nobody, nginx)
		w.clock.Step(20 * time.Second)
		w.eventually(why+": the old answer is given, stale", func() bool {
			a := w.Want(nobody, nginx)
			return a.State == Known && a.Stale && a.Digest == digest(1)
		})
		w.clock.Step(time.Hour)
		if a := w.Want(nobody, nginx); a.State != Known || !a.Stale {
			t.Errorf("%s: %+v after an hour; want the old answer", why, a)
		}
		release()
		w.calm()
	}
}

func TestARegistryDoesNotLearnWhatAnotherOneHolds(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set("one.example/app:1", reply{manifest: index(1, amd64)})
	w.registry.set("two.example/app:1", reply{manifest: index(1, arm64)})
	w.registry.set("two.example/same:1", reply{manifest: index(1, arm64)})
	for image, want := range map[string]string{"one.example/app:1": "linux/amd64", "two.example/app:1": "linux/arm64", "two.example/same:1": "linux/arm64"} {
		if a := w.settled(nobody, image); !strings.Contains(a.Platforms.String(), want) || a.Platforms.Len() != 1 {
			t.Errorf("%s: %v; want %s, from the registry itself", image, a.Platforms, want)
		}
	}
	if w.registry.downloads != 2 {
		t.Errorf("%d downloads; want one per registry", w.registry.downloads)
	}
}

func TestAPullThatFailedCountsForTheDigestThatIsKnown(t *testing.T) {
	w := newPrivateWorld(t)
	w.registry.set(nginxRef, reply{manifest: index(2, amd64, arm64)})
	w.settled(nobody, nginx)
	w.Disprove("default", nginxRef, "", arm64) // spelled as nobody did before
	w.expectSeen(w.Lookup(nobody, nginx), none, only(arm64))
	w.expectSeen(w.Lookup(as("a"), nginx), none, none)
	w.step(30 * time.Minute) // longer than what is known of a tag
	w.expectSeen(w.settled(nobody, nginx), none, only(arm64))

	who := as("a", "pull")
	w.registry.set(app, reply{manifest: index(1, amd64, arm64)}, alice)
	w.settled(who, app)
	w.Disprove("a", app, "", arm64)
	w.Disprove("c", app, "", amd64)
	w.step(10 * time.Minute)
	w.expectSeen(w.settled(who, app), none, only(arm64))
	w.expectSeen(w.Lookup(as("c"), app), none, none) // its own was for the string, and is over
}

func TestAPullThatFailedBeforeTheRegistryAnsweredCountsForAWhile(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set(nginxRef, reply{manifest: index(1, amd64, arm64)})
	w.Disprove("default", nginx, "", arm64)
	w.Disprove("default", nginx, "", amd64)
	w.Prove("default", nginx, id(1), amd64)
	w.expectSeen(w.settled(nobody, nginx), only(amd64), only(arm64))
	w.step(10 * time.Minute)
	w.expectSeen(w.settled(nobody, nginx), only(amd64), none)
}

func TestInspectionsAreLoggedWithoutCredentials(t *testing.T) {
	logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.Verbosity(4), ktesting.BufferLogs(true)))
	w := newWorldIn(klog.NewContext(t.Context(), logger), t, nil)
	w.registry.set(app, reply{manifest: index(1, amd64), cause: "dial 192.0.2.1"}, alice)
	w.secrets.login("c/pull", map[string]string{"private.example": bob})
	w.secrets.login("a/pull", map[string]string{"private.example": alice})
	w.settled(as("c", "pull"), app)
	w.settled(as("a", "pull"), app)
	w.stop()
	text := logger.GetSink().(ktesting.Underlier).GetBuffer().String()
	for _, want := range []string{"Inspecting image failed", "private.example/team/app:1", `problem="unauthorized"`, "dial 192.0.2.1", "Inspected image", digest(1)} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the log:\n%s", want, text)
		}
	}
	for _, secret := range []string{"builder", "wonderland"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}
