package logs

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/alcove-run/alcove"
)

// TestTags sets and takes away tags, and finds them after the store was opened again.
func TestTags(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := func(group string, want map[string]string) {
		t.Helper()
		if got, err := s.Tags(ctx, group); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s has %q, %v, want %q", group, got, err, want)
		}
	}
	if err := errors.Join(s.CreateGroup(ctx, "g", map[string]string{"a": "1", "b": "2"}), s.CreateGroup(ctx, "h", map[string]string{"a": "h"})); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateGroup(ctx, "g", map[string]string{"c": "3"}); !errors.Is(err, ErrExists) {
		t.Errorf("again: %v", err)
	}
	want("g", map[string]string{"a": "1", "b": "2"})
	if err := s.Retag(ctx, "g", map[string]string{"b": "3", "c": ""}, []string{"a", "none"}); err != nil {
		t.Error(err)
	}
	many := make(map[string]string)
	for i := range alcove.MaxTags - 1 {
		many[fmt.Sprint(i)] = "x"
	}
	if err := s.Retag(ctx, "g", many, []string{"b"}); err != nil {
		t.Errorf("as many as there may be: %v", err)
	}
	if err := s.Retag(ctx, "g", map[string]string{"0": "changed", "more": ""}, nil); !errors.Is(err, ErrTooManyTags) {
		t.Errorf("one too many: %v", err)
	}
	many["c"] = ""
	want("g", many)
	many["more"] = ""
	if err := s.CreateGroup(ctx, "too many", many); !errors.Is(err, ErrTooManyTags) {
		t.Errorf("one too many: %v", err)
	}
	if _, err := s.Group(ctx, "too many"); !errors.Is(err, ErrNoGroup) {
		t.Errorf("a group that was not made: %v", err)
	}
	if err := s.Retag(ctx, "none", nil, []string{"a"}); !errors.Is(err, ErrNoGroup) {
		t.Errorf("of no group: %v", err)
	}
	delete(many, "more")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want("g", many)
	want("h", map[string]string{"a": "h"})
	if err := errors.Join(s.DeleteGroup(ctx, "g"), s.CreateGroup(ctx, "g", nil)); err != nil {
		t.Fatal(err)
	}
	want("g", nil)
	want("h", map[string]string{"a": "h"})
	var rows int
	if err := s.index.r.QueryRow(`SELECT count(*) FROM tags`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d tags are on the disk, %v", rows, err)
	}
}
