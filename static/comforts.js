// Copy buttons, current ages, the count of a selection, a theme without a reload.

export function addCopyButtons(root) {
  for (const holder of root.querySelectorAll("[data-copy]")) {
    if (holder.nextElementSibling?.classList.contains("copy")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "copy";
    button.setAttribute("aria-label", `Copy ${holder.dataset.copy}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(holder.dataset.copy);
        button.textContent = "copied";
      } catch {
        button.textContent = "not allowed";
      }
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
    holder.after(button);
  }
}

export function refreshAges() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const text = ago(now - Date.parse(time.dateTime));
    if (text && text !== time.textContent) time.textContent = text;
  }
}

function ago(millis) {
  const seconds = Math.max(0, Math.floor(millis / 1000));
  if (Number.isNaN(seconds)) return null;
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

export function startSelection() {
  const form = document.querySelector("[data-selection]");
  if (!form) return;
  const output = form.querySelector("[data-selected-count]");
  const buttons = form.querySelectorAll("[data-selected-verb]");
  const count = () => {
    const chosen = form.querySelectorAll("input[name=id]:checked").length;
    for (const button of buttons) {
      button.disabled = chosen === 0;
      const number = chosen === 0 ? "" : `${chosen} `;
      button.textContent = `${button.dataset.selectedVerb} the ${number}selected${button.dataset.selectedEnd}`;
    }
    output.textContent = chosen === 0 ? "Select rows, or press x on one." : "";
  };
  form.addEventListener("change", count);
  count();
}

// The browser completes a whole field; so each suggestion begins with the terms before the last one.
export function startSuggestions() {
  const input = document.querySelector("[data-filter]");
  if (!input?.list) return;
  const options = [...input.list.options];
  const terms = options.map((option) => option.value);
  input.addEventListener("input", () => {
    const before = beforeLastTerm(input.value);
    options.forEach((option, index) => { option.value = before + terms[index]; });
  });
}

function beforeLastTerm(text) {
  let [end, quoted] = [0, false];
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '"') quoted = !quoted;
    if (text[at] === " " && !quoted) end = at + 1;
  }
  return text.slice(0, text[end] === "-" ? end + 1 : end);
}

export function startTheme() {
  const form = document.querySelector("form.theme");
  if (!form) return;
  form.querySelector("button").hidden = true;
  form.querySelector("select").addEventListener("change", (event) => {
    const theme = event.target.value;
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    const age = theme === "system" ? "; Max-Age=0" : "; Max-Age=31536000";
    document.cookie = `redrive_theme=${theme}; Path=/; SameSite=Lax${age}`;
  });
}
