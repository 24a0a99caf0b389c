package inventory

import "plimsoll.dev/scheduler/pkg/gpus"

// Publish counts what a DRA driver publishes of a node's GPUs, in the place of
// what it published before; nothing if it is gone. It is apart from what the
// node's labels tell: a node has either.
func (g *GPUs) Publish(node string, hardware []gpus.Hardware) {
	if node != "" {
		g.count("published/"+node, hardware) // no node's name has a slash
	}
}
