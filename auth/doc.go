// Package auth turns a request into an [alcove.Caller] and says what the caller
// may do. It owns the access keys of a node with their policies, and everything
// about AWS Signature Version 4; nothing else in the program reads a credential.
//
// It reads and writes one file, the root key's, at [Open], and one bucket of the
// store, where the other keys are, which it follows so that a key that was removed
// is nobody's at once. It does not read request bodies: whoever does hands them in.
//
// The root key may do everything and is compared with no policy. What another may
// do is decided by its policy (package policy), and for invocations by the
// function's as well; every call that is authorised is recorded before it has an
// effect.
package auth
