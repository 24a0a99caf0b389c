package images

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	clocktesting "k8s.io/utils/clock/testing"

	"plimsoll.dev/scheduler/pkg/arch"
	"plimsoll.dev/scheduler/pkg/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	amd64 = arch.New("linux", "amd64", "", "")
	arm64 = arch.New("linux", "arm64", "", "")

	nobody = Asker{Namespace: "default"}
)

// digest is a valid one that differs for each number.
func digest(n int) string { return fmt.Sprintf("sha256:%064x", n) }

func index(n int, platforms ...arch.Platform) registry.Manifest {
	return registry.Manifest{Digest: digest(n), Kind: registry.Index, Platforms: arch.NewSet(platforms...)}
}

// reply is what a registry says to one question.
type reply struct {
	manifest registry.Manifest
	problem  registry.Problem
	after    time.Duration
	// public is the problem of who shows no credential, if it is not for all.
	public registry.Problem
	// cause is for logs.
	cause string
}

// fakeRegistry answers by reference, and by user if a reference is private.
type fakeRegistry struct {
	mu      sync.Mutex
	replies map[string]reply
	// users who may read a reference; nil for public ones.
	users map[string][]string
	// asked counts questions by reference and user; downloads those that known
	// did not answer.
	asked     map[string]int
	downloads int
	// held keeps questions unanswered until it is closed: by user, "*" for all.
	held map[string]chan struct{}
}

func newFakeRegistry() *fakeRegistry {
	return &fakeRegistry{replies: map[string]reply{}, users: map[string][]string{}, asked: map[string]int{}, held: map[string]chan struct{}{}}
}

func (f *fakeRegistry) Resolve(ctx context.Context, ref registry.Reference, cred *registry.Credential, known func(string) (registry.Manifest, bool)) (registry.Manifest, error) {
	user := ""
	if cred != nil {
		user = cred.Username + ":" + cred.Password
	}
	f.mu.Lock()
	held := []chan struct{}{f.held["*"], f.held[user]}
	f.asked[ref.String()+" "+user]++
	f.mu.Unlock()
	for _, h := range held {
		if h == nil {
			continue
		}
		select {
		case <-h:
		case <-ctx.Done():
			return registry.Manifest{}, ctx.Err()
		}
	}
	f.mu.Lock()
	r, found := f.replies[ref.String()]
	users, private := f.users[ref.String()]
	f.mu.Unlock()
	fail := func(p registry.Problem) (registry.Manifest, error) {
		return registry.Manifest{}, fmt.Errorf("asking: %w", &registry.Error{
			Image: ref.String(), Problem: p, RetryAfter: r.after, Cause: fmt.Errorf("%s as %s", r.cause, user), Err: fmt.Errorf("%s for %q", p, user)})
	}
	switch {
	case cred == nil && r.public != "":
		return fail(r.public)
	case private && !contains(users, user):
		return fail(registry.Unauthorized)
	case !found:
		return fail(registry.NotFound)
	case r.problem != "":
		return fail(r.problem)
	}
	if m, found := known(r.manifest.Digest); found {
		return m, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.downloads++
	return r.manifest, nil
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

func (f *fakeRegistry) set(ref string, r reply, users ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.replies[ref] = r
	if users != nil {
		f.users[ref] = users
	}
}

// hold keeps all questions from now on unanswered until the returned function is called.
func (f *fakeRegistry) hold() (release func()) { return f.holdFor("*") }

// holdFor does so for the questions of one user.
func (f *fakeRegistry) holdFor(user string) (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := make(chan struct{})
	f.held[user] = held
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.held, user)
		close(held)
	}
}

func (f *fakeRegistry) questions(ref, user string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[ref+" "+user]
}

// fakeSecrets are the cluster's.
type fakeSecrets struct {
	mu      sync.Mutex
	secrets map[string]*v1.Secret
	err     error
	reads   int
}

func (f *fakeSecrets) get(_ context.Context, namespace, name string) (*v1.Secret, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	if f.err != nil {
		return nil, f.err
	}
	if s := f.secrets[namespace+"/"+name]; s != nil {
		return s, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
}

// login stores a pull secret with one user per registry.
func (f *fakeSecrets) login(secret string, users map[string]string) {
	var entries []string
	for host, user := range users {
		name, password, _ := strings.Cut(user, ":")
		entries = append(entries, fmt.Sprintf(`%q: {"username": %q, "password": %q}`, host, name, password))
	}
	f.put(secret, v1.SecretTypeDockerConfigJson, v1.DockerConfigJsonKey, `{"auths": {`+strings.Join(entries, ",")+`}}`)
}

func (f *fakeSecrets) put(secret string, kind v1.SecretType, key, data string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secrets[secret] = &v1.Secret{Type: kind, Data: map[string][]byte{key: []byte(data)}}
}

func (f *fakeSecrets) drop(secret string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.secrets, secret)
}

// world is a running store with its surroundings.
type world struct {
	t testing.TB
	*Store
	registry *fakeRegistry
	secrets  *fakeSecrets
	clock    *clocktesting.FakeClock
	// stop ends the store's goroutines, before the test does so itself.
	stop func()

	mu   sync.Mutex
	told map[string]int
}

// newWorld runs a store until the test ends. Retries come without jitter.
func newWorld(t testing.TB, change func(*Options)) *world {
	return newWorldIn(t.Context(), t, change)
}

func newWorldIn(ctx context.Context, t testing.TB, change func(*Options)) *world {
	w := &world{
		t: t, registry: newFakeRegistry(), secrets: &fakeSecrets{secrets: map[string]*v1.Secret{}},
		clock: clocktesting.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), told: map[string]int{},
	}
	o := Options{Resolver: w.registry, Secrets: w.secrets.get, Clock: w.clock}
	if change != nil {
		change(&o)
	}
	w.Store = NewStore(o)
	w.random = func() float64 { return 0.5 }
	w.OnChange(func(image string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told[image]++
	})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	w.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(w.stop)
	return w
}

// eventually polls for what other goroutines bring about.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	check := func(context.Context) (bool, error) { return holds(), nil }
	if err := wait.PollUntilContextTimeout(w.t.Context(), 200*time.Microsecond, 20*time.Second, true, check); err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
}

// calm waits until all work that is due is done and told.
func (w *world) calm() {
	w.t.Helper()
	w.eventually("the store comes to rest", func() bool {
		w.Store.mu.Lock()
		defer w.Store.mu.Unlock()
		due := len(w.alarms) > 0 && !w.alarms[0].at.After(w.clock.Now())
		return w.queue.busy == 0 && !w.queue.hasMore() && len(w.changed) == 0 && !due && w.telling == 0
	})
}

// step moves the clock and lets happen what follows from it.
func (w *world) step(d time.Duration) {
	w.t.Helper()
	w.calm()
	w.clock.Step(d)
	w.calm()
}

// settled wants the image and returns the answer once it is not Waiting.
func (w *world) settled(who Asker, image string) Answer {
	w.t.Helper()
	w.Want(who, image)
	w.calm()
	return w.Want(who, image)
}

func (w *world) toldOf(image string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.told[image]
}

func (w *world) expect(a Answer, state State, problem registry.Problem) {
	w.t.Helper()
	if a.State != state || a.Problem != problem {
		w.t.Fatalf("got %v, problem %q (%s); want %v, problem %q", a.State, a.Problem, a.Message, state, problem)
	}
}
