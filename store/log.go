package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// engineLog carries the engine's log to slog, and its one sign of a write that
// the disk refused to whoever replaces the engine.
type engineLog struct {
	log  *slog.Logger
	fail context.CancelCauseFunc
}

func (l *engineLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *engineLog) Debugf(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *engineLog) Tracef(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *engineLog) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }

func (l *engineLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.log.Error(text)
	l.fail(errors.New(text))
}

// Errorf knows the two texts of nats-server 2.15 that say a stream is stuck or
// JetStream has shut down. Were they to change, answerTimeout still finds out,
// only later; a test makes the disk full and counts the time.
func (l *engineLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.log.Error(text)
	if strings.Contains(text, "write error") || strings.Contains(text, "DISABLED") {
		l.fail(errors.New(text))
	}
}
