// Package e2e tests the real program: a node started with its real flags,
// confining real interpreters, spoken to by the official AWS SDKs.
//
// It needs root, as isolation does, and a built program: ALCOVE_BIN names one,
// else it is built first. There is nothing here but tests; a file has one theme.
package e2e
