"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const about = JSON.parse($("about").textContent);
  const buttons = () => [...document.querySelectorAll("#table button.open")];
  const colours = about.classes.map(({ colour }) => [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16)));
  const FALSE_POSITIVE = [255, 127, 14], FALSE_NEGATIVE = [61, 165, 255], BOTH = [227, 119, 194];
  const IGNORED = -1;

  $("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // Tables: numbers by value, texts as a person orders them; "–" is nothing and stays at the end.
  const valueOf = (row, column) => row.cells[column].textContent.trim();
  const compare = (a, b) => {
    const x = Number.parseFloat(a), y = Number.parseFloat(b);
    return /^[-+.\d]/.test(a) && /^[-+.\d]/.test(b) && x !== y ? x - y : a.localeCompare(b, undefined, { numeric: true });
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const body = table.tBodies[0];
      const empty = (row) => ["", "–"].includes(valueOf(row, column));
      const rows = [...body.rows].sort((a, b) =>
        empty(a) - empty(b) || sign * compare(valueOf(a, column), valueOf(b, column)));
      body.append(...rows);
    }));
  }

  // The viewer.
  const dialog = $("viewer");
  if (!dialog) return;
  const canvas = $("canvas"), context = canvas.getContext("2d");
  const overlay = document.createElement("canvas"), painter = overlay.getContext("2d");
  const shown = colours.map(() => true);
  let view = null, zoom = 1, pan = [0, 0], asked = 0, paths = [];

  const unpack = async (packed) => {
    if (!packed) return null;
    const bytes = Uint8Array.from(atob(packed.codes), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const raw = await new Response(stream).arrayBuffer();
    return { table: packed.table, codes: packed.bytes === 1 ? new Uint8Array(raw) : new Uint16Array(raw) };
  };

  const load = async (number) => {
    const data = JSON.parse($("case-" + number).textContent);
    const image = new Image();
    image.src = data.image;
    const [truth, pred] = await Promise.all([unpack(data.truth), unpack(data.pred), image.decode()]);
    return { number, data, image, truth, pred };
  };

  const open = async (number) => {
    const turn = ++asked;
    const loaded = await load(number);
    if (turn !== asked) return;
    view = loaded;
    const known = about.cases[number], { size, slices } = view.data;
    $("viewer-title").textContent = known.name;
    $("viewer-words").textContent = known.words;
    $("here").textContent = "";
    $("slice").max = size[0] - 1;
    $("slice").value = Math.floor(size[0] / 2);
    $("slice-row").hidden = slices.length < 2;
    for (const [id, there] of [["truth", view.truth], ["pred", view.pred], ["errors", view.truth && view.pred]]) $("show-" + id).disabled = !there;
    [...$("classes").children].forEach((item, k) => { item.querySelector(".dice").textContent = known.classes[about.classes[k].name] ?? ""; });
    zoom = 1;
    pan = [0, 0];
    if (!dialog.open) dialog.showModal();
    paint();
    canvas.dataset.case = number;
    canvas.focus();
  };

  // What is painted for a pair of codes is the same everywhere: looked up once.
  const remembered = (make) => {
    const found = new Map();
    return (a, b) => {
      const key = a * 65536 + b;
      let value = found.get(key);
      if (value === undefined) found.set(key, value = make(a, b));
      return value;
    };
  };
  const packed = ([red, green, blue], alpha) => ((Math.round(alpha * 255) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  const mean = (members) => [0, 1, 2].map((k) => Math.round(members.reduce((sum, m) => sum + colours[m][k], 0) / members.length));
  const visible = (members) => members.filter((k) => k !== IGNORED && shown[k]);

  const paint = () => {
    if (!view) return;
    const { truth, pred, data: { size: [, height, width], slices } } = view;
    const z = Number($("slice").value), start = z * height * width, alpha = $("opacity").value / 100;
    $("slice-number").textContent = slices[z];
    const outlines = $("show-truth").checked && truth, fills = $("show-pred").checked && pred;
    const errors = $("show-errors").checked && truth && pred;
    overlay.width = width;
    overlay.height = height;
    const out = painter.createImageData(width, height), pixels = new Uint32Array(out.data.buffer);
    // Fainter beside errors, whose three colours resemble some of the classes'.
    const fill = remembered((code) => {
      const members = visible(pred.table[code]);
      return members.length ? packed(mean(members), errors ? alpha / 3 : alpha) : 0;
    });
    const wrong = remembered((t, p) => {
      if (truth.table[t].includes(IGNORED)) return 0;
      const there = visible(truth.table[t]), said = visible(pred.table[p]);
      const extra = said.some((k) => !there.includes(k)), missed = there.some((k) => !said.includes(k));
      return extra || missed ? packed(extra && missed ? BOTH : extra ? FALSE_POSITIVE : FALSE_NEGATIVE, Math.max(alpha, 0.7)) : 0;
    });
    // Outlines run between pixels and are drawn as lines, thin at every zoom: a path for each class.
    const between = remembered((a, b) => {
      const one = visible(truth.table[a]), other = visible(truth.table[b]);
      return [...one.filter((m) => !other.includes(m)), ...other.filter((m) => !one.includes(m))];
    });
    paths = outlines ? colours.map(() => new Path2D()) : [];
    const trace = (a, b, x0, y0, x1, y1) => {
      if (a !== b) for (const m of between(a, b)) { paths[m].moveTo(x0, y0); paths[m].lineTo(x1, y1); }
    };
    for (let y = 0, k = 0; y < height; y++) {
      for (let x = 0; x < width; x++, k++) {
        const at = start + k;
        let colour = errors ? wrong(truth.codes[at], pred.codes[at]) : 0;
        if (!colour && fills) colour = fill(pred.codes[at], 0);
        if (outlines) {
          if (x > 0) trace(truth.codes[at], truth.codes[at - 1], x, y, x, y + 1);
          if (y > 0) trace(truth.codes[at], truth.codes[at - width], x, y, x + 1, y);
        }
        pixels[k] = colour;
      }
    }
    painter.putImageData(out, 0, 0);
    draw();
  };

  const fitted = () => {
    const { size: [, height, width], aspect } = view.data;
    const scale = zoom * Math.min(canvas.width / width, canvas.height / (height * aspect));
    return { width: width * scale, height: height * aspect * scale };
  };
  const draw = () => {
    if (!view || !dialog.open) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    const { size: [, rows, columns], columns: across } = view.data, z = Number($("slice").value), to = fitted();
    const left = (canvas.width - to.width) / 2 + pan[0] * to.width, top = (canvas.height - to.height) / 2 + pan[1] * to.height;
    context.imageSmoothingEnabled = false;
    if ($("show-image").checked) {
      context.drawImage(view.image, (z % across) * columns, Math.floor(z / across) * rows, columns, rows, left, top, to.width, to.height);
    }
    context.drawImage(overlay, left, top, to.width, to.height);
    const matrix = new DOMMatrix([to.width / columns, 0, 0, to.height / rows, left, top]);
    context.lineWidth = 1.5 * ratio;
    paths.forEach((path, k) => {
      const onScreen = new Path2D();
      onScreen.addPath(path, matrix);
      context.strokeStyle = about.classes[k].colour;
      context.stroke(onScreen);
    });
    $("zoom").textContent = Math.round(zoom * 100) + " %";
  };
  const setZoom = (value) => { zoom = Math.min(32, Math.max(0.5, value)); if (zoom <= 1) pan = [0, 0]; draw(); };

  // The list of classes.
  about.classes.forEach(({ name, colour }, k) => {
    const item = document.createElement("li"), label = document.createElement("label"), box = document.createElement("input");
    const swatch = document.createElement("span"), dice = document.createElement("span");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => { shown[k] = box.checked; paint(); });
    swatch.className = "swatch";
    swatch.style.background = colour;
    dice.className = "dice";
    label.append(dice, box, " ", swatch, ` ${k + 1} ${name}`);
    item.append(label);
    $("classes").append(item);
  });
  const showAll = (value) => {
    shown.fill(value);
    $("classes").querySelectorAll("input").forEach((box) => { box.checked = value; });
    paint();
  };
  $("all").addEventListener("click", () => showAll(true));
  $("none").addEventListener("click", () => showAll(false));

  for (const id of ["show-truth", "show-pred", "show-errors"]) $(id).addEventListener("change", paint);
  for (const id of ["opacity", "slice"]) $(id).addEventListener("input", paint);
  $("show-image").addEventListener("change", draw);
  $("closer").addEventListener("click", () => setZoom(zoom * 1.5));
  $("farther").addEventListener("click", () => setZoom(zoom / 1.5));
  $("whole").addEventListener("click", () => { pan = [0, 0]; setZoom(1); });
  $("close").addEventListener("click", () => dialog.close());
  window.addEventListener("resize", draw);

  const move = (by) => {
    const numbers = buttons().map((button) => button.dataset.case);
    const next = numbers[numbers.indexOf(String(view.number)) + by];
    if (next !== undefined) open(next);
  };
  $("before").addEventListener("click", () => move(-1));
  $("after").addEventListener("click", () => move(1));
  const slide = (by) => { $("slice").value = Number($("slice").value) + by; paint(); };
  const toggle = (id) => () => { if (!$(id).disabled) $(id).click(); };
  const keys = {
    ArrowLeft: () => move(-1), ArrowRight: () => move(1), "[": () => slide(-1), "]": () => slide(1), "+": () => setZoom(zoom * 1.5),
    "=": () => setZoom(zoom * 1.5), "-": () => setZoom(zoom / 1.5), 0: () => { pan = [0, 0]; setZoom(1); },
    i: toggle("show-image"), t: toggle("show-truth"), p: toggle("show-pred"), e: toggle("show-errors"),
  };
  dialog.addEventListener("keydown", (event) => {
    const isSlider = event.target.type === "range" && event.key.startsWith("Arrow");
    if (isSlider || event.ctrlKey || event.altKey || event.metaKey || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });

  canvas.addEventListener("wheel", (event) => { event.preventDefault(); setZoom(zoom * (event.deltaY < 0 ? 1.2 : 1 / 1.2)); }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  // Many classes cannot be told by colour alone: their names stand above the picture.
  const tell = (event, ratio, to) => {
    const { size: [, height, width] } = view.data, corner = canvas.getBoundingClientRect();
    const [x, y] = [[event.clientX - corner.left, canvas.width, to.width, pan[0], width],
      [event.clientY - corner.top, canvas.height, to.height, pan[1], height]]
      .map(([at, full, side, by, num]) => Math.floor((at * ratio - (full - side) / 2 - by * side) / side * num));
    const inside = x >= 0 && y >= 0 && x < width && y < height;
    const names = (map) => map.table[map.codes[(Number($("slice").value) * height + y) * width + x]]
      .map((k) => (k === IGNORED ? "unlabelled" : about.classes[k].name)).join(", ") || "nothing";
    const parts = [["truth", view.truth], ["prediction", view.pred]].filter(([, map]) => map);
    $("here").textContent = inside ? parts.map(([what, map]) => `${what}: ${names(map)}`).join("; ") : "";
  };
  canvas.addEventListener("pointermove", (event) => {
    if (!view) return;
    const ratio = canvas.width / canvas.clientWidth, to = fitted();
    tell(event, ratio, to);
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    pan = [pan[0] + (event.movementX * ratio) / to.width, pan[1] + (event.movementY * ratio) / to.height];
    draw();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.open");
    if (button) open(button.dataset.case);
  });
})();
