package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/alcove-run/alcove/store"
)

// What is not a function is an object on the shelf: one key, one record, in the
// view by its key. Objects do not refer to each other's records.

// object is what a record of the shelf is decoded to. One that is in the view is
// never changed.
type object interface {
	// codeBytes is what the object adds to the account's code storage, package
	// the digest of the package that it needs, or empty.
	codeBytes() int64
	pkg() string
}

// kinds decode the records of the shelf by the prefix of their keys.
var kinds = map[string]func([]byte) (object, error){
	signingPrefix:    decodeObject[SigningConfig],
	layerPrefix:      decodeObject[LayerVersion],
	layerCountPrefix: decodeObject[layerCount],
	egressPrefix:     decodeEgress,
	rolePrefix:       decodeObject[Role],
}

func decodeObject[T any, P interface {
	*T
	object
}](b []byte) (object, error) {
	o := P(new(T))
	return o, json.Unmarshal(b, o)
}

// kindOf gives the decoder for a key, or nil if it is none of the shelf's.
func kindOf(key string) func([]byte) (object, error) {
	for prefix, decode := range kinds {
		if strings.HasPrefix(key, prefix) {
			return decode
		}
	}
	return nil
}

// get gives the object of a key.
func get[P object](c *Catalog, key string) (P, bool) {
	o, ok := c.view.Load().shelf[key].value.(P)
	return o, ok
}

// all gives the objects whose keys begin with a prefix, by key.
func all[P object](c *Catalog, prefix string) (list []P) {
	shelf := c.view.Load().shelf
	for _, key := range slices.Sorted(maps.Keys(shelf)) {
		if strings.HasPrefix(key, prefix) {
			if o, ok := shelf[key].value.(P); ok {
				list = append(list, o)
			}
		}
	}
	return list
}

// editObject changes the object of a key by change, which gets it, or nil if it
// is not there, and gives another one, or nil to remove it. It may be called more
// than once. It returns once the view has what it wrote.
func editObject[T any, P interface {
	*T
	object
}](ctx context.Context, c *Catalog, key string, change func(now P) (P, error)) error {
	defer c.lock(key)()
	ctx, cancel := c.writing(ctx)
	defer cancel()
	for try := 0; ; try++ {
		now := c.view.Load().shelf[key]
		old, _ := now.value.(P)
		next, err := change(old)
		if err != nil || next == nil && old == nil {
			return err
		}
		revision, err := c.writeObject(ctx, key, next == nil, next, now.revision)
		if err == nil {
			err = c.waiting.wait(ctx, c, func() bool {
				s, ok := c.view.Load().shelf[key]
				if next == nil {
					return !ok || s.revision > now.revision
				}
				return ok && s.revision >= revision
			})
			if err != nil {
				return fault("reading "+key+" back", err)
			}
			return nil
		}
		if try == conflicts || !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrExists) {
			return fault("write of "+key, err)
		}
		err = c.waiting.wait(ctx, c, func() bool { return c.view.Load().shelf[key].revision != now.revision })
		if err != nil {
			return fault("write of "+key, err)
		}
	}
}

// writeObject writes or removes a key that is at a revision; 0 is not there.
func (c *Catalog) writeObject(ctx context.Context, key string, remove bool, value any, at uint64) (uint64, error) {
	if remove {
		defer c.deletions.Add(1)
		return 0, c.bucket.Delete(ctx, key, at)
	}
	b, err := json.Marshal(value)
	if err != nil {
		return 0, err
	}
	if at == 0 {
		return c.bucket.Create(ctx, key, b)
	}
	return c.bucket.Update(ctx, key, b, at)
}

// shelve takes the event of a key of the shelf; nil is that it is gone.
func (f *follower) shelve(e store.Entry, o object) {
	old, had := f.shelf[e.Key]
	switch {
	case o != nil && old.revision == e.Revision, o == nil && !had:
		return
	case o == nil:
		delete(f.shelf, e.Key)
	default:
		f.shelf[e.Key] = stored[object]{o, e.Revision}
	}
	select {
	case <-f.loaded:
	default:
		return
	}
	next := f.c.view.Load().clone()
	next.shelf = maps.Clone(f.shelf)
	if had {
		next.codeBytes -= old.value.codeBytes()
	}
	if o != nil {
		next.codeBytes += o.codeBytes()
	}
	f.publish(next)
	f.c.code.kick()
	f.c.egressChanged(e.Key)
}
