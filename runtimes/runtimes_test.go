package runtimes_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimes"
)

// TestNames: our list is the official client's.
func TestNames(t *testing.T) {
	var want []string
	for _, r := range types.Runtime("").Values() {
		want = append(want, string(r))
	}
	got := runtimes.Names()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// TestResolve: what the machine runs, and how it says what it does not.
func TestResolve(t *testing.T) {
	s := runtimes.Discover(slog.New(slog.DiscardHandler))
	for _, name := range runtimes.Names() {
		r, err := s.Resolve(name)
		switch family := runtimes.FamilyOf(name); family {
		case runtimes.Unsupported:
			var e *alcove.Error
			if !errors.As(err, &e) || e.Code != alcove.CodeInvalidParameterValue || !strings.HasPrefix(e.Message, "alcove cannot run the runtime "+name+".") {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
		case runtimes.Provided:
			if err != nil || r.Name != name || !r.TCP || r.Version != "" || r.Want.Programs != nil {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
		default:
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if r.Name != name || r.Family != family || r.TCP || strings.Count(r.Version, ".") != 2 || len(r.Args) == 0 || r.Want.Programs[0] != r.Args[0] {
				t.Errorf("%s: %+v", name, r)
			}
			for _, dir := range r.Want.Dirs {
				if !strings.HasPrefix(dir, "/usr/lib") || strings.Contains(dir, "-packages") {
					t.Errorf("%s: the tree would have %s", name, dir)
				}
			}
			script := r.Args[len(r.Args)-1]
			if len(r.Want.Files[script]) == 0 || !strings.HasPrefix(script, runtimes.RuntimeDir+"/") {
				t.Errorf("%s: no script %s among the files", name, script)
			}
		}
	}
	for _, name := range []string{"", "python", "PYTHON3.9", "python3.99", "nodejs20", "nodejs20.x ", "provided.al2024", "../python3.9"} {
		_, err := s.Resolve(name)
		var e *alcove.Error
		if !errors.As(err, &e) || e.Code != alcove.CodeInvalidParameterValue ||
			!strings.HasPrefix(e.Message, "Value "+name+" at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [nodejs26.x, ") ||
			!strings.HasSuffix(e.Message, "provided.al2, provided] or be a valid ARN") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestEnviron compares with what functions on AWS have been seen to find.
func TestEnviron(t *testing.T) {
	place := alcove.Place{Partition: "aws", Region: "eu-west-1", Account: "000000000000"}
	v := &alcove.Version{Name: "f", Number: "3", Config: alcove.Config{Handler: "a.b", MemorySize: 512,
		Environment: map[string]string{"K": "v=w", "TZ": "Europe/Berlin", "AWS_REGION": "elsewhere", "_HANDLER": "other", "AWS_LAMBDA_RUNTIME_API": "evil:80"},
		Logging:     alcove.Logging{Format: "Text", Group: "/my/group"}}}
	both := []string{
		"AWS_DEFAULT_REGION=eu-west-1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512", "AWS_LAMBDA_FUNCTION_NAME=f", "AWS_LAMBDA_FUNCTION_VERSION=3",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "AWS_LAMBDA_LOG_GROUP_NAME=/my/group", "AWS_LAMBDA_LOG_STREAM_NAME=s",
		"AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", "AWS_REGION=eu-west-1", "AWS_XRAY_CONTEXT_MISSING=LOG_ERROR",
		"K=v=w", "LAMBDA_RUNTIME_DIR=/var/runtime", "LAMBDA_TASK_ROOT=/var/task", "LANG=en_US.UTF-8",
		"PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin", "TZ=Europe/Berlin",
		"_HANDLER=a.b",
	}
	for _, tt := range []struct {
		name    string
		family  runtimes.Family
		logging alcove.Logging
		more    []string
	}{
		{"python3.12", runtimes.Python, v.Config.Logging, []string{"AWS_EXECUTION_ENV=AWS_Lambda_python3.12", "PWD=/var/task", "PYTHONPATH=/var/runtime"}},
		{"nodejs20.x", runtimes.NodeJS, v.Config.Logging, []string{"AWS_EXECUTION_ENV=AWS_Lambda_nodejs20.x", "PWD=/var/task",
			"NODE_PATH=/opt/nodejs/node20/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/var/task"}},
		{"provided.al2023", runtimes.Provided, v.Config.Logging, nil},
		{"provided.al2023", runtimes.Provided, alcove.Logging{Format: "JSON", ApplicationLevel: "DEBUG", Group: "/my/group"},
			[]string{"AWS_LAMBDA_LOG_FORMAT=JSON", "AWS_LAMBDA_LOG_LEVEL=DEBUG"}},
	} {
		w := *v
		w.Config.Logging = tt.logging
		got := runtimes.Environ(&w, runtimes.Runtime{Name: tt.name, Family: tt.family}, place, "s")
		want := append(slices.Clone(both), tt.more...)
		slices.Sort(want)
		got = slices.DeleteFunc(got, func(kv string) bool {
			rest, ok := strings.CutPrefix(kv, "LD_LIBRARY_PATH=")
			return ok && strings.HasSuffix(rest, ":/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib")
		})
		if !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, want)
		}
	}
}

func TestReserved(t *testing.T) {
	for key, want := range map[string]bool{"AWS_REGION": true, "_HANDLER": true, "AWS_SESSION_TOKEN": true, "LAMBDA_TASK_ROOT": true,
		"TZ": false, "PATH": false, "AWS_LAMBDA_EXEC_WRAPPER": false, "NODE_OPTIONS": false, "": false} {
		if got := runtimes.Reserved(key); got != want {
			t.Errorf("%s: %v", key, got)
		}
	}
}

// TestNoReservedOverride: whatever a configuration holds, a reserved key is ours.
func TestNoReservedOverride(t *testing.T) {
	mine := "not the platform's"
	v := &alcove.Version{Name: "f", Number: "1", Config: alcove.Config{Environment: map[string]string{}}}
	for _, key := range []string{"_HANDLER", "_X_AMZN_TRACE_ID", "_LAMBDA_TELEMETRY_LOG_FD", "AWS_LAMBDA_FUNCTION_NAME", "AWS_ACCESS_KEY_ID", "AWS_LAMBDA_LOG_FORMAT", "_AWS_XRAY_DAEMON_PORT"} {
		v.Config.Environment[key] = mine
	}
	for _, kv := range runtimes.Environ(v, runtimes.Runtime{Name: "provided.al2", Family: runtimes.Provided}, alcove.Place{}, "s") {
		if strings.HasSuffix(kv, mine) {
			t.Error(kv)
		}
	}
}
