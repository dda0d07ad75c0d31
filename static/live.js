// One event stream a browser: the tab that holds the lock listens and tells the others. A change makes
// each visible tab ask for the changed parts of its own page, which keeps all state in its URL.

const CHANNEL = "redrive-changes";
const LOCK = "redrive-event-stream";
// Several changes within this time are one update.
const GATHER_MILLIS = 300;

export function startLiveUpdates(onUpdate) {
  if (!document.querySelector("[data-live]")) return;
  const updater = new Updater(onUpdate);
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = () => updater.changed();
  const stream = new SharedStream(() => {
    channel.postMessage("changed");
    updater.changed();
  });
  document.addEventListener("visibilitychange", () => {
    stream.visible(!document.hidden);
    if (!document.hidden) updater.changed();
  });
  stream.visible(!document.hidden);
}

class SharedStream {
  constructor(onChange) {
    this.onChange = onChange;
    this.wish = null;
  }

  // A hidden tab leaves the stream to another one.
  visible(isVisible) {
    if (!isVisible) {
      this.wish?.abort();
      this.wish = null;
    } else if (!this.wish) {
      this.wish = new AbortController();
      this.hold(this.wish.signal);
    }
  }

  hold(signal) {
    const listen = () => new Promise((done) => {
      const source = new EventSource("/events");
      source.addEventListener("changed", this.onChange);
      // What changed before the stream was open, or while it was broken, was announced to nobody.
      source.addEventListener("open", this.onChange);
      signal.addEventListener("abort", () => { source.close(); done(); });
    });
    // Locks need a secure context; loopback is one, plain http under another name is not.
    if (!navigator.locks) {
      listen();
      return;
    }
    navigator.locks.request(LOCK, { signal }, () => (signal.aborted ? undefined : listen())).catch(() => {});
  }
}

class Updater {
  constructor(onUpdate) {
    this.onUpdate = onUpdate;
    this.timer = null;
    this.busy = false;
    this.again = false;
  }

  changed() {
    if (document.hidden || this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.update();
    }, GATHER_MILLIS);
  }

  async update() {
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    try {
      const response = await fetch(location.href, { headers: { "redrive-live": "1" } });
      if (response.ok) this.swap(await response.text());
    } catch {
      // The stream reconnects by itself and the next change asks again.
    } finally {
      this.busy = false;
      if (this.again) {
        this.again = false;
        this.changed();
      }
    }
  }

  swap(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.querySelector(`[data-live="${CSS.escape(part.dataset.live)}"]`);
      if (next && !isInUse(part)) replace(part, next);
    }
    this.onUpdate(document);
  }
}

// What a person is working in is not taken from under their hands.
function isInUse(part) {
  const focused = document.activeElement;
  if (part.contains(focused) && focused.matches("input:not([type=checkbox]), textarea, select, button")) return true;
  return !getSelection().isCollapsed && part.contains(getSelection().anchorNode);
}

function replace(part, next) {
  const before = new Map([...part.querySelectorAll("[data-key]")].map((row) => [row.dataset.key, textOf(row)]));
  const state = rememberState(part);
  const fresh = document.importNode(next, true);
  part.replaceChildren(...fresh.childNodes);
  part.className = fresh.className;
  restoreState(part, state);
  for (const row of part.querySelectorAll("[data-key]")) {
    const old = before.get(row.dataset.key);
    if (old !== undefined && old !== textOf(row)) row.classList.add("changed");
  }
}

// Ages change with every second and mean no change.
function textOf(row) {
  const copy = row.cloneNode(true);
  for (const part of copy.querySelectorAll("time, .spark, .copy, .absent")) part.remove();
  return copy.textContent;
}

function rememberState(part) {
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  return {
    checked: [...part.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.value),
    open: [...part.querySelectorAll("details[open][data-keep]")].map((details) => details.dataset.keep),
    selected: part.querySelector("[aria-selected]")?.dataset.key,
    focusedHref: focused?.getAttribute("href"),
    focusedValue: focused?.value,
    scrolled: [...part.querySelectorAll(".scroll")].map((box) => box.scrollLeft),
  };
}

function restoreState(part, state) {
  for (const box of part.querySelectorAll("input[type=checkbox]")) {
    box.checked = state.checked.includes(box.value);
    if (state.focusedValue !== undefined && box.value === state.focusedValue) box.focus({ preventScroll: true });
  }
  for (const details of part.querySelectorAll("details[data-keep]")) {
    if (state.open.includes(details.dataset.keep)) details.open = true;
  }
  if (state.selected) {
    part.querySelector(`[data-key="${CSS.escape(state.selected)}"]`)?.setAttribute("aria-selected", "true");
  }
  if (state.focusedHref) {
    part.querySelector(`a[href="${CSS.escape(state.focusedHref)}"]`)?.focus({ preventScroll: true });
  }
  part.querySelectorAll(".scroll").forEach((box, index) => { box.scrollLeft = state.scrolled[index] ?? 0; });
}
