// Package egress tests what functions reach and what they do not, with the real
// program and both drivers, in an internet of its own: the test runs in a network
// namespace that is the node's machine, and another one is the rest of the world,
// with servers at addresses that mean something. It needs root and iproute2.
package egress
