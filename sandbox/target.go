package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// CheckTarget makes sure that a root tree has target as a directory, not by way of
// a symbolic link: drivers mount nothing elsewhere.
func CheckTarget(root, target string) error {
	path := root
	for _, name := range strings.Split(target[1:], "/") {
		path = filepath.Join(path, name)
		fi, err := os.Lstat(path)
		if err != nil {
			return fmt.Errorf("mount target: %w", err)
		}
		if !fi.IsDir() {
			return fmt.Errorf("mount target %s is not a directory of the root tree", target)
		}
	}
	return nil
}
