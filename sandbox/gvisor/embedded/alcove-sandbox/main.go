// Command alcove-sandbox is the parts of a gVisor sandbox and nothing else. The
// node carries it inside (package embedded) and starts it in its own place: a
// sandbox is three processes, and each would otherwise initialise all of the
// node's packages first, at twice the time and memory.
package main

import (
	"fmt"
	"os"

	"github.com/alcove-run/alcove/sandbox/gvisor"
	_ "github.com/alcove-run/alcove/sandbox/gvisor/umount"
)

func main() {
	gvisor.Main()
	fmt.Fprintln(os.Stderr, "alcove-sandbox is a part of alcove, and started by nobody else")
	os.Exit(2)
}
