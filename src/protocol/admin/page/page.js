'use strict';

// Asks the server each second, and shows what it answers. Data is inserted as text only, never as markup.

const EVERY_MS = 1000, SAMPLES_MAX = 120, TIMES_SECONDS = 10, ROWS = 25;
const RECORDING = '/xray?seconds=3&format=page';
const by = (id) => document.getElementById(id);

// The answers of the last two minutes, each with the time of this page.
const samples = [];
let isPaused = false;

function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return `${count >= 10 || unit === 0 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}

function seconds(time) {
  if (time < 1) return `${Math.round(time * 1000)} ms`;
  if (time < 120) return `${time.toFixed(1)} s`;
  return time < 7200 ? `${Math.floor(time / 60)} min` : `${Math.floor(time / 3600)} h`;
}

function count(number) {
  return number >= 10 || Number.isInteger(number) ? String(Math.round(number)) : number.toFixed(1);
}

const sum = (tally) => Object.values(tally).reduce((all, one) => all + one, 0);

// A row of a table: each cell is a text, or a text and a class.
function row(cells) {
  const element = document.createElement('tr');
  for (const cell of cells) {
    const [text, kind] = Array.isArray(cell) ? cell : [cell, ''];
    const td = document.createElement('td');
    td.textContent = text;
    td.className = kind;
    element.append(td);
  }
  return element;
}

function shape(name, attributes, text) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// The difference of a counter between two samples, for each second.
function rate(now, before, value) {
  const time = (now.at - before.at) / 1000;
  return time > 0 ? Math.max(0, value(now.all) - value(before.all)) / time : 0;
}

// The part of the time in which the loop worked.
function busy(now, before) {
  const work = now.all.loop.busy_s - before.all.loop.busy_s, wait = now.all.loop.wait_s - before.all.loop.wait_s;
  return work + wait > 0 ? work / (work + wait) : 0;
}

function drawHistory() {
  const shapes = [0.5, 1].map((part) => shape('line', { x1: 0, x2: 480, y1: 120 - part * 100, y2: 120 - part * 100 }));
  shapes.push(shape('text', { x: 4, y: 16 }, '100 %'), shape('text', { x: 4, y: 66 }, '50 %'));
  for (let index = 1; index < samples.length; index += 1) {
    const height = Math.max(1, busy(samples[index], samples[index - 1]) * 100);
    const x = 480 - (samples.length - index) * 4;
    shapes.push(shape('rect', { x, width: 3, y: 120 - height, height }));
  }
  by('history').replaceChildren(...shapes);
}

function drawTimes(now, before) {
  const bounds = now.all.loop.turn_bounds_us;
  const counts = now.all.loop.turn_counts.map((all, bucket) => Math.max(0, all - before.all.loop.turn_counts[bucket]));
  const most = Math.max(1, ...counts);
  const label = (us) => (us < 1000 ? `${us} µs` : seconds(us / 1e6));
  const shapes = [];
  counts.forEach((turns, bucket) => {
    // A single turn among thousands must be seen, so heights are logarithmic.
    const height = turns === 0 ? 0 : 8 + (76 * Math.log1p(turns)) / Math.log1p(most), x = bucket * 30;
    shapes.push(shape('rect', { x: x + 2, width: 26, y: 104 - height, height }));
    if (turns > 0) shapes.push(shape('text', { x: x + 15, y: 100 - height, 'text-anchor': 'middle' }, count(turns)));
    if (bucket % 3 === 0 && bucket < bounds.length) {
      shapes.push(shape('text', { x: x + 28, y: 117, 'text-anchor': 'middle' }, label(bounds[bucket])));
    }
  });
  by('times').replaceChildren(...shapes);
}

function showDoors(now, before) {
  const rows = now.all.listeners.map((door, index) => {
    const of = (member) => (all) => (all.listeners[index] || {})[member] || 0;
    const isTcp = door.open !== undefined;
    const refused = sum(isTcp ? door.refused : door.dropped) + (door.dropped_by_the_kernel || 0);
    const news = rate(now, before, of(isTcp ? 'accepted' : 'received_datagrams'));
    const state = door.paused ? [`paused: ${door.paused}`, 'bad'] : isTcp ? 'accepting' : 'receiving';
    return row([
      door.name, door.protocol, door.listen, [isTcp ? `${door.open} of ${door.limit}` : '–', 'number'],
      [count(news), 'number'], [bytes(rate(now, before, of('received_bytes'))), 'number'],
      [bytes(rate(now, before, of('sent_bytes'))), 'number'], [count(refused), 'number'], state,
    ]);
  });
  by('doors').replaceChildren(...rows);
  const names = now.all.listeners.map((door) => door.name), filter = by('filter');
  const known = [...filter.options].slice(1).map((option) => option.value);
  if (known.join() !== names.join()) filter.replaceChildren(filter.options[0], ...names.map((name) => new Option(name, name)));
}

function showRows(table) {
  const rows = table.connections.map((one) => row([
    one.number, (one.peer || '–') + (one.proxy ? ' via ' + one.proxy : ''), one.listener || '–', one.state, [seconds(one.age_s), 'number'],
    [one.in === null ? '–' : bytes(one.in), 'number'], [one.out === null ? '–' : bytes(one.out), 'number'],
    [one.pending > 0 ? bytes(one.pending) : '–', 'number'], [one.why, 'why'],
  ]));
  by('rows').replaceChildren(...rows);
  const states = Object.entries(table.all).map(([state, slots]) => `${state} ${slots}`).join(', ');
  by('all').textContent = table.more > 0 ? `${states}; ${table.more} are not shown` : states;
}

function show(all, table) {
  const now = { at: performance.now(), all };
  samples.push(now);
  if (samples.length > SAMPLES_MAX) samples.shift();
  const before = samples[Math.max(0, samples.length - 2)];
  by('readiness').textContent = all.ready ? 'ready' : `not ready: ${all.reason}`;
  by('readiness').className = all.ready ? '' : 'bad';
  by('busy').textContent = `${(busy(now, before) * 100).toFixed(1)} %`;
  by('turns').textContent = count(Math.round(rate(now, before, (at) => at.loop.turns)));
  by('ready').textContent = all.loop.ready_slots;
  by('pending').textContent = `${bytes(all.pending_output)} of ${bytes(all.pending_output_limit)}`;
  drawHistory();
  drawTimes(now, samples[Math.max(0, samples.length - 1 - TIMES_SECONDS)]);
  showDoors(now, before);
  showRows(table);
}

async function answer(path) {
  const response = await fetch(path, { cache: 'no-store' });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

async function look() {
  const filter = by('filter').value;
  const path = `/connections?limit=${ROWS}${filter ? `&listener=${encodeURIComponent(filter)}` : ''}`;
  try {
    // One after the other: the page needs one connection.
    const all = await answer('/listeners'), table = await answer(path);
    show(all, table);
    by('status').textContent = `at ${new Date().toLocaleTimeString()}`;
    by('status').className = '';
  } catch (error) {
    by('status').textContent = `The server does not answer (${error.message}).`;
    by('status').className = 'bad';
  }
}

async function again() {
  if (!isPaused && !document.hidden) await look();
  setTimeout(again, EVERY_MS);
}

function pause() {
  isPaused = !isPaused;
  by('pause').setAttribute('aria-pressed', isPaused);
  if (isPaused) by('status').textContent = 'Paused: the server is not asked.';
}

// The server answers when the recording is complete. The frame has a policy of its own, and cannot reach this page.
function record() {
  if (by('record').disabled) return;
  by('record').disabled = true;
  by('taken').textContent = 'The loop is being recorded for three seconds.';
  by('recording').hidden = false;
  by('xray').src = RECORDING;
}

function recorded() {
  if (!by('record').disabled) return;
  by('record').disabled = false;
  by('taken').textContent = `Recorded until ${new Date().toLocaleTimeString()}.`;
}

function paint(isDark) {
  document.documentElement.dataset.theme = isDark ? 'dark' : 'light';
  by('theme').setAttribute('aria-pressed', isDark);
}

const toggleTheme = () => paint(document.documentElement.dataset.theme !== 'dark');
paint(matchMedia('(prefers-color-scheme: dark)').matches);
by('pause').addEventListener('click', pause);
by('theme').addEventListener('click', toggleTheme);
by('record').addEventListener('click', record);
by('xray').addEventListener('load', recorded);
by('filter').addEventListener('change', look);
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === 'SELECT') return;
  const does = { p: pause, d: toggleTheme, r: record }[event.key];
  if (does) does();
});
again();
