// The files of an answer, which the server makes when they are asked for. `element` is the component that holds an
// answer; the browser may keep its element for the next one, so that its moment alone tells answers apart.

const requests = [];  // what becomes of each
const moment = () => element.querySelector(".answer")?.dataset.moment;
let files = {of: "", made: {}};  // of an answer: kind → promise of its link

function file(kind) {
  if (files.of !== moment()) files = {of: moment(), made: {}};
  const {of, made} = files;
  return made[kind] ??= new Promise((resolve, reject) => {
    requests.push(link => of === moment() && link.download ? resolve(link) : reject(delete made[kind]));
    trigger("submit", {file: kind, number: requests.length - 1});
  });
}

function save(name, href) {
  Object.assign(document.createElement("a"), {download: name, href}).click();
}

window.addEventListener("lungfusion:sent", () => {
  const link = document.querySelector("#file a");
  requests[link?.dataset.number]?.({download: link.download, href: link.href});
  delete requests[link?.dataset.number];
});

element.addEventListener("click", async event => {
  const button = event.target.closest("button[data-file]");
  if (!button || button.ariaBusy === "true") return;
  button.ariaBusy = "true";
  try {
    const {download, href} = await file(button.dataset.file);
    save(download, href);
  } catch {  // the radiograph is deleted, which the server has said, or another answer stands here
  } finally {
    button.ariaBusy = "false";
  }
});
