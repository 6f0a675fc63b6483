// A click on a heading sorts the table by that column; a second one turns the order round.

element.addEventListener("click", event => {
  const button = event.target.closest("[data-sort]");
  if (!button) return;
  const heading = button.closest("th"), rows = button.closest("table").tBodies[0].rows;
  const order = heading.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
  for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
  const value = row => row.cells[button.dataset.sort].dataset.value;
  const sign = order === "ascending" ? 1 : -1;
  const compare = (a, b) => sign * value(a).localeCompare(value(b), undefined, {numeric: true});
  const numbers = (a, b) => sign * (Number(value(a)) - Number(value(b)));
  const sorted = [...rows].sort(button.dataset.sort < 3 ? compare : numbers);
  button.closest("table").tBodies[0].append(...sorted);
});
