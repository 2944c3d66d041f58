const RULER = 38, LANE = 26, BOX = 18;
/** The kinds that the overview marks, errors last. */
const ERRORS = ['failed', 'trouble'];
const TROUBLES = ['again', 'full', 'short', ...ERRORS];

/** The timeline: a lane for each socket, and above them an overview of the whole recording. */
class Timeline {
  constructor(recording, canvas, overview, scroll, spacer) {
    Object.assign(this, { recording, canvas, overview, scroll, spacer });
    this.trueTime = false;
    this.chosen = 0;
    scroll.style.maxHeight = `${RULER + recording.lanes.length * LANE + 14}px`;
    this.show(0, Math.max((canvas.clientWidth - this.gutter) / 24, 12));
  }

  /** The begin and the end of a record on the axis: its index, or its time. */
  start(place) { return this.trueTime ? this.recording.begin(place) : place; }
  end(place) { return this.trueTime ? this.recording.at[place] : place + 1; }

  get whole() {
    const { count, at } = this.recording;
    return this.trueTime ? [at[0], Math.max(at[count - 1], at[0] + 1)] : [0, count];
  }

  /** Shows the axis from `from` to `to`, within the recording. */
  show(from, to) {
    const [first, last] = this.whole;
    const width = Math.min(Math.max(to - from, this.trueTime ? 100 : 4), last - first);
    this.from = Math.min(Math.max(from, first), last - width);
    this.to = this.from + width;
    this.wake();
  }

  zoom(factor, around = this.middle) {
    this.show(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }

  /** The fixed point of a zoom: the chosen record, if it is visible. */
  get middle() {
    const chosen = (this.start(this.chosen) + this.end(this.chosen)) / 2;
    return chosen >= this.from && chosen <= this.to ? chosen : (this.from + this.to) / 2;
  }

  pan(by) { this.show(this.from + by, this.to + by); }

  setTrueTime(on) {
    this.trueTime = on;
    const [from, to] = this.recording.turnBounds(this.recording.turnOf[this.chosen]);
    const [first, last] = [this.start(from), this.end(to - 1)];
    const margin = Math.max((last - first) * 0.1, on ? 0 : 20);
    this.show(first - margin, last + margin);
  }

  choose(place) {
    this.chosen = Math.min(Math.max(place, 0), this.recording.count - 1);
    const width = this.to - this.from, [start, end] = [this.start(this.chosen), this.end(this.chosen)];
    if (start < this.from || end > this.to) this.show((start + end - width) / 2, (start + end + width) / 2);
    const top = this.recording.lane[this.chosen] * LANE, room = this.scroll.clientHeight - RULER;
    if (top < this.scroll.scrollTop) this.scroll.scrollTop = top;
    if (top + LANE > this.scroll.scrollTop + room) this.scroll.scrollTop = top + LANE - room;
    this.wake();
  }

  /** Draws once before the next frame, for any number of changes. */
  wake() {
    if (this.awake) return;
    this.awake = true;
    requestAnimationFrame(() => {
      this.awake = false;
      this.draw();
    });
  }

  get gutter() { return this.canvas.clientWidth < 700 ? 110 : 245; }
  x(axis) { return this.gutter + (axis - this.from) / (this.to - this.from) * (this.canvas.clientWidth - this.gutter); }
  axisAt(x) { return this.from + (x - this.gutter) / (this.canvas.clientWidth - this.gutter) * (this.to - this.from); }

  /** The first and the last visible record. */
  get visible() {
    const { count, at } = this.recording;
    if (!this.trueTime) return [Math.floor(this.from), Math.min(Math.ceil(this.to), count)];
    return [firstFrom(at, this.from), Math.min(firstFrom(at, this.to) + 1, count)];
  }

  /** The record at a point of the timeline, or the nearest one in that lane. */
  placeAt(x, y) {
    const lane = Math.floor((y - RULER + this.scroll.scrollTop) / LANE);
    const places = this.recording.placesOf[lane];
    if (y < RULER || !places || !places.length) return undefined;
    const axis = this.axisAt(x), distance = place => Math.max(this.start(place) - axis, axis - this.end(place));
    const [first, last] = this.visible;
    const seen = places.slice(Math.max(firstFrom(places, first) - 1, 0), firstFrom(places, last) + 1);
    return seen.reduce((best, place) => (distance(place) <= distance(best) ? place : best), seen[0]);
  }

  draw() {
    this.colours = palette();
    const pen = prepare(this.canvas), width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    const lanes = this.recording.lanes.length;
    this.spacer.style.height = `${Math.max(RULER + lanes * LANE + 8 - height, 0)}px`;
    const firstLane = Math.floor(this.scroll.scrollTop / LANE);
    const lastLane = Math.min(Math.ceil((this.scroll.scrollTop + height - RULER) / LANE), lanes);
    const top = lane => RULER + lane * LANE - this.scroll.scrollTop;
    pen.save();
    pen.beginPath();
    pen.rect(this.gutter, 0, width - this.gutter, height);
    pen.clip();
    this.drawTurnLines(pen, Math.min(top(lanes), height));
    for (let lane = firstLane; lane < lastLane; lane++) this.drawBands(pen, lane, top(lane));
    this.drawThings(pen, firstLane, lastLane, top);
    for (let lane = firstLane; lane < lastLane; lane++) this.drawArrows(pen, lane, top(lane));
    this.drawChosen(pen, top, height);
    this.drawRuler(pen, width);
    pen.restore();
    this.drawNames(pen, firstLane, lastLane, top, width);
    this.drawOverview();
  }

  *visibleTurns() {
    const { turns, turnOf, count } = this.recording;
    const [first, last] = this.visible;
    if (!count) return;
    for (let turn = Math.max(turnOf[Math.max(first - 1, 0)], 0); turn < turns.length && turns[turn].place <= last; turn++) {
      const [from, to] = this.recording.turnBounds(turn);
      yield { turn, left: this.x(this.start(from)), right: this.x(this.end(to - 1)) };
    }
  }

  drawTurnLines(pen, bottom) {
    pen.fillStyle = this.colours.line;
    let before = -9;
    for (const { left } of this.visibleTurns()) {
      if (left - before < 4) continue;
      pen.fillRect(left, RULER, 1, bottom - RULER);
      before = left;
    }
  }

  drawRuler(pen, width) {
    const { colours, recording } = this;
    pen.fillStyle = colours.paper;
    pen.fillRect(0, 0, width, RULER);
    pen.textAlign = 'left';
    pen.fillStyle = colours.band;
    for (const { turn, left, right } of this.visibleTurns()) {
      if (right - left > 2 && turn % 2) pen.fillRect(left, 0, right - left, RULER);
    }
    let free = -Infinity;
    for (const { turn, left, right } of this.visibleTurns()) {
      const { number, place } = recording.turns[turn];
      const at = Math.max(left, this.gutter) + 4, room = right - at;
      if (at < free) continue;
      pen.font = '600 11px system-ui, sans-serif';
      pen.fillStyle = colours.ink;
      // A turn shows its number if there is room. Where turns are narrower, only some are numbered.
      const isNarrow = room < pen.measureText(`${number}`).width;
      const name = isNarrow || room > 46 ? `turn ${number}` : `${number}`;
      pen.fillText(name, at, 14);
      free = at + pen.measureText(name).width + 6;
      const time = span(recording.at[place] - recording.at[0]);
      pen.font = '11px system-ui, sans-serif';
      const width = pen.measureText(time).width;
      if (this.trueTime || (width > room && !isNarrow)) continue;
      pen.fillStyle = colours.soft;
      pen.fillText(time, at, 29);
      free = Math.max(free, at + width + 6);
    }
    if (this.trueTime) this.drawTimes(pen, width);
    pen.fillStyle = colours.line;
    pen.fillRect(0, RULER - 1, width, 1);
  }

  drawTimes(pen, width) {
    const room = (this.to - this.from) / Math.max((width - this.gutter) / 100, 1);
    const power = 10 ** Math.floor(Math.log10(room));
    const step = Math.max([1, 2, 5, 10].map(factor => factor * power).find(step => step >= room), 1);
    pen.font = '11px system-ui, sans-serif';
    pen.fillStyle = this.colours.soft;
    const zero = this.recording.at[0];
    for (let time = Math.ceil((this.from - zero) / step) * step; time + zero <= this.to; time += step) {
      const x = this.x(time + zero);
      pen.fillRect(x, 20, 1, RULER - 20);
      pen.fillText(mark(time, step, this.to - zero), x + 3, 30);
    }
  }

  drawBands(pen, lane, top) {
    const { colours, recording } = this, { count } = recording, [first, last] = this.visible;
    const box = top + (LANE - BOX) / 2;
    for (const { sort, from, to } of recording.bandsOf[lane]) {
      if (to < first - 1 || from > last) continue;
      const left = this.x(sort === 'visit' ? this.start(from) : this.end(from));
      const right = this.x(sort === 'visit' || to === count - 1 ? this.end(to) : this.start(to));
      const width = Math.max(right - left, 1);
      pen.lineWidth = 1;
      if (sort === 'visit') {
        pen.fillStyle = colours.band;
        pen.fillRect(left, top + 1, width, LANE - 2);
      } else if (sort === 'waiting') {
        pen.fillStyle = colours.soft;
        for (let x = Math.max(left, this.gutter - 8); x < Math.min(right, this.canvas.clientWidth); x += 7) {
          pen.fillRect(x, top + LANE / 2 - 0.5, Math.min(4, right - x), 1);
        }
      } else if (sort === 'full') {
        pen.strokeStyle = pen.fillStyle = colours.vermillion;
        const seen = Math.max(left, this.gutter - 10);
        hatch(pen, seen, box, Math.min(right, this.canvas.clientWidth) - seen, BOX, 6, 1);
        pen.fillRect(left, top + LANE - 3, width, 2);
      } else {
        pen.fillStyle = colours.orange;
        for (let x = Math.max(left, this.gutter - 8); x < Math.min(right, this.canvas.clientWidth); x += 6) {
          pen.fillRect(x, top + LANE - 6, 3, 3);
        }
      }
    }
  }

  drawThings(pen, firstLane, lastLane, top) {
    const { colours, recording } = this, [first, last] = this.visible;
    const drawn = new Int32Array(recording.lanes.length).fill(-1);
    for (let place = first; place < last; place++) {
      const lane = recording.lane[place];
      if (lane < firstLane || lane >= lastLane) continue;
      const kind = recording.kindOf(place), { lasts, shape } = KINDS[kind];
      const left = this.x(this.start(place)), width = this.x(this.end(place)) - left;
      // One record for each pixel is enough, except for the kinds that the overview marks.
      const point = Math.round(left);
      if (width < 1 && drawn[lane] === point && !TROUBLES.includes(kind)) continue;
      drawn[lane] = point;
      const y = top(lane) + (LANE - BOX) / 2;
      if (lasts || !this.trueTime) {
        if (width > 2.5) drawSign(pen, colours, kind, left + 0.5, y, width - 1, BOX, recording.textOf(place));
        else {
          pen.fillStyle = colours[KINDS[kind].colour];
          pen.fillRect(left, shape === 'box' ? y : y + 6, Math.max(width, 1), shape === 'box' ? BOX : BOX - 12);
        }
      } else if (shape !== 'mark') {
        drawSign(pen, colours, kind, left - 4, y - 3, 8, 8);
      }
      if (kind === 'wait' && !this.trueTime && width > 8) this.drawSleep(pen, place, left + width + 4, y);
    }
  }

  /** The time that the loop slept, if there is room for the label in the rest of the turn. */
  drawSleep(pen, place, x, y) {
    const [, end] = this.recording.turnBounds(this.recording.turnOf[place]);
    const time = span(this.recording.at[place] - this.recording.begin(place));
    pen.font = '11px system-ui, sans-serif';
    pen.textAlign = 'left';
    pen.fillStyle = this.colours.soft;
    if (x + pen.measureText(time).width < this.x(end)) pen.fillText(time, x, y + BOX / 2 + 4);
  }

  /** Draws an arrow from the read that brought a request to the write that sent its answer. */
  drawArrows(pen, lane, top) {
    const [first, last] = this.visible;
    const seen = this.recording.arrowsOf[lane].filter(([read, write]) => write >= first && read < last);
    if (seen.length > 150) return;
    for (const arrow of seen) {
      const [from, to] = arrow.map(place => this.x((this.start(place) + this.end(place)) / 2));
      if (to - from < 14) continue;
      const chosen = arrow.includes(this.chosen);
      pen.strokeStyle = pen.fillStyle = chosen ? this.colours.chosen : this.colours.soft;
      pen.lineWidth = chosen ? 2 : 1;
      const y = top + 4;
      pen.beginPath();
      pen.moveTo(from, y);
      pen.quadraticCurveTo((from + to) / 2, y - 9, to, y);
      pen.stroke();
      pen.beginPath();
      polygon(pen, [[to, y + 2], [to - 6, y - 4], [to - 2, y - 6]]);
      pen.fill();
    }
  }

  drawChosen(pen, top, height) {
    const { colours, chosen, recording } = this;
    const left = this.x(this.start(chosen)), width = Math.max(this.x(this.end(chosen)) - left, 2);
    pen.globalAlpha = 0.12;
    pen.fillStyle = colours.chosen;
    pen.fillRect(left, RULER, width, height);
    pen.globalAlpha = 1;
    pen.strokeStyle = colours.chosen;
    pen.lineWidth = 2;
    pen.strokeRect(left - 1, top(recording.lane[chosen]) + 2, width + 2, LANE - 4);
  }

  drawNames(pen, firstLane, lastLane, top, width) {
    const { colours, recording, gutter } = this;
    pen.fillStyle = colours.paper;
    pen.fillRect(0, 0, gutter - 1, this.canvas.clientHeight);
    pen.save();
    pen.beginPath();
    pen.rect(0, RULER, gutter - 6, this.canvas.clientHeight);
    pen.clip();
    pen.textAlign = 'left';
    for (let lane = firstLane; lane < lastLane; lane++) {
      const { number, address, listener, sort } = recording.lanes[lane], y = top(lane) + LANE / 2 + 4;
      pen.font = '600 12px system-ui, sans-serif';
      pen.fillStyle = recording.lane[this.chosen] === lane ? colours.chosen : colours.ink;
      const name = sort === 'loop' ? 'the loop' : number;
      pen.fillText(name, 10, y);
      const after = 10 + Math.max(pen.measureText(name).width + 6, 30);
      pen.font = '12px system-ui, sans-serif';
      pen.fillStyle = colours.soft;
      pen.fillText(width < 700 || sort !== 'connection' ? listener : [listener, address].filter(Boolean).join('  '), after, y);
    }
    pen.restore();
    pen.fillStyle = colours.line;
    pen.fillRect(gutter - 1, 0, 1, this.canvas.clientHeight);
    pen.fillRect(0, RULER - 1, gutter, 1);
    pen.fillStyle = colours.soft;
    pen.font = '11px system-ui, sans-serif';
    pen.textAlign = 'left';
    pen.fillText(this.trueTime ? 'true time' : 'in order', 10, 24);
  }

  /** Draws the overview: pending output and open connections over the whole recording, errors, and the part that is shown. */
  drawOverview() {
    const { colours, recording, overview } = this, pen = prepare(overview);
    const width = overview.clientWidth, height = overview.clientHeight, [first, last] = this.whole;
    const x = axis => (axis - first) / (last - first) * width;
    const curve = (member, bottom, room) => {
      const most = recording.turns.reduce((most, turn) => Math.max(most, turn[member]), 0);
      pen.beginPath();
      pen.moveTo(0, bottom);
      let y = bottom;
      for (const turn of recording.turns) {
        const at = x(this.start(turn.place));
        pen.lineTo(at, y);
        y = bottom - turn[member] / Math.max(most, 1) * room;
        pen.lineTo(at, y);
      }
      pen.lineTo(width, y);
      return most;
    };
    const pending = curve('pending', height - 12, height - 30);
    pen.lineTo(width, height - 12);
    pen.globalAlpha = 0.35;
    pen.fillStyle = colours.vermillion;
    pen.fill();
    pen.globalAlpha = 1;
    const connections = curve('connections', height - 12, height - 30);
    pen.strokeStyle = colours.blue;
    pen.lineWidth = 1.5;
    pen.stroke();
    for (let place = 0, drawn = -1; place < recording.count; place++) {
      const kind = recording.kindOf(place), at = Math.round(x(this.start(place)));
      if (at === drawn || !TROUBLES.includes(kind)) continue;
      pen.fillStyle = colours[KINDS[kind].colour];
      pen.fillRect(at, height - 9, 1.5, 9);
      drawn = at;
    }
    pen.font = '11px system-ui, sans-serif';
    pen.textAlign = 'left';
    pen.fillStyle = colours.soft;
    pen.fillText(`— ${plural(connections, 'connection')} at most    ▆ ${bytes(pending)} of output pending at most`, 8, 12);
    const [left, right] = [x(this.from), x(this.to)];
    pen.globalAlpha = 0.15;
    pen.fillStyle = colours.chosen;
    pen.fillRect(left, 0, Math.max(right - left, 3), height);
    pen.globalAlpha = 1;
    pen.strokeStyle = colours.chosen;
    pen.strokeRect(left + 0.5, 0.5, Math.max(right - left, 3) - 1, height - 1);
  }
}

/** Returns the drawing context of a cleared canvas, in the resolution of the screen. */
function prepare(canvas) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext('2d');
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}
