// The Runtime API: questions, and answers to them.

const PREFIX = '/2018-06-01/runtime/';
const NEXT = `GET ${PREFIX}invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n`;

// One connection that is kept open. Answers come in the order of the questions;
// waiting holds what to do with each. While a handler runs, the socket does not
// keep the event loop alive, so that an empty loop can be noticed.
class Api {
  constructor(socket = undefined) {
    this.waiting = [];
    this.rest = null; // bytes of a head that is not complete
    this.body = null; // of the answer that is coming in, and how much is there
    this.have = 0;
    this.head = null;
    this.socket = socket ?? this.connect();
  }

  connect() {
    const to = fs.existsSync(socketPath) ? { path: socketPath } : this.address();
    to.noDelay = true;
    to.onread = { buffer: Buffer.allocUnsafeSlow(65536), callback: (n, buffer) => this.read(buffer.subarray(0, n)) };
    const socket = net.connect(to);
    socket.unref();
    socket.on('error', () => {});
    socket.on('close', () => process.exit(1)); // the environment is no more
    return socket;
  }

  address() {
    const [host, port] = env.AWS_LAMBDA_RUNTIME_API.split(':');
    return { host, port: Number(port) };
  }

  close() {
    this.socket.removeAllListeners('close');
    this.socket.destroy();
  }

  // Asks for nothing. The event loop does not wait for the answer.
  ping(onPong) {
    this.waiting.push(onPong);
    this.send(undefined, 'GET /2018-06-01/ping HTTP/1.1\r\nHost: runtime\r\n\r\n');
  }

  // Waits until there is a function.
  function(onFunction) {
    this.waiting.push(onFunction);
    this.socket.ref();
    this.send(undefined, 'GET /alcove/function HTTP/1.1\r\nHost: runtime\r\n\r\n');
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
