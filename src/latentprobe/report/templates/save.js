
// Charts are saved as one picture: their SVGs with the colours they have now, and the words around them as SVG text.

const LOOKS = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "opacity", "font-size", "font-family", "font-weight"];

function dressed(picture) {
  const copy = picture.cloneNode(true);
  const all = (part) => [part, ...part.querySelectorAll("*")];
  all(picture).forEach((part, i) => {
    const style = getComputedStyle(part);
    for (const look of LOOKS) all(copy)[i].setAttribute(look, style.getPropertyValue(look));
    all(copy)[i].removeAttribute("class");
  });
  copy.setAttribute("overflow", "visible");
  for (const inner of copy.querySelectorAll("svg")) inner.setAttribute("overflow", "visible");
  return copy;
}

function lettered(node, corner, make) {
  const style = getComputedStyle(node.parentElement);
  const range = document.createRange();
  const lines = [];
  for (const word of node.data.matchAll(/\S+/g)) {
    range.setStart(node, word.index);
    range.setEnd(node, word.index + word[0].length);
    const box = range.getBoundingClientRect();
    const last = lines.at(-1);
    if (last && Math.abs(last.bottom - box.bottom) < 3) last.words.push(word[0]);
    else lines.push({ left: box.left, bottom: box.bottom, height: box.height, words: [word[0]] });
  }
  return lines.map((line) => {
    const text = make("text", { x: line.left - corner.left, y: line.bottom - corner.top - 0.24 * line.height,
      fill: style.color, "font-size": style.fontSize, "font-weight": style.fontWeight, "font-family": style.fontFamily });
    text.textContent = line.words.join(" ");
    return text;
  });
}

function drawn(figure) {
  const space = figure.querySelector("svg").namespaceURI;
  const make = (tag, settings) => {
    const made = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(settings)) made.setAttribute(name, value);
    return made;
  };
  const corner = figure.getBoundingClientRect();
  const whole = make("svg", { xmlns: space, width: corner.width, height: corner.height, viewBox: `0 0 ${corner.width} ${corner.height}` });
  whole.append(make("rect", { width: "100%", height: "100%", fill: getComputedStyle(figure).backgroundColor }));
  const parts = document.createTreeWalker(figure, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) => {
    if (node.nodeType === 3) return node.data.trim() ? NodeFilter.FILTER_ACCEPT : NodeFilter.FILTER_SKIP;
    if (node.matches(".save, .unseen") || !node.checkVisibility() || node.parentElement.closest("svg")) return NodeFilter.FILTER_REJECT;
    return node.matches("svg") ? NodeFilter.FILTER_ACCEPT : NodeFilter.FILTER_SKIP;
  });
  while (parts.nextNode()) {
    const node = parts.currentNode;
    if (node.nodeType === 3) {
      if (!node.parentElement.closest("svg")) whole.append(...lettered(node, corner, make));
      continue;
    }
    const box = node.getBoundingClientRect();
    const copy = dressed(node);
    for (const [name, value] of Object.entries({ x: box.left - corner.left, y: box.top - corner.top, width: box.width, height: box.height })) copy.setAttribute(name, value);
    whole.append(copy);
  }
  return whole;
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function save(figure, name, kind) {
  const picture = drawn(figure);
  const source = new XMLSerializer().serializeToString(picture);
  if (kind === "svg") return download(new Blob([source], { type: "image/svg+xml" }), `${name}.svg`);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(source)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = 2 * picture.getAttribute("width");
  canvas.height = 2 * picture.getAttribute("height");
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toBlob((blob) => download(blob, `${name}.png`));
}

for (const figure of document.querySelectorAll("figure.chart")) {
  const name = figure.closest("[id]").id;
  const buttons = document.createElement("div");
  buttons.className = "save";
  for (const kind of ["svg", "png"]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Save ${kind.toUpperCase()}`;
    button.setAttribute("aria-label", `Save the chart "${name}" as ${kind.toUpperCase()}`);
    button.addEventListener("click", () => save(figure, name, kind));
    buttons.append(button);
  }
  figure.append(buttons);
}
