package stack

import (
	"flag"
	"io"

	"google.golang.org/grpc/grpclog"
	"k8s.io/klog/v2"
)

// Quiet silences the logs of everything a stack is made of, for the whole process and for good. Only a
// message that ends the process still reaches standard error. It is for the main function of a command or
// a test binary, called before anything else: neither klog nor grpc can be switched while in use.
//
// One voice cannot be quieted from here: the API server's etcd client makes its logger when the process
// starts. It speaks up only about requests that a stop has cut off, and not at all where the environment
// says ETCD_CLIENT_DEBUG=fatal.
func Quiet() {
	// grpc is etcd's and its client's.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))

	flags := flag.NewFlagSet("klog", flag.PanicOnError) // the values below are ours
	klog.InitFlags(flags)
	for name, value := range map[string]string{
		"logtostderr":     "false",
		"alsologtostderr": "false",
		"stderrthreshold": "FATAL",
		"v":               "0",
	} {
		if err := flags.Set(name, value); err != nil {
			panic(err)
		}
	}
	klog.SetOutput(io.Discard)
}
