"use strict";
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const state = { hidden: new Set(), published: false, pinned: null, shown: null };
  const panel = document.getElementById("network");
  const find = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // -- small tools

  /** An SVG element with its attributes, added to its parent. */
  function add(parent, name, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  const html = (name, text) => Object.assign(document.createElement(name), { textContent: text });

  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
  const widest = (texts) => Math.max(0, ...texts.map((text) => pen.measureText(text).width));

  /** A text that is no wider than so many pixels. */
  function fitted(text, most) {
    if (widest([text]) <= most) return text;
    const letters = [...text];
    while (letters.length > 1 && widest([`${letters.join("")}…`]) > most) letters.pop();
    return `${letters.join("")}…`;
  }

  const within = (value, [low, high]) => Math.min(Math.max(value, low), high);
  const scale = ([low, high], [from, to]) => (value) => from + ((value - low) / (high - low)) * (to - from);
  const pathOf = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  const number = (value) => (value + 0).toLocaleString("en-US", { maximumFractionDigits: 2 }).replace("-", "−");
  const steps = (value) => (value >= 10000 ? `${number(value / 1000)}k` : number(value));
  const signed = (value) => (value > 0 ? "+" : "") + number(value);

  /** Round numbers within a domain, about `count` of them. */
  function ticks([low, high], count) {
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 2.5, 5, 10].find((times) => times * power >= rough * 0.99);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
    return found;
  }

  /** Heights for labels that are at least `gap` apart and within the limits, each as near its own as may be. */
  function apart(wanted, gap, [top, bottom]) {
    const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
    const heights = [...wanted];
    order.forEach((i, k) => { if (k) heights[i] = Math.max(heights[i], heights[order[k - 1]] + gap); });
    let limit = bottom;
    for (const i of [...order].reverse()) {
      heights[i] = Math.min(heights[i], limit);
      limit = heights[i] - gap;
    }
    return heights.map((height) => Math.max(height, top));
  }

  // -- the one drawing function

  /**
   * Draw a chart into its box, at the box's width. A chart has x and y ({domain, ticks, form, title}), and lists of what is drawn:
   * levels {y, words, name}, bars, beside and lines {treatment, points}, ends {y, words, treatment}, points {x, y, network}.
   */
  function draw(box, chart, height) {
    const width = box.clientWidth;
    const labels = chart.y.ticks.map(chart.y.form);
    const left = 10 + widest(labels);
    const ends = chart.ends.map((end) => ({ ...end, words: fitted(end.words, 0.3 * width) }));
    const right = ends.length ? 26 + widest(ends.map((end) => end.words)) : 10;
    const top = chart.y.title ? 28 : 10, bottom = height - 44;
    const x = scale(chart.x.domain, [left, width - right]);
    const y = scale(chart.y.domain, [bottom, top]);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [key, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": chart.label })) {
      svg.setAttribute(key, value);
    }
    add(svg, "text", { x: 0, y: 13, class: "title" }, chart.y.title);
    chart.y.ticks.forEach((tick, i) => {
      add(svg, "line", { x1: left, x2: width - right, y1: y(tick), y2: y(tick), class: "grid" });
      add(svg, "text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, labels[i]);
    });
    for (const tick of chart.x.ticks) add(svg, "text", { x: x(tick), y: bottom + 19, "text-anchor": "middle" }, chart.x.form(tick));
    add(svg, "text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, chart.x.title);
    drawLevels(svg, chart.levels, y, [left, width - right]);
    for (const line of chart.beside) {
      const group = add(svg, "g", { class: "beside", "data-treatment": line.treatment });
      const at = line.points.map((point) => [x(point[0]), y(point[1])]);
      add(group, "path", { d: pathOf(at), class: "line" });
      const mark = data.markers[data.looks[line.treatment].marker];
      for (const place of at) add(group, "path", { d: mark, transform: `translate(${place})`, class: "mark" });
    }
    for (const line of chart.lines) {
      const d = pathOf(line.points.map((point) => [x(point[0]), y(point[1])]));
      add(svg, "path", { d, class: "line", "data-treatment": line.treatment, "stroke-opacity": line.strength ?? 1 });
    }
    drawEnds(svg, ends, width - right + 12, y, [top, bottom]);
    for (const point of chart.points) drawPoint(svg, point, x(point.x), y(point.y));
    for (const bar of chart.bars) {
      const ends = [y(bar.low), y(bar.high)];
      const [y1, y2] = ends.map((end) => within(end, [top, bottom]));
      const name = `bar${bar.alone ? " alone" : ""}${y1 !== ends[0] || y2 !== ends[1] ? " beyond" : ""}`;
      add(svg, "line", { x1: x(bar.x), x2: x(bar.x), y1, y2, class: name, "data-treatment": bar.treatment });
    }
    const many = chart.points.length > 80;
    svg.classList.toggle("many", many);
    svg.style.setProperty("--size", many || width < 420 ? 0.75 : 1);
    box.replaceChildren(svg);
  }

  function drawLevels(svg, levels, y, [left, right]) {
    for (const { y: at, words, name } of levels) {
      add(svg, "line", { x1: left, x2: right, y1: y(at), y2: y(at), class: name });
      if (words) add(svg, "text", { x: left + 4, y: y(at) - 5 }, words);
    }
  }

  /** Names at the right, each beside the end of its line. */
  function drawEnds(svg, ends, x, y, limits) {
    const heights = apart(ends.map((end) => y(end.y)), 15, limits);
    ends.forEach(({ words, treatment }, i) => {
      const group = add(svg, "g", { "data-treatment": treatment });
      add(group, "circle", { cx: x, cy: heights[i], r: 3, class: "end-mark" });
      add(group, "text", { x: x + 7, y: heights[i] + 4, class: "end" }, words);
    });
  }

  function drawPoint(svg, point, left, top) {
    const network = data.networks[point.network];
    const group = add(svg, "g", {
      transform: `translate(${left.toFixed(1)} ${top.toFixed(1)})`,
      class: `point${network.cross ? " cross" : ""}`,
      tabindex: -1,
      role: "button",
      "aria-label": `${network.name} of ${network.split}. ${network.facts.map((fact) => fact.join(" ")).join(", ")}`,
      "data-treatment": network.treatment,
      "data-network": point.network,
    });
    add(group, "path", { d: data.markers[network.cross || data.looks[network.treatment].marker] });
  }

  // -- a figure's chart

  const visible = (treatment) => !state.hidden.has(treatment);

  /** What `draw` needs of one of the page's charts, as far as its treatments are shown. */
  function specification(chart) {
    const isGain = chart.quantity === "gain";
    const points = chart.points
      .map(([network, x, y]) => ({ network, x, y, treatment: data.networks[network].treatment, failed: data.networks[network].failed }))
      .filter((point) => visible(point.treatment));
    // How far a network fell that failed says nothing: it may not flatten the others.
    const measured = points.some((point) => !point.failed) ? points.filter((point) => !point.failed) : points;
    const lines = chart.lines.filter((line) => visible(line.treatment) && line.treatment !== "base");
    const beside = state.published ? chart.published.filter((line) => visible(line.treatment)) : [];
    const bars = Object.entries(chart.bars).flatMap(([treatment, found]) =>
      visible(treatment) ? found.map(([x, low, high, pairs]) => ({ treatment, x, low, high, alone: pairs === 1 })) : []);
    const levels = isGain ? [{ y: 0, words: "", name: "level" }]
      : visible("base") ? chart.levels.map(([y]) => ({ y, words: "", name: "level" })) : [];
    const heights = [...measured.map((point) => point.y), ...levels.map((level) => level.y),
      ...beside.flatMap((line) => line.points.map((point) => point[1]))];
    if (!heights.length) heights.push(0, 100);
    let low = Math.min(...heights), high = Math.max(...heights);
    // An interval of few pairs may be far wider than all else: there the panel ends before the bars do.
    const most = 0.3 * (high - low);
    const [lowest, highest] = [Math.min(...bars.map((bar) => bar.low)), Math.max(...bars.map((bar) => bar.high))];
    [low, high] = [Math.max(Math.min(low, lowest), low - most), Math.min(Math.max(high, highest), high + most)];
    for (const [y, words] of chart.chance) {
      if (low - y < 0.6 * (high - low)) {
        levels.push({ y, words, name: "chance" });
        low = Math.min(low, y);
      }
    }
    const margin = Math.max(0.06 * (high - low), 0.3);
    const domain = [low - margin, high + margin];
    for (const point of points) if (point.failed) point.y = within(point.y, domain);
    const once = new Set(lines.map((line) => line.treatment)).size === lines.length;
    const ends = once ? lines.map((line) => ({ y: line.points.at(-1)[1], words: line.treatment, treatment: line.treatment })) : [];
    if (visible("base")) ends.push(...chart.levels.map(([y, words]) => ({ y, words, treatment: "base" })));
    const [first, last] = chart.layers;
    return {
      label: `${chart.title}: ${isGain ? "gain over the base" : "top-1 accuracy"} against layer; ${points.length} networks. Arrow keys go from one to the next.`,
      x: {
        domain: [first - 0.35, last + 0.3],
        ticks: Array.from({ length: last - first + 1 }, (_, i) => first + i),
        form: (layer) => (layer ? String(layer) : "base"),
        title: data.layer,
      },
      y: {
        domain,
        form: isGain ? signed : (value) => `${number(value)}%`,
        title: isGain ? "points above or below the base" : "top-1 accuracy",
      },
      levels, bars, beside, lines, ends, points,
    };
  }

  const pointOf = (box, network) => find(`.point[data-network="${network}"]`, box);

  function drawFigure(box) {
    const width = box.clientWidth;
    const height = Math.round(Math.min(Math.max(0.56 * width, 300), 420));
    const chart = specification(data.charts[box.dataset.chart]);
    chart.y.ticks = ticks(chart.y.domain, height / 60);
    const focused = find(".point:focus", box)?.dataset.network;
    draw(box, chart, height);
    const again = focused === undefined ? null : pointOf(box, focused);
    (again || pointOf(box, state.shown) || find(".point", box))?.setAttribute("tabindex", 0);
    again?.focus({ preventScroll: true });
    mark(box);
  }

  // -- the network pointed at

  /** Mark the network that is shown, and its base, in a chart. */
  function mark(box) {
    const base = state.shown === null ? null : data.networks[state.shown].base;
    for (const point of all(".point", box)) {
      const network = Number(point.dataset.network);
      point.classList.toggle("shown", network === state.shown);
      point.classList.toggle("its-base", network === base);
      point.setAttribute("aria-pressed", network === state.pinned);
    }
    // A copy lies over all else; the points themselves stay in the order in which the keys go through them.
    find(".lifted", box)?.remove();
    const lifted = find(".point.shown", box)?.cloneNode(true);
    if (!lifted) return;
    lifted.setAttribute("class", lifted.getAttribute("class").replace("point", "lifted"));
    for (const name of ["tabindex", "role", "aria-label", "aria-pressed", "data-network"]) lifted.removeAttribute(name);
    lifted.setAttribute("aria-hidden", true);
    find("svg", box).append(lifted);
  }

  const standing = Math.max(0, data.networks.findIndex((network) => network.treatment === "AnB"));

  /** Show a network's row and curve beside the figures; without one, that which is kept, else the first transfer. */
  function show(index) {
    state.shown = index ?? state.pinned;
    const now = `${state.shown} ${state.pinned}`;
    if (panel.dataset.now === now) return;
    panel.dataset.now = now;
    const place = state.shown ?? standing;
    const network = data.networks[place];
    find(".name", panel).replaceChildren(network.name, " ", html("small", network.split));
    find(".made", panel).textContent = network.about;
    find(".known", panel).replaceChildren(...network.facts.map(([what, value]) => {
      const fact = document.createElement("div");
      fact.append(html("dt", what), html("dd", value));
      return fact;
    }));
    find(".close", panel).hidden = state.pinned === null;
    panel.classList.toggle("open", state.shown !== null);
    panel.classList.toggle("pinned", state.pinned !== null);
    panel.dataset.network = place;
    drawCurve();
    all(".panel .chart").forEach(mark);
  }

  /** The learning curve of the network in the panel against its base's, on one axis. */
  function drawCurve() {
    const box = find(".curve", panel);
    if (!box.clientWidth) return;
    const network = data.networks[panel.dataset.network];
    const both = [network.base === null ? null : data.networks[network.base], network];
    const lines = both.filter((each) => each && each.curve.length).map((each) => ({
      treatment: each.treatment, words: each.name, y: each.curve.at(-1), points: each.curve.map((top1, i) => [data.steps[each.steps][i], top1]),
    }));
    if (!lines.length) {
      box.replaceChildren("Its log holds no measurement.");
      return;
    }
    const [x, y] = [0, 1].map((axis) => lines.flatMap((line) => line.points.map((point) => point[axis])));
    const [xs, ys] = [[0, Math.max(...x, 1)], [Math.min(...y, 0), Math.max(...y) * 1.04 || 1]];
    draw(box, {
      label: `Learning curve of ${network.name}`,
      x: { domain: xs, ticks: ticks(xs, 3), form: steps, title: "training step" },
      y: { domain: ys, ticks: ticks(ys, 4), form: (value) => `${number(value)}%`, title: "" },
      levels: [], bars: [], beside: [], points: [], lines, ends: lines,
    }, 210);
  }

  /** A treatment's mean curves, the deeper the cut the stronger, on the scale of all charts of its kind of split. */
  function drawLearning(box) {
    const chart = data.learning[box.dataset.learning];
    const all = data.learning.filter((other) => other.kind === chart.kind).flatMap((other) => other.lines.flatMap((line) => line.points));
    const [x, y] = [0, 1].map((axis) => [0, Math.max(...all.map((point) => point[axis])) || 1]);
    const lines = chart.lines.map(({ layer, points }, i) => ({
      points, treatment: layer ? chart.treatment : "base", strength: layer ? 0.3 + (0.7 * (i + 1)) / chart.lines.length : 1,
      words: layer ? String(layer) : "base", y: points.at(-1)[1],
    }));
    draw(box, {
      label: `Learning curves of ${chart.treatment}`,
      x: { domain: x, ticks: ticks(x, 3), form: steps, title: "training step" },
      y: { domain: y, ticks: ticks(y, 4), form: (value) => `${number(value)}%`, title: "" },
      levels: [], bars: [], beside: [], points: [], lines, ends: lines,
    }, 230);
  }

  function pin(index) {
    state.pinned = index === state.pinned ? null : index;
    show(state.pinned);
  }

  /** The point of a chart nearest to the mouse or finger, within reach. */
  function nearest(box, event) {
    const distance = (point) => {
      const { x, y, width, height } = find("path", point).getBoundingClientRect();
      return Math.hypot(x + width / 2 - event.clientX, y + height / 2 - event.clientY);
    };
    const near = all(".point", box).map((point) => ({ point, far: distance(point) })).filter(({ far }) => far < 32);
    return near.sort((a, b) => a.far - b.far)[0]?.point ?? null;
  }

  const indexOf = (point) => (point ? Number(point.dataset.network) : null);

  /** The next point by an arrow key: left and right through the treatments' layers, up and down among one layer's networks. */
  function next(box, point, key) {
    const points = all(".point", box);
    if (key === "ArrowLeft" || key === "ArrowRight") return points[points.indexOf(point) + (key === "ArrowRight" ? 1 : -1)];
    const layer = (each) => data.networks[each.dataset.network].layer;
    const height = (each) => each.getCTM().f;
    const column = points.filter((each) => layer(each) === layer(point)).sort((a, b) => height(a) - height(b));
    return column[column.indexOf(point) + (key === "ArrowDown" ? 1 : -1)];
  }

  function press(box, event) {
    const point = event.target.closest(".point");
    if (point && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      pin(indexOf(point));
    } else if (point && event.key.startsWith("Arrow")) {
      event.preventDefault();
      const other = next(box, point, event.key);
      if (!other) return;
      point.setAttribute("tabindex", -1);
      other.setAttribute("tabindex", 0);
      other.focus();
    }
  }

  /** On a narrow screen the panel comes up over the page: keep the point that was tapped above it. */
  function keepInView(point) {
    const over = point.getBoundingClientRect().bottom + 24 - panel.getBoundingClientRect().top;
    if (getComputedStyle(panel).position === "fixed" && over > 0) window.scrollBy({ top: over });
  }

  // -- what the reader does

  const watch = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    if (target.clientWidth && target.clientWidth !== Number(find("svg", target)?.getAttribute("width"))) {
      target.dataset.chart ? drawFigure(target) : target.dataset.learning ? drawLearning(target) : drawCurve();
    }
  }));

  for (const box of all(".panel .chart")) {
    box.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") show(indexOf(nearest(box, event))); });
    box.addEventListener("pointerleave", () => show(null));
    box.addEventListener("focusin", (event) => {
      if (!event.target.matches(".point:focus-visible")) return;
      show(indexOf(event.target));
      keepInView(event.target);
    });
    box.addEventListener("focusout", () => show(null));
    box.addEventListener("keydown", (event) => press(box, event));
    box.addEventListener("click", (event) => {
      const point = nearest(box, event);
      if (!point && state.pinned === null) return;
      pin(indexOf(point));
      if (point) keepInView(point);
    });
    watch.observe(box);
  }
  for (const box of [find(".curve", panel), ...all("[data-learning]")]) watch.observe(box);

  for (const button of all(".legend button")) {
    const treatment = button.dataset.treatment;
    const emphasise = (on) => all(".panel svg [data-treatment]").forEach((element) =>
      element.classList.toggle("dim", on && visible(treatment) && element.dataset.treatment !== treatment));
    button.addEventListener("click", () => {
      if (!state.hidden.delete(treatment)) state.hidden.add(treatment);
      for (const twin of all(".legend button")) {
        twin.setAttribute("aria-pressed", visible(twin.dataset.treatment));
      }
      all(".panel .chart").forEach(drawFigure);
    });
    button.addEventListener("pointerenter", (event) => emphasise(event.pointerType === "mouse"));
    button.addEventListener("pointerleave", () => emphasise(false));
  }
  find("#published")?.addEventListener("change", (event) => {
    state.published = event.target.checked;
    all(".panel .chart").forEach(drawFigure);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    state.pinned = null;
    show(null);
  });
  find(".close", panel).addEventListener("click", () => pin(state.pinned));
  document.body.classList.add("scripted");
  show(null);
}
