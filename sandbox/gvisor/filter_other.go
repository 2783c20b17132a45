//go:build !amd64

package gvisor

// compiledFilters is empty where nobody has compiled any yet.
var compiledFilters []byte
