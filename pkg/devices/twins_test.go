package devices

import (
	"maps"
	"slices"
	"strings"
	"testing"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"
)

func TestWhatAnExpressionReads(t *testing.T) {
	for expression, want := range map[string]string{
		`device.driver == "gpu.nvidia.com"`: "",
		`device.allowMultipleAllocations`:   "",
		`true`:                              "",
		`device.attributes["gpu.nvidia.com"].type == "mig" && device.attributes["gpu.nvidia.com"]["profile"] == "1g.10gb"`: "profile type",
		`device.capacity["gpu.nvidia.com"].memory.compareTo(quantity("20Gi")) >= 0`:                                        "memory",
		`has(device.attributes["d"].a) && device.attributes["d"].a`:                                                        "a",
		`"a" in device.attributes["d"] || "d" in device.capacity`:                                                          "a",
		`device.attributes["d"].model.lowerAscii().contains("a100")`:                                                       "model",
		`device.attributes["d"].v.isGreaterThan(semver("1.0.0"))`:                                                          "v",
		`device.attributes["d"].model in ["a", "b"]`:                                                                       "model",
		`.device.attributes["d"].x == 1`:                                                                                   "x",
		// Computed names, loops, whole maps: anything may be read.
		`device.attributes["d"]["a" + "b"]`:                        "*",
		`device.attributes["d"].exists(k, k == "a")`:               "*",
		`device.attributes["d"] == device.attributes["e"]`:         "*",
		`device.attributes["d"].size() > 1`:                        "*",
		`size(device.attributes) > 1`:                              "*",
		`cel.bind(d, device.attributes["d"], d.a && d.b)`:          "*",
		`device.attributes[device.driver].a`:                       "*",
		`[device.attributes].size() == 1`:                          "*",
		`device.attributes["d"].a == device.attributes["d"][?"b"]`: "*",
	} {
		r := reads{}
		compiled := testCEL.GetOrCompile("true")
		got := "*"
		if r.add(compiled.Environment, expression) {
			got = strings.Join(slices.Sorted(maps.Keys(r)), " ")
		}
		if got != want {
			t.Errorf("%s: reads %q, want %q", expression, got, want)
		}
	}
}

// TestTwinsAreJudgedAlike: devices with the same key give the same answer, whatever
// else they have.
func TestTwinsAreJudgedAlike(t *testing.T) {
	expressions := []string{
		`device.attributes["d"].a == "x"`, `has(device.attributes["d"].b)`, `"e" in device.attributes`, `"a" in device.attributes["e"]`,
		`device.capacity["d"].a.compareTo(quantity("2")) >= 0`, `device.allowMultipleAllocations && device.driver == "d"`,
		`device.attributes["d"].b > 1`, `device.attributes["e"].a`,
	}
	names := []resourceapi.QualifiedName{"a", "b", "d/a", "e/a", "e/uuid", "uuid"}
	draw := func(rt *rapid.T) *resourceapi.Device {
		d := &resourceapi.Device{Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{}, Capacity: map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{}}
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(rt, "attributes") {
			d.Attributes[name] = rapid.SampledFrom([]resourceapi.DeviceAttribute{{StringValue: ptr.To("x")}, {StringValue: ptr.To("y")},
				{IntValue: ptr.To(int64(2))}, {BoolValue: ptr.To(true)}}).Draw(rt, "value")
		}
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(rt, "capacities") {
			d.Capacity[name] = resourceapi.DeviceCapacity{Value: *resource.NewQuantity(rapid.Int64Range(1, 3).Draw(rt, "amount"), resource.DecimalSI)}
		}
		// A device that has both is not planned: see namedTwice.
		for _, twice := range []bool{namedTwice("d", d.Attributes), namedTwice("d", d.Capacity)} {
			if twice {
				delete(d.Attributes, "d/a")
				delete(d.Capacity, "d/a")
			}
		}
		if rapid.Bool().Draw(rt, "shareable") {
			d.AllowMultipleAllocations = ptr.To(true)
		}
		return d
	}
	compared := 0
	rapid.Check(t, func(rt *rapid.T) {
		expression := rapid.SampledFrom(expressions).Draw(rt, "expression")
		compiled := testCEL.GetOrCompile(expression)
		r := reads{}
		if compiled.Error != nil || !r.add(compiled.Environment, expression) {
			rt.Fatalf("%s: %v", expression, compiled.Error)
		}
		answers := map[string]string{}
		for range 30 {
			d := draw(rt)
			key, alike := r.keyOf("d", d)
			if !alike {
				rt.Fatal("plain values have no key")
			}
			ok, _, err := compiled.DeviceMatches(t.Context(), cel.Device{Driver: "d", AllowMultipleAllocations: d.AllowMultipleAllocations, Attributes: d.Attributes, Capacity: d.Capacity})
			answer := "error"
			if err == nil {
				answer = map[bool]string{true: "yes", false: "no"}[ok]
			}
			if former, found := answers[key]; found {
				compared++
				if former != answer {
					rt.Fatalf("%s says %s and %s of devices with the key %q", expression, former, answer, key)
				}
			}
			answers[key] = answer
		}
	})
	if compared < 100 {
		t.Errorf("only %d twins were drawn", compared)
	}
}

func TestValuesThatMayFailHaveNoTwin(t *testing.T) {
	for name, a := range map[string]resourceapi.DeviceAttribute{
		"no version": {VersionValue: ptr.To("one")}, "nothing": {}, "a list": {StringValues: []string{"a"}},
	} {
		d := &resourceapi.Device{Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{"unread": a}}
		if key, alike := (reads{}).keyOf("d", d); alike {
			t.Errorf("%s has the key %q", name, key)
		}
	}
}
