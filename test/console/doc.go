// Package console tests the console on the real program with real functions, in a real
// browser: Debian's Chromium, headless. What needs no browser is tested beside the
// console itself.
//
// It needs root, as isolation does, and a built program: ALCOVE_BIN names one, else it
// is built first. There is nothing here but tests.
package console
