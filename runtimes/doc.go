// Package runtimes knows what a runtime name of Lambda's stands for on this
// machine: which interpreter runs it, what has to be in the sandbox's root tree
// for that, which command starts it, and which environment variables a function
// finds. The bootstraps under python/ and nodejs/, our own, are embedded here;
// they speak the Runtime API and behave as AWS's do.
//
// It reads /usr/bin and runs the interpreters that it finds there, outside any
// sandbox, to ask for their version. It never runs anything of a function's, and
// looks into no other place: no /usr/local, no version manager's shims.
package runtimes
