// From the start of the process to the first question.

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
  configure();
  patchConsole();
  process.on('uncaughtException', onUncaught);
  process.on('unhandledRejection', (reason, promise) => {
    const e = new UnhandledPromiseRejection(reason);
    Object.assign(e, { reason, promise });
    logError('Unhandled Promise Rejection', e);
    die(e, 128);
  });
  process.on('beforeExit', () => onEmptyLoop());
  if (api === undefined) {
    rehearseInvocation();
    api = new Api();
    api.ping(() => {}); // the same for what reads from the connection
  }
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

if (env._ALCOVE_BLANK === undefined) main();
else waitForFunction(main);
