// `/` filter, `j`/`k` move, `x` select, `e` edit, `r` replay, Enter open, `?` help.

const HELP = [
  ["/", "search or filter"],
  ["j  k", "next, previous"],
  ["x", "select the row"],
  ["Enter", "open the row"],
  ["e", "edit"],
  ["r", "replay"],
  ["?", "this help"],
];

export function startShortcuts() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      closeHelp();
      document.activeElement?.blur();
      return;
    }
    if (event.target.closest("input:not([type=checkbox]), textarea, select")) return;
    const act = ACTIONS[event.key];
    if (act && act() !== false) event.preventDefault();
  });
}

const ACTIONS = {
  "/": () => focusFilter(),
  "j": () => step(1),
  "k": () => step(-1),
  "x": () => toggle(),
  "e": () => follow("edit"),
  "r": () => follow("replay"),
  "?": () => toggleHelp(),
};

function focusFilter() {
  const input = document.querySelector("main [data-filter]") ?? document.getElementById("search");
  input.focus();
  input.select();
}

function rows() {
  const list = document.querySelector("[data-rows]");
  return list ? [...list.querySelectorAll("[data-key]")] : [];
}

function selected() {
  return document.querySelector("[data-rows] [aria-selected]");
}

function step(direction) {
  const all = rows();
  if (all.length === 0) {
    const link = document.querySelector(direction > 0 ? "[data-older]" : "[data-newer]");
    if (!link) return false;
    link.click();
    return true;
  }
  const current = selected();
  const index = current ? all.indexOf(current) + direction : 0;
  const next = all[Math.max(0, Math.min(all.length - 1, index))];
  current?.removeAttribute("aria-selected");
  next.setAttribute("aria-selected", "true");
  next.querySelector("[data-open]")?.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
  return true;
}

function toggle() {
  const box = selected()?.querySelector("input[type=checkbox]");
  if (!box) return false;
  box.click();
  return true;
}

// In a list the chosen row's, on a page its own.
function follow(name) {
  const row = selected();
  const link = row?.querySelector(`[data-open][data-${name}]`);
  const href = link ? link.dataset[name] : row?.querySelector(`a[data-${name}]`)?.href;
  const own = document.querySelector(`main > header a[data-${name}]`)?.href;
  const target = href || own;
  if (!target) return false;
  location.assign(target);
  return true;
}

function closeHelp() {
  document.querySelector(".help")?.remove();
}

function toggleHelp() {
  if (document.querySelector(".help")) {
    closeHelp();
    return;
  }
  const panel = document.createElement("aside");
  panel.className = "help";
  panel.setAttribute("role", "status");
  const title = document.createElement("h2");
  title.textContent = "Keyboard";
  const list = document.createElement("dl");
  for (const [keys, meaning] of HELP) {
    const term = document.createElement("dt");
    const key = document.createElement("kbd");
    key.textContent = keys;
    term.append(key);
    const description = document.createElement("dd");
    description.textContent = meaning;
    list.append(term, description);
  }
  panel.append(title, list);
  document.body.append(panel);
}
