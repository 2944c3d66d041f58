'use strict';

const DONE_FOR_SOMEBODY = ['accepted', 'read', 'fin', 'write', 'short', 'failed', 'protocol', 'job back', 'closed', 'trouble'];

/** What the page was made from, with what a picture needs to know besides. */
class Recording {
  constructor(columns) {
    Object.assign(this, columns);
    this.count = this.at.length;
    this.placesOf = this.lanes.map(() => []);
    this.bandsOf = this.lanes.map(() => []);
    this.turnOf = new Int32Array(this.count).fill(-1);
    this.arrowsOf = this.lanes.map(() => []);
    let turn = -1;
    for (let place = 0; place < this.count; place++) {
      if (turn + 1 < this.turns.length && this.turns[turn + 1].place === place) turn++;
      this.turnOf[place] = turn;
      this.placesOf[this.lane[place]].push(place);
    }
    for (const [read, write] of this.answers) this.arrowsOf[this.lane[read]].push([read, write]);
    this.placesOf.forEach((places, lane) => this.findBands(places, this.bandsOf[lane], this.lanes[lane].full));
  }

  kindOf(place) { return this.kinds[this.kind[place]]; }
  textOf(place) { return this.texts[this.text[place]]; }
  laneOf(place) { return this.lanes[this.lane[place]]; }

  /** When it began: what takes time began when what stands before it ended. */
  begin(place) { return KINDS[this.kindOf(place)].lasts && place > 0 ? this.at[place - 1] : this.at[place]; }

  /** The places of a turn; -1 is what came before the first one. */
  turnBounds(turn) {
    const from = turn < 0 ? 0 : this.turns[turn].place;
    const to = turn + 1 < this.turns.length ? this.turns[turn + 1].place : this.count;
    return [from, to];
  }

  /** How long a turn took, its wait aside. */
  work(turn) {
    const [from, to] = this.turnBounds(turn);
    let begin = from;
    while (begin < to - 1 && this.kindOf(begin) !== 'wait') begin++;
    return this.at[to - 1] - this.at[this.kindOf(begin) === 'wait' ? begin : from];
  }

  /** The turns, the longest first. */
  get byWork() {
    this.sorted ??= this.turns.map((_, turn) => [turn, this.work(turn)]).sort((one, other) => other[1] - one[1])
      .map(([turn]) => turn);
    return this.sorted;
  }

  /** Where to begin: at the first turn in which something was done for somebody. */
  get opening() {
    for (let place = 0; place < this.count; place++) {
      if (this.turnOf[place] >= 0 && DONE_FOR_SOMEBODY.includes(this.kindOf(place))) {
        return this.turns[this.turnOf[place]].place;
      }
    }
    return this.turns[0]?.place ?? 0;
  }

  /** What goes on in a lane for a while: from one place to another, or to the end. */
  findBands(places, bands, full) {
    const open = full ? { full: 0 } : {};
    const end = (sort, place) => {
      if (open[sort] !== undefined) bands.push({ sort, from: open[sort], to: place });
      delete open[sort];
    };
    let before = 0, over = false;
    for (const place of places) {
      // A listener is left without a word.
      if (open.visit !== undefined && this.turnOf[place] !== this.turnOf[before]) {
        end('visit', before);
        if (!over) open.waiting = before;
      }
      before = place;
      switch (this.kindOf(place)) {
        case 'reap': over = true; // Its visit is the last.
        case 'visit': end('waiting', place); end('visit', place); open.visit = place; break;
        case 'left': end('visit', place); open.waiting = place; break;
        case 'full': open.full = place; break;
        case 'relieved': end('full', place); break;
        case 'job out': open.job = place; break;
        case 'job back': end('job', place); break;
        case 'closed': end('visit', place); end('full', place); end('waiting', place); break;
      }
    }
    if (open.visit !== undefined && !over) open.waiting = before;
    end('visit', before);
    for (const sort of Object.keys(open)) end(sort, this.count - 1);
  }
}

/** The first index of a sorted list whose value is not below `value`. */
function firstFrom(list, value) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < value) low = middle + 1; else high = middle;
  }
  return low;
}

/** A span of nanoseconds as a person reads it. */
function span(nanoseconds) {
  if (nanoseconds < 1e3) return `${nanoseconds} ns`;
  if (nanoseconds < 1e6) return `${(nanoseconds / 1e3).toFixed(1)} µs`;
  if (nanoseconds < 1e9) return `${(nanoseconds / 1e6).toFixed(1)} ms`;
  return `${(nanoseconds / 1e9).toFixed(2)} s`;
}

/** A mark of an axis whose marks are so far apart, the last one at `last`: with as many digits as tell two of them apart. */
function mark(time, step, last) {
  const [unit, name] = [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']].find(([unit]) => last >= unit || unit === 1);
  const digits = Math.max(Math.ceil(Math.log10(unit / step) - 1e-9), 0);
  return `${(time / unit).toFixed(digits)} ${name}`;
}

function bytes(count) {
  if (count < 1024) return `${count} B`;
  return count < 1 << 20 ? `${(count / 1024).toFixed(1)} KiB` : `${(count / (1 << 20)).toFixed(1)} MiB`;
}
