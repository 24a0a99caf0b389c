// Package integration runs the scheduler against a real kube-apiserver and etcd,
// all in this process, with fake nodes.
package integration

import (
	"testing"

	"plimsoll.dev/scheduler/internal/stack"
)

func TestMain(m *testing.M) {
	stack.Quiet()
	m.Run()
}
