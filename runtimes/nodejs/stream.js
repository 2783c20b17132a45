// Running a handler that streams its answer.

const ERROR_TRAILERS = 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body';
const MAX_ERROR = 2400; // bytes of an error's JSON; the platform takes 4 KiB of trailers

// The connection that streamed answers go by: the one with the questions stays
// one on which nothing is said but questions and short answers.
let answers;

// An answer on its way. Nothing is sent before there is something to send, so an
// error that comes first is an error like any other.
class StreamedAnswer {
  constructor(id) {
    this.id = id;
    this.begun = false;
  }

  begin(contentType) {
    this.begun = true;
    answers ??= new Api();
    const { head } = post(`invocation/${this.id}/response`, '', '');
    this.accepted = new Promise((resolve) => {
      answers.waiting.push((status, headers, body) => {
        accepted(status, headers, body);
        resolve();
      });
    });
    answers.socket.write(head.replace('Content-Length: 0', `Content-Type: ${headerValue(contentType)}\r\n`
      + `Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\nTrailer: ${ERROR_TRAILERS}`), 'latin1');
  }

  write(chunks, then) {
    const parts = [];
    for (const chunk of chunks) {
      if (chunk.length > 0) parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'));
    }
    if (parts.length === 0) then();
    else answers.socket.write(Buffer.concat(parts), then);
  }

  // Ends the answer, with an error if there is one, and waits until it is taken.
  async end(e) {
    let trailers = '';
    if (e !== undefined) {
      const error = describe(e);
      let body = Buffer.from(JSON.stringify(error));
      if (body.length > MAX_ERROR) {
        body = Buffer.from(JSON.stringify({ ...error, errorMessage: String(error.errorMessage).slice(0, 500), trace: [] }));
      }
      trailers = `Lambda-Runtime-Function-Error-Type: ${headerValue(error.errorType)}\r\n`
        + `Lambda-Runtime-Function-Error-Body: ${body.toString('base64')}\r\n`;
    }
    answers.socket.ref();
    answers.socket.write(`0\r\n${trailers}\r\n`, 'latin1');
    await this.accepted;
    answers.socket.unref();
  }
}

function responseStream(answer) {
  const { Writable } = require('stream');
  let started = false;
  const send = (chunks, then) => {
    if (!answer.begun) answer.begin(stream.contentType);
    answer.write(chunks, then);
  };
  const stream = new Writable({
    highWaterMark: handler[HIGH_WATER_MARK],
    decodeStrings: true,
    write(chunk, encoding, callback) { send([chunk], callback); },
    writev(chunks, callback) { send(chunks.map(({ chunk }) => chunk), callback); },
  });
  const write = stream.write.bind(stream);
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
  return stream;
}

async function invokeStreaming(id, headers, json) {
  const answer = new StreamedAnswer(id);
  const stream = responseStream(answer);
  let over = false;
  const finish = async (e) => {
    if (over) return;
    over = true;
    onEmptyLoop = () => {};
    if (e !== undefined && !answer.begun) {
      fail(id, e);
      return;
    }
    if (e !== undefined) logError('Invoke Error', e);
    if (!answer.begun) answer.begin(stream.contentType);
    await answer.end(e);
    if (current.id === id) next();
  };
  onEmptyLoop = () => finish('Response stream is not finished.');
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
    await finish(e ?? new Error(String(e)));
    return;
  }
  await finish();
}
