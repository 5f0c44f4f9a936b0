/* What the colours mean: categories with counts to isolate or hide, or a colour scale. */

const SCALE = ["#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58",
  "#b5de2b", "#fde725"].map(hexColour);

const MISSING = 255;
const LIT = 255;
const DIMMED = 128;

function scaleColour(share) {
  const at = Math.min(share * (SCALE.length - 1), SCALE.length - 1.000001);
  const [low, high] = [SCALE[Math.floor(at)], SCALE[Math.floor(at) + 1]];
  return low.map((part, channel) => Math.round(part + (high[channel] - part) * (at % 1)));
}

/* A number with three meaningful digits. */
function shown(value) {
  return String(Number(value.toPrecision(3)));
}

class Legend {
  constructor(colouring, onChange) {
    this.colouring = colouring;
    this.onChange = onChange;
    this.hidden = new Set();
    this.isolated = new Set();
    this.rows = [];
    this.element = make("div", { className: "legend" });
    if (colouring.kind === "continuous") this.element.append(...this.scale());
    else this.element.append(...this.list());
  }

  /* The colour of every code: alpha says whether it is lit, dimmed or hidden. */
  table() {
    const grey = themeColour("dim");
    const colours = new Uint8Array(1024);
    for (let code = 0; code < 256; code += 1) {
      colours.set([...this.colourOf(code, grey), this.state(code)], 4 * code);
    }
    return colours;
  }

  colourOf(code, grey) {
    if (this.state(code) === DIMMED) return grey;
    if (code === MISSING && !this.isolated.has(code)) return themeColour("missing");
    if (this.colouring.kind === "continuous") return scaleColour(code / 254);
    const colour = this.colouring.colours[code];
    if (colour) return hexColour(colour);
    return themeColour(this.isolated.has(code) ? "accent" : "missing");
  }

  state(code) {
    if (this.hidden.has(code)) return 0;
    if (this.isolated.size) return this.isolated.has(code) ? LIT : DIMMED;
    return code === MISSING ? DIMMED : LIT;
  }

  valueOf(code) {
    if (code === MISSING) return this.colouring.missing.name;
    if (this.colouring.kind === "categorical") return this.colouring.categories[code];
    const [low, high] = this.colouring.limits;
    return `≈ ${shown(low + ((high - low) * code) / 254)}`;
  }

  list() {
    const { categories, counts, colours, missing } = this.colouring;
    const entries = categories.map((name, code) => [code, name, counts[code], colours[code]]);
    if (missing.count) entries.push([MISSING, missing.name, missing.count, ""]);
    const list = make("ul", {}, ...entries.map((entry) => this.row(...entry)));
    const hint = make("p", {
      className: "hint",
      textContent: "Click a name to isolate it (Shift adds), untick to hide.",
    });
    this.showAll = make("button", {
      type: "button", className: "quiet", textContent: "Show all", hidden: true,
      onclick: () => {
        this.hidden.clear();
        this.isolated.clear();
        this.changed();
      },
    });
    return [...(entries.length > 20 ? [this.filter()] : []), list, hint, this.showAll];
  }

  row(code, name, count, colour) {
    const box = make("input", {
      type: "checkbox", checked: true, "aria-label": `Show ${name}`,
      onchange: () => {
        if (box.checked) this.hidden.delete(code);
        else this.hidden.add(code);
        this.changed();
      },
    });
    if (colour || code === MISSING) box.style.setProperty("--swatch", colour || "var(--dim)");
    const button = make("button", {
      type: "button", "aria-pressed": "false", title: name,
      onclick: (event) => this.isolate(code, event.shiftKey || event.ctrlKey || event.metaKey),
    }, make("span", { className: "name", textContent: name }),
    make("span", { className: "count", textContent: count.toLocaleString("en") }));
    const element = make("li", {}, box, button);
    this.rows.push({ code, name, box, button, element });
    return element;
  }

  filter() {
    const label = `Filter ${this.colouring.categories.length} categories`;
    const input = make("input", { type: "search", placeholder: label, "aria-label": label });
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      for (const { name, element } of this.rows) {
        element.hidden = !name.toLowerCase().includes(wanted);
      }
    });
    return input;
  }

  isolate(code, add) {
    const alone = this.isolated.has(code) && (add || this.isolated.size === 1);
    if (!add) this.isolated.clear();
    if (alone) this.isolated.delete(code);
    else this.isolated.add(code);
    this.hidden.delete(code);
    this.changed();
  }

  changed() {
    for (const { code, box, button } of this.rows) {
      box.checked = !this.hidden.has(code);
      button.setAttribute("aria-pressed", this.isolated.has(code));
      button.classList.toggle("dimmed", this.state(code) !== LIT && code !== MISSING);
    }
    this.showAll.hidden = !this.hidden.size && !this.isolated.size;
    this.onChange();
  }

  /* A histogram of the values in the colours they are drawn in. */
  scale() {
    const { codes, limits, missing } = this.colouring;
    const bins = new Uint32Array(51);
    for (const code of codes) if (code !== MISSING) bins[Math.floor(code / 5)] += 1;
    const most = Math.max(...bins, 1);
    const canvas = make("canvas", {
      width: 408, height: 112, className: "histogram", role: "img",
      "aria-label": `Histogram of ${this.colouring.name} from ${shown(limits[0])} to ` +
        `${shown(limits[1])}`,
    });
    const pen = canvas.getContext("2d");
    bins.forEach((count, bin) => {
      const tall = count ? Math.max(2, (96 * count) / most) : 0;
      pen.fillStyle = `rgb(${scaleColour(bin / 50)})`;
      pen.fillRect(bin * 8, 96 - tall, 7, tall);
      pen.fillRect(bin * 8, 100, 8, 12);
    });
    const ends = make("div", { className: "ends" },
      make("span", { textContent: shown(limits[0]) }),
      make("span", { textContent: shown(limits[1]) }));
    const note = missing.count ? `${missing.name}: ${missing.count.toLocaleString("en")}` : "";
    return [canvas, ends, ...(note ? [make("p", { className: "hint", textContent: note })] : [])];
  }
}
