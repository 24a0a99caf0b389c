package peers

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"pgregory.net/rapid"

	"plimsoll.dev/scheduler/internal/testkit"
)

const patient = 20 * time.Second

func service(name string, annotations, selector map[string]string) *v1.Service {
	return &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Annotations: annotations}, Spec: v1.ServiceSpec{Selector: selector}}
}

// sliceOf is an EndpointSlice of a Service of namespace shop.
func sliceOf(of, name string, family discovery.AddressType, endpoints ...discovery.Endpoint) *discovery.EndpointSlice {
	return &discovery.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{discovery.LabelServiceName: of, "app": of}},
		AddressType: family, Endpoints: endpoints, Ports: []discovery.EndpointPort{{}},
	}
}

// at is a ready endpoint.
func at(zone, address string) discovery.Endpoint {
	return discovery.Endpoint{Zone: &zone, Addresses: []string{address}, Conditions: discovery.EndpointConditions{Ready: new(true)}, NodeName: new("eu-a-01")}
}

// but changes an endpoint.
func but(e discovery.Endpoint, change func(*discovery.Endpoint)) discovery.Endpoint {
	change(&e)
	return e
}

// open is a Book that has read the objects.
func open(t *testing.T, objects ...runtime.Object) (*Book, *fake.Clientset) {
	t.Helper()
	client := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(client, 0)
	book, err := New(factory)
	if err != nil {
		t.Fatal(err)
	}
	factory.StartWithContext(t.Context())
	factory.WaitForCacheSyncWithContext(t.Context())
	t.Cleanup(factory.Shutdown)
	return book, client
}

func TestReadyEndpointsByZone(t *testing.T) {
	v4, v6 := discovery.AddressTypeIPv4, discovery.AddressTypeIPv6
	noZone := func(e *discovery.Endpoint) { e.Zone = nil }
	unready := func(e *discovery.Endpoint) { e.Conditions.Ready = new(false) }
	unsaid := func(e *discovery.Endpoint) { e.Conditions.Ready = nil }
	other := sliceOf("cart", "cart-1", v4, at("a", "1"))
	other.Namespace = "prod"
	book, _ := open(t, other,
		service("cart", nil, nil), sliceOf("cart", "cart-1", v4, at("a", "1"), at("b", "2"), at("a", "3")), sliceOf("cart", "cart-2", v4, at("b", "4"), at("a", "5")),
		service("half", nil, nil), sliceOf("half", "half-1", v4, at("a", "1"), but(at("b", "2"), unready), but(at("b", "3"), unsaid)),
		service("lost", nil, nil), sliceOf("lost", "lost-1", v4, but(at("", "1"), noZone), at("", "2"), at("a", "3")),
		service("moves", nil, nil), sliceOf("moves", "moves-1", v4, at("a", "1"), at("b", "2")), sliceOf("moves", "moves-2", v4, at("b", "2")),
		service("dual", nil, nil), sliceOf("dual", "dual-1", v4, at("a", "1"), at("b", "2")), sliceOf("dual", "dual-2", v6, at("a", "::1"), at("b", "::2"), at("b", "::3")),
		service("equal", nil, nil), sliceOf("equal", "equal-1", v6, at("b", "::1")), sliceOf("equal", "equal-2", v4, at("a", "1")),
		service("alone", nil, nil), sliceOf("gone", "gone-1", v4, at("a", "1")), sliceOf("", "none-1", v4, at("a", "1")))
	for name, tc := range map[string]struct {
		service string
		want    map[string]int64
		exists  bool
	}{
		"over several slices":             {"cart", map[string]int64{"a": 3, "b": 2}, true},
		"nothing said of it is ready":     {"half", map[string]int64{"a": 1, "b": 1}, true},
		"without a zone":                  {"lost", map[string]int64{"": 2, "a": 1}, true},
		"in two slices while it moves":    {"moves", map[string]int64{"a": 1, "b": 1}, true},
		"the larger family":               {"dual", map[string]int64{"a": 1, "b": 2}, true},
		"the first of equal families":     {"equal", map[string]int64{"a": 1}, true},
		"a Service without slices":        {"alone", nil, true},
		"slices without their Service":    {"gone", nil, false},
		"slices that belong to no name":   {"", nil, false},
		"neither":                         {"never", nil, false},
		"the name of another's namespace": {"../prod/cart", nil, false},
	} {
		for range 2 { // the second time from what was counted
			got, exists := book.Ready("shop", tc.service)
			if diff := cmp.Diff(tc.want, got); diff != "" || exists != tc.exists {
				t.Errorf("%s: exists %v (-want +got)\n%s", name, exists, diff)
			}
		}
	}
}

func TestReadyFollowsItsSlices(t *testing.T) {
	v4 := discovery.AddressTypeIPv4
	book, client := open(t, service("cart", nil, nil), sliceOf("cart", "cart-1", v4, at("a", "1")))
	becomes := func(want map[string]int64, exists bool) {
		t.Helper()
		testkit.Eventually(t, patient, func() error {
			got, found := book.Ready("shop", "cart")
			if diff := cmp.Diff(want, got); diff != "" || found != exists {
				return fmt.Errorf("exists %v (-want +got)\n%s", found, diff)
			}
			return nil
		})
	}
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, slices := t.Context(), client.DiscoveryV1().EndpointSlices("shop")
	becomes(map[string]int64{"a": 1}, true)
	must(slices.Create(ctx, sliceOf("cart", "cart-2", v4, at("b", "2")), metav1.CreateOptions{}))
	becomes(map[string]int64{"a": 1, "b": 1}, true)
	must(slices.Update(ctx, sliceOf("cart", "cart-2", v4, at("b", "2"), at("b", "3")), metav1.UpdateOptions{}))
	becomes(map[string]int64{"a": 1, "b": 2}, true)
	must(nil, slices.Delete(ctx, "cart-1", metav1.DeleteOptions{}))
	becomes(map[string]int64{"b": 2}, true)
	// A slice that changes its Service leaves the old one.
	must(slices.Update(ctx, sliceOf("db", "cart-2", v4, at("b", "2")), metav1.UpdateOptions{}))
	becomes(nil, true)
	must(nil, client.CoreV1().Services("shop").Delete(ctx, "cart", metav1.DeleteOptions{}))
	becomes(nil, false)
}

// TestTrimmedSlicesCountTheSame: what is dropped is what is not counted.
func TestTrimmedSlicesCountTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slice := sliceOf("cart", "cart-1", discovery.AddressTypeIPv4)
		want := map[string]int64{}
		for i := range rapid.IntRange(0, 20).Draw(t, "endpoints") {
			e := at(rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "zone"), fmt.Sprint(i))
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				e.Conditions.Ready = new(false)
			case 1:
				e.Zone = nil
			case 2:
				e.Conditions.Ready, e.Addresses = nil, append(e.Addresses, "another")
			}
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				if e.Zone == nil {
					want[""]++
				} else {
					want[*e.Zone]++
				}
			}
			slice.Endpoints = append(slice.Endpoints, e)
		}
		whole := slice.DeepCopy()
		once, err := trimSlice(slice)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := trimSlice(once)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, e := range once.(*discovery.EndpointSlice).Endpoints {
			got[zoneOf(&e)]++
		}
		if !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if diff := cmp.Diff(once, twice); diff != "" {
			t.Errorf("trimmed again (-once +twice)\n%s", diff)
		}
		if diff := cmp.Diff(whole, slice); diff != "" {
			t.Errorf("the object itself has changed (-before +after)\n%s", diff)
		}
	})
}

func TestServicesThatAskForHints(t *testing.T) {
	mode := func(value string) map[string]string { return map[string]string{v1.AnnotationTopologyMode: value} }
	before := func(value string) map[string]string {
		return map[string]string{v1.DeprecatedAnnotationTopologyAwareHints: value}
	}
	cart := map[string]string{"app": "cart"}
	first, last := service("z-auto", mode("Auto"), cart), service("auto", mode("Auto"), cart)
	first.Namespace, last.Namespace = "mail", "shop-2"
	book, client := open(t, last, first,
		service("z-auto", mode("Auto"), cart), service("auto", mode("auto"), cart), service("deprecated", before("Auto"), cart),
		service("deprecated-wins", map[string]string{v1.DeprecatedAnnotationTopologyAwareHints: "disabled", v1.AnnotationTopologyMode: "Auto"}, cart),
		service("loud", mode("AUTO"), cart), service("disabled", mode("Disabled"), cart), service("silent", nil, cart),
		service("db", mode("Auto"), map[string]string{"app": "db"}), service("no-selector", mode("Auto"), nil))
	are := func(want ...string) error {
		var got []string
		for _, s := range book.Hinting() {
			got = append(got, s.Namespace+"/"+s.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("(-want +got)\n%s", diff)
		}
		return nil
	}
	for range 20 { // the order does not depend on that of a map
		if err := are("mail/z-auto", "shop/auto", "shop/db", "shop/deprecated", "shop/z-auto", "shop-2/auto"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.CoreV1().Services("shop").Update(t.Context(), service("auto", nil, cart), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.CoreV1().Services("mail").Delete(t.Context(), "z-auto", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, patient, func() error { return are("shop/db", "shop/deprecated", "shop/z-auto", "shop-2/auto") })
}

func TestTwoBooksOfTheSameInformers(t *testing.T) {
	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	for range 2 {
		if _, err := New(factory); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInformersThatHaveStartedAreAnError(t *testing.T) {
	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	endpoints := factory.Discovery().V1().EndpointSlices().Informer()
	factory.StartWithContext(t.Context())
	factory.WaitForCacheSyncWithContext(t.Context())
	t.Cleanup(factory.Shutdown)
	if _, err := New(factory); err == nil || endpoints.IsStopped() {
		t.Errorf("got %v: EndpointSlices would be kept whole", err)
	}
}

// BenchmarkReady5000 asks for a Service of 5,000 endpoints in 50 slices, each of
// which has changed since, and none.
func BenchmarkReady5000(b *testing.B) {
	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	book, err := New(factory)
	if err != nil {
		b.Fatal(err)
	}
	add := func(informer interface{ Add(any) error }, obj any) {
		if err := informer.Add(obj); err != nil {
			b.Fatal(err)
		}
	}
	add(factory.Core().V1().Services().Informer().GetIndexer(), service("cart", nil, nil))
	var last any
	for i := range 50 {
		slice := sliceOf("cart", fmt.Sprint("cart-", i), discovery.AddressTypeIPv4)
		for j := range 100 {
			slice.Endpoints = append(slice.Endpoints, at(fmt.Sprint("zone-", j%3), fmt.Sprintf("10.0.%d.%d", i, j)))
		}
		if last, err = trimSlice(slice); err != nil {
			b.Fatal(err)
		}
		add(book.slices, last)
	}
	for name, changes := range map[string]bool{"unchanged": false, "changed": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if changes {
					book.forget(last)
				}
				if got, _ := book.Ready("shop", "cart"); got["zone-0"] != 1700 {
					b.Fatal(got)
				}
			}
		})
	}
}
