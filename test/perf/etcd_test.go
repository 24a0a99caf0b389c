package perf

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

// runAsEtcd in the environment makes the test binary be etcd.
const runAsEtcd = "PLIMSOLL_PERF_RUN_AS_ETCD"

// becomeEtcd does not return.
func becomeEtcd() {
	_ = os.Unsetenv(runAsEtcd) // fails for malformed names only
	// The store is thrown away, and a disk's syncs are not what is measured.
	etcdmain.Main(append([]string{os.Args[0], "--unsafe-no-fsync"}, os.Args[1:]...))
	os.Exit(0)
}

// provideEtcd puts a command named etcd, which is all that scheduler_perf looks
// for, into the folder and the folder in front of PATH. The command is this
// binary.
func provideEtcd(folder string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the test binary: %w", err)
	}
	script := fmt.Sprintf("#!/bin/sh\n%s=1 exec %s \"$@\"\n", runAsEtcd, shellQuote(self))
	if err := os.WriteFile(filepath.Join(folder, "etcd"), []byte(script), 0o700); err != nil {
		return fmt.Errorf("writing the etcd command: %w", err)
	}
	return os.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
