// Running a handler that streams its answer. What it writes is collected and sent
// when it has ended.

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
