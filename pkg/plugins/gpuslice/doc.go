// Package gpuslice will be the plugin that places MIG slices, shared and whole GPUs best-fit.
//
// In this version it is registered and says Skip for every pod, so that
// profiles can already name it. It takes no arguments and gives no reasons.
package gpuslice
