// How a radiograph is looked at. What was chosen outlives a turn, not a new image. zoom.js stands before it.

const FRESH = {layer: "xray", finding: "", outline: true, opacity: 100, window: 1, level: 0.5, negative: false, greys: false, flip: false, ruler: false};
const MIN_WINDOW = 0.02, DEEP_FROM = 1.5;  // zoom from which all pixels are asked for
let seen = {...FRESH};
let deep = null;  // {key, bits, values, canvas}: all pixels of one radiograph, once they are here
let asked = "";  // key of the radiograph whose pixels were asked for
let painting = 0;
let ends = null;  // of what the ruler measures: [[x, y], [x, y]], as shares of the picture
let settled = "";  // how `show` left the viewer: Gradio may write anew into the one that is there

const viewer = () => element.querySelector(".viewer");
const state = shown => [shown.dataset.layer, shown.dataset.key, shown.className].join(" ");
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

function show() {
  const shown = viewer();
  if (!shown) return;
  const layers = [...shown.querySelectorAll("input[name=layer]")];
  const front = layers.some(layer => layer.value === seen.layer) ? seen.layer : "xray";
  for (const layer of layers) layer.checked = layer.value === front;
  const select = shown.querySelector("select[name=finding]");
  if (select) {
    if ([...select.options].some(option => option.value === seen.finding)) select.value = seen.finding;
    seen.finding = select.value;
  }
  for (const part of shown.querySelectorAll("[data-finding]"))
    part.classList.toggle("chosen", part.dataset.finding === seen.finding);
  const sliders = {opacity: seen.opacity, brightness: 100 - 200 * seen.level, contrast: -25 * Math.log2(seen.window)};
  for (const [name, value] of Object.entries(sliders)) {
    const slider = shown.querySelector(`input[name=${name}]`);
    if (slider) slider.value = value;
  }
  shown.style.setProperty("--opacity", seen.opacity / 100);
  shown.dataset.layer = front;
  shown.classList.toggle("bare", !seen.outline);
  for (const name of ["greys", "flip", "ruler"]) shown.classList.toggle(name, seen[name]);
  for (const [name, on] of Object.entries({...seen, outline_tool: seen.outline}))
    shown.querySelector(`[data-lens=${name}]`)?.setAttribute("aria-pressed", on);
  shown.querySelector("output").textContent = measured(shown) || windowed(shown);
  showGreys(shown);
  settled = state(shown);
}

// Greys are told as the file's pixels hold them, from 0 to white.
function windowed(shown) {
  if (seen.window === 1 && seen.level === 0.5) return "";
  const white = 2 ** Number(shown.dataset.bits) - 1, grey = share => Math.round(white * share);
  return `W ${grey(seen.window)} · L ${grey(seen.level)} (0–${white})`;
}

function measured(shown) {
  const line = shown.querySelector(".measured"), {width, height, spacing} = shown.dataset;
  line.replaceChildren();
  if (!ends || !seen.ruler) return "";
  const [[x1, y1], [x2, y2]] = ends.map(([x, y]) => [x * width, y * height]);
  line.innerHTML = `<path d="M${x1} ${y1}L${x2} ${y2}"/>`;
  const length = Math.hypot(x2 - x1, y2 - y1);
  return spacing ? `${(length * spacing).toFixed(1)} mm` : `${Math.round(length)} px`;
}

// Window and level: at once by a filter over the small picture, and from all pixels as soon as they are here.
function showGreys(shown) {
  const sign = seen.negative ? -1 : 1, slope = sign / seen.window;
  const intercept = 0.5 - slope * seen.level;
  const changed = seen.window !== 1 || seen.level !== 0.5 || seen.negative;
  for (const part of shown.querySelectorAll("filter *[type=linear]")) {
    part.setAttribute("slope", slope);
    part.setAttribute("intercept", intercept);
  }
  shown.classList.toggle("filtered", changed);
  const fits = deep?.key === shown.dataset.key;
  shown.classList.toggle("is-deep", fits);
  if (fits) {
    if (deep.canvas.parentNode !== shown.querySelector(".stack")) shown.querySelector(".base").after(deep.canvas);
    cancelAnimationFrame(painting);
    painting = requestAnimationFrame(() => paint(slope, intercept));
  } else if (changed && !(seen.negative && seen.window === 1) || place.zoom >= DEEP_FROM) askAll(shown.dataset.key);
}

function paint(slope, intercept) {
  const {canvas, values, bits} = deep, most = 2 ** bits - 1, context = canvas.getContext("2d");
  const greys = Uint32Array.from({length: most + 1}, (_, value) => {
    const grey = clamp(Math.round(255 * (slope * value / most + intercept)), 0, 255);
    return 0xff000000 | grey << 16 | grey << 8 | grey;
  });
  const picture = context.createImageData(canvas.width, canvas.height), pixels = new Uint32Array(picture.data.buffer);
  for (let index = 0; index < values.length; index++) pixels[index] = greys[values[index]];
  context.putImageData(picture, 0, 0);
}

function askAll(key) {
  if (asked === key) return;
  asked = key;
  trigger("submit", {file: ""});
}

// What the server sent: differences along each row, the lower bytes before the higher ones, deflated.
window.addEventListener("lungfusion:sent", async () => {
  const sent = document.querySelector("#pixels [data-key]")?.dataset;
  if (!sent || sent.key !== viewer()?.dataset.key || deep?.key === sent.key) return;
  const packed = Uint8Array.from(atob(sent.pixels), letter => letter.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(unpacked).arrayBuffer());
  const width = Number(sent.width), height = Number(sent.height), count = width * height;
  const values = new Uint16Array(count);
  for (let index = 0, value = 0; index < count; index++) {
    value = (index % width ? value : 0) + bytes[index] + (bytes[count + index] << 8) & 0xffff;
    values[index] = value;
  }
  const canvas = Object.assign(document.createElement("canvas"), {width, height, className: "deep"});
  canvas.setAttribute("aria-hidden", "true");
  deep = {key: sent.key, bits: Number(sent.bits), values, canvas};
  show();
});

function look(changes) {
  seen = {...seen, ...changes};
  if (changes.layer) seen.opacity = changes.layer === "heat" ? 60 : 100;  // else heat hides the radiograph
  show();
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else {
    viewer().classList.remove("sheet-open");
    viewer().requestFullscreen?.();
  }
}

function reset() {
  setPlace({zoom: 1});
  ends = null;
  look({window: 1, level: 0.5, negative: false, flip: false});
}

function heatOf(number) {
  const option = viewer().querySelectorAll("select[name=finding] option")[number];
  if (!option) return;
  const again = seen.layer === "heat" && seen.finding === option.value;
  look(again ? {layer: "xray"} : {layer: "heat", finding: option.value});
}

const LENS = {
  zoom_in: ZOOM_KEYS["+"],
  zoom_out: ZOOM_KEYS["-"],
  reset_view: reset,
  greys: () => look({greys: !seen.greys, ruler: false}),
  negative: () => look({negative: !seen.negative}),
  full_screen: fullScreen,
  flip: () => look({flip: !seen.flip}),
  outline_tool: () => look({outline: !seen.outline}),
  ruler: () => {
    ends = null;
    look({ruler: !seen.ruler, greys: false});
  },
  sheet: () => {
    const open = viewer().classList.toggle("sheet-open");
    viewer().querySelector("[data-lens=sheet]").setAttribute("aria-expanded", open);
  },
};
const NUMBERS = Object.fromEntries([1, 2, 3, 4, 5, 6, 7].map(number => [number, () => heatOf(number - 1)]));
onKeys({...NUMBERS, "0": reset, f: fullScreen, i: LENS.negative, w: LENS.greys, o: LENS.outline_tool, x: LENS.flip, r: LENS.ruler});
onPlace.push(() => place.zoom >= DEEP_FROM && show());

// A drag measures, or sets the greys: sideways the window, wider to the right; up and down the level, brighter upwards.
// A mouse does so until the picture is larger than its frame: then it moves it.
onDrag = (event, dx, dy) => {
  if (seen.ruler && event.buttons !== 2) return measure(event, dx, dy);
  const byMouse = event.pointerType === "mouse" && place.zoom === 1;
  if (!(seen.greys || event.shiftKey || event.buttons === 2 || byMouse)) return false;
  const box = stage().getBoundingClientRect();
  look({
    window: clamp(seen.window * 2 ** (3 * dx / box.width), MIN_WINDOW, 4),
    level: clamp(seen.level + dy / box.height * seen.window, 0, 1),
  });
  return true;
};

let measuring = null;  // the pointer that does
function measure(event, dx, dy) {
  const box = viewer().querySelector(".stack").getBoundingClientRect();
  const share = (x, y) => [(seen.flip ? box.right - x : x - box.left) / box.width, (y - box.top) / box.height];
  const end = share(event.clientX, event.clientY);
  ends = [measuring === event.pointerId && ends ? ends[0] : share(event.clientX - dx, event.clientY - dy), end];
  measuring = event.pointerId;
  show();
  return true;
}
element.addEventListener("pointerdown", () => { measuring = null; });
element.addEventListener("contextmenu", event => event.target.closest(".stage") && event.preventDefault());

element.addEventListener("input", event => {
  const {name, value} = event.target;
  if (name === "layer" || name === "finding") look({[name]: value});
  if (name === "opacity") look({opacity: Number(value)});
  if (name === "brightness") look({level: (100 - Number(value)) / 200});
  if (name === "contrast") look({window: 2 ** (-Number(value) / 25)});
});

element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button?.dataset.lens) LENS[button.dataset.lens]();
  if (button?.dataset.low) {
    const low = Number(button.dataset.low), high = Number(button.dataset.high);
    look({window: high - low, level: (low + high) / 2});
  }
  if (button?.dataset.spot) {
    const [x, y, radius] = button.dataset.spot.split(" ").map(Number), {width, height} = viewer().dataset;
    const stack = viewer().querySelector(".stack"), zoom = clamp(Math.max(width, height) / radius / 6, 2, MAX_ZOOM);
    look({layer: "xray"});
    const across = (seen.flip ? 0.5 - x / width : x / width - 0.5) * stack.clientWidth;
    setPlace({zoom, x: -across * zoom, y: -(y / height - 0.5) * stack.clientHeight * zoom});
  }
  if (button?.dataset.heat) {
    look({layer: "heat", finding: button.dataset.heat});
    if (window === window.top && innerWidth < 900) viewer().scrollIntoView({block: "nearest"});
  }
});

element.addEventListener("dblclick", event => {
  if (event.target.closest(".stage") && !event.target.closest("button")) reset();
});

let known = null;  // the viewer that was there last
let waiting = null;  // and what said that a new image is being read: it may stand there for a while beside the answer
new MutationObserver(() => {
  const busy = element.querySelector(".busy");
  if (busy && busy !== waiting) {
    seen = {...FRESH};
    ends = null;
    setPlace({zoom: 1});
  }
  waiting = busy;
  const shown = viewer();
  if (shown === known && (!shown || state(shown) === settled)) return;
  known = shown;
  show();
  setPlace({});
}).observe(element, {attributeFilter: ["class", "data-key", "data-layer"], childList: true, subtree: true});
