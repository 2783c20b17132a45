package observe

import (
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/alcove-run/alcove/test/testnode"
)

// internal is a function that is an extension itself: it registers in its runtime's
// process, is told of telemetry by HTTP, and says when it is told to end.
const internal = `
import http.server, json, os, signal, sys, threading, urllib.request
api = 'http://' + os.environ['AWS_LAMBDA_RUNTIME_API']
seen = []
def ask(method, path, body, **headers):
    r = urllib.request.Request(api + path, json.dumps(body).encode() if body is not None else None, headers, method=method)
    with urllib.request.urlopen(r) as a:
        return a.status, a.headers, a.read()
class Listener(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        for e in json.loads(self.rfile.read(int(self.headers['Content-Length']))):
            seen.append(e['type'])
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(('127.0.0.1', 4243), Listener)
threading.Thread(target=server.serve_forever, daemon=True).start()
_, headers, _ = ask('POST', '/2020-01-01/extension/register', {'events': ['INVOKE']}, **{'Lambda-Extension-Name': 'inside'})
me = {'Lambda-Extension-Identifier': headers['Lambda-Extension-Identifier']}
status, _, answer = ask('PUT', '/2022-07-01/telemetry', {'schemaVersion': '2022-12-13', 'types': ['platform', 'function'],
    'destination': {'protocol': 'HTTP', 'URI': 'http://sandbox.localdomain:4243'}, 'buffering': {'timeoutMs': 25, 'maxItems': 1000, 'maxBytes': 262144}}, **me)
print('subscribed', status, answer.decode())
def events():
    while True:
        ask('GET', '/2020-01-01/extension/event/next', None, **me)
threading.Thread(target=events, daemon=True).start()
def end(*args):
    print('told to end, after', 'platform.initRuntimeDone' in seen, 'platform.runtimeDone' in seen, 'function' in seen, flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
def handler(event, context):
    print('at work for', context.tenant_id)
    return len(seen)
`

// TestInternalExtension: a function that has only an extension in its runtime's own
// process has telemetry and SIGTERM from its first environment on.
func TestInternalExtension(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			timeout := int32(20)
			n := testnode.Start(t, program, t.TempDir(), "--isolation", driver)
			name := n.Deploy(t, testnode.Python, testnode.Files{"main.py": internal, "wrapper*": "#!/bin/sh\nexec \"$@\"\n"}, testnode.Isolated, func(in *lambda.CreateFunctionInput) {
				in.Environment = &types.Environment{Variables: map[string]string{"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}}
			})
			n.Run(t, name, "green", "{}")
			var text string
			// Half a second is what it has to end in, which a busy machine may not give it.
			testnode.Eventually(t, "an environment that has had telemetry is told to end", func() bool {
				testnode.Eventually(t, "telemetry has come", func() bool {
					many, err := strconv.Atoi(n.Run(t, name, "blue", "{}"))
					return err == nil && many > 5
				})
				// What has been there is not current any more, and ends.
				timeout++
				if _, err := n.Lambda.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: &name, Timeout: &timeout}); err != nil {
					t.Fatal(err)
				}
				n.Active(t, name)
				n.Run(t, name, "blue", "{}")
				out, err := n.Logs.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/aws/lambda/" + name)})
				if err != nil {
					t.Fatal(err)
				}
				text = ""
				for _, e := range out.Events {
					text += *e.Message
				}
				return strings.Contains(text, "told to end, after True True True")
			})
			if !strings.Contains(text, `subscribed 200 "OK"`) || strings.Contains(text, "subscribed 202") || !strings.Contains(text, "at work for green") {
				t.Errorf("its log: %s", text)
			}
		})
	}
}
