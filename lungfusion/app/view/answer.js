// What the buttons of an answer ask the server for: the same radiograph turned, or of somebody else; or another one.
// An answer says in its data what it is for. A click changes that at once, so that two quick turns count twice.

function ask(changes) {
  const answer = element.querySelector(".answer");
  const asked = answer ? Object.assign(answer.dataset, changes) : changes;
  answer?.classList.add("asking");
  trigger("click", {
    angle: Number(asked.angle ?? 0),
    invert: asked.invert === "1",
    mirror: asked.mirror === "1",
    by_hand: asked.byHand === "1",
    who: asked.who ?? "",
  });
}

element.addEventListener("click", event => {
  const button = event.target.closest("button"), answer = element.querySelector(".answer");
  if (!button) return;
  const {turn = 0, swap = 0, mirror = 0} = button.dataset;
  if (Number(turn) || Number(swap) || Number(mirror)) {
    const {angle, invert, mirror: mirrored} = answer.dataset;  // it is turned, then mirrored: a turn of what is seen is the other way
    const turned = Number(angle) + (mirrored === "1" ? -turn : Number(turn));
    ask({angle: turned, invert: String(invert ^ swap), mirror: String(mirrored ^ mirror), byHand: "1"});
  }
  if ("original" in button.dataset) ask({angle: 0, invert: "0", mirror: "0", byHand: "1"});
  if ("another" in button.dataset) document.querySelector("#upload input[type=file]")?.click();
  if ("compare" in button.dataset) document.querySelector("#compare-with")?.click();
  if ("restart" in button.dataset) {
    window.lungfusion?.address({example: null});
    document.querySelector("#restart")?.click();
  }
  if ("again" in button.dataset) {
    element.querySelector(".busy").classList.remove("over");
    ask({});
  }
});

element.addEventListener("input", event => {
  if (event.target.name === "who") ask({who: event.target.value});
});
