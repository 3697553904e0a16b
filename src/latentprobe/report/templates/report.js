"use strict";
// The page is whole without this: it only adds sorting, filtering and the opening of folded parts for print.

function valueOf(row, column, kind) {
  const cell = row.cells[column];
  if (kind === "text") return cell.textContent.trim().toLocaleLowerCase();
  const value = cell.dataset.value;
  return value === "" || value === "None" || value === undefined ? null : Number(value);
}

function sortBy(table, header) {
  const kind = header.dataset.sort;
  const before = header.getAttribute("aria-sort");
  const up = before ? before === "descending" : kind === "text";
  const rows = Array.from(table.tBodies[0].rows);
  rows.sort((a, b) => {
    const x = valueOf(a, header.cellIndex, kind);
    const y = valueOf(b, header.cellIndex, kind);
    if (x === null || y === null) return (x === null) - (y === null);
    const order = kind === "text" ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
    return up ? order : -order;
  });
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table[data-sortable]")) {
  for (const header of table.tHead.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sortBy(table, header));
    header.append(button);
  }
}

for (const input of document.querySelectorAll("input[data-filter]")) {
  const parts = Array.from(document.querySelector(input.dataset.filter).children);
  const texts = parts.map((part) => (part.dataset.text || part.textContent).toLocaleLowerCase());
  input.closest("label").hidden = false;
  input.addEventListener("input", () => {
    const words = input.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    parts.forEach((part, i) => { part.hidden = !words.every((word) => texts[i].includes(word)); });
  });
}

let opened = [];
window.addEventListener("beforeprint", () => {
  const folded = Array.from(document.querySelectorAll("details:not([open])"));
  opened = folded.filter((part) => !part.parentElement.classList.contains("many"));
  for (const part of opened) part.open = true;
});
window.addEventListener("afterprint", () => {
  for (const part of opened) part.open = false;
});
