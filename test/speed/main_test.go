package speed

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
)

// roles are what the test binary is where the environment names one of them: it
// answers the questions that come from standard input, and ends with them.
var roles = map[string]func(questions) error{
	"api":       serveAPI,
	"scheduler": schedule,
	"caches":    fillCaches,
}

// roleVariable is the name in the environment.
const roleVariable = "PLIMSOLL_SPEED_ROLE"

func TestMain(m *testing.M) {
	if role, found := roles[os.Getenv(roleVariable)]; found {
		if err := role(newQuestions()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if err := setRounds(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// rounds is the value of -count for benchmarks, set before they run.
var rounds = 1

// setRounds makes -count the number of rounds, since package testing would run
// the same benchmark so often in a row, and has every benchmark run once. Tests
// are repeated as always.
func setRounds() error {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" {
		return nil
	}
	count, err := strconv.Atoi(flag.Lookup("test.count").Value.String())
	if err != nil {
		return fmt.Errorf("reading -count: %w", err)
	}
	rounds = count
	for name, value := range map[string]string{"test.count": "1", "test.benchtime": "1x"} {
		if err := flag.Set(name, value); err != nil {
			return fmt.Errorf("setting -%s: %w", name, err)
		}
	}
	return nil
}
