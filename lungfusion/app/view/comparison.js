// How two radiographs are compared: side by side, by a divide between them, in turn, or by their difference. A choice
// lasts while other pictures come.

const BLINK = 700;  // ms that each of two is seen
const seen = {mode: "beside", divide: 50, outline: true, second: false};

const comparison = () => element.querySelector(".comparison");

function show() {
  const shown = comparison();
  if (!shown) return;
  const modes = [...shown.querySelectorAll("input[name=mode]")];
  const mode = modes.some(input => input.value === seen.mode) ? seen.mode : "beside";
  for (const input of modes) input.checked = input.value === mode;
  const slider = shown.querySelector("input[name=divide]"), outline = shown.querySelector("input[name=outline]");
  if (slider) slider.value = seen.divide;
  if (outline) outline.checked = seen.outline;
  shown.style.setProperty("--divide", `${seen.divide}%`);
  shown.dataset.mode = mode;
  shown.dataset.front = seen.second ? "second" : "first";
  shown.classList.toggle("bare", !seen.outline);
}

function look(changes) {
  Object.assign(seen, changes);
  show();
}

setInterval(() => {
  if (comparison()?.dataset.mode === "blink" && stage()?.getClientRects().length) look({second: !seen.second});
}, BLINK);

onDrag = (event, dx) => {
  if (comparison().dataset.mode !== "swipe" || place.zoom > 1) return false;
  look({divide: Math.min(100, Math.max(0, seen.divide + 100 * dx / stage().querySelector(".stack").clientWidth))});
  return true;
};
onKeys({"0": () => setPlace({zoom: 1}), o: () => look({outline: !seen.outline})});

element.addEventListener("input", event => {
  const {name, value, checked} = event.target;
  if (name === "mode") look({mode: value});
  if (name === "divide") look({divide: Number(value)});
  if (name === "outline") look({outline: checked});
});

element.addEventListener("dblclick", event => {
  if (event.target.closest(".stage")) setPlace({zoom: 1});
});

element.addEventListener("click", event => {
  if (event.target.closest("[data-exchange]")) document.querySelector("#exchange")?.click();
});

let known = null;  // the comparison that was there last
new MutationObserver(() => {
  if (comparison() === known) return;
  known = comparison();
  show();
  setPlace({zoom: 1});
}).observe(element, {childList: true, subtree: true});
