// Command alcove-supervisor is the first process of a sandbox whose function has
// extensions (package supervise), and nothing else. The node carries it inside
// (package embedded): it lives in the sandbox's memory, next to the function.
package main

import "github.com/alcove-run/alcove/sandbox/supervise"

func main() { supervise.Main() }
