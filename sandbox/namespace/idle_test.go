package namespace

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/sandbox"
)

// An idle sandbox holds few of the node's descriptors, and its first process none
// but its link and what it learns of the node's end by.
func TestIdleSandboxHoldsFewDescriptors(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("as an ordinary user nothing is forked")
	}
	s := newSite(t)
	tun := !s.driver.pair
	for _, c := range clients {
		if c.name != "python" && c.name != "forked" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			s.driver.pair = !tun
			s.wantFewOf(t, c.args, c.template)
		})
		t.Run(c.name+"_without_tun", func(t *testing.T) {
			s.driver.pair = true
			s.wantFewOf(t, c.args, c.template)
		})
	}
}

// wantFewOf makes idle sandboxes and counts what they hold.
func (s *site) wantFewOf(t *testing.T, args []string, template bool) {
	t.Helper()
	if template {
		s.awaitTemplate(args)
	}
	warm, l := s.spec(args...) // the stock of /tmp begins with the first that is used
	defer l.Close()
	if err := s.create(warm).Destroy(); err != nil {
		t.Fatal(err)
	}
	s.stocked(512 << 20)
	before := s.openFiles()
	const sandboxes, theirs = 5, 2 // of each, the socket and its client are this test's
	for range sandboxes {
		spec, l := s.spec(args...)
		defer l.Close()
		spec.Template, spec.Link = template, true
		b := s.create(spec)
		defer b.Destroy()
		if forked, why := b.(interface{ Forked() (bool, string) }).Forked(); forked != template {
			t.Fatalf("forked: %v, %s", forked, why)
		}
		for range 2 { // a link can be had again
			link := b.(sandbox.Linked).Link()
			if link == nil {
				t.Fatal("there is no link")
			}
			link.Close()
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		s.wantOfFirst(b.(*box), template)
	}
	s.stocked(512 << 20)
	most := len(before) + sandboxes*(theirs+Descriptors())
	err := eventually(t.Context(), slow.Patience(time.Minute), func() (bool, error) { return len(s.openFiles()) <= most, nil })
	if err != nil {
		t.Errorf("%d sandboxes hold %d descriptors, %d may be; before them %q, now %q",
			sandboxes, len(s.openFiles())-len(before), sandboxes*(theirs+Descriptors()), before, s.openFiles())
	}
}

// wantOfFirst checks what a first process holds.
func (s *site) wantOfFirst(b *box, forked bool) {
	s.Helper()
	want := []string{"16 /net/tun", "3 socket"} // of a /dev that is mounted nowhere
	if s.driver.pair {
		want[0] = "16 socket" // of packets
	}
	if forked {
		want[1] = "3 pipe"
	}
	var have []string
	err := eventually(s.Context(), slow.Patience(time.Minute), func() (bool, error) { // the launcher has more
		have = filesOf(fmt.Sprintf("/proc/%d/fd", b.proc.Pid))
		return slices.Equal(have, want), nil
	})
	if err != nil {
		s.Errorf("the first process holds %q, want %q", have, want)
	}
}

func (s *site) openFiles() []string { return filesOf("/proc/self/fd") }

// filesOf lists the descriptors in a directory of /proc.
func filesOf(dir string) (files []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			kind, _, _ := strings.Cut(to, ":")
			files = append(files, e.Name()+" "+kind)
		}
	}
	return files
}
