// What a person with a screen reader or without a mouse stumbles over, as a list of sentences. Looks at what is shown.
() => {
  const found = [];
  const shown = (part) => part.checkVisibility({ visibilityProperty: true });
  const where = (part) => part.outerHTML.slice(0, 90);
  const named = (part) => (part.getAttribute("aria-label") || part.getAttribute("title")
    || (part.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent || "").join("")
    || Array.from(part.labels || []).map((label) => label.textContent).join("")
    || part.querySelector(":scope > title")?.textContent || part.textContent).trim();
  const ids = Array.from(document.querySelectorAll("[id]")).map((part) => part.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) found.push(`id twice: ${id}`);
  for (const part of document.querySelectorAll("a[href], button, input, select, textarea, summary, [role=img], [role=region], [role=listbox], [tabindex='0']")) {
    if (shown(part) && !named(part)) found.push(`no name: ${where(part)}`);
  }
  for (const link of document.querySelectorAll("a[href^='#']")) {
    if (!document.getElementById(decodeURIComponent(link.hash.slice(1)))) found.push(`leads nowhere: ${where(link)}`);
  }
  for (const part of document.querySelectorAll("[tabindex]")) if (part.tabIndex > 0) found.push(`order forced: ${where(part)}`);
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) found.push(`heading ${own} after ${level}: ${where(heading)}`);
    level = own;
  }
  if (document.querySelectorAll("h1").length !== 1) found.push("not exactly one h1");
  if (document.querySelectorAll("main").length !== 1) found.push("not exactly one main");
  if (!document.documentElement.lang) found.push("no language");
  for (const head of document.querySelectorAll("thead th")) if (!head.scope) found.push(`head without scope: ${where(head)}`);
  return found;
}
