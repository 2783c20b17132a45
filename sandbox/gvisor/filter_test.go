package gvisor

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	_ "unsafe" // for go:linkname

	"gvisor.dev/gvisor/pkg/seccomp"
	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	"gvisor.dev/gvisor/pkg/sentry/platform"
	sentryconfig "gvisor.dev/gvisor/runsc/boot/filter/config"
	goferconfig "gvisor.dev/gvisor/runsc/fsgofer/filter/config"
)

var update = flag.Bool("update", false, "rewrite the compiled system call filters")

//go:linkname sentryRules gvisor.dev/gvisor/runsc/boot/filter/config.rules
func sentryRules(opt sentryconfig.Options, vars precompiledseccomp.Values) (seccomp.SyscallRules, seccomp.SyscallRules)

// TestCompiledFiltersAreGVisors compiles the filters from gVisor's rules, as
// gVisor would at every start, and compares.
func TestCompiledFiltersAreGVisors(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("no compiled filters for this processor")
	}
	// The sentry is the first process of a pid namespace, and gVisor compiles
	// the number into one rule.
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestCompileFilters$", "-test.v")
	cmd.Env = []string{compileEnv + "=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("compiling: %v: %s", err, out)
	}
	_, out, _ = bytes.Cut(out, []byte(compileMark))
	want, _, ok := bytes.Cut(out, []byte(compileMark))
	if !ok {
		t.Fatal("the compiler said nothing")
	}
	if bytes.Equal(want, compiledFilters) {
		return
	}
	if !*update {
		t.Fatal("the compiled filters are not what gVisor's rules compile to; go test ./sandbox/gvisor -run CompiledFilters -update rewrites them")
	}
	if err := os.WriteFile("filter/amd64.json", want, 0o644); err != nil {
		t.Fatal(err)
	}
}

// The test above runs the one below in another process.
const (
	compileEnv  = "ALCOVE_TEST_COMPILE_FILTERS"
	compileMark = "\n----\n"
)

// TestCompileFilters compiles the filters, on behalf of the test above.
func TestCompileFilters(t *testing.T) {
	if os.Getenv(compileEnv) == "" {
		return // nothing is tested here
	}
	if os.Getpid() != 1 {
		t.Fatal("not the first process of its namespace")
	}
	out, err := json.Marshal(filters{Sentry: compileSentryFilter(t), Gofer: compileGoferFilter(t)})
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString(compileMark + string(out) + "\n" + compileMark)
}

// compileSentryFilter compiles the filter of a sentry with systrap, directfs
// and its own network stack.
func compileSentryFilter(t *testing.T) precompiledseccomp.Program {
	systrap, err := platform.Lookup("systrap")
	if err != nil {
		t.Fatal(err)
	}
	opt := sentryconfig.Options{Platform: systrap.PrecompiledSeccompInfo()[0], HostFilesystem: true}
	var vars []string
	for name := range opt.Vars() {
		vars = append(vars, name)
	}
	program, err := precompiledseccomp.Precompile(opt.ConfigKey(), vars, func(v precompiledseccomp.Values) *seccomp.Program {
		rules, deny := sentryRules(opt, v)
		return &seccomp.Program{
			RuleSets: []seccomp.RuleSet{{Rules: deny.Copy()}, {Rules: rules.Copy(), Action: seccomp.Allow}},
			Options:  sentryconfig.SeccompOptions(opt),
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return program
}

//go:linkname goferRulesOf gvisor.dev/gvisor/runsc/fsgofer/filter/config.rules
func goferRulesOf(opt goferconfig.Options, vars precompiledseccomp.Values) (seccomp.SyscallRules, seccomp.SyscallRules)

// compileGoferFilter compiles the filter of a gofer that may open host sockets
// and does what goferRules are for.
func compileGoferFilter(t *testing.T) precompiledseccomp.Program {
	opt := goferconfig.Options{
		UDSOpenEnabled: true, DirectFS: true, LisafsNeeded: false,
		ExtraRules: []seccomp.SyscallRules{goferRules{}.SeccompRules()},
	}
	var vars []string
	for name := range opt.Vars() {
		vars = append(vars, name)
	}
	program, err := precompiledseccomp.Precompile(opt.ConfigKey(), vars, func(v precompiledseccomp.Values) *seccomp.Program {
		rules, deny := goferRulesOf(opt, v)
		return &seccomp.Program{RuleSets: []seccomp.RuleSet{{Rules: deny.Copy()}, {Rules: rules.Copy(), Action: seccomp.Allow}}}
	})
	if err != nil {
		t.Fatal(err)
	}
	return program
}
