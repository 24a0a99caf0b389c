// Package podgroups knows how many pods a group has: what an annotation, a native
// PodGroup or one of scheduler-plugins says, or what the pods' owner asks for.
// Everything is answered from memory.
//
// Watches are not in step: a pod may be seen before its owner. As long as the owner
// would say the size, its pods wait for it, 30 seconds at most: one that has left its
// pods behind never comes.
//
// # PodGroups of scheduler-plugins
//
// Their CRD may not be installed, may come later, and may go. Discovery asks for
// it again and again:
//
//	unknown ──▶ absent ◀──▶ served, being read ──▶ served, read
//
// While the CRD is absent, a pod's PodGroup label is only a name that pods share,
// and the owner's replicas are the size. While it is unknown or being read, groups
// wait. That must not last for ever if the fault is ours, such as missing RBAC: the
// owner decides once the PodGroups could not be read for 30 seconds, until they can.
// What was read once stays known while the API server does not answer.
package podgroups
