// Command alcove-egress is the relay (package relay) and nothing else. The node
// carries it inside (package embedded).
package main

import "github.com/alcove-run/alcove/sandbox/egress/relay"

func main() { relay.Main() }
