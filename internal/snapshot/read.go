package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// newline ends a line.
var newline = []byte("\n")

const (
	// mostErrors is how many errors are reported at most.
	mostErrors = 10
	// stdinName is what standard input is called in messages.
	stdinName = "standard input"
	// stdinPath stands for standard input among paths.
	stdinPath = "-"
)

// Read reads a cluster from files of YAML or JSON: single objects, streams of
// documents and lists, such as kubectl prints with -o yaml or -o json. A folder
// stands for all *.yaml, *.yml and *.json within it, "-" for stdin. The order of
// paths does not matter. It is an error if there is nothing to read, if any of it
// cannot be read, or if an object is there twice; the error begins with file and
// line.
func Read(paths []string, stdin io.Reader) (*Snapshot, error) {
	s, err := readFiles(paths, stdin, false)
	if err != nil {
		return nil, err
	}
	s.settle()
	return s, nil
}

// ReadWhatIf reads objects that are to be added to a snapshot, see Add. Unlike Read
// it refuses fields that nobody knows, and it keeps Deployments, DaemonSets and
// CronJobs, which become pods once they are added. An object with only a
// generateName gets a number behind it. What it returns is in the order of the files.
func ReadWhatIf(paths []string, stdin io.Reader) (*Snapshot, error) {
	return readFiles(paths, stdin, true)
}

func readFiles(paths []string, stdin io.Reader, whatIf bool) (*Snapshot, error) {
	files, err := list(paths)
	if err != nil {
		return nil, err
	}
	r := newReader(whatIf)
	for _, file := range files {
		data, name, err := load(file, stdin)
		if err != nil {
			return nil, err
		}
		if err := r.file(name, data); err != nil {
			return nil, err
		}
	}
	s, err := r.done()
	if err != nil {
		return nil, err
	}
	s.Source = describe(paths, len(files))
	if len(s.Objects)+len(s.Pods) == 0 && len(s.Notes) == 0 {
		return nil, fmt.Errorf("%s: there is no object", s.Source)
	}
	return s, nil
}

// list finds the files that paths stand for.
func list(paths []string) ([]string, error) {
	if len(paths) == 0 {
		return nil, errors.New("no file to read")
	}
	var out []string
	for _, path := range paths {
		if path == stdinPath {
			out = append(out, path)
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("reading a cluster: %w", err)
		}
		if !info.IsDir() {
			out = append(out, filepath.Clean(path))
			continue
		}
		found, err := within(path)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	slices.Sort(out)
	for i := range out[1:] {
		if out[i] == out[i+1] {
			return nil, fmt.Errorf("%s is given twice", out[i])
		}
	}
	return out, nil
}

// within lists the files of a folder, and of those in it.
func within(folder string) ([]string, error) {
	var out []string
	// With the separator it may be a link to a folder.
	err := filepath.WalkDir(folder+string(filepath.Separator), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) {
			out = append(out, filepath.Clean(path))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading a cluster: %w", err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: the folder has no file *.yaml, *.yml or *.json", folder)
	}
	return out, nil
}

func load(file string, stdin io.Reader) (data []byte, name string, err error) {
	name = file
	if file == stdinPath {
		name = stdinName
		if stdin == nil {
			return nil, name, errors.New("there is no standard input")
		}
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, name, fmt.Errorf("reading a cluster: %w", err)
	}
	return data, name, nil
}

// describe says in words what was read.
func describe(paths []string, files int) string {
	names := make([]string, len(paths))
	for i, path := range paths {
		names[i] = path
		if path == stdinPath {
			names[i] = stdinName
		}
	}
	slices.Sort(names)
	said := strings.Join(names, ", ")
	if files != len(paths) {
		said = fmt.Sprintf("%d files of %s", files, said)
	}
	return said
}

// document is a part of a file between separators.
type document struct {
	data  []byte
	first int // the line on which it begins, from 1
}

// split cuts a file where lines begin with --- or ..., which no YAML value nor JSON
// can contain. What follows the dashes on their line belongs to the document that
// they begin.
func split(data []byte) []document {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	var out []document
	current := document{first: 1}
	start, line := 0, 1
	for at := 0; at < len(data); line++ {
		end := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if separates(data[at:end]) {
			current.data = data[start:at]
			out = append(out, current)
			current, start = document{first: line}, at
			if data[at] == '-' && len(bytes.TrimSpace(data[at+3:end])) == 0 || data[at] == '.' {
				start, current.first = end, line+1
			}
		}
		at = end
	}
	current.data = data[start:]
	return append(out, current)
}

func separates(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("---")) && !bytes.HasPrefix(line, []byte("...")) {
		return false
	}
	return len(line) == 3 || strings.ContainsRune(" \t\r\n", rune(line[3]))
}

// parse reads a document: JSON if it begins as such, YAML otherwise. JSON may be
// several values, one after the other.
func (d document) parse() ([]value, error) {
	text := bytes.TrimSpace(d.data)
	if len(text) == 0 {
		return nil, nil
	}
	if text[0] == '{' {
		values, err := parseJSON(d.data, d.first)
		if err == nil {
			return values, nil
		}
		// A map in the flow style of YAML begins in the same way.
		if rest := bytes.TrimSpace(text[1:]); len(rest) == 0 || rest[0] == '"' {
			return nil, err
		}
	}
	v, err := parseYAML(d.data, d.first)
	if err != nil || v == nil {
		return nil, err
	}
	return []value{v}, nil
}
