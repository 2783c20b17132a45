// A rehearsal of an invocation, before there is a function: Node.js compiles a
// piece of code when it first runs, and a tenant's first call should not wait for
// that. Nothing of it is left for the function to see.

// The connection of the rehearsal. Nothing leaves it.
const stage = { ref() {}, unref() {}, write() {} };

const REHEARSED = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n'
  + 'Lambda-Runtime-Aws-Request-Id: 0\r\nLambda-Runtime-Invocation-Id: 0\r\nLambda-Runtime-Trace-Id: 0\r\n'
  + 'Lambda-Runtime-Invoked-Function-Arn: 0\r\nLambda-Runtime-Aws-Tenant-Id: 0\r\nLambda-Runtime-Deadline-Ms: 0\r\n\r\n{}';
const ACCEPTED = 'HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n';

// Has an event come in and its answer go out. All of it happens before this
// returns, because the handler's promise is one that is kept at once.
function rehearseInvocation() {
  const kept = { api, handler, invoke, onEmptyLoop };
  api = new Api(stage);
  handler = () => ({ then(resolve) { resolve(null); return { catch() {} }; } });
  invoke = invokeWithCallback;
  next();
  api.read(Buffer.from(REHEARSED));
  api.read(Buffer.from(ACCEPTED));
  ({ api, handler, invoke, onEmptyLoop } = kept);
  constants = undefined;
  Object.assign(current, { id: undefined, attempt: undefined, trace: undefined });
  delete env._X_AMZN_TRACE_ID;
  delete globalThis[REQUEST_ID];
  delete globalThis[TENANT_ID];
}
