package gvisor

import (
	"fmt"
	_ "unsafe" // for go:linkname

	"gvisor.dev/gvisor/pkg/sentry/platform"
	_ "gvisor.dev/gvisor/pkg/sentry/platform/systrap" // the variable's owner, and what registers the platform
)

// platformName is the platform that sandboxes run on.
const platformName = "systrap"

// systrap has a process of its own for each address space and asks it for system
// calls (to map memory, above all) in one of two ways: by notifications of
// seccomp, or by a futex in shared memory, which is for kernels before 5.0.
//
// Notifications do not survive the freezer. Each freeze interrupts the one that
// waits to be answered; the thaw makes another, and the kernel's count of those
// to be fetched goes up for good. The next fetch takes a stale count for one
// that is there, fails with ENOENT, and the sentry kills the address space: a
// sandbox that was frozen twice dies when it next needs memory. So the futex is
// used, which knows of nothing but its value.
//
//go:linkname seccompNotifyIsSupported gvisor.dev/gvisor/pkg/sentry/platform/systrap.seccompNotifyIsSupported
var seccompNotifyIsSupported bool

// withoutNotify is systrap as it is on a kernel without notifications, on a machine
// of one processor.
type withoutNotify struct{ platform.Constructor }

// New implements platform.Constructor. systrap finds out what the kernel has
// while it is made, before the first address space is.
//
// It does without systrap's fast path, in which the sentry and the processes that it
// runs wait for one another without sleep, and a watch that decides every 400 µs
// whether they do. There are more sandboxes than processors, so who waits so takes
// from others; and each event that wakes a sandbox woke the watch twice more.
func (c withoutNotify) New(opts platform.Options) (platform.Platform, error) {
	opts.DisableFastPath = true
	p, err := c.Constructor.New(opts)
	seccompNotifyIsSupported = false
	return p, err
}

// registerPlatform puts withoutNotify in systrap's place.
func registerPlatform() error {
	c, err := platform.Lookup(platformName)
	if err != nil {
		return fmt.Errorf("platform: %w", err)
	}
	platform.Register(platformName, withoutNotify{c})
	return nil
}
