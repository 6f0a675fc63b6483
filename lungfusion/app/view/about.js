// Snippets name the address of this page, and can be copied.

function nameAddress() {
  const address = location.origin + location.pathname;
  for (const code of element.querySelectorAll("pre code"))
    if (code.textContent.includes("ADDRESS")) code.textContent = code.textContent.replaceAll("ADDRESS", address);
}
new MutationObserver(nameAddress).observe(element, {childList: true, subtree: true});
nameAddress();

element.addEventListener("click", async event => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const label = button.textContent;
  await navigator.clipboard.writeText(button.closest("section").querySelector("code").textContent);
  button.textContent = button.dataset.copied;
  setTimeout(() => { button.textContent = label; }, 2000);
});
