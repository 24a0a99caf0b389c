package speed

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// endPatience is how long a process may take to end by itself.
const endPatience = 40 * time.Second

// answer is what a process says to one question; which fields are set depends on
// the question.
type answer struct {
	Error string `json:",omitempty"`
	// Kubeconfig is the file by which to reach the API server. It lies in a folder
	// that goes with the server.
	Kubeconfig string `json:",omitempty"`
	// Kinds are the kinds of which there is an informer.
	Kinds []string `json:",omitempty"`
	// HeapBytes is what is alive on the heap after garbage collection.
	HeapBytes uint64 `json:",omitempty"`
	// CPUSeconds is what the process has used of the CPU, in user and system mode.
	CPUSeconds float64 `json:",omitempty"`
	// Durations are those after each number of attempts that was asked for, and those
	// up to now.
	Durations []durations `json:",omitempty"`
}

// child is a process of this binary in one of the roles.
type child struct {
	role    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
	log     tail
}

// startChild starts a process and waits for its first answer. When ctx ends, so
// does the process, as it does when this one goes away: either closes its input.
func startChild(ctx context.Context, role string, args ...string) (*child, answer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, answer{}, fmt.Errorf("finding the test binary: %w", err)
	}
	c := &child{role: role, cmd: exec.CommandContext(ctx, self, args...)}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	c.cmd.Stderr = &c.log
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, answer{}, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, answer{}, err
	}
	c.answers = json.NewDecoder(out)
	c.cmd.Cancel = c.in.Close
	c.cmd.WaitDelay = endPatience
	if err := c.cmd.Start(); err != nil {
		return nil, answer{}, fmt.Errorf("starting %s: %w", role, err)
	}
	first, err := c.ask("ready")
	if err != nil {
		_ = c.stop() // err has its log already
		return nil, answer{}, err
	}
	return c, first, nil
}

// ask asks one question. A process that is gone, or was told to go, has no answer.
func (c *child) ask(question string) (answer, error) {
	if _, err := fmt.Fprintln(c.in, question); err != nil {
		return answer{}, fmt.Errorf("asking %s %q: %w\n%s", c.role, question, err, &c.log)
	}
	var a answer
	if err := c.answers.Decode(&a); err != nil {
		return answer{}, fmt.Errorf("asking %s %q: %w\n%s", c.role, question, err, &c.log)
	}
	if a.Error != "" {
		return answer{}, fmt.Errorf("asking %s %q: %s", c.role, question, a.Error)
	}
	return a, nil
}

// stop lets the process end and waits until it has.
func (c *child) stop() error {
	if err := c.in.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("stopping %s: %w", c.role, err)
	}
	// Wait returns without limit for a process whose context lives on.
	limit := time.AfterFunc(endPatience, func() { _ = c.cmd.Process.Kill() })
	defer limit.Stop()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("stopping %s: %w\n%s", c.role, err, &c.log)
	}
	return nil
}

// tail keeps the end of what is written to it. It may be used concurrently.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	const kept = 16 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if len(t.text) > 2*kept {
		t.text = append([]byte("…"), t.text[len(t.text)-kept:]...)
	}
	return len(p), nil
}

// String implements fmt.Stringer.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}

// questions are what a process in a role is asked. They end when whoever asks goes
// away.
type questions struct {
	// args are the arguments of the process.
	args []string
	// next is closed at the end.
	next <-chan string
	// ctx is done at the end.
	ctx context.Context
}

// newQuestions reads standard input from now on. An interrupt from the keyboard,
// which reaches all processes, is left to the one that asks.
func newQuestions() questions {
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	next := make(chan string, 1) // of which one at a time is open
	go func() {
		defer cancel()
		defer close(next)
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			next <- lines.Text()
		}
	}()
	return questions{os.Args[1:], next, ctx}
}

// serve answers all questions, each by the function of that name.
func (q questions) serve(answers map[string]func() (answer, error)) error {
	out := json.NewEncoder(os.Stdout)
	for question := range q.next {
		give, found := answers[question]
		if !found {
			give = func() (answer, error) { return answer{}, fmt.Errorf("unknown question %q", question) }
		}
		a, err := give()
		if err != nil {
			a = answer{Error: err.Error()}
		}
		if err := out.Encode(a); err != nil {
			return fmt.Errorf("answering %q: %w", question, err)
		}
	}
	return nil
}
