package intent

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatAPodMayAskOfItsPlace(t *testing.T) {
	name63 := strings.Repeat("a", 63)
	for name, tc := range map[string]struct {
		pairs []string
		want  Topology
	}{
		"an alias":                       {[]string{TopologyRequired, "rack"}, Topology{Required: "rack"}},
		"a label key":                    {[]string{TopologyPreferred, "topology.kubernetes.io/zone"}, Topology{Preferred: "topology.kubernetes.io/zone"}},
		"a key without a prefix":         {[]string{TopologyRequired, "Rack_Row.2"}, Topology{Required: "Rack_Row.2"}},
		"one level both ways":            {[]string{TopologyRequired, "zone", TopologyPreferred, "zone"}, Topology{Required: "zone", Preferred: "zone"}},
		"a group":                        {[]string{GroupName, "train-42.v2"}, Topology{Group: "train-42.v2"}},
		"the longest group":              {[]string{GroupName, name63}, Topology{Group: name63}},
		"a size without a group":         {[]string{GroupSize, "100000"}, Topology{GroupSize: 100_000}},
		"replicas per zone":              {[]string{MinPerZone, "10000"}, Topology{MinPerZone: 10_000}},
		"zones beside replicas per zone": {[]string{MinPerZone, "3", MinZones, "100"}, Topology{MinPerZone: 3, MinZones: 100}},
		"one peer":                       {[]string{Near, "cart"}, Topology{Near: []Peer{{"cart", 1}}}},
		"peers in their order":           {[]string{Near, "db,cart,3scale"}, Topology{Near: []Peer{{"db", 1}, {"cart", 1}, {"3scale", 1}}}},
		"weighed peers":                  {[]string{Near, "cart=100,db=1"}, Topology{Near: []Peer{{"cart", 100}, {"db", 1}}}},
		"the longest weighed peer":       {[]string{Near, name63 + "=100"}, Topology{Near: []Peer{{name63, 100}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(annotated(tc.pairs...))
			if diff := cmp.Diff(tc.want, got.Topology); diff != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, diff)
			}
		})
	}
}

func TestSixteenOfTheLongestPeersAreReadAndNoMore(t *testing.T) {
	var names []string
	for i := range 17 {
		names = append(names, strings.Repeat("a", 61)+strconv.Itoa(10+i)+"=100")
	}
	got, err := Parse(annotated(Near, strings.Join(names[:16], ",")))
	if err != nil || len(got.Topology.Near) != 16 {
		t.Errorf("16 peers: got %d, %v", len(got.Topology.Near), err)
	}
	if _, err := Parse(annotated(Near, strings.Join(names, ","))); err == nil {
		t.Error("17 peers are accepted")
	}
}

func TestWhatAPodMayNotAskOfItsPlace(t *testing.T) {
	whole := func(most string) []string {
		return []string{"", "0", "-1", "+1", "01", "1.0", "1e3", " 1", "one", most, "99999999999999999999"}
	}
	levels := []string{"", " rack", "rack ", "rack,zone", "a/b/c", "/rack", "rack/", "Zone.io/" + strings.Repeat("a", 64), "-rack", "топология"}
	for key, values := range map[string][]string{
		TopologyRequired:  levels,
		TopologyPreferred: levels,
		GroupName:         {"", "Train", "train_42", "-a", "a-", "a/b", ".", strings.Repeat("a", 64)},
		GroupSize:         whole("100001"),
		MinPerZone:        whole("10001"),
		MinZones:          whole("101"),
		Near: {"", ",", "cart,", ",cart", "cart, db", "cart,cart", "cart=1,cart=2", "cart=1,db", "cart,db=1", "cart=", "cart=0", "cart=101", "cart=01", "cart=1=2", "=1",
			"Cart", "ns/cart", "cart.shop", "-cart", strings.Repeat("a", 64), strings.Repeat("a,", 10_000)},
	} {
		for _, value := range values {
			pod := annotated(key, value)
			if key == MinZones {
				pod.Annotations[MinPerZone] = "1"
			}
			got, err := Parse(pod)
			var wrong *AnnotationError
			if !errors.As(err, &wrong) || wrong.Key != key || wrong.Value != value || !strings.HasPrefix(wrong.Want, "want ") {
				t.Errorf("%s=%.40q: error %v does not name both and what is right", key, value, err)
			}
			got.Topology.MinPerZone = 0
			if diff := cmp.Diff(Topology{}, got.Topology); diff != "" {
				t.Errorf("%s=%.40q is refused but leaves behind (-want +got)\n%s", key, value, diff)
			}
		}
	}
}

func TestMinZonesNeedsMinPerZone(t *testing.T) {
	got, err := Parse(annotated(MinZones, "3", GroupSize, "0", Near, ","))
	if err == nil || got.Topology.MinZones != 0 {
		t.Fatalf("got %+v, %v", got.Topology, err)
	}
	at := 0
	for _, want := range []string{GroupSize, MinZones + `: "3" is not valid: want ` + MinPerZone, Near} {
		i := strings.Index(err.Error()[at:], want)
		if i < 0 {
			t.Fatalf("error %q does not say %q after byte %d", err, want, at)
		}
		at += i
	}
	// It is there, though wrong itself: that is all there is to say.
	_, err = Parse(annotated(MinZones, "3", MinPerZone, "0"))
	if err == nil || strings.Contains(err.Error(), MinZones) {
		t.Errorf("got %v, want an error of %s alone", err, MinPerZone)
	}
}

// FuzzTopology asserts that what is accepted is what is written: printed again,
// it is the value.
func FuzzTopology(f *testing.F) {
	for _, key := range []string{TopologyRequired, TopologyPreferred, GroupName, GroupSize, MinPerZone, MinZones, Near} {
		for _, value := range []string{"rack", "topology.kubernetes.io/zone", "train-42", "8", "08", "cart,db", "cart=80,db=20", "cart=,", "\x00"} {
			f.Add(strings.TrimPrefix(key, Prefix), value)
		}
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		pod := annotated(Prefix+key, value)
		if Prefix+key == MinZones {
			pod.Annotations[MinPerZone] = "1"
		}
		intent, err := Parse(pod)
		if err != nil {
			return
		}
		got := &intent.Topology
		var again string
		switch Prefix + key {
		case TopologyRequired:
			again = got.Required
		case TopologyPreferred:
			again = got.Preferred
		case GroupName:
			again = got.Group
		case GroupSize:
			again = strconv.FormatInt(got.GroupSize, 10)
		case MinPerZone:
			again = strconv.FormatInt(got.MinPerZone, 10)
		case MinZones:
			again = strconv.FormatInt(got.MinZones, 10)
		case Near:
			again = printed(got.Near, strings.Contains(value, "="))
		default:
			return
		}
		if again != value || len(value) > 16*68 {
			t.Errorf("%s=%q is accepted as %+v", key, value, got)
		}
	})
}

func printed(peers []Peer, weighed bool) string {
	var out []string
	for _, p := range peers {
		if weighed {
			p.Service += "=" + strconv.FormatInt(p.Weight, 10)
		}
		out = append(out, p.Service)
	}
	return strings.Join(out, ",")
}
