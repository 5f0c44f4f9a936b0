/* Making elements, and reading colours from the style sheet. */

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/* The style sheet names its colours as custom properties; a probe resolves light-dark(). */
const theme = new Map();

function themeColour(name) {
  if (!theme.has(name)) {
    const probe = document.body.appendChild(make("span", { hidden: true }));
    probe.style.setProperty("color", `var(--${name})`);
    theme.set(name, getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number));
    probe.remove();
  }
  return theme.get(name);
}

function changeTheme(name) {
  if (name) document.documentElement.dataset.theme = name;
  theme.clear();
  document.dispatchEvent(new Event("themechange"));
}

function hexColour(text) {
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}
