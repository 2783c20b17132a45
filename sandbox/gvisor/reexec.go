package gvisor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/subcommands"
	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/runsc/cmd"
	"gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/flag"
	"gvisor.dev/gvisor/runsc/fsgofer/extension"

	"github.com/alcove-run/alcove/sandbox/gvisor/door"
)

// The values of argv[0] by which this program knows what it is to be. The
// first three are gVisor's own and may not change.
const (
	argSentry  = "runsc-sandbox"
	argGofer   = "runsc-gofer"
	argSelf    = "/proc/self/exe" // gVisor's helper that unmounts /proc
	argStarter = "alcove-gvisor"
	// argInstaller writes the embedded program to the driver's directory.
	argInstaller = "alcove-gvisor-install"
)

// Main must be the first statement of main() in every program that makes
// sandboxes with this package, and of TestMain in every test binary that does:
// the driver starts the running program again as the parts of a sandbox. In
// such a process Main does that part's work and never returns; in every other
// process it looks at one string and returns false.
func Main() bool {
	switch {
	case os.Args[0] == argInstaller && len(os.Args) == 2:
		os.Exit(installerMain())
	case os.Args[0] == argStarter:
		os.Exit(starterMain())
	case os.Args[0] == argSentry, os.Args[0] == argGofer:
		os.Exit(runscMain(os.Args[1:]))
	case os.Args[0] == argSelf && len(os.Args) > 1 && os.Args[1] == "umount":
		os.Exit(runscMain(os.Args[1:]))
	case door.Is(os.Args[0]):
		door.Main()
	}
	return false
}

// part is one of gVisor's internal commands.
type part interface {
	subcommands.Command
}

// runscMain does what gVisor's own command line does for the three internal
// commands that a sandbox consists of, and nothing of the rest, which would
// more than double the program. It returns the exit code.
func runscMain(args []string) int {
	silence()

	flags := flag.NewFlagSet("runsc", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	config.RegisterFlags(flags)
	flags.Int("log-fd", -1, "")
	flags.Int("debug-log-fd", -1, "")
	panicFD := flags.Int("panic-log-fd", -1, "")
	if err := flags.Parse(args); err != nil {
		return fatal("flags: %v", err)
	}
	conf, err := config.NewFromFlags(flags)
	if err != nil {
		return fatal("config: %v", err)
	}

	parts := map[string]part{
		"boot":   new(sentrycmd.Boot),
		"gofer":  new(cmd.Gofer),
		"umount": new(sentrycmd.Umount),
	}
	p, ok := parts[flags.Arg(0)]
	if !ok {
		return fatal("not a part of a sandbox: %q", flags.Arg(0))
	}
	own := flag.NewFlagSet(flags.Arg(0), flag.ContinueOnError)
	own.SetOutput(io.Discard)
	p.SetFlags(own)
	if err := own.Parse(flags.Args()[1:]); err != nil {
		return fatal("flags of %s: %v", flags.Arg(0), err)
	}

	// The time zone is read on first use, which must come before the system
	// call filter.
	_ = time.Local.String()
	debug.SetTraceback(conf.Traceback)
	if *panicFD >= 0 {
		// The Go runtime's last words go to a file of the node's.
		if err := unix.Dup3(*panicFD, 2, 0); err != nil {
			return fatal("panic log: %v", err)
		}
	}

	if err := registerFilters(); err != nil {
		return fatal("%v", err)
	}
	if err := registerPlatform(); err != nil {
		return fatal("%v", err)
	}
	var exit *os.File
	switch p.Name() {
	case "boot":
		exit, err = prepareSentry(own)
	case "gofer":
		err = prepareGofer(own)
	}
	if err != nil {
		return fatal("%s: %v", p.Name(), err)
	}
	var status unix.WaitStatus
	if code := p.Execute(context.Background(), own, conf, &status); code != subcommands.ExitSuccess {
		return fatal("%s: failed with %d", p.Name(), code)
	}
	if exit != nil {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], uint32(status))
		_, _ = exit.Write(b[:]) // nobody left to tell if the node is gone
	}
	return 0
}

// prepareSentry opens what the sentry needs before it locks itself in, and
// sets what gVisor would otherwise take from the host.
func prepareSentry(own *flag.FlagSet) (*os.File, error) {
	bundle := own.Lookup("bundle").Value.String()
	// The node holds the other end open; without it there is nobody to serve.
	exit, err := os.OpenFile(filepath.Join(bundle, exitName), os.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	memory, err := os.ReadFile(filepath.Join(bundle, memoryName))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"total-memory":      strings.TrimSpace(string(memory)),
		"total-host-memory": strings.TrimSpace(string(memory)),
		"product-name":      "alcove",
	} {
		if err := own.Set(name, value); err != nil {
			return nil, fmt.Errorf("setting %s: %w", name, err)
		}
	}
	withoutTracer()
	return exit, errors.Join(awaitOrder(bundle), keepBoundingSet())
}

// prepareGofer likewise.
func prepareGofer(own *flag.FlagSet) error {
	extension.Register(goferRules{})
	return errors.Join(awaitOrder(own.Lookup("bundle").Value.String()), keepBoundingSet())
}

func fatal(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, "alcove gvisor: "+format+"\n", args...)
	return 128
}

// silence sends gVisor's own log nowhere.
func silence() {
	log.SetLevel(log.Warning)
	log.SetTarget(log.GoogleEmitter{Writer: &log.Writer{Next: io.Discard}})
}
