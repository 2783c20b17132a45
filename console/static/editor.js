// Typing code: Tab indents until Escape was pressed; a new line keeps its
// indentation; the sample follows the runtime until something was typed.
import { $, $$ } from './app.js';

for (const area of $$('[data-editor]')) {
  let leave = false;
  area.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') { leave = true; return; }
    if (event.key === 'Tab' && !leave && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      const python = /\.py$/.test($('#file')?.value ?? '') || /^python/.test($('#runtime')?.value ?? '');
      const unit = python ? '    ' : '  ';
      if (event.shiftKey) {
        const start = area.value.lastIndexOf('\n', area.selectionStart - 1) + 1;
        const spaces = area.value.slice(start).match(/^ */)[0].length;
        area.setRangeText('', start, start + Math.min(spaces, unit.length), 'preserve');
      } else {
        area.setRangeText(unit, area.selectionStart, area.selectionEnd, 'end');
      }
      area.dispatchEvent(new Event('input', { bubbles: true }));
      return;
    }
    if (event.key === 'Enter' && !event.ctrlKey) {
      event.preventDefault();
      const start = area.value.lastIndexOf('\n', area.selectionStart - 1) + 1;
      const indent = area.value.slice(start, area.selectionStart).match(/^[ \t]*/)[0];
      area.setRangeText('\n' + indent, area.selectionStart, area.selectionEnd, 'end');
      area.dispatchEvent(new Event('input', { bubbles: true }));
    }
    if (event.key !== 'Shift') leave = false;
  });
}

const runtime = $('#runtime');
const code = $('#code');
if (runtime && code) {
  const sample = () => $(`template[data-sample="${runtime.value.match(/^[a-z]+/)[0]}"]`)?.content.textContent;
  let shown = $$('template[data-sample]').map((t) => t.content.textContent).find((text) => text.trim() === code.value.trim()) ?? null;
  runtime.addEventListener('change', () => {
    const next = sample();
    if (next && shown !== null && code.value.trim() === shown.trim()) { code.value = next; shown = next; }
  });
}

// Either the editor or the upload is there.
const sources = $$('input[type=radio][name=source]');
const choose = () => {
  const chosen = sources.find((s) => s.checked)?.value;
  for (const part of $$('[data-source]')) {
    part.hidden = part.dataset.source !== chosen;
    for (const field of $$('input, textarea', part)) field.required = !part.hidden;
  }
};
for (const source of sources) source.addEventListener('change', choose);
if (sources.length) choose();
