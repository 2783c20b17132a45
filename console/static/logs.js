// Following a log live.
import { $, $$, element, events } from './app.js';

const button = $('button[data-live]');
const state = $('[data-live-state]');
const lines = $('#lines');
const most = 2000; // lines that the page keeps
const known = 20_000; // cursors of lines that it remembers
let source = null;
let last = ''; // the last event that came, of all connections

// A connection that begins again goes some seconds back, since what is written late
// may have an early time; what the page has is not shown twice.
const shown = new Set($$('[data-cursor]', lines ?? document).map((e) => e.dataset.cursor));

// What came is drawn with the next frame, and no more of it than the page keeps: a
// function may write faster than a browser draws.
let waiting = [];
function add(line) {
  if (shown.has(line.cursor)) return;
  shown.add(line.cursor);
  if (shown.size > known) shown.delete(shown.values().next().value); // the oldest
  if (waiting.push(line) === 1) requestAnimationFrame(draw);
  if (waiting.length > 2 * most) waiting.splice(0, most);
}

function draw() {
  const come = waiting.slice(-most);
  waiting = [];
  $('#no-lines')?.remove();
  const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 60;
  lines.append(...come.map(item));
  for (let more = lines.childElementCount - most; more > 0; more--) lines.firstElementChild.remove();
  if (atEnd) scrollTo({ top: document.documentElement.scrollHeight });
}

function item(line) {
  const text = line.fields
    ? element('details', {}, element('summary', {}, element('bdi', {}, line.message)), element('pre', { tabindex: '0' }, line.fields))
    : element('bdi', { class: 'text' }, line.message);
  const time = line.time.replace('T', ' ').replace(/(\.\d{3})?\d*Z$/, '$1');
  return element('li', { class: 'line level-' + line.level, 'data-cursor': line.cursor }, element('time', { datetime: line.time }, element('span', { class: 'day' }, time.slice(0, 11)), time.slice(11)), ' ',
    line.tenant ? element('a', { class: 'of', href: lines.dataset.prefix + 'tenant?tenant=' + encodeURIComponent(line.tenant) }, element('bdi', {}, line.tenant)) : element('span', { class: 'of' }), ' ',
    line.level ? element('span', { class: 'level' }, line.level) : null, ' ', text);
}

function follow(on) {
  if (on) source = events(button.dataset.live, state, { line: add, gap: '; what was written meanwhile is here', ended() { follow(false); } }, last);
  else { last = source.close(); source = null; }
  button.setAttribute('aria-pressed', String(on));
  button.textContent = on ? 'Stop following' : 'Follow live';
}

button?.addEventListener('click', () => {
  const on = !source;
  state.textContent = on ? 'Connecting …' : 'Stopped.';
  follow(on);
});
