package catalog

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/store"
)

const (
	bucketName = "catalog"
	// writeTimeout bounds a write with the wait until the view has it. A client
	// that hangs up does not cut it short: its outcome would be unknown.
	writeTimeout = 30 * time.Second
	// compactAfter is how many deletions the bucket may remember.
	compactAfter = 1000
	// preparers is how many versions are made ready to run at a time, and
	// imagePreparers those that wait for a container image meanwhile, which may
	// take very long.
	preparers      = 2
	imagePreparers = 4
	sweepDelay     = 30 * time.Second
)

// Config is what a catalog works with. All members but CodeStorage, CodeInUse,
// SweepDelay, Log and Now are required.
type Config struct {
	Store     *store.Store
	Artifacts *artifact.Store
	Place     alcove.Place
	// Prepare makes a version able to run. The version becomes Active when it
	// returns nil, Failed otherwise: with the message of an *alcove.Error, or in
	// general terms. It may be called again for the same version, and is called
	// by several goroutines. Its context ends with artifact.ErrUnwanted when the
	// version is deleted.
	Prepare func(ctx context.Context, v *alcove.Version) error
	// Resolve tells what the name of a container image stands for, with AWS's
	// errors. Nil means that this node has no images.
	Resolve func(ctx context.Context, image string) (alcove.Code, error)
	// Concurrency is the account's limit of concurrent executions.
	Concurrency int
	// CodeStorage bounds the bytes of all versions' packages; 0 means no bound.
	CodeStorage int64
	// CodeInUse says whether an environment still runs a package, of which no
	// version may be left. Nil means that none ever does.
	CodeInUse func(sha string) bool
	// Pinned says whether a package is kept whoever refers to it. Nil means none.
	Pinned func(sha string) bool
	// SweepDelay is how long packages that nobody refers to are kept: an
	// environment of the version before may just be starting. Zero is 30 s.
	SweepDelay time.Duration
	Log        *slog.Logger
	Now        func() time.Time
}

// Catalog is the open catalog. Its methods may be called from many goroutines.
type Catalog struct {
	cfg    Config
	log    *slog.Logger
	bucket *store.Bucket

	ctx  context.Context // done when the catalog closes
	stop context.CancelFunc
	wg   sync.WaitGroup

	view       atomic.Pointer[view]
	unreserved atomic.Int64
	deletions  atomic.Int64 // that the bucket still knows of, or about so many
	onEgress   atomic.Pointer[func()]
	unreadable atomic.Bool // there is a record that this program cannot read
	follower   follower    // owned by the goroutine that follows the bucket

	waiting waiters
	subs    subscribers
	jobs    jobs // of packages
	images  jobs // of container images
	code    code

	// A function is written under the lock that its name falls to, reserved
	// concurrency, which functions share, under reservedMu before that, and what
	// functions have of code signing configurations under signingMu.
	locks      [64]sync.Mutex
	seed       maphash.Seed
	reservedMu sync.Mutex
	signingMu  sync.Mutex
}

// Open reads the catalog and drives on what an earlier process left unfinished.
// It returns when everything that was acknowledged is there to read.
func Open(ctx context.Context, cfg Config) (*Catalog, error) {
	if cfg.SweepDelay == 0 {
		cfg.SweepDelay = sweepDelay
	}
	return open(ctx, cfg, cfg.SweepDelay)
}

func open(ctx context.Context, cfg Config, delay time.Duration) (*Catalog, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Pinned == nil {
		cfg.Pinned = func(string) bool { return false }
	}
	if cfg.CodeInUse == nil {
		cfg.CodeInUse = func(string) bool { return false }
	}
	c := &Catalog{cfg: cfg, log: cfg.Log, bucket: cfg.Store.Bucket(bucketName), seed: maphash.MakeSeed()}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.view.Store(&view{})
	c.unreserved.Store(int64(cfg.Concurrency))
	c.follower.init(c)
	c.jobs.init()
	c.images.init()
	c.code.init(delay)

	c.wg.Go(func() {
		if err := c.bucket.Watch(c.ctx, c.follower.event); c.ctx.Err() == nil {
			c.log.Error("catalog no longer follows its records", "error", err)
		}
	})
	select {
	case <-c.follower.loaded:
	case <-ctx.Done():
		c.stop()
		c.wg.Wait()
		return nil, fmt.Errorf("catalog: reading the records: %w", context.Cause(ctx))
	}
	orphans := c.follower.orphans
	started := c.referenced()
	c.wg.Go(func() { c.removeOrphans(orphans) })
	c.wg.Go(func() { c.sweeps(started) })
	for range preparers {
		c.wg.Go(func() { c.prepares(&c.jobs) })
	}
	for range imagePreparers {
		c.wg.Go(func() { c.prepares(&c.images) })
	}
	for _, e := range c.view.Load().functions {
		if e.unsettled() {
			c.drive(e.latest)
		}
	}
	return c, nil
}

// Close stops following, preparing and sweeping, and waits for them. What is
// pending is driven on by the next Open.
func (c *Catalog) Close() error {
	c.stop()
	c.jobs.close()
	c.images.close()
	c.wg.Wait()
	return nil
}

// lock takes the lock that the name falls to, and gives its release.
func (c *Catalog) lock(name string) func() {
	mu := &c.locks[maphash.String(c.seed, name)%uint64(len(c.locks))]
	mu.Lock()
	return mu.Unlock
}

// writing gives the context for the writes of one operation: it lasts for
// writeTimeout or until the catalog closes.
func (c *Catalog) writing(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	unhook := context.AfterFunc(c.ctx, cancel)
	return ctx, func() {
		unhook()
		cancel()
	}
}

// fault makes a platform error of what the store answers; the caller sees only
// that it was not its fault.
func fault(doing string, err error) error {
	if e, ok := errors.AsType[*alcove.Error](err); ok {
		return e
	}
	if errors.Is(err, store.ErrTooLarge) {
		return alcove.InvalidParameter("What is kept for the function, with its aliases and policies, exceeds %d bytes. Remove some of it and try again.", store.MaxValue)
	}
	return alcove.PlatformError(fmt.Errorf("catalog: %s: %w", doing, err))
}

// notFound is the answer for a function that is not there, in the form that the
// caller named it.
// entryOf gives what there is of a function now, or the answer that there is none.
func (c *Catalog) entryOf(name string) (*entry, error) {
	if e := c.view.Load().functions[name]; e != nil {
		return e, nil
	}
	return nil, c.notFound(alcove.Ref{Name: name})
}

func (c *Catalog) notFound(ref alcove.Ref) error {
	arn := c.cfg.Place.FunctionARN(ref.Name)
	if ref.Qualifier != "" {
		arn += ":" + ref.Qualifier
	}
	return alcove.NotFound(arn)
}
