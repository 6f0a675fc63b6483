// What holds for the page as a whole: run once, as it opens. Files may be dropped and pasted anywhere, the address says
// what is seen, links choose rooms, and whatever goes wrong is said in the visitor's language and can be tried again.

() => {
  const asked = () => new URLSearchParams(location.search);
  const isShown = element => element.getClientRects().length > 0;
  const find = (selector, within = document) => within.querySelector(selector);
  const says = document.querySelector(".says").dataset;
  document.querySelector("#first")?.remove();
  const embedded = asked().get("view") === "embed";
  document.body.classList.toggle("embed", embedded);
  document.body.classList.toggle("quiz-alone", embedded && asked().has("quiz"));

  // Files go to the room in front; into its last field where none is empty

  const FIELDS = {analyse: ["upload"], steps: ["upload"], compare: ["compare-first", "compare-second"], many: ["many-files"], about: ["upload"]};
  let again = null;  // what was tried last
  let last = null;  // and which files, for which field, if it was some

  function fieldOf(room) {
    const fields = FIELDS[room].map(name => document.getElementById(name)).filter(Boolean);
    return fields.find(field => field.querySelector("input[type=file]") && !field.querySelector(".file-preview")) ?? fields.pop();
  }
  async function give(files, field = fieldOf(room())) {
    for (let wait = 0; !field && wait < 100; wait++) {  // a page that has just begun
      await new Promise(done => setTimeout(done, 50));
      field = fieldOf(room());
    }
    if (!files?.length || !field) return;
    const input = field.querySelector("input[type=file]") ?? await emptied(field);
    if (!input) return;
    const kept = new DataTransfer();
    for (const file of input.multiple ? files : [files[0]]) kept.items.add(file);
    input.files = kept.files;
    input.dispatchEvent(new Event("change", {bubbles: true}));
  }
  function sending(field, files) {
    if (!files.length) return;
    again = () => give(files, field);
    last = {field: field.id, files};
    if (field.id === "upload") waiting(files[0]);
    for (const place of document.querySelectorAll(`[data-count="${field.id}"]`)) place.textContent = place.dataset.said.replace("#", files.length);
  }
  async function emptied(field) {
    field.querySelector("[aria-label=Clear], .icon-button-wrapper button, .clear-button")?.click();
    for (let wait = 0; wait < 20; wait++) {
      await new Promise(done => setTimeout(done, 50));
      if (field.querySelector("input[type=file]")) return field.querySelector("input[type=file]");
    }
  }
  function example(name, title) {
    again = () => example(name, title);
    address({example: title ?? name.replace(/^phantom_|\.\w+$/g, "")});
    if (room() !== "analyse" && room() !== "steps") enter("analyse");
    window.lungfusion_example(name);
  }

  document.addEventListener("paste", event => give(event.clipboardData.files));
  document.addEventListener("dragover", event => {
    event.preventDefault();
    if ([...event.dataTransfer.types].includes("Files")) document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", event => event.relatedTarget ?? document.body.classList.remove("dropping"));
  document.addEventListener("drop", event => {
    document.body.classList.remove("dropping");
    if (event.defaultPrevented) return;
    event.preventDefault();
    give(event.dataTransfer.files);
  });
  document.addEventListener("change", event => {
    const own = event.target.type === "file" && event.target.closest(Object.values(FIELDS).flat().map(name => `#${name}`).join());
    if (own) sending(own, [...event.target.files]);
    if (!event.target.matches?.("[data-photo], [data-pick]")) return;
    give(event.target.files, document.getElementById(event.target.dataset.pick) ?? undefined);
    event.target.value = "";
  });
  document.addEventListener("click", async event => {
    const button = event.target.closest?.("[data-choose], [data-paste], [data-example], [data-retry], [data-run], [data-stop], [data-restart]");
    if (!button || button.closest("#answer [data-restart]")) return;
    const {choose, example: name, title} = button.dataset;
    if (choose !== undefined) {
      const field = document.getElementById(choose) ?? fieldOf(room());
      (field.querySelector("input[type=file]") ?? await emptied(field))?.click();
    }
    if (name) example(name, title);
    if ("paste" in button.dataset) await pasted();
    if ("retry" in button.dataset) {
      quiet();
      again?.();
    }
    if ("run" in button.dataset) find("#many-run")?.click();
    if ("stop" in button.dataset) find("#many-stop")?.click();
    if ("restart" in button.dataset && button.matches(".brand")) {
      event.preventDefault();
      enter("analyse");
      address({example: null, step: null});
      find("#restart")?.click();
    }
  });
  async function pasted() {
    try {
      const files = [];
      for (const item of await navigator.clipboard.read())
        for (const type of item.types.filter(type => type.startsWith("image/")))
          files.push(new File([await item.getType(type)], `pasted.${type.split("/")[1]}`, {type}));
      files.length ? give(files) : say(says.nothing);
    } catch {
      say(says.nothing);
    }
  }
  if (asked().get("file"))  // a case of one's own: the browser fetches it, the server does not
    fetch(asked().get("file")).then(async answer => {
      if (!answer.ok) throw new Error(answer.status);
      const name = new URL(answer.url).pathname.split("/").pop() || "file";
      give([new File([await answer.blob()], name)]);
    }).catch(() => say(says.unfetched));

  // The address, and the rooms

  const ROOMS = ["analyse", "steps", "compare", "many", "about"];
  const room = () => document.body.dataset.room ?? "analyse";
  let known = asked().get("example");

  function address(changes, replace = false) {
    const here = new URL(location.href);
    for (const [name, value] of Object.entries(changes))
      value ? here.searchParams.set(name, value) : here.searchParams.delete(name);
    if (here.href !== location.href) history[replace ? "replaceState" : "pushState"](null, "", here);
    known = asked().get("example");
    linkOut();
  }
  function linkOut() {
    const open = new URL(location.href);
    open.searchParams.delete("view");
    for (const link of document.querySelectorAll(".embed-line a")) Object.assign(link, {href: open, target: "_blank"});
  }
  const tabs = () => [...document.querySelectorAll("#rooms .tab-container:not(.visually-hidden) [role=tab]")];
  function enter(name) {
    tabs()[ROOMS.indexOf(name)]?.click();
    scrollTo(0, 0);
  }
  function seeRoom() {
    const name = ROOMS[tabs().findIndex(tab => tab.getAttribute("aria-selected") === "true")];
    if (!name || name === document.body.dataset.room) return;
    const first = !document.body.dataset.room;
    document.body.dataset.room = name;
    for (const link of document.querySelectorAll("[data-room]"))
      if (!link.matches("body")) Object.assign(link, {ariaSelected: String(link.dataset.room === name), tabIndex: link.dataset.room === name ? 0 : -1});
    if (!first) address({tab: name === "analyse" ? null : name});
  }
  new MutationObserver(seeRoom).observe(document.body, {subtree: true, attributeFilter: ["aria-selected"], childList: true});
  seeRoom();
  linkOut();
  document.addEventListener("click", event => {
    const link = event.target.closest?.("a[data-room]");
    if (link && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      enter(link.dataset.room);
    }
    const menu = find("details.languages[open]");
    if (menu && !menu.contains(event.target)) menu.open = false;
  });
  const MOVES = {ArrowLeft: -1, ArrowRight: 1, Home: -ROOMS.length, End: ROOMS.length};
  document.addEventListener("keydown", event => {  // as in any list of tabs (ARIA Authoring Practices)
    const link = event.target.closest?.(".rooms a"), move = MOVES[event.key];
    if (!link || !move || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const last = ROOMS.length - 1, to = ROOMS.indexOf(link.dataset.room) + move;
    const next = ROOMS[Math.abs(move) > 1 ? Math.max(0, Math.min(last, to)) : (to + ROOMS.length) % ROOMS.length];
    enter(next);
    find(`.rooms a[data-room=${next}]`).focus();
  });
  window.addEventListener("popstate", () => {
    linkOut();
    const name = ROOMS.includes(asked().get("tab")) ? asked().get("tab") : "analyse";
    if (name !== room()) {
      document.body.dataset.room = name;
      enter(name);
    }
    if (asked().get("example") === known) return;
    known = asked().get("example");
    known ? window.lungfusion_example(known) : find("#restart")?.click();
  });

  // A language keeps what is seen

  document.addEventListener("click", event => {
    const link = event.target.closest?.(".languages a");
    if (!link) return;
    event.preventDefault();
    const there = new URL(location.href);
    there.searchParams.set("lang", link.lang);
    location.assign(there);
  });
  document.addEventListener("keydown", event => {
    if (event.key === "Escape") for (const menu of document.querySelectorAll("details.languages[open]")) menu.open = false;
  });

  // While an answer is awaited: the picture that was sent, the place in the queue; and what to do if none comes

  const busy = () => document.querySelector("#answer .busy");
  let sent = "";
  function waiting(file) {
    document.body.classList.add("sending");
    URL.revokeObjectURL(sent);
    sent = /^image\/(png|jpeg|webp|bmp)$/.test(file.type) ? URL.createObjectURL(file) : "";
  }
  new MutationObserver(() => {
    if (busy()) document.body.classList.remove("sending");
    if (!sent || !busy() || busy().querySelector(".sent")) return;
    const picture = Object.assign(new Image(), {src: sent, alt: "", className: "sent"});
    picture.onload = () => busy()?.prepend(picture);
    sent = "";
  }).observe(document.body, {childList: true, subtree: true});

  async function readPlaces(stream) {
    const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const ranks = [...read.value.matchAll(/"msg": ?"estimation".*?"rank": ?(\d+)/g)], place = busy()?.querySelector(".place");
      if (!ranks.length || !place) continue;
      const before = Number(ranks.pop()[1]);
      place.textContent = before ? place.dataset.before.replace("#", before) : "";
    }
  }
  function failed(sentence) {
    document.body.classList.remove("sending");
    find("#answer .asking")?.classList.remove("asking");
    if (!busy() || busy().classList.contains("over")) return say(sentence, true);
    busy().classList.add("over");
    busy().querySelector(".message").textContent = sentence;
  }
  const CALLS = /\/(queue\/join|queue\/data|run\/predict|upload)/, fetchAnswer = window.fetch;
  let leaving = false;  // then what was asked for is given up, which is no fault
  window.addEventListener("pagehide", () => leaving = true);
  const lost = error => leaving || error?.name === "AbortError" || failed(navigator.onLine ? says.failed : says.offline);
  // Gradio asks for `app_id` until a server that was gone is back, and then loads the page anew. What was sent last is
  // kept meanwhile in the visitor's browser, for that moment, and sent again.
  const shelf = use => new Promise((done, fail) => {
    const opening = indexedDB.open("lungfusion");
    opening.onupgradeneeded = () => opening.result.createObjectStore("last");
    opening.onerror = fail;
    opening.onsuccess = () => {
      const asking = use(opening.result.transaction("last", "readwrite").objectStore("last"));
      Object.assign(asking, {onsuccess: () => done(asking.result), onerror: fail});
      opening.result.close();
    };
  });
  shelf(store => store.get(0)).then(kept => {
    indexedDB.deleteDatabase("lungfusion");
    if (kept) give(kept.files, document.getElementById(kept.field));
  }).catch(() => {});  // a browser that keeps nothing
  window.fetch = async (...request) => {
    const place = request[0]?.url ?? String(request[0]);
    let answer;
    try {
      answer = await fetchAnswer(...request);
    } catch (error) {
      if (CALLS.test(place)) lost(error);
      throw error;
    }
    if (CALLS.test(place)) {
      if (answer.ok) quiet();
      else failed(answer.status === 503 ? says.full : answer.status === 413 ? says.large : says.failed);
    }
    if (answer.ok && last && place.endsWith("/app_id")) await shelf(store => store.put(last, 0)).catch(() => {});
    if (answer.ok && place.includes("/queue/data")) readPlaces(answer.clone().body).catch(lost);
    return answer;
  };
  window.addEventListener("offline", () => say(says.offline, Boolean(again)));
  window.addEventListener("online", quiet);

  const toast = document.body.appendChild(Object.assign(document.createElement("div"), {className: "toast", hidden: true}));
  toast.setAttribute("role", "alert");
  function say(sentence, retry = false) {
    const close = Object.assign(document.createElement("button"), {type: "button", textContent: retry ? says.retry : "×"});
    if (!retry) close.ariaLabel = says.close;
    if (retry) close.dataset.retry = "";
    close.addEventListener("click", quiet);
    toast.replaceChildren(Object.assign(document.createElement("span"), {textContent: sentence}), close);
    toast.hidden = false;
  }
  function quiet() {
    toast.hidden = true;
  }

  // The answer is heard, and has the focus: keys and screen readers go on from there

  const live = document.body.appendChild(Object.assign(document.createElement("div"), {className: "heard"}));
  live.setAttribute("role", "status");
  window.lungfusion = {
    address, say,
    answered() {
      const answer = document.querySelector("#answer .answer");
      document.body.classList.remove("sending");
      busy()?.classList.add("over");
      live.textContent = (answer?.querySelector("h2") ?? answer?.querySelector(".message"))?.textContent ?? "";
      const head = answer?.querySelector(".headline, .unread"), active = document.activeElement;
      if (!head || embedded || !isShown(head)) return;
      if (!active || active === document.body || !active.isConnected || active.closest("#start, #upload")) head.focus({preventScroll: true});
      if (head.getBoundingClientRect().top < 0) scrollTo(0, 0);
    },
  };
}
