// What the page does by itself. `element` is the component that holds an answer; listeners stand on it and find what
// was clicked within, so that they last when the answer is replaced.

const viewerOf = target => target.closest(".answer")?.querySelector(".viewer");

function look(viewer, layer) {
  viewer.dataset.layer = layer;
  viewer.querySelector(`input[name=layer][value=${layer}]`).checked = true;
  const opacity = viewer.querySelector("input[name=opacity]");
  if (layer === "heat" && opacity.value > 60) opacity.value = 60;  // else the radiograph is hidden
  if (layer === "lungs") opacity.value = 100;
  viewer.style.setProperty("--opacity", opacity.value / 100);
  chooseHeat(viewer);
}

function chooseHeat(viewer) {
  const finding = viewer.querySelector("select[name=finding]")?.value;
  for (const part of viewer.querySelectorAll("[data-finding]"))
    part.classList.toggle("chosen", part.dataset.finding === finding);
}

element.addEventListener("input", event => {
  const viewer = viewerOf(event.target);
  if (!viewer) return;
  const {name, value, checked} = event.target;
  if (name === "layer") look(viewer, value);
  if (name === "finding") chooseHeat(viewer);
  if (name === "outline") viewer.classList.toggle("bare", !checked);
  if (["opacity", "brightness", "contrast"].includes(name)) viewer.style.setProperty(`--${name}`, value / 100);
});

element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.heat) {
    const viewer = viewerOf(button);
    viewer.querySelector("select[name=finding]").value = button.dataset.heat;
    look(viewer, "heat");
    viewer.scrollIntoView({block: "nearest"});
  }
  if (button.dataset.angle)
    trigger("click", {angle: Number(button.dataset.angle), invert: button.dataset.invert === "1"});
});
