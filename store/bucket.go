package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bucket is a set of keys with a value each. Keys are any non-empty text.
type Bucket struct {
	s    *Store
	name string
}

// Entry is a key, its value and the revision at which it got that value.
// Revisions grow with every write to a bucket, whatever its key.
type Entry struct {
	Key      string
	Value    []byte
	Revision uint64
}

// Bucket gives the bucket of that name; it is made with its first use. The name
// is letters, digits, '-' and '_'.
func (s *Store) Bucket(name string) *Bucket { return &Bucket{s: s, name: name} }

// Get reads a key, or answers ErrNotFound.
func (b *Bucket) Get(ctx context.Context, key string) (Entry, error) {
	token, err := encodeKey(key)
	if err != nil {
		return Entry{}, err
	}
	var e Entry
	err = b.do(ctx, func(ctx context.Context, kv jetstream.KeyValue) error {
		got, err := kv.Get(ctx, token)
		if err == nil {
			e = Entry{Key: key, Value: got.Value(), Revision: got.Revision()}
		}
		return err
	})
	return e, err
}

// Put writes a key whatever it was, and gives its new revision.
func (b *Bucket) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	return b.write(ctx, key, value, func(ctx context.Context, kv jetstream.KeyValue, token string) (uint64, error) {
		return kv.Put(ctx, token, value)
	})
}

// Create writes a key that is not there, or answers ErrExists.
func (b *Bucket) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	return b.write(ctx, key, value, func(ctx context.Context, kv jetstream.KeyValue, token string) (uint64, error) {
		return kv.Create(ctx, token, value)
	})
}

// Update writes a key that is at that revision, or answers ErrConflict.
func (b *Bucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return b.write(ctx, key, value, func(ctx context.Context, kv jetstream.KeyValue, token string) (uint64, error) {
		return kv.Update(ctx, token, value, revision)
	})
}

func (b *Bucket) write(ctx context.Context, key string, value []byte,
	put func(context.Context, jetstream.KeyValue, string) (uint64, error)) (uint64, error) {
	token, err := encodeKey(key)
	if err != nil {
		return 0, err
	}
	if len(value) > MaxValue {
		return 0, fmt.Errorf("%w: value of %d bytes", ErrTooLarge, len(value))
	}
	if err := b.s.room(len(value), b.s.cfg.Reserve); err != nil {
		return 0, err
	}
	var revision uint64
	err = b.do(ctx, func(ctx context.Context, kv jetstream.KeyValue) error {
		revision, err = put(ctx, kv, token)
		return err
	})
	return revision, err
}

// Delete removes a key that is at that revision, or answers ErrConflict; with
// revision 0 it removes it whatever it is. A key that is not there is removed
// already.
func (b *Bucket) Delete(ctx context.Context, key string, revision uint64) error {
	token, err := encodeKey(key)
	if err != nil {
		return err
	}
	if err := b.s.room(0, b.s.cfg.Reserve/4); err != nil {
		return err
	}
	var opts []jetstream.KVDeleteOpt
	if revision != 0 {
		opts = append(opts, jetstream.LastRevision(revision))
	}
	return b.do(ctx, func(ctx context.Context, kv jetstream.KeyValue) error {
		return kv.Delete(ctx, token, opts...)
	})
}

// List gives every key with its value, in no order.
func (b *Bucket) List(ctx context.Context) ([]Entry, error) {
	var list []Entry
	err := b.do(ctx, func(ctx context.Context, kv jetstream.KeyValue) error {
		list = nil
		return b.replay(ctx, kv, func(e jetstream.KeyValueEntry) {
			if key, err := decodeKey(e.Key()); err == nil && e.Operation() == jetstream.KeyValuePut {
				list = append(list, Entry{Key: key, Value: e.Value(), Revision: e.Revision()})
			}
		})
	})
	return list, err
}

// Compact forgets deletions that are older than age; until then each keeps some
// hundred bytes on the disk and delays the next opening a little.
func (b *Bucket) Compact(ctx context.Context, age time.Duration) error {
	return b.do(ctx, func(ctx context.Context, kv jetstream.KeyValue) error {
		limit := time.Now().Add(-age)
		var old []jetstream.KeyValueEntry
		err := b.replay(ctx, kv, func(e jetstream.KeyValueEntry) {
			if e.Operation() != jetstream.KeyValuePut && e.Created().Before(limit) {
				old = append(old, e)
			}
		})
		if err != nil || len(old) == 0 {
			return err
		}
		eng, err := b.s.engine(ctx)
		if err != nil {
			return err
		}
		stream, err := eng.js.Stream(ctx, "KV_"+b.name)
		if err != nil {
			return err
		}
		for _, e := range old {
			// Up to the deletion and no further: the key may be there again.
			err := stream.Purge(ctx, jetstream.WithPurgeSubject("$KV."+b.name+"."+e.Key()),
				jetstream.WithPurgeSequence(e.Revision()+1))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// replay calls fn for the last entry of every key, deletions included.
func (b *Bucket) replay(ctx context.Context, kv jetstream.KeyValue, fn func(jetstream.KeyValueEntry)) error {
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return ErrUnavailable
			}
			if e == nil {
				return nil
			}
			fn(e)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// do runs one request on the engine that works now.
func (b *Bucket) do(ctx context.Context, fn func(context.Context, jetstream.KeyValue) error) error {
	eng, err := b.s.engine(ctx)
	if err != nil {
		return err
	}
	opCtx, done := eng.during(ctx)
	defer done()
	kv, err := eng.bucket(opCtx, b.name)
	if err == nil {
		err = fn(opCtx, kv)
	}
	return eng.explain(opCtx, b.name, err)
}

// explain puts an error of NATS in the words of this package, and takes those
// that say the engine has failed as such.
func (e *engine) explain(ctx context.Context, bucket string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrKeyDeleted):
		return ErrNotFound
	case errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return ErrConflict
	case errors.Is(err, jetstream.ErrKeyExists):
		return ErrExists
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrNoStreamResponse):
		e.fail(err)
	case context.Cause(ctx) == errNoAnswer:
		e.fail(errNoAnswer)
	}
	if e.ctx.Err() != nil {
		return fmt.Errorf("%w: bucket %s: %w", ErrUnavailable, bucket, context.Cause(e.ctx))
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("store: bucket %s: %w", bucket, err)
}
