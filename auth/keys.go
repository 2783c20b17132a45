package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth/policy"
	"github.com/alcove-run/alcove/store"

	"github.com/alcove-run/alcove/internal/lazyregexp"
)

// Codes of errors about access keys (IAM API reference).
const (
	CodeNoSuchEntity    = "NoSuchEntity"            // 404
	CodeEntityExists    = "EntityAlreadyExists"     // 409
	CodeMalformedPolicy = "MalformedPolicyDocument" // 400
	CodeLimitExceeded   = "LimitExceeded"           // 409
)

// KeysBucket is the name of the store's bucket that keys are in.
const KeysBucket = "keys"

// MaxKeys bounds the access keys of a node.
const MaxKeys = 5000

// AccessKey is an access key that was made, without its secret. The name is the
// user's in ARNs: there is one key to a user.
type AccessKey struct {
	Name        string    `json:"name"`
	AccessKeyID string    `json:"accessKeyId"`
	UserID      string    `json:"userId"` // "AIDA" and 16 of A-Z2-7
	Policy      string    `json:"policy"` // the document, as it was given
	Created     time.Time `json:"created"`
	Disabled    bool      `json:"disabled,omitempty"`
}

// keyRecord is a key in the store. The secret has to be there: signatures are
// made with it (Signature Version 4 knows no verifier that could not sign).
type keyRecord struct {
	AccessKey
	Secret string `json:"secret"`
}

// principal is whom a key belongs to, ready for requests. All but signing stays
// as it is made: a key that is changed is another principal.
type principal struct {
	root     bool
	caller   alcove.Caller
	secret   string
	key      AccessKey // of a key that was made
	policy   *policy.Document
	revision uint64
	session  *openSession  // of an environment's credentials
	revoked  chan struct{} // closed when the key was disabled or deleted
	// signing is the cache of derived signing keys; see signing.go.
	signing atomic.Pointer[map[scope]*[32]byte]
}

// keys is what the bucket holds, followed.
type keys struct {
	a      *Auth
	bucket *store.Bucket
	stop   context.CancelFunc
	wg     sync.WaitGroup
	ctx    context.Context

	// byID is replaced, never changed.
	byID atomic.Pointer[map[string]*principal]

	mu      sync.Mutex
	byName  map[string]*principal // guarded by mu
	changed chan struct{}         // guarded by mu; closed and made anew with every event
	loaded  chan struct{}

	replay map[string]bool // names of the round that is not complete; the follower's
}

func (k *keys) open(ctx context.Context, a *Auth) error {
	k.a, k.bucket = a, a.config.Keys
	k.byID.Store(&map[string]*principal{})
	k.byName = make(map[string]*principal)
	k.changed, k.loaded = make(chan struct{}), make(chan struct{})
	k.ctx, k.stop = context.WithCancel(context.Background())
	if k.bucket == nil {
		return nil
	}
	k.wg.Go(func() {
		if err := k.bucket.Watch(k.ctx, k.event); k.ctx.Err() == nil {
			a.config.Log.Error("access keys are no longer followed", "error", err)
		}
	})
	select {
	case <-k.loaded:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("auth: reading the access keys: %w", context.Cause(ctx))
	}
}

func (k *keys) close() {
	k.stop()
	k.wg.Wait()
}

// event takes one event of the bucket.
func (k *keys) event(ev store.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch ev.Kind {
	case store.Begin:
		k.replay = make(map[string]bool)
	case store.Put:
		if k.replay != nil {
			k.replay[ev.Key] = true
		}
		k.put(ev.Entry)
	case store.Deleted:
		k.set(ev.Key, nil)
	case store.Current:
		for name := range k.byName {
			if !k.replay[name] {
				k.set(name, nil)
			}
		}
		k.replay = nil
		select {
		case <-k.loaded:
		default:
			close(k.loaded)
		}
	}
	close(k.changed)
	k.changed = make(chan struct{})
}

// put takes a record. One that cannot be read is no key: that of a later version
// of the program may forbid what this one would allow.
func (k *keys) put(e store.Entry) {
	if old := k.byName[e.Key]; old != nil && old.revision == e.Revision {
		return
	}
	var r keyRecord
	err := json.Unmarshal(e.Value, &r)
	var doc *policy.Document
	if err == nil {
		doc, err = policy.Parse(r.Policy)
	}
	if err == nil && (r.Name != e.Key || r.Secret == "" || r.AccessKeyID == "") {
		err = errors.New("a part of it is missing")
	}
	if err != nil {
		k.a.config.Log.Error("access key cannot be read, and is not accepted", "name", e.Key, "error", err)
		k.set(e.Key, nil)
		return
	}
	place := k.a.config.Place
	k.set(e.Key, &principal{key: r.AccessKey, secret: r.Secret, policy: doc, revision: e.Revision, revoked: make(chan struct{}),
		caller: alcove.Caller{AccessKeyID: r.AccessKeyID, Account: place.Account, ARN: place.UserARN(r.Name), UserID: r.UserID}})
}

// set makes p the principal of a name; nil is none. Preconditions: k.mu is held.
func (k *keys) set(name string, p *principal) {
	old := k.byName[name]
	if old == nil && p == nil {
		return
	}
	next := make(map[string]*principal, len(k.byName)+1)
	for id, q := range *k.byID.Load() {
		if q != old {
			next[id] = q
		}
	}
	delete(k.byName, name)
	if p != nil {
		k.byName[name] = p
		next[p.key.AccessKeyID] = p
	}
	k.byID.Store(&next)
	if old != nil {
		close(old.revoked)
	}
}

// wait returns when done says so of the principal of a name, or when ctx ends.
func (k *keys) wait(ctx context.Context, name string, done func(*principal) bool) error {
	for {
		k.mu.Lock()
		p, changed := k.byName[name], k.changed
		k.mu.Unlock()
		if done(p) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return alcove.PlatformError(fmt.Errorf("auth: reading key %s back: %w", name, context.Cause(ctx)))
		}
	}
}

const keyTimeout = 20 * time.Second

// writing gives the context of a write, which goes on when the caller leaves.
func (k *keys) writing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), keyTimeout)
}

// namePattern is IAM's for users' names (IAM API reference, CreateUser).
var namePattern = lazyregexp.New(`^[\w+=,.@-]{1,64}$`)

// CreateKey makes an access key with a policy. The secret is in the answer and
// never shown again.
func (a *Auth) CreateKey(ctx context.Context, caller alcove.Caller, name, document string) (AccessKey, Key, error) {
	if a.keys.bucket == nil {
		return AccessKey{}, Key{}, alcove.PlatformError(errors.New("auth: this node keeps no keys"))
	}
	if !namePattern.MatchString(name) {
		return AccessKey{}, Key{}, alcove.ClientError(alcove.CodeValidation,
			"The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_- and be at most 64 long")
	}
	if _, err := policy.Parse(document); err != nil {
		return AccessKey{}, Key{}, alcove.ClientError(CodeMalformedPolicy, "%s", err.Error())
	}
	ctx, cancel := a.keys.writing(ctx)
	defer cancel()
	a.keys.mu.Lock()
	n := len(a.keys.byName)
	a.keys.mu.Unlock()
	if n >= MaxKeys {
		return AccessKey{}, Key{}, alcove.ClientError(CodeLimitExceeded, "Cannot exceed quota for UsersPerAccount: %d", MaxKeys)
	}
	key := newKey()
	r := keyRecord{AccessKey: AccessKey{Name: name, AccessKeyID: key.ID, UserID: "AIDA" + random(idLetters, 16), Policy: document,
		Created: a.config.Now().UTC().Truncate(time.Second)}, Secret: key.Secret}
	b, err := json.Marshal(r)
	if err != nil {
		return AccessKey{}, Key{}, alcove.PlatformError(err)
	}
	revision, err := a.keys.bucket.Create(ctx, name, b)
	switch {
	case errors.Is(err, store.ErrExists):
		return AccessKey{}, Key{}, alcove.ClientError(CodeEntityExists, "User with name %s already exists.", name)
	case err != nil:
		return AccessKey{}, Key{}, alcove.PlatformError(fmt.Errorf("auth: create key %s: %w", name, err))
	}
	if err := a.keys.wait(ctx, name, func(p *principal) bool { return p != nil && p.revision >= revision }); err != nil {
		return AccessKey{}, Key{}, err
	}
	a.config.Log.Info("access key created", "name", name, "accessKeyId", key.ID, "caller", caller.ARN)
	return r.AccessKey, key, nil
}

func noSuchUser(name string) *alcove.Error {
	return alcove.ClientError(CodeNoSuchEntity, "The user with name %.64s cannot be found.", name)
}

// AccessKey gives a key that was made, without its secret.
func (a *Auth) AccessKey(name string) (AccessKey, error) {
	p, err := a.keys.named(name)
	if err != nil {
		return AccessKey{}, err
	}
	return p.key, nil
}

func (k *keys) named(name string) (*principal, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.byName[name]; p != nil {
		return p, nil
	}
	return nil, noSuchUser(name)
}

// AccessKeys gives all keys that were made, by name.
func (a *Auth) AccessKeys() []AccessKey {
	a.keys.mu.Lock()
	defer a.keys.mu.Unlock()
	list := make([]AccessKey, 0, len(a.keys.byName))
	for _, p := range a.keys.byName {
		list = append(list, p.key)
	}
	slices.SortFunc(list, func(x, y AccessKey) int { return strings.Compare(x.Name, y.Name) })
	return list
}

// SetKeyDisabled has a key refused from now on, or accepted again. When it
// returns, no request that is read from then on is let in, and streams that the
// key has open end.
func (a *Auth) SetKeyDisabled(ctx context.Context, caller alcove.Caller, name string, disabled bool) (AccessKey, error) {
	ctx, cancel := a.keys.writing(ctx)
	defer cancel()
	for {
		p, err := a.keys.named(name)
		if err != nil {
			return AccessKey{}, err
		}
		r := keyRecord{AccessKey: p.key, Secret: p.secret}
		if r.Disabled == disabled {
			return r.AccessKey, nil
		}
		r.Disabled = disabled
		b, err := json.Marshal(r)
		if err != nil {
			return AccessKey{}, alcove.PlatformError(err)
		}
		revision, err := a.keys.bucket.Update(ctx, name, b, p.revision)
		switch {
		case errors.Is(err, store.ErrConflict):
			if err := a.keys.wait(ctx, name, func(now *principal) bool { return now != p }); err != nil {
				return AccessKey{}, err
			}
			continue
		case err != nil:
			return AccessKey{}, alcove.PlatformError(fmt.Errorf("auth: update key %s: %w", name, err))
		}
		err = a.keys.wait(ctx, name, func(now *principal) bool { return now == nil || now.revision >= revision })
		a.config.Log.Info("access key changed", "name", name, "disabled", disabled, "caller", caller.ARN)
		return r.AccessKey, err
	}
}

// DeleteKey removes a key. When it returns, the key is nobody's.
func (a *Auth) DeleteKey(ctx context.Context, caller alcove.Caller, name string) error {
	ctx, cancel := a.keys.writing(ctx)
	defer cancel()
	for {
		p, err := a.keys.named(name)
		if err != nil {
			return err
		}
		err = a.keys.bucket.Delete(ctx, name, p.revision)
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return alcove.PlatformError(fmt.Errorf("auth: delete key %s: %w", name, err))
		}
		conflict := err != nil
		if err := a.keys.wait(ctx, name, func(now *principal) bool { return now != p }); err != nil {
			return err
		}
		if !conflict {
			a.config.Log.Info("access key deleted", "name", name, "accessKeyId", p.key.AccessKeyID, "caller", caller.ARN)
			return nil
		}
	}
}

// Revoked is closed when the caller's key is disabled or deleted; nil, which is
// never, for the root key.
func (a *Auth) Revoked(caller alcove.Caller) <-chan struct{} {
	p := a.find(caller.AccessKeyID)
	switch {
	case p == nil && caller.AccessKeyID != "":
		gone := make(chan struct{})
		close(gone)
		return gone
	case p == nil || p.root:
		return nil
	}
	return p.revoked
}
