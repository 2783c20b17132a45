// Saved events of the test tab: kept in this browser, per function.
import { $, element } from './app.js';

const box = $('[data-events-of]');
if (box) {
  const key = 'alcove-events:' + box.dataset.eventsOf;
  const select = $('#saved');
  const name = $('#event-name');
  const payload = $('#payload');
  const read = () => { try { return JSON.parse(localStorage.getItem(key)) ?? {}; } catch { return {}; } };
  const list = (chosen) => {
    select.replaceChildren(element('option', { value: '' }, 'choose one'), ...Object.keys(read()).sort().map((n) => element('option', { value: n, selected: n === chosen }, n)));
  };
  const write = (events) => { try { localStorage.setItem(key, JSON.stringify(events)); } catch { alert('This browser has no room for it.'); } };
  select.addEventListener('change', () => {
    const event = read()[select.value];
    if (event === undefined) return;
    payload.value = event.payload;
    const tenant = $('#tenant');
    if (tenant && !tenant.disabled && event.tenant) tenant.value = event.tenant;
    name.value = select.value;
  });
  box.querySelector('[data-save]').addEventListener('click', () => {
    const n = name.value.trim();
    if (!n) { name.focus(); return; }
    write({ ...read(), [n]: { payload: payload.value, tenant: $('#tenant')?.value ?? '' } });
    list(n);
  });
  box.querySelector('[data-forget]').addEventListener('click', () => {
    const events = read();
    delete events[select.value];
    write(events);
    list('');
  });
  list('');
  box.hidden = false;
}
