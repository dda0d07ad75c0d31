// In the editor: whether the payload is JSON while it is typed, and rows for more headers.

export function startEditor() {
  const form = document.querySelector("[data-editor]");
  if (!form) return;
  checkJson(form);
  growHeaders(form);
  checkSchema(form);
}

// What the schema says of the payload while it is typed: the server's own answer, as its button gives it.
function checkSchema(form) {
  const body = form.querySelector("[data-body]");
  if (!form.querySelector("[data-schema]")) return;
  let timer = 0;
  let asked = 0;
  const check = async () => {
    const number = ++asked;
    const fields = new URLSearchParams(new FormData(form));
    fields.set("step", "check");
    const answer = await fetch(form.action, { method: "POST", body: fields });
    if (!answer.ok || number !== asked) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const verdict = page.querySelector("[data-schema]");
    if (verdict) form.querySelector("[data-schema]").replaceWith(verdict);
  };
  body.addEventListener("input", () => {
    clearTimeout(timer);
    if (body.value.length < 300000) timer = setTimeout(() => check().catch(() => {}), 400);
  });
}

function checkJson(form) {
  const body = form.querySelector("[data-body]");
  const written = form.querySelector("[data-body-form]");
  const output = form.querySelector("[data-json-check]");
  const check = () => {
    if (written.value !== "text") {
      output.textContent = "";
      return;
    }
    try {
      JSON.parse(body.value);
      output.className = "status ok";
      output.textContent = "well-formed JSON";
    } catch (error) {
      output.className = "status warning";
      output.textContent = `no JSON: ${error.message}`;
    }
  };
  body.addEventListener("input", check);
  written.addEventListener("change", check);
  check();
}

// When something is typed into the last row, an empty one follows.
function growHeaders(form) {
  const rows = form.querySelector("[data-headers] tbody");
  const count = form.querySelector("[data-header-count]");
  rows.addEventListener("input", (event) => {
    const row = event.target.closest("tr");
    if (row !== rows.lastElementChild || !event.target.value) return;
    const index = Number(count.value);
    const next = row.cloneNode(true);
    for (const field of next.querySelectorAll("[name]")) {
      field.name = field.name.replace(/^h\d+-/, `h${index}-`);
      if (field.type === "checkbox") field.checked = false;
      else if (field.tagName !== "SELECT") field.value = "";
    }
    // State and buttons of a row are the server's.
    next.lastElementChild.replaceChildren();
    rows.append(next);
    count.value = String(index + 1);
  });
}
