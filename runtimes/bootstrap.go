package runtimes

import (
	"embed"
	"strings"
)

// A bootstrap is one file in the sandbox, because each file that a process opens
// there costs start time. Its source is in several, a concern each, that are put
// together in the order given here.

//go:embed python/*.py nodejs/*.js
var sources embed.FS

// pythonSources gives the files of the Python runtime by module name: the
// bootstrap, and the part that is only loaded when a function imports logging.
func pythonSources() map[string]string {
	return map[string]string{
		"bootstrap": join("python", ".py", "base", "sinks", "marshal", "api", "context", "handler", "rehearse", "blank", "main"),
		"logs":      join("python", ".py", "logs"),
	}
}

// nodeSource gives the one file of the Node.js runtime.
func nodeSource() string {
	return join("nodejs", ".js", "base", "errors", "logs", "api", "handler", "invoke", "stream", "rehearse", "blank", "main")
}

// nodeRehearsal gives the handler that a blank Node.js process loads first.
func nodeRehearsal() string { return join("nodejs", ".js", "rehearsal") }

func join(dir, ext string, parts ...string) string {
	var b strings.Builder
	for i, part := range parts {
		raw, err := sources.ReadFile(dir + "/" + part + ext)
		if err != nil { // it is embedded, or the program does not compile
			panic(err)
		}
		if i > 0 {
			b.WriteString("\n\n")
		}
		b.Write(raw)
	}
	return b.String()
}
