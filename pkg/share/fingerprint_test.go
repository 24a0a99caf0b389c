package share

import "testing"

// TestFingerprintIsOfWhatIsDecided: it stays, and differs once a weight does.
func TestFingerprintIsOfWhatIsDecided(t *testing.T) {
	a := Fingerprint()
	if b := Fingerprint(); a != b || len(a) != 64 {
		t.Errorf("%s, then %s: want one SHA-256", a, b)
	}
	other := DefaultWeights()
	other.IdleGPU *= 1.01
	if b := fingerprint(other); a == b {
		t.Error("another weight, and the same fingerprint")
	}
}
