// Wheel, pinch, drag and keys on a picture. `element` is the component that holds it; listeners stand on it and find what
// was touched within, so that they last when it is replaced. All pictures of a component are zoomed and moved alike.

const MAX_ZOOM = 8;
const place = {zoom: 1, x: 0, y: 0};
const pointers = new Map();
const onPlace = [];  // called when the place has changed
let onDrag = () => false;  // (event, dx, dy) → whether the drag meant something else than to move the picture

const stage = () => element.querySelector(".stage");

function setPlace({zoom = place.zoom, x = place.x, y = place.y}) {
  const box = stage();
  if (!box) return;
  const within = (value, size) => Math.min((zoom - 1) / 2 * size, Math.max((1 - zoom) / 2 * size, value));
  Object.assign(place, {zoom, x: within(x, box.clientWidth), y: within(y, box.clientHeight)});
  for (const stack of element.querySelectorAll(".stack")) {
    stack.style.setProperty("--zoom", zoom);
    stack.style.transform = `translate(${place.x}px, ${place.y}px) scale(${zoom})`;
  }
  for (const one of element.querySelectorAll(".stage")) one.classList.toggle("zoomed", zoom > 1);
  for (const call of onPlace) call();
}

// x, y: the point that stays where it is, in pixels from the middle of the picture.
function zoomTo(zoom, x = 0, y = 0) {
  zoom = Math.min(MAX_ZOOM, Math.max(1, zoom));
  const grown = zoom / place.zoom;
  setPlace({zoom, x: x - (x - place.x) * grown, y: y - (y - place.y) * grown});
}

function fromMiddle(event) {
  const box = event.target.closest(".stage").getBoundingClientRect();
  return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
}

const ZOOM_KEYS = {
  "+": () => zoomTo(place.zoom * 1.5), "=": () => zoomTo(place.zoom * 1.5), "-": () => zoomTo(place.zoom / 1.5),
  ArrowLeft: () => setPlace({x: place.x + 40}), ArrowRight: () => setPlace({x: place.x - 40}),
  ArrowUp: () => setPlace({y: place.y + 40}), ArrowDown: () => setPlace({y: place.y - 40}),
};

// Keys count where nothing else takes them: on the page itself, on a picture, in full screen.
function onKeys(keys) {
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || !stage()?.getClientRects().length) return;
    const free = event.target === document.body || event.target.closest?.(".stage") || document.fullscreenElement;
    const key = {...ZOOM_KEYS, ...keys}[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!free || event.target.closest?.("button") || !key || (event.key.startsWith("Arrow") && place.zoom === 1)) return;
    event.preventDefault();
    key();
  });
}

element.addEventListener("wheel", event => {
  if (!event.target.closest(".stage") || (place.zoom === 1 && event.deltaY > 0)) return;  // else the page scrolls
  event.preventDefault();
  zoomTo(place.zoom * Math.exp(-event.deltaY / 300), ...fromMiddle(event));
}, {passive: false});

element.addEventListener("pointerdown", event => {
  const box = event.target.closest(".stage");
  if (!box || event.target.closest("button")) return;
  pointers.set(event.pointerId, event);
  if (event.pointerType === "mouse" || place.zoom > 1) box.setPointerCapture(event.pointerId);
});

element.addEventListener("pointermove", event => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  pointers.set(event.pointerId, event);
  const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
  if (pointers.size === 1) return onDrag(event, dx, dy) || setPlace({x: place.x + dx, y: place.y + dy});
  const other = [...pointers.values()].find(pointer => pointer.pointerId !== event.pointerId);
  const apart = pointer => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY);
  const box = stage().getBoundingClientRect();
  const middle = [(event.clientX + other.clientX - box.width) / 2 - box.left,
    (event.clientY + other.clientY - box.height) / 2 - box.top];
  zoomTo(place.zoom * apart(event) / Math.max(1, apart(before)), ...middle);
});

for (const end of ["pointerup", "pointercancel"])
  element.addEventListener(end, event => pointers.delete(event.pointerId));
