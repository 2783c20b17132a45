package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/audit"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/catalog"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/gateway"
	"github.com/alcove-run/alcove/internal/aside"
	"github.com/alcove-run/alcove/internal/timerslack"
	"github.com/alcove-run/alcove/internal/turns"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/invoke/async"
	"github.com/alcove-run/alcove/journal"
	"github.com/alcove-run/alcove/lambdaapi"
	"github.com/alcove-run/alcove/logs"
	"github.com/alcove-run/alcove/logs/queries"
	"github.com/alcove-run/alcove/logsapi"
	"github.com/alcove-run/alcove/metrics"
	"github.com/alcove-run/alcove/nodeapi"
	"github.com/alcove-run/alcove/otlp"
	"github.com/alcove-run/alcove/pool"
	"github.com/alcove-run/alcove/purge"
	"github.com/alcove-run/alcove/registry"
	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/runtimes"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
	"github.com/alcove-run/alcove/sandbox/egress"
	egresspolicy "github.com/alcove-run/alcove/sandbox/egress/policy"
	"github.com/alcove-run/alcove/sandbox/gvisor"
	"github.com/alcove-run/alcove/sandbox/namespace"
	"github.com/alcove-run/alcove/sandbox/rootfs"
	"github.com/alcove-run/alcove/store"
	"github.com/alcove-run/alcove/stsapi"
	"github.com/alcove-run/alcove/usage"
)

// Names below the data directory.
const (
	rootKeyFile  = "root-key.json"
	lockFile     = "lock"
	stateDir     = "state"
	artifactDir  = "artifact"
	rootsDir     = "roots"
	journalDir   = "journal"
	auditDir     = "audit"
	logsDir      = "logs"
	sandboxDir   = "sandbox"
	runDir       = "run"
	spaceReserve = 256 << 20 // bytes kept free for what must not fail
	logBudget    = 4 << 30   // bytes of log records
	journalBytes = 512 << 20 // bytes of reports
	auditBytes   = 128 << 20 // bytes of records of changes, of accepted events, and of other calls
)

// Times that are the node's own choice.
const (
	freezeAfter = 5 * time.Millisecond
)

// node is the program while it serves. Its parts are opened in the order of the
// fields, and closed in the reverse of it.
type node struct {
	cfg serveCmd
	log *slog.Logger
	// undo closes what is open, last first.
	undo []func(context.Context) error

	files     descriptors
	driver    sandbox.Driver
	runtimes  *runtimes.Set
	artifacts *artifact.Store
	logs      *logs.Store
	queries   *queries.Runner
	reading   *turns.Turns // the processors that searching logs has
	journal   *journal.Journal
	audit     *audit.Log
	ledger    *usage.Ledger
	purges    *purge.Purges
	images    *registry.Puller
	metrics   *metrics.Store
	counters  metrics.Counters
	started   time.Time
	counted   atomic.Pointer[invoke.Invoker] // the invoker, once there is one
	telemetry *otlp.Exporter                 // nil where nobody wants any
	factory   *environment.Factory
	catalog   *catalog.Catalog
	pool      *pool.Pool
	invoker   *invoke.Invoker
	events    *async.Queue
	auth      *auth.Auth
	egress    *egress.Network // nil where sandboxes have no links
	inside    *inside         // the APIs for environments; nil where there is no egress

	nodeEgress *egresspolicy.Policy
	refusals   environment.Refusals

	listening
	stopPages func() // ends what open pages follow
}

// monitorSlack is how much later the runtime may notice that a goroutine is long
// in a system call. A node under load would wake it thousands of times a second.
const monitorSlack = 300 * time.Microsecond

// openNode opens everything; from when it returns, requests are answered. If it
// fails, nothing is left open.
func openNode(ctx context.Context, cfg serveCmd, log *slog.Logger) (n *node, err error) {
	if err := timerslack.Monitor(monitorSlack); err != nil {
		log.Debug("the runtime's monitor keeps its slack, and takes a few percent more of the processor", "error", err)
	}
	n = &node{cfg: cfg, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close(context.WithoutCancel(ctx)))
		}
	}()
	for _, open := range []func(context.Context) error{
		n.openData, n.openListener, n.openSandboxes, n.openRecords, n.openLedger, n.openMetrics, n.openTelemetry, n.openCatalog, n.openEgress, n.openPool, n.openEvents, n.openPurges, n.openAPIs,
	} {
		if err := open(ctx); err != nil {
			return n, err // the deferred function closes what is open
		}
	}
	return n, nil
}

func (n *node) path(name string) string { return filepath.Join(n.cfg.Data, name) }

// opened puts what closes a part onto the undo stack.
func (n *node) opened(undo func(context.Context) error) { n.undo = append(n.undo, undo) }

func closes(c io.Closer) func(context.Context) error {
	return func(context.Context) error { return c.Close() }
}

// close undoes what was opened, in reverse order. ctx bounds the wait for
// invocations.
func (n *node) close(ctx context.Context) error {
	var errs []error
	for i := len(n.undo) - 1; i >= 0; i-- {
		errs = append(errs, n.undo[i](ctx))
	}
	n.undo = nil
	return errors.Join(errs...)
}

// openData takes the data directory for this process alone, and as many open
// files as it may have.
func (n *node) openData(ctx context.Context) (err error) {
	if n.files, err = openFiles(n.cfg.Isolation); err != nil {
		return err
	}
	if err := n.files.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(n.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("--data: %w: name a directory that you may make", err)
	}
	if err := os.Chmod(n.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("--data: %w: name a directory that is yours", err)
	}
	f, err := lockData(ctx, n.path(lockFile))
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("--data %s: another node uses it: stop that one, or name another directory", n.cfg.Data)
	}
	if err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	n.opened(closes(f))
	return nil
}

// openSandboxes opens the driver, which removes what a killed predecessor left,
// and everything that sandboxes are made from.
func (n *node) openSandboxes(ctx context.Context) error {
	// The name tells nodes of one machine apart, and finds a predecessor's
	// cgroups again.
	abs, err := filepath.Abs(n.cfg.Data)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(abs))
	groups, err := cgroup.Open(hex.EncodeToString(sum[:6]), n.log)
	if err != nil {
		return err
	}
	n.opened(closes(groups))
	dir := n.path(filepath.Join(sandboxDir, n.cfg.Isolation))
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	switch n.cfg.Isolation {
	case "gvisor":
		n.driver, err = gvisor.New(ctx, gvisor.Config{Dir: dir, Cgroups: groups, Log: n.log})
	case "namespace":
		n.driver, err = namespace.New(ctx, namespace.Config{Dir: dir, Cgroups: groups, Log: n.log})
	}
	if err != nil {
		return fmt.Errorf("--isolation %s: %w (alcove doctor tells what this machine can give)", n.cfg.Isolation, err)
	}
	n.opened(closes(n.driver))
	for _, f := range append(n.driver.Findings(), findDisk(n.cfg.Data)) {
		if f.State != sandbox.OK {
			n.log.Warn("isolation is not complete on this machine", "what", f.Name, "found", f.Detail, "fix", f.Fix)
		}
	}
	// No sandbox runs, so whatever is here is a predecessor's.
	if err := aside.Renew(n.path(runDir)); err != nil {
		return err
	}
	roots, err := rootfs.Open(n.path(rootsDir), n.log)
	if err != nil {
		return err
	}
	if n.artifacts, err = artifact.Open(n.path(artifactDir), n.log); err != nil {
		return err
	}
	n.runtimes = runtimes.Discover(n.log)
	n.factory = &environment.Factory{
		Driver: n.driver, Spare: runtimeapi.NewSpare(n.files.spare), Roots: roots, Artifacts: n.artifacts, Runtimes: n.runtimes,
		Place: n.cfg.place(), Dir: n.path(runDir), FreezeAfter: freezeAfter, Log: n.log,
		Stream: n.logStream, Supervisor: n.supervisor(), Linger: n.linger(), Ends: environment.NewEnds(),
	}
	return n.openImages()
}

// openRecords opens the log store and the journal.
func (n *node) openRecords(context.Context) (err error) {
	size, _, err := diskOf(n.path(logsDir))
	if err != nil {
		return err
	}
	if n.logs, err = logs.Open(logs.Config{Dir: n.path(logsDir), Budget: logBudget, Reserve: logReserve(size), Least: logLeast, Log: n.log}); err != nil {
		return err
	}
	n.opened(closes(n.logs))
	n.openQueries()
	if n.journal, err = journal.Open(journal.Config{Dir: n.path(journalDir), Budget: journalBytes, Consumers: []string{usage.Consumer}, Log: n.log}); err != nil {
		return err
	}
	n.opened(closes(n.journal))
	if n.audit, err = audit.Open(audit.Config{Dir: n.path(auditDir), Budget: auditBytes, Reports: n.journal, Log: n.log}); err != nil {
		return err
	}
	n.opened(closes(n.audit))
	return nil
}

// openCatalog opens the desired state.
func (n *node) openCatalog(ctx context.Context) error {
	st, err := store.Open(ctx, store.Config{Dir: n.path(stateDir), Log: n.log, Reserve: spaceReserve})
	if err != nil {
		return err
	}
	n.opened(closes(st))
	n.catalog, err = catalog.Open(ctx, catalog.Config{
		Store: st, Artifacts: n.artifacts, Place: n.cfg.place(), Prepare: n.factory.Prepare,
		Resolve: n.images.Resolve, Pinned: n.images.Pinned,
		Concurrency: n.cfg.Concurrency, Log: n.log, Now: time.Now,
		CodeInUse: func(sha string) bool { return n.pool != nil && n.pool.InUse(sha) },
	})
	if err != nil {
		return err
	}
	n.opened(closes(n.catalog))
	n.auth, err = auth.Open(ctx, auth.Config{
		File: n.path(rootKeyFile), Mode: auth.Mode(n.cfg.Auth), Place: n.cfg.place(), Keys: st.Bucket(auth.KeysBucket),
		Tags: n.tags, ResourcePolicy: n.resourcePolicy, RolePolicy: n.rolePolicy, Record: n.audit.Append, Log: n.log,
	})
	if err != nil {
		return err
	}
	n.opened(closes(n.auth))
	return nil
}

// tags are those of a function, for conditions of policies.
func (n *node) tags(function string) map[string]string {
	f, err := n.catalog.Function(function)
	if err != nil {
		return nil
	}
	return f.Tags
}

// resourcePolicy is the policy that belongs to a function or a qualifier of it.
func (n *node) resourcePolicy(ref alcove.Ref) string {
	p, err := n.catalog.Policy(ref)
	if err != nil { // there is none
		return ""
	}
	return p.Document
}

// openPool opens what runs invocations.
func (n *node) openPool(context.Context) error {
	n.pool = pool.New(pool.Config{
		Start:         n.startEnvironment,
		Current:       n.current,
		Cap:           n.tenantCap,
		TenantShare:   n.cfg.TenantShare,
		TenantIdleMin: n.cfg.TenantIdleMin,
		KeepAlive:     n.cfg.KeepAlive,
		MaxAge:        maxAge,
		Memory:        int64(n.cfg.Memory),
		Left:          n.leftMemory(),
		Disk:          watchDisk(n.cfg.Data, n.driver, n.log),
		Environments:  n.files.environments,
		Places:        n.factory.Places,
		Creators:      2 * runtime.NumCPU(),
		Refillers:     runtime.NumCPU(),
		Stock:         n.stockBounds,
		Provisioned:   n.catalog.Provisioned,
		RuntimeStock: pool.RuntimeStock{
			Shape: n.factory.Shape, Start: n.startBlank, Specialise: n.specialise, Max: n.cfg.RuntimeStock,
		},
		Log: n.log,
	})
	n.opened(n.closePool)
	cancel := n.catalog.Subscribe(func(c catalog.Change) {
		if !c.Deleted {
			n.expect(c.Name, c.Number)
		}
		n.pool.Retire(c.FunctionID)
	})
	for _, v := range n.catalog.All() {
		n.expect(v.Name, v.Number)
	}
	n.opened(func(context.Context) error { cancel(); return nil })
	n.invoker = invoke.New(invoke.Config{Catalog: n.catalog, Pool: n.pool, Journal: countingJournal{n.journal.Append, n.counters.Report}, Throttled: n.throttled, Provisioned: n.catalog.Provisioned, Tracing: n.tracing(), Log: n.log})
	n.counted.Store(n.invoker)
	return nil
}

// openAPIs puts the APIs behind the listener.
func (n *node) openAPIs(context.Context) error {
	place := n.cfg.place()
	objects, err := n.cfg.objects()
	if err != nil {
		return err
	}
	handlers := gateway.Config{
		Lambda: lambdaapi.New(lambdaapi.Config{
			Auth: n.auth, Catalog: n.catalog, Artifacts: n.artifacts, Invoker: n.invoker, Events: n.events, Provisioner: n.pool,
			Runtimes: n.runtimes, Objects: objects, Within: n.within, Place: place, Concurrency: n.cfg.Concurrency, Log: n.log,
		}),
		Logs: logsapi.New(logsapi.Config{Store: n.logs, Queries: n.queries, Turns: n.reading, Authenticate: n.auth.Authenticate, Authorize: n.auth.Authorize,
			Revoked: n.auth.Revoked, Ending: n.gate.Ending(), Place: place, Log: n.log}),
		STS: stsapi.New(stsapi.Config{Authenticate: n.auth.Authenticate, Authorize: n.auth.Authorize, Log: n.log}),
		Node: nodeapi.New(nodeapi.Config{
			Authenticate: n.auth.Authenticate, Authorize: n.auth.Authorize, Revoked: n.auth.Revoked, Ending: n.gate.Ending(), Keys: n.auth, Roles: n.catalog, Audit: n.audit.Query,
			Environments: n.pool.Status, Findings: n.findings,
			Stocks: n.pool.Stocks, SetStock: n.catalog.SetStock, StockMax: n.cfg.StockMax,
			Egress: n.catalog, NodeEgress: n.nodeEgress, FunctionName: n.functionName, OwnAddress: n.ownAddress, Refusals: n.refusals.List,
			Function: n.catalog.Function, Latest: n.catalog.Resolve, Events: n.events, Logs: n.logs, Usage: n.ledger, Purge: n.purges.Purge, Actions: actions(), Place: place, Log: n.log,
		}),
	}
	n.openMetricsAPI(&handlers)
	if n.inside != nil {
		n.inside.gate.Open(gateway.New(handlers))
	}
	n.openURLs(&handlers)
	if err := n.openPrometheus(&handlers); err != nil {
		return err
	}
	n.openTelemetryMetrics()
	if err := n.openConsole(&handlers); err != nil {
		return err
	}
	n.pruneRoots()
	handlers.Bodies = n.bodies()
	n.gate.Open(gateway.New(handlers))
	n.sweep()
	return nil
}

// announce says that the node is ready, and once what its root key is.
func (n *node) announce(w io.Writer) {
	if key, created := n.auth.RootKey(); created && n.auth.Mode() == auth.ModeSigV4 {
		fmt.Fprintf(w, "alcove root key, shown once and kept in %s:\n  AWS_ACCESS_KEY_ID=%s\n  AWS_SECRET_ACCESS_KEY=%s\n",
			n.path(rootKeyFile), key.ID, key.Secret)
	}
	fmt.Fprintf(w, "alcove ready on %s\n", n.url())
}
