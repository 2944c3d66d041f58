/** Everything around the picture: details, keys, mouse, legend. Text from a recording is set as text, never as markup. */
const $ = id => document.getElementById(id);
const recording = new Recording(JSON.parse($('recording').textContent));
const root = document.documentElement;

function say(parent, tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  parent.append(element);
  return element;
}

function plural(count, word) { return `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`; }

function summarize() {
  const { turns, count, lanes, overwritten, began, at, version } = recording;
  const numbers = turns.length ? ` (${turns[0].number} to ${turns[turns.length - 1].number})` : '';
  const lost = overwritten ? ` ${plural(overwritten, 'older record')} ${overwritten === 1 ? 'was' : 'were'} overwritten.` : '';
  const lasted = count ? span(at[count - 1] - at[0]) : 'no time';
  $('summary').textContent = `${plural(turns.length, 'turn')}${numbers}, ${plural(count, 'record')}, ` +
    `${plural(lanes.length - 1, 'socket')} in ${lasted}.${lost}`;
  $('origin').textContent = `Recorded by reactor ${version}, ${began.slice(0, 19).replace('T', ' ')} UTC`;
}

/** The description of a lane. */
function introduce({ number, sort, address, listener, protocol }) {
  if (sort === 'loop') return 'The loop itself';
  const served = listener === protocol ? listener : `${listener} (${protocol})`;
  const parts = [`${sort[0].toUpperCase()}${sort.slice(1)} ${number}`, address || 'accepted earlier', listener && served];
  return parts.filter(Boolean).join(' · ');
}

function took(place) { return recording.at[place] - recording.begin(place); }

function describe(place) {
  const kind = KINDS[recording.kindOf(place)];
  $('what').textContent = recording.textOf(place);
  const parts = [introduce(recording.laneOf(place)), `at ${span(recording.at[place] - recording.at[0])}`];
  if (kind.lasts) parts.push(`took ${span(took(place))}`);
  $('whose').textContent = parts.join(' · ');
  const arrow = recording.arrowsOf[recording.lane[place]].find(arrow => arrow.includes(place));
  const between = arrow && span(recording.at[arrow[1]] - recording.at[arrow[0]]);
  const answer = !arrow ? '' : arrow[0] === place ? ` Its answer was written ${between} later.`
    : ` It answers the request that was read ${between} before.`;
  $('meaning').textContent = `${kind.name[0].toUpperCase()}${kind.name.slice(1)}: ${kind.means}${answer}`;
}

/** Lists the turn around the chosen record; of a long turn only a part. */
const lines = { turn: undefined, from: 0, to: 0 };
function list(place) {
  const turn = recording.turnOf[place];
  if (lines.turn !== turn || place < lines.from || place >= lines.to) {
    const [first, last] = recording.turnBounds(turn);
    Object.assign(lines, { turn, from: Math.max(first, place - 150), to: Math.min(last, place + 150) });
    $('turn').textContent = turn < 0 ? 'Before the first turn'
      : `${recording.textOf(recording.turns[turn].place)} · ${span(recording.work(turn))} after its wait`;
    $('lines').replaceChildren();
    for (let line = lines.from; line < lines.to; line++) {
      const button = say(say($('lines'), 'li', ''), 'button', '');
      say(button, 'span', took(line) ? span(took(line)) : '');
      say(button, 'span', recording.laneOf(line).number);
      say(button, 'span', recording.textOf(line));
      button.addEventListener('click', () => choose(line));
    }
  }
  $('lines').querySelector('[aria-current]')?.removeAttribute('aria-current');
  const button = $('lines').children[place - lines.from].firstChild;
  button.setAttribute('aria-current', 'true');
  const { offsetTop, offsetHeight } = button.parentElement, list = $('lines');
  const top = offsetTop - list.offsetTop;
  if (top < list.scrollTop || top + offsetHeight > list.scrollTop + list.clientHeight) {
    list.scrollTop = top - list.clientHeight / 2;
  }
}

let timeline;
function choose(place) {
  timeline.choose(place);
  describe(timeline.chosen);
  list(timeline.chosen);
}

/** Chooses the next record, or the previous one, for which `holds` is true. */
function seek(by, holds) {
  for (let place = timeline.chosen + by; place >= 0 && place < recording.count; place += by) {
    if (holds(place)) return choose(place);
  }
}

function seekTurn(by) {
  const [from, to] = recording.turnBounds(recording.turnOf[timeline.chosen]);
  if (by > 0) return choose(to);
  choose(recording.turnBounds(recording.turnOf[Math.max(from - 1, 0)])[0]);
}

/** Chooses the longest turn; if the last turn found this way is still chosen, the next longest. */
const longest = { rank: -1, place: undefined };
function seekLongest() {
  const { turns, byWork } = recording;
  if (!turns.length) return;
  longest.rank = longest.place === timeline.chosen ? (longest.rank + 1) % turns.length : 0;
  longest.place = turns[byWork[longest.rank]].place;
  choose(longest.place);
}

function setTheme(dark) {
  root.dataset.theme = dark ? 'dark' : 'light';
  $('theme').textContent = dark ? 'Light' : 'Dark';
  timeline?.wake();
  explain();
}

function setTrueTime(on) {
  $('axis').setAttribute('aria-pressed', String(on));
  timeline.setTrueTime(on);
}

function fit() { timeline.show(...timeline.whole); }

const sameLane = place => recording.lane[place] === recording.lane[timeline.chosen];
const isKind = (...kinds) => place => kinds.includes(recording.kindOf(place));
const KEYS = {
  ArrowLeft: () => seek(-1, () => true), ArrowRight: () => seek(1, () => true),
  ArrowUp: () => seek(-1, sameLane), ArrowDown: () => seek(1, sameLane),
  PageUp: () => seekTurn(-1), PageDown: () => seekTurn(1),
  Home: () => choose(0), End: () => choose(recording.count - 1),
  '+': () => timeline.zoom(0.7), '=': () => timeline.zoom(0.7), '-': () => timeline.zoom(1 / 0.7), '0': fit,
  e: () => seek(1, isKind('again')), b: () => seek(1, isKind('full')),
  x: () => seek(1, isKind(...ERRORS)), l: seekLongest,
  t: () => setTrueTime(!timeline.trueTime), d: () => setTheme(root.dataset.theme !== 'dark'),
  '?': () => $('keys').showModal(),
};

document.addEventListener('keydown', event => {
  const key = KEYS[event.key];
  if (!key || !timeline || event.ctrlKey || event.metaKey || event.altKey || $('keys').open) return;
  // Outside the timeline, keys that move scroll the page as usual.
  const at = document.activeElement, moves = event.key.length > 1;
  if (moves && at !== document.body && at !== $('timeline') && !$('lines').contains(at)) return;
  event.preventDefault();
  key();
});

/** A click chooses, a drag moves. */
function followPointer() {
  const canvas = $('timeline');
  let drag;
  const point = event => {
    const { left, top } = canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  canvas.addEventListener('pointerdown', event => {
    drag = { x: event.clientX, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', event => {
    if (!drag || (!drag.moved && Math.abs(event.clientX - drag.x) < 4)) return;
    timeline.pan(timeline.axisAt(drag.x) - timeline.axisAt(event.clientX));
    drag = { x: event.clientX, moved: true };
  });
  canvas.addEventListener('pointerup', event => {
    const place = drag && !drag.moved ? timeline.placeAt(...point(event)) : undefined;
    drag = undefined;
    if (place !== undefined) choose(place);
  });
  canvas.addEventListener('pointercancel', () => { drag = undefined; });
  canvas.addEventListener('wheel', event => {
    if (event.ctrlKey || event.metaKey) timeline.zoom(Math.exp(event.deltaY / 300), timeline.axisAt(point(event)[0]));
    else if (event.deltaX) timeline.pan((timeline.to - timeline.from) * event.deltaX / 800);
    else return;
    event.preventDefault();
  }, { passive: false });
  const overview = $('overview');
  const move = event => {
    if (event.type === 'pointermove' && !event.buttons) return;
    const { left, width } = overview.getBoundingClientRect(), [first, last] = timeline.whole;
    const middle = first + (event.clientX - left) / width * (last - first), half = (timeline.to - timeline.from) / 2;
    timeline.show(middle - half, middle + half);
  };
  overview.addEventListener('pointerdown', move);
  overview.addEventListener('pointermove', move);
}

/** Fills the legend: each sign, its name and its meaning. */
function explain() {
  const colours = palette();
  $('signs').replaceChildren();
  const entry = (name, means, draw) => {
    const group = say($('signs'), 'div', ''), canvas = say(say(group, 'dt', ''), 'canvas', '');
    canvas.setAttribute('aria-hidden', 'true');
    say(group, 'dd', name);
    say(group, 'dd', means);
    if (canvas.clientWidth) draw(prepare(canvas));
  };
  for (const [kind, { name, means, shape }] of Object.entries(KINDS)) {
    entry(name, means, pen => drawSign(pen, colours, kind, shape === 'box' ? 2 : 9, 2, shape === 'box' ? 32 : 18, 18));
  }
  entry('back-pressure', BAND_MEANS.full, pen => {
    pen.strokeStyle = pen.fillStyle = colours.vermillion;
    hatch(pen, 2, 2, 32, 18, 6, 1);
    pen.fillRect(2, 19, 32, 2);
  });
  entry('between two visits', BAND_MEANS.waiting, pen => {
    pen.fillStyle = colours.soft;
    for (let x = 2; x < 34; x += 7) pen.fillRect(x, 11, 4, 1);
  });
  entry('a worker is busy', BAND_MEANS.job, pen => {
    pen.fillStyle = colours.orange;
    for (let x = 2; x < 34; x += 6) pen.fillRect(x, 14, 3, 3);
  });
}

summarize();
const dark = matchMedia('(prefers-color-scheme: dark)');
if (recording.count) {
  timeline = new Timeline(recording, $('timeline'), $('overview'), $('scroll'), $('spacer'));
  followPointer();
  $('in').addEventListener('click', KEYS['+']);
  $('out').addEventListener('click', KEYS['-']);
  $('fit').addEventListener('click', fit);
  $('axis').addEventListener('click', KEYS.t);
  $('longest').addEventListener('click', KEYS.l);
  $('error').addEventListener('click', KEYS.x);
  $('scroll').addEventListener('scroll', () => timeline.wake());
  new ResizeObserver(() => timeline.wake()).observe($('scroll'));
  // The fragment of a link may name a record.
  const wanted = Number.parseInt(location.hash.slice(1), 10);
  choose(Number.isNaN(wanted) ? recording.opening : wanted);
}
setTheme(dark.matches);
dark.addEventListener('change', event => setTheme(event.matches));
$('theme').addEventListener('click', () => setTheme(root.dataset.theme !== 'dark'));
$('help').addEventListener('click', () => $('keys').showModal());
$('legend').addEventListener('toggle', explain);
$('legend').open = innerWidth >= 900;
