/* Finds the point nearest to the pointer without looking at all of them. */

class Grid {
  constructor(xy) {
    const size = xy.length / 2;
    this.xy = xy;
    this.side = Math.max(1, Math.min(512, Math.floor(Math.sqrt(size / 4))));
    const cells = new Uint32Array(size);
    this.starts = new Uint32Array(this.side * this.side + 1);
    for (let point = 0; point < size; point += 1) {
      cells[point] = this.row(xy[2 * point + 1]) * this.side + this.row(xy[2 * point]);
      this.starts[cells[point] + 1] += 1;
    }
    for (let cell = 1; cell < this.starts.length; cell += 1) {
      this.starts[cell] += this.starts[cell - 1];
    }
    const next = this.starts.slice();
    this.points = new Uint32Array(size);
    for (let point = 0; point < size; point += 1) {
      this.points[next[cells[point]]] = point;
      next[cells[point]] += 1;
    }
  }

  row(level) {
    return Math.max(0, Math.min(this.side - 1, Math.floor((level / 65536) * this.side)));
  }

  /* The accepted point nearest to (x, y) within an ellipse of half axes rx and ry, or -1. */
  nearest(x, y, rx, ry, accept) {
    let best = -1;
    let least = 1;
    for (let row = this.row(y - ry); row <= this.row(y + ry); row += 1) {
      const first = this.starts[row * this.side + this.row(x - rx)];
      const last = this.starts[row * this.side + this.row(x + rx) + 1];
      for (let at = first; at < last; at += 1) {
        const point = this.points[at];
        const dx = (this.xy[2 * point] - x) / rx;
        const dy = (this.xy[2 * point + 1] - y) / ry;
        const distance = dx * dx + dy * dy;
        if (distance < least && accept(point)) {
          least = distance;
          best = point;
        }
      }
    }
    return best;
  }
}
