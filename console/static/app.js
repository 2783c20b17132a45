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
// up at the first answer of a proxy whose node restarts, and not say why.
const silence = 25_000; // the node says something every ten seconds
export function events(url, state, handlers) {
  let last = '';
  let lost = 0; // when the connection was lost
  let tries = 0;
  let closed = false;
  let cut = null; // aborts the request that is open
  let wake = () => {};
  const clock = (ms) => new Date(ms).toLocaleTimeString();
  const end = (title, detail, signIn) => {
    closed = true;
    const back = '/console/signin?next=' + encodeURIComponent((location.pathname + location.search).replace(/^\/console\//, ''));
    state.replaceChildren(title + '. ' + detail + ' ', signIn ? element('a', { href: back }, 'Sign in') : '');
  };
  const receive = (text) => {
    let name = 'message', data = '';
    for (const line of text.split('\n')) {
      if (line.startsWith('id: ')) last = line.slice(4);
      if (line.startsWith('event: ')) name = line.slice(7);
      if (line.startsWith('data: ')) data = line.slice(6);
    }
    if (name === 'problem') {
      const problem = JSON.parse(data);
      end(problem.title, problem.detail, problem.signIn);
      return;
    }
    handlers[name]?.(JSON.parse(data), last);
  };
  // read gives back whether it makes sense to try again.
  const read = async () => {
    cut = new AbortController();
    let dog = setTimeout(() => cut.abort(), silence);
    try {
      const answer = await fetch(url, { signal: cut.signal, cache: 'no-store', headers: { Accept: 'text/event-stream', 'X-Fragment': '1', ...(last ? { 'Last-Event-ID': last } : {}) } });
      if (!answer.ok || !answer.headers.get('Content-Type')?.startsWith('text/event-stream')) {
        if (answer.ok || answer.status >= 500 || answer.status === 429) return;
        const said = new DOMParser().parseFromString(await answer.text(), 'text/html');
        end($('.problem h2', said)?.textContent ?? 'The node refused', $('.problem p', said)?.textContent ?? '', answer.status === 401);
        return;
      }
      handlers.opened?.();
      state.textContent = lost ? `Live again. The connection was lost at ${clock(lost)} for ${Math.ceil((Date.now() - lost) / 1000)} s${handlers.gap ?? ''}.` : 'Live';
      lost = tries = 0;
      let rest = '';
      const text = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await text.read();
        if (done) return;
        clearTimeout(dog);
        dog = setTimeout(() => cut.abort(), silence);
        const parts = (rest + value).split('\n\n');
        rest = parts.pop();
        for (const part of parts) receive(part);
        if (closed) { cut.abort(); return; }
      }
    } catch { /* what follows says that it was lost */ } finally {
      clearTimeout(dog);
    }
  };
  (async () => {
    for (;;) {
      await read();
      if (closed) return;
      lost ||= Date.now();
      state.textContent = `Connection lost at ${clock(lost)}. Trying again …`;
      const pause = Math.min(500 * 2 ** tries++, 10_000) * (0.75 + Math.random() / 2);
      await new Promise((go) => { wake = go; setTimeout(go, pause); });
      if (closed) return;
    }
  })();
  const close = () => { closed = true; cut?.abort(); wake(); };
  addEventListener('online', () => wake());
  addEventListener('pagehide', close);
  return { close };
}
