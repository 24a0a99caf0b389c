package images

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"plimsoll.dev/scheduler/pkg/registry"
)

const (
	app    = "private.example/team/app:1"
	alice  = "alice:wonderland"
	bob    = "bob:builder"
	expire = 10*time.Minute + grace
)

// newPrivateWorld has an image that only alice may read. Namespace a has her
// credential in the secret "pull", b has an equal one in "other", and c bob's.
func newPrivateWorld(t *testing.T) *world {
	w := newWorld(t, nil)
	w.registry.set(app, reply{manifest: index(1, amd64)}, alice)
	w.secrets.login("a/pull", map[string]string{"private.example": alice})
	w.secrets.login("b/other", map[string]string{"private.example": alice})
	w.secrets.login("c/pull", map[string]string{"private.example": bob})
	return w
}

func as(namespace string, secrets ...string) Asker {
	return Asker{Namespace: namespace, PullSecrets: secrets}
}

func TestWhatNeededACredentialServesOnlyItsHolders(t *testing.T) {
	w := newPrivateWorld(t)
	w.expect(w.settled(as("a", "pull"), app), Known, "")
	for _, c := range []struct {
		who     Asker
		state   State
		problem registry.Problem
	}{
		{as("a", "pull"), Known, ""},
		{as("a", "", "pull"), Known, ""},
		{as("a", "missing", "pull"), Known, ""},
		{as("b", "other"), Known, ""},
		{as("a"), Unknown, registry.Unauthorized},
		{as("a", ""), Unknown, registry.Unauthorized},
		{as("a", "missing"), Unknown, registry.Unauthorized},
		{as("b"), Unknown, registry.Unauthorized},
		{as("b", "pull"), Unknown, registry.Unauthorized}, // not in this namespace
		{as("c", "pull"), Unknown, registry.Unauthorized},
		{as("d", "pull"), Unknown, registry.Unauthorized},
		{as("a", "../a/pull"), Unknown, registry.Unauthorized},
	} {
		a := w.settled(c.who, app)
		if a.State != c.state || a.Problem != c.problem {
			t.Errorf("%v: %v, %q (%s); want %v, %q", c.who, a.State, a.Problem, a.Message, c.state, c.problem)
		}
		if a.State != Known && (a.Digest != "" || a.Platforms.Len() != 0 || a.Message == "") {
			t.Errorf("%v: %+v; want no trace of the image, and a reason", c.who, a)
		}
	}
	if n := w.registry.questions(app, alice); n != 1 || w.registry.downloads != 1 {
		t.Errorf("alice's credential was shown %d times with %d downloads; want once: equal credentials share", n, w.registry.downloads)
	}
}

func TestADigestThatIsKnownOpensNothing(t *testing.T) {
	w := newPrivateWorld(t)
	pinned := "private.example/team/app@" + digest(1)
	w.registry.set(pinned, reply{manifest: index(1, amd64)}, alice)
	w.settled(as("a", "pull"), app)
	w.expect(w.settled(as("c", "pull"), pinned), Unknown, registry.Unauthorized)
	w.expect(w.settled(as("c"), pinned), Unknown, registry.Unauthorized)
	w.expect(w.settled(as("a", "pull"), pinned), Known, "")
	if w.registry.downloads != 1 {
		t.Errorf("%d downloads of one manifest", w.registry.downloads)
	}
}

func TestAPublicImageIsAskedForWithoutCredentials(t *testing.T) {
	w := newPrivateWorld(t)
	w.registry.set(nginxRef, reply{manifest: index(2, amd64)})
	for _, who := range []Asker{as("a", "pull"), as("b", "other"), as("c")} {
		w.expect(w.settled(who, nginx), Known, "")
	}
	if w.registry.questions(nginxRef, "") != 1 || w.secrets.reads != 0 {
		t.Errorf("%d questions, %d secrets read; want 1 and 0", w.registry.questions(nginxRef, ""), w.secrets.reads)
	}
}

func TestAllMatchingCredentialsAreTriedMostSpecificFirst(t *testing.T) {
	w := newPrivateWorld(t)
	w.secrets.login("e/many", map[string]string{
		"private.example": alice, "private.example/team": bob, "private.example/other": "carol:c", "*.example": "dave:d", "other.example": "eve:e",
	})
	w.expect(w.settled(as("e", "many"), app), Known, "")
	for user, want := range map[string]int{bob: 1, alice: 1, "carol:c": 0, "eve:e": 0, "dave:d": 0} {
		if n := w.registry.questions(app, user); n != want {
			t.Errorf("%s was shown %d times; want %d", user, n, want)
		}
	}
}

func TestARevokedCredentialOpensNothingOnceItsTimeIsOver(t *testing.T) {
	w := newPrivateWorld(t)
	w.settled(as("a", "pull"), app)
	w.registry.set(app, reply{manifest: index(1, amd64)}, bob)
	w.step(expire)
	w.expect(w.settled(as("a", "pull"), app), Unknown, registry.Unauthorized)
	w.expect(w.settled(as("c", "pull"), app), Known, "") // whose credential opens it now
}

func TestASecretThatIsReplacedIsReadAgain(t *testing.T) {
	w := newPrivateWorld(t)
	w.settled(as("a", "pull"), app)
	w.secrets.login("a/pull", map[string]string{"private.example": bob})
	w.step(expire)
	w.expect(w.settled(as("a", "pull"), app), Unknown, registry.Unauthorized)
	w.expect(w.settled(as("b", "other"), app), Known, "")
	w.secrets.drop("b/other")
	w.step(expire)
	w.expect(w.settled(as("b", "other"), app), Unknown, registry.Unauthorized)
}

func TestASecretThatIsCreatedLateIsFoundWithinAMinute(t *testing.T) {
	w := newPrivateWorld(t)
	a := w.settled(as("d", "late"), app)
	w.expect(a, Unknown, registry.Unauthorized)
	if !strings.Contains(a.Message, `pull secret "d/late": not found`) {
		t.Errorf("message %q does not say what is missing", a.Message)
	}
	w.secrets.login("d/late", map[string]string{"private.example": alice})
	told := w.toldOf(app)
	w.step(missingFor)
	w.Want(as("d", "late"), app)
	w.calm()
	w.expect(w.Lookup(as("d", "late"), app), Known, "")
	if w.toldOf(app) == told {
		t.Error("nobody was told")
	}
}

func TestAnOldLackOfCredentialsIsForgottenOnceTheImageIsKnown(t *testing.T) {
	w := newPrivateWorld(t)
	who := as("d", "late")
	w.expect(w.settled(who, app), Unknown, registry.Unauthorized)
	w.secrets.login("d/late", map[string]string{"private.example": alice})
	w.step(missingFor)
	w.Want(who, app)
	w.calm()
	w.expect(w.Want(who, app), Known, "")
	w.step(expire)
	release := w.registry.hold()
	w.expect(w.Want(who, app), Waiting, "") // as for any image that expired
	release()
}

func TestAnAPIServerThatFailsLeavesTheSecretAsItWas(t *testing.T) {
	w := newPrivateWorld(t)
	w.settled(as("a", "pull"), app)
	w.secrets.mu.Lock()
	w.secrets.err = errors.New("etcd is on fire")
	w.secrets.mu.Unlock()
	w.step(expire)
	w.expect(w.settled(as("a", "pull"), app), Known, "")
	a := w.settled(as("c", "pull"), app)
	if a.State != Unknown || !strings.Contains(a.Message, `pull secret "c/pull": it cannot be read now`) || strings.Contains(a.Message, "fire") {
		t.Errorf("%+v; want the reason, without the API server's own words", a)
	}
}

func TestSecretsAreReadOncePerTagTTL(t *testing.T) {
	w := newPrivateWorld(t)
	for i := range 20 {
		ref := fmt.Sprintf("private.example/team/app:%d", i)
		w.registry.set(ref, reply{manifest: index(i, amd64)}, alice)
		w.Want(as("a", "pull"), ref)
	}
	w.calm()
	if w.secrets.reads != 1 {
		t.Errorf("the secret was read %d times for 20 images; want once", w.secrets.reads)
	}
}

func TestOneDeadlineCoversThePublicAndThePrivateInquiry(t *testing.T) {
	w := newPrivateWorld(t)
	who := as("a", "pull")
	refuse, answer := w.registry.hold(), w.registry.holdFor(alice)
	w.expect(w.Want(who, app), Waiting, "")
	w.clock.Step(15 * time.Second)
	refuse()
	w.eventually("the credential is shown", func() bool { return w.registry.questions(app, alice) == 1 })
	w.expect(w.Want(who, app), Waiting, "")
	w.clock.Step(5 * time.Second)
	w.eventually("the deadline is told", func() bool { return w.toldOf(app) == 1 })
	w.expect(w.Want(who, app), Unknown, registry.TimedOut)
	answer()
	w.calm()
	w.expect(w.Lookup(who, app), Known, "")
	if w.toldOf(app) != 2 {
		t.Errorf("told %d times; want twice: overdue, known", w.toldOf(app))
	}
}

func TestMalformedSecretsAreNamedWithoutTheirContent(t *testing.T) {
	const password = "hunter2-do-not-print"
	w := newPrivateWorld(t)
	w.secrets.put("m/opaque", v1.SecretTypeOpaque, "password", password)
	w.secrets.put("m/empty", v1.SecretTypeDockerConfigJson, "password", password)
	w.secrets.put("m/syntax", v1.SecretTypeDockerConfigJson, v1.DockerConfigJsonKey, `{"auths": `+password)
	w.secrets.put("m/form", v1.SecretTypeDockerConfigJson, v1.DockerConfigJsonKey, `{"auths": "`+password+`"}`)
	w.secrets.put("m/number", v1.SecretTypeDockerConfigJson, v1.DockerConfigJsonKey, `{"auths": {"x.example": {"password": 424242}}}`)
	w.secrets.put("m/base64", v1.SecretTypeDockercfg, v1.DockerConfigKey, `{"x.example": {"auth": "`+password+`"}}`)
	w.secrets.put("m/none", v1.SecretTypeDockercfg, v1.DockerConfigKey, `{}`)
	w.secrets.put("m/address", v1.SecretTypeDockercfg, v1.DockerConfigKey, `{"http://u:`+password+`@[": {"username": "a", "password": "b"}}`)
	for name, want := range map[string]string{
		"opaque": "type \"Opaque\"; want kubernetes.io/dockerconfigjson", "empty": ".dockerconfigjson has 0 bytes", "syntax": "is not JSON from byte 11 on",
		"form": "is not of the form", "number": "is not of the form", "base64": "is not of the form", "none": ".dockercfg names no registry",
		"address": "no registry address",
	} {
		a := w.settled(as("m", name), app)
		w.expect(a, Unknown, registry.Unauthorized)
		if !strings.Contains(a.Message, fmt.Sprintf("pull secret %q: ", "m/"+name)) || !strings.Contains(a.Message, want) {
			t.Errorf("%s: %q does not name the secret and say %q", name, a.Message, want)
		}
		if strings.Contains(a.Message, password) || strings.Contains(a.Message, "424242") {
			t.Errorf("%s: %q shows the content", name, a.Message)
		}
	}
	// One bad entry, or one bad secret, does not cost the good ones.
	w.secrets.put("m/half", v1.SecretTypeDockerConfigJson, v1.DockerConfigJsonKey,
		`{"auths": {"http://%zz": {"username": "a", "password": "b"}, "private.example": {"username": "alice", "password": "wonderland"}}}`)
	w.expect(w.settled(as("m", "syntax", "half"), app), Known, "")
}

func TestCredentialsAreNeverPrinted(t *testing.T) {
	w := newPrivateWorld(t)
	w.settled(as("a", "pull"), app)
	refused := w.settled(as("c", "pull"), app) // fakeRegistry puts bob:builder into the error
	printed := fmt.Sprintf("%v %+v %#v %s", refused, refused, refused, refused.Message)
	w.stop() // fmt reads what the lock guards
	things := []any{w.Store}
	for _, p := range w.privates {
		things = append(things, p, *p, p.inquiry)
	}
	for _, v := range w.views {
		things = append(things, v, *v)
	}
	for _, p := range w.pullSecrets {
		things = append(things, p, *p)
	}
	for _, img := range w.images {
		things = append(things, img, *img)
	}
	for _, thing := range things {
		printed += fmt.Sprintf("%v %+v %#v %s", thing, thing, thing, thing)
	}
	for _, secret := range []string{"wonderland", "builder"} {
		if strings.Contains(printed, secret) {
			t.Errorf("%q is printed", secret)
		}
	}
	if !strings.Contains(printed, "images.Store") || strings.Contains(printed, "hmacKey") {
		t.Error("the store prints its insides")
	}
}

func TestErrorsAreRedacted(t *testing.T) {
	c := &registry.Credential{Username: "u", Password: "pass", IdentityToken: "ident", RegistryToken: "token"}
	got := redact("GET https://u:pass@x: Basic "+basicAuth(c)+" Bearer token ident", c)
	if want := "GET https://u:<credential>@x: Basic <credential> Bearer <credential> <credential>"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzPullSecretsNeverPanicNorShowTheirContent(f *testing.F) {
	f.Add(true, []byte(`{"auths": {"example.com": {"auth": "YWxpY2U6d29uZGVybGFuZA=="}}}`))
	f.Add(false, []byte(`{"https://index.docker.io/v1/": {"username": "alice", "password": "wonderland"}}`))
	f.Add(true, []byte(`{"auths": {"http://%zz": null, "[": {}}}`))
	f.Add(false, []byte(`null`))
	f.Fuzz(func(t *testing.T, modern bool, data []byte) {
		kind, key := v1.SecretTypeDockercfg, v1.DockerConfigKey
		if modern {
			kind, key = v1.SecretTypeDockerConfigJson, v1.DockerConfigJsonKey
		}
		secret, problem := checkPullSecret(&v1.Secret{Type: kind, Data: map[string][]byte{key: data}})
		if secret == nil && problem == "" {
			t.Fatal("neither a secret nor a problem")
		}
		_, again := checkPullSecret(&v1.Secret{Type: kind, Data: map[string][]byte{key: []byte(`[]`)}})
		if len(problem) > 2*len(again) {
			t.Errorf("problem %q is longer than its forms", problem)
		}
		if secret != nil {
			if kept, p := checkPullSecret(secret); kept == nil || p != "" {
				t.Errorf("what was kept of %q is refused: %s", data, p)
			}
		}
	})
}
