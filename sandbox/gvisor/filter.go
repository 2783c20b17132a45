package gvisor

import (
	"encoding/json"
	"fmt"
	_ "unsafe" // for go:linkname

	goferfilter "gvisor.dev/gvisor/runsc/fsgofer/filter"

	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	sentryfilter "gvisor.dev/gvisor/runsc/boot/filter"
)

// gVisor's sentry and gofer lock themselves into system call filters that they
// compile at every start, which takes the sentry some 15 ms. gVisor's own build
// compiles them ahead and registers them in the two maps below; built as a
// module it leaves the maps empty. So the program carries the compiled filters
// for the one configuration that it uses, and fills the maps itself.
//
// A filter is looked up by its configuration. One that is missing, because
// gVisor asks for another configuration or because there is no file for this
// processor, is compiled at start as before. A test holds the files to what
// gVisor's rules compile to; it rewrites them with -update.

//go:linkname sentryPrograms gvisor.dev/gvisor/runsc/boot/filter.precompiledPrograms
var sentryPrograms map[string]precompiledseccomp.Program

//go:linkname goferPrograms gvisor.dev/gvisor/runsc/fsgofer/filter.precompiledPrograms
var goferPrograms map[string]precompiledseccomp.Program

// registerFilters makes the compiled filters known to gVisor.
func registerFilters() error {
	if len(compiledFilters) == 0 {
		return nil
	}
	var f filters
	if err := json.Unmarshal(compiledFilters, &f); err != nil {
		return fmt.Errorf("compiled filters: %w", err)
	}
	// The first look-up makes the maps.
	sentryfilter.GetPrecompiled("")
	goferfilter.GetPrecompiled("")
	sentryPrograms[f.Sentry.Name] = f.Sentry
	goferPrograms[f.Gofer.Name] = f.Gofer
	return nil
}

// filters is the content of a file in the directory filter.
type filters struct {
	Sentry precompiledseccomp.Program
	Gofer  precompiledseccomp.Program
}
