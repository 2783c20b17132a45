package sandboxtest

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/alcove-run/alcove/sandbox"
)

// findings must be filled in, and say of a machine on which the suite passes
// that nothing is missing.
func (s *suite) findings(t *T) {
	fs := s.driver.Findings()
	if len(fs) == 0 {
		t.Fatal("no findings")
	}
	seen := make(map[string]bool)
	for _, f := range fs {
		t.Logf("%s: %s: %s %s", f.Name, f.State, f.Detail, f.Fix)
		if f.Name == "" || f.Detail == "" || seen[f.Name] {
			t.Errorf("%+v", f)
		}
		seen[f.Name] = true
		switch f.State {
		case sandbox.OK:
			if f.Fix != "" {
				t.Errorf("%s is fine, and yet to be mended: %q", f.Name, f.Fix)
			}
		case sandbox.Degraded, sandbox.Missing:
			if f.Fix == "" {
				t.Errorf("%s has no fix", f.Name)
			}
			if f.State == sandbox.Missing {
				t.Errorf("%s is missing: %s", f.Name, f.Detail)
			}
		default:
			t.Errorf("%s has the state %q", f.Name, f.State)
		}
	}
	if name := s.driver.Name(); name == "" {
		t.Error("the driver has no name")
	}
}

// close ends the driver with sandboxes in it.
func (s *suite) close(t *T) {
	b, _ := s.agent(t)
	frozen, _ := s.agent(t)
	if err := frozen.Freeze(); err != nil {
		t.Error(err)
	}
	if err := s.driver.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	select {
	case <-b.Done():
	default:
		t.Error("the driver is closed, but a sandbox runs on")
	}
	if _, err := s.create(t, t.Context()); err == nil {
		t.Error("Create succeeded after Close")
	}
	for _, x := range []*box{b, frozen} {
		for _, left := range s.leftovers(x.spec.ID) {
			t.Errorf("after Close: %s", left)
		}
		x.door.close()
		x.stdout.wait(t)
		x.stderr.wait(t)
		x.log.wait(t)
	}
	s.emptyDir(t)
}

// emptyDir looks into the driver's directory.
func (s *suite) emptyDir(t *T) {
	err := filepath.WalkDir(s.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name == s.dir {
			return nil
		}
		rel, err := filepath.Rel(s.dir, name)
		if err != nil {
			return err
		}
		for pattern := range s.o.Keeps {
			if ok, err := filepath.Match(pattern, rel); err != nil {
				return err
			} else if ok {
				return nil
			}
		}
		t.Errorf("after Close, the driver's directory has %s", rel)
		if d.IsDir() {
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
}
