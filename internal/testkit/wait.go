package testkit

import (
	"context"
	"testing"
	"time"
)

// Eventually polls until ok returns nil; what it returned last fails the test
// once patience is at an end.
func Eventually(t testing.TB, patience time.Duration, ok func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-tick.C:
		}
	}
}
