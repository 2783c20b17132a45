package environment

import (
	"bytes"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/telemetry"
)

// output is everything that an environment's processes write, and the way of
// every record, theirs and the platform's, into the log stream.
//
// What a process wrote before it answered has to be in the log before the answer
// is out, so the pipes are read twice: by a goroutine that waits for them, and by
// drain, which takes what is there now.
type output struct {
	e          *Environment
	stdio      pipe
	frames     pipe
	extensions pipe // of a sandbox with external extensions; else closed
	done       sync.WaitGroup
	stop       chan struct{} // closed when nothing more is to be read

	mu sync.Mutex
	// The fields below are guarded by mu.
	run   *run   // whose tail is being collected, or nil
	tail  []byte // the end of its log, at most twice alcove.LogTailBytes
	buf   []byte // for records
	early []earlyRecord
	held  int  // what early costs, in bytes
	open  bool // records go to the log stream; before that they wait in early
	// stream and logging are the function's; stream is nil while there is none.
	stream  LogStream
	logging alcove.Logging
	chunk   [4096]byte
	meter   meter
	logged  int64 // bytes of records since the environment was bound that no report has
	feed    feed
	dropped dropped
}

// dropped counts the records that were written faster than the meter allows.
type dropped struct{ records, bytes int64 }

// earlyRecord is a record from before the environment belonged to anybody.
type earlyRecord struct {
	at      time.Time
	message []byte
}

// maxEarly bounds the bytes of records that wait, each counted with what it costs
// to hold: an Init that says more than this has its log stream at once.
const (
	maxEarly  = 64 << 10
	earlyCost = 64
)

// pipe is one pipe out of the sandbox and the decoder of what comes through it.
type pipe struct {
	r, w  *os.File
	fd    int // r's, or -1 when it is closed; guarded by output.mu
	write func([]byte)
	flush func()
}

func newOutput(e *Environment) (*output, error) {
	o := &output{e: e, stop: make(chan struct{}), meter: newMeter(time.Now())}
	if v := e.cfg.Version; v != nil {
		o.stream, o.logging = e.cfg.Stream, v.Config.Logging
	}
	lines := telemetry.NewLines(func(b []byte) { o.wrote(telemetry.SourceFunction, time.Time{}, b, telemetry.LevelNone) })
	frames := telemetry.NewFrames(func(f telemetry.Frame) { o.wrote(telemetry.SourceFunction, f.Time, f.Message, f.Level) })
	others := telemetry.NewLines(func(b []byte) { o.wrote(telemetry.SourceExtension, time.Time{}, b, telemetry.LevelNone) })
	o.stdio = pipe{fd: -1, write: func(b []byte) { lines.Write(b) }, flush: lines.Flush}
	o.frames = pipe{fd: -1, write: func(b []byte) { frames.Write(b) }, flush: frames.Flush}
	o.extensions = pipe{fd: -1, write: func(b []byte) { others.Write(b) }, flush: others.Flush}
	pipes := o.pipes()
	if !e.cfg.supervised() {
		pipes = pipes[:2]
	}
	for _, p := range pipes {
		if err := p.open(); err != nil {
			o.closeWriters()
			o.close()
			return nil, err
		}
	}
	for _, p := range pipes {
		o.done.Go(func() { o.follow(p) })
	}
	return o, nil
}

// pipes are all there are, in the order in which they are drained.
func (o *output) pipes() []*pipe { return []*pipe{&o.frames, &o.stdio, &o.extensions} }

func (p *pipe) open() (err error) {
	if p.r, p.w, err = os.Pipe(); err != nil {
		return err
	}
	c, err := p.r.SyscallConn()
	if err != nil {
		return err
	}
	return c.Control(func(fd uintptr) { p.fd = int(fd) })
}

// follow reads p until its last writer is gone.
func (o *output) follow(p *pipe) {
	c, err := p.r.SyscallConn()
	if err != nil {
		return
	}
	// The function answers true when nothing more will come; until then the
	// runtime's poller waits for the pipe between the calls.
	_ = c.Read(func(uintptr) bool {
		for {
			o.mu.Lock()
			eof, more := o.take(p, 0)
			var pause time.Duration
			if !eof && o.meter.owes(0) {
				more, pause = true, o.meter.pause()
			}
			o.mu.Unlock()
			switch {
			case eof || !more:
				return eof
			case pause > 0 && !o.wait(pause):
				return true
			}
		}
	})
}

// wait leaves a pipe alone for d: whoever writes into it waits too, once it is
// full. It tells whether to go on.
func (o *output) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-o.stop:
		return false
	}
}

// takeMost bounds how much is read at a time: as much as a pipe holds. A function
// that writes without end must not keep the environment from its deadline.
const takeMost = 64 << 10

// take reads what p holds now, up to takeMost, and tells whether its writers are
// gone, and whether there may be more. It stops when the meter owes more than
// limit seconds' worth, if limit is not negative.
//
// Preconditions: o.mu is held.
func (o *output) take(p *pipe, limit float64) (eof, more bool) {
	for left := takeMost; p.fd >= 0; {
		n, err := unix.Read(p.fd, o.chunk[:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false, false
		case n <= 0:
			p.flush()
			return true, false
		default:
			o.meter.pay(1, 0)
			p.write(o.chunk[:n])
			if limit >= 0 && o.meter.owes(limit) {
				return false, true
			}
			if n < len(o.chunk) {
				return false, false // a pipe gives all it has
			}
			if left -= n; left <= 0 {
				return false, true
			}
		}
	}
	return true, false
}

// drain takes what has been written so far, an unfinished line included. An
// answer does not wait for the meter: see function.
func (o *output) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.pipes() {
		if p.fd >= 0 {
			o.take(p, -1)
			p.flush()
		}
	}
}

// closeWriters closes this process's write ends, when the sandbox has its own.
func (o *output) closeWriters() {
	for _, p := range o.pipes() {
		if p.w != nil {
			p.w.Close()
		}
	}
}

// close stops reading. Every writer is gone, or is given up.
func (o *output) close() {
	close(o.stop)
	for _, p := range o.pipes() {
		if p.r != nil {
			// A descendant that keeps the pipe open would keep follow waiting.
			_ = p.r.SetReadDeadline(time.Unix(1, 0))
		}
	}
	o.done.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.pipes() {
		if p.r != nil {
			p.fd = -1
			p.r.Close()
		}
	}
}

// wrote takes one record of the function's own, or of an extension's. Its time is
// the writer's if that can be.
//
// Preconditions: o.mu is held.
func (o *output) wrote(source string, at time.Time, message []byte, level telemetry.Level) {
	if o.stream == nil {
		// No function's code runs yet: an interpreter complains.
		o.e.cfg.Log.Warn("blank environment wrote", "environment", o.e.cfg.ID, "output", string(message))
		return
	}
	if o.meter.pay(1, len(message)); o.meter.owes(debt) {
		o.dropped.records++
		o.dropped.bytes += int64(len(message))
		return
	}
	if now := time.Now(); at.After(now) || at.Before(o.e.created) {
		at = now
	}
	o.feed.wrote(source, at, message, o.logging.JSON())
	if l := o.logging; l.JSON() && source == telemetry.SourceFunction {
		if level == telemetry.LevelNone {
			level = telemetry.LevelOf(message)
		}
		if !level.Passes(telemetry.ParseLevel(l.ApplicationLevel)) {
			return
		}
	}
	o.record(at, message)
}

// platform writes a record of the platform's, in the format that the function
// asked for, if its level passes.
func (o *output) platform(at time.Time, r telemetry.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d := o.dropped; d.records > 0 {
		o.dropped = dropped{}
		o.write(at, &telemetry.LogsDropped{Time: at, Bytes: d.bytes, Records: d.records,
			Reason: "Some logs have been dropped because they were written faster than an execution environment may write."})
	}
	o.write(at, r)
}

// write is platform.
//
// Preconditions: o.mu is held.
func (o *output) write(at time.Time, r telemetry.Record) {
	o.feed.platform(r)
	l := o.logging
	if l.JSON() {
		if !r.Level().Passes(telemetry.ParseLevel(l.SystemLevel)) {
			return
		}
		o.buf = append(r.AppendJSON(o.buf[:0]), '\n')
	} else {
		o.buf = r.AppendText(o.buf[:0])
	}
	if len(o.buf) > 0 {
		o.record(at, o.buf)
	}
}

// text writes a record that has one form only.
func (o *output) text(at time.Time, r telemetry.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.feed.platform(r)
	o.buf = r.AppendText(o.buf[:0])
	o.record(at, o.buf)
}

// record appends to the log stream, and to the tail of the invocation that
// wants one.
//
// Preconditions: o.mu is held.
func (o *output) record(at time.Time, message []byte) {
	var tenant alcove.Tenant
	if t, bound := o.e.Tenant(); bound {
		tenant = t
		o.logged += int64(len(message))
	}
	if o.run != nil && o.run.opts.Tail {
		o.tail = append(o.tail, message...)
		if n := len(message); n > 0 && message[n-1] != '\n' {
			o.tail = append(o.tail, '\n')
		}
		if len(o.tail) > 2*alcove.LogTailBytes {
			o.tail = append(o.tail[:0], lastBytes(o.tail)...)
		}
	}
	if !o.open {
		if o.held += len(message) + earlyCost; o.held <= maxEarly {
			o.early = append(o.early, earlyRecord{at, bytes.Clone(message)})
			return
		}
		o.release()
	}
	if o.run != nil && o.run.inv.Trace.Sampled == alcove.Sampled {
		if s, ok := o.stream.(TracedStream); ok {
			s.AppendTraced(tenant, at, message, &o.run.inv.Trace)
			return
		}
	}
	o.stream.Append(tenant, at, message)
}

// takeLogged gives the bytes of records that no report has.
func (o *output) takeLogged() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.logged
	o.logged = 0
	return n
}

// assign gives the output to the function whose environment this is now.
func (o *output) assign(stream LogStream, l alcove.Logging) {
	o.drain() // what the platform's own code wrote until now is not the function's
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stream, o.logging = stream, l
}

// publish opens the log stream. An environment that ends in stock, with nothing
// wrong, leaves no trace in the function's log.
func (o *output) publish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.release()
}

// release writes what has waited; it is nobody's.
//
// Preconditions: o.mu is held.
func (o *output) release() {
	for _, r := range o.early {
		o.stream.Append("", r.at, r.message)
	}
	o.early, o.open = nil, true
}

// begin starts to collect r's tail.
func (o *output) begin(r *run) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.run, o.tail = r, nil
}

// finish ends it and answers with what was collected.
func (o *output) finish(r *run) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.run != r {
		return nil
	}
	o.run = nil
	return lastBytes(o.tail)
}

func lastBytes(b []byte) []byte { return b[max(0, len(b)-alcove.LogTailBytes):] }
