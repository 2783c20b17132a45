// Following a log live.
import { $, $$, element, events } from './app.js';

const button = $('button[data-live]');
const state = $('[data-live-state]');
const note = $('[data-left-out]');
const lines = $('#lines');
const most = 2000; // records that the page keeps
const atOnce = 200; // records that are drawn at once
const pause = 100; // between one drawing and the next, milliseconds
const known = 50_000; // cursors of records that it remembers, at least
let source = null;
let last = ''; // the last event that came, of all connections

// A connection that begins again goes some seconds back, since what is written late
// may have an early time; what the page has is not shown twice.
let shown = new Set($$('[data-cursor]', lines ?? document).map((e) => e.dataset.cursor));
let before = new Set();
function isNew(cursor) {
  if (shown.has(cursor) || before.has(cursor)) return false;
  if (shown.size >= known) { before = shown; shown = new Set(); } // a set that loses its oldest one by one gets slow
  shown.add(cursor);
  return true;
}

// What came is drawn a part at a time, with time between for whoever uses the page: a
// function may write faster than a browser draws. Of what waits the newest are kept, as
// many as the page would; the others are counted.
let waiting = [];
let left = 0; // records that came, or were here, and are not shown
let from = ''; // the time of the oldest of them
let skipped = 0; // those of them that belong behind the last that is drawn
function add(line) {
  if (!isNew(line.cursor)) return;
  waiting.push(line);
  if (waiting.length >= 2 * most) {
    const over = waiting.splice(0, waiting.length - most);
    skipped += over.length;
    leave(over.length, over[0].time);
  }
  soon();
}

function leave(n, time) {
  left += n;
  if (!from || Date.parse(time) < Date.parse(from)) from = time;
}

let drawing = false;
function soon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(draw);
}

function draw() {
  const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 60;
  $('#no-lines')?.remove();
  const come = waiting.splice(0, atOnce).map(item);
  if (skipped) come.unshift(element('li', { class: 'gap' }, `${count(skipped)} records are left out here`));
  skipped = 0;
  lines.append(...come);
  while (lines.childElementCount > most) {
    const oldest = lines.firstElementChild;
    if (oldest.dataset.cursor) leave(1, $('time', oldest).dateTime);
    oldest.remove();
  }
  if (left) tell();
  if (atEnd) scrollTo({ top: document.documentElement.scrollHeight });
  setTimeout(() => { drawing = false; if (waiting.length) soon(); }, pause);
}

const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, '\u202f');

// tell says what is not here, with a search for it.
function tell() {
  const to = $('time', lines.querySelector('[data-cursor]')).dateTime;
  const query = new URLSearchParams(location.search);
  query.set('function', lines.dataset.function);
  query.set('since', from);
  query.set('until', to);
  query.delete('after');
  note.hidden = false;
  note.replaceChildren(`${count(left)} older ${left === 1 ? 'record is' : 'records are'} not shown: this page keeps the newest ${count(most)}; `,
    element('a', { href: '?' + query }, 'search shows all'), '.');
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
