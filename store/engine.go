package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// startTimeout bounds the start of an engine; it takes a few milliseconds,
	// more after a crash, when indexes are built again from the blocks.
	startTimeout = 30 * time.Second
	// answerTimeout is how long a request may go unanswered until the engine
	// counts as failed: it does not answer writes that the disk refused.
	answerTimeout = 10 * time.Second
)

// engine is one embedded server with its connection. It works until its context
// is done, whose cause says why; then it is replaced as a whole.
type engine struct {
	ctx  context.Context
	fail context.CancelCauseFunc
	srv  *server.Server
	conn *nats.Conn
	js   jetstream.JetStream

	mu      sync.Mutex
	buckets map[string]jetstream.KeyValue // guarded by mu
}

// startEngine starts an engine over dir.
func startEngine(ctx context.Context, dir string, log *slog.Logger) (*engine, error) {
	e := &engine{buckets: make(map[string]jetstream.KeyValue)}
	e.ctx, e.fail = context.WithCancelCause(context.Background())
	srv, err := server.NewServer(&server.Options{
		ServerName: "alcove",
		DontListen: true, // reached by InProcessConn alone
		NoSigs:     true, // the program's signals are the program's
		NoLog:      true, // no log file and no standard error; slog below

		JetStream:              true,
		StoreDir:               dir,
		SyncAlways:             true,
		DisableJetStreamBanner: true,
		// Both would be derived from the machine otherwise. Nothing is stored in
		// memory, and what is left on the disk is asked at every write.
		JetStreamMaxMemory: 16 << 20,
		JetStreamMaxStore:  1 << 50,
	})
	if err != nil {
		return nil, fmt.Errorf("store: engine: %w", err)
	}
	e.srv = srv
	srv.SetLoggerV2(&engineLog{log: log, fail: e.fail}, false, false, false)
	srv.Start()
	if !srv.ReadyForConnections(startTimeout) || !srv.JetStreamEnabled() {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, fmt.Errorf("store: engine did not start: %w", cmpCause(e.ctx))
	}
	e.conn, err = nats.Connect("", nats.InProcessServer(srv), nats.Name("alcove"),
		nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) {
			e.fail(errors.New("connection to the engine closed"))
		}))
	if err == nil {
		e.js, err = jetstream.New(e.conn)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		e.close()
		return nil, fmt.Errorf("store: engine: %w", err)
	}
	return e, nil
}

func cmpCause(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return errors.New("JetStream is not enabled")
}

// close stops the engine; whoever still uses it gets errors.
func (e *engine) close() {
	e.fail(ErrUnavailable)
	if e.conn != nil {
		e.conn.Close()
	}
	e.srv.Shutdown()
	e.srv.WaitForShutdown()
}

// bucket gives the named bucket, making it if it is not there.
func (e *engine) bucket(ctx context.Context, name string) (jetstream.KeyValue, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if kv := e.buckets[name]; kv != nil {
		return kv, nil
	}
	kv, err := e.js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = e.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: name, History: 1, Storage: jetstream.FileStorage})
	}
	if err != nil {
		return nil, err
	}
	e.buckets[name] = kv
	return kv, nil
}

// errNoAnswer is the cause of a request's context that waited answerTimeout.
var errNoAnswer = errors.New("no answer from the engine")

// during gives a context for one request: done with parent, when the engine
// fails, or when no answer came in time.
func (e *engine) during(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	timed, cancelTimed := context.WithTimeoutCause(ctx, answerTimeout, errNoAnswer)
	unhook := context.AfterFunc(e.ctx, func() { cancel(ErrUnavailable) })
	return timed, func() {
		unhook()
		cancelTimed()
		cancel(nil)
	}
}
