package runtimes

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox"
)

// reserved are the keys that a function's configuration may not set (developer
// guide, "Working with Lambda environment variables").
var reserved = map[string]bool{
	"_HANDLER":                        true,
	"_X_AMZN_TRACE_ID":                true,
	"_LAMBDA_TELEMETRY_LOG_FD":        true,
	"AWS_ACCESS_KEY":                  true,
	"AWS_ACCESS_KEY_ID":               true,
	"AWS_DEFAULT_REGION":              true,
	"AWS_EXECUTION_ENV":               true,
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": true,
	"AWS_LAMBDA_FUNCTION_NAME":        true,
	"AWS_LAMBDA_FUNCTION_VERSION":     true,
	"AWS_LAMBDA_INITIALIZATION_TYPE":  true,
	"AWS_LAMBDA_LOG_FORMAT":           true,
	"AWS_LAMBDA_LOG_GROUP_NAME":       true,
	"AWS_LAMBDA_LOG_LEVEL":            true,
	"AWS_LAMBDA_LOG_STREAM_NAME":      true,
	"AWS_LAMBDA_MAX_CONCURRENCY":      true,
	"AWS_LAMBDA_RUNTIME_API":          true,
	"AWS_REGION":                      true,
	"AWS_SECRET_ACCESS_KEY":           true,
	"AWS_SECRET_KEY":                  true,
	"AWS_SESSION_TOKEN":               true,
	"LAMBDA_RUNTIME_DIR":              true,
	"LAMBDA_TASK_ROOT":                true,
}

// Reserved tells whether a function's configuration may not set a key.
func Reserved(key string) bool { return reserved[key] }

// Environ is the environment of the first process of a sandbox that runs v,
// sorted: AWS's variables, and the function's own, which may replace those that
// are not reserved (PATH, LD_LIBRARY_PATH, TZ, …). stream is the environment's
// log stream. The bootstraps add _X_AMZN_TRACE_ID while an invocation runs.
//
// There are no credentials in it: they are each environment's own.
func Environ(v *alcove.Version, r Runtime, place alcove.Place, stream string) []string {
	c := v.Config
	env := standard(r, place)
	for key, value := range c.Environment {
		// Keys of the platform's own kind were refused when the function was
		// configured; this is for versions older than the rule.
		if !reserved[key] && !strings.HasPrefix(key, "_") {
			env[key] = value
		}
	}

	env["_HANDLER"] = c.Handler
	if r.Family != Provided {
		env["AWS_EXECUTION_ENV"] = "AWS_Lambda_" + r.Name
	}
	identify(env, v, stream)
	return list(env)
}

// contextMissing is what X-Ray SDKs do without a trace.
const contextMissing = "AWS_XRAY_CONTEXT_MISSING"

// standard are the variables that have nothing of a function's, but for the name
// of its runtime.
func standard(r Runtime, place alcove.Place) map[string]string {
	env := map[string]string{
		// What a function may replace.
		"LANG":            "en_US.UTF-8",
		"TZ":              ":UTC",
		"PATH":            "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"LD_LIBRARY_PATH": libraryPath(),
		contextMissing:    "LOG_ERROR",
		// What it may not.
		"LAMBDA_TASK_ROOT":       TaskDir,
		"LAMBDA_RUNTIME_DIR":     RuntimeDir,
		"AWS_LAMBDA_RUNTIME_API": sandbox.RuntimeAPIAddr,
		initializationType:       "on-demand",
		"AWS_REGION":             place.Region,
		"AWS_DEFAULT_REGION":     place.Region,
	}
	switch r.Family {
	case Python:
		env["PYTHONPATH"] = RuntimeDir
		env["PWD"] = TaskDir
	case NodeJS:
		env["NODE_PATH"] = fmt.Sprintf("/opt/nodejs/node%d/node_modules:/opt/nodejs/node_modules:"+
			"/var/runtime/node_modules:/var/runtime:/var/task", nodeMajor(r.Name))
		env["PWD"] = TaskDir
	}
	return env
}

// list is env as execve takes it, sorted.
func list(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for _, key := range slices.Sorted(maps.Keys(env)) {
		out = append(out, key+"="+env[key])
	}
	return out
}

// libraryPath is AWS's LD_LIBRARY_PATH with the system's own directories where
// AWS has them, in front: a library in the function's package must not replace
// one that the interpreter needs.
func libraryPath() string {
	system := "/lib64:/usr/lib64"
	switch runtime.GOARCH {
	case "amd64":
		system = "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:" + system
	case "arm64":
		system = "/lib/aarch64-linux-gnu:/usr/lib/aarch64-linux-gnu:" + system
	}
	return system + ":/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
}

func isDir(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.IsDir()
}

// initializationType is the variable that says why an environment was made.
const initializationType = "AWS_LAMBDA_INITIALIZATION_TYPE"

// Provisioned is the variables of an environment that is made for provisioned
// concurrency rather than for a call.
func Provisioned(env []string) []string {
	out := slices.Clone(env)
	for i, variable := range out {
		if strings.HasPrefix(variable, initializationType+"=") {
			out[i] = initializationType + "=provisioned-concurrency"
		}
	}
	return out
}
