// Package store keeps small records: an embedded NATS server with JetStream,
// reached over a pipe inside the process, with no listener.
//
// It owns one directory, and is the only package that imports NATS. It knows
// keys, values and revisions, and nothing of what they mean.
//
// What a write acknowledges is on the disk: every message is synced before its
// answer (SyncAlways; the engine's default syncs every two minutes). What a
// write that failed did is unknown unless its error says otherwise, so callers
// read again, or learn it from a [Bucket.Watch].
//
// The engine has two habits that this package hides. A write that the file
// system refuses gets no answer at all, and the stream stays stuck until the
// engine is started again; and a full disk shuts it down. So writes are refused
// while less than a reserve is free ([ErrNoSpace]), and an engine that failed
// all the same is replaced by a new one over the same files, without a restart
// of the process: writes in flight fail, watches begin anew.
package store
