package observe

import (
	"fmt"
	"os"
	"testing"

	"github.com/alcove-run/alcove/test/testnode"
)

// program is the alcove that is tested.
var program string

// drivers are the values of --isolation.
var drivers = []string{"gvisor", "namespace"}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "observe: needs root: the sandboxes under test are made of namespaces, mounts and cgroups")
		return 1
	}
	path, remove, err := testnode.Program("../..")
	if err != nil {
		fmt.Fprintln(os.Stderr, "observe:", err)
		return 1
	}
	defer remove()
	program = path
	return m.Run()
}
