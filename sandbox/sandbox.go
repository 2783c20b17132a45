// Package sandbox is the seam between an execution environment and the
// mechanism that confines it. It owns the types that every driver shares and
// nothing else: the drivers live in sandbox/gvisor and sandbox/namespace, the
// read-only roots in sandbox/rootfs, the resource limits in sandbox/cgroup, and
// the conformance and posture suite that every driver must pass in
// sandbox/sandboxtest.
//
// A driver knows nothing of tenants, functions or Lambda: it is given
// directories, a command and limits, and it answers with something that can be
// waited for, frozen and destroyed. It imports the root package not at all.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
)

// Where things appear inside every sandbox, whatever the driver.
const (
	// SocketDir is the directory in which the environment's Runtime API socket
	// appears. It is the only door out of a sandbox.
	SocketDir = "/run/alcove"
	// SocketName is the name of the Runtime API's unix socket in SocketDir (and
	// in Spec.SocketDir on the host).
	SocketName = "runtime.sock"
	// RuntimeAPIAddr is the TCP address inside the sandbox that leads to the
	// same socket when Spec.TCP is set: official runtime clients insist on TCP.
	RuntimeAPIAddr = "127.0.0.1:9001"
	// The link to the outside (Spec.Link) has the sandbox at one end, with these
	// addresses in every sandbox, and whoever has the other (Linked) as gateway for
	// everything else. Those of IPv4 are the ones that RFC 7335 sets apart for such
	// links, so that no network that anybody wants to reach has them. At the
	// gateway's, port 53, names are resolved: /etc/resolv.conf says so.
	LinkAddr4    = "192.0.0.2"
	GatewayAddr4 = "192.0.0.1"
	LinkAddr6    = "fd00:a1c0:7e::2"
	GatewayAddr6 = "fd00:a1c0:7e::1"
	// LinkName is the link's name in the sandbox, and LinkMTU the longest packet:
	// nothing is behind the link that would have to carry it in one piece.
	LinkName = "eth0"
	LinkMTU  = 65535
	// LinkFrame is what stands before each packet where the other end is a packet
	// socket, but for the two bytes at its end, which say the packet's protocol as
	// Ethernet numbers it: the sandbox's device, and the other one.
	LinkFrame = "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x00\x00"
	// ExtensionsDir is where the program is mounted that starts extensions; every root
	// tree has it as an empty directory.
	ExtensionsDir = "/run/alcove-extensions"
	// Hosts is every root tree's /etc/hosts. AWS calls a sandbox so.
	Hosts = "127.0.0.1 localhost sandbox.localdomain sandbox\n::1 localhost ip6-localhost ip6-loopback\n"
	// LogFD is the descriptor at which Spec.Log appears in the first process,
	// for runtimes that frame their log records (_LAMBDA_TELEMETRY_LOG_FD).
	LogFD = 3

	// TemplateFD is where a program finds how to go on that is to be forked
	// (Spec.Template). In a sandbox it is not open.
	TemplateFD = 4

	// UID and GID are the ids that the first process has inside the sandbox unless
	// Spec.User has others, the ones that AWS uses for its sandbox user.
	UID = 993
	GID = 990
	// UserName is the name of UID in the sandbox's /etc/passwd.
	UserName = "sbx_user1051"
)

// Mount is a host directory that appears read-only, nosuid and nodev inside
// the sandbox.
type Mount struct {
	Source string // absolute host path of a directory
	Target string // absolute path inside the sandbox; the root tree has it as an empty directory
}

// User is who a program is inside its sandbox. These are names and no more: nobody
// has a capability, and on the host the ids are nobody's.
type User struct {
	UID, GID uint32
	// Groups are further ones, which a driver without root's rights cannot give.
	Groups []uint32
}

// MaxGroups bounds User.Groups.
const MaxGroups = 32

// Who is the user of a sandbox's first process.
func (s *Spec) Who() User {
	if s.User == nil {
		return User{UID: UID, GID: GID}
	}
	return *s.User
}

// CheckUser refuses a user that no sandbox has. Root is not just a name: there are
// files in /proc that it may write to without any capability.
func (s *Spec) CheckUser() error {
	const most = 1<<31 - 1 // what container engines take
	who := s.Who()
	switch {
	case who.UID == 0:
		return errors.New("the user is root")
	case s.User != nil && (len(s.Late) > 0 || s.Template):
		return errors.New("a sandbox that is to become somebody's has no user of its own")
	case len(who.Groups) > MaxGroups:
		return fmt.Errorf("the user has %d groups", len(who.Groups))
	}
	seen := map[uint32]bool{who.GID: true}
	for _, g := range who.Groups {
		if seen[g] {
			return fmt.Errorf("the user has group %d twice", g)
		}
		seen[g] = true
	}
	if who.UID > most || who.GID > most || slices.ContainsFunc(who.Groups, func(g uint32) bool { return g > most }) {
		return errors.New("the user's ids are too large")
	}
	return nil
}

// Limits bounds what one sandbox may take from the machine.
type Limits struct {
	// Memory is what the function may use, in bytes (its MemorySize). What the
	// sandbox itself needs comes on top, added by the driver. /tmp and /dev/shm
	// do not count against it.
	Memory int64
	// Tmp is the size of /tmp in bytes; a write beyond it fails with ENOSPC.
	Tmp int64
	// Shm is the size of /dev/shm in bytes.
	Shm int64
	// CPU is the sandbox's share in vCPUs (MemorySize / 1769 MB on AWS). It
	// weighs the sandbox against others when processors are short; with free
	// processors it may use up to max(1, CPU) of them.
	CPU float64
	// Processes bounds processes and threads together (1,024 on AWS).
	Processes int
	// OpenFiles bounds descriptors per process (1,024 on AWS).
	OpenFiles int
}

// Spec describes one sandbox. It is complete before Create and never changes; a
// blank sandbox, one with Late, is completed once, by Specialise.
type Spec struct {
	// ID names the sandbox in paths, cgroups and process arguments: 32 lower
	// case hexadecimal digits, never anything a client chose.
	ID string
	// Root is the host directory of the read-only root tree, shared by many
	// sandboxes (made by sandbox/rootfs).
	Root string
	// Mounts are further read-only directories: /var/task, /opt, /var/runtime.
	Mounts []Mount
	// Late are the targets of read-only directories that are not known yet
	// (/var/task, /opt): absolute paths, empty directories of the root tree that
	// stay empty until Specialise mounts something there. A sandbox with Late
	// implements Specialiser.
	Late []string
	// Template says that Args run a program in Python that can be forked, which a
	// driver may make use of and another ignores. Started with a descriptor
	// TemplateFD, that program does what every sandbox's first process has to do,
	// with no thread and no descriptor of its own open at the end, then reads the
	// driver's Python source from TemplateFD and executes it. That returns once in
	// every sandbox, in a process as if it had been started there, but for memory,
	// which it shares with the others until it writes.
	//
	// Nothing of one sandbox may be in Args, Env or Dir, and nobody's code in Root.
	Template bool
	// SocketDir is the host directory that holds the environment's listening
	// Runtime API socket, SocketName; nothing else is in it but sockets.
	SocketDir string
	// TCP asks for RuntimeAPIAddr inside the sandbox.
	TCP bool
	// Link asks for a network link; the sandbox is Linked then. Without it there
	// is loopback and nothing else.
	Link bool
	// Args, Env and Dir are the first process's, as execve takes them. Args[0]
	// is an absolute path inside the sandbox. Env is complete: nothing is added.
	// Without Args there is no program yet: see Starter.
	Args []string
	Env  []string
	Dir  string
	// User is who the first process is, nil UID and GID. A sandbox with Late has
	// nobody else.
	User *User

	Limits Limits

	// Stdout, Stderr and Log are write ends of pipes. The driver duplicates
	// what it needs before Create returns; the caller closes its own. Log may
	// be nil; the first process has no further descriptors.
	Stdout, Stderr, Log *os.File
}

// Exit tells how the first process of a sandbox ended.
type Exit struct {
	Code   int            // exit status, if Signal is zero
	Signal syscall.Signal // the signal that ended it, or zero
	// OOM says that the sandbox was ended because it went beyond its memory.
	OOM bool
	// Err is set if the driver cannot tell how the sandbox ended.
	Err error
}

// Usage is what a sandbox takes, as the host accounts it.
type Usage struct {
	Memory     int64 // bytes now, without reclaimable cache where that can be told
	MemoryPeak int64 // bytes at most so far; 0 if the host does not tell
	CPU        int64 // nanoseconds used so far
}

// Sandbox is one running sandbox. All methods are safe for concurrent use.
type Sandbox interface {
	ID() string
	// Done is closed when the first process has ended, for whatever reason.
	Done() <-chan struct{}
	// Exit is meaningful once Done is closed.
	Exit() Exit
	// Freeze stops every process of the sandbox from running; Thaw lets them
	// go on. Both are idempotent and take well under a millisecond. Freeze need
	// not wait for the last of them to stand still.
	Freeze() error
	Thaw() error
	Usage() (Usage, error)
	// Destroy kills whatever runs (frozen or not), waits for it, and removes
	// every mount, cgroup, namespace and file of the sandbox. It is idempotent
	// and returns nil when nothing of the sandbox is left.
	Destroy() error
}

// Linked is a sandbox that was made with Spec.Link.
type Linked interface {
	Sandbox
	// Link is the other end of the link: a descriptor that does not block, of which
	// each read gives and each write takes one packet of IPv4 or IPv6, with nothing
	// in front. It is the caller's, to be closed before Destroy is called. Each call
	// gives another descriptor of the one end, so that whoever serves it need not
	// keep one for the case that it has to be handed over again; it is nil without
	// Spec.Link, and when the sandbox is no more.
	Link() *os.File
}

// Specialiser is a sandbox that was made before it was known for what: its first
// process runs, and waits, with a platform's code and nobody else's in it.
type Specialiser interface {
	Sandbox
	// Specialise gives the sandbox its directories and its limits, once. Each
	// mount's target is one of Spec.Late's; it arrives read-only, nosuid and
	// nodev (open_tree, mount_setattr, move_mount; never by propagation, which
	// brings it writable). limits replaces Spec.Limits; Tmp, Shm, Processes and
	// OpenFiles must be the ones that the sandbox was made with unless the driver
	// can change them, and an error says so if it cannot.
	//
	// It returns when the first process can see all of it, within a few
	// milliseconds, and moves no process between cgroups. A sandbox for which it
	// failed is in an unknown state: it must be destroyed.
	Specialise(mounts []Mount, limits Limits) error
}

// Starter is a sandbox that was made without a program (Spec.Args is empty). The
// first process is then one of the driver's, which waits and becomes the program.
// A driver for which making a sandbox is quick offers none: its Create refuses
// such a Spec with ErrNoProgram.
type Starter interface {
	Specialiser
	// Start has the sandbox run a program, once; after Specialise, if the program
	// or its directory is in what Specialise brings. Args, env and dir are as in
	// Spec. It returns when the sandbox has been told. If the program cannot be
	// executed, the sandbox says so on Stderr and ends with exit code 125.
	Start(args, env []string, dir string) error
}

// ErrNoProgram is Create's answer to a Spec without Args if the driver makes no
// sandboxes that are given a program later.
var ErrNoProgram = errors.New("sandbox: no program, and none can be given later")

// Driver makes sandboxes of one kind.
//
// Its constructor (New in each driver's package) takes a directory of its own
// and finds whatever an earlier process that used the same directory left
// behind. When it returns, nothing of that runs any more, and none of its names,
// ids or directories is in the way of a new sandbox; the rest is removed behind it
// (Sweeper).
type Driver interface {
	// Name is the value of --isolation: "gvisor" or "namespace".
	Name() string
	// Create starts a sandbox. It returns when the first process has been
	// started, not when it is ready. If it fails, nothing is left behind. The
	// sandbox does not depend on ctx after Create has returned.
	Create(ctx context.Context, spec Spec) (Sandbox, error)
	// Findings says what this driver can enforce on this machine.
	Findings() []Finding
	// Close ends every sandbox that is left and removes what the driver made
	// for itself.
	Close() error
}

// Leftovers is what an earlier process with the same directory left and what of it
// is not yet removed. Nothing in it runs.
type Leftovers struct {
	Found int // pieces that New found: sandboxes, as a rule
	Left  int // of which so many are still there
	// Memory is about how many bytes those hold.
	Memory int64
	// Stuck is how many of those that are left could not be removed however often that
	// was tried; it is tried again all the same. Why is the last such error.
	Stuck int
	Why   string
}

// Sweeper is a driver that removes what an earlier process left while it is at work
// already. Close waits for that, but not for ever; what is there then, the next
// process finds.
type Sweeper interface {
	Driver
	// Sweep begins with the removal, once its caller has time for it. It does not
	// wait.
	Sweep()
	// Swept is closed when nothing of an earlier process is left.
	Swept() <-chan struct{}
	Leftovers() Leftovers
}

// Weigher is a Sandbox that can be made to count for less when processors are short.
type Weigher interface {
	// Weigh has it count for one part in so many of what it counted for at first.
	// One is all of it. Where processors are not shared by weight it does nothing.
	Weigh(parts int) error
}

// DiskMeter is a driver that keeps /tmp of its sandboxes on the host's disk.
type DiskMeter interface {
	// DiskUse is how many bytes of the host's disk what each sandbox has written
	// takes, by Spec.ID. It looks at every sandbox, and is for when room is short.
	DiskUse() map[string]int64
}

// Forker is a driver that can fork sandboxes (Spec.Template).
type Forker interface {
	Driver
	// Forks tells whether a sandbox of this spec would be forked now. If not, the
	// driver begins to get ready for it, if it can. It does not wait.
	Forks(spec Spec) bool
}

// Holder is a driver that makes Starters.
type Holder interface {
	Driver
	// Holds tells that Create takes a Spec without Args.
	Holds()
}

// Finding is one thing that a machine can or cannot give, for `alcove doctor`,
// for the report at start and for `alcove envs`.
type Finding struct {
	Name   string // short and stable: "memory limit", "freezer", "seccomp"
	State  State
	Detail string // what was found, in one sentence
	Fix    string // a command or a sentence that mends it; empty if State is OK
}

// LinkFinding is the name of the Finding about links (Spec.Link). Where its State
// is Missing, no sandbox can have one, and Create refuses to make it.
const LinkFinding = "network link"

// LeftoversFinding is the name of the Finding about what a killed node left and is
// still being removed; it is no property of the machine.
const LeftoversFinding = "leftovers"

// State grades a Finding.
type State string

// The states of a Finding.
const (
	OK       State = "ok"       // enforced
	Degraded State = "degraded" // works, but weaker than it could be
	Missing  State = "missing"  // not enforced, or not available at all
)
