"use strict";
// The page is whole without this: it only adds sorting, filtering and the opening of folded parts for print.

function valueOf(row, column, kind) {
  const cell = row.cells[column];
  if (kind === "text") return cell.textContent.trim().toLocaleLowerCase();
  const value = cell.dataset.value;
  return value === "" || value === "None" || value === undefined ? null : Number(value);
}

function said(before) {
  const status = document.createElement("span");
  status.className = "unseen";
  status.setAttribute("role", "status");
  before.before(status);
  return (words) => { status.textContent = words; };
}

function sortBy(table, header, say) {
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
  say(`sorted by ${header.textContent.trim()}, ${up ? "ascending" : "descending"}`);
}

function filterBy(input, parts, say) {
  const texts = parts.map((part) => (part.dataset.text || part.textContent).toLocaleLowerCase());
  input.addEventListener("input", () => {
    const words = input.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const kept = texts.map((text) => words.every((word) => text.includes(word)));
    parts.forEach((part, i) => { part.hidden = !kept[i]; });
    say(`${kept.filter(Boolean).length} of ${parts.length} shown`);
  });
}

const LONG = 8;
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const region = table.closest(".scroll");
  const say = said(region);
  for (const header of table.tHead.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sortBy(table, header, say));
    header.append(button);
  }
  const rows = Array.from(table.tBodies[0].rows);
  if (rows.length > LONG && !document.querySelector(`[data-filter="#${table.id} tbody"]`)) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    label.className = "filter";
    input.type = "search";
    label.append("Filter ", input);
    region.before(label);
    filterBy(input, rows, say);
  }
}

for (const input of document.querySelectorAll("input[data-filter]")) {
  const label = input.closest("label");
  label.hidden = false;
  filterBy(input, Array.from(document.querySelector(input.dataset.filter).children), said(label));
}

// A link into a folded part opens it.
function unfold() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  if (target) target.scrollIntoView();
}
window.addEventListener("hashchange", unfold);
if (location.hash) unfold();

let opened = [];
window.addEventListener("beforeprint", () => {
  const folded = Array.from(document.querySelectorAll("details:not([open])"));
  opened = folded.filter((part) => !part.parentElement.matches(".many, #feature-list"));
  for (const part of opened) part.open = true;
});
window.addEventListener("afterprint", () => {
  for (const part of opened) part.open = false;
});
