// Finding the handler.

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
