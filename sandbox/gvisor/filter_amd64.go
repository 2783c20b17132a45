package gvisor

import _ "embed"

// compiledFilters is a filters value in JSON.
//
//go:embed filter/amd64.json
var compiledFilters []byte
