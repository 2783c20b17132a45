// What every page has: forms that say that they are under way, parts of a page
// that are replaced without loading it, copying, and waiting for a function.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// element makes an element. Text is always text: nothing that a tenant wrote is
// read as markup.
export function element(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) e.setAttribute(key, '');
    else if (value !== false && value != null) e.setAttribute(key, value);
  }
  e.append(...children.filter((c) => c != null));
  return e;
}

for (const select of $$('[data-submit]')) select.addEventListener('change', () => select.form.requestSubmit());

async function copy(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch {
    const range = document.createRange();
    const code = button.parentElement.querySelector('code');
    if (code) { range.selectNodeContents(code); getSelection().removeAllRanges(); getSelection().addRange(range); }
    button.textContent = 'Selected: copy it';
  }
  setTimeout(() => { button.textContent = label; }, 2000);
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.matches('[data-copy]')) copy(button, button.parentElement.querySelector('code').textContent);
  if (button.matches('[data-copy-text]')) copy(button, button.dataset.copyText);
});

// A form is sent once, and says so.
let leaving = false;
for (const form of $$('form[data-busy]')) {
  form.addEventListener('submit', async (event) => {
    const button = event.submitter ?? form.querySelector('button');
    const label = button.textContent;
    const target = form.dataset.fragment && $(form.dataset.fragment);
    leaving = true;
    if (!target) {
      setTimeout(() => { button.disabled = true; button.textContent = form.dataset.busy; });
      return;
    }
    event.preventDefault();
    button.disabled = true;
    button.textContent = form.dataset.busy;
    try {
      const answer = await fetch(form.action, { method: 'POST', body: new URLSearchParams(new FormData(form)), headers: { 'X-Fragment': '1' } });
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      target.replaceChildren(...page.body.childNodes);
    } catch {
      target.replaceChildren(element('p', { class: 'problem', role: 'alert' }, 'The node did not answer. Is it still running? Try again.'));
    } finally {
      button.disabled = false;
      button.textContent = label;
      leaving = false;
    }
  });
}
addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });

// What was typed is not lost by a wrong click.
for (const form of $$('form[data-dirty]')) {
  let dirty = false;
  form.addEventListener('input', () => { dirty = true; });
  addEventListener('beforeunload', (event) => { if (dirty && !leaving) event.preventDefault(); });
}

// A function that is being made ready: the page goes on when it is.
const pending = $('[data-pending]');
if (pending) {
  const look = async () => {
    try {
      const state = await (await fetch(pending.dataset.pending)).json();
      if (!state.pending) { location.replace(location.href); return; }
    } catch { /* the next look may be answered */ }
    setTimeout(look, 500);
  };
  setTimeout(look, 300);
}

// events opens a stream of server-sent events and says how it stands. One that
// breaks is opened again, behind the last event that came: an EventSource would give
// up at the first answer of a proxy whose node restarts, and not say why. A node that
// refuses says why, and whether it may do otherwise in a while: then it is asked again,
// else the stream has ended.
const silence = 25_000; // the node says something every ten seconds
const refusedPause = 15_000;
const slice = 12; // how long events are taken in before others have the thread, milliseconds
export function events(url, state, handlers, last = '') {
  let lost = 0; // when the connection was lost
  let tries = 0;
  let closed = false;
  let cut = null; // aborts the request that is open
  let wake = () => {};
  const clock = (ms) => new Date(ms).toLocaleTimeString();
  const say = (text, more = '') => { if (state.firstChild?.data !== text) state.replaceChildren(text, more); };
  const retry = (label, run) => {
    const button = element('button', { type: 'button', class: 'quiet' }, label);
    button.addEventListener('click', run);
    return button;
  };
  // refuse says why the node has no stream for this page, and gives back whether it may
  // have one later.
  const refuse = ({ title, detail, signIn, again }) => {
    const text = `${title}. ${detail} `;
    if (again) {
      say(text + 'This page tries again by itself. ', retry('Try now', () => wake()));
      return true;
    }
    closed = true;
    const back = '/console/signin?next=' + encodeURIComponent((location.pathname + location.search).replace(/^\/console\//, ''));
    say(text, signIn ? element('a', { href: back }, 'Sign in')
      : handlers.ended ? '' : retry('Try again', () => { closed = false; lost = tries = 0; say('Connecting …'); go(); }));
    handlers.ended?.();
    return false;
  };
  const receive = (text) => {
    let name = 'message', data = '';
    for (const line of text.split('\n')) {
      if (line.startsWith('id: ')) last = line.slice(4);
      if (line.startsWith('event: ')) name = line.slice(7);
      if (line.startsWith('data: ')) data = line.slice(6);
    }
    if (name === 'problem') return JSON.parse(data);
    handlers[name]?.(JSON.parse(data));
    return null;
  };
  // read reads a stream to its end, and gives back why it has none: what the node says
  // of it, { over: true } for one that the node ended, or null if nobody knows.
  const read = async () => {
    cut = new AbortController();
    let dog = setTimeout(() => cut.abort(), silence);
    try {
      const answer = await fetch(url, { signal: cut.signal, cache: 'no-store', headers: { Accept: 'text/event-stream', ...(last ? { 'Last-Event-ID': last } : {}) } });
      const type = answer.headers.get('Content-Type') ?? '';
      if (!answer.ok && type.startsWith('application/json')) return await answer.json();
      if (answer.status >= 400 && answer.status < 500 && answer.status !== 429)
        return { title: `What stands before the node refused this (${answer.status})`, detail: 'Whoever runs it can say why.' };
      if (!answer.ok || !type.startsWith('text/event-stream')) return null; // of a proxy whose node is away
      handlers.opened?.();
      say(lost ? `Live again. The connection was lost at ${clock(lost)} for ${Math.ceil((Date.now() - lost) / 1000)} s${handlers.gap ?? ''}.` : 'Live');
      lost = tries = 0;
      let rest = '';
      const text = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const begun = performance.now();
      for (let since = begun; ;) {
        const { value, done } = await text.read();
        if (done) return performance.now() - begun > 2000 ? { over: true } : null;
        clearTimeout(dog);
        dog = setTimeout(() => cut.abort(), silence);
        const parts = (rest + value).split('\n\n');
        rest = parts.pop();
        for (const part of parts) {
          const problem = receive(part);
          if (problem || closed) return problem;
          // What comes without a pause would leave no time to draw it, or to stop it.
          if (performance.now() - since > slice) {
            await others();
            since = performance.now();
          }
        }
      }
    } catch { return null; } finally {
      clearTimeout(dog);
      cut.abort();
    }
  };
  const go = async () => {
    for (;;) {
      const why = await read();
      if (closed) return;
      if (why?.over) continue; // the node says why, if it does not begin another
      let pause = refusedPause;
      if (!why) {
        lost ||= Date.now();
        say(`Connection lost at ${clock(lost)}. Trying again …`);
        pause = Math.min(500 * 2 ** tries++, 10_000);
      } else if (!refuse(why)) return;
      await new Promise((next) => { wake = next; setTimeout(next, pause * (0.75 + Math.random() / 2)); });
      if (closed) return;
    }
  };
  go();
  // close ends the stream, and gives back the last event that came, for another.
  const close = () => { closed = true; cut?.abort(); wake(); return last; };
  addEventListener('online', () => wake());
  addEventListener('pagehide', close);
  return { close };
}

// others lets the browser do what else it has to, in pages too that nobody sees.
function others() {
  return new Promise((next) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); next(); };
    port2.postMessage('');
  });
}
