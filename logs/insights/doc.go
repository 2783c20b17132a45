// Package insights is the query language of CloudWatch Logs Insights: it reads a
// query's text and runs it over events that it is given one after the other.
//
// It is pure: it knows no store, no clock and no caller. Memory and the length of
// what it makes are bounded ([Options]), whatever the query and the events are.
// Regular expressions are RE2, which take time in proportion to the text.
//
// What of the language there is stands in docs/insights.md, whose examples a test
// here reads and runs; everything else is a [SyntaxError].
package insights
