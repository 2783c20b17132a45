package gvisor

import "path/filepath"

// Names of files in the driver's directory and in a sandbox's own directory
// below it.
const (
	lockName   = "lock"  // held by the process that uses the directory
	boxesName  = "boxes" // one directory per sandbox, named by its id
	gonePrefix = "gone-" // directories of sandboxes of earlier processes; a random name follows
	// The embedded program, if there is one; its digest follows.
	programPrefix = "program-"
	doorPrefix    = "door-"     // likewise
	installedName = "installed" // by whom these were put there, and when

	configName = "config.json" // the OCI spec; gone once the sandbox runs
	memoryName = "memory"      // what /proc/meminfo inside shall say, in bytes
	exitName   = "exit"        // FIFO: the sentry's last word, its wait status
	panicName  = "panic"       // what a crashing sentry wrote
	stateName  = "state"       // gVisor's own state; gone once the sandbox runs
	tmpName    = "tmp"         // holds the file behind /tmp
	shmName    = "shm"         // holds the file behind /dev/shm
	lateName   = "late"        // socket of a blank sandbox; gone once it runs
	slotPrefix = "slot-"       // empty directories where something may come; gone once it runs
)

// layout is the directory of one sandbox.
type layout string

func (l layout) path(name string) string { return filepath.Join(string(l), name) }
