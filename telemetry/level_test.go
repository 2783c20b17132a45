package telemetry

import "testing"

func TestParseLevel(t *testing.T) {
	for s, want := range map[string]Level{
		"TRACE": LevelTrace, "debug": LevelDebug, "Info": LevelInfo, "WARN": LevelWarn, "warning": LevelWarn,
		"ERROR": LevelError, "FATAL": LevelFatal, "CRITICAL": LevelFatal, "": LevelNone, "INFORM": LevelNone,
	} {
		if got := ParseLevel(s); got != want {
			t.Errorf("ParseLevel(%q) = %v, want %v", s, got, want)
		}
	}
}

func TestPasses(t *testing.T) {
	for _, tt := range []struct {
		level, least Level
		want         bool
	}{
		{LevelInfo, LevelInfo, true}, {LevelDebug, LevelInfo, false}, {LevelFatal, LevelWarn, true},
		{LevelNone, LevelFatal, true}, {LevelTrace, LevelNone, true},
	} {
		if got := tt.level.Passes(tt.least); got != tt.want {
			t.Errorf("%v.Passes(%v) = %v", tt.level, tt.least, got)
		}
	}
}

func TestLevelOf(t *testing.T) {
	for line, want := range map[string]Level{
		`{"timestamp":"x","level":"WARN","message":"m"}` + "\n": LevelWarn,
		`{"log_level":"ERROR"}`:                                 LevelError,
		`{"level":30,"msg":"pino"}`:                             LevelNone,
		`{"level":"nonsense"}`:                                  LevelNone,
		`{"deep":{"level":"ERROR"}}`:                            LevelNone,
		`{"level":"ERROR"`:                                      LevelNone,
		`"level": "ERROR"`:                                      LevelNone,
		``:                                                      LevelNone,
		`{}`:                                                    LevelNone,
		`{"level":null,"x":"level\""}`:                          LevelNone,
		`  {"level" : "debug"}  `:                               LevelDebug,
		`[ERROR] "level" of the water}`:                         LevelNone,
	} {
		if got := LevelOf([]byte(line)); got != want {
			t.Errorf("LevelOf(%s) = %v, want %v", line, got, want)
		}
	}
}
