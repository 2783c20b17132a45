// Package auth turns a request into an [alcove.Caller]. It owns the access keys
// of a node and everything about AWS Signature Version 4; nothing else in the
// program reads a credential.
//
// It reads and writes one file, the key file, at [Open], and holds nothing else
// open. It does not read request bodies: whoever does hands them in.
package auth
