package integration

import (
	"encoding/base64"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/v1"
	v1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plimsoll.dev/scheduler/internal/stack"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
	"plimsoll.dev/scheduler/pkg/verdict"
)

const twoArchitectures = `
	amd-[1-2]  arch=amd64 cpu=64 memory=256Gi pods=2000
	arm-[1-2]  arch=arm64 cpu=64 memory=256Gi pods=2000`

// archCluster is a control plane with nodes of two architectures and a scheduler
// that inspects images at the registry.
func archCluster(t *testing.T, o *oddRegistry, change func(*archaware.Args)) *cluster {
	t.Helper()
	c := start(t, twoArchitectures)
	c.scheduleWith(o.profile(change), &archaware.Shared{})
	return c
}

// architectures are those of the nodes that the pods run on, in order.
func (c *cluster) architectures(names ...string) []string {
	c.Helper()
	var out []string
	for _, node := range c.running(names...) {
		architecture, _, _ := strings.Cut(node, "-")
		out = append(out, architecture)
	}
	return out
}

// decided is the code of what ArchAware gave as its reason for the placement.
func (c *cluster) decided(pod string) verdict.Code {
	for _, reason := range c.reasons.all(pod) {
		if reason.Plugin == archaware.Name {
			return reason.Code
		}
	}
	return ""
}

// assumedBecause is what is said of images that cannot be inspected: each for its
// own reason.
var assumedBecause = map[string]string{
	"not-there":      "has no such image",
	"without-secret": "refuses access (401)",
	"wrong-secret":   "refuses access (401)",
	"redirected":     "an address that is never asked",
	"endless":        "answer is too large",
	"hanging":        "does not answer in time",
	"limited":        "asks for fewer requests",
}

func TestPodsGoWhereTheirImagesRun(t *testing.T) {
	o, strict := startOddRegistry(t), startOddRegistry(t)
	c := archCluster(t, o, func(a *archaware.Args) {
		a.UsePullSecrets = true
		a.Registries = append(a.Registries, archaware.RegistryArgs{Name: strict.Host, CAFile: strict.CAFile})
		a.RuntimeClasses = []archaware.RuntimeClassArgs{{Name: "wasmtime", Platform: "wasip1/wasm"}}
	})
	c.createClass("wasmtime")
	c.createPullSecret("pull", o.Host, privatePassword)
	c.createPullSecret("wrong", o.Host, "guessed")

	o.push("shop/both:1", "linux/amd64", "linux/arm64")
	o.push("shop/amd:1", "linux/amd64")
	o.push("shop/arm:1", "linux/arm64/v8")
	o.push("shop/wasm:1", "wasip1/wasm")
	o.push("odd/private:1", "linux/arm64")
	o.guarded.Store(true)
	o.pushWith("shop/attested:1", "linux/arm64", ggcr.Descriptor{
		Platform:    &ggcr.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"}})
	o.pushWith("shop/platformless:1", "linux/arm64", ggcr.Descriptor{})
	if err := o.PushSingle(t.Context(), o.image("shop/single:1"), "linux/arm64"); err != nil {
		t.Fatal(err)
	}

	for _, tc := range []struct {
		pod, fields, want string
		why               verdict.Code
	}{
		{"amd", "image=HOST/shop/amd:1", "amd", verdict.ArchOfImages},
		{"arm", "image=HOST/shop/arm:1", "arm", verdict.ArchOfImages},
		{"both", "image=HOST/shop/both:1", "arm", verdict.ArchLeftToOthers},
		{"prefers-amd", "image=HOST/shop/both:1 annotation:plimsoll.dev/arch=amd64>arm64", "amd", verdict.ArchPreferred},
		{"two-images", "image=HOST/shop/both:1 image=HOST/shop/amd:1", "amd", verdict.ArchOfImages},
		{"attested", "image=HOST/shop/attested:1", "arm", verdict.ArchOfImages},
		{"platformless", "image=HOST/shop/platformless:1", "arm", verdict.ArchOfImages},
		{"single", "image=HOST/shop/single:1", "arm", verdict.ArchOfImages},
		{"schema1", "image=HOST/odd/schema1:1", "amd", verdict.ArchOfImages},
		{"wasm", "image=HOST/shop/wasm:1 class=wasmtime", "arm", verdict.ArchLeftToOthers},
		{"without-secret", "image=HOST/odd/private:1", "amd", verdict.ArchAssumed},
		{"wrong-secret", "image=HOST/odd/private:1 secret=wrong", "amd", verdict.ArchAssumed},
		{"with-secret", "image=HOST/odd/private:1 secret=pull", "arm", verdict.ArchOfImages},
		{"not-there", "image=HOST/shop/none:1", "amd", verdict.ArchAssumed},
		{"selects", "image=HOST/shop/amd:1 selector:kubernetes.io/arch=arm64", "arm", verdict.ArchAgainstImages},
		{"off", "image=HOST/shop/amd:1 annotation:plimsoll.dev/arch-policy=off annotation:plimsoll.dev/arch=arm64", "arm", verdict.ArchPreferred},
		{"agent", "image=HOST/shop/amd:1 selector:kubernetes.io/hostname=arm-1", "arm", ""},
		{"redirected", "image=HOST/odd/redirected:1", "amd", verdict.ArchAssumed},
		{"endless", "image=HOST/odd/endless:1", "amd", verdict.ArchAssumed},
		{"limited", "image=STRICT/odd/limited:1", "amd", verdict.ArchAssumed},
		// A registry that hangs is asked less from then on: this comes last.
		{"hanging", "image=HOST/odd/hanging:1", "amd", verdict.ArchAssumed},
	} {
		c.create(tc.pod + " " + strings.NewReplacer("HOST", o.Host, "STRICT", strict.Host).Replace(tc.fields))
		if got := c.architectures(tc.pod)[0]; got != tc.want {
			t.Errorf("%s went to %s, want %s; reasons %v", tc.pod, got, tc.want, c.reasons.all(tc.pod))
		}
		if got := c.decided(tc.pod); got != tc.why {
			t.Errorf("%s: decided by %q, want %q; reasons %v", tc.pod, got, tc.why, c.reasons.all(tc.pod))
		}
		if want, given := assumedBecause[tc.pod]; given && !strings.Contains(fmt.Sprint(c.reasons.all(tc.pod)), want) {
			t.Errorf("%s: reasons %v, want %q among them", tc.pod, c.reasons.all(tc.pod), want)
		}
	}
	if got := o.sentMiB(); got > 64 {
		t.Errorf("%d MiB were read of an endless manifest", got)
	}
}

func (c *cluster) createClass(name string) {
	c.Helper()
	_, err := c.client.NodeV1().RuntimeClasses().Create(c.Context(),
		&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Handler: name}, metav1.CreateOptions{})
	if err != nil {
		c.Fatal(err)
	}
}

func (c *cluster) createPullSecret(name, host, password string) {
	c.Helper()
	auth := base64.StdEncoding.EncodeToString([]byte(privateUser + ":" + password))
	_, err := c.client.CoreV1().Secrets("default").Create(c.Context(), &v1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Type: v1.SecretTypeDockerConfigJson,
		StringData: map[string]string{v1.DockerConfigJsonKey: fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, auth)},
	}, metav1.CreateOptions{})
	if err != nil {
		c.Fatal(err)
	}
}

func TestAPodThatFitsNowhereSaysWhichImageKeepsItFromWhichNodes(t *testing.T) {
	o := startOddRegistry(t)
	c := archCluster(t, o, nil)
	amd, arm := o.push("shop/api:1.4", "linux/amd64"), o.push("shop/agent:2", "linux/arm64")
	c.create("torn image=" + amd + " image=" + arm)
	c.pending("torn", fmt.Sprintf("0/4 nodes are available: 2 node(s) run linux/amd64, but image %q has only linux/arm64, 2 node(s) run linux/arm64, but image %q has only linux/amd64", arm, amd))

	// A tag pushed anew helps once it is looked at again; an image changed in
	// place does at once.
	pod := c.pod("torn")
	pod.Spec.Containers[1].Image = o.push("shop/agent:3", "linux/arm64", "linux/amd64")
	if _, err := c.client.CoreV1().Pods("default").Update(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := c.architectures("torn")[0]; got != "amd" {
		t.Errorf("went to %s, want amd", got)
	}
}

func TestTheTaintOfAnArchitectureIsNamed(t *testing.T) {
	o := startOddRegistry(t)
	c := start(t, `
		amd-1  arch=amd64 cpu=1 memory=4Gi
		arm-1  arch=arm64 cpu=8 memory=32Gi taint:kubernetes.io/arch=arm64:NoSchedule`)
	c.scheduleWith(o.profile(nil), &archaware.Shared{})
	c.create("web cpu=2 memory=1Gi image=" + o.push("shop/both:1", "linux/amd64", "linux/arm64"))
	c.pending("web", "1 node(s) run linux/arm64, which the pod can use, but the pod does not tolerate their taint kubernetes.io/arch=arm64:NoSchedule")

	pod := c.pod("web")
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, v1.Toleration{Key: v1.LabelArchStable, Operator: v1.TolerationOpExists})
	if _, err := c.client.CoreV1().Pods("default").Update(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.running("web")
}

func TestAClosedProfileWaitsForTheRegistry(t *testing.T) {
	o := startOddRegistry(t)
	c := archCluster(t, o, func(a *archaware.Args) { a.WhenUnknown = archaware.Closed })
	c.create("late image=" + o.image("shop/late:1"))
	c.pending("late", fmt.Sprintf(`image %q cannot be inspected`, o.image("shop/late:1")))
	// Not found is not asked again for a minute: another image is.
	pod := c.pod("late")
	pod.Spec.Containers[0].Image = o.push("shop/late:2", "linux/arm64")
	if _, err := c.client.CoreV1().Pods("default").Update(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := c.architectures("late")[0]; got != "arm" {
		t.Errorf("went to %s, want arm", got)
	}
}

func TestAThousandPodsOfOneImageAreOneFetchAndOneEvent(t *testing.T) {
	o := startOddRegistry(t)
	c := start(t, twoArchitectures)
	profile := o.profile(nil)
	c.scheduleWith(profile, &archaware.Shared{})
	// A second replica, which does not lead, looks at all pods as well.
	_, err := c.StartScheduler(t.Context(), stack.SchedulerOptions{
		Config: []byte(profile), Plugins: plugins.Options(plugins.Shared{Images: &archaware.Shared{}}), Standby: true})
	if err != nil {
		t.Fatal(err)
	}
	o.push("shop/web:latest", "linux/arm64", "linux/amd64")
	before := o.fetched("shop/web")
	known := c.create("known-[001-500] image=" + o.image("shop/web"))
	unknown := c.create("unknown-[001-500] image=" + o.image("shop/none"))
	c.running(known...)
	if got := c.architectures(unknown...); slices.Contains(got, "arm") {
		t.Error("an image that is not known went to arm, want amd, which is assumed")
	}
	if got := o.fetched("shop/web") - before; got < 1 || got > 2 {
		t.Errorf("the manifest was fetched %d times, want once by each of two replicas at most", got)
	}
	c.eventually(func() error {
		if n := c.assumedEvents(); n != 1 {
			return fmt.Errorf("%d events, want 1", n)
		}
		return nil
	})
}

// Once an image is known, pods of it are placed without a word to any registry.
func TestAKnownImageCostsNoNetwork(t *testing.T) {
	o := startOddRegistry(t)
	c := archCluster(t, o, nil)
	image := o.push("shop/both:1", "linux/arm64", "linux/amd64")
	c.running(c.create("first image=" + image)...)
	before := o.asked()
	c.running(c.create("next-[001-100] image=" + image)...)
	if got := o.asked() - before; got != 0 {
		t.Errorf("%d requests for a hundred pods of a known image, want none", got)
	}
}

// As many images as a failover may find waiting are all inspected in time, at the
// default rate.
func TestABurstOfImagesIsKnownInTime(t *testing.T) {
	o := startOddRegistry(t)
	var lines strings.Builder
	const images = 120
	for i := range images {
		fmt.Fprintf(&lines, "pod-%03d image=%s\n", i, o.push(fmt.Sprintf("burst/%03d:1", i), "linux/arm64"))
	}
	c := archCluster(t, o, nil)
	for i, architecture := range c.architectures(c.create(lines.String())...) {
		if architecture != "arm" {
			t.Errorf("pod %d went to %s, want arm, the only one its image is built for", i, architecture)
		}
	}
}

// assumedEvents counts the events that say what was assumed of an image.
func (c *cluster) assumedEvents() int {
	c.Helper()
	list, err := c.client.CoreV1().Events("default").List(c.Context(), metav1.ListOptions{FieldSelector: "reason=ImagePlatformsAssumed"})
	if err != nil {
		c.Fatal(err)
	}
	n := 0
	for i := range list.Items {
		e := &list.Items[i]
		if !strings.Contains(e.Message, "cannot be inspected") || e.InvolvedObject.Kind != "Pod" {
			c.Errorf("event %+v, want one on a pod that says why", e)
		}
		n++
		if e.Series != nil {
			n += int(e.Series.Count)
		}
	}
	return n
}

func TestARegistryThatDiesLosesNoPod(t *testing.T) {
	o := startOddRegistry(t)
	c := archCluster(t, o, nil)
	o.push("shop/both:1", "linux/arm64", "linux/amd64")
	o.push("shop/arm:1", "linux/arm64")
	c.running(c.create("before-[01-10] image=" + o.image("shop/both:1"))...)
	waiting := c.create("waiting-[01-20] image=" + o.image("odd/hanging:1"))
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	after := c.create("after-[01-20] image=" + o.image("shop/arm:1"))
	still := c.create("still-[01-20] image=" + o.image("shop/both:1"))
	for _, architecture := range c.architectures(append(waiting, after...)...) {
		if architecture != "amd" {
			t.Errorf("an image that is not known went to %s, want amd, which is assumed", architecture)
		}
	}
	for _, architecture := range c.architectures(still...) {
		if architecture != "arm" {
			t.Errorf("an image that is known still went to %s, want arm", architecture)
		}
	}
}

func TestWhatRanIsKnownWithoutARegistry(t *testing.T) {
	c := start(t, twoArchitectures)
	o := startOddRegistry(t)
	c.scheduleWith(o.profile(func(a *archaware.Args) {
		no := false
		a.Inspect, a.WhenUnknown = &no, archaware.Closed
	}), &archaware.Shared{})
	c.create("waits image=shop/api:1")
	c.pending("waits", `image "shop/api:1" cannot be inspected (registries are not asked), and the pod waits until its platforms are known`)
	// Somebody else's pod of the image becomes ready on arm64.
	c.create("other image=shop/api:1 node=arm-2 scheduler=default-scheduler")
	c.running("other")
	if got := c.architectures("waits")[0]; got != "arm" {
		t.Errorf("went to %s, want arm, where the image ran", got)
	}
}

func TestAnImageThatFailsOnAnArchitectureIsKeptOffIt(t *testing.T) {
	o := startOddRegistry(t)
	c := start(t, twoArchitectures)
	c.scheduleWith(o.profile(nil), &archaware.Shared{})
	lies := o.push("shop/lies:1", "linux/arm64", "linux/amd64")
	first := c.create("first image=" + lies)
	if got := c.architectures(first...)[0]; got != "arm" {
		t.Fatalf("the first went to %s, want arm, which is less scarce", got)
	}
	digest := c.digestOf(o, "shop/lies:1")
	c.eventually(func() error {
		pod := c.pod("first")
		for i := range pod.Status.ContainerStatuses {
			s := &pod.Status.ContainerStatuses[i]
			s.Ready, s.ImageID = false, lies+"@"+digest
			s.State = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
			s.LastTerminationState = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
				ExitCode: 128, Reason: "StartError", Message: `failed to create containerd task: exec: "/api": exec format error`}}
		}
		_, err := c.client.CoreV1().Pods("default").UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
		return err
	})
	c.eventually(func() error {
		name := fmt.Sprintf("next-%d", rand.Int())
		c.create(name + " image=" + lies)
		if got := c.architectures(name)[0]; got != "amd" {
			return fmt.Errorf("the next went to %s, want amd", got)
		}
		return nil
	})
}

// TestThousandPodsShaken parks a thousand pods, changes and deletes them while they
// wait, and fills the nodes so that some come back from back-off: each that is left
// ends on a node that can run it, or says why not.
func TestThousandPodsShaken(t *testing.T) {
	o := startOddRegistry(t)
	c := start(t, `
		amd-[1-2]  arch=amd64 cpu=64 memory=256Gi pods=400
		arm-[1-2]  arch=arm64 cpu=64 memory=256Gi pods=60`)
	c.scheduleWith(o.profile(func(a *archaware.Args) { a.DeadlineSeconds = 600 }), &archaware.Shared{})
	amd, arm := o.push("shop/amd:1", "linux/amd64"), o.push("shop/arm:1", "linux/arm64")
	hanging := o.image("odd/hanging:1")
	random := rand.New(rand.NewSource(1))
	images := map[string]string{}
	for i, name := range c.create("pod-[0001-1000] cpu=10m image=" + hanging) {
		// All of them are parked: the registry does not answer.
		if i%5 == 0 {
			if err := c.client.CoreV1().Pods("default").Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		images[name] = []string{amd, arm, o.image("shop/none:1"), "NOT A REFERENCE", amd}[random.Intn(5)]
		c.changeImage(name, images[name])
	}
	placed := map[string]int{}
	for name, image := range images {
		c.eventually(func() error {
			pod := c.pod(name)
			architecture, _, _ := strings.Cut(pod.Spec.NodeName, "-")
			switch want := map[bool]string{true: "arm", false: "amd"}[image == arm]; {
			case pod.Status.Phase == v1.PodRunning && architecture == want:
				placed[want]++
				return nil
			case pod.Status.Phase == v1.PodRunning:
				t.Errorf("pod %s of %s is on %s, want %s", name, image, pod.Spec.NodeName, want)
				return nil
			case image == arm && strings.Contains(condition(pod), "2 Too many pods"):
				return nil // explained: the nodes of its architecture are full
			}
			return fmt.Errorf("pod %s of %s on %q says %q", name, image, pod.Spec.NodeName, condition(pod))
		})
	}
	if placed["arm"] != 120 || placed["amd"] < 400 {
		t.Errorf("placed %v, want the arm64 nodes full, with 120, and all others placed", placed)
	}
}

// changeImage changes the image of a pod that is parked.
func (c *cluster) changeImage(name, image string) {
	c.Helper()
	c.eventually(func() error {
		pod := c.pod(name)
		if pod.Spec.NodeName != "" {
			c.Fatalf("pod %s is on %s before its image is known", name, pod.Spec.NodeName)
		}
		pod.Spec.Containers[0].Image = image
		_, err := c.client.CoreV1().Pods("default").Update(c.Context(), pod, metav1.UpdateOptions{})
		return err
	})
}

// digestOf asks the registry for the digest of a tag.
func (c *cluster) digestOf(o *oddRegistry, image string) string {
	c.Helper()
	digest, err := o.Digest(c.Context(), o.image(image))
	if err != nil {
		c.Fatal(err)
	}
	return digest
}
