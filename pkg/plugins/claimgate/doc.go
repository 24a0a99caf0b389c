// Package claimgate keeps pods out of the queue until their ResourceClaims exist,
// and lets each in by itself.
//
// DynamicResources does the same, but has the queue wake the pods: every change of
// every claim asks about every pod that waits. With 2,500 pods that wait for claims
// made of a template, that took a quarter of all processor time (docs/design/0005).
// The queue passes over pods that are held by a plugin which has not registered the
// event, and this one registers none of claims:
//
//	pod            created            named in status            gets in
//	                  │ held              │ claim there? ── yes ────▶
//	claim          ───┴─── created ───────┴──── no: created ────────▶
//
// When a claim is new, or has another owner, the pods held for it are activated.
//
// It sees the pod's claims and its status, and the claims that the scheduler knows.
// Reasons: ClaimUnmade, ClaimMissing, ClaimUnusable of pkg/verdict.
//
// A profile without it loses nothing but time: GPUSlice, as DynamicResources, holds
// such pods itself.
package claimgate
