// A process that is started before its function is known.

// What functions, and AWS's SDK, need of Node.js itself. Nothing in it depends on
// the environment before it is used.
const ORDINARY = ['buffer', 'crypto', 'events', 'fs/promises', 'http', 'https', 'os', 'stream', 'stream/promises', 'timers/promises',
  'url', 'zlib'];

// Gets ready, waits to be told the function, becomes its process, and goes on.
async function waitForFunction(goOn) {
  for (const name of ORDINARY) require(name);
  await import('node:fs'); // has the loader of ES modules ready
  await rehearse();
  api = new Api();
  // The node reads a connection quickly for as long as nothing is said on it but
  // invocations, so the question has one of its own.
  const asking = new Api();
  asking.socket.ref();
  asking.ping(() => asking.function((status, headers, body) => {
    if (status !== 200) process.exit(1);
    asking.close();
    become(JSON.parse(body.toString('utf8')).environment);
    goOn();
  }));
}

// Has the process look as if it had been started with variables.
function become(variables) {
  const home = env.HOME; // the sandbox's own; no variable that the platform gives
  for (const name of Object.keys(env)) delete env[name];
  Object.assign(env, variables);
  if (home !== undefined) env.HOME ??= home;
  process.chdir(env.LAMBDA_TASK_ROOT);
  require('module').Module._initPaths(); // NODE_PATH
}

// Does once what a function will wait for, so that it is compiled by then, with a
// handler of our own, and leaves no trace of it.
async function rehearse() {
  become({ ...env });
  configure();
  patchConsole();
  taskRoot = __dirname;
  await loadHandler('rehearsal.handler');
  rehearseInvocation();
  const { Module } = require('module');
  delete require.cache[path.join(__dirname, 'rehearsal.js')];
  module.children.length = 0;
  for (const key of Object.keys(Module._pathCache)) {
    if (key.includes('rehearsal')) delete Module._pathCache[key];
  }
}
