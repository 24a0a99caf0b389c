// Package images remembers for which platforms images are built, and where
// they were seen to run. It answers from memory, so that it can be asked under
// the lock of the scheduling queue; registries are asked in the background.
//
// # States
//
//	             Want                    decided
//	(never seen) ─────▶ Waiting ─────────────────────────▶ Known
//	                     │    │                            │   ▲
//	             decided │    │ deadline   decided late    │   │ renewed
//	             against ▼    ▼         ┌─────────────────▶│   │
//	                     Unknown ───────┘          TagTTL, ▼   │ grace: Known;
//	                        ▲                      grace   expired, then Waiting,
//	                        └───────────────────────────────── or with trouble
//	                              decided against              Known and Stale
//
// A decision is a manifest, or a problem that somebody has to correct: no such
// image, no access. Anything else is trouble and passes. Both are asked again by
// themselves, as are pull secrets that did not help: after trouble in seconds,
// after a problem in minutes, with growing pauses, for as long as somebody wanted
// the image within 10 minutes. Once an image is Known, only that it is gone, or
// that the credential is revoked, is a decision against it; the rest is trouble.
// Who waits does so until the deadline, counted from the first Want that was not
// answered, and nobody waits again: what is Unknown stays so until it is Known.
//
// What a digest stands for in a registry never changes, so manifests are kept as
// long as there is memory. What a tag stands for is believed for TagTTL. For 30
// seconds more the old answer counts while a Want has it renewed, and for as long
// as the renewal takes, though Stale once that is longer than the deadline: two
// looks at the same pod, some moments apart, agree. If nobody asked in that time,
// the next Want waits for the news; if there is none by the deadline, or only
// trouble, the old answer is given, marked Stale.
//
// # Turns
//
// Each registry has its line, so that one that hangs does not hold up others: at
// most PerRegistry questions at once, and 1 until its first answer. One that cannot be
// reached is suspect until it answers: 1 question at a time, with pauses of 1 s
// doubling to 30 s, during which its line holds no worker. Those that are suspect
// or have not answered yet have three quarters of the workers at most. To be in
// line is no trouble and costs no pause; the deadline is the same.
//
// # Whom an answer is for
//
//	image ── public inquiry (no credential) ───── serves everybody
//	   │
//	   └──── view of (namespace, pull secrets) ─┬─ inquiry with credential 1
//	         only if the public one failed      └─ inquiry with credential 2 ...
//
// An inquiry is made once, however many want its answer. What needed a
// credential is answered only to who holds an equal one, in whatever namespace;
// holders are told apart by a keyed hash of the credential. Knowing a digest
// opens nothing: only a successful inquiry does. Whatever the public one failed
// of, credentials are tried: registries hide private images as not found, and
// a login may have a better rate. If none helps, the public problem is told.
//
// # What was observed
//
// A container that became ready proves its platform; one that could not be
// executed, or not even pulled, disproves it, for an hour, and only as long as
// nothing proves the contrary. This counts for the same digest in the same
// namespace: of a pull that failed, the digest which the registry says the image
// has. Where it did not say, it counts for the image string, up to TagTTL.
//
// # Bounds
//
// All that is remembered is weighed, and forgotten in the order of last use.
// What is waited for stays, and takes half of the room at most; beyond that,
// new images are Unknown at once.
package images
