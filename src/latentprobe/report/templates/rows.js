// The browser of test rows: a list of which only what is in sight exists, and one row whole beside it.

const HEIGHT = 64;

function element(tag, settings = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

class RowBrowser {
  constructor(section, data) {
    this.data = data;
    this.rows = data.rows.map(([id, truth, given, right, towards, score, text, cut, lit]) => (
      { id, truth, given, right, towards, score, text, cut, lit }
    ));
    this.list = section.querySelector("#row-list");
    this.ground = this.list.firstElementChild;
    this.detail = section.querySelector("#row-detail");
    this.count = section.querySelector("#row-count");
    this.asked = Object.fromEntries(["text", "feature", "class", "show"].map((name) => [name, section.querySelector(`#row-${name}`)]));
    for (const input of Object.values(this.asked)) input.addEventListener("input", () => this.choose());
    this.list.addEventListener("scroll", () => this.draw(), { passive: true });
    this.list.addEventListener("keydown", (event) => this.walk(event));
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.select(Number(option.dataset.place));
    });
    new ResizeObserver(() => this.draw()).observe(this.list);
    section.classList.add("live");
    section.querySelector("#browser").hidden = false;
    this.choose();
  }

  names(numbers) {
    return numbers.map((number) => this.data.classes[number]).join(", ") || "none";
  }

  label(feature) {
    return this.data.labels[feature] ?? `feature ${feature}`;
  }

  matching() {
    const words = (input) => input.value.trim().toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const inText = words(this.asked.text);
    const inFeature = words(this.asked.feature);
    const number = /^\d+$/.test(this.asked.feature.value.trim()) ? Number(this.asked.feature.value) : null;
    const name = this.asked.class.value;
    const show = this.asked.show.value;
    const kept = this.rows.filter((row) => {
      if (show === "wrong" && row.right || show === "right" && !row.right) return false;
      if (name && ![...row.truth, ...row.given].some((one) => this.data.classes[one] === name)) return false;
      if (inText.length) {
        row.searched ??= `${row.text} ${row.id}`.toLocaleLowerCase();
        if (!inText.every((word) => row.searched.includes(word))) return false;
      }
      if (number !== null) return row.lit.some(([feature]) => feature === number);
      return inFeature.every((word) => row.lit.some(([feature]) => this.label(feature).toLocaleLowerCase().includes(word)));
    });
    if (show === "unsure") return kept.sort((a, b) => a.score - b.score);
    return kept.sort((a, b) => a.right - b.right || (a.right ? a.score - b.score : b.score - a.score));
  }

  choose() {
    this.found = this.matching();
    const wrong = this.found.filter((row) => !row.right).length;
    const number = (value) => value.toLocaleString("en");
    this.count.textContent = `${number(this.found.length)} of ${number(this.rows.length)} rows, ${number(wrong)} of them wrong`;
    this.ground.style.height = `${this.found.length * HEIGHT}px`;
    this.list.scrollTop = 0;
    this.select(this.found.length ? 0 : -1);
  }

  draw() {
    const first = Math.max(0, Math.floor(this.list.scrollTop / HEIGHT) - 4);
    const last = Math.min(this.found.length, Math.ceil((this.list.scrollTop + this.list.clientHeight) / HEIGHT) + 4);
    const shown = [];
    for (let place = first; place < last; place += 1) shown.push(this.option(place));
    this.ground.replaceChildren(...shown);
    if (this.chosen >= first && this.chosen < last) this.list.setAttribute("aria-activedescendant", `row-${this.chosen}`);
    else this.list.removeAttribute("aria-activedescendant");
  }

  option(place) {
    const row = this.found[place];
    const verdict = row.right ? `right: ${this.names(row.given)}` : `wrong: given ${this.names(row.given)}, true ${this.names(row.truth)}`;
    const made = element("div", { id: `row-${place}`, role: "option", className: row.right ? "right" : "wrong", dir: "auto" },
      element("bdi", { className: "gist-line" }, row.text || "(empty)"), element("small", {}, verdict));
    made.dataset.place = place;
    made.setAttribute("aria-selected", String(place === this.chosen));
    made.setAttribute("aria-setsize", this.found.length);
    made.setAttribute("aria-posinset", place + 1);
    made.style.transform = `translateY(${place * HEIGHT}px)`;
    return made;
  }

  select(place) {
    this.chosen = place;
    if (place >= 0) {
      const top = place * HEIGHT;
      if (top < this.list.scrollTop) this.list.scrollTop = top;
      if (top + HEIGHT > this.list.scrollTop + this.list.clientHeight) this.list.scrollTop = top + HEIGHT - this.list.clientHeight;
    }
    this.draw();
    this.detail.replaceChildren(...(place < 0 ? [element("p", { className: "soft" }, "No row is like that.")] : this.whole(this.found[place])));
  }

  walk(event) {
    const page = Math.max(1, Math.floor(this.list.clientHeight / HEIGHT) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || !this.found.length) return;
    event.preventDefault();
    this.select(Math.min(this.found.length - 1, Math.max(0, this.chosen + steps[event.key])));
  }

  whole(row) {
    const verdict = element("h3", { className: row.right ? "right" : "wrong" }, row.right ? "Right: " : "Wrong: given ",
      element("bdi", {}, this.names(row.given)), ...(row.right ? [] : [", true ", element("bdi", {}, this.names(row.truth))]));
    const said = element("p", { className: "source" }, element("span", {}, "probability of ", element("bdi", {}, this.data.classes[row.towards]),
      ` ${row.score.toFixed(3)}`), element("span", { className: "id" }, element("bdi", {}, row.id)));
    return [verdict, said, this.marked(row), this.reasons(row)];
  }

  marked(row) {
    const made = element("p", { className: "whole", dir: "auto" });
    const lit = row.lit.filter(([, , start]) => start >= 0);
    const edges = [...new Set([0, row.text.length, ...lit.flatMap(([, , start, end]) => [start, end])])].sort((a, b) => a - b);
    const inner = element("bdi");
    for (let i = 0; i + 1 < edges.length; i += 1) {
      const piece = row.text.slice(edges[i], edges[i + 1]);
      const here = lit.filter(([, , start, end]) => start <= edges[i] && edges[i + 1] <= end);
      if (!here.length) { inner.append(piece); continue; }
      const told = here.map(([feature, added]) => `${this.label(feature)} ${signed(added)}`).join("; ");
      inner.append(element("mark", { className: here[0][1] < 0 ? "against" : "", title: told }, piece));
    }
    made.append(row.cut & 1 ? "… " : "", inner, row.cut & 2 ? " …" : "");
    return made;
  }

  reasons(row) {
    if (!row.lit.length) return element("p", { className: "soft" }, "No feature that this classifier uses is on in this text.");
    const most = Math.max(...row.lit.map(([, added]) => Math.abs(added))) || 1;
    const lines = row.lit.map(([feature, added, start, end, token]) => {
      const there = document.getElementById(`feature-${feature}`);
      const name = element(there ? "a" : "span", there ? { href: `#feature-${feature}` } : {}, element("bdi", {}, this.label(feature)));
      const score = this.data.worth?.[feature];
      const worth = score ? [element("small", { className: "soft" }, `label score ${score}`)] : [];
      const seen = start >= 0 ? row.text.slice(start, end) : token;
      return element("tr", {}, element("th", { scope: "row" }, name, element("small", { className: "soft" }, `feature ${feature}`), ...worth),
        element("td", {}, element("bdi", {}, seen)), element("td", { className: "num" }, signed(added)),
        element("td", { className: "picture narrow" }, bar(Math.abs(added) / most, added < 0)));
    });
    const head = ["Feature", "Brightest on", "Adds"].map((name, i) => element("th", { scope: "col", className: i === 2 ? "num" : "" }, name));
    head.push(element("th", { scope: "col" }, element("span", { className: "unseen" }, "As a bar")));
    return element("table", { className: "plain reasons" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...lines));
  }
}

function signed(value) {
  return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3);
}

function bar(share, against) {
  const name = document.querySelector("svg").namespaceURI;
  const make = (tag, settings) => {
    const made = document.createElementNS(name, tag);
    for (const [key, value] of Object.entries(settings)) made.setAttribute(key, value);
    return made;
  };
  const picture = make("svg", { class: "bar", "aria-hidden": "true" });
  picture.append(make("rect", { class: "b-ground", width: "100%", height: "100%", rx: 3 }),
    make("rect", { class: against ? "b-against" : "b-bar", width: `${100 * share}%`, height: "100%", rx: 3 }));
  return picture;
}

const stored = document.getElementById("row-data");
if (stored) new RowBrowser(document.getElementById("test-rows"), JSON.parse(stored.textContent));
