/* A figure: maps of the same cells, linked by one legend, one colouring and one tooltip. */

class Scatter {
  constructor(figure, data) {
    this.figure = figure;
    this.data = unpack(data);
    this.legends = this.data.colourings.map((given) => new Legend(given, () => this.repaint()));
    this.current = 0;
    this.named = true;
    const order = drawingOrder(this.data.size);
    const links = {
      onPoint: (point, event) => this.point(point, event),
      accept: (point) => this.legend.state(this.legend.colouring.codes[point]) === LIT,
    };
    this.plots = this.data.maps.map((map) => new Plot(map, order, links));
    this.tooltip = make("div", { className: "tooltip", hidden: true, role: "status" });
    this.side = make("div", { className: "side" });
    figure.querySelector(".canvas").append(
      this.toolbar(),
      make("div", { className: "maps" },
        make("div", { className: "plots" }, ...this.plots.map((plot) => plot.element)), this.side),
      this.tooltip,
    );
    this.choose(0);
    this.drawNow();
    document.addEventListener("themechange", () => {
      this.repaint();
      this.drawNow();
    });
  }

  /* Without waiting for a frame: a page about to be printed gets none. */
  drawNow() {
    for (const plot of this.plots) {
      plot.resize();
      plot.draw();
    }
  }

  get legend() {
    return this.legends[this.current];
  }

  toolbar() {
    const group = `colour-${this.figure.id}`;
    const choices = this.data.colourings.map(({ name }, number) => make("label", {},
      make("input", {
        type: "radio", name: group, checked: number === 0, onchange: () => this.choose(number),
      }), make("span", { textContent: name })));
    const named = make("label", { className: "tick" },
      make("input", {
        type: "checkbox", checked: true,
        onchange: (event) => {
          this.named = event.target.checked;
          this.repaint();
        },
      }), "Names on the map");
    const save = make("button", {
      type: "button", className: "quiet", textContent: "Save as CSV", onclick: () => this.save(),
    });
    return make("div", { className: "toolbar" },
      make("fieldset", { className: "choice" },
        make("legend", { textContent: "Colour by" }), ...choices), named, save);
  }

  choose(number) {
    this.current = number;
    this.side.replaceChildren(
      make("h4", { textContent: this.legend.colouring.name }), this.legend.element);
    this.repaint();
  }

  repaint() {
    const table = this.legend.table();
    for (const plot of this.plots) {
      plot.labels = this.named ? this.labels(plot) : [];
      plot.show(this.legend.colouring.codes, table);
    }
  }

  /* Names where a category is densest, if it leads there; elsewhere they would mislead. */
  labels(plot) {
    const { kind, categories, codes } = this.legend.colouring;
    if (kind === "continuous") return [];
    plot.densest ??= new Map();
    if (!plot.densest.has(this.current)) {
      plot.densest.set(this.current, densest(plot.map.xy, codes, categories.length));
    }
    return plot.densest.get(this.current).flatMap(({ x, y, leads }, code) =>
      (leads && this.legend.state(code) === LIT ? [{ text: categories[code], x, y }] : []));
  }

  point(point, event) {
    for (const plot of this.plots) plot.mark(point);
    this.tooltip.hidden = point < 0;
    if (point < 0) return;
    this.tooltip.replaceChildren(
      make("strong", { textContent: this.data.cells[point] ?? `cell ${point + 1}` }),
      make("dl", {}, ...this.legends.flatMap((legend) => [
        make("dt", { textContent: legend.colouring.name }),
        make("dd", { textContent: legend.valueOf(legend.colouring.codes[point]) }),
      ])));
    const box = this.figure.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.tooltip;
    const right = event.clientX - box.left + 14;
    const left = right + width > box.width ? Math.max(0, right - width - 28) : right;
    const top = event.clientY - box.top - height - 10;
    this.tooltip.style.setProperty("left", `${left}px`);
    this.tooltip.style.setProperty("top", `${top < 0 ? top + height + 30 : top}px`);
  }

  save() {
    const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
    const { maps, cells, size } = this.data;
    const head = ["cell", ...maps.flatMap(({ name }) => [`${name} 1`, `${name} 2`]),
      ...this.legends.map(({ colouring: { name, kind } }) =>
        (kind === "continuous" ? `${name} (rounded)` : name))];
    const lines = [head.map(quoted).join(",")];
    const along = ([low, high], level) => shown6(low + ((high - low) * level) / 65535);
    for (let point = 0; point < size; point += 1) {
      lines.push([quoted(cells[point] ?? point + 1),
        ...maps.flatMap(({ x, y, xy }) =>
          [along(x, xy[2 * point]), along(y, xy[2 * point + 1])]),
        ...this.legends.map((legend) =>
          quoted(legend.valueOf(legend.colouring.codes[point]).replace("≈ ", ""))),
      ].join(","));
    }
    const url = URL.createObjectURL(new Blob([lines.join("\n"), "\n"], { type: "text/csv" }));
    make("a", { href: url, download: `${this.data.name}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
}

function shown6(value) {
  return String(Number(value.toPrecision(6)));
}

/* Where each category is densest, on a map of 16 by 16 fields, and whether most cells there
   belong to it. */
function densest(xy, codes, categories) {
  const counts = new Uint32Array(256 * (categories + 1));
  const fields = new Uint8Array(codes.length);
  for (let point = 0; point < codes.length; point += 1) {
    fields[point] = (xy[2 * point + 1] >> 12) * 16 + (xy[2 * point] >> 12);
    counts[categories * 256 + fields[point]] += 1;
    if (codes[point] < categories) counts[codes[point] * 256 + fields[point]] += 1;
  }
  const found = Array.from({ length: categories }, (_, code) => {
    const own = counts.subarray(code * 256, (code + 1) * 256);
    const field = own.reduce((best, count, at) => (count > own[best] ? at : best), 0);
    const size = own[field];
    return { field, size, x: 0, y: 0, leads: 2 * size > counts[categories * 256 + field] };
  });
  for (let point = 0; point < codes.length; point += 1) {
    const place = found[codes[point]];
    if (!place || place.field !== fields[point]) continue;
    place.x += xy[2 * point] / 65535 / place.size;
    place.y += xy[2 * point + 1] / 65535 / place.size;
  }
  return found;
}
