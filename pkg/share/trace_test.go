package share

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// readTrace reads the GPU nodes and one list of pods of the openb trace.
func readTrace(folder, list string) (*trace, error) {
	var models Models
	tr := &trace{}
	nodes, err := readCSV(filepath.Join(folder, "openb_node_list_gpu_node.csv"))
	if err != nil {
		return nil, err
	}
	for _, row := range nodes {
		gpus := make([]int64, row.number("gpu"))
		for i := range gpus {
			gpus[i] = Whole
		}
		cpu := row.number("cpu_milli")
		tr.nodes = append(tr.nodes, simNode{memory: row.number("memory_mib"),
			Node: Node{Model: models.Of(row["model"]), CPUMilli: cpu, IdleCPUMilli: cpu, GPUs: gpus}})
	}
	pods, err := readCSV(filepath.Join(folder, "openb_pod_list_"+list+".csv"))
	if err != nil {
		return nil, err
	}
	for _, row := range pods {
		t := simTask{Task: Task{CPUMilli: row.number("cpu_milli"), GPUs: int(row.number("num_gpu")),
			GPUMilli: row.number("gpu_milli")}, memory: row.number("memory_mib")}
		if spec := row["gpu_spec"]; spec != "" {
			for name := range strings.SplitSeq(spec, "|") {
				t.Models = append(t.Models, models.Of(name))
			}
		}
		tr.tasks = append(tr.tasks, t)
	}
	return tr, nil
}

type record map[string]string

// number reads a column of digits; anything else is 0.
func (r record) number(column string) int64 {
	n, _ := strconv.ParseInt(r[column], 10, 64)
	return n
}

func readCSV(path string) ([]record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("reading %s: %d rows, %w", path, len(rows), err)
	}
	out := make([]record, 0, len(rows)-1)
	for _, row := range rows[1:] {
		r := record{}
		for i, column := range rows[0] {
			r[column] = row[i]
		}
		out = append(out, r)
	}
	return out, nil
}

// kinds are the most frequent classes of the openb trace and all that want
// several GPUs: how many of 8152, milli-cores, GPUs, thousandths of each.
var kinds = [...][4]int64{
	{1047, 3152, 1, 810}, {874, 11300, 1, 1000}, {599, 11400, 1, 1000}, {470, 3152, 1, 1000}, {388, 11908, 1, 470},
	{366, 12500, 0, 0}, {360, 8000, 1, 470}, {326, 12000, 1, 1000}, {290, 32000, 0, 0}, {255, 18708, 1, 1000},
	{237, 11908, 1, 650}, {232, 4000, 1, 320}, {195, 9810, 1, 1000}, {185, 8000, 0, 0}, {164, 8000, 1, 1000},
	{159, 4000, 1, 1000}, {158, 15700, 1, 1000}, {153, 11908, 1, 1000}, {150, 16000, 1, 1000}, {122, 4000, 1, 230},
	{120, 6000, 1, 460}, {120, 15400, 0, 0}, {95, 16500, 0, 0}, {93, 14200, 1, 1000}, {84, 24200, 1, 1000},
	{75, 3152, 1, 590}, {72, 8000, 1, 320}, {72, 4152, 1, 550}, {54, 4000, 1, 160}, {45, 4152, 1, 370},
	{43, 4000, 1, 220}, {20, 6000, 1, 160}, {18, 88000, 8, 1000}, {18, 64200, 8, 1000}, {17, 16000, 2, 1000},
	{16, 32000, 4, 1000},
}

// machines are the kinds of GPU nodes of that trace: how many, milli-cores,
// GPUs, model.
var machines = [...][4]int64{
	{549, 96000, 8, 1}, {387, 104000, 2, 2}, {110, 16000, 2, 3}, {39, 128000, 8, 4}, {28, 32000, 4, 5},
	{22, 64000, 2, 3}, {21, 96000, 8, 6}, {19, 8000, 1, 5}, {17, 96000, 4, 2}, {9, 48000, 4, 6}, {8, 64000, 8, 5},
}

// syntheticTrace is a cluster of the openb trace's kinds of nodes, scaled down,
// and a list of its kinds of tasks. Memory is plenty.
func syntheticTrace(scale int64) *trace {
	tr := &trace{}
	for _, m := range machines {
		for range (m[0] + scale/2) / scale {
			n := simNode{Node: Node{Model: Model(m[3]), CPUMilli: m[1], IdleCPUMilli: m[1]}}
			for range m[2] {
				n.GPUs = append(n.GPUs, Whole)
			}
			tr.nodes = append(tr.nodes, n)
		}
	}
	for _, k := range kinds {
		for range (k[0] + scale - 1) / scale {
			tr.tasks = append(tr.tasks, simTask{Task: Task{CPUMilli: k[1], GPUs: int(k[2]), GPUMilli: k[3]}})
		}
	}
	return tr
}
