package insights

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// blocks are the blocks of a document that are called by a name.
func blocks(t testing.TB, name string) (list []string) {
	t.Helper()
	b, err := os.ReadFile("../../docs/insights.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(b), "```"+name+"\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		list = append(list, block)
	}
	return list
}

func examples(t testing.TB) (list []string) {
	for _, b := range blocks(t, "insights") {
		list = append(list, strings.Split(strings.TrimSpace(b), "\n\n")...)
	}
	return list
}

func TestExamplesOfTheGrammar(t *testing.T) {
	list := examples(t)
	for _, query := range list {
		if _, _, err := run(t, query, Options{Now: base}, sample()); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	refused := 0
	for _, b := range blocks(t, "refused") {
		for query := range strings.SplitSeq(strings.TrimSpace(b), "\n") {
			refused++
			_, err := Parse(query)
			e, ok := errors.AsType[*SyntaxError](err)
			if !ok || e.Start < 0 || e.End < e.Start || e.End > len(query) || !strings.Contains(e.Message, " at line 1 and position ") {
				t.Errorf("%s: %+v", query, err)
			}
		}
	}
	if len(list) < 20 || refused < 30 {
		t.Errorf("%d examples and %d that are refused", len(list), refused)
	}
}

// Every function is in the document, and the document has none that is not there.
func TestFunctionsOfTheDocument(t *testing.T) {
	b, err := os.ReadFile("../../docs/insights.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "| functions | |")
	table, _, _ = strings.Cut(table, "\n\n")
	told := map[string]bool{"bin": false, "datefloor": false, "dateceil": false, "parsedate": false, "formatdate": false, "strftime": false}
	for name := range functions {
		told[name] = false
	}
	for name := range aggregates {
		told[name] = false
	}
	for i, part := range strings.Split(table, "`") {
		if i%2 == 0 {
			continue
		}
		name, _, _ := strings.Cut(strings.ToLower(part), "(")
		if _, ok := told[name]; !ok {
			t.Errorf("%s is in the document and not in the language", part)
		}
		told[name] = true
	}
	for name, ok := range told {
		if !ok {
			t.Errorf("%s is not in the document", name)
		}
	}
}
