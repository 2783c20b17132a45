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

// events opens a stream of server-sent events and says how it stands.
export function events(url, state, handlers) {
  const source = new EventSource(url);
  source.addEventListener('open', () => { state.textContent = 'Live'; });
  source.addEventListener('error', () => {
    state.textContent = source.readyState === EventSource.CLOSED ? 'Not connected. Reload the page to go on.' : 'Connection lost, trying again …';
  });
  source.addEventListener('problem', (event) => {
    const problem = JSON.parse(event.data);
    source.close();
    state.replaceChildren(problem.title + '. ' + problem.detail + ' ', problem.signIn ? element('a', { href: '/console/signin' }, 'Sign in') : '');
  });
  for (const [name, handle] of Object.entries(handlers)) source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  return source;
}
