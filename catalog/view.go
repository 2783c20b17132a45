package catalog

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/store"
)

// view is all functions at one moment. It is never changed, only replaced.
type view struct {
	functions map[string]*entry         // by name
	shelf     map[string]stored[object] // by key
	urls      map[string]alcove.Ref     // by the id of a function URL
	codeBytes int64
	reserved  int
}

// clone makes a view that is to be changed before it replaces v.
func (v *view) clone() *view {
	next := *v
	return &next
}

// entry is one function in a view.
type entry struct {
	record   *record
	revision uint64 // of the record in the store
	function *alcove.Function
	latest   *alcove.Version // as clients see it
	running  *alcove.Version // as invocations run it
	versions map[string]published
	numbers  []string // of versions, ascending
	aliases  map[string]*target
	// provisioned is how many environments are kept, by version number.
	provisioned map[string]int
}

// published is a published version.
type published struct {
	*alcove.Version
	revision uint64 // of its record
}

// unsettled says whether anything of the function waits for Prepare.
func (e *entry) unsettled() bool {
	if e.record.pending() {
		return true
	}
	for _, v := range e.versions {
		if v.State == alcove.StatePending {
			return true
		}
	}
	return false
}

func (e *entry) codeBytes() int64 {
	n := e.latest.Code.Size
	for _, v := range e.versions {
		n += v.Code.Size
	}
	return n
}

// Resolve gives the version that an invocation of ref runs; for an alias of two
// versions it is drawn anew each time. While an update of
// $LATEST is under way, and after one that failed, the content before it runs, which
// tells of the update in its Update members. It takes no lock and allocates
// nothing. The version is shared: it must not be changed.
func (c *Catalog) Resolve(ref alcove.Ref) (*alcove.Version, error) {
	if e := c.view.Load().functions[ref.Name]; e != nil {
		if ref.Qualifier == "" || ref.Qualifier == alcove.Latest {
			return e.running, nil
		}
		if v, ok := e.versions[ref.Qualifier]; ok {
			return v.Version, nil
		}
		if t, ok := e.aliases[ref.Qualifier]; ok {
			if v := t.pick(); v != nil {
				return v, nil
			}
		}
	}
	return nil, c.notFound(ref)
}

// Describe gives the version as clients see it: $LATEST with what an update that
// is under way or failed has set, an alias as the version that it stands for. The version is shared: it must not be changed.
func (c *Catalog) Describe(ref alcove.Ref) (*alcove.Version, error) {
	e := c.view.Load().functions[ref.Name]
	if e == nil {
		return nil, c.notFound(ref)
	}
	number := ref.Qualifier
	if t, ok := e.aliases[number]; ok {
		number = t.alias.Version
	}
	if number == "" || number == alcove.Latest {
		return e.latest, nil
	}
	if v, ok := e.versions[number]; ok {
		return v.Version, nil
	}
	return nil, c.notFound(ref)
}

// Function gives what belongs to the function as a whole. It is shared: it must
// not be changed.
func (c *Catalog) Function(name string) (*alcove.Function, error) {
	e, err := c.entryOf(name)
	if err != nil {
		return nil, err
	}
	return e.function, nil
}

// Totals gives the bytes of all versions' packages, each counted for every
// version that has it, and the number of functions.
func (c *Catalog) Totals() (codeBytes int64, functions int) {
	v := c.view.Load()
	return v.codeBytes, len(v.functions)
}

// follower turns the events of the bucket into views. All of it is used by one
// goroutine, but for loaded and, once that is closed, orphans.
type follower struct {
	c       *Catalog
	loaded  chan struct{} // closed when the first round is complete
	orphans []store.Entry // records that nobody sees, as the first round found them

	records  map[string]stored[*record]                 // by name
	versions map[string]map[int]stored[*alcove.Version] // by function id, number
	names    map[string]string                          // by function id
	shelf    map[string]stored[object]                  // by key

	replay map[string]bool // keys of the round that is not complete; nil if it is
}

type stored[T any] struct {
	value    T
	revision uint64
}

func (f *follower) init(c *Catalog) {
	f.c = c
	f.loaded = make(chan struct{})
	f.records = make(map[string]stored[*record])
	f.versions = make(map[string]map[int]stored[*alcove.Version])
	f.names = make(map[string]string)
	f.shelf = make(map[string]stored[object])
}

// event takes one event of the bucket.
func (f *follower) event(ev store.Event) {
	switch ev.Kind {
	case store.Begin:
		f.replay = make(map[string]bool)
	case store.Put:
		if f.replay != nil {
			f.replay[ev.Key] = true
		}
		f.put(ev.Entry)
	case store.Deleted:
		f.c.deletions.Add(1)
		f.remove(ev.Key)
	case store.Current:
		f.complete()
	}
	f.c.waiting.advance()
}

// complete ends a round: what it did not have is gone.
func (f *follower) complete() {
	seen := f.replay
	f.replay = nil
	for name := range f.records {
		if !seen[functionKey(name)] {
			f.remove(functionKey(name))
		}
	}
	for id, numbers := range f.versions {
		for n := range numbers {
			if key := versionKey(id, strconv.Itoa(n)); !seen[key] {
				f.remove(key)
			}
		}
	}
	for key := range f.shelf {
		if !seen[key] {
			f.remove(key)
		}
	}
	select {
	case <-f.loaded:
		return
	default:
	}
	next := &view{functions: make(map[string]*entry, len(f.records)), shelf: maps.Clone(f.shelf)}
	for _, o := range f.shelf {
		next.codeBytes += o.value.codeBytes()
	}
	for name := range f.records {
		e := f.entry(name)
		next.moveURLs(nil, e)
		next.functions[name] = e
		next.codeBytes += e.codeBytes()
		next.reserved += reservedOf(e)
	}
	f.publish(next)
	f.findOrphans()
	close(f.loaded)
}

func (f *follower) put(e store.Entry) {
	switch id, number, ok := splitVersionKey(e.Key); {
	case ok:
		if f.versions[id][number].revision == e.Revision {
			return
		}
		v := &alcove.Version{}
		if err := json.Unmarshal(e.Value, v); err != nil || v.FunctionID != id {
			f.unreadable(e.Key, err)
			return
		}
		v.ARN = f.c.cfg.Place.FunctionARN(v.Name)
		if f.versions[id] == nil {
			f.versions[id] = make(map[int]stored[*alcove.Version])
		}
		f.versions[id][number] = stored[*alcove.Version]{v, e.Revision}
		f.changed(f.names[id])
	case len(e.Key) > len(functionPrefix) && e.Key[:len(functionPrefix)] == functionPrefix:
		name := e.Key[len(functionPrefix):]
		old := f.records[name]
		if old.revision == e.Revision {
			return
		}
		r, err := decodeRecord(e.Value, name)
		if err != nil {
			f.unreadable(e.Key, err)
			return
		}
		r.Latest.ARN = f.c.cfg.Place.FunctionARN(name)
		if r.Running != nil {
			r.Running.ARN = r.Latest.ARN
		}
		if old.value != nil {
			delete(f.names, old.value.Function.ID)
		}
		f.names[r.Function.ID] = name
		f.records[name] = stored[*record]{r, e.Revision}
		f.changed(name)
	case kindOf(e.Key) != nil:
		o, err := kindOf(e.Key)(e.Value)
		if err != nil {
			f.unreadable(e.Key, err)
			return
		}
		f.shelve(e, o)
	default:
		f.unreadable(e.Key, errors.New("unknown kind of record"))
	}
}

// unreadable leaves a record alone that a later version of the program, or the
// disk, has made. What it refers to is unknown, so from now on nothing is
// removed for being nobody's.
func (f *follower) unreadable(key string, err error) {
	f.c.unreadable.Store(true)
	f.c.log.Error("record cannot be read, and nothing will be cleaned up", "key", key, "error", err)
}

func (f *follower) remove(key string) {
	if id, number, ok := splitVersionKey(key); ok {
		delete(f.versions[id], number)
		if len(f.versions[id]) == 0 {
			delete(f.versions, id)
		}
		f.changed(f.names[id])
		return
	}
	if kindOf(key) != nil {
		f.shelve(store.Entry{Key: key}, nil)
		return
	}
	if len(key) <= len(functionPrefix) {
		return
	}
	name := key[len(functionPrefix):]
	if old, ok := f.records[name]; ok {
		delete(f.names, old.value.Function.ID)
		delete(f.records, name)
		f.changed(name)
	}
}

// changed makes a view in which one function is as the records say now. Until
// the first round is complete there is none to change.
func (f *follower) changed(name string) {
	select {
	case <-f.loaded:
	default:
		return
	}
	now := f.c.view.Load()
	old, e := now.functions[name], f.entry(name)
	if old == nil && e == nil {
		return
	}
	next := now.clone()
	next.functions = maps.Clone(now.functions)
	next.moveURLs(old, e)
	if old != nil {
		next.codeBytes -= old.codeBytes()
		next.reserved -= reservedOf(old)
		delete(next.functions, name)
	}
	if e != nil {
		next.codeBytes += e.codeBytes()
		next.reserved += reservedOf(e)
		next.functions[name] = e
	}
	f.publish(next)
	f.c.subs.tell(changes(old, e))
}

func (f *follower) publish(v *view) {
	f.c.view.Store(v)
	f.c.unreserved.Store(int64(max(0, f.c.cfg.Concurrency-v.reserved)))
}

// entry makes the entry of a function from its records, or nil if it has none.
func (f *follower) entry(name string) *entry {
	r, ok := f.records[name]
	if !ok {
		return nil
	}
	rec := r.value
	e := &entry{record: rec, revision: r.revision, function: &rec.Function, latest: &rec.Latest, running: &rec.Latest}
	if rec.Running != nil {
		run := *rec.Running
		// Who waits for the update by way of Resolve sees it.
		run.RevisionID, run.LastModified = rec.Latest.RevisionID, rec.Latest.LastModified
		run.Update, run.UpdateReason, run.UpdateReasonCode = rec.Latest.Update, rec.Latest.UpdateReason, rec.Latest.UpdateReasonCode
		e.running = &run
	}
	all := f.versions[rec.Function.ID]
	numbers := make([]int, 0, len(all))
	for n := range all {
		if n <= rec.Function.LastVersion { // else it is not published yet, or never was
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	e.versions = make(map[string]published, len(numbers))
	e.numbers = make([]string, len(numbers))
	for i, n := range numbers {
		number := strconv.Itoa(n)
		v := all[n].value
		if id := rec.Qualified[number].Revision; id != "" {
			revised := *v
			revised.RevisionID = id
			v = &revised
		}
		e.numbers[i], e.versions[number] = number, published{v, all[n].revision}
	}
	e.aliases = e.targets()
	e.provisioned = e.provision()
	return e
}

// findOrphans lists the records of versions that a crash left without a function
// or above its counter.
func (f *follower) findOrphans() {
	if f.c.unreadable.Load() {
		return
	}
	for id, numbers := range f.versions {
		r := f.records[f.names[id]]
		for n, v := range numbers {
			if r.value == nil || n > r.value.Function.LastVersion {
				f.orphans = append(f.orphans, store.Entry{Key: versionKey(id, strconv.Itoa(n)), Revision: v.revision})
			}
		}
	}
}
