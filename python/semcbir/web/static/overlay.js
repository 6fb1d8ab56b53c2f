// SPDX-License-Identifier: MIT
// A photo's segments: outlined and named under the pointer, clicked, or cut by a box.

export const overlay = async (figure, { shown, over, click, box }) => {
  const canvas = figure.querySelector("canvas"), key = figure.dataset.key;
  const { beside } = figure.dataset;
  const answer = await fetch(`/api/v1/images/${key}/segments${beside ? `?beside=${beside}` : ""}`);
  if (!answer.ok) return;
  const { classes, width, height } = await answer.json();
  const known = new Map(classes.map((one) => [one.label, one]));
  for (const { label, colour } of classes) document.querySelectorAll(`.swatch[data-label="${label}"]`).forEach((one) => one.setAttribute("fill", colour));
  const picture = new Image();
  picture.src = `/api/v1/images/${key}/labels`;
  await picture.decode();
  const wide = picture.naturalWidth, high = picture.naturalHeight;
  Object.assign(canvas, { width: wide, height: high });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(picture, 0, 0);
  const bytes = pen.getImageData(0, 0, wide, high).data;
  const labels = Uint16Array.from({ length: wide * high }, (_, i) => bytes[4 * i] + 256 * bytes[4 * i + 1]);

  const paint = (only, cut) => {
    const pixels = pen.createImageData(wide, high);
    for (let i = 0; i < labels.length; i++) {
      const label = labels[i], segment = known.get(label);
      if (!segment || (only !== null && label !== only)) continue;
      const x = i % wide;
      const edge = (x + 1 < wide && labels[i + 1] !== label) || (x > 0 && labels[i - 1] !== label) || labels[i + wide] !== label || labels[i - wide] !== label;
      const colour = parseInt(segment.colour.slice(1), 16);
      pixels.data.set(edge ? [255, 255, 255, 255] : [colour >> 16, (colour >> 8) & 255, colour & 255, 130], 4 * i);
    }
    pen.putImageData(pixels, 0, 0);
    frame(cut ?? asked);
  };
  // The part that is searched for, in the pixels of the label map.
  const part = figure.dataset.region?.split(",").map(Number);
  const asked = part?.length === 4 ? part.map((at, i) => (i % 2 ? (at * high) / height : (at * wide) / width)) : null;
  const frame = (cut) => {
    if (cut) {
      pen.strokeStyle = "#fff";
      pen.lineWidth = 2;
      pen.strokeRect(cut[0], cut[1], cut[2] - cut[0], cut[3] - cut[1]);
    }
  };
  const clear = () => {
    if (shown) return paint(null);
    pen.clearRect(0, 0, wide, high);
    frame(asked);
  };
  const place = (event) => {
    const area = canvas.getBoundingClientRect();
    return [Math.max(0, Math.min(wide - 1, Math.floor(((event.clientX - area.left) / area.width) * wide))), Math.max(0, Math.min(high - 1, Math.floor(((event.clientY - area.top) / area.height) * high)))];
  };
  const at = ([x, y]) => known.get(labels[y * wide + x]);
  let from = null;
  canvas.addEventListener("pointerdown", (event) => { from = place(event); canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    const here = place(event), segment = at(here);
    over?.(segment);
    if (from && box && dragged(from, here)) paint(-1, corners(from, here));
    else paint(segment ? segment.label : -1);
  });
  canvas.addEventListener("pointerleave", () => { if (!from) clear(); });
  canvas.addEventListener("pointerup", (event) => {
    const here = place(event), began = from;
    from = null;
    if (!began) return;
    if (box && dragged(began, here)) {
      // In the pixels of the photo itself, which may be larger than the label map.
      const [scaleX, scaleY] = [width / wide, height / high];
      const [x0, y0, x1, y1] = corners(began, here);
      box([Math.floor(x0 * scaleX), Math.floor(y0 * scaleY), Math.ceil(x1 * scaleX), Math.ceil(y1 * scaleY)]);
    } else if (click && at(here)) click(at(here), event);
  });
  clear();
  figure.dataset.ready = "true";
  return (label) => (label === null ? clear() : paint(label));
};

const dragged = (a, b) => Math.abs(a[0] - b[0]) > 6 && Math.abs(a[1] - b[1]) > 6;
const corners = (a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
