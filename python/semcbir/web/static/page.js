// SPDX-License-Identifier: MIT
// The page's script: what addresses alone cannot do. Without it, every link and form still works.

import { overlay } from "/static/overlay.js";
import { tall } from "/static/tall.js";

const find = (selector, within = document) => within.querySelector(selector);
const every = (selector, within = document) => [...within.querySelectorAll(selector)];

// What is said: at the foot of the window for a while, and to screen readers.
const say = (words) => {
  const said = find("#said");
  said.textContent = words;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { said.textContent = ""; }, 8000);
};

const go = (changes) => {
  const parameters = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    parameters.delete(name);
    for (const one of [value].flat()) if (one !== null && one !== "") parameters.append(name, one);
  }
  location.search = parameters;
};
const names = (name) => (new URLSearchParams(location.search).get(name) ?? "").split(",").filter(Boolean);

// Photos that are dropped, pasted or chosen.
const send = async (file) => {
  say("The photo is sent");
  const answer = await fetch("/api/v1/uploads", { method: "POST", body: file });
  const said = await answer.json();
  if (answer.ok) location.href = `/search?q=${said.key}`;
  else problem(`${file.name}: ${said.error}`);
};
const problem = (words) => {
  let note = find("#problem");
  if (!note) {
    note = Object.assign(document.createElement("p"), { id: "problem", className: "below" });
    note.setAttribute("role", "alert");
    find("main").prepend(note);
  }
  note.textContent = words;
  note.scrollIntoView({ block: "nearest" });
};
find("#file").addEventListener("change", (event) => { if (event.target.files[0]) send(event.target.files[0]); });
addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const file = event.dataTransfer.files[0];
  if (file) send(file);
});
addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
  if (file) send(file);
});

// The query's classes, and its parts.
const painters = [];
for (const figure of every(".pinned")) {
  find("img", figure).addEventListener("error", () => problem("The photo's file cannot be read any more"));
  overlay(figure, {
    shown: figure.dataset.shown === "true",
    over: (segment) => { const seen = find("#seen"); if (seen && segment) seen.textContent = `${segment.name}, ${Math.round(100 * segment.share)} %`; },
    click: figure.id !== "pinned" ? null : (segment, event) => {
      const plain = segment.term;
      if (event.altKey) return go({ without: [...names("without"), plain].join(","), region: null });
      const only = event.shiftKey ? [...new Set([...names("only"), plain])] : [plain];
      const weights = names("weights").filter((one) => only.includes(one.replace(/=[^=]*$/, "")));
      go({ only: only.join(","), weights: weights.join(","), region: null });
    },
    box: figure.id !== "pinned" || figure.dataset.single === "false" ? null : (box) => go({ region: box.join(",") }),
  }).then((paint) => painters.push(paint));
}
for (const row of every("[data-row]")) {
  row.addEventListener("pointerenter", () => painters.forEach((paint) => paint?.(Number(row.dataset.row))));
  row.addEventListener("pointerleave", () => painters.forEach((paint) => paint?.(null)));
}
for (const input of every("[data-weight]")) {
  input.addEventListener("change", () => {
    const weights = every("[data-weight]").filter((one) => Number(one.value) !== 1);
    go({ weights: weights.map((one) => `${one.dataset.weight}=${one.value}`).join(",") });
  });
}

// On a narrow screen the hits come before what is asked.
if (matchMedia("(max-width: 720px)").matches) find(".asks")?.removeAttribute("open");

// The filter: how many photos pass, while it moves.
const epsilon = find("#epsilon");
if (epsilon) {
  let last = 0;
  epsilon.addEventListener("input", async () => {
    const asked = ++last;
    find("#epsilon-value").textContent = Number(epsilon.value).toFixed(2);
    const parameters = new URLSearchParams(location.search);
    parameters.delete("keep");
    parameters.set("epsilon", epsilon.value);
    parameters.set("k", 1);
    const answer = await fetch(`/api/v1/search?${parameters}`);
    if (asked !== last || !answer.ok) return;
    const found = await answer.json();
    find("#kept").textContent = `${found.kept} of ${found.images} photos pass`;
  });
}
const filter = find("#filter");
if (filter) filter.addEventListener("submit", () => {
  for (const field of every("[name=smooth], [name=epsilon]", filter)) if (field.value === "") field.disabled = true;
  const moved = epsilon.value !== epsilon.defaultValue || new URLSearchParams(location.search).has("epsilon");
  if (!moved) epsilon.disabled = true;
});

// Photos that are chosen.
// They stay chosen from page to page, as long as it is the same index: ids are its own.
const shelf = `chosen ${document.body.dataset.index}`;
const chosen = new Map();
const recall = () => {
  chosen.clear();
  for (const [id, path] of JSON.parse(sessionStorage.getItem(shelf) ?? "[]")) chosen.set(id, path);
  every(".choose input").forEach((box) => { box.checked = chosen.has(box.value); });
  count();
};
let last = null;
const choose = (box, upTo) => {
  const boxes = every(".choose input"), [a, b] = [boxes.indexOf(last), boxes.indexOf(box)];
  const wanted = upTo && a >= 0 ? boxes.slice(Math.min(a, b), Math.max(a, b) + 1) : [box];
  for (const one of wanted) {
    one.checked = box.checked;
    if (box.checked) chosen.set(one.value, one.closest(".tile").dataset.path); else chosen.delete(one.value);
  }
  last = box;
  keep();
};
const keep = () => {
  sessionStorage.setItem(shelf, JSON.stringify([...chosen]));
  count();
};
const count = () => {
  const form = find("#chosen");
  form.hidden = chosen.size === 0;
  find("#count").textContent = `${chosen.size} chosen`;
  every("input[name=id]", form).forEach((one) => one.remove());
  for (const id of chosen.keys()) form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "id", value: id }));
};
addEventListener("click", (event) => { if (event.target.matches(".choose input")) choose(event.target, event.shiftKey); });
addEventListener("pageshow", recall);
const take = (boxes) => {
  for (const box of boxes) chosen.set(box.value, box.closest(".tile").dataset.path);
  keep();
  recall();
};
find("#all").addEventListener("click", () => take(every(".choose input")));
find("#copies-of")?.addEventListener("click", () => take(every(".grid").flatMap((group) => every(".choose input", group).slice(1))));
find("#copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText([...chosen.values()].join("\n"));
  say(`${chosen.size} paths copied`);
});
find("#copies")?.addEventListener("click", async () => {
  const answer = await fetch("/api/v1/copies", { method: "POST", body: new URLSearchParams([...chosen.keys()].map((id) => ["id", id])) });
  const said = await answer.json();
  if (!answer.ok) return problem(said.error);
  const missed = said.skipped.map((one) => `; ${one.path}: ${one.reason}`).join("");
  say(`${said.copied} copied to ${said.folder}${said.already ? `, ${said.already} there already` : ""}${missed}`);
});
find("#none").addEventListener("click", () => {
  chosen.clear();
  keep();
  recall();
});

// A photo's file.
for (const button of every("[data-copy]")) button.addEventListener("click", async () => {
  await navigator.clipboard.writeText(button.dataset.copy);
  say("The path is copied");
});
for (const button of every("[data-open]")) button.addEventListener("click", async () => {
  const answer = await fetch(`/api/v1/images/${button.dataset.open}/open`, { method: "POST" });
  if (!answer.ok) problem((await answer.json()).error);
});

// The whole collection, of which only what can be seen is on the page.
const collection = find("#collection");
if (collection) tall(collection, (id) => chosen.has(String(id)));

// Keys.
const tiles = () => every(".tile .photo");
const columns = (all) => {
  const top = all[0].getBoundingClientRect().top;
  const other = all.findIndex((one) => one.getBoundingClientRect().top > top + 4);
  return other < 0 ? all.length : other;
};
addEventListener("keydown", (event) => {
  if (event.target.matches("input:not([type=checkbox]), select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (find("dialog[open]")) return;
  const all = tiles(), at = all.indexOf(document.activeElement);
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key] ?? (all.length ? { ArrowDown: columns(all), ArrowUp: -columns(all) }[event.key] : undefined);
  if (step !== undefined && all.length) {
    event.preventDefault();
    const next = all[at < 0 ? 0 : Math.max(0, Math.min(all.length - 1, at + step))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  } else if (event.key === "/") {
    event.preventDefault();
    find("#words").focus();
  } else if (event.key === "?") help();
  else if (at >= 0 && event.key === "e") find(".why", all[at].closest(".tile"))?.click();
  else if (at >= 0 && event.key === "x") find(".choose input", all[at].closest(".tile")).click();
  else if (at >= 0 && event.key === " ") {
    event.preventDefault();
    compare(all[at].closest(".tile").dataset.id);
  }
});
const help = () => find("#keys").showModal();
find("#help").addEventListener("click", help);
for (const button of every(".beside")) button.addEventListener("click", () => compare(button.closest(".tile").dataset.id));
const compare = (id) => {
  const query = find("#pinned")?.dataset.key, dialog = find("#compare");
  const pictures = [query, id].filter(Boolean).map((key) => Object.assign(new Image(), { src: `/api/v1/images/${key}/photo`, alt: key === query ? "the query" : "the hit" }));
  find(".pair", dialog).replaceChildren(...pictures);
  dialog.showModal();
};

// While photos are read.
if (find("[data-waiting], [data-running]")) {
  const look = async () => {
    const answer = await fetch("/api/v1/info");
    const state = await answer.json();
    const bar = find("#progress");
    if (bar && state.total) Object.assign(bar, { max: state.total, value: state.done });
    if (bar) find("#progress-words").textContent = `${state.done} of ${state.total} read`;
    if (state.running && !(state.ready && find("[data-waiting]"))) setTimeout(look, 700);
    else if (find("[data-waiting]")) location.reload();
    else find("[data-running] a").hidden = false;  // not a new page while someone looks at this one
  };
  if (find("#progress")) setTimeout(look, 700);
}
