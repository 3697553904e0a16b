// Texts that stand out too little from their ground (WCAG AA: 4.5, large ones 3), as sentences.
() => {
  const rgba = (text) => {
    const canvas = rgba.canvas ||= Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (part) => {
    const layers = [];
    for (let at = part; at; at = at.parentElement) {
      const own = rgba(getComputedStyle(at).backgroundColor);
      if (own[3] > 0) layers.push(own);
      if (own[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const bright = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = new Set();
  for (const part of document.querySelectorAll("body *")) {
    const own = Array.from(part.childNodes).some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || part.closest("svg, script, style, .unseen, .skip") || !part.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(part), below = ground(part), ink = rgba(style.color);
    ink[3] *= Number(style.opacity);
    const [high, low] = [bright(over(ink, below)), bright(below)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.add(`${ratio.toFixed(2)} ${part.tagName}.${part.className} ${part.textContent.trim().slice(0, 40)}`);
  }
  return Array.from(found);
}
