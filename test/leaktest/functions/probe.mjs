// The function that `alcove leaktest` deploys on Node.js runtimes: what probe.py
// does, by the means that JavaScript has.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const environment = randomUUID();
const life = 60_000; // milliseconds; nothing left behind lives longer
const places = ['/tmp', '/var/tmp', '/dev/shm', '/run', '/run/lock', '/mnt', '/opt', '/var/task', '/var/cache', '/home', '.'];

const seen = new Map(); // who -> invocations: a global, as functions have them
const timers = new Map(); // who -> {beats, spied}
const listeners = [];
let current = null;

const mark = (event, who) => `leaktest-${event.run}-${who}`;
const whose = (m) => m.slice(m.lastIndexOf('-') + 1);

function number(text) {
  let h = 5381;
  for (const c of text) h = (h * 33 + c.charCodeAt(0)) >>> 0;
  return h;
}
const port = (m) => 30000 + (number(m) % 10000);

function attempt(f) {
  try {
    return f();
  } catch {
    return undefined;
  }
}

// listen answers every connection with the mark, until the environment's time is up.
function listen(address, m) {
  return new Promise((resolve, reject) => {
    const server = net.createServer((c) => {
      c.on('error', () => {});
      c.end(m);
    });
    server.on('error', (e) => (e.code === 'EADDRINUSE' ? resolve() : reject(e)));
    server.listen(address, () => {
      server.unref();
      setTimeout(() => server.close(), life).unref();
      listeners.push(server);
      resolve();
    });
  });
}

function ask(address, m) {
  return new Promise((resolve) => {
    let got = '';
    const c = net.connect(address);
    c.setTimeout(2000, () => c.destroy());
    c.on('data', (b) => (got += b));
    c.on('error', () => {});
    c.on('close', () => resolve(got === m));
  });
}

// What the daemon runs: detached, in a session of its own, it outlives the
// invocation and whoever started it.
const daemon = `
const net = require('net');
const s = net.createServer((c) => { c.on('error', () => {}); c.end(process.argv[1]); });
s.on('error', () => process.exit(1));
s.listen({ path: '\\0' + process.argv[1] + '-daemon' });
setTimeout(() => process.exit(0), ${life});`;

function* processes(m) {
  for (const pid of fs.readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(pid) || Number(pid) === process.pid) continue;
    const args = attempt(() => fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
    if (args !== undefined && args.split('\0').includes(m)) yield Number(pid);
  }
}
const firstProcess = (m) => processes(m).next().value;

function openFile(m) {
  for (let fd = 3; fd < 1024; fd++) {
    const b = Buffer.alloc(200);
    const n = attempt(() => fs.readSync(fd, b, 0, 200, 0));
    if (n && b.toString('utf8', 0, n) === m) return true;
  }
  return false;
}

const channels = {
  globals: { plant() {}, look: (event, m) => seen.has(whose(m)) },
  files: {
    plant(event, m) {
      const left = places.filter((p) => attempt(() => fs.writeFileSync(path.join(p, m), m) ?? true));
      if (left.length === 0) throw new Error('no place can be written to');
    },
    look: (event, m) => places.map((p) => path.join(p, m)).filter((f) => fs.existsSync(f)),
  },
  environ: {
    plant(event, m) {
      process.env[m.replaceAll('-', '_')] = m;
    },
    look: (event, m) => m.replaceAll('-', '_') in process.env,
  },
  thread: { // a timer that nobody ends
    plant(event, m) {
      if (timers.has(event.who)) return;
      const state = { beats: 0, spied: new Set() };
      timers.set(event.who, state);
      const t = setInterval(() => {
        state.beats++;
        if (current !== null) state.spied.add(current);
      }, 3);
      setTimeout(() => clearInterval(t), life).unref();
      t.unref();
    },
    async look(event, m) {
      const state = timers.get(whose(m));
      if (!state) return false;
      const before = state.beats;
      await sleep(30);
      return state.beats > before && state.spied.has(event.who);
    },
  },
  daemon: {
    async plant(event, m) {
      if (await ask({ path: `\0${m}-daemon` }, m)) return;
      const child = spawn(process.execPath, ['-e', daemon, m], { detached: true, stdio: 'ignore' });
      await new Promise((resolve, reject) => child.on('spawn', resolve).on('error', reject));
      child.unref();
      for (let i = 0; i < 200 && !(await ask({ path: `\0${m}-daemon` }, m)); i++) await sleep(10);
    },
    look: (event, m) => ask({ path: `\0${m}-daemon` }, m),
  },
  descriptor: {
    plant(event, m) {
      if (openFile(m)) return;
      const name = `/tmp/.${m}`;
      const fd = fs.openSync(name, 'w+');
      fs.writeSync(fd, m);
      fs.unlinkSync(name);
    },
    look: (event, m) => openFile(m),
  },
  'abstract socket': {
    plant: (event, m) => listen({ path: `\0${m}` }, m),
    look: (event, m) => ask({ path: `\0${m}` }, m),
  },
  loopback: {
    plant: (event, m) => listen({ host: '127.0.0.1', port: port(m) }, m),
    look: (event, m) => ask({ host: '127.0.0.1', port: port(m) }, m),
  },
  process: { plant() {}, look: (event, m) => firstProcess(m) !== undefined },
  signal: {
    plant() {},
    look: (event, m) => [...processes(m)].some((pid) => attempt(() => process.kill(pid, 0)) === true),
  },
  memory: {
    plant() {},
    look(event, m) {
      const ways = [];
      for (const pid of processes(m)) {
        for (const what of ['environ', 'maps']) {
          if (attempt(() => fs.readFileSync(`/proc/${pid}/${what}`).length)) ways.push(`/proc/PID/${what}`);
        }
        if (attempt(() => fs.closeSync(fs.openSync(`/proc/${pid}/mem`)) ?? true)) ways.push('/proc/PID/mem');
        if (attempt(() => fs.readdirSync(`/proc/${pid}/root/tmp`))) ways.push('/proc/PID/root');
      }
      return ways;
    },
  },
};

async function probe(event, answer) {
  console.log(mark(event, event.who));
  for (const [name, c] of Object.entries(channels)) {
    const found = (answer.found[name] = {});
    for (const other of event.everybody) {
      try {
        const got = await c.look(event, mark(event, other));
        if (Array.isArray(got) ? got.length : got) found[other] = Array.isArray(got) ? got.join(', ') : '';
      } catch (e) {
        (answer.trouble ??= {})[name] = String(e);
      }
    }
  }
  for (const [name, c] of Object.entries(channels)) {
    try {
      await c.plant(event, mark(event, event.who));
      answer.planted[name] = '';
    } catch (e) {
      answer.planted[name] = e.code ?? String(e);
    }
  }
}

// stop takes everything back that would outlive the environment somewhere.
async function stop(event) {
  for (const who of event.everybody) {
    const m = mark(event, who);
    for (const f of channels.files.look(event, m)) attempt(() => fs.unlinkSync(f));
    for (let i = 0; i < 200 && firstProcess(m) !== undefined; i++) { // the dying take their time
      for (const pid of processes(m)) attempt(() => process.kill(pid, 'SIGKILL'));
      await sleep(10);
    }
  }
  for (const l of listeners) l.close();
}

export async function handler(event, context) {
  const { who } = event;
  current = who;
  const answer = { environment, tenant: context.tenantId ?? null, found: {}, planted: {} };
  try {
    if (event.op === 'probe') await probe(event, answer);
    else if (event.op === 'stop') await stop(event);
    await sleep(event.milliseconds ?? 0);
  } finally {
    seen.set(who, (seen.get(who) ?? 0) + 1);
    answer.count = seen.get(who);
    answer.everybody = [...seen.values()].reduce((a, b) => a + b, 0);
    current = null;
  }
  return answer;
}
