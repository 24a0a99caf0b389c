package evidence

import (
	"bytes"
	"testing"

	"plimsoll.dev/scheduler/internal/replay"
)

func TestTheDigestIsOfWhatDecides(t *testing.T) {
	shipped := replay.Plimsoll()
	changed := func(old, change string) string {
		config := bytes.Replace(shipped.Config, []byte(old), []byte(change), 1)
		if bytes.Equal(config, shipped.Config) {
			t.Fatalf("the shipped configuration has no %q", old)
		}
		return ConfigOf(replay.Policy{Config: config})
	}
	digest := ConfigOf(shipped)
	for _, same := range []string{changed("profiles:", "# a comment\nprofiles:"), changed("      - name: ClaimGate\n", ""),
		ConfigOf(replay.Policy{Config: shipped.Config, Quick: true})} {
		if same != digest {
			t.Error("what decides nothing changes the digest")
		}
	}
	for _, other := range []string{changed("weight: 202", "weight: 203"), changed("      - name: BinPack\n        weight: 1\n", ""),
		changed("targetPercent: 80", "targetPercent: 81"), changed("schedulerName: plimsoll", "schedulerName: other"),
		ConfigOf(replay.Default()), ConfigOf(replay.Policy{Config: []byte("profiles: [")})} {
		if other == digest {
			t.Error("another policy has the same digest")
		}
	}
}
