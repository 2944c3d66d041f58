'use strict';

const SERVING_KINDS = ['accepted', 'read', 'fin', 'write', 'short', 'failed', 'protocol', 'job back', 'closed', 'trouble'];

/** The recording, with indices that the timeline needs. */
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

  /** The begin of a record: an action that takes time began when the previous record ended. */
  begin(place) { return KINDS[this.kindOf(place)].lasts && place > 0 ? this.at[place - 1] : this.at[place]; }

  /** The first record of a turn and the first after it; turn -1 is before the first turn. */
  turnBounds(turn) {
    const from = turn < 0 ? 0 : this.turns[turn].place;
    const to = turn + 1 < this.turns.length ? this.turns[turn + 1].place : this.count;
    return [from, to];
  }

  /** The time that a turn took, without its wait. */
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

  /** The record at which the page opens: the first turn that served a connection or a datagram. */
  get opening() {
    for (let place = 0; place < this.count; place++) {
      if (this.turnOf[place] >= 0 && SERVING_KINDS.includes(this.kindOf(place))) {
        return this.turns[this.turnOf[place]].place;
      }
    }
    return this.turns[0]?.place ?? 0;
  }

  /** Finds the bands of a lane: each state from its first record to its last, or to the end. */
  findBands(places, bands, full) {
    const open = full ? { full: 0 } : {};
    const end = (sort, place) => {
      if (open[sort] !== undefined) bands.push({ sort, from: open[sort], to: place });
      delete open[sort];
    };
    let before = 0, over = false;
    for (const place of places) {
      // The visit of a listener ends without a record.
      if (open.visit !== undefined && this.turnOf[place] !== this.turnOf[before]) {
        end('visit', before);
        if (!over) open.waiting = before;
      }
      before = place;
      switch (this.kindOf(place)) {
        case 'reap': over = true; // Its last visit follows.
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

/** A time span in the unit that a person reads best. */
function span(nanoseconds) {
  if (nanoseconds < 1e3) return `${nanoseconds} ns`;
  if (nanoseconds < 1e6) return `${(nanoseconds / 1e3).toFixed(1)} µs`;
  if (nanoseconds < 1e9) return `${(nanoseconds / 1e6).toFixed(1)} ms`;
  return `${(nanoseconds / 1e9).toFixed(2)} s`;
}

/** The label of an axis mark: marks are `step` apart, the last is at `last`, and two neighbours differ in the last digit. */
function mark(time, step, last) {
  const [unit, name] = [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']].find(([unit]) => last >= unit || unit === 1);
  const digits = Math.max(Math.ceil(Math.log10(unit / step) - 1e-9), 0);
  return `${(time / unit).toFixed(digits)} ${name}`;
}

function bytes(count) {
  if (count < 1024) return `${count} B`;
  return count < 1 << 20 ? `${(count / 1024).toFixed(1)} KiB` : `${(count / (1 << 20)).toFixed(1)} MiB`;
}
