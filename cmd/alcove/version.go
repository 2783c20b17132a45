package main

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// versionCmd tells what the program is made from.
type versionCmd struct{}

// Run implements the command.
func (versionCmd) Run() error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return fmt.Errorf("this program carries no build information")
	}
	// Without git at the build, the version of the module may still say it.
	revision := "unknown revision"
	if _, commit, ok := strings.Cut(strings.TrimSuffix(info.Main.Version, "+dirty"), ".0-"); ok {
		if _, commit, ok = strings.Cut(commit, "-"); ok {
			revision = commit
		}
	}
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
