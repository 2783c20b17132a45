// Errors of the runtime, and errors as the platform wants to hear of them.

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
