package runtimes

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alcove-run/alcove"
)

// blankVariable is what tells a bootstrap that it is started before its function
// is known. It is in the environment rather than among the arguments, where the
// function would see it for ever.
const blankVariable = "_ALCOVE_BLANK"

// BlankEnviron is the environment of a process that is started before its
// function is known: those of AWS's variables that are the same for all. It is
// told the rest, as Environ has it, and replaces everything by that; only
// /proc/self/environ goes on showing what it was started with.
func BlankEnviron(r Runtime, place alcove.Place) []string {
	env := standard(r, place)
	env[blankVariable] = "1"
	delete(env, "NODE_PATH") // goes by the runtime's name
	return list(env)
}

// startTime are the variables that a program reads when it starts, or before our
// code runs, so that they cannot be given to it later: those of the loader and
// the C library, and each interpreter's. A name that ends in * is a prefix.
var startTime = map[Family][]string{
	// The locale decides on encodings; the rest of what the interpreter reads
	// begins with its name.
	Python: {"PYTHON*", "LANG", "LANGUAGE", "LC_*"},
	// OpenSSL is set up at the start, and ICU asks for the locale once.
	NodeJS: {"NODE_*", "OPENSSL_*", "UV_*", "LANG", "LANGUAGE", "LC_*"},
}

var startTimeOfAll = []string{"AWS_LAMBDA_EXEC_WRAPPER", "LD_*", "GLIBC_*", "MALLOC_*"}

// notStartTime are exceptions: what libraries look at when they are used.
var notStartTime = []string{"NODE_ENV"}

// OwnStart tells in a few words why v's process has to be started for v, or is
// empty if one that was started before v was known can become v's.
func (r Runtime) OwnStart(v *alcove.Version) string {
	switch r.Family {
	case Provided:
		return "custom runtime"
	case Container:
		return "container image"
	}
	patterns := append(slices.Clone(startTimeOfAll), startTime[r.Family]...)
	for _, key := range slices.Sorted(maps.Keys(v.Config.Environment)) {
		if slices.Contains(notStartTime, key) {
			continue
		}
		for _, p := range patterns {
			prefix, any := strings.CutSuffix(p, "*")
			if key == p || any && strings.HasPrefix(key, prefix) {
				return fmt.Sprintf("start-time variable %s", key)
			}
		}
	}
	return ""
}
