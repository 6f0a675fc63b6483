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

  // Files for the tab in front: into its first empty field

  function give(files) {
    const tab = [...document.querySelectorAll("[role=tabpanel]")].find(isShown);
    const input = (tab ?? document).querySelector("input[type=file]");
    if (!input || !files?.length) return;
    const kept = new DataTransfer();
    for (const file of input.multiple ? files : [files[0]]) kept.items.add(file);
    input.files = kept.files;
    input.dispatchEvent(new Event("change", {bubbles: true}));
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

  // An answer is there, or none came

  const fetchAnswer = window.fetch;
  window.fetch = async (...request) => {
    const answer = await fetchAnswer(...request);
    const place = request[0]?.url ?? String(request[0]);
    if (!answer.ok && place.includes("/queue/join")) document.querySelector("#answer .busy")?.classList.add("over");
    return answer;
  };

  const live = document.body.appendChild(Object.assign(document.createElement("div"), {className: "heard"}));
  live.setAttribute("role", "status");
  window.lungfusion.answered = () => {
    const busy = document.querySelector("#answer .busy"), answer = document.querySelector("#answer .answer");
    busy?.classList.add("over");
    live.textContent = answer?.querySelector("h2")?.textContent ?? "";
    if (answer && window === window.top && answer.getBoundingClientRect().top < 0) answer.scrollIntoView();
  };
}
