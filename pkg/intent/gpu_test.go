package intent

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"plimsoll.dev/scheduler/pkg/gpus"
)

const gib = 1 << 30

func memory(bytes int64) GPU { return GPU{MemoryBytes: bytes, MemoryFrom: GPUMemory} }
func model(bytes int64) GPU  { return GPU{MemoryBytes: bytes, MemoryFrom: GPUModel} }
func order(levels ...gpus.Isolation) GPU {
	return GPU{Isolation: levels}
}

func TestWhatAPodMayAskOfItsGPUs(t *testing.T) {
	for name, tc := range map[string]struct {
		key, value string
		want       GPU
	}{
		"memory in binary units":              {GPUMemory, "18Gi", memory(18 * gib)},
		"memory in decimal units":             {GPUMemory, "20G", memory(20e9)},
		"memory with a fraction":              {GPUMemory, "1.5Gi", memory(3 * gib / 2)},
		"memory in plain bytes":               {GPUMemory, "19327352832", memory(18 * gib)},
		"the least memory":                    {GPUMemory, "1Mi", memory(1 << 20)},
		"the most memory":                     {GPUMemory, "1Pi", memory(1 << 50)},
		"a 7B model in bf16":                  {GPUModel, "parameters=7B,dtype=bf16", model(16_800_000_000)},
		"the other way round":                 {GPUModel, "dtype=bf16,parameters=7B", model(16_800_000_000)},
		"fp32 is four bytes":                  {GPUModel, "parameters=1B,dtype=fp32", model(4_800_000_000)},
		"tf32 is stored as four bytes":        {GPUModel, "parameters=1B,dtype=tf32", model(4_800_000_000)},
		"fp16 is two bytes":                   {GPUModel, "parameters=1B,dtype=fp16", model(2_400_000_000)},
		"fp8 is one byte":                     {GPUModel, "parameters=1B,dtype=fp8", model(1_200_000_000)},
		"int8 is one byte":                    {GPUModel, "parameters=1B,dtype=int8", model(1_200_000_000)},
		"fp4 is half a byte":                  {GPUModel, "parameters=1B,dtype=fp4", model(600_000_000)},
		"int4 is half a byte":                 {GPUModel, "parameters=70B,dtype=int4", model(42_000_000_000)},
		"half a billion":                      {GPUModel, "parameters=0.5B,dtype=int8", model(600_000_000)},
		"millions":                            {GPUModel, "parameters=350M,dtype=fp16", model(840_000_000)},
		"a single thousand, rounded up":       {GPUModel, "parameters=0.001K,dtype=int4", model(1)},
		"the largest model":                   {GPUModel, "parameters=100T,dtype=fp32", model(480e12)},
		"a floor":                             {GPUIsolation, "mps", order(gpus.MPS)},
		"a preference with a floor":           {GPUIsolation, "mig>mps", order(gpus.MIG, gpus.MPS)},
		"every level":                         {GPUIsolation, "exclusive>mig>mps>time-slicing", order(gpus.Exclusive, gpus.MIG, gpus.MPS, gpus.TimeSlicing)},
		"a preference that leaves levels out": {GPUIsolation, "exclusive>time-slicing", order(gpus.Exclusive, gpus.TimeSlicing)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(annotated(tc.key, tc.value))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(Intent{GPU: tc.want}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWhatAPodMayNotAskOfItsGPUs(t *testing.T) {
	for key, values := range map[string][]string{
		GPUMemory: {
			"", "lots", "0", "0Gi", "-18Gi", "+18Gi", " 18Gi", "18Gi ", "18 Gi", "18gi", "18GB", "18GiB", "Gi", ".", "1.2.3Gi",
			"18", "1048575", "18000m", "1e10", "1e999999999", "1E9", "1.0000001Pi", "1125899906842625", "8Ei", "1Ei",
			"9223372036854775808", "99999999999999999999Gi", strings.Repeat("9", 100_000), "18Gi,18Gi", "18Gi18Gi", "0x10Gi", "१८Gi",
		},
		GPUModel: {
			"", "7B", "parameters=7B", "dtype=bf16", "parameters=7B,", ",dtype=bf16", "parameters=,dtype=bf16", "parameters=7B,dtype=",
			"parameters=-7B,dtype=bf16", "parameters=-7B", "parameters=+7B,dtype=bf16", "parameters=0B,dtype=bf16", "parameters=0.0B,dtype=bf16",
			"parameters=7,dtype=bf16", "parameters=B,dtype=bf16", "parameters=7b,dtype=bf16", "parameters=7G,dtype=bf16", "parameters=7BB,dtype=bf16",
			"parameters=.5B,dtype=bf16", "parameters=5.B,dtype=bf16", "parameters=07B,dtype=bf16", "parameters=1.2.3B,dtype=bf16",
			"parameters=0.0001K,dtype=bf16", "parameters=101T,dtype=int4", "parameters=100.1T,dtype=int4", "parameters=99999999999999999T,dtype=bf16",
			"parameters=7B,dtype=float16", "parameters=7B,dtype=BF16", "parameters=7B,dtype=fp64", "parameters=7B,dtype=bf16=", "parameters=7B=,dtype=bf16",
			"parameters=7B,parameters=7B", "parameters=7B,dtype=bf16,dtype=bf16", "parameters=7B,dtype=bf16,parameters=8B", "parameters=7B,dtype=bf16,", "dtype=bf16,dtype=bf16",
			"parameters=7B,dtype=bf16,context=8k", "params=7B,dtype=bf16", "parameters=7B;dtype=bf16", "parameters=7B dtype=bf16",
			" parameters=7B,dtype=bf16", "parameters=7B, dtype=bf16", "parameters= 7B,dtype=bf16", "parameters=7B,dtype=bf16 ", "parameters=7B,dtype=bf16\n",
		},
		GPUIsolation: {
			"", ">", "mig>", ">mig", "mig>>mps", "mig>mig", "mps>mig", "time-slicing>exclusive", "mig>mps>exclusive",
			"MIG", "none", "timeslicing", "shared", "mig > mps", " mig", "mig\n", "mig,mps", "mig<mps", "mig>lots",
			"exclusive>mig>mps>time-slicing>mps", strings.Repeat("mig>", 100_000) + "mig",
		},
	} {
		for _, value := range values {
			got, err := Parse(annotated(key, value))
			var wrong *AnnotationError
			if !errors.As(err, &wrong) || wrong.Key != key || wrong.Value != value || !strings.HasPrefix(wrong.Want, "want ") {
				t.Errorf("%s=%.40q: error %v does not name both and what is right", key, value, err)
			}
			if diff := cmp.Diff(Intent{}, got); diff != "" {
				t.Errorf("%s=%.40q is refused but leaves something behind (-want +got)\n%s", key, value, diff)
			}
		}
	}
}

func TestAStatedAmountTakesThePlaceOfTheModels(t *testing.T) {
	got, err := Parse(annotated(GPUModel, "parameters=70B,dtype=bf16", GPUMemory, "48Gi", GPUIsolation, "exclusive"))
	if err != nil {
		t.Fatal(err)
	}
	want := GPU{MemoryBytes: 48 * gib, MemoryFrom: GPUMemory, Isolation: []gpus.Isolation{gpus.Exclusive}}
	if diff := cmp.Diff(want, got.GPU); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, err := Parse(annotated(GPUModel, "7B", GPUMemory, "48Gi")); err == nil {
		t.Error("a model that is overridden is still checked, want an error")
	}
}

// The order of the keys must not matter, whatever it is.
func TestAModelNeverOverwritesAnAmount(t *testing.T) {
	into := Intent{GPU: memory(gib)}
	if !parseModel("parameters=70B,dtype=bf16", &into) || into.GPU.MemoryBytes != gib {
		t.Errorf("got %+v, want 1Gi to stay", into.GPU)
	}
}

func TestEveryTypeThatIsNamedIsKnown(t *testing.T) {
	for _, dtype := range dtypes() {
		if _, err := Parse(annotated(GPUModel, "parameters=1B,dtype="+dtype)); err != nil {
			t.Error(err)
		}
	}
}

func TestWrongLevelsAreToldTheRightOnes(t *testing.T) {
	_, err := Parse(annotated(GPUIsolation, "mps>mig"))
	want := `annotation plimsoll.dev/gpu-isolation: "mps>mig" is not valid: want levels from strongest to weakest, ` +
		`each at most once, of exclusive>mig>mps>time-slicing; nothing weaker than the last is accepted`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func FuzzGPUMemory(f *testing.F) {
	for _, seed := range []string{"18Gi", "1.5Gi", "20G", "lots", "-1", "1e999999999", "0.000001Pi", "1125899906842624"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, err := Parse(annotated(GPUMemory, value))
		if err == nil && (got.GPU.MemoryBytes < 1<<20 || got.GPU.MemoryBytes > 1<<50 || got.GPU.MemoryFrom != GPUMemory) {
			t.Errorf("%q is accepted as %+v", value, got.GPU)
		}
	})
}

func FuzzGPUModel(f *testing.F) {
	for _, seed := range []string{"parameters=7B,dtype=bf16", "dtype=int4,parameters=0.5B", "parameters=-7B", "parameters=7B,dtype=bf16,dtype=bf16"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, err := Parse(annotated(GPUModel, value))
		if err == nil && (got.GPU.MemoryBytes < 1 || got.GPU.MemoryBytes > 480e12 || got.GPU.MemoryFrom != GPUModel) {
			t.Errorf("%q is accepted as %+v", value, got.GPU)
		}
	})
}

func FuzzGPUIsolation(f *testing.F) {
	for _, seed := range []string{"mig>mps", "exclusive", "mps>mig", "mig>mig", "mig > mps", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, err := Parse(annotated(GPUIsolation, value))
		if err != nil {
			return
		}
		var words []string
		for _, level := range got.GPU.Isolation {
			words = append(words, fmt.Sprint(level))
		}
		if strings.Join(words, ">") != value {
			t.Errorf("%q is accepted as %v", value, words)
		}
	})
}

// TestAnnotationsAboutGPUsNeedOne: the pod is told of each that it carries.
func TestAnnotationsAboutGPUsNeedOne(t *testing.T) {
	pod := &v1.Pod{}
	if err := NeedsGPU(pod); err != nil {
		t.Errorf("a pod without annotations: %v", err)
	}
	pod.Annotations = map[string]string{GPUMemory: "18Gi", TargetUtilization: "80", GPUIsolation: "mig"}
	var wrong *AnnotationError
	err := NeedsGPU(pod)
	if !errors.As(err, &wrong) || wrong.Key != GPUIsolation || !strings.Contains(err.Error(), GPUMemory+`: "18Gi"`) || strings.Contains(err.Error(), TargetUtilization) {
		t.Errorf("got %v, want an error about %s and %s", err, GPUIsolation, GPUMemory)
	}
}
