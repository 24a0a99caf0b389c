// Package archaware will be the plugin that keeps pods off nodes whose CPU architecture their images lack.
//
// In this version it is registered and says Skip for every pod, so that
// profiles can already name it. It takes no arguments and gives no reasons.
package archaware
