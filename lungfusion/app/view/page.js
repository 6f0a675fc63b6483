// What holds for the page as a whole: run once, as it opens. Files may be dropped and pasted anywhere, the address says
// what is seen, and a screen reader hears that an answer is there.

() => {
  const asked = () => new URLSearchParams(location.search);
  const isShown = element => element.getClientRects().length > 0;

  if (asked().get("view") === "embed") {
    document.body.classList.add("embed");
    const open = new URL(location.href);
    open.searchParams.delete("view");
    for (const line of document.querySelectorAll(".embed-line")) line.style.setProperty("display", "block", "important");
    for (const link of document.querySelectorAll(".embed-line a")) Object.assign(link, {href: open, target: "_blank"});
  }
  if (asked().get("lang")) document.documentElement.lang = asked().get("lang");

  // Files for the tab in front: into its first empty field; where none is empty, in place of the last one

  async function give(files) {
    const tab = [...document.querySelectorAll("[role=tabpanel]")].find(isShown) ?? document;
    if (!files?.length) return;
    const input = tab.querySelector("input[type=file]") ?? await emptied(tab);
    if (!input) return;
    const kept = new DataTransfer();
    for (const file of input.multiple ? files : [files[0]]) kept.items.add(file);
    input.files = kept.files;
    input.dispatchEvent(new Event("change", {bubbles: true}));
  }
  async function emptied(tab) {
    const field = [...tab.querySelectorAll(".block:has(.file-preview)")].pop();
    field?.querySelector(".icon-button-wrapper button, [aria-label=Clear]")?.click();
    for (let wait = 0; field && wait < 20; wait++) {
      await new Promise(done => setTimeout(done, 50));
      if (field.querySelector("input[type=file]")) return field.querySelector("input[type=file]");
    }
  }
  document.addEventListener("paste", event => give(event.clipboardData.files));
  document.addEventListener("dragover", event => event.preventDefault());
  document.addEventListener("drop", event => {
    if (event.defaultPrevented) return;
    event.preventDefault();
    give(event.dataTransfer.files);
  });

  // The address

  let example = asked().get("example");
  window.lungfusion = {
    address(changes) {
      const address = new URL(location.href);
      for (const [name, value] of Object.entries(changes))
        value ? address.searchParams.set(name, value) : address.searchParams.delete(name);
      if (address.href !== location.href) history.pushState(null, "", address);
      example = asked().get("example");
    },
  };
  window.addEventListener("popstate", () => {
    const tabs = ["analyse", "steps", "compare", "many", "about"];
    document.querySelectorAll(".tab-container [role=tab]")[Math.max(0, tabs.indexOf(asked().get("tab")))]?.click();
    if (asked().get("example") === example) return;
    example = asked().get("example");
    const button = [...document.querySelectorAll(".examples button")].find(one => one.dataset.title === example);
    (button ?? document.querySelector("#restart"))?.click();
  });

  // A language keeps what is seen

  document.addEventListener("click", event => {
    const link = event.target.closest?.(".languages a");
    if (!link) return;
    event.preventDefault();
    const address = new URL(location.href);
    address.searchParams.set("lang", link.lang);
    location.assign(address);
  });

  // Arrow keys go from tab to tab

  document.addEventListener("keydown", event => {
    const tab = event.target.closest?.("[role=tab]"), step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!tab || !step) return;
    const tabs = [...tab.closest("[role=tablist]").querySelectorAll("[role=tab]")].filter(isShown);
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
  });

  // Gradio's button for more files holds a button: the inner one is what is clicked, the outer one but a frame

  new MutationObserver(() => {
    for (const frame of document.querySelectorAll(".icon-button:has(button):not([role])")) {
      frame.setAttribute("role", "group");
      frame.tabIndex = -1;
    }
  }).observe(document.body, {childList: true, subtree: true});

  // While an answer is awaited: the picture that was sent, the place in the queue, and what to do if none comes

  const busy = () => document.querySelector("#answer .busy");
  let sent = "";
  document.addEventListener("change", event => {
    const file = event.target.matches?.("#upload input[type=file]") && event.target.files?.[0];
    if (!file) return;
    URL.revokeObjectURL(sent);
    sent = /^image\/(png|jpeg|webp|bmp)$/.test(file.type) ? URL.createObjectURL(file) : "";
  }, true);
  new MutationObserver(() => {
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
  const fetchAnswer = window.fetch;
  window.fetch = async (...request) => {
    const place = request[0]?.url ?? String(request[0]);
    let answer;
    try {
      answer = await fetchAnswer(...request);
    } catch (error) {
      if (place.includes("/queue/join")) busy()?.classList.add("over");
      throw error;
    }
    if (!answer.ok && place.includes("/queue/join")) busy()?.classList.add("over");
    if (answer.ok && place.includes("/queue/data")) readPlaces(answer.clone().body).catch(() => {});
    return answer;
  };

  const live = document.body.appendChild(Object.assign(document.createElement("div"), {className: "heard"}));
  live.setAttribute("role", "status");
  window.lungfusion.answered = () => {
    const answer = document.querySelector("#answer .answer");
    busy()?.classList.add("over");
    live.textContent = (answer?.querySelector("h2") ?? answer?.querySelector(".message"))?.textContent ?? "";
    if (answer && window === window.top && answer.getBoundingClientRect().top < 0) answer.scrollIntoView();
  };
}
