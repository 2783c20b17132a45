package main

import (
	"context"
	"fmt"
	"log"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	quietTenants = 20
	// share is how often each of the tenants calls that keep to their share.
	share = 40 * time.Millisecond
	// flooding is how many times its share the one sends that does not: as many
	// calls at once as the others together, whenever one of them sends one.
	flooding  = 20
	floodTime = 5 * time.Second
)

// floodRow compares what quiet tenants wait for, with one among them that floods
// and without. All share the machine's processors with the client.
func (b *bench) floodRow(ctx context.Context) ([]figure, error) {
	n, err := b.shared(ctx)
	if err != nil {
		return nil, err
	}
	f, err := n.function(ctx, "flood", python, nil)
	if err != nil {
		return nil, err
	}
	quiet := tenantNames("quiet", quietTenants)
	if _, _, err := warm(f, quiet, quietTenants, 20*quietTenants); err != nil {
		return nil, err
	}
	flooder, err := f.request("flooder")
	if err != nil {
		return nil, err
	}
	flood := func() (all []*stream) {
		for range flooding {
			all = append(all, &stream{next: same(flooder, 1<<30), every: share, first: share, ends: floodTime})
		}
		return all
	}
	// Its environments are made before, which is another matter.
	if _, err := runStreams(f.address(), flood()); err != nil {
		return nil, err
	}
	var p99 [2]time.Duration
	var alone []figure
	for i, beside := range [][]*stream{nil, flood()} {
		streams, err := paceds(f, quiet)
		if err != nil {
			return nil, err
		}
		before := n.spent()
		if _, err := runStreams(f.address(), append(streams, beside...)); err != nil {
			return nil, err
		}
		each := took(streams)
		p99[i] = percentile(each, 99)
		if beside == nil {
			alone = perCall("CPU of one call, 20 tenants that call 25 times a second each", n.spent().since(before), len(each))
		}
	}
	return append([]figure{{floodOf, ratio, float64(p99[1]) / float64(max(p99[0], 1))},
		inMillis("quiet tenants' p99 without the flood", p99[0]), inMillis("quiet tenants' p99 with the flood", p99[1])}, alone...), nil
}

// paceds has each tenant call at its share, evenly spread.
func paceds(f *function, tenants []string) (all []*stream, err error) {
	for i, tenant := range tenants {
		request, err := f.request(tenant)
		if err != nil {
			return nil, err
		}
		all = append(all, &stream{next: same(request, 1<<30), every: share,
			first: share + share*time.Duration(i)/time.Duration(len(tenants)), ends: floodTime})
	}
	return all, nil
}

// keepFree is memory that the row live leaves to others on the machine.
const keepFree = 1024 // MiB

// liveRow has as many tenants as the machine should hold come one after another,
// and then asks every one of them again: they have to answer warm.
func (b *bench) liveRow(ctx context.Context) ([]figure, error) {
	want := b.live
	if want == 0 {
		want = int(targets[liveOf][b.driver])
	}
	if err := raiseOpenFiles(); err != nil {
		log.Printf("live: the limit of open files, of which a node has some for each environment, stays as it is: %v", err)
	}
	// The cap of tenant environments is two and a half times the concurrency.
	n, err := startNode(ctx, b.binary, b.driver, "--concurrency", fmt.Sprint(max(1000, want)), "--memory", "23GB")
	if err != nil {
		return nil, err
	}
	defer n.stop()
	f, err := n.function(ctx, "live", python, nil)
	if err != nil {
		return nil, err
	}
	before, began, made := availableMB(), time.Now(), 0
	for made < want && availableMB() > keepFree && ctx.Err() == nil {
		batch := min(50, want-made)
		requests, err := signed(f, tenantNames("live", made+batch)[made:])
		if err != nil {
			return nil, err
		}
		if _, err := runStreams(f.address(), split(requests, 4, nil)); err != nil {
			return nil, fmt.Errorf("after %d tenants: %w", made, err)
		}
		made += batch
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	took := time.Since(began)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(settle):
	}
	held := before - availableMB()
	idle := n.spent()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(settle):
	}
	idle = n.spent().since(idle)
	s, names := starts{}, tenantNames("live", made)
	for batch := range slices.Chunk(names, 100) { // a signature lives five minutes
		requests, err := signed(f, batch)
		if err != nil {
			return nil, err
		}
		if _, err := runStreams(f.address(), split(requests, 1, s.see)); err != nil {
			return nil, err
		}
	}
	for kind, d := range s {
		if kind != "warm" {
			log.Printf("live: of %d tenants %d were gone and began anew: %q", made, len(d), kind)
		}
	}
	return []figure{{liveOf, count, float64(len(s["warm"]))},
		{"making them, a second", perSecond, float64(made) / took.Seconds()},
		{"memory of each (MemAvailable)", mebibytes, held / float64(made)},
		{"CPU of all while idle, of one processor", percent, 100 * float64(idle.node+idle.sandboxes) / float64(settle)},
		inMillis("their next call, one after another, p50", percentile(s.all(), 50)),
		inMillis("their next call, one after another, p99", percentile(s.all(), 99))}, nil
}

// manyFiles is a limit of open files that no row comes near.
const manyFiles = 1 << 18

// raiseOpenFiles raises the limit of open files for the nodes that are started
// from now on.
func raiseOpenFiles() error {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return err
	}
	if r.Max >= manyFiles {
		return nil
	}
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: manyFiles, Max: manyFiles})
}

func signed(f *function, tenants []string) (requests [][]byte, err error) {
	for _, tenant := range tenants {
		request, err := f.request(tenant)
		if err != nil {
			return nil, err
		}
		requests = append(requests, request)
	}
	return requests, nil
}

// split shares requests out among connections.
func split(requests [][]byte, connections int, see func([]byte, time.Duration)) (all []*stream) {
	at := 0
	next := func() []byte {
		if at == len(requests) {
			return nil
		}
		at++
		return requests[at-1]
	}
	for range connections {
		all = append(all, &stream{next: next, seen: see})
	}
	return all
}
