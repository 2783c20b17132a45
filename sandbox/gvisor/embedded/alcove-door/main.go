// Command alcove-door is the first process of a gVisor sandbox that needs one
// (package door), and nothing else. The node carries it inside (package embedded):
// it lives in the sandbox's memory, next to the function.
package main

import "github.com/alcove-run/alcove/sandbox/gvisor/door"

func main() { door.Main() }
