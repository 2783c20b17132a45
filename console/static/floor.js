// The floor: one tile for each execution environment, grouped by tenant, kept live.
import { $, $$, element, events } from './app.js';

const floor = $('#floor');
const empty = $('#floor-empty');
const detail = $('#detail');
const prefix = floor.dataset.prefix;
const tiles = new Map(); // id → { tile, button, group }
const groups = new Map(); // key → { key, root, list, size }
let keys = []; // of groups, in order
let chosen = null;
let skew = 0; // the node's clock less this browser's, milliseconds
const still = matchMedia('(prefers-reduced-motion: reduce)');

// groupOf says where a tile stands: with its tenant, or with those that wait.
function groupOf(tile) {
  if (tile.look === 'blank' || !tile.function) return { key: '0', name: 'Runtime stock', waiting: true };
  if (tile.tenant) return { key: '2' + tile.tenant, name: tile.tenant, href: prefix + 'tenant?tenant=' + encodeURIComponent(tile.tenant) };
  if (tile.look === 'stock' || (tile.look === 'initialising' && !tile.invocations)) return { key: '1' + tile.function, name: tile.function + ': waiting for a tenant', waiting: true, href: prefix + 'functions/' + encodeURIComponent(tile.function) };
  return { key: '3' + tile.function, name: tile.function + ' (no tenants)', href: prefix + 'functions/' + encodeURIComponent(tile.function) };
}

function groupFor(tile) {
  const where = groupOf(tile);
  let group = groups.get(where.key);
  if (!group) {
    const name = element('bdi', {}, where.name);
    const list = element('ul');
    group = { key: where.key, list, size: 0, root: element('section', { class: where.waiting ? 'group waiting' : 'group', title: where.name },
      element('h2', {}, where.href ? element('a', { href: where.href, tabindex: '-1' }, name) : name), list) };
    let low = 0, high = keys.length;
    while (low < high) { const middle = (low + high) >> 1; if (keys[middle] < where.key) low = middle + 1; else high = middle; }
    const next = groups.get(keys[low]);
    keys.splice(low, 0, where.key);
    groups.set(where.key, group);
    floor.insertBefore(group.root, next ? next.root : null);
  }
  return group;
}

function leave(entry) {
  entry.button.parentElement.remove();
  if (--entry.group.size === 0) {
    entry.group.root.remove();
    groups.delete(entry.group.key);
    keys.splice(keys.indexOf(entry.group.key), 1);
  }
}

function enter(entry, tile) {
  entry.group = groupFor(tile);
  entry.group.size++;
  entry.group.list.append(element('li', {}, entry.button));
}

function set(tile, first) {
  let entry = tiles.get(tile.id);
  const lit = entry ? tile.invocations > entry.tile.invocations : !first && tile.invocations > 0;
  if (!entry) {
    entry = { tile, button: element('button', { type: 'button', tabindex: '-1', 'aria-pressed': 'false' }) };
    entry.button.dataset.id = tile.id;
    tiles.set(tile.id, entry);
    enter(entry, tile);
  } else if (groupOf(tile).key !== entry.group.key) {
    leave(entry);
    enter(entry, tile);
  }
  const looks = entry.look !== tile.look;
  entry.tile = tile;
  if (looks) {
    entry.look = tile.look;
    entry.button.className = 'tile ' + tile.look;
    entry.button.setAttribute('aria-label', label(tile));
  }
  if (lit) bright.add(entry);
  if (tile.id === chosen) show(entry);
}

const label = (tile) => (tile.tenant ? 'tenant ' + tile.tenant + ', ' : '') + (tile.function || tile.shape || 'no function yet') + ', ' + tile.look;

// A tenant's tile lights up when it was invoked, for as long as one look at the
// floor takes. Few do so softly; many at once would be more than a browser draws.
const bright = new Set();
let before = new Set();
function light() {
  for (const entry of before) if (!bright.has(entry)) entry.button.classList.remove('lit');
  const soft = bright.size <= 40 && !still.matches;
  for (const entry of bright) {
    if (soft) entry.button.animate([{ transform: 'scale(1.35)' }, { transform: 'none' }], { duration: 500, easing: 'ease-out' });
    else entry.button.classList.add('lit');
  }
  before = new Set(bright);
  bright.clear();
}

function size(kib) { return kib >= 1024 ? (kib / 1024).toFixed(1) + ' MB' : kib + ' KB'; }

function age(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 120) return s + ' s';
  if (s < 7200) return Math.floor(s / 60) + ' min';
  if (s < 172800) return Math.floor(s / 3600) + ' h';
  return Math.floor(s / 86400) + ' days';
}

function show(entry) {
  const tile = entry.tile;
  const rows = [['State', tile.look], ['Function', tile.function ? tile.function + ', version ' + tile.version : tile.shape || 'none yet'],
    ['Invocations', String(tile.invocations)], ['Memory', size(tile.memory)], ['Age', age(Date.now() + skew - tile.created)],
    ['Isolation', tile.isolation], ['Began', tile.start ? tile.start + (tile.reason ? ': ' + tile.reason : '') : ''], ['Environment', tile.id]];
  const links = [];
  if (tile.tenant) links.push(element('a', { href: prefix + 'tenant?tenant=' + encodeURIComponent(tile.tenant) }, 'The tenant'));
  if (tile.function && tile.stream && tile.invocations) {
    const query = new URLSearchParams({ function: tile.function, stream: tile.stream, since: '24h' });
    if (tile.tenant) query.set('tenant', tile.tenant);
    links.push(element('a', { href: prefix + 'logs?' + query }, 'Its log stream'));
  }
  if (tile.function) links.push(element('a', { href: prefix + 'functions/' + encodeURIComponent(tile.function) + (tile.tenant ? '?tenant=' + encodeURIComponent(tile.tenant) : '') }, 'Test the function'));
  detail.replaceChildren(
    element('button', { type: 'button', class: 'quiet close', 'aria-label': 'Close' }, '✕'),
    element('h2', {}, element('bdi', {}, tile.tenant || (tile.look === 'stock' ? 'Waiting for a tenant' : tile.function || 'Runtime stock'))),
    element('dl', { class: 'facts' }, ...rows.filter(([, value]) => value).flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)])),
    element('p', { class: 'pages' }, ...links));
  detail.hidden = false;
}

function choose(id) {
  for (const b of $$('[aria-pressed=true]', floor)) b.setAttribute('aria-pressed', 'false');
  chosen = id;
  const entry = tiles.get(id);
  if (!entry) { detail.hidden = true; return; }
  entry.button.setAttribute('aria-pressed', 'true');
  reach(entry.button);
  show(entry);
}

// reach makes a tile the one that Tab comes to; arrows go on from it.
let reached = null;
function reach(button) {
  if (reached) reached.tabIndex = -1;
  reached = button;
  if (reached) reached.tabIndex = 0;
}

floor.addEventListener('click', (event) => {
  const button = event.target.closest('button.tile');
  if (button) choose(button.dataset.id === chosen ? null : button.dataset.id);
});
floor.addEventListener('keydown', (event) => {
  const button = event.target.closest('button.tile');
  if (!button) return;
  const all = $$('button.tile', floor);
  const at = all.indexOf(button);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
  const down = event.key === 'ArrowDown' || event.key === 'ArrowUp';
  if (down) {
    const here = entryOf(button).group;
    const next = groups.get(keys[keys.indexOf(here.key) + (event.key === 'ArrowDown' ? 1 : -1)]);
    if (next) { event.preventDefault(); focus($('button.tile', next.list)); }
    return;
  }
  if (to === undefined || !all[to]) return;
  event.preventDefault();
  focus(all[to]);
});
const entryOf = (button) => tiles.get(button.dataset.id);
function focus(button) { reach(button); button.focus(); }
addEventListener('keydown', (event) => { if (event.key === 'Escape' && !detail.hidden) { const id = chosen; choose(null); tiles.get(id)?.button.focus(); } });
detail.addEventListener('click', (event) => { if (event.target.closest('.close')) { const id = chosen; choose(null); tiles.get(id)?.button.focus(); } });

// What came is drawn with the next frame, however many events it came in.
let waiting = [];
let first = true;
function draw() {
  const changes = waiting;
  waiting = [];
  for (const change of changes) {
    skew = change.now - Date.now();
    for (const id of change.gone) {
      const entry = tiles.get(id);
      if (!entry) continue;
      leave(entry);
      tiles.delete(id);
      if (reached === entry.button) reached = null;
      if (chosen === id) choose(null);
    }
    for (const tile of change.set) set(tile, first);
    first = false;
  }
  const counts = {};
  for (const { tile } of tiles.values()) counts[tile.look] = (counts[tile.look] ?? 0) + 1;
  for (const b of $$('[data-count]')) { const n = String(counts[b.dataset.count] ?? 0); if (b.textContent !== n) b.textContent = n; }
  light();
  const density = 'floor' + (groups.size > 150 ? ' dense' : groups.size > 40 || tiles.size > 400 ? ' compact' : '');
  if (floor.className !== density) floor.className = density;
  empty.hidden = tiles.size > 0;
  if (!reached) reach($('button.tile', floor));
}

events(floor.dataset.events, $('[data-live]'), {
  opened() { first = true; },
  floor(change) {
    if (first && waiting.length === 0 && tiles.size > 0) {
      // A new connection: the node tells everything again.
      const now = new Set(change.set.map((t) => t.id));
      change.gone = [...tiles.keys()].filter((id) => !now.has(id));
    }
    if (waiting.push(change) === 1) requestAnimationFrame(draw);
  },
});
setInterval(() => { const entry = tiles.get(chosen); if (entry) show(entry); }, 1000);
