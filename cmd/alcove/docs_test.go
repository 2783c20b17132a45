package main

import (
	"os"
	"strings"
	"testing"
)

// What the documents say of the command line is compared with the command line.
func TestDocumentsNameEveryFlagAndCommand(t *testing.T) {
	var c commands
	parser, err := newParser(t.Context(), &c)
	if err != nil {
		t.Fatal(err)
	}
	operations, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Children {
		if !strings.Contains(string(operations), "`alcove "+command.Name) {
			t.Errorf("docs/operations.md does not name `alcove %s`", command.Name)
		}
		for _, flag := range command.Flags {
			if command.Name == "serve" && !strings.Contains(string(operations), "`--"+flag.Name+"`") {
				t.Errorf("docs/operations.md does not name --%s of serve", flag.Name)
			}
		}
	}
}
