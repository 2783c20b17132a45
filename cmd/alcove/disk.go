package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"

	"github.com/alcove-run/alcove/internal/disk"
	"github.com/alcove-run/alcove/pool"
	"github.com/alcove-run/alcove/sandbox"
)

// diskReserve is how much of a disk of size bytes environments leave free: a
// twentieth, 1 GB at most, and more than the node's own state keeps for itself.
func diskReserve(size int64) int64 { return max(2*spaceReserve, min(size/20, 1<<30)) }

const (
	// logLeast is what the log store may hold however short the disk is.
	logLeast = 32 << 20
	// logMargin is that, and more than the store writes between two looks at the disk.
	logMargin = logLeast + 64<<20
)

// logReserve is how much of a disk of size bytes the log store leaves free before it
// grows no more. It is above what environments need: tenants that write much take the
// place of records, not of everybody's environments.
func logReserve(size int64) int64 { return diskReserve(size) + logMargin }

// diskOf measures the file system of dir, or of what of it there is.
func diskOf(dir string) (size, free int64, err error) {
	for {
		size, free, err = disk.Space(dir)
		up := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || up == dir {
			return size, free, err
		}
		dir = up
	}
}

// watchDisk is how the pool learns of the disk below dir, where driver keeps
// /tmp of its sandboxes.
func watchDisk(dir string, driver sandbox.Driver, log *slog.Logger) pool.Disk {
	size, _, err := diskOf(dir)
	meter, ok := driver.(sandbox.DiskMeter)
	if err != nil || !ok {
		log.Warn("the disk is not watched: /tmp of all environments may fill it", "error", err)
		return pool.Disk{}
	}
	reserve := diskReserve(size)
	return pool.Disk{
		Lack: func() int64 {
			_, free, err := diskOf(dir)
			if err != nil {
				return 0
			}
			return reserve - free
		},
		Urgent: reserve / 4,
		Use:    meter.DiskUse,
	}
}

// findDisk says whether the disk below dir has room for environments.
func findDisk(dir string) sandbox.Finding {
	f := sandbox.Finding{Name: "disk", State: sandbox.OK}
	size, free, err := diskOf(dir)
	if err != nil {
		f.State, f.Detail, f.Fix = sandbox.Missing, err.Error(), "name a directory on a disk with --data"
		return f
	}
	reserve := diskReserve(size)
	f.Detail = fmt.Sprintf("%s free for %s, of which %s stay in reserve", megabytes(free), dir, megabytes(reserve))
	if free <= reserve {
		f.State = sandbox.Missing
		f.Detail += ": no environment can be made"
		f.Fix = "make room, or name a directory on another disk with --data"
	}
	return f
}
