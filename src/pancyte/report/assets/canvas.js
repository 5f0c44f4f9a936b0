/* Draws the same points without WebGL, pixel by pixel. A point's area shrinks with the number
   of points, so the work is bounded by the area of the canvas. */

class CanvasPainter {
  constructor(canvas) {
    this.name = "canvas2d";
    this.context = canvas.getContext("2d");
  }

  place(xy, order) {
    this.xy = xy;
    this.order = order;
  }

  code(codes) {
    this.codes = codes;
  }

  colour(table) {
    this.table = table;
  }

  draw({ width, height, scale, shift, size, opacity, background, layers }) {
    if (!this.image || this.image.width !== width || this.image.height !== height) {
      this.image = this.context.createImageData(width, height);
    }
    const pixels = this.image.data;
    new Uint32Array(pixels.buffer).fill(
      (255 << 24) | (background[2] << 16) | (background[1] << 8) | background[0],
    );
    const stamp = this.stamp(size, opacity);
    const sx = (scale[0] * width) / 131070;
    const sy = (scale[1] * height) / 131070;
    const x0 = ((shift[0] + 1) * width) / 2 - stamp.side / 2;
    const y0 = ((1 - shift[1]) * height) / 2 - stamp.side / 2;
    for (const layer of layers) {
      const wanted = layer ? 255 : 128;
      for (let at = 0; at < this.order.length; at += 1) {
        const point = this.order[at];
        const entry = 4 * this.codes[point];
        if (this.table[entry + 3] !== wanted) continue;
        const x = Math.round(x0 + this.xy[2 * point] * sx);
        const y = Math.round(y0 - this.xy[2 * point + 1] * sy);
        this.press(pixels, width, height, x, y, stamp, entry);
      }
    }
    this.context.putImageData(this.image, 0, 0);
  }

  stamp(size, opacity) {
    const side = Math.ceil(size) + 1;
    const cover = new Float32Array(side * side);
    for (let y = 0; y < side; y += 1) {
      for (let x = 0; x < side; x += 1) {
        const away = Math.hypot(x - (side - 1) / 2, y - (side - 1) / 2);
        cover[y * side + x] = Math.max(0, Math.min(1, size / 2 - away + 0.5)) * opacity;
      }
    }
    return { side, cover };
  }

  press(pixels, width, height, left, top, { side, cover }, entry) {
    if (left <= -side || top <= -side || left >= width || top >= height) return;
    const { table } = this;
    for (let row = Math.max(0, -top); row < side && top + row < height; row += 1) {
      for (let column = Math.max(0, -left); column < side && left + column < width; column += 1) {
        const part = cover[row * side + column];
        if (part === 0) continue;
        const at = 4 * ((top + row) * width + left + column);
        pixels[at] += (table[entry] - pixels[at]) * part;
        pixels[at + 1] += (table[entry + 1] - pixels[at + 1]) * part;
        pixels[at + 2] += (table[entry + 2] - pixels[at + 2]) * part;
      }
    }
  }
}
