package stack

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// nobody is the user and group that own nothing.
const nobody = 65534

// TestOrdinaryUser repeats the test of everything a stack touches on disk as a user who may write
// nowhere but to a temporary folder. Run by such a user, the test itself is the proof.
func TestOrdinaryUser(t *testing.T) {
	const repeated = "^TestStopLeavesNeitherGoroutineNorPortNorFile$"
	if os.Geteuid() != 0 {
		t.Logf("user %d: %s has covered it", os.Geteuid(), repeated)
		return
	}
	dir := shortTempDir(t)
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	// This very binary: its path is closed to others, the link in /proc is not.
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run="+repeated, "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Dir = dir
	cmd.Env = []string{"TMPDIR=" + dir, "HOME=/no/such/home"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	assertEmpty(t, dir)
}
