/* One map: a canvas of points, a canvas of labels above it, and the view one looks through. */

const MARGIN = 0.93;

class Plot {
  constructor(map, order, { onPoint, accept }) {
    this.map = map;
    this.order = order;
    this.onPoint = onPoint;
    this.accept = accept;
    this.labels = [];
    this.marked = -1;
    this.overlay = make("canvas", { className: "overlay", "aria-hidden": "true" });
    this.stage = make("div", {
      className: "stage",
      tabIndex: 0,
      role: "application",
      "aria-label":
        `Map ${map.name}. Arrow keys move, plus and minus zoom, 0 shows everything. ` +
        "The table below the figure holds the counts.",
    }, this.overlay);
    this.element = make("div", { className: "plot" },
      make("div", { className: "plot-head" }, make("h4", { textContent: map.name }),
        this.buttons()), this.stage);
    this.reset();
    this.usePainter(new URLSearchParams(location.search).has("canvas"));
    this.listen();
    new ResizeObserver(() => this.resize()).observe(this.stage);
  }

  buttons() {
    const button = (sign, label, onclick) =>
      make("button", { type: "button", textContent: sign, "aria-label": label, title: label, onclick });
    return make("div", { className: "zoom" },
      button("+", "Zoom in", () => this.zoom(1.5)),
      button("−", "Zoom out", () => this.zoom(1 / 1.5)),
      button("⤢", "Show everything", () => this.reset()));
  }

  usePainter(plain) {
    const canvas = make("canvas", { className: "points", "aria-hidden": "true" });
    if (this.canvas) this.canvas.replaceWith(canvas);
    else this.stage.prepend(canvas);
    this.canvas = canvas;
    try {
      this.painter = plain ? new CanvasPainter(canvas) : new WebGLPainter(canvas);
    } catch {
      this.usePainter(true);
      return;
    }
    canvas.addEventListener("webglcontextlost", () => this.usePainter(true));
    this.painter.place(this.map.xy, this.order);
    if (this.codes) this.show(this.codes, this.table);
    this.resize();
  }

  show(codes, table) {
    this.codes = codes;
    this.table = table;
    this.painter.code(codes);
    this.painter.colour(table);
    this.request();
  }

  reset() {
    this.view = { x: 0.5, y: 0.5, zoom: 1 };
    this.request();
  }

  /* Zoom so that the place at (x, y), as shares of the stage, stays where it is. */
  zoom(factor, x = 0.5, y = 0.5) {
    const zoom = Math.max(0.8, Math.min(200, this.view.zoom * factor));
    const held = (1 / this.view.zoom - 1 / zoom) / MARGIN;
    this.view.x += (x - 0.5) * held;
    this.view.y += (0.5 - y) * held;
    this.view.zoom = zoom;
    this.request();
  }

  pan(dx, dy) {
    const clamp = (value) => Math.max(0, Math.min(1, value));
    this.view.x = clamp(this.view.x - dx / (this.view.zoom * MARGIN));
    this.view.y = clamp(this.view.y + dy / (this.view.zoom * MARGIN));
    this.request();
  }

  resize() {
    const { width, height } = this.stage.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    const pixels = [width, height].map((side) => Math.max(1, Math.round(side * ratio)));
    for (const canvas of [this.canvas, this.overlay]) {
      if (canvas.width === pixels[0] && canvas.height === pixels[1]) continue;
      [canvas.width, canvas.height] = pixels;
      this.request();
    }
  }

  request() {
    if (this.requested) return;
    this.requested = true;
    requestAnimationFrame(() => {
      if (this.requested && this.codes) this.draw();
    });
  }

  pointSize() {
    const ratio = window.devicePixelRatio || 1;
    const room = Math.sqrt((this.canvas.width * this.canvas.height) / this.order.length);
    const grown = room * 0.5 * Math.sqrt(Math.max(1, this.view.zoom));
    return Math.max(1.2 * ratio, Math.min(9 * ratio, grown));
  }

  draw() {
    this.requested = false;
    const { x, y, zoom } = this.view;
    const scale = 2 * MARGIN * zoom;
    const dimmed = this.table.some((value, at) => at % 4 === 3 && value === 128);
    this.painter.draw({
      width: this.canvas.width,
      height: this.canvas.height,
      scale: [scale, scale],
      shift: [-x * scale, -y * scale],
      size: this.pointSize(),
      opacity: 0.85,
      background: themeColour("stage"),
      layers: dimmed ? [0, 1] : [1],
    });
    this.drawOverlay();
    this.element.dataset.renderer = this.painter.name;
    this.element.dataset.drawn = this.order.length;
  }

  toPixels(u, v) {
    const { x, y, zoom } = this.view;
    return [
      (0.5 + (u - x) * zoom * MARGIN) * this.overlay.width,
      (0.5 - (v - y) * zoom * MARGIN) * this.overlay.height,
    ];
  }

  drawOverlay() {
    const pen = this.overlay.getContext("2d");
    const ratio = window.devicePixelRatio || 1;
    pen.clearRect(0, 0, this.overlay.width, this.overlay.height);
    pen.font = `600 ${11.5 * ratio}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    pen.lineWidth = 3.5 * ratio;
    pen.strokeStyle = `rgb(${themeColour("stage")})`;
    pen.fillStyle = `rgb(${themeColour("ink")})`;
    const taken = [];
    for (const label of this.labels) this.drawLabel(pen, label, taken, ratio);
    if (this.marked >= 0) {
      const [x, y] = this.toPixels(...this.placeOf(this.marked));
      pen.beginPath();
      pen.arc(x, y, this.pointSize() / 2 + 3 * ratio, 0, 2 * Math.PI);
      pen.lineWidth = 2 * ratio;
      pen.strokeStyle = pen.fillStyle;
      pen.stroke();
    }
  }

  /* A label that would cover one already drawn is left out; zooming in makes room for it. */
  drawLabel(pen, { text, x: u, y: v }, taken, ratio) {
    const half = pen.measureText(text).width / 2 + 2 * ratio;
    const [wished, y] = this.toPixels(u, v);
    const inside = wished > 0 && wished < this.overlay.width && y > 0 && y < this.overlay.height;
    const x = Math.max(half, Math.min(this.overlay.width - half, wished));
    const covers = (other) =>
      Math.abs(other.x - x) < other.half + half && Math.abs(other.y - y) < 15 * ratio;
    if (!inside || taken.some(covers)) return;
    taken.push({ x, y, half });
    pen.strokeText(text, x, y);
    pen.fillText(text, x, y);
  }

  placeOf(point) {
    return [this.map.xy[2 * point] / 65535, this.map.xy[2 * point + 1] / 65535];
  }

  mark(point) {
    if (point === this.marked) return;
    this.marked = point;
    this.request();
  }

  pick(event) {
    const box = this.stage.getBoundingClientRect();
    const unit = 65535 / (this.view.zoom * MARGIN);
    const x = 65535 * this.view.x + ((event.clientX - box.left) / box.width - 0.5) * unit;
    const y = 65535 * this.view.y - ((event.clientY - box.top) / box.height - 0.5) * unit;
    const reach = Math.max(6, this.pointSize());
    const point = this.grid().nearest(
      x, y, (reach / box.width) * unit, (reach / box.height) * unit, this.accept,
    );
    this.onPoint(point, event);
  }

  grid() {
    this.index ??= new Grid(this.map.xy);
    return this.index;
  }

  listen() {
    const { stage } = this;
    const pointers = new Map();
    const share = (event) => {
      const box = stage.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    stage.addEventListener("pointerdown", (event) => {
      pointers.set(event.pointerId, share(event));
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      if (!pointers.has(event.pointerId)) {
        this.pick(event);
        return;
      }
      this.drag(pointers, event.pointerId, share(event));
    });
    for (const name of ["pointerup", "pointercancel"]) {
      stage.addEventListener(name, (event) => pointers.delete(event.pointerId));
    }
    stage.addEventListener("click", (event) => this.pick(event));
    stage.addEventListener("pointerleave", (event) => this.onPoint(-1, event));
    stage.addEventListener("dblclick", (event) => this.zoom(2, ...share(event)));
    stage.addEventListener("wheel", (event) => {
      // without focus or Ctrl the wheel scrolls the page
      if (!event.ctrlKey && document.activeElement !== stage) return;
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * 0.002), ...share(event));
    }, { passive: false });
    stage.addEventListener("keydown", (event) => this.onKey(event));
  }

  drag(pointers, moved, now) {
    const before = pointers.get(moved);
    const other = [...pointers].find(([pointer]) => pointer !== moved)?.[1];
    pointers.set(moved, now);
    if (other) {
      const spread = ([x, y]) => Math.hypot(x - other[0], y - other[1]) || 1e-6;
      this.zoom(spread(now) / spread(before), ...other);
    } else {
      this.pan(now[0] - before[0], now[1] - before[1]);
    }
    this.onPoint(-1);
  }

  onKey(event) {
    const act = {
      ArrowLeft: () => this.pan(0.1, 0),
      ArrowRight: () => this.pan(-0.1, 0),
      ArrowUp: () => this.pan(0, 0.1),
      ArrowDown: () => this.pan(0, -0.1),
      "+": () => this.zoom(1.5),
      "=": () => this.zoom(1.5),
      "-": () => this.zoom(1 / 1.5),
      0: () => this.reset(),
      Escape: () => this.stage.blur(),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }
}
