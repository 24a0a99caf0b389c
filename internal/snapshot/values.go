package snapshot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// value is a part of a file that has been parsed, YAML or JSON.
type value interface {
	// line is where the part of the path is, or the deepest part before it that is
	// there; from 1, in the file.
	line(path []string) int
	// head reads the top of an object. It looks at no other field.
	head() (head, error)
	// json returns the whole as JSON.
	json() ([]byte, error)
}

// head is what tells how to read an object.
type head struct {
	apiVersion, kind string
	// hasItems: the object is a list of items.
	hasItems bool
	items    []value
}

// problem is trouble in a text whose words must not be repeated.
type problem struct {
	line int
	what string
}

func (p *problem) Error() string { return fmt.Sprintf("line %d: %s", p.line, p.what) }

// twice is the trouble of a key that is there twice.
const twice = "a key is there twice"

// jsonValue is a JSON text whose syntax is right.
type jsonValue struct {
	data  []byte
	first int // the line of its first character
}

// parseJSON reads the JSON values of a text, which begins on the given line.
func parseJSON(data []byte, first int) ([]value, error) {
	var out []value
	decoder := json.NewDecoder(bytes.NewReader(data))
	line, done := first, 0
	for {
		var raw json.RawMessage
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, jsonProblem(data, first, err)
		}
		start := int(decoder.InputOffset()) - len(raw)
		line += bytes.Count(data[done:start], newline)
		done = start
		out = append(out, &jsonValue{data[start : start+len(raw)], line})
	}
}

// jsonProblem says where JSON ends to be JSON.
func jsonProblem(data []byte, first int, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF) || syntax.Offset >= int64(len(data)) {
		return &problem{first + bytes.Count(bytes.TrimSpace(data), newline), "the text ends within a JSON value"}
	}
	return &problem{first + bytes.Count(data[:max(0, syntax.Offset-1)], newline), "this is not JSON"}
}

// parts calls yield with the fields of an object, or the elements of an array under
// their index, until it says no.
func (v *jsonValue) parts(yield func(name string, part *jsonValue) bool) {
	decoder := json.NewDecoder(bytes.NewReader(v.data))
	open, err := decoder.Token()
	if err != nil || open != json.Delim('{') && open != json.Delim('[') {
		return
	}
	line, done := v.first, 0
	for i := 0; decoder.More(); i++ {
		name := strconv.Itoa(i)
		if open == json.Delim('{') {
			token, err := decoder.Token()
			if err != nil {
				return
			}
			name, _ = token.(string)
		}
		var raw json.RawMessage
		if decoder.Decode(&raw) != nil {
			return
		}
		start := int(decoder.InputOffset()) - len(raw)
		line += bytes.Count(v.data[done:start], newline)
		done = start
		if !yield(name, &jsonValue{v.data[start : start+len(raw)], line}) {
			return
		}
	}
}

func (v *jsonValue) line(path []string) int {
	for _, name := range path {
		var found *jsonValue
		v.parts(func(n string, part *jsonValue) bool {
			if n == name {
				found = part
			}
			return found == nil
		})
		if found == nil {
			break
		}
		v = found
	}
	return v.first
}

func (v *jsonValue) json() ([]byte, error) { return v.data, nil }

func (v *jsonValue) head() (head, error) {
	if v.data[0] != '{' {
		return head{}, &problem{v.first, "want an object with apiVersion and kind"}
	}
	var out head
	var trouble error
	seen := map[string]bool{}
	v.parts(func(name string, part *jsonValue) bool {
		switch name {
		case "apiVersion", "kind", "items":
		default:
			return true
		}
		if seen[name] {
			trouble = &problem{part.first, twice}
			return false
		}
		seen[name] = true
		switch name {
		case "apiVersion":
			out.apiVersion, trouble = part.word(name)
		case "kind":
			out.kind, trouble = part.word(name)
		case "items":
			out.hasItems = true
			if part.data[0] != '[' {
				out.hasItems = string(part.data) == "null"
				break
			}
			part.parts(func(_ string, item *jsonValue) bool {
				out.items = append(out.items, item)
				return true
			})
		}
		return trouble == nil
	})
	return out, trouble
}

// word is the value of a field that must be a string.
func (v *jsonValue) word(name string) (string, error) {
	var out string
	if json.Unmarshal(v.data, &out) != nil || v.data[0] != '"' {
		return "", &problem{v.first, name + " is not a string"}
	}
	return out, nil
}

// pathOf takes a field's path apart: spec.containers[0].image, metadata.labels[a/b.c].
func pathOf(field string) []string {
	var out []string
	for field != "" {
		if field[0] == '[' {
			inner, rest, closed := strings.Cut(field[1:], "]")
			if !closed {
				return out
			}
			out, field = append(out, strings.Trim(inner, `"`)), strings.TrimPrefix(rest, ".")
			continue
		}
		end := strings.IndexAny(field, ".[")
		if end < 0 {
			return append(out, field)
		}
		out = append(out, field[:end])
		field = strings.TrimPrefix(field[end:], ".")
	}
	return out
}
