package adapt

import (
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

func TestTheSameIsSaidOnceAnHour(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	said := NewTold(clock)
	for i, step := range []struct {
		after time.Duration
		words string
		want  bool
	}{
		{0, "a", true}, {0, "a", false}, {0, "b", true}, {59 * time.Minute, "a", false}, {time.Minute, "a", true}, {time.Minute, "a", false},
	} {
		clock.Step(step.after)
		if got := said.First(step.words); got != step.want {
			t.Errorf("step %d: %q said %v, want %v", i, step.words, got, step.want)
		}
	}
}
