// SPDX-License-Identifier: MIT
// The page's script: what addresses alone cannot do. Without it, every link and form still works.

import { overlay } from "/static/overlay.js";
import { tall } from "/static/tall.js";

const find = (selector, within = document) => within.querySelector(selector);
const every = (selector, within = document) => [...within.querySelectorAll(selector)];
const say = (words) => { find("#said").textContent = words; };

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
  else problem(said.error);
};
const problem = (words) => tell(words, "alert");
const tell = (words, role = "status") => {
  say(words);
  let note = find("#problem");
  if (!note) {
    note = Object.assign(document.createElement("p"), { id: "problem", className: "below" });
    find("main").prepend(note);
  }
  note.setAttribute("role", role);
  note.textContent = words;
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
for (const figure of every(".pinned")) {
  overlay(figure, {
    shown: figure.dataset.shown === "true",
    over: (segment) => { const seen = find("#seen"); if (seen && segment) seen.textContent = `${segment.name}, ${Math.round(100 * segment.share)} %`; },
    click: figure.id !== "pinned" ? null : (segment, event) => {
      const plain = segment.term;
      if (event.altKey) go({ without: [...names("without"), plain].join(","), region: null });
      else go({ only: (event.shiftKey ? [...new Set([...names("only"), plain])] : [plain]).join(","), region: null });
    },
    box: figure.id !== "pinned" ? null : (box) => go({ region: box.join(",") }),
  });
}
for (const input of every("[data-weight]")) {
  input.addEventListener("change", () => {
    const weights = every("[data-weight]").filter((one) => Number(one.value) !== 1);
    go({ weights: weights.map((one) => `${one.dataset.weight}=${one.value}`).join(",") });
  });
}

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
const chosen = new Map();
const choose = (box) => {
  const tile = box.closest(".tile");
  if (box.checked) chosen.set(box.value, tile.dataset.path); else chosen.delete(box.value);
  const form = find("#chosen");
  form.hidden = chosen.size === 0;
  find("#count").textContent = `${chosen.size} chosen`;
  every("input[name=id]", form).forEach((one) => one.remove());
  for (const id of chosen.keys()) form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "id", value: id }));
};
addEventListener("change", (event) => { if (event.target.closest(".choose")) choose(event.target); });
find("#copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText([...chosen.values()].join("\n"));
  say(`${chosen.size} paths copied`);
});
find("#copies")?.addEventListener("click", async () => {
  const answer = await fetch("/api/v1/copies", { method: "POST", body: new URLSearchParams([...chosen.keys()].map((id) => ["id", id])) });
  const said = await answer.json();
  if (!answer.ok) return problem(said.error);
  const missed = said.skipped.map((one) => `; ${one.path}: ${one.reason}`).join("");
  tell(`${said.copied} copied to ${said.folder}${said.already ? `, ${said.already} there already` : ""}${missed}`);
});
find("#none").addEventListener("click", () => {
  every(".choose input:checked").forEach((box) => { box.checked = false; });
  chosen.clear();
  find("#chosen").hidden = true;
});

// A photo's file.
for (const button of every("[data-copy]")) button.addEventListener("click", async () => {
  await navigator.clipboard.writeText(button.dataset.copy);
  tell("The path is copied");
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
  } else if (event.key === "?") find("#keys").showModal();
  else if (at >= 0 && event.key === "e") find(".why", all[at].closest(".tile"))?.click();
  else if (at >= 0 && event.key === "x") find(".choose input", all[at].closest(".tile")).click();
  else if (at >= 0 && event.key === " ") {
    event.preventDefault();
    compare(all[at].closest(".tile").dataset.id);
  }
});
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
    if ((state.ready && find("[data-waiting]")) || !state.running) location.reload();
    else setTimeout(look, 700);
  };
  if (find("#progress")) setTimeout(look, 700);
}
