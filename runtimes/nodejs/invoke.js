// Running the handler on an event.

let api;
let handler;
let invoke; // how the handler is called
let onEmptyLoop = () => process.exit(13); // a top-level await that nothing will end
const root = new AsyncResource('LambdaRuntime');

function next(answer) {
  onEmptyLoop = () => {};
  current.id = undefined;
  api.next(answer, onEvent);
}

function onEvent(status, headers, body) {
  if (status !== 200) {
    process.stderr.write(`LAMBDA_RUNTIME Failed to get next invocation. Http response code: ${status}. ${body}\n`);
    process.exit(1);
  }
  api.socket.unref();
  const id = headers['lambda-runtime-aws-request-id'];
  current.id = id;
  current.attempt = headers['lambda-runtime-invocation-id'];
  globalThis[REQUEST_ID] = id;
  globalThis[TENANT_ID] = headers['lambda-runtime-aws-tenant-id'];
  const trace = headers['lambda-runtime-trace-id'];
  if (trace !== current.trace) {
    current.trace = trace;
    if (trace) env._X_AMZN_TRACE_ID = trace;
    else delete env._X_AMZN_TRACE_ID;
  }
  if (headers.traceparent !== undefined || current.w3c) setW3C(headers);
  const json = body.toString('utf8');
  // What an invocation keeps in an AsyncLocalStorage is not seen by the next.
  root.runInAsyncScope(() => new AsyncResource('LambdaInvocation')).runInAsyncScope(invoke, undefined, id, headers, json);
}

// W3C Trace Context in the environment, as OpenTelemetry's programs read it.
function setW3C(headers) {
  current.w3c = headers.traceparent !== undefined;
  for (const [name, value] of [['TRACEPARENT', headers.traceparent], ['TRACESTATE', headers.tracestate]]) {
    if (value) env[name] = value;
    else delete env[name];
  }
}

function fail(id, e) {
  logError('Invoke Error', e);
  next(errorOf(id, e));
}

function parseHeader(headers, key, name) {
  if (headers[key] === undefined) return undefined;
  try {
    return JSON.parse(headers[key]);
  } catch (e) {
    throw new Error(`Cannot parse ${name} as json: ${e}`);
  }
}

// The members of a context that are the same for every invocation.
let constants;

function fillContext(context, headers) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  constants ??= {
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
  };
  return Object.assign(context, constants, {
    clientContext: parseHeader(headers, 'lambda-runtime-client-context', 'ClientContext'),
    identity: parseHeader(headers, 'lambda-runtime-cognito-identity', 'CognitoIdentity'),
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    tenantId: headers['lambda-runtime-aws-tenant-id'],
    getRemainingTimeInMillis: () => deadline - Date.now(),
  });
}

// A handler that may take a callback, as up to Node.js 22.
function invokeWithCallback(id, headers, json) {
  let finished = false; // by the function: the first call counts
  let waitForEmptyLoop = true;
  const once = (f) => (...args) => {
    if (finished) return;
    f(...args);
    finished = true;
  };
  const complete = (result) => next(resultOf(id, stringify(result)));
  const failed = (e) => e !== undefined && e !== null;

  const callback = once((e, result) => {
    onEmptyLoop = () => {};
    if (failed(e)) {
      fail(id, e);
    } else if (waitForEmptyLoop) {
      onEmptyLoop = () => {
        onEmptyLoop = () => {};
        setImmediate(() => {
          try {
            complete(result);
          } catch (thrown) {
            fail(id, thrown);
          }
        });
      };
    } else {
      complete(result);
    }
  });
  const done = (e, result) => (failed(e) ? fail(id, e) : complete(result));
  const context = {
    get callbackWaitsForEmptyEventLoop() { return waitForEmptyLoop; },
    set callbackWaitsForEmptyEventLoop(value) { waitForEmptyLoop = value; },
    succeed: once((result) => done(null, result)),
    fail: once((e) => done(failed(e) ? e : 'handled')),
    done: once(done),
  };
  onEmptyLoop = () => {
    finished = true;
    complete(null);
  };
  try {
    const result = handler(JSON.parse(json), fillContext(context, headers), callback);
    if (typeof result?.then === 'function') {
      result.then(context.succeed, context.fail).catch(context.fail);
    }
  } catch (e) {
    callback(e);
  }
}

// A handler that returns its result, as from Node.js 24 on.
async function invokeWithPromise(id, headers, json) {
  onEmptyLoop = () => next(resultOf(id, 'null'));
  let answer;
  try {
    const result = await handler(JSON.parse(json), fillContext({}, headers));
    answer = resultOf(id, stringify(result));
  } catch (e) {
    if (current.id === id) fail(id, e);
    return;
  }
  if (current.id === id) next(answer);
}
