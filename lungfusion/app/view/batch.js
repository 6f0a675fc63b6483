// The workbench: a heading sorts, a button chooses which rows are seen, a name opens its answer. What was chosen
// outlives the table, which is replaced while it grows. `element` is the component that holds it.

let sorted = null, shown = "all";  // sorted: {column, order}

function arrange() {
  const table = element.querySelector(".batch table");
  if (!table) return;
  for (const button of element.querySelectorAll("[data-filter]"))
    button.setAttribute("aria-pressed", button.dataset.filter === shown);
  for (const row of table.tBodies[0].rows)
    row.hidden = shown === "reacts" ? !row.classList.contains("reacts") : shown === "bad" && row.classList.contains("read");
  if (!sorted) return;
  const headings = [...table.tHead.rows[0].cells], {column, order} = sorted;
  for (const heading of headings) heading.removeAttribute("aria-sort");
  headings[column].setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1, value = row => row.cells[column].dataset.value;
  const byName = (a, b) => sign * value(a).localeCompare(value(b), undefined, {numeric: true});
  const byNumber = (a, b) => sign * (Number(value(a)) - Number(value(b)));
  const rows = [...table.tBodies[0].rows], wanted = rows.toSorted(column === 0 ? byName : byNumber);
  if (wanted.some((row, place) => row !== rows[place])) table.tBodies[0].append(...wanted);
}

element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  const {sort, filter, open} = button.dataset;
  if (sort) {
    const column = Number(sort), first = column === 0 ? "ascending" : "descending";
    const other = first === "ascending" ? "descending" : "ascending";
    sorted = {column, order: sorted?.column === column && sorted.order === first ? other : first};
    arrange();
  }
  if (filter) {
    shown = filter;
    arrange();
  }
  if (open) trigger("click", {name: open});
  if ("copy" in button.dataset) navigator.clipboard?.writeText(button.parentElement.querySelector("code").textContent);
});

new MutationObserver(arrange).observe(element, {childList: true, subtree: true});
