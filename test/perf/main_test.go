package perf

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	perf "k8s.io/kubernetes/test/integration/scheduler_perf"
)

func TestMain(m *testing.M) {
	if os.Getenv(runAsEtcd) != "" {
		becomeEtcd()
	}
	code, err := runIn(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// runIn runs the tests with a folder for what they leave lying.
func runIn(m *testing.M) (code int, err error) {
	perf.LoggingConfig.Verbosity = 0 // the default of -v
	if err := perf.InitTests(); err != nil {
		return 1, err
	}
	folder, err := os.MkdirTemp("", "plimsoll-perf-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if err := provideEtcd(folder); err != nil {
		return 1, err
	}
	if err := setFlags(folder); err != nil {
		return 1, err
	}
	logs, err := keepLogs(folder)
	if err != nil {
		return 1, err
	}
	code = m.Run()
	return code, showLogs(logs)
}

// keepLogs has scheduler_perf write the log of every run to a file of its own,
// which it removes if the run succeeds, instead of all of them to standard
// error. It returns where they are, empty if the caller has chosen a place.
func keepLogs(folder string) (string, error) {
	const where = "ARTIFACTS" // scheduler_perf's name for it
	if _, chosen := os.LookupEnv(where); chosen {
		return "", nil
	}
	logs := filepath.Join(folder, "logs")
	if err := os.Mkdir(logs, 0o700); err != nil {
		return "", err
	}
	return logs, os.Setenv(where, logs)
}

// showLogs prints the end of the logs of failed runs.
func showLogs(folder string) error {
	const end = 32 << 10
	if folder == "" {
		return nil
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "=== end of %s\n%s\n", file.Name(), raw[max(0, len(raw)-end):])
	}
	return nil
}

// rounds is the value of -count, which TestMain takes for itself.
var rounds = 1

// setFlags makes -count the number of rounds, since package testing would run
// the same benchmark so often in a row; has every benchmark run once, as
// scheduler_perf does not look at b.N; and sends the files that scheduler_perf
// writes into the folder, unless a flag says where they are wanted.
func setFlags(folder string) error {
	count, err := strconv.Atoi(flag.Lookup("test.count").Value.String())
	if err != nil {
		return fmt.Errorf("reading -count: %w", err)
	}
	rounds = count
	values := map[string]string{"test.count": "1", "test.benchtime": "1x"}
	if flag.Lookup("data-items-dir").Value.String() == "" {
		values["data-items-dir"] = folder
	}
	for name, value := range values {
		if err := flag.Set(name, value); err != nil {
			return fmt.Errorf("setting -%s: %w", name, err)
		}
	}
	return nil
}
