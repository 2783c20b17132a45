package extensions

import (
	"slices"
	"strings"
	"testing"

	"github.com/alcove-run/alcove/test/testnode"
)

// watched is a function that answers with what its extension has noted, once that has
// the words it is asked for.
var watched = testnode.Files{"main.py": `
import os, time
def handler(event, context):
    print("line of", context.tenant_id)
    text = ""
    for _ in range(500):
        if "file" not in event:
            break
        if os.path.exists(event["file"]):
            text = open(event["file"]).read()
            if all(w in text for w in event["words"] + [context.aws_request_id]):
                break
        time.sleep(0.01)
    return {"text": text, "id": context.aws_request_id}
`}

// TestExtension runs a function with an extension that is told of invocations and of
// telemetry, for several tenants, in each form of telemetry, until it is told to end.
func TestExtension(t *testing.T) {
	onEach(t, func(t *testing.T, b *bench) {
		platform := []string{`"type":"platform.initStart"`, `"type":"platform.extension"`, `"type":"platform.telemetrySubscription"`,
			`"type":"platform.runtimeDone"`, `"tenantId":"TENANT"`, `"type":"platform.report"`}
		for mode, wanted := range map[string][]string{
			"http": platform, "tcp": platform,
			"logs": {`"type":"platform.extension"`, `"type":"platform.logsSubscription"`, `"type":"platform.start"`, `"type":"platform.end"`, `"type":"platform.report"`},
		} {
			f := b.Deploy(t, testnode.Python, watched, testnode.Isolated, testnode.JSONLog, b.with(mode))
			for tenant, other := range map[string]string{"t-one": "t-two", "t-two": "t-one"} {
				got := b.invoke(t, f, tenant, `{"file": "/tmp/events", "words": ["INVOKE"]}`)
				if !strings.Contains(got.Text, `"requestId":"`+got.ID+`"`) || !strings.Contains(got.Text, `"invokedFunctionArn":"arn:aws:lambda:`) ||
					strings.Contains(got.Text, "t-one") || strings.Contains(got.Text, "t-two") {
					t.Errorf("%s: %s: events %s", mode, tenant, got.Text)
				}
				first := got.ID
				got = b.invoke(t, f, tenant, `{"file": "/tmp/telemetry", "words": ["platform.report", "platform.start", "line of"]}`)
				for _, want := range append(wanted, first, got.ID, "line of "+tenant) {
					if want = strings.ReplaceAll(want, "TENANT", tenant); !strings.Contains(got.Text, want) {
						t.Errorf("%s: %s's telemetry has no %s:\n%s", mode, tenant, want, got.Text)
					}
				}
				if strings.Contains(got.Text, other) {
					t.Errorf("%s: %s's telemetry has something of %s:\n%s", mode, tenant, other, got.Text)
				}
				if mode == "logs" && (strings.Contains(got.Text, "tenantId") || strings.Contains(got.Text, "initStart")) {
					t.Errorf("the Logs API tells what it does not have:\n%s", got.Text)
				}
			}
			// A new tenant finds one that has finished Init, extensions included.
			testnode.Eventually(t, "an environment to wait for the next tenant", func() bool {
				return slices.ContainsFunc(b.Environments(t, f), func(e testnode.Environment) bool { return !e.Bound && e.State == "idle" })
			})
			if got := b.invoke(t, f, "t-three", `{}`); strings.Contains(got.tail, "initDurationMs") || !strings.Contains(got.tail, "platform.report") {
				t.Errorf("%s: a new tenant waited for Init:\n%s", mode, got.tail)
			}
			b.change(t, f)
			log := b.logged(t, f, `"eventType":"SHUTDOWN"`, `"shutdownReason":"spindown"`)
			if !strings.Contains(log, "EXT watcher registered 200 {\"accountId\":\"000000000000\",\"functionName\":\""+f+"\",\"functionVersion\":\"$LATEST\",\"handler\":\"main.handler\"}") {
				t.Errorf("registered with:\n%s", log)
			}
			if !strings.Contains(log, `EXT watcher subscribed 200 "OK"`) {
				t.Errorf("subscribed with:\n%s", log)
			}
		}
	})
}

// TestExtensionsThatFail runs extensions that fail in every way that they can.
func TestExtensionsThatFail(t *testing.T) {
	onEach(t, func(t *testing.T, b *bench) {
		for _, c := range []struct {
			mode, errorType, message string
			logs                     []string
		}{
			{"crash-init", "Extension.Crash", "exit status 3", []string{"EXTENSION\tName: watcher\tState: Exited\tEvents: []", "INIT_REPORT", "Extension.Crash"}},
			{"init-error", "Extension.InitError", "Extension.NoConfig", []string{"EXTENSION\tName: watcher\tState: InitError\tEvents: [INVOKE, SHUTDOWN]\tError Type: Extension.NoConfig"}},
			{"hang-init", "Sandbox.Timedout", "Task timed out after 1.00 seconds", []string{"INIT_REPORT", "Status: timeout", "EXTENSION\tName: watcher\tState: Registered"}},
			{"exit-early", "Extension.Crash", "exit status 4", nil},
			{"hang-invoke", "Sandbox.Timedout", "Task timed out after 1.00 seconds", []string{"EXTENSION\tName: watcher\tState: Ready\tEvents: [INVOKE, SHUTDOWN]"}},
			{"twice", "", "", []string{"EXT watcher again 403", "State transition from Registered to Registered failed for extension watcher. Error: State transition is not allowed"}},
			{"foreign", "", "", []string{`"errorType":"ValidationError"`, "URI host should be sandbox.localdomain"}},
			{"subscribe-late", "", "", []string{`EXT watcher late 403 {"errorMessage":"Telemetry API subscription is closed already","errorType":"Telemetry.SubscriptionClosed"}`}},
			{"slow", "", "", nil},
			{"flood", "", "", []string{"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}},
			{"slow-invoke", "", "", nil},
			{"stay", "", "", nil},
		} {
			if c.mode == "hang-init" && b.gvisor {
				continue // it takes ten seconds, and is the same
			}
			t.Run(c.mode, func(t *testing.T) {
				t.Parallel()
				options := []testnode.Option{testnode.Isolated, b.with(c.mode)}
				if strings.HasPrefix(c.mode, "hang") {
					options = append(options, seconds(1))
				}
				f := b.Deploy(t, testnode.Python, watched, options...)
				for range 2 { // it is as bad again
					got := b.invoke(t, f, "a", `{}`)
					if got.ErrorType != c.errorType || !strings.Contains(got.ErrorMessage, c.message) {
						t.Errorf("got %+v", got)
					}
					if c.mode == "hang-init" {
						break // that takes its time
					}
				}
				b.logged(t, f, append(c.logs, "REPORT RequestId")...)
				b.change(t, f)
				testnode.Eventually(t, "the environments to end", func() bool {
					return !slices.ContainsFunc(b.Environments(t, f), func(e testnode.Environment) bool { return e.Bound })
				})
			})
		}
	})
}

// TestShutdownAtTheNodesEnd stops a node, and looks what its extensions were told.
func TestShutdownAtTheNodesEnd(t *testing.T) {
	for _, driver := range []string{"gvisor", "namespace"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			b := start(t, data, "--isolation", driver)
			f := b.Deploy(t, testnode.Python, watched, testnode.Isolated, b.with("http"))
			for _, tenant := range []string{"a", "b"} {
				b.invoke(t, f, tenant, `{}`)
			}
			testnode.Eventually(t, "the environments to be frozen", func() bool {
				frozen := 0
				for _, e := range b.Environments(t, f) { // one more waits for another tenant
					if e.Bound && e.Frozen {
						frozen++
					}
				}
				return frozen == 2
			})
			if err := b.Stop(); err != nil {
				t.Fatal(err)
			}
			b = &bench{Node: testnode.Start(t, program, data, "--isolation", driver)}
			if log := b.log(t, f); strings.Count(log, `"shutdownReason":"spindown"`) != 2 {
				t.Errorf("two extensions were told, by the log:\n%s", log)
			}
		})
	}
}
