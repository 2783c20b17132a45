// The Node.js runtime: loads the handler, asks the Runtime API for events, and
// answers them. It behaves as AWS's own runtime does, as far as functions can
// tell, and loads as little as it can, because that is start time.
//
// Usage: node bootstrap.js [SOCKET]
//
// SOCKET is the Runtime API's unix socket, /run/alcove/runtime.sock if not
// given; if there is none, AWS_LAMBDA_RUNTIME_API says where TCP leads to it.
'use strict';

const { AsyncResource } = require('async_hooks');
const fs = require('fs');
const net = require('net');
const path = require('path');
const util = require('util');

const env = process.env;
const socketPath = process.argv.length > 2 ? process.argv.pop() : '/run/alcove/runtime.sock';
const taskRoot = env.LAMBDA_TASK_ROOT || '/var/task';

// From Node.js 24 on, AWS's runtime has no callbacks and no context.done().
const promisesOnly = Number(/nodejs(\d+)\.x$/.exec(env.AWS_EXECUTION_ENV || '')?.[1]) >= 24;

// --- the invocation that is running -----------------------------------------

// Other libraries look for these.
const REQUEST_ID = Symbol.for('aws.lambda.runtime.requestId');
const TENANT_ID = Symbol.for('aws.lambda.runtime.tenantId');

const current = {
  id: undefined, // until it has been answered
  attempt: undefined,
  trace: undefined,
};

// --- errors -------------------------------------------------------------------

class RuntimeError extends Error {}

function runtimeError(kind) {
  const cls = class extends RuntimeError {};
  Object.defineProperty(cls, 'name', { value: kind });
  cls.prototype.name = `Runtime.${kind}`;
  return cls;
}

const ImportModuleError = runtimeError('ImportModuleError');
const HandlerNotFound = runtimeError('HandlerNotFound');
const MalformedHandlerName = runtimeError('MalformedHandlerName');
const UserCodeSyntaxError = runtimeError('UserCodeSyntaxError');
const MalformedStreamingHandler = runtimeError('MalformedStreamingHandler');
const InvalidStreamingOperation = runtimeError('InvalidStreamingOperation');
const UnhandledPromiseRejection = runtimeError('UnhandledPromiseRejection');
const CallbackHandlerDeprecated = runtimeError('CallbackHandlerDeprecated');

const looksLikeError = (e) => util.types.isNativeError(e)
  || (e && [e.name, e.message, e.stack].every((part) => part && typeof part === 'string'));

const toError = (e) => (e instanceof Error ? e : new Error(e));

// The error object that the caller of the function gets.
function describe(e) {
  const clean = (s) => s?.replace(/\x7F/g, '%7F');
  try {
    if (looksLikeError(e)) {
      return { errorType: clean(e.name), errorMessage: clean(e.message), trace: clean(e.stack).split('\n') };
    }
    return { errorType: typeof e, errorMessage: e.toString(), trace: [] };
  } catch {
    return {
      errorType: 'handled',
      errorMessage: 'callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack',
    };
  }
}

// The same for X-Ray, small enough for a header, or nothing.
function xrayCause(e) {
  try {
    const stack = String(e.stack).split('\n').slice(1).map((line) => {
      const [, label, file, number] = /^\s*at (?:(.*) \()?(.*?):(\d+)(?::\d+)?\)?$/.exec(line) || [];
      return { path: file || line.trim(), line: Number(number) || 0, label: label || 'anonymous' };
    });
    const cause = JSON.stringify({
      working_directory: process.cwd(),
      exceptions: [{ type: e.name, message: e.message, stack }],
      paths: [...new Set(stack.map((frame) => frame.path))],
    }).replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
    return cause.length < 65536 ? cause : '';
  } catch {
    return '';
  }
}

// --- logs -----------------------------------------------------------------------

const LEVELS = { TRACE: 4, DEBUG: 8, INFO: 12, WARN: 16, ERROR: 20, FATAL: 24 }; // bits of a frame's type
const FRAME_TEXT = 0xa55a0003;
const FRAME_JSON = 0xa55a0002;

const jsonLogs = (env.AWS_LAMBDA_LOG_FORMAT || '').toUpperCase() === 'JSON';

function writeAll(fd, bytes) {
  for (let at = 0; at < bytes.length;) {
    try {
      at += fs.writeSync(fd, bytes, at);
    } catch (e) {
      if (e.code !== 'EAGAIN') throw e; // the platform will read on
    }
  }
}

// Gives the function that writes one record.
function openLog() {
  const fd = Number.parseInt(env._LAMBDA_TELEMETRY_LOG_FD, 10);
  delete env._LAMBDA_TELEMETRY_LOG_FD;
  if (Number.isNaN(fd)) {
    return (level, time, line) => process.stdout.write(`${line.replace(/\n/g, '\r')}\n`);
  }
  const type = jsonLogs ? FRAME_JSON : FRAME_TEXT;
  return (level, time, line) => {
    const text = jsonLogs ? line : `${line}\n`;
    const size = Buffer.byteLength(text);
    const frame = Buffer.allocUnsafe(16 + size);
    frame.writeUInt32BE((type | LEVELS[level]) >>> 0, 0);
    frame.writeUInt32BE(size, 4);
    frame.writeBigUInt64BE(BigInt(time.valueOf()) * 1000n, 8);
    frame.write(text, 16);
    writeAll(fd, frame);
  };
}

const errorMembers = (e) => ({
  errorType: e?.constructor?.name ?? 'UnknownError',
  errorMessage: e.message,
  stackTrace: typeof e.stack === 'string' ? e.stack.split('\n') : [],
});

function jsonRecord(level, time, requestId, params) {
  const record = { timestamp: time.toISOString(), level, requestId };
  const tenantId = globalThis[TENANT_ID];
  if (tenantId !== undefined && tenantId !== null) record.tenantId = tenantId;
  if (params.length === 1) {
    [record.message] = params;
    try {
      return JSON.stringify(record, (_, v) => (v instanceof Error ? { ...errorMembers(v), ...v } : v));
    } catch {
      record.message = util.format(record.message);
      return JSON.stringify(record);
    }
  }
  record.message = util.format(...params);
  const error = params.find((p) => p instanceof Error);
  if (error) Object.assign(record, errorMembers(error));
  return JSON.stringify(record);
}

function patchConsole() {
  const write = openLog();
  const log = (level, params) => {
    const time = new Date();
    const requestId = globalThis[REQUEST_ID] ?? (promisesOnly ? '-' : undefined);
    write(level, time, jsonLogs
      ? jsonRecord(level, time, requestId, params)
      : `${time.toISOString()}\t${requestId}\t${level}\t${util.format(...params)}`);
  };
  const least = LEVELS[(env.AWS_LAMBDA_LOG_LEVEL || '').toUpperCase()] ?? LEVELS.TRACE;
  for (const level of Object.keys(LEVELS)) {
    console[level.toLowerCase()] = LEVELS[level] < least ? () => {} : (...params) => log(level, params);
  }
  console.log = console.info;
}

function logError(message, e) {
  if (jsonLogs) {
    console.error(toError(e));
    return;
  }
  let text;
  try {
    text = JSON.stringify(toError(e), (_, v) => {
      if (!(v instanceof Error)) return v;
      const members = { errorType: v.name, errorMessage: v.message, code: v.code, ...v };
      if (typeof v.stack === 'string') members.stack = v.stack.split('\n');
      return members;
    });
  } catch {
    text = JSON.stringify(describe(e));
  }
  console.error(message, `\t${text}`);
}

// --- the Runtime API --------------------------------------------------------------

const PREFIX = '/2018-06-01/runtime/';
const NEXT = `GET ${PREFIX}invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n`;

// One connection that is kept open. Answers come in the order of the questions;
// waiting holds what to do with each. While a handler runs, the socket does not
// keep the event loop alive, so that an empty loop can be noticed.
class Api {
  constructor() {
    this.waiting = [];
    this.rest = null; // bytes of a head that is not complete
    this.body = null; // of the answer that is coming in, and how much is there
    this.have = 0;
    this.head = null;
    const to = fs.existsSync(socketPath) ? { path: socketPath } : this.address();
    to.noDelay = true;
    to.onread = { buffer: Buffer.allocUnsafeSlow(65536), callback: (n, buffer) => this.read(buffer.subarray(0, n)) };
    this.socket = net.connect(to);
    this.socket.unref();
    this.socket.on('error', () => {});
    this.socket.on('close', () => process.exit(1)); // the environment is no more
  }

  address() {
    const [host, port] = env.AWS_LAMBDA_RUNTIME_API.split(':');
    return { host, port: Number(port) };
  }

  next(answer, onEvent) {
    if (answer !== undefined) this.waiting.push(accepted);
    this.waiting.push(onEvent);
    this.socket.ref();
    this.send(answer, NEXT);
  }

  // Sends an answer, then does something else than to ask for the next event.
  last(answer, then) {
    this.waiting.push(then);
    this.socket.ref();
    this.send(answer, '');
  }

  send(answer, more) {
    if (answer === undefined) {
      this.socket.write(more, 'latin1');
    } else if (typeof answer.body === 'string') {
      this.socket.write(`${answer.head}${answer.body}${more}`, 'utf8');
    } else {
      this.socket.cork();
      this.socket.write(answer.head, 'utf8');
      this.socket.write(answer.body);
      if (more) this.socket.write(more, 'latin1');
      this.socket.uncork();
    }
  }

  read(chunk) {
    if (this.body !== null) {
      const n = chunk.copy(this.body, this.have);
      this.have += n;
      if (this.have < this.body.length) return true;
      const { body } = this;
      this.body = null;
      this.answer(body);
      chunk = chunk.subarray(n);
    }
    while (chunk.length > 0) {
      const all = this.rest === null ? chunk : Buffer.concat([this.rest, chunk]);
      const end = all.indexOf('\r\n\r\n');
      if (end < 0) {
        this.rest = Buffer.from(all); // the chunk's memory is used again
        return true;
      }
      this.rest = null;
      this.head = parseHead(all.toString('utf8', 0, end));
      const start = end + 4;
      const size = Number(this.head.headers['content-length'] || 0);
      if (all.length - start < size) {
        this.body = Buffer.allocUnsafeSlow(size);
        this.have = all.copy(this.body, 0, start);
        return true;
      }
      // What comes after an event can only come once it has been answered.
      chunk = all.subarray(start + size);
      this.answer(all.subarray(start, start + size));
    }
    return true;
  }

  answer(body) {
    this.waiting.shift()(this.head.status, this.head.headers, body);
  }
}

function parseHead(text) {
  const lines = text.split('\r\n');
  const headers = {};
  for (let i = 1; i < lines.length; i += 1) {
    const colon = lines[i].indexOf(':');
    headers[lines[i].slice(0, colon).toLowerCase()] = lines[i].slice(colon + 1).trim();
  }
  return { status: Number(lines[0].slice(9, 12)), headers };
}

function accepted(status, headers, body) {
  if (status !== 202) {
    process.stderr.write(`LAMBDA_RUNTIME Failed to post handler response. Http response code: ${status}. ${body}\n`);
  }
}

function post(verb, body, headers) {
  const attempt = current.attempt ? `Lambda-Runtime-Invocation-Id: ${current.attempt}\r\n` : '';
  return {
    head: `POST ${PREFIX}${verb} HTTP/1.1\r\nHost: runtime\r\n${headers}${attempt}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`,
    body,
  };
}

const JSON_TYPE = 'Content-Type: application/json\r\n';

const resultOf = (id, json) => post(`invocation/${id}/response`, json, JSON_TYPE);

function errorOf(id, e) {
  const error = describe(e);
  const cause = xrayCause(e);
  const headers = `${JSON_TYPE}Lambda-Runtime-Function-Error-Type: ${headerValue(error.errorType)}\r\n`
    + (cause ? `Lambda-Runtime-Function-XRay-Error-Cause: ${cause}\r\n` : '');
  return post(id === undefined ? 'init/error' : `invocation/${id}/error`, JSON.stringify(error), headers);
}

const headerValue = (s) => String(s).replace(/[^ -~]/g, '?');

function stringify(result) {
  try {
    return JSON.stringify(result === undefined ? null : result) ?? 'null';
  } catch {
    throw new Error('Unable to stringify response body');
  }
}

// --- the handler ------------------------------------------------------------------

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');

const HttpResponseStream = class {
  // Puts a prelude (status, headers, cookies) before the first byte.
  static from(stream, prelude) {
    stream.setContentType('application/vnd.awslambda.http-integration-response');
    stream._onBeforeFirstWrite = (write) => {
      write(JSON.stringify(prelude));
      write(new Uint8Array(8));
    };
    return stream;
  }
};

function installGlobals() {
  if (['1', 'true'].includes(env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA)) return;
  globalThis.awslambda = {
    streamifyResponse(handler, options) {
      handler[STREAMING] = 'response';
      if (typeof options?.highWaterMark === 'number') handler[HIGH_WATER_MARK] = Math.trunc(options.highWaterMark);
      return handler;
    },
    HttpResponseStream,
  };
}

// Whether a .js file belongs to a package that says "type": "module".
function inModulePackage(file) {
  for (let dir = path.dirname(file); !dir.endsWith('/node_modules'); dir = path.dirname(dir)) {
    try {
      return JSON.parse(fs.readFileSync(path.join(dir, 'package.json'), 'utf8'))?.type === 'module';
    } catch (e) {
      if (e.code !== 'ENOENT' && e.code !== 'ENOTDIR') {
        console.warn(`${path.join(dir, 'package.json')} cannot be read, it will be ignored for ES module detection purposes.`, e);
        return false;
      }
    }
    if (dir === '/') return false;
  }
  return false;
}

const isFile = (file) => fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;

const importFile = (file) => import(require('url').pathToFileURL(file).href);

async function loadModule(folder, name) {
  const base = path.resolve(taskRoot, folder, name);
  if (isFile(base)) return require(base);
  if (isFile(`${base}.js`)) return inModulePackage(`${base}.js`) ? importFile(`${base}.js`) : require(`${base}.js`);
  if (isFile(`${base}.mjs`)) return importFile(`${base}.mjs`);
  if (isFile(`${base}.cjs`)) return require(`${base}.cjs`);
  if (fs.existsSync(base)) return require(base);
  return require(require.resolve(name, { paths: [taskRoot, path.resolve(taskRoot, folder)] }));
}

const member = (object, names) => names.split('.').reduce((o, name) => (o ? o[name] : undefined), object);

async function loadHandler(spec) {
  if (spec.includes('..')) {
    throw new MalformedHandlerName(`'${spec}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  }
  const last = path.basename(spec);
  const parts = /^([^.]*)\.(.*)$/.exec(last);
  if (!parts) throw new MalformedHandlerName('Bad handler');
  let module;
  try {
    module = await loadModule(spec.slice(0, spec.indexOf(last)), parts[1]);
  } catch (e) {
    if (e instanceof SyntaxError) throw new UserCodeSyntaxError(e);
    if (e?.code === 'MODULE_NOT_FOUND') throw new ImportModuleError(e);
    throw e;
  }
  const handler = member(module, parts[2]) ?? member(module?.default, parts[2]);
  if (!handler) throw new HandlerNotFound(`${spec} is undefined or not exported`);
  if (typeof handler !== 'function') throw new HandlerNotFound(`${spec} is not a function`);
  const streaming = handler[STREAMING];
  if (streaming && streaming !== 'response') throw new MalformedStreamingHandler('Only response streaming is supported.');
  if (promisesOnly && !streaming && handler.length >= 3) {
    throw new CallbackHandlerDeprecated('AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to modify this function to use a supported handler signature to use Node.js 24 or later.');
  }
  return handler;
}

// --- invocations --------------------------------------------------------------------

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
  const json = body.toString('utf8');
  // What an invocation keeps in an AsyncLocalStorage is not seen by the next.
  root.runInAsyncScope(() => new AsyncResource('LambdaInvocation')).runInAsyncScope(invoke, undefined, id, headers, json);
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

// Collects what a streaming handler writes.
function responseStream() {
  const { Writable } = require('stream');
  const chunks = [];
  const stream = new Writable({
    highWaterMark: handler[HIGH_WATER_MARK],
    decodeStrings: true,
    write(chunk, encoding, callback) {
      chunks.push(chunk);
      callback();
    },
  });
  const write = stream.write.bind(stream);
  let started = false;
  stream.write = (chunk, ...rest) => {
    if (!started) {
      started = true;
      stream._onBeforeFirstWrite?.((c) => write(c));
    }
    const plain = typeof chunk === 'string' || chunk instanceof Uint8Array;
    return write(plain ? chunk : JSON.stringify(chunk), ...rest);
  };
  const end = stream.end.bind(stream);
  stream.end = (chunk, ...rest) => {
    if (typeof chunk === 'function') return end(chunk);
    if (chunk !== undefined && chunk !== null) stream.write(chunk, ...rest.filter((arg) => typeof arg === 'string'));
    return end(...rest.filter((arg) => typeof arg === 'function'));
  };
  stream.contentType = 'application/octet-stream';
  stream.setContentType = (type) => {
    if (started) throw new InvalidStreamingOperation('Cannot set content-type, too late.');
    stream.contentType = type;
  };
  return { stream, chunks };
}

async function invokeStreaming(id, headers, json) {
  const { stream, chunks } = responseStream();
  onEmptyLoop = () => {
    onEmptyLoop = () => {};
    fail(id, 'Response stream is not finished.');
  };
  try {
    const context = fillContext({ callbackWaitsForEmptyEventLoop: true }, headers);
    const result = handler(JSON.parse(json), stream, context);
    if (typeof result?.then !== 'function') throw 'Streaming does not support non-async handlers.';
    if (await result !== undefined) console.warn('Streaming handlers ignore return values.');
    if (!stream.writableEnded) throw 'Response stream is not finished.';
    if (!stream.writableFinished) {
      await new Promise((resolve, reject) => { stream.once('finish', resolve).once('error', reject); });
    }
  } catch (e) {
    if (current.id === id) fail(id, e);
    return;
  }
  if (current.id !== id) return;
  next(post(`invocation/${id}/response`, Buffer.concat(chunks),
    `Content-Type: ${headerValue(stream.contentType)}\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n`));
}

// --- start ------------------------------------------------------------------------------

let starting = true;
let dying = false;

// Ends the process after the platform has been told why.
function die(e, code) {
  if (dying) return;
  dying = true;
  const exit = () => process.exit(code);
  // A question is under way already if no invocation is: nobody to tell.
  if (!starting && current.id === undefined) exit();
  api.last(errorOf(starting ? undefined : current.id, e), exit);
}

function onUncaught(e) {
  logError('Uncaught Exception', e);
  die(e, 129);
}

async function main() {
  patchConsole();
  process.on('uncaughtException', onUncaught);
  process.on('unhandledRejection', (reason, promise) => {
    const e = new UnhandledPromiseRejection(reason);
    Object.assign(e, { reason, promise });
    logError('Unhandled Promise Rejection', e);
    die(e, 128);
  });
  process.on('beforeExit', () => onEmptyLoop());
  api = new Api();
  installGlobals();
  try {
    handler = await loadHandler(env._HANDLER || '');
  } catch (e) {
    onUncaught(e);
    return;
  }
  invoke = invokeWithCallback;
  if (handler[STREAMING]) invoke = invokeStreaming;
  else if (promisesOnly) invoke = invokeWithPromise;
  starting = false;
  next();
}

main();
