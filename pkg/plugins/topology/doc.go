// Package topology will be the plugin that keeps gangs in one domain and spreads replicas over zones.
//
// In this version it is registered and says Skip for every pod, so that
// profiles can already name it. It takes no arguments and gives no reasons.
package topology
