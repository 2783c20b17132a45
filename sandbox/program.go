package sandbox

import "syscall"

// ProgramError is in the chain of Create's error if all is well but the program:
// it cannot be executed, or its directory not be entered. Drivers that learn that
// too late for Create have the sandbox end with exit code 125 instead.
type ProgramError struct {
	Path string // the program or the directory
	Dir  bool   // which of them
	Err  syscall.Errno
}

// Error implements error.
func (e *ProgramError) Error() string {
	if e.Dir {
		return "chdir " + e.Path + ": " + e.Err.Error()
	}
	return "fork/exec " + e.Path + ": " + e.Err.Error()
}

// Unwrap gives the system's error.
func (e *ProgramError) Unwrap() error { return e.Err }
