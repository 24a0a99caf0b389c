package openb

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Bounds of what is read, far beyond the trace, so that no sum or product of them
// overflows and every object that is made of them is valid.
const (
	maxCPUMilli  = 1 << 31
	maxMemoryMiB = 1 << 31
	maxNodeGPUs  = 64 // devices of a ResourceSlice
	maxPodGPUs   = 32 // devices of a claim
)

// ReadNodes reads a list of nodes in CSV. Columns sn, cpu_milli, memory_mib, gpu and
// model are needed, in any order; others are ignored. The file name is for errors,
// which also name line and column, and say what would be right.
func ReadNodes(file string, in io.Reader) ([]Node, error) {
	return read(file, in, "sn", []string{"cpu_milli", "memory_mib", "gpu", "model"}, func(r *row) Node {
		n := Node{
			Name:      r.name("sn"),
			CPUMilli:  r.number("cpu_milli", 1, maxCPUMilli, "thousandths of a core"),
			MemoryMiB: r.number("memory_mib", 1, maxMemoryMiB, "MiB"),
			GPUs:      int(r.number("gpu", 0, maxNodeGPUs, "GPUs")),
			Model:     r.text("model"),
		}
		if n.Model != "" {
			r.checkModel("model", n.Model)
		} else if n.GPUs > 0 {
			r.wrong("model", "a GPU model, since the node has GPUs")
		}
		return n
	})
}

// ReadPods reads a list of pods in CSV. Columns name, cpu_milli, memory_mib, num_gpu
// and gpu_milli are needed, in any order; gpu_spec may be missing, and others are
// ignored. Errors are as those of ReadNodes. A gpu_spec may name models that no
// node has, or one twice.
func ReadPods(file string, in io.Reader) ([]Pod, error) {
	return read(file, in, "name", []string{"cpu_milli", "memory_mib", "num_gpu", "gpu_milli"}, func(r *row) Pod {
		p := Pod{
			Name:      r.name("name"),
			CPUMilli:  r.number("cpu_milli", 0, maxCPUMilli, "thousandths of a core"),
			MemoryMiB: r.number("memory_mib", 0, maxMemoryMiB, "MiB"),
			GPUs:      int(r.number("num_gpu", 0, maxPodGPUs, "GPUs")),
			GPUMilli:  r.number("gpu_milli", 0, Whole, "thousandths of a GPU"),
		}
		switch {
		case p.GPUs == 0 && p.GPUMilli != 0:
			r.wrong("gpu_milli", "0, since num_gpu is 0")
		case p.GPUs == 1 && p.GPUMilli == 0:
			r.wrong("gpu_milli", "1 to 1000, since num_gpu is 1")
		case p.GPUs > 1 && p.GPUMilli != Whole:
			r.wrong("gpu_milli", fmt.Sprintf("1000, since num_gpu is %d: only one GPU can be shared", p.GPUs))
		}
		if spec := r.text("gpu_spec"); spec != "" {
			for model := range strings.SplitSeq(spec, "|") {
				r.checkModel("gpu_spec", model)
				if !slices.Contains(p.Models, model) {
					p.Models = append(p.Models, model)
				}
			}
		}
		return p
	})
}

// read reads all rows. The key column tells them apart.
func read[T any](file string, in io.Reader, key string, needed []string, parse func(*row) T) ([]T, error) {
	lines := csv.NewReader(in)
	lines.ReuseRecord = true
	head, err := lines.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: it is empty; want a first line with columns %s", file, strings.Join(append([]string{key}, needed...), ","))
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	r := &row{columns: map[string]int{}, lines: lines}
	for i, column := range head {
		if _, twice := r.columns[column]; twice {
			return nil, fmt.Errorf("reading %s: line 1 names column %q twice; want it once", file, column)
		}
		r.columns[column] = i
	}
	for _, column := range append([]string{key}, needed...) {
		if _, found := r.columns[column]; !found {
			return nil, fmt.Errorf("reading %s: line 1 has no column %q, only %q", file, column, head)
		}
	}
	var out []T
	first := map[string]int{}
	for {
		r.fields, err = lines.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err == nil {
			one := parse(r)
			name := r.text(key)
			line, _ := lines.FieldPos(0)
			if before, twice := first[name]; twice {
				r.wrong(key, fmt.Sprintf("a name of its own: line %d has it, too", before))
			}
			first[name] = line
			out, err = append(out, one), r.err
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
	}
}

// row is the line at hand and the first thing that is wrong with it.
type row struct {
	columns map[string]int
	lines   *csv.Reader
	fields  []string
	err     error
}

// text is a column's value, "" if there is no such column.
func (r *row) text(column string) string {
	at, found := r.columns[column]
	if !found {
		return ""
	}
	return r.fields[at]
}

func (r *row) wrong(column, want string) {
	if r.err != nil {
		return
	}
	line, _ := r.lines.FieldPos(r.columns[column])
	r.err = fmt.Errorf("line %d, column %s: %q: want %s", line, column, r.text(column), want)
}

func (r *row) number(column string, least, most int64, unit string) int64 {
	n, err := strconv.ParseInt(r.text(column), 10, 64)
	if err != nil || n < least || n > most {
		r.wrong(column, fmt.Sprintf("%d to %d %s", least, most, unit))
	}
	return n
}

// name is the value of a column from which objects are named.
func (r *row) name(column string) string {
	name := r.text(column)
	if len(validation.IsDNS1123Label(name)) > 0 {
		r.wrong(column, "a DNS label: lower-case letters, digits and hyphens")
	}
	return name
}

func (r *row) checkModel(column, model string) {
	if model == "" || len(validation.IsValidLabelValue(model)) > 0 {
		r.wrong(column, "names of GPU models: letters, digits, hyphens, dots and underscores, 63 at most")
	}
}
