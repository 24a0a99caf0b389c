// Package stack runs a whole control plane inside the calling process: etcd, kube-apiserver,
// the few controllers a scheduler leans on, fake nodes, and any number of schedulers.
//
//	           Stack.Start                              Stack.StartScheduler (0..n)
//	  ┌──────────┬──────────────┬───────────────┐              │
//	  ▼          ▼              ▼               ▼              ▼
//	etcd ◀── kube-apiserver ◀── controllers   fake nodes    scheduler
//	unix      https on a        claims, sets,  kwok: Ready,  your KubeSchedulerConfiguration,
//	socket    free loopback     deployments,   Running,      your plugins, upstream's loop
//	          port, RBAC on     jobs, gc       Succeeded
//
// It needs no binary, no container and no network beyond loopback, works as root and as an ordinary
// user, keeps every file in one temporary folder, and leaves nothing behind after Stop. Several stacks
// may run at once in one process. Integration tests, the demo and simulate share it, so what a story
// shows is what a real API server would have said.
//
// Feature gates are process-wide upstream. A stack copies them when it starts and never writes them:
// a --feature-gates flag given to one stack reaches that server's own copy only, and many upstream
// checks read the process-wide gates. A program that needs a gate everywhere sets it before Start.
package stack
