// The walk: one step is seen at a time, a small picture becomes the large one, a click marks where one would look, and
// a brush covers a part of the radiograph. `element` is the component that holds it.

const CELLS = 32, BRUSH = 2.2;  // of the covered picture: rows and columns, and the brush's radius in them
const first = Math.max(0, Number(new URLSearchParams(location.search).get("step") ?? 1) - 1);  // ?step=NUMBER
let step = first, mark = null, covered = new Uint8Array(CELLS * CELLS), cursor = [CELLS / 2, CELLS / 2], painting = false;

const walk = () => element.querySelector(".walk");

function show() {
  if (!walk()) return;
  const steps = [...walk().querySelectorAll(".step")];
  step = Math.max(0, Math.min(steps.length - 1, step));
  steps.forEach((one, number) => one.hidden = number !== step);
  walk().querySelectorAll("[data-go]").forEach((button, number) =>
    number === step ? button.setAttribute("aria-current", "step") : button.removeAttribute("aria-current"));
  walk().querySelector("[data-move='-1']").disabled = step === 0;
  walk().querySelector("[data-move='1']").disabled = step === steps.length - 1;
  walk().classList.toggle("has-mark", mark !== null);
  for (const picture of walk().querySelectorAll("[data-whole]")) {
    picture.querySelector(".mark")?.remove();
    if (!mark) continue;
    const dot = picture.appendChild(Object.assign(document.createElement("span"), {className: "mark"}));
    Object.assign(dot.style, {left: `${100 * mark[0]}%`, top: `${100 * mark[1]}%`});
  }
  draw();
}

function choose(button) {
  const figure = button.closest(".step").querySelector(".large"), picture = button.querySelector("img");
  for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
  const caption = button.querySelector("span").textContent;
  Object.assign(figure.querySelector("img"), {src: picture.src, alt: caption});
  figure.querySelector("figcaption").textContent = caption;
}

// The brush

function draw() {
  const canvas = walk()?.querySelector("canvas");
  if (!canvas) return;
  canvas.width = canvas.height = CELLS * 8;
  const context = canvas.getContext("2d");
  context.fillStyle = "rgb(128 128 128 / 92%)";
  covered.forEach((on, place) => on && context.fillRect(place % CELLS * 8, Math.floor(place / CELLS) * 8, 8, 8));
  if (canvas.parentElement.matches(":focus-visible")) {
    context.strokeStyle = "#56b4e9";
    context.lineWidth = 2;
    context.strokeRect((cursor[0] - BRUSH) * 8, (cursor[1] - BRUSH) * 8, BRUSH * 16, BRUSH * 16);
  }
}

function paint(x, y) {
  for (let place = 0; place < covered.length; place++)
    if (Math.hypot(place % CELLS + 0.5 - x, Math.floor(place / CELLS) + 0.5 - y) <= BRUSH) covered[place] = 1;
  draw();
}

const place = (event, box) => [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
const under = event => place(event, walk().querySelector(".brush").getBoundingClientRect()).map(share => CELLS * share);
const ask = () => trigger("submit", {covered: covered.join("")});

element.addEventListener("pointerdown", event => {
  if (!event.target.closest(".brush")) return;
  painting = true;
  event.target.closest(".brush").setPointerCapture(event.pointerId);
  paint(...under(event));
});
element.addEventListener("pointermove", event => painting && paint(...under(event)));
for (const end of ["pointerup", "pointercancel"])
  element.addEventListener(end, () => {
    if (painting) ask();
    painting = false;
  });

element.addEventListener("keydown", event => {
  if (!event.target.classList.contains("brush")) return;
  const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}, move = moves[event.key];
  if (!move && event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  if (move) cursor = cursor.map((value, axis) => Math.max(0, Math.min(CELLS, value + move[axis])));
  else {
    paint(...cursor);
    ask();
  }
  draw();
});
element.addEventListener("focusin", draw);

element.addEventListener("click", event => {
  const button = event.target.closest("button"), whole = event.target.closest("[data-whole]");
  if (whole) {
    mark = place(event, whole.getBoundingClientRect());
    show();
  }
  if (!button) return;
  const {go, move, picture} = button.dataset;
  if (go) step = Number(go);
  if (move) step += Number(move);
  if (go || move) {
    show();
    window.lungfusion?.address({step: step ? step + 1 : null}, true);
    walk().querySelector(".step:not([hidden]) h2").focus({preventScroll: true});
  }
  if (picture) choose(button);
  if ("uncover" in button.dataset) {
    covered.fill(0);
    draw();
    walk().querySelector(".cover-said").replaceChildren();
  }
});

let before = null;
new MutationObserver(() => {
  if (!walk() || walk() === before) return;
  step = before ? 0 : first;
  before = walk();
  mark = null;
  covered.fill(0);
  show();
}).observe(element, {childList: true, subtree: true});

// What covering has changed comes into a component of its own: it is shown beside the brush.

const answers = document.querySelector("#covered");
if (answers)
  new MutationObserver(() => walk()?.querySelector(".cover-said")?.replaceChildren(
    ...[...answers.querySelectorAll("table.covered")].map(table => table.cloneNode(true)),
  )).observe(answers, {childList: true, subtree: true});
