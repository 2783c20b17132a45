// Package spool keeps records on disk that must not be lost once they are
// acknowledged: an append-only log in segments, synced by group commit. It knows
// bytes and places, not what they mean.
//
// What it promises: a record for which [Spool.Sync] returned nil is read back by
// every later [Open], whatever ended the process or the machine; a record that
// was only appended survives the process. Records come back in the order in which
// they were appended. Many who wait for a sync at once share one.
//
// A segment is deleted when nothing in it is held and every older one is gone, so
// that a record which takes an older one back is never gone before it.
//
// It touches files below its directory, through [FS], and nothing else.
package spool
