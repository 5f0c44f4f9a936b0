/* The page: theme, buttons that copy, and its figures. */

function startTheme(button) {
  const root = document.documentElement;
  const themes = ["auto", "light", "dark"];
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(root.dataset.theme ?? "auto") + 1) % themes.length];
    button.textContent = `Theme: ${next}`;
    changeTheme(next);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => changeTheme());
  let before;
  window.addEventListener("beforeprint", () => {
    before = root.dataset.theme ?? "auto";
    changeTheme("light");
  });
  window.addEventListener("afterprint", () => changeTheme(before));
}

function startCopy(block) {
  const code = block.querySelector("code");
  const button = make("button", { type: "button", className: "copy", textContent: "Copy" });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  block.append(button);
}

startTheme(document.getElementById("theme"));
document.querySelectorAll(".code").forEach(startCopy);
for (const figure of document.querySelectorAll("figure.scatter")) {
  const source = document.getElementById(figure.dataset.source);
  new Scatter(figure, JSON.parse(source.textContent));
  source.remove();
}
