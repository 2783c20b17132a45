package catalog

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/slow"
)

// The model is what a catalog is to its clients, written as naively as can be:
// maps and loops, no store, no views, no goroutines. A random sequence of
// operations has to end alike on both, errors included.
type model struct{ functions map[string]*modelFunction }

type modelFunction struct {
	latest, running modelContent
	generation      int // highest
	state           string
	update          string
	versions        map[int]*modelVersion
	last            int
	lastContent     modelContent      // of the version published last
	aliases         map[string]string // the version of each
	policies        map[string]string // by $LATEST, version or alias
}

// has says whether a qualifier is one of f's.
func (f *modelFunction) has(qualifier string) bool {
	n, _ := strconv.Atoi(qualifier)
	return qualifier == alcove.Latest || f.versions[n] != nil || f.aliases[qualifier] != ""
}

// aliased says whether an alias stands for a version.
func (f *modelFunction) aliased(version string) bool {
	return slices.Contains(slices.Collect(maps.Values(f.aliases)), version)
}

type modelContent struct {
	description string
	memory      int
	code        string
	generation  int
}

func (c modelContent) same(o modelContent) bool {
	c.generation, o.generation = 0, 0
	return c == o
}

type modelVersion struct {
	modelContent
	state string
}

func (f *modelFunction) pending() bool { return f.state == "Pending" || f.update == "InProgress" }

// change is an update; it gives the code of AWS's error, or nothing.
func (m *model) change(name string, publish bool, to func(*modelContent)) string {
	f := m.functions[name]
	switch {
	case f == nil:
		return alcove.CodeResourceNotFound
	case f.pending():
		return alcove.CodeResourceConflict
	}
	before := f.latest
	to(&f.latest)
	if before.memory != f.latest.memory || before.code != f.latest.code {
		f.generation++
		f.latest.generation = f.generation
	}
	if f.state == "Failed" {
		f.state = "Pending"
		f.running = f.latest
	} else if f.update != "Failed" {
		f.running = before
	}
	f.update = "InProgress"
	if publish {
		m.publish(name)
	}
	return ""
}

func (m *model) publish(name string) {
	f := m.functions[name]
	if f.versions[f.last] != nil && f.lastContent.same(f.latest) {
		return
	}
	f.last++
	f.lastContent = f.latest
	v := &modelVersion{f.latest, "Active"}
	if f.pending() {
		v.state = "Pending"
	}
	f.versions[f.last] = v
}

// calls is a Prepare that answers what the test says, call by call.
type calls struct {
	mu      sync.Mutex
	waiting map[string]chan error // guarded by mu; by name:number
	came    chan struct{}
}

func (p *calls) prepare(ctx context.Context, v *alcove.Version) error {
	answer := make(chan error, 1)
	key := v.Name + ":" + v.Number
	p.mu.Lock()
	p.waiting[key] = answer
	p.mu.Unlock()
	p.came <- struct{}{}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answer waits for the call and answers it.
func (p *calls) answer(t *rapid.T, key string, err error) {
	ch := p.await(t, key)
	p.mu.Lock()
	delete(p.waiting, key)
	p.mu.Unlock()
	ch <- err
}

// await waits for the call.
func (p *calls) await(t *rapid.T, key string) chan error {
	limit := time.After(slow.Patience(time.Minute))
	for {
		p.mu.Lock()
		ch := p.waiting[key]
		p.mu.Unlock()
		if ch != nil {
			return ch
		}
		select {
		case <-p.came:
		case <-limit:
			t.Fatalf("Prepare is not asked for %s", key)
		}
	}
}

func TestCatalogIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "alcove-catalog-")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		p := &calls{waiting: make(map[string]chan error), came: make(chan struct{}, 10_000)}
		n, err := start(dir, Config{Prepare: p.prepare}, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		r := &run{node: n, calls: p, m: &model{make(map[string]*modelFunction)}}
		defer func() { _ = r.stopAll() }()
		t.Repeat(map[string]func(*rapid.T){
			"create": r.create, "code": r.updateCode, "configuration": r.updateConfiguration, "publish": r.publish,
			"delete": r.delete, "delete version": r.deleteVersion, "alias": r.alias, "delete alias": r.deleteAlias, "policy": r.policy, "settle": r.settle, "restart": r.restart, "": r.compare,
		})
	})
}

type run struct {
	*node
	calls *calls
	m     *model
}

var modelNames = rapid.SampledFrom([]string{"a", "B-1", "c_"})

// roomToWait says whether another function may be pending: each of the two that
// prepare is then free to be asked.
func (r *run) roomToWait() bool {
	pending := 0
	for _, f := range r.m.functions {
		if f.pending() {
			pending++
		}
	}
	return pending < preparers
}

// agree checks that the catalog's error has the model's code.
func agree(t *rapid.T, err error, code string) {
	got := ""
	if err != nil {
		got = alcove.AsError(err).Code
	}
	if got != code {
		t.Fatalf("error is %v, want %q", err, code)
	}
}

func (r *run) create(t *rapid.T) {
	name, code, publish := modelNames.Draw(t, "name"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "code"), rapid.Bool().Draw(t, "publish")
	want := ""
	if r.m.functions[name] != nil {
		want = alcove.CodeResourceConflict
	} else if !r.roomToWait() {
		t.Skip()
	}
	_, err := r.Create(context.Background(), caller, CreateInput{Name: name, Config: config("new"), Zip: makeZip(code), Publish: publish})
	agree(t, err, want)
	if want == "" {
		c := modelContent{"new", 128, code, 1}
		r.m.functions[name] = &modelFunction{latest: c, running: c, generation: 1, state: "Pending", versions: make(map[int]*modelVersion),
			aliases: make(map[string]string), policies: make(map[string]string)}
		if publish {
			r.m.publish(name)
		}
	}
}

func (r *run) updateCode(t *rapid.T) {
	name, code, publish := modelNames.Draw(t, "name"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "code"), rapid.Bool().Draw(t, "publish")
	if !r.roomToWait() {
		t.Skip()
	}
	_, err := r.UpdateCode(context.Background(), caller, name, UpdateCodeInput{Zip: makeZip(code), Publish: publish})
	agree(t, err, r.m.change(name, publish, func(c *modelContent) { c.code = code }))
}

func (r *run) updateConfiguration(t *rapid.T) {
	name, words, mb := modelNames.Draw(t, "name"), rapid.SampledFrom([]string{"p", "q"}).Draw(t, "words"), rapid.SampledFrom([]int{128, 256}).Draw(t, "memory")
	if !r.roomToWait() {
		t.Skip()
	}
	_, err := r.UpdateConfiguration(context.Background(), caller, name, "", func(c *alcove.Config) error {
		c.Description, c.MemorySize = words, mb
		return nil
	})
	agree(t, err, r.m.change(name, false, func(c *modelContent) { c.description, c.memory = words, mb }))
}

func (r *run) publish(t *rapid.T) {
	name := r.name(t)
	f, want := r.m.functions[name], ""
	switch {
	case f == nil:
		want = alcove.CodeResourceNotFound
	case f.pending() || f.state == "Failed" || f.update == "Failed":
		want = alcove.CodeResourceConflict
	}
	v, err := r.Publish(context.Background(), caller, name, PublishInput{})
	agree(t, err, want)
	if want == "" {
		if r.m.publish(name); v.Number != strconv.Itoa(f.last) {
			t.Fatalf("published as %s, want %d", v.Number, f.last)
		}
	}
}

func (r *run) delete(t *rapid.T) {
	name := r.name(t)
	f, want := r.m.functions[name], ""
	if f == nil {
		want = alcove.CodeResourceNotFound
	}
	pending := f != nil && f.pending()
	if pending {
		r.calls.await(t, r.first(name, f))
	}
	agree(t, r.Delete(context.Background(), caller, alcove.Ref{Name: name}), want)
	delete(r.m.functions, name)
	if pending { // whoever prepares it is let go
		r.calls.answer(t, r.first(name, f), errors.New("gone"))
	}
}

// first is what Prepare is asked for first of a function that is pending.
func (r *run) first(name string, f *modelFunction) string {
	for _, n := range slices.Sorted(maps.Keys(f.versions)) {
		if f.versions[n].state == "Pending" {
			return name + ":" + strconv.Itoa(n)
		}
	}
	return name + ":" + alcove.Latest
}

func (r *run) deleteVersion(t *rapid.T) {
	name := r.name(t)
	f, want := r.m.functions[name], ""
	n, _ := strconv.Atoi(r.version(t, f)) // $LATEST is 0, which never was
	switch {
	case f == nil:
		want = alcove.CodeResourceNotFound
	case f.pending():
		t.Skip() // which of its calls is being answered is a matter of time
	case f.aliased(strconv.Itoa(n)):
		want = alcove.CodeResourceConflict
	}
	agree(t, r.Delete(context.Background(), caller, alcove.Ref{Name: name, Qualifier: strconv.Itoa(n)}), want)
	if want == "" {
		delete(f.versions, n)
		delete(f.policies, strconv.Itoa(n))
	}
}

var (
	modelAliases  = rapid.SampledFrom([]string{"blue", "green"})
	modelVersions = rapid.SampledFrom([]string{alcove.Latest, "1", "2"})
)

// name draws a function's name, more often than not one that is there.
func (r *run) name(t *rapid.T) string {
	there := slices.Sorted(maps.Keys(r.m.functions))
	if len(there) == 0 || rapid.IntRange(0, 7).Draw(t, "any") == 0 {
		return modelNames.Draw(t, "name")
	}
	return rapid.SampledFrom(there).Draw(t, "name")
}

// version draws a version of f, if it has one that is published, or any.
func (r *run) version(t *rapid.T, f *modelFunction) string {
	if f == nil || len(f.versions) == 0 || rapid.IntRange(0, 3).Draw(t, "any") == 0 {
		return modelVersions.Draw(t, "version")
	}
	return strconv.Itoa(rapid.SampledFrom(slices.Sorted(maps.Keys(f.versions))).Draw(t, "version"))
}

// alias makes an alias, or has it stand for another version.
func (r *run) alias(t *rapid.T) {
	name, alias := r.name(t), modelAliases.Draw(t, "alias")
	f, want := r.m.functions[name], ""
	version := r.version(t, f)
	if f == nil || !f.has(version) {
		want = alcove.CodeResourceNotFound
	}
	var err error
	if f != nil && f.aliases[alias] != "" {
		_, err = r.UpdateAlias(context.Background(), caller, name, alias, AliasUpdate{Version: &version})
	} else {
		_, err = r.CreateAlias(context.Background(), caller, name, AliasInput{Name: alias, Version: version})
	}
	agree(t, err, want)
	if want == "" {
		f.aliases[alias] = version
	}
}

func (r *run) deleteAlias(t *rapid.T) {
	name, alias := r.name(t), modelAliases.Draw(t, "alias")
	f, want := r.m.functions[name], ""
	if f == nil {
		want = alcove.CodeResourceNotFound
	}
	agree(t, r.DeleteAlias(context.Background(), caller, name, alias), want)
	if f != nil {
		delete(f.aliases, alias)
		delete(f.policies, alias)
	}
}

// policy puts or deletes the policy of a qualifier.
func (r *run) policy(t *rapid.T) {
	name, text := r.name(t), rapid.SampledFrom([]string{"", "p", "q"}).Draw(t, "policy")
	qualifier := rapid.OneOf(modelAliases, modelVersions).Draw(t, "qualifier")
	f, want := r.m.functions[name], ""
	if f == nil || !f.has(qualifier) || text == "" && f.policies[qualifier] == "" {
		want = alcove.CodeResourceNotFound
	}
	if f != nil && f.pending() {
		t.Skip() // its revision is what settle looks for: it would prepare again
	}
	ref, err := alcove.Ref{Name: name, Qualifier: qualifier}, error(nil)
	if text == "" {
		err = r.DeletePolicy(context.Background(), caller, ref, "")
	} else {
		_, err = r.PutPolicy(context.Background(), caller, ref, text, "")
	}
	agree(t, err, want)
	if want == "" {
		f.policies[qualifier] = text
	}
}

// settle answers all that is asked of one pending function.
func (r *run) settle(t *rapid.T) {
	name, ok := modelNames.Draw(t, "name"), rapid.IntRange(0, 3).Draw(t, "outcome") > 0
	f := r.m.functions[name]
	if f == nil || !f.pending() {
		t.Skip()
	}
	var err error
	outcome := "Active"
	if !ok {
		err, outcome = errors.New("cannot run"), "Failed"
	}
	for _, n := range slices.Sorted(maps.Keys(f.versions)) {
		if v := f.versions[n]; v.state == "Pending" {
			r.calls.answer(t, name+":"+strconv.Itoa(n), err)
			v.state = outcome
		}
	}
	r.calls.answer(t, name+":"+alcove.Latest, err)
	switch {
	case ok:
		f.state, f.update, f.running = "Active", "Successful", f.latest
	case f.state == "Pending":
		f.state, f.update, f.running = "Failed", "Failed", f.latest
	default:
		f.update = "Failed"
	}
	ctx, cancel := context.WithTimeout(context.Background(), slow.Patience(time.Minute))
	defer cancel()
	if err := r.waiting.wait(ctx, r.Catalog, func() bool { return !r.view.Load().functions[name].unsettled() }); err != nil {
		t.Fatal(err)
	}
}

func (r *run) restart(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
		t.Skip()
	}
	if err := r.stopAll(); err != nil {
		t.Fatal(err)
	}
	clear(r.calls.waiting) // all were cancelled
	n, err := start(r.dir, Config{Prepare: r.calls.prepare}, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	r.node = n
}
