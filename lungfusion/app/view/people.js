// 100 people under a threshold: how many of the ill are found, how many of the healthy are named all the same. Shares
// are means over hospitals, each counting as much as another. `element` is the component that holds it.

const lesson = () => element.querySelector(".people-lesson");
const filled = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const logit = share => Math.log(share / (1 - share)), sigmoid = x => 1 / (1 + Math.exp(-x));
const chosen = () => lesson().querySelector("[name=people-finding]").selectedOptions[0];

function reach(groups, threshold) {
  const shares = groups.map(scores => scores.filter(score => score >= threshold).length / scores.length);
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

function count() {
  const part = name => lesson().querySelector(name), said = lesson().dataset;
  const scores = JSON.parse(chosen().dataset.scores);
  const threshold = sigmoid(Number(part("[name=people-threshold]").value)), ill = Number(part("[name=people-share]").value);
  const found = Math.round(ill * reach(scores.ill, threshold)), well = 100 - ill;
  const alarms = Math.round(well * reach(scores.healthy, threshold)), called = found + alarms;
  const kinds = [[found, "hit"], [ill - found, "miss"], [alarms, "alarm"], [well - alarms, "calm"]];
  part(".crowd").replaceChildren(...kinds.flatMap(([number, kind]) => Array.from({length: number}, () =>
    Object.assign(document.createElement("span"), {className: `person ${kind}`}))));
  const percent = new Intl.NumberFormat(document.documentElement.lang || "en", {style: "percent", maximumFractionDigits: 1});
  part(".at").textContent = filled(said.threshold, {share: percent.format(threshold)});
  part(".share").textContent = filled(said.share, {number: ill});
  part(".ill-said").textContent = filled(said.ill, {ill, found, missed: ill - found});
  part(".well-said").textContent = filled(said.well, {well, alarms});
  part(".called-said").textContent = called ? filled(said.called, {called, found}) : said.none;
  part(".where").textContent = chosen().dataset.where;
}

function own() {
  lesson().querySelector("[name=people-threshold]").value = logit(Number(chosen().dataset.at));
  count();
}

element.addEventListener("input", event => event.target.name === "people-finding" ? own() : count());
element.addEventListener("click", event => event.target.closest("[data-own]") && own());
let seen = null;
function begin() {
  if (!lesson() || lesson() === seen) return;
  seen = lesson();
  own();
}
new MutationObserver(begin).observe(element, {childList: true, subtree: true});
begin();  // it may have come before this script
