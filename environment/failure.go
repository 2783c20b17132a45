package environment

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox"
)

// platformKind marks failures that are not the function's: the caller gets a
// ServiceException instead of a function error.
const platformKind = "Sandbox.Failure"

const timeoutKind = "Sandbox.Timedout"

func platformFailure() *failure { return &failure{kind: platformKind} }

// exitFailure is Lambda's account of a runtime that ended by itself.
func exitFailure(x sandbox.Exit) *failure {
	f := &failure{kind: "Runtime.ExitError", oom: x.OOM}
	switch {
	case x.Err != nil && !x.OOM:
		return platformFailure()
	case x.OOM:
		f.message = "Runtime exited with error: signal: killed"
	case x.Signal != 0:
		f.message = "Runtime exited with error: signal: " + x.Signal.String()
	case x.Code != 0:
		f.message = "Runtime exited with error: exit status " + strconv.Itoa(x.Code)
	default:
		f.message = "Runtime exited without providing a reason"
	}
	return f
}

// invalid is Lambda's account of what is known not to start, or nil.
func (c *Config) invalid() *failure {
	switch {
	case c.InvalidWorkingDir != "":
		return &failure{kind: "Runtime.InvalidWorkingDir", message: c.InvalidWorkingDir}
	case c.InvalidEntrypoint != "":
		return &failure{kind: "Runtime.InvalidEntrypoint", message: c.InvalidEntrypoint}
	}
	return nil
}

// programFailure is Lambda's account of a program that cannot be started.
func programFailure(p *sandbox.ProgramError) *failure {
	if p.Dir {
		return &failure{kind: "Runtime.InvalidWorkingDir", message: p.Error()}
	}
	return &failure{kind: "Runtime.InvalidEntrypoint", message: p.Error()}
}

// timeoutFailure is Lambda's account of an invocation that took too long.
func timeoutFailure(inv *alcove.Invocation) *failure {
	return &failure{kind: timeoutKind, message: timeoutMessage(inv)}
}

func timeoutMessage(inv *alcove.Invocation) string {
	return fmt.Sprintf("Task timed out after %.2f seconds", (time.Duration(inv.Version.Config.Timeout) * time.Second).Seconds())
}

// bodyFor is the object that inv's caller is answered with.
func (f *failure) bodyFor(inv *alcove.Invocation) []byte {
	if len(f.body) == 0 {
		message := f.message
		if !f.bare && f.message != "" {
			message = "RequestId: " + inv.RequestID + " Error: " + f.message
		}
		// Two strings: it cannot fail.
		f.body, _ = json.Marshal(struct {
			Type    string `json:"errorType"`
			Message string `json:"errorMessage"`
		}{f.kind, message})
	}
	return f.body
}

// status is the failure in platform.report's words.
func (f *failure) status() alcove.Status {
	switch f.kind {
	case timeoutKind:
		return alcove.StatusTimeout
	case platformKind:
		return alcove.StatusFailure
	}
	return alcove.StatusError
}

// reportType is the error type that the report names. Out of memory is told
// apart there, though the caller is answered with a plain exit.
func (f *failure) reportType() string {
	if f.oom {
		return "Runtime.OutOfMemory"
	}
	return f.kind
}
