package gvisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/container"
	"gvisor.dev/gvisor/runsc/flag"
	"gvisor.dev/gvisor/runsc/specutils"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
	"github.com/alcove-run/alcove/sandbox/gvisor/door"
)

// The starter is this program started again to make one sandbox. It enters the
// sandbox's cgroup, so that everything it starts is born there, has gVisor
// create and start the container, says which processes resulted, and exits; its
// children become those of the node, which reaps them.

// starterSocket is the starter's descriptor of the socket on which it gets its
// one request and gives its one answer.
const starterSocket = 3

// maxMessage bounds a request and an answer, in bytes.
const maxMessage = 64 << 10

// request is what the node asks of a starter. The descriptors travel with it in
// the order of the constants below.
type request struct {
	ID   string   `json:"id"`
	Dir  string   `json:"dir"`  // the sandbox's layout
	V1   []string `json:"v1"`   // cgroups to enter, of version 1
	V2   []string `json:"v2"`   // and of version 2, if the starter was not born there
	Late bool     `json:"late"` // what is in its directories may come later

	// Descriptors that are there after the first two, in this order.
	Netns bool `json:"netns"` // for gofers; without it they live in the starter's own
	Log   bool `json:"log"`
	Init  bool `json:"init"`
	Held  bool `json:"held"`
	Link  bool `json:"link"`
}

// Descriptors of every request, by position.
const (
	fdStdout = iota
	fdStderr
	fdRest
)

// answer is what a starter says.
type answer struct {
	Error  string `json:"error,omitempty"`
	Sentry int    `json:"sentry"` // process ids
	Gofer  int    `json:"gofer"`
	Trace  Trace  `json:"trace"`
	// Received is when the request came, by monotonic.
	Received time.Duration `json:"received"`
}

// starterMain is the life of a starter; it returns its exit code.
func starterMain() int {
	if len(os.Args) > 2 && os.Args[1] == argProbe {
		return answerProbe(os.Args[2])
	}
	silence()
	debug.SetGCPercent(-1) // it has ended before that would pay
	req, files, err := receive(starterSocket)
	if err != nil {
		return fatal("request: %v", err)
	}
	received := monotonic()
	ans, err := start(req, files)
	ans.Received = received
	if err != nil {
		ans.Error = err.Error()
	}
	b, err := json.Marshal(ans)
	if err != nil {
		return fatal("answer: %v", err)
	}
	if _, err := unix.Write(starterSocket, b); err != nil {
		// The node is gone. What has been made lives in the cgroup and is
		// found there by the next one.
		return fatal("answer: %v", err)
	}
	if ans.Error != "" {
		return 1
	}
	return 0
}

// receive reads the request.
func receive(socket int) (request, []*os.File, error) {
	var req request
	data := make([]byte, maxMessage)
	oob := make([]byte, unix.CmsgSpace(8*4))
	n, oobn, flags, _, err := unix.Recvmsg(socket, data, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return req, nil, err
	}
	if n == 0 {
		return req, nil, io.EOF // the node has no use for this starter
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		return req, nil, errors.New("too long")
	}
	if err := json.Unmarshal(data[:n], &req); err != nil {
		return req, nil, err
	}
	cmsgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return req, nil, err
	}
	var files []*os.File
	for _, c := range cmsgs {
		fds, err := unix.ParseUnixRights(&c)
		if err != nil {
			return req, nil, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), fmt.Sprintf("request descriptor %d", len(files))))
		}
	}
	want := fdRest
	for _, there := range []bool{req.Netns, req.Log, req.Init, req.Held, req.Link} {
		if there {
			want++
		}
	}
	if len(files) != want {
		return req, nil, fmt.Errorf("%d descriptors, want %d", len(files), want)
	}
	return req, files, nil
}

// start makes the sandbox that req describes.
func start(req request, files []*os.File) (answer, error) {
	var ans answer
	began := time.Now()
	if err := enterV1(req.V1); err != nil {
		return ans, err
	}
	if err := cgroup.EnterPaths(req.V2); err != nil {
		return ans, err
	}
	ans.Trace.Cgroup = time.Since(began)

	began = time.Now()
	if err := makeExpendable(); err != nil {
		return ans, err
	}
	dir := layout(req.Dir)
	// gVisor prefers parts that lie in a directory next to the program, where
	// an installation of its own might have put another version's.
	if err := os.Setenv("GVISOR_SIDECAR_BINARIES_DIR", dir.path(stateName)); err != nil {
		return ans, err
	}
	rest := files[fdRest:]
	netns := "host" // the starter's own, which is an empty one
	if req.Netns {
		netns = fmt.Sprintf("/proc/self/fd/%d", rest[0].Fd())
		rest = rest[1:]
	}
	conf, err := runscConfig(req, netns)
	if err != nil {
		return ans, err
	}
	spec, err := specutils.ReadSpec(req.Dir, conf)
	if err != nil {
		return ans, err
	}
	args := container.Args{ID: req.ID, Spec: spec, BundleDir: req.Dir, PassFiles: map[int]*os.File{}}
	if req.Log {
		args.PassFiles[sandbox.LogFD] = rest[0]
		rest = rest[1:]
	}
	if req.Init {
		args.ExecFile = rest[0]
		rest = rest[1:]
	}
	if req.Held {
		args.PassFiles[door.OrderFD] = rest[0]
		rest = rest[1:]
	}
	// gVisor gives the sandbox what these variables hold. This process's own
	// descriptors 1 and 2 stay the node's: nothing that is said here may reach
	// a tenant.
	os.Stdout, os.Stderr = files[fdStdout], files[fdStderr]

	c, err := container.New(conf, args)
	if err != nil {
		return ans, fmt.Errorf("create: %w", err)
	}
	ans.Trace.Create = time.Since(began)
	ans.Sentry, ans.Gofer = c.SandboxPid(), c.GoferPid.Load()

	began = time.Now()
	if req.Link {
		err = startLinked(c, conf, rest[0])
	} else {
		err = c.Start(conf)
	}
	if err != nil {
		return ans, fmt.Errorf("start: %w", err)
	}
	ans.Trace.Start = time.Since(began)
	return ans, forget(dir, req.ID)
}

// makeExpendable sets what all processes of the sandbox inherit: when the host
// as a whole is short of memory, they go before anything else does, and none
// leaves a core file.
func makeExpendable() error {
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
		return err
	}
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}

// forget removes what the running sandbox does not need, above all its
// environment variables and the names of the files behind its /tmp.
func forget(dir layout, id string) error {
	var errs []error
	for _, name := range []string{configName, memoryName, stateName, tmpName, shmName} {
		errs = append(errs, os.RemoveAll(dir.path(name)))
	}
	entries, err := os.ReadDir(string(dir))
	errs = append(errs, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), slotPrefix) {
			errs = append(errs, os.Remove(dir.path(e.Name())))
		}
	}
	return errors.Join(errs...)
}

// runscConfig is the configuration of gVisor for every sandbox.
func runscConfig(req request, netns string) (*config.Config, error) {
	flags := flag.NewFlagSet("runsc", flag.ContinueOnError)
	config.RegisterFlags(flags)
	// The sentry need not look at the host again for what it has seen once, unless
	// that changes: the trees of code and layers do not, and the socket is there.
	access := "exclusive"
	if req.Late {
		access = "shared"
	}
	for name, value := range map[string]string{
		"root":                    layout(req.Dir).path(stateName),
		"panic-log":               layout(req.Dir).path(panicName),
		"platform":                "systrap",
		"network":                 "none",
		"host-uds":                "open",
		"ignore-cgroups":          "true",
		"host-settings":           "ignore",
		"overlay2":                "none",
		"oci-seccomp":             "true",
		"file-access-mounts":      access,
		"gofer-network-namespace": netns,
	} {
		if err := flags.Set(name, value); err != nil {
			return nil, fmt.Errorf("gVisor flag %s: %w", name, err)
		}
	}
	return config.NewFromFlags(flags)
}
