//go:build alcove_sandbox

package embedded

import "embed"

// files is empty in the program itself, which would else carry its forebear.
var files embed.FS
