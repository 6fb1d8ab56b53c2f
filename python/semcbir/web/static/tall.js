// SPDX-License-Identifier: MIT
// A grid of any number of photos: those that can be seen are on the page, at their places in its full height.

const GAP = 14, UNDER = 30, PART = 200;

export const tall = (grid, isChosen) => {
  const total = Number(grid.dataset.total), parts = new Map(), model = grid.querySelector(".tile");
  if (!model) return;
  const fill = (tile, image, index) => {
    tile.dataset.id = image.id;
    tile.dataset.path = image.path;
    const link = tile.querySelector(".photo"), picture = tile.querySelector("img"), box = tile.querySelector("input");
    Object.assign(link, { href: `/search?q=${image.id}`, title: image.path });
    Object.assign(picture, { src: image.thumbnail, alt: image.name });
    tile.querySelector(".name").textContent = image.name;
    tile.querySelector(".choose span").textContent = `choose ${image.name}`;
    Object.assign(box, { value: image.id, checked: isChosen(image.id) });
    tile.setAttribute("aria-posinset", index + 1);
    tile.setAttribute("aria-setsize", total);
  };
  const part = (number) => {
    if (!parts.has(number)) {
      const { order, seed } = grid.dataset;
      parts.set(number, fetch(`/api/v1/images?order=${order}&seed=${seed}&offset=${number * PART}&limit=${PART}`).then((answer) => answer.json()).then((found) => found.images ?? []).catch(() => (parts.delete(number), [])));
    }
    return parts.get(number);
  };
  const tiles = new Map();
  let asked = 0;
  const lay = async () => {
    const now = ++asked;
    const width = grid.clientWidth, columns = Math.max(2, Math.floor((width + GAP) / (208 + GAP)));
    const side = (width - GAP * (columns - 1)) / columns, row = side * 0.75 + UNDER + GAP;
    grid.style.height = `${Math.ceil(total / columns) * row}px`;
    const top = -grid.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor((top - innerHeight) / row)) * columns;
    const last = Math.min(total, Math.ceil((top + 2 * innerHeight) / row) * columns);
    const wanted = [];
    for (let number = Math.floor(first / PART); number * PART < last; number++) wanted.push(number);
    const found = new Map(await Promise.all(wanted.map(async (number) => [number, await part(number)])));
    if (now !== asked) return;
    grid.classList.add("tall");
    for (const [index, tile] of tiles) if (index < first || index >= last) { if (!tile.contains(document.activeElement)) { tile.remove(); tiles.delete(index); } }
    for (let index = first; index < last; index++) {
      const image = found.get(Math.floor(index / PART))?.[index % PART];
      if (!image) continue;
      let tile = tiles.get(index);
      if (!tile) {
        tile = model.cloneNode(true);
        fill(tile, image, index);
        tiles.set(index, tile);
        grid.append(tile);
      }
      tile.style.width = `${side}px`;
      tile.style.transform = `translate(${(index % columns) * (side + GAP)}px, ${Math.floor(index / columns) * row}px)`;
    }
    if (grid.dataset.laid !== "true") {
      every(grid).forEach((tile) => { if (![...tiles.values()].includes(tile)) tile.remove(); });
      grid.dataset.laid = "true";
    }
  };
  let waiting = false;
  const soon = () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; lay(); }); } };
  addEventListener("scroll", soon, { passive: true });
  addEventListener("resize", soon);
  lay();
};

const every = (grid) => [...grid.querySelectorAll(".tile")];
