//go:build !alcove_sandbox

package embedded

import "embed"

//go:embed bin
var files embed.FS
