// The files of an answer, which the server makes when they are asked for. `element` is the component that holds an
// answer.

const files = new WeakMap();  // answer → kind → promise of its link
const requests = [];  // what becomes of each

function file(kind) {
  const answer = element.querySelector(".answer");
  if (!files.has(answer)) files.set(answer, {});
  const made = files.get(answer);
  return made[kind] ??= new Promise((resolve, reject) => {
    requests.push({resolve, reject: () => reject(delete made[kind])});
    trigger("submit", {file: kind, number: requests.length - 1});
  });
}

function save(name, href) {
  Object.assign(document.createElement("a"), {download: name, href}).click();
}

window.addEventListener("lungfusion:sent", () => {
  const sent = document.querySelector("#file a"), request = requests[sent?.dataset.number];
  if (!request) return;
  if (sent.download) request.resolve({name: sent.download, href: sent.href});
  else request.reject();
  delete requests[sent.dataset.number];
});

element.addEventListener("click", async event => {
  const button = event.target.closest("button[data-file]");
  if (!button || button.ariaBusy === "true") return;
  button.ariaBusy = "true";
  try {
    const {name, href} = await file(button.dataset.file);
    if (button.isConnected) save(name, href);
  } catch {  // the radiograph is deleted, which the server has said
  } finally {
    button.ariaBusy = "false";
  }
});
