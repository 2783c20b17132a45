package namespace

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A stretch is a part of a process's memory.
type stretch struct{ start, end uint64 }

const (
	// scoutPages bounds how many pages a forked process gets copies of at once: more
	// are not worth their memory. A Python process that waits for its first event has
	// written to some 500.
	scoutPages = 768
	// scoutStretches bounds in how many parts they are: IOV_MAX of the kernel, less
	// would do.
	scoutStretches = 1024
	// scoutMapping bounds the mappings that are looked at, in bytes.
	scoutMapping = 64 << 20
)

// written is the answer to a template's msgScout: an array of struct iovec, empty if
// nothing can be known, without which processes are forked all the same.
func (d *Driver) written(template, scout int) []byte {
	found, err := ownPages(template, scout)
	if err != nil {
		d.conf.Log.Debug("where forked processes write is not known", "error", err)
		return []byte{0} // nothing would be the node's end
	}
	var out []byte
	for _, s := range found {
		out = binary.NativeEndian.AppendUint64(out, s.start)
		out = binary.NativeEndian.AppendUint64(out, s.end-s.start)
	}
	if len(out) == 0 {
		return []byte{0}
	}
	return out
}

// ownPages gives the pages that a child has to itself, in what its parent may write
// to: its copies of the parent's.
func ownPages(parent, child int) ([]stretch, error) {
	maps, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(parent), "maps"))
	if err != nil {
		return nil, err
	}
	pagemap, err := os.Open(filepath.Join("/proc", strconv.Itoa(child), "pagemap"))
	if err != nil {
		return nil, err
	}
	defer pagemap.Close()
	page := uint64(os.Getpagesize())
	var out []stretch
	pages := 0
	for _, m := range privateMappings(string(maps)) {
		if m.end-m.start > scoutMapping {
			continue
		}
		entries := make([]byte, (m.end-m.start)/page*8)
		if _, err := pagemap.ReadAt(entries, int64(m.start/page*8)); err != nil {
			return nil, err
		}
		for at := m.start; len(entries) > 0; at, entries = at+page, entries[8:] {
			if !isOwn(binary.NativeEndian.Uint64(entries)) {
				continue
			}
			if pages++; pages > scoutPages {
				return nil, fmt.Errorf("more than %d pages", scoutPages)
			}
			if n := len(out); n > 0 && out[n-1].end == at {
				out[n-1].end += page
			} else {
				out = append(out, stretch{at, at + page})
			}
		}
	}
	if len(out) > scoutStretches {
		return nil, fmt.Errorf("more than %d stretches", scoutStretches)
	}
	return slices.Clip(out), nil
}

// isOwn tells whether an entry of /proc/PID/pagemap is of memory, not of a file, that
// no other process has.
func isOwn(entry uint64) bool {
	const present, file, exclusive = 1 << 63, 1 << 61, 1 << 56
	return entry&(present|file|exclusive) == present|exclusive
}

// privateMappings reads /proc/PID/maps: what can be written to and is shared with
// nobody but by a fork.
func privateMappings(maps string) []stretch {
	var out []stretch
	for line := range strings.Lines(maps) {
		f := strings.Fields(line)
		if len(f) < 2 || !strings.HasPrefix(f[1], "rw") || !strings.HasSuffix(f[1], "p") {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil && start < end {
			out = append(out, stretch{start, end})
		}
	}
	return out
}
