package main

import (
	"fmt"
	"runtime/debug"
)

// versionCmd tells what the program is made from.
type versionCmd struct{}

// Run implements the command.
func (versionCmd) Run() error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return fmt.Errorf("this program carries no build information")
	}
	revision := "unknown revision"
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	fmt.Println("alcove", info.Main.Version, revision, info.GoVersion)
	for _, d := range info.Deps {
		switch d.Path {
		case "gvisor.dev/gvisor", "github.com/nats-io/nats-server/v2", "modernc.org/sqlite":
			fmt.Println(" ", d.Path, d.Version)
		}
	}
	return nil
}
