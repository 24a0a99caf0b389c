package intent

import (
	"errors"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// Annotations by which a pod says what its GPUs must be like.
const (
	GPUMemory    = Prefix + "gpu-memory"
	GPUModel     = Prefix + "gpu-model"
	GPUIsolation = Prefix + "gpu-isolation"
)

// GPU is what a pod asks of each of its GPUs, slices or shares. How many of
// which resource it asks for is in its spec.
type GPU struct {
	// MemoryBytes is the memory needed of each; 0 if the pod states none.
	MemoryBytes int64
	// MemoryFrom is the annotation that MemoryBytes comes from: GPUMemory if
	// the pod carries both, "" if it carries neither.
	MemoryFrom string
	// Isolation lists the levels the pod prefers, strongest first; nothing
	// weaker than the last is accepted. Empty: any will do.
	Isolation []gpus.Isolation
}

func gpuAnnotations() []Annotation {
	return []Annotation{{
		Key:     GPUIsolation,
		Forms:   "want levels from strongest to weakest, each at most once, of " + strings.Join(gpus.Levels(), ">") + "; nothing weaker than the last is accepted",
		Example: "mig>mps",
		Doc: "How well the pod's GPUs must be fenced off from other users, most wanted first: `exclusive` is a whole GPU alone, `mig` a hardware partition, " +
			"`mps` a share whose memory the MPS daemon limits, `time-slicing` a share that nothing limits. " +
			"Nothing weaker than the last level is accepted; a stronger one that is not listed is, after those that are.",
		parse: parseIsolation,
	}, {
		Key:     GPUMemory,
		Forms:   "want an amount of memory from 1Mi to 1Pi, such as 18Gi, 1.5Gi or 20G",
		Example: "18Gi",
		Doc: "The memory that the pod needs of each GPU, slice or share it asks for. Nodes whose labels tell of less, or of none, are refused; " +
			"of the others, the smallest is taken first. A share of a GPU counts as the GPU's memory divided by its replicas. It binds the GPUs of the pod's claims as well, together with what the claims say. On a pod that asks for neither it is an error, as the other annotations about GPUs are.",
		parse: parseMemory,
	}, {
		Key:     GPUModel,
		Forms:   "want parameters and dtype, each once and without spaces, such as parameters=7B,dtype=bf16: a number with K, M, B or T, up to 100T, and one of " + strings.Join(dtypes(), ", "),
		Example: "parameters=7B,dtype=bf16",
		Doc: "The model that the pod serves on each GPU: the memory needed is parameters x bytes per parameter (`fp32` and `tf32` 4, `fp16` and `bf16` 2, `fp8` and `int8` 1, `fp4` and `int4` 0.5) x 1.2. " +
			"The 1.2 leaves room for a modest KV cache and the runtime. Long contexts, large batches and training need more (training some 16 bytes a parameter), " +
			"and a model spread over several GPUs less of each: state `gpu-memory` then, which takes the place of what the model says.",
		parse: parseModel,
	}}
}

// NeedsGPU is what is wrong with the annotations about GPUs of a pod that asks for none,
// nil if there are none: an *AnnotationError for each, in the order of the keys.
func NeedsGPU(pod *v1.Pod) error {
	var errs []error
	for _, a := range gpuAnnotations() {
		if value, found := pod.Annotations[a.Key]; found {
			errs = append(errs, &AnnotationError{a.Key, value,
				"want the pod to ask for a GPU as well, by a resource that is known for one, such as nvidia.com/gpu, or by a claim: it means nothing without"})
		}
	}
	return errors.Join(errs...)
}

func parseIsolation(value string, into *Intent) bool {
	levels, ok := gpus.ParsePreference(value)
	if ok {
		into.GPU.Isolation = levels
	}
	return ok
}

// What a pod may say it needs. Less than a MiB is a number without its unit:
// 18 means 18 bytes.
const (
	leastMemory = 1 << 20
	mostMemory  = 1 << 50
)

func parseMemory(value string, into *Intent) bool {
	// Quantities in full also know signs, exponents and fractions of a byte.
	// None makes sense here, and a large exponent would take forever to expand.
	const longest = 24
	if len(value) > longest || strings.Trim(value, "0123456789.kKMGTPi") != "" {
		return false
	}
	quantity, err := resource.ParseQuantity(value)
	if err != nil {
		return false
	}
	bytes := quantity.Value()
	if bytes < leastMemory || bytes > mostMemory {
		return false
	}
	into.GPU.MemoryBytes, into.GPU.MemoryFrom = bytes, GPUMemory
	return true
}

// halfBytes is what one parameter takes, in halves of a byte.
func halfBytes(dtype string) (int64, bool) {
	switch dtype {
	case "fp32", "tf32":
		return 8, true
	case "fp16", "bf16":
		return 4, true
	case "fp8", "int8":
		return 2, true
	case "fp4", "int4":
		return 1, true
	}
	return 0, false
}

// dtypes lists what halfBytes knows, as reasons print it.
func dtypes() []string {
	return []string{"fp32", "tf32", "fp16", "bf16", "fp8", "int8", "fp4", "int4"}
}

func parseModel(value string, into *Intent) bool {
	first, second, found := strings.Cut(value, ",")
	parameters, dtype := "", ""
	for _, part := range []string{first, second} {
		key, word, _ := strings.Cut(part, "=")
		switch {
		case key == "parameters" && parameters == "":
			parameters = word
		case key == "dtype" && dtype == "":
			dtype = word
		default:
			return false
		}
	}
	count, ok := parseParameters(parameters)
	halves, known := halfBytes(dtype)
	if !found || !ok || !known {
		return false
	}
	if into.GPU.MemoryFrom != GPUMemory {
		// count x halves/2 x 6/5, rounded up.
		into.GPU.MemoryBytes, into.GPU.MemoryFrom = (count*halves*3+4)/5, GPUModel
	}
	return true
}

// parseParameters reads a decimal number and K, M, B or T, at most 100T.
func parseParameters(value string) (int64, bool) {
	const most = 100e12
	if value == "" {
		return 0, false
	}
	unit, ok := map[byte]int64{'K': 1e3, 'M': 1e6, 'B': 1e9, 'T': 1e12}[value[len(value)-1]]
	whole, fraction, dotted := strings.Cut(value[:len(value)-1], ".")
	// 15 digits are more than any unit needs, and fit an int64 with room.
	if !ok || !digits(whole) || dotted && !digits(fraction) || len(whole)+len(fraction) > 15 || len(whole) > 1 && whole[0] == '0' {
		return 0, false
	}
	number, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil || number == 0 {
		return 0, false
	}
	for range len(fraction) {
		if unit == 1 {
			return 0, false // a fraction of a parameter
		}
		unit /= 10
	}
	if number > most/unit {
		return 0, false
	}
	return number * unit, true
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
