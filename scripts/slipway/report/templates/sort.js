"use strict";
// Tables can be sorted by their heads. Without this script they are as they are.
const verdicts = ["fail", "inconclusive", "pass"];
const keyOf = (cell) => {
  const text = cell.dataset.key || cell.textContent.trim();
  const verdict = verdicts.findIndex((name) => text.endsWith(name));
  if (cell.classList.contains("verdict")) return verdict < 0 ? 9 : verdict;
  const number = parseFloat(text.replaceAll(",", ""));
  return cell.classList.contains("number") ? (Number.isNaN(number) ? -Infinity : number) : text;
};
const order = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
for (const head of document.querySelectorAll("table.sortable thead th")) {
  const table = head.closest("table");
  const body = table.tBodies[0];
  if (body.rows.length < 2) continue;
  const button = document.createElement("button");
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const at = head.cellIndex;
    const rows = [...body.rows].sort((a, b) => order(keyOf(a.cells[at]), keyOf(b.cells[at])));
    body.append(...(down ? rows.reverse() : rows));
  });
}
