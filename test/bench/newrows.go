package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// starts has the times of answers by how they began, as X-Alcove-Start says.
type starts map[string][]time.Duration

func (s starts) see(header []byte, took time.Duration) {
	kind := headerOf(header, "X-Alcove-Start")
	s[kind] = append(s[kind], took)
}

// all is every time, whatever the beginning was.
func (s starts) all() (all []time.Duration) {
	for _, d := range s {
		all = slices.Concat(all, d)
	}
	return all
}

// newcomers gives one request after another, each for a tenant that nobody has
// used, signed when it is needed, until there were n.
func (b *bench) newcomers(to invoker, n int) func() []byte {
	return func() []byte {
		if n--; n < 0 {
			return nil
		}
		b.odd++
		request, err := to.request(fmt.Sprint("new-", b.odd))
		if err != nil { // a request of ours to a function of ours
			panic(err)
		}
		return request
	}
}

// steadyRow has a new tenant come to each of two functions every second, for as
// long as -steady says, which is what stocks are for. Nobody else calls.
func (b *bench) steadyRow(ctx context.Context) (out []figure, err error) {
	n, err := b.shared(ctx)
	if err != nil {
		return nil, err
	}
	seconds := int(b.steady / time.Second)
	for _, l := range languages {
		f, err := n.function(ctx, "steady-"+l.name, l, nil)
		if err != nil {
			return nil, err
		}
		// The first tenants are those from whom the node learns what is asked for.
		if err := b.paced(f, 5, time.Second, nil); err != nil {
			return nil, err
		}
		s := starts{}
		if err := b.paced(f, seconds, time.Second, s.see); err != nil {
			return nil, err
		}
		for _, p := range []int{50, 99} {
			out = append(out, inMillis(fmt.Sprintf(stockOf, l.name, fmt.Sprint("p", p)), percentile(s.all(), p)))
		}
		out = append(out, figure{"of these, from stock, " + l.name, percent, 100 * float64(len(s["stock"])) / float64(len(s.all()))})
	}
	return out, nil
}

// paced sends n first calls of new tenants, one every so often.
func (b *bench) paced(to invoker, n int, every time.Duration, see func([]byte, time.Duration)) error {
	_, err := runStreams(to.address(), []*stream{{next: b.newcomers(to, n), every: every, first: every, seen: see}})
	return err
}

// firstRow makes functions and calls each once: what that costs is told by how
// the answer began. A function that sets a variable which its interpreter reads
// at its start can have no environment made before it is known.
func (b *bench) firstRow(ctx context.Context) (out []figure, err error) {
	n, err := b.shared(ctx)
	if err != nil {
		return nil, err
	}
	const functions, pause = 8, 500 * time.Millisecond // in which what was used up is made again
	for _, l := range languages {
		all := starts{}
		for i := range 2 * functions {
			var env map[string]string
			if i%2 == 1 {
				env = map[string]string{l.startVariable: ""}
			}
			b.odd++
			f, err := n.function(ctx, fmt.Sprint("first-", b.odd), l, env)
			if err != nil {
				return nil, err
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(pause):
			}
			if err := b.paced(f, 1, time.Millisecond, all.see); err != nil {
				return nil, err
			}
		}
		for kind, what := range map[string]string{"runtime-stock": runtimeStock, "cold": nothing, "sandbox": aheadOnly} {
			if d := all[kind]; len(d) > 0 {
				out = append(out, inMillis(fmt.Sprintf(what, l.name), percentile(d, 50)))
			}
		}
	}
	slices.SortFunc(out, func(a, b figure) int { return strings.Compare(a.what, b.what) })
	return out, nil
}

// forkRow has new tenants come to a function for which nothing is made ahead, but
// that its interpreter can be forked.
func (b *bench) forkRow(ctx context.Context) ([]figure, error) {
	if b.driver != "namespace" {
		return nil, nil
	}
	n, err := startNode(ctx, b.binary, b.driver, "--stock-max", "0", "--runtime-stock", "0")
	if err != nil {
		return nil, err
	}
	defer n.stop()
	f, err := n.function(ctx, "fork", python, nil)
	if err != nil {
		return nil, err
	}
	// The first has the template started.
	if err := b.paced(f, 3, time.Second, nil); err != nil {
		return nil, err
	}
	const calls, pause = 20, 200 * time.Millisecond
	s := starts{}
	before := n.spent()
	if err := b.paced(f, calls, pause, s.see); err != nil {
		return nil, err
	}
	spent := n.spent().since(before)
	if cold := len(s["cold"]); cold != calls {
		return nil, fmt.Errorf("%d of %d calls were cold", cold, calls)
	}
	return []figure{inMillis(forked, percentile(s.all(), 50)),
		{"CPU of such a call: node", millis, float64(spent.node) / 1e6 / calls},
		{"CPU of such a call: sandbox and template", millis, float64(spent.sandboxes) / 1e6 / calls}}, nil
}

// rateRow has new tenants come as fast as four clients are answered.
func (b *bench) rateRow(ctx context.Context) ([]figure, error) {
	n, err := startNode(ctx, b.binary, b.driver)
	if err != nil {
		return nil, err
	}
	defer n.stop()
	f, err := n.function(ctx, "rate", python, nil)
	if err != nil {
		return nil, err
	}
	if _, _, err := b.crowd(f, 8, 4); err != nil {
		return nil, err
	}
	before := n.spent()
	took, all, err := b.crowd(f, b.tenants, 4)
	if err != nil {
		return nil, err
	}
	spent := n.spent().since(before)
	each := func(d time.Duration) float64 { return float64(d) / 1e6 / float64(len(took)) }
	return []figure{{rateOf, perSecond, float64(len(took)) / all.Seconds()},
		{"CPU of a new Python tenant: node", millis, each(spent.node)},
		{"CPU of a new Python tenant: sandbox", millis, each(spent.sandboxes)}}, nil
}

func (b *bench) ratePeer(p *peer) ([]figure, error) {
	took, all, err := b.crowd(p, b.tenants, 4)
	return []figure{{rateOf, perSecond, float64(len(took)) / all.Seconds()}}, err
}

// crowd has n new tenants come over a number of connections as fast as they are
// answered.
func (b *bench) crowd(to invoker, n, connections int) ([]time.Duration, time.Duration, error) {
	next := b.newcomers(to, n)
	var streams []*stream
	for range connections {
		streams = append(streams, &stream{next: next})
	}
	all, err := runStreams(to.address(), streams)
	return took(streams), all, err
}

// settle is how long the kernel is given to take back what ended processes had.
const settle = 3 * time.Second

// memoryRow weighs idle tenants: what MemAvailable loses from the first to the
// last of many, when all of them have been idle for a while. A variable that an
// interpreter reads at its start keeps the template out.
func (b *bench) memoryRow(ctx context.Context) (out []figure, err error) {
	n, err := startNode(ctx, b.binary, b.driver)
	if err != nil {
		return nil, err
	}
	defer n.stop()
	kinds := []struct {
		what, name string
		of         language
		env        map[string]string
	}{
		{memoryOf, "memory-" + python.name, python, map[string]string{python.startVariable: ""}},
		{memoryForked, "memory-forked", python, nil},
		{"memory of an idle bound Node tenant (MemAvailable)", "memory-" + nodeJS.name, nodeJS, nil},
	}
	for _, k := range kinds {
		if b.driver != "namespace" {
			if k.what == memoryForked {
				continue // there are no templates
			}
			k.env = nil
		}
		f, err := n.function(ctx, k.name, k.of, k.env)
		if err != nil {
			return nil, err
		}
		// The stock is there before and after, and so are files in the cache.
		weigh := func() (float64, error) {
			if _, _, err := b.crowd(f, 10, 2); err != nil {
				return 0, err
			}
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-time.After(settle):
			}
			return availableMB(), nil
		}
		before, err := weigh()
		if err != nil {
			return nil, err
		}
		if _, _, err := b.crowd(f, b.idle, 2); err != nil {
			return nil, err
		}
		after, err := weigh()
		if err != nil {
			return nil, err
		}
		out = append(out, figure{k.what, mebibytes, (before - after) / float64(b.idle+10)})
	}
	return out, nil
}
