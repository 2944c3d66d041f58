/** How each kind of record looks, and its legend. `lasts`: it took the time since the previous record. */
const KINDS = {
  turn: { letter: 'T', colour: 'grey', shape: 'mark', name: 'turn',
    means: 'A turn of the loop begins: it waits, notes the events, visits the sockets that are ready, and reaps closed ones.' },
  wait: { letter: '…', colour: 'grey', shape: 'box', fill: 'hollow', lasts: true, name: 'waiting',
    means: 'The loop sleeps in the kernel until a socket may be ready or a deadline expires. It uses no CPU meanwhile.' },
  event: { letter: 'e', colour: 'blue', shape: 'down', name: 'event',
    means: 'The kernel reports that a socket may be ready. It is edge-triggered: it reports only the change, once.' },
  visit: { letter: 'v', colour: 'grey', shape: 'mark', name: 'visit',
    means: 'The loop visits this socket, and does what can be done without waiting, within a budget.' },
  left: { letter: '○', colour: 'grey', shape: 'ring', name: 'left, and waiting',
    means: 'The visit ends. The socket may wait only because each call that it still needs returned EAGAIN: an event will come.' },
  read: { letter: 'R', colour: 'sky', shape: 'box', lasts: true, name: 'read',
    means: 'Bytes arrived. If there are fewer than the buffer has room for, nothing is left, with epoll and kqueue.' },
  fin: { letter: 'F', colour: 'sky', shape: 'box', fill: 'bars', lasts: true, name: 'FIN read',
    means: 'A read of 0 bytes: the peer has finished sending. It may still read.' },
  write: { letter: 'W', colour: 'green', shape: 'box', lasts: true, name: 'write',
    means: 'The kernel took all the bytes. It sends them when the peer has room.' },
  short: { letter: 'S', colour: 'green', shape: 'box', fill: 'half', lasts: true, name: 'short write',
    means: 'The kernel took a part of the bytes: its send buffer is full, because the peer does not read fast enough.' },
  again: { letter: 'E', colour: 'yellow', shape: 'box', fill: 'stripes', lasts: true, name: 'EAGAIN',
    means: 'Nothing to read, or no room to write. EAGAIN is not an error: the kernel reports an event when that changes.' },
  failed: { letter: '×', colour: 'ink', shape: 'box', lasts: true, name: 'failed call',
    means: 'A system call failed. Most often the peer has reset the connection.' },
  protocol: { letter: 'P', colour: 'purple', shape: 'box', fill: 'dots', lasts: true, name: 'protocol',
    means: 'The protocol was shown the bytes. It consumed some, appended output, and decided the next step.' },
  call: { letter: 'c', colour: 'grey', shape: 'box', lasts: true, name: 'other system call',
    means: 'Any other call on a socket: options, registration, shutdown, close.' },
  accepted: { letter: 'A', colour: 'blue', shape: 'down', name: 'accepted',
    means: 'A new connection was taken from the accept queue. It is read at once, without waiting for an event.' },
  phase: { letter: 'p', colour: 'ink', shape: 'diamond', name: 'phase',
    means: 'The connection enters another phase: working, storing, flushing, lingering.' },
  full: { letter: 'B', colour: 'vermillion', shape: 'diamond', name: 'back-pressure on',
    means: 'Pending output has reached the limit, so reading from the peer is paused. TCP then makes the peer wait.' },
  relieved: { letter: 'b', colour: 'vermillion', shape: 'diamond', fill: 'hollow', name: 'back-pressure off',
    means: 'The peer took enough of the output. Reading resumes.' },
  deadline: { letter: 'D', colour: 'orange', shape: 'diamond', name: 'deadline',
    means: 'A deadline is due. The socket is read once more before a deadline counts against the peer.' },
  'job out': { letter: 'J', colour: 'orange', shape: 'down', name: 'job handed out',
    means: 'Work that may block, on a file for example, goes to a worker thread. The loop does not wait for it.' },
  'job back': { letter: 'j', colour: 'orange', shape: 'up', name: 'job back',
    means: 'The worker has finished, and the connection continues with the result.' },
  trouble: { letter: '!', colour: 'vermillion', shape: 'diamond', name: 'dropped, paused or stale',
    means: 'A datagram was dropped, accepting was paused, a job failed, or an event was for a former owner of the slot.' },
  reap: { letter: 'r', colour: 'grey', shape: 'mark', name: 'reaping',
    means: 'The end of a turn, the only time when slots are freed. So no event of this turn can reach the next owner of a slot.' },
  closed: { letter: 'C', colour: 'ink', shape: 'diamond', name: 'closed',
    means: 'The connection is closed. The reason is counted.' },
  command: { letter: 'i', colour: 'ink', shape: 'down', name: 'command',
    means: 'A signal or another thread asked for a report, or to stop.' },
  stopping: { letter: 'X', colour: 'vermillion', shape: 'diamond', name: 'stopping',
    means: 'The server was asked to stop: it finishes requests that have begun, and closes the other connections.' },
};

/** The bands of a lane: states that last for a while. */
const BAND_MEANS = {
  waiting: 'The broken line: waiting for an event, a result or a deadline.',
  full: 'The hatched band: back-pressure. The peer must read before the loop reads from it.',
  job: 'The dotted line: a worker thread works for this connection.',
};

/** The colours of the style sheet, so that a theme is defined only there. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const names = ['sky', 'green', 'yellow', 'blue', 'vermillion', 'purple', 'orange', 'grey',
    'paper', 'raised', 'ink', 'soft', 'line', 'band', 'chosen'];
  return Object.fromEntries(names.map(name => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** Hatches a rectangle, so that kinds differ in more than the colour. */
function hatch(pen, x, y, width, height, step, lean) {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, width, height);
  pen.clip();
  pen.beginPath();
  for (let at = x - (x % step) - height; at < x + width + height; at += step) {
    pen.moveTo(at, y + height);
    pen.lineTo(at + lean * height, y);
  }
  pen.stroke();
  pen.restore();
}

/** Draws the sign of a kind into a rectangle: a box fills it, other shapes are at its left edge. */
function drawSign(pen, colours, kind, x, y, width, height, label) {
  const { colour, shape, fill, letter } = KINDS[kind];
  pen.fillStyle = pen.strokeStyle = colours[colour];
  pen.lineWidth = 1;
  if (shape === 'box') return drawBox(pen, colours, KINDS[kind], x, y, width, height, label);
  const half = Math.min(height / 2, 8), middle = y + height / 2;
  pen.beginPath();
  if (shape === 'mark') pen.rect(x, y, 1.5, height);
  if (shape === 'ring') pen.arc(x + half, middle, half / 2, 0, 2 * Math.PI);
  if (shape === 'down') polygon(pen, [[x, middle - half], [x + 2 * half, middle - half], [x + half, middle + half]]);
  if (shape === 'up') polygon(pen, [[x, middle + half], [x + 2 * half, middle + half], [x + half, middle - half]]);
  if (shape === 'diamond') {
    polygon(pen, [[x, middle], [x + half, middle - half], [x + 2 * half, middle], [x + half, middle + half]]);
  }
  if (shape === 'ring' || fill === 'hollow') { pen.lineWidth = 1.5; pen.stroke(); } else pen.fill();
  if (width < 12 || shape === 'mark') return;
  if (label && width > 60) write(pen, colours.soft, label, x + 2 * half + 4, y, width - 2 * half - 4, height);
  if (shape === 'ring') return;
  pen.fillStyle = fill === 'hollow' ? colours.ink : inkOn(colours, colour);
  pen.font = '600 9px system-ui, sans-serif';
  pen.textAlign = 'center';
  pen.fillText(letter, x + half, middle + (shape === 'down' ? 0.5 : shape === 'up' ? 5 : 3));
}

function polygon(pen, points) {
  points.forEach(([x, y], index) => (index ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.closePath();
}

function drawBox(pen, colours, { colour, fill, letter }, x, y, width, height, label) {
  if (fill === 'hollow') {
    pen.setLineDash([3, 2]);
    pen.strokeRect(x + 0.5, y + 0.5, Math.max(width - 1, 0.5), height - 1);
    pen.setLineDash([]);
  } else {
    pen.fillRect(x, y, width, height);
  }
  pen.strokeStyle = 'rgb(0 0 0 / 45%)';
  if (fill === 'stripes') hatch(pen, x, y, width, height, 5, 1);
  if (fill === 'bars') hatch(pen, x, y, width, height, 4, 0);
  if (fill === 'half') hatch(pen, x + width / 2, y, width / 2, height, 4, -1);
  if (fill === 'dots') {
    pen.fillStyle = 'rgb(0 0 0 / 30%)';
    for (let dot = x + 2; dot < x + width - 1; dot += 4) pen.fillRect(dot, y + height - 3, 1.5, 1.5);
  }
  if (width < 9) return;
  pen.fillStyle = fill === 'hollow' ? colours.soft : inkOn(colours, colour);
  pen.font = '600 11px system-ui, sans-serif';
  pen.textAlign = 'center';
  if (!label || width < 60) return pen.fillText(letter, x + width / 2, y + height / 2 + 4);
  write(pen, pen.fillStyle, `${letter}  ${label}`, x + 5, y, width - 8, height);
}

/** Writes as much of a text as there is room for. */
function write(pen, colour, text, x, y, width, height) {
  pen.save();
  pen.beginPath();
  pen.rect(x, y, width, height);
  pen.clip();
  pen.fillStyle = colour;
  pen.font = '600 11px system-ui, sans-serif';
  pen.textAlign = 'left';
  pen.fillText(text, x, y + height / 2 + 4);
  pen.restore();
}

/** The colour of text that is readable on `colour`. */
function inkOn(colours, colour) {
  return colour === 'ink' ? colours.paper : colour === 'blue' && colours.blue === '#0072b2' ? '#fff' : '#111';
}
