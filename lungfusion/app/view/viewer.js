// How a radiograph is looked at. `element` is the component that holds an answer; listeners stand on it and find what
// was touched within, so that they last when the answer is replaced. What was chosen outlives a turn, not a new image.

const MAX_ZOOM = 8;
const FRESH = {layer: "xray", finding: "", outline: true, opacity: 100, brightness: 100, contrast: 100, negative: false};
const CENTRED = {zoom: 1, x: 0, y: 0};
let seen = {...FRESH, ...CENTRED};
const pointers = new Map();

const viewer = () => element.querySelector(".viewer");
const stage = () => element.querySelector(".stage");

function show() {
  const shown = viewer();
  if (!shown) return;
  const layers = [...shown.querySelectorAll("input[name=layer]")];
  if (!layers.some(layer => layer.value === seen.layer)) seen.layer = "xray";
  for (const layer of layers) layer.checked = layer.value === seen.layer;
  const select = shown.querySelector("select[name=finding]");
  if (select) {
    if ([...select.options].some(option => option.value === seen.finding)) select.value = seen.finding;
    seen.finding = select.value;
  }
  for (const part of shown.querySelectorAll("[data-finding]"))
    part.classList.toggle("chosen", part.dataset.finding === seen.finding);
  for (const name of ["opacity", "brightness", "contrast"]) {
    const slider = shown.querySelector(`input[name=${name}]`);
    if (slider) slider.value = seen[name];
    shown.style.setProperty(`--${name}`, seen[name] / 100);
  }
  const outline = shown.querySelector("input[name=outline]");
  if (outline) outline.checked = seen.outline;
  shown.dataset.layer = seen.layer;
  shown.classList.toggle("bare", !seen.outline);
  shown.classList.toggle("as-negative", seen.negative);
  shown.querySelector(".stack").style.transform = `translate(${seen.x}px, ${seen.y}px) scale(${seen.zoom})`;
  shown.classList.toggle("zoomed", seen.zoom > 1);
}

function look(changes) {
  seen = {...seen, ...changes};
  if (changes.layer) seen.opacity = changes.layer === "heat" ? 60 : 100;  // else heat hides the radiograph
  show();
}

// x, y: the point that stays where it is, in pixels from the middle of the picture.
function zoomTo(zoom, x = 0, y = 0) {
  zoom = Math.min(MAX_ZOOM, Math.max(1, zoom));
  const grown = zoom / seen.zoom;
  moveTo({zoom, x: x - (x - seen.x) * grown, y: y - (y - seen.y) * grown});
}

function moveTo(place) {
  const {zoom, x, y} = {...seen, ...place}, box = stage();
  const far = size => (zoom - 1) / 2 * size;
  const within = (value, most) => Math.min(most, Math.max(-most, value));
  look({zoom, x: within(x, far(box.clientWidth)), y: within(y, far(box.clientHeight))});
}

function fromMiddle(event) {
  const box = stage().getBoundingClientRect();
  return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else viewer().requestFullscreen?.();
}

const LENS = {
  zoom_in: () => zoomTo(seen.zoom * 1.5),
  zoom_out: () => zoomTo(seen.zoom / 1.5),
  reset_view: () => look({...CENTRED, brightness: 100, contrast: 100, negative: false}),
  negative: () => look({negative: !seen.negative}),
  full_screen: fullScreen,
};
const KEYS = {
  "+": LENS.zoom_in, "=": LENS.zoom_in, "-": LENS.zoom_out, "0": LENS.reset_view, f: fullScreen, i: LENS.negative,
  o: () => look({outline: !seen.outline}),
  ArrowLeft: () => moveTo({x: seen.x + 40}), ArrowRight: () => moveTo({x: seen.x - 40}),
  ArrowUp: () => moveTo({y: seen.y + 40}), ArrowDown: () => moveTo({y: seen.y - 40}),
};

element.addEventListener("input", event => {
  const {name, value, checked} = event.target;
  if (name === "layer" || name === "finding") look({[name]: value});
  if (name === "outline") look({outline: checked});
  if (["opacity", "brightness", "contrast"].includes(name)) look({[name]: Number(value)});
});

element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button?.dataset.lens) LENS[button.dataset.lens]();
  if (button?.dataset.heat) {
    look({layer: "heat", finding: button.dataset.heat});
    if (window === window.top) viewer().scrollIntoView({block: "nearest"});
  }
});

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || !stage()?.getClientRects().length) return;
  const free = event.target === document.body || event.target.closest?.(".stage") || document.fullscreenElement;
  const key = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!free || !key || (event.key.startsWith("Arrow") && seen.zoom === 1)) return;
  event.preventDefault();
  key();
});

element.addEventListener("wheel", event => {
  if (!event.target.closest(".stage") || (seen.zoom === 1 && event.deltaY > 0)) return;  // else the page scrolls
  event.preventDefault();
  zoomTo(seen.zoom * Math.exp(-event.deltaY / 300), ...fromMiddle(event));
}, {passive: false});

element.addEventListener("dblclick", event => {
  if (event.target.closest(".stage") && !event.target.closest("button")) LENS.reset_view();
});

element.addEventListener("pointerdown", event => {
  if (!event.target.closest(".stage") || event.target.closest("button")) return;
  pointers.set(event.pointerId, event);
  if (seen.zoom > 1) stage().setPointerCapture(event.pointerId);
});

element.addEventListener("pointermove", event => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  pointers.set(event.pointerId, event);
  if (pointers.size === 1)
    return moveTo({x: seen.x + event.clientX - before.clientX, y: seen.y + event.clientY - before.clientY});
  const other = [...pointers.values()].find(pointer => pointer.pointerId !== event.pointerId);
  const apart = pointer => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY);
  zoomTo(seen.zoom * apart(event) / Math.max(1, apart(before)), ...fromMiddle(event));
});

for (const end of ["pointerup", "pointercancel"])
  element.addEventListener(end, event => pointers.delete(event.pointerId));

new MutationObserver(() => {
  if (element.querySelector(".busy")) seen = {...FRESH, ...CENTRED};
  show();
}).observe(element, {childList: true, subtree: true});
