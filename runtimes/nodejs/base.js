// The Node.js runtime: loads the handler, asks the Runtime API for events, and
// answers them. It behaves as AWS's own runtime does, as far as functions can
// tell, and loads as little as it can, because that is start time. This is the
// first of several files that become one, bootstrap.js (see ../bootstrap.go).
//
// Usage: node bootstrap.js [SOCKET]
//
// SOCKET is the Runtime API's unix socket, /run/alcove/runtime.sock if not
// given; if there is none, AWS_LAMBDA_RUNTIME_API says where TCP leads to it.
//
// With _ALCOVE_BLANK in its environment it does not know its function yet: it
// waits to be told (see blank.js). So nothing here may look at a function's
// variables before configure does.
'use strict';

const { AsyncResource } = require('async_hooks');
const fs = require('fs');
const net = require('net');
const path = require('path');
const util = require('util');

const env = process.env;
const socketPath = process.argv.length > 2 ? process.argv.pop() : '/run/alcove/runtime.sock';

let taskRoot;
let promisesOnly; // from Node.js 24 on, AWS's runtime has no callbacks and no context.done()
let jsonLogs;

// Reads what the environment says of the function.
function configure() {
  taskRoot = env.LAMBDA_TASK_ROOT || '/var/task';
  promisesOnly = Number(/nodejs(\d+)\.x$/.exec(env.AWS_EXECUTION_ENV || '')?.[1]) >= 24;
  jsonLogs = (env.AWS_LAMBDA_LOG_FORMAT || '').toUpperCase() === 'JSON';
}

// Other libraries look for these.
const REQUEST_ID = Symbol.for('aws.lambda.runtime.requestId');
const TENANT_ID = Symbol.for('aws.lambda.runtime.tenantId');

const current = {
  id: undefined, // until it has been answered
  attempt: undefined,
  trace: undefined,
};
