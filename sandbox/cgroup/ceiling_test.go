package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryCeiling(t *testing.T) {
	const v1, v2 = "memory.limit_in_bytes", "memory.max"
	for name, c := range map[string]struct {
		path  string // of the own group
		files map[string]string
		want  int64
	}{
		"nothing":              {"/", nil, math.MaxInt64},
		"no limit":             {"/a", map[string]string{"a/" + v1: "9223372036854771712\n", v1: "9223372036854771712\n"}, 9223372036854771712},
		"max":                  {"/a", map[string]string{"a/" + v2: "max\n"}, math.MaxInt64},
		"own":                  {"/a/b", map[string]string{"a/b/" + v1: "1000\n", "a/" + v1: "2000\n"}, 1000},
		"above":                {"/a/b", map[string]string{"a/b/" + v2: "max\n", "a/" + v2: "2000\n"}, 2000},
		"topmost":              {"/a/b", map[string]string{"a/b/" + v2: "5000\n", v2: "3000\n"}, 3000},
		"a neighbour's":        {"/a", map[string]string{"a/" + v2: "5000\n", "b/" + v2: "1\n"}, 5000},
		"of both versions":     {"/a", map[string]string{"a/" + v1: "5000\n", "a/" + v2: "4000\n"}, 4000},
		"not a number":         {"/a", map[string]string{"a/" + v2: "many\n"}, math.MaxInt64},
		"in a hidden group":    {"/elsewhere", map[string]string{v2: "7000\n"}, 7000},
		"zero, which is a lie": {"/a", map[string]string{"a/" + v2: "0\n"}, math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			mount := t.TempDir()
			if err := os.MkdirAll(filepath.Join(mount, "a", "b"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(mount, "b"), 0o700); err != nil {
				t.Fatal(err)
			}
			for file, text := range c.files {
				if err := os.WriteFile(filepath.Join(mount, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			h := hierarchy{mount: mount, root: "/", path: c.path}
			l := layout{v1: map[string]hierarchy{memoryController: h}, v2: &h}
			if got := l.memoryCeiling(); got != c.want {
				t.Errorf("the ceiling is %d, want %d", got, c.want)
			}
		})
	}
	if n := MemoryCeiling(); n <= 0 {
		t.Errorf("this process may have %d bytes", n)
	}
}
