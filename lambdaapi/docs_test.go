package lambdaapi

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheDocumentNamesWhatIsRefused compares docs/compatibility.md with the table of
// routes: the operations that are refused are the ones that the document says are,
// each once, and no other row names one of them.
func TestTheDocumentNamesWhatIsRefused(t *testing.T) {
	text, err := os.ReadFile("../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), "\n## Operations that are refused\n")
	if !found {
		t.Fatal("docs/compatibility.md does not tell what is refused")
	}
	section, _, _ := strings.Cut(after, "\n## ")
	var said []string
	for _, row := range regexp.MustCompile(`(?m)^\| ([A-Z][^|]*) \|`).FindAllStringSubmatch(section, -1) {
		said = append(said, strings.Split(row[1], ", ")...)
	}
	_, operations, _ := strings.Cut(before, "\n## Operations\n")
	word := regexp.MustCompile(`\w+`)
	var refused []string
	for _, r := range table() {
		if r.serve != nil {
			continue
		}
		refused = append(refused, r.operation)
		if slices.Contains(word.FindAllString(operations, -1), r.operation) {
			t.Errorf("docs/compatibility.md says that %s works", r.operation)
		}
	}
	slices.Sort(said)
	slices.Sort(refused)
	if !slices.Equal(said, refused) {
		t.Errorf("docs/compatibility.md has as refused\n%q, the table\n%q", said, refused)
	}
}
