// Package policy decides what a caller may do: documents of the IAM policy
// language, compiled once and then compared with requests (IAM User Guide,
// "Grammar of the IAM JSON policy language" and "Policy evaluation logic").
//
// It is pure: no clock, no I/O, no state; what a decision depends on is in the
// [Request]. Nothing is allowed that no statement allows, and a statement that
// denies wins. What it cannot evaluate it refuses to compile in the policy of a
// key; in a resource's policy, which was stored by other rules, such a statement
// allows nothing and denies everything that it is about.
package policy
