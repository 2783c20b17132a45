// Following a log live.
import { $, element, events } from './app.js';

const button = $('button[data-live]');
const state = $('[data-live-state]');
const lines = $('#lines');
const most = 2000; // lines that the page keeps
let source = null;

function add(line) {
  $('#no-lines')?.remove();
  const text = line.fields
    ? element('details', {}, element('summary', {}, element('bdi', {}, line.message)), element('pre', { tabindex: '0' }, line.fields))
    : element('bdi', { class: 'text' }, line.message);
  const time = line.time.replace('T', ' ').replace(/(\.\d{3})?\d*Z$/, '$1');
  const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 60;
  lines.append(element('li', { class: 'line level-' + line.level }, element('time', { datetime: line.time }, time), ' ',
    line.tenant ? element('a', { class: 'of', href: lines.dataset.prefix + 'tenant?tenant=' + encodeURIComponent(line.tenant) }, element('bdi', {}, line.tenant)) : null, ' ',
    line.level ? element('span', { class: 'level' }, line.level) : null, ' ', text));
  while (lines.children.length > most) lines.firstElementChild.remove();
  if (atEnd) scrollTo({ top: document.documentElement.scrollHeight });
}

button?.addEventListener('click', () => {
  if (source) {
    source.close();
    source = null;
    state.textContent = 'Stopped.';
  } else {
    state.textContent = 'Connecting …';
    source = events(button.dataset.live, state, { line: add });
  }
  button.setAttribute('aria-pressed', String(Boolean(source)));
  button.textContent = source ? 'Stop following' : 'Follow live';
});
