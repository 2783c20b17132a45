// console.*, as functions on AWS find it.

const LEVELS = { TRACE: 4, DEBUG: 8, INFO: 12, WARN: 16, ERROR: 20, FATAL: 24 }; // bits of a frame's type
const FRAME_TEXT = 0xa55a0003;
const FRAME_JSON = 0xa55a0002;

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
