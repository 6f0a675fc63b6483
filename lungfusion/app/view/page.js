// What holds for the page as a whole: run once, as it opens.

() => {
  if (new URLSearchParams(location.search).get("view") === "embed") document.body.classList.add("embed");
  document.addEventListener("paste", event => {
    const input = document.querySelector("#upload input[type=file]");
    if (!input || !event.clipboardData.files.length) return;
    input.files = event.clipboardData.files;
    input.dispatchEvent(new Event("change", {bubbles: true}));
  });
}
