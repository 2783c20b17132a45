//go:build profile

package main

import (
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"
)

// A program built with the tag profile (never by make) writes profiles of
// itself into the directory that ALCOVE_PROFILE names: of the processor for ten
// seconds after each SIGUSR1, and then what has been allocated and which locks
// were fought for since the start.
func init() {
	dir := os.Getenv("ALCOVE_PROFILE")
	if dir == "" {
		return
	}
	runtime.SetMutexProfileFraction(10)
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			if err := profile(dir); err != nil {
				log.Print("profile: ", err)
			}
		}
	}()
}

func profile(dir string) error {
	f, err := os.Create(filepath.Join(dir, "cpu.pprof"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	time.Sleep(10 * time.Second)
	pprof.StopCPUProfile()
	for _, name := range []string{"allocs", "mutex", "goroutine"} {
		g, err := os.Create(filepath.Join(dir, name+".pprof"))
		if err != nil {
			return err
		}
		err = pprof.Lookup(name).WriteTo(g, 0)
		g.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
