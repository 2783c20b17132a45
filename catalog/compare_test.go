package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/alcove-run/alcove"
)

// compare looks at everything that a client can see.
func (r *run) compare(t *rapid.T) {
	var want, got, all []string
	latest, versions := []string{}, []string{}
	for _, name := range slices.Sorted(maps.Keys(r.m.functions)) {
		f := r.m.functions[name]
		r.compareQualified(t, name, f)
		want = append(want, fmt.Sprintf("%s latest %v %s %s", name, f.latest, f.state, f.update), fmt.Sprintf("%s runs %v", name, f.running))
		latest = append(latest, name+":$LATEST")
		versions = append(versions, name+":$LATEST")
		for _, n := range slices.Sorted(maps.Keys(f.versions)) {
			want = append(want, fmt.Sprintf("%s:%d %v %s", name, n, f.versions[n].modelContent, f.versions[n].state))
			versions = append(versions, fmt.Sprintf("%s:%d", name, n))
		}
	}
	size := rapid.IntRange(1, 4).Draw(t, "page")
	list := r.walk(t, func(marker string) ([]*alcove.Version, string, error) { return r.List(marker, size, true) })
	for _, v := range list {
		all = append(all, v.Name+":"+v.Number)
		if v.Number == alcove.Latest {
			run, err := r.Resolve(alcove.Ref{Name: v.Name})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s latest %v %s %s", v.Name, content(v), v.State, v.Update), fmt.Sprintf("%s runs %v", v.Name, content(run)))
			continue
		}
		if one, err := r.Resolve(alcove.Ref{Name: v.Name, Qualifier: v.Number}); err != nil || one != v {
			t.Fatalf("%s:%s is listed and resolved as %v, %v", v.Name, v.Number, one, err)
		}
		got = append(got, fmt.Sprintf("%s:%s %v %s", v.Name, v.Number, content(v), v.State))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("catalog has\n%s\nmodel has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !slices.Equal(all, versions) && len(all)+len(versions) > 0 {
		t.Fatalf("all versions are %v, want %v", all, versions)
	}
	short := []string{}
	for _, v := range r.walk(t, func(marker string) ([]*alcove.Version, string, error) { return r.List(marker, size, false) }) {
		short = append(short, v.Name+":"+v.Number)
	}
	if !slices.Equal(short, latest) {
		t.Fatalf("functions are %v, want %v", short, latest)
	}
	var bytes int64
	for _, v := range list {
		bytes += v.Code.Size
	}
	if b, f := r.Totals(); b != bytes || f != len(latest) {
		t.Fatalf("totals are %d bytes of %d functions, want %d of %d", b, f, bytes, len(latest))
	}
}

// walk reads all pages of a list.
func (r *run) walk(t *rapid.T, page func(marker string) ([]*alcove.Version, string, error)) []*alcove.Version {
	var all []*alcove.Version
	for marker := ""; ; {
		vs, next, err := page(marker)
		if err != nil || next != "" && len(vs) == 0 {
			t.Fatalf("page after %q: %d versions, %v", marker, len(vs), err)
		}
		if all = append(all, vs...); next == "" {
			return all
		}
		marker = next
	}
}

func content(v *alcove.Version) modelContent {
	code := "?"
	for _, c := range []string{"x", "y"} {
		if makeZip(c).Code().SHA256 == v.Code.SHA256 {
			code = c
		}
	}
	return modelContent{v.Config.Description, v.Config.MemorySize, code, int(v.Generation)}
}

// compareQualified looks at what belongs to a function's qualifiers.
func (r *run) compareQualified(t *rapid.T, name string, f *modelFunction) {
	for _, alias := range []string{"blue", "green"} {
		a, err := r.Alias(name, alias)
		if version := f.aliases[alias]; (err == nil) != (version != "") || err == nil && a.Version != version {
			t.Fatalf("%s:%s stands for %v, %v, want %q", name, alias, a, err, version)
		}
		if err != nil {
			continue
		}
		direct, err1 := r.Resolve(alcove.Ref{Name: name, Qualifier: a.Version})
		through, err2 := r.Resolve(alcove.Ref{Name: name, Qualifier: alias})
		if err1 != nil || err2 != nil || direct != through {
			t.Fatalf("%s:%s resolves to %v, %v, its version to %v, %v", name, alias, through, err2, direct, err1)
		}
	}
	for _, qualifier := range []string{alcove.Latest, "1", "2", "blue", "green"} {
		p, _ := r.Policy(alcove.Ref{Name: name, Qualifier: qualifier})
		if p.Document != f.policies[qualifier] {
			t.Fatalf("%s:%s has the policy %q, want %q", name, qualifier, p.Document, f.policies[qualifier])
		}
	}
}
