// Command alcove-init starts one sandbox of the namespace driver and then gives
// its place as the sandbox's first process to a reaper. It owns nothing but the
// call to package launch; being a program of its own, it starts in a
// millisecond. The node carries it inside (package initbin) and is the only one
// to run it.
package main

import "github.com/alcove-run/alcove/sandbox/namespace/launch"

func main() { launch.Main() }
