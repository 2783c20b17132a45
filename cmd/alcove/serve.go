package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/sandbox/cgroup"
)

// serveCmd runs a node.
//
// To add a flag: a field here with its default and its help, its check in
// validate, its use in openNode, a line in docs/operations.md.
type serveCmd struct {
	Listen        string        `help:"Address to listen on." default:"127.0.0.1:4566"`
	Data          string        `help:"Directory for everything that the node keeps." type:"path" placeholder:"DIR"`
	Isolation     string        `help:"What confines execution environments: ${enum}." enum:"gvisor,namespace" default:"gvisor"`
	Auth          string        `help:"Who may call: ${enum}; none is for loopback only." enum:"sigv4,none" default:"sigv4"`
	Concurrency   int           `help:"Account limit of concurrent invocations; a function may have 2.5 times its reserved concurrency, else 2.5 times this, of tenant environments." default:"1000"`
	TenantIdleMin time.Duration `help:"At the cap of tenant environments, those idle for longer make room, least recently used first." default:"60s"`
	TenantShare   float64       `help:"How much of a function's cap of tenant environments one tenant may have, above 0 and up to 1." default:"0.5"`
	KeepAlive     time.Duration `help:"How long an idle environment is kept while it is not known when its tenant comes; what is known makes of it a tenth to six times as much." default:"10m"`
	StockMax      int           `help:"How many initialised environments of a version may wait for new tenants, where the function does not say; 0 keeps none." default:"16"`
	RuntimeStock  int           `help:"How many sandboxes with their interpreter up may wait for a function, of each runtime and size that functions have; 0 keeps none." default:"4"`
	Memory        memorySize    `help:"Budget for all environments, as 8GB or 512MB; 80% of what this machine or container has if not given." placeholder:"SIZE"`
	Egress        string        `help:"What functions may reach where no policy is set: ${enum}. open is everything but private and special addresses." enum:"open,none" default:"open"`
	EgressPrivate []string      `help:"Private and special addresses that functions may reach all the same, where no policy is set for the node: ADDRESS or CIDR, and :PORT if not all ports; those of this machine by name of a single address." placeholder:"RULE"`
	EgressRate    memorySize    `help:"What one environment may send and receive in a second; all of a tenant's together may four times as much." default:"64MB" placeholder:"SIZE"`
	Region        string        `help:"AWS region in ARNs and signatures." default:"us-east-1"`
	Account       string        `help:"AWS account in ARNs." default:"000000000000"`
	Prices        string        `help:"File of prices for alcove usage; AWS's list prices if not given." type:"path" placeholder:"FILE"`
	imageFlags
	objectFlags
	eventFlags
	otlpFlags
	LogLevel logLevel `help:"debug, info, warn or error." default:"info"`
}

// drainTime bounds how long a node that was told to stop waits for invocations.
const drainTime = 30 * time.Second

// Run implements the command.
func (c *serveCmd) Run(ctx context.Context) error {
	if err := c.validate(); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.Level(c.LogLevel)}))
	n, err := openNode(ctx, *c, log)
	if err != nil {
		return err
	}
	n.announce(os.Stdout)
	err = n.serve(ctx)
	// What stopped ctx was the wish to end; draining has a time of its own.
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	return errors.Join(err, n.close(drain))
}

// validate checks everything that can be checked before anything is opened.
func (c *serveCmd) validate() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %s: give an address and a port, as 127.0.0.1:4566", c.Listen)
	}
	if c.Auth == string(auth.ModeNone) && !loopback(host) {
		return fmt.Errorf("--auth none is refused on %s, which others can reach: use --auth sigv4, or listen on 127.0.0.1", c.Listen)
	}
	if c.Concurrency < 1 {
		return fmt.Errorf("--concurrency %d: at least 1", c.Concurrency)
	}
	if c.TenantIdleMin < 0 {
		return fmt.Errorf("--tenant-idle-min %s: not below zero", c.TenantIdleMin)
	}
	if !(c.TenantShare > 0 && c.TenantShare <= 1) {
		return fmt.Errorf("--tenant-share %v: above 0 and up to 1", c.TenantShare)
	}
	if c.KeepAlive < time.Second {
		return fmt.Errorf("--keep-alive %s: at least 1s", c.KeepAlive)
	}
	if c.StockMax < 0 || c.StockMax > alcove.MaxStock {
		return fmt.Errorf("--stock-max %d: 0 to %d", c.StockMax, alcove.MaxStock)
	}
	if c.RuntimeStock < 0 || c.RuntimeStock > alcove.MaxStock {
		return fmt.Errorf("--runtime-stock %d: 0 to %d", c.RuntimeStock, alcove.MaxStock)
	}
	if err := c.destinations().Check(); err != nil {
		return fmt.Errorf("--destinations: %w", err)
	}
	if c.EventsMax < 1 {
		return fmt.Errorf("--events-max %d: at least 1", c.EventsMax)
	}
	if c.Memory != 0 && c.Memory < minMemory {
		size := fmt.Sprintf("%d MB", c.Memory>>20)
		if c.Memory < 1<<20 {
			size = fmt.Sprintf("%d bytes", c.Memory)
		}
		return fmt.Errorf("--memory %s: at least %d MB, or no environment has room", size, minMemory>>20)
	}
	if len(c.Account) != 12 || strings.Trim(c.Account, "0123456789") != "" {
		return fmt.Errorf("--account %q: must be 12 digits", c.Account)
	}
	if _, err := c.prices(); err != nil {
		return err
	}
	if err := c.imageFlags.check(); err != nil {
		return err
	}
	if err := c.otlpFlags.check(); err != nil {
		return err
	}
	if _, err := c.nodePolicy(); err != nil {
		return err
	}
	if c.Data == "" {
		c.Data = defaultDataDir()
	}
	if c.Memory == 0 {
		c.Memory = machineMemory() / 10 * 8
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (c *serveCmd) place() alcove.Place {
	return alcove.Place{Partition: "aws", Region: c.Region, Account: c.Account}
}

// defaultDataDir is where a node keeps what it keeps if nobody says otherwise.
func defaultDataDir() string {
	if os.Getuid() == 0 {
		return "/var/lib/alcove"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "alcove")
	}
	home := os.Getenv("HOME")
	if u, err := user.Current(); home == "" && err == nil {
		home = u.HomeDir
	}
	return filepath.Join(home, ".local", "share", "alcove")
}

// logLevel is how much the node says of itself.
type logLevel slog.Level

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *logLevel) UnmarshalText(b []byte) error {
	if err := (*slog.Level)(l).UnmarshalText(b); err != nil {
		return fmt.Errorf("%q is no level: give debug, info, warn or error", b)
	}
	return nil
}

// minMemory is the least budget in which one environment has room.
const minMemory = 32 << 20

// memorySize is a number of bytes, given as 1073741824, 1024MB or 1GB.
type memorySize int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *memorySize) UnmarshalText(b []byte) error {
	s := strings.ToUpper(strings.TrimSpace(string(b)))
	unit := int64(1)
	for _, u := range []struct {
		suffix string
		bytes  int64
	}{{"KB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {"TB", 1 << 40}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"B", 1}} {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			s, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || n > (1<<62)/unit {
		return fmt.Errorf("%q is no size: give bytes, or a number with KB, MB or GB", b)
	}
	*m = memorySize(n * unit)
	return nil
}

// machineMemory is the memory that this process can have: the machine's, or less
// in a container. It is 1 GB if nobody tells.
func machineMemory() memorySize {
	return min(totalMemory(), memorySize(cgroup.MemoryCeiling()))
}

func totalMemory() memorySize {
	b, err := os.ReadFile("/proc/meminfo")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			var kb int64
			if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kb); n == 1 {
				return memorySize(kb << 10)
			}
		}
	}
	return 1 << 30
}
