"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const nbsp = "\u00a0";

  // Tooltips: what stands in a title, at once and under the pointer.
  const tip = $("#tip");
  let shown = null;
  const text = (el) => {
    if (el.title) {
      el.dataset.tip = el.title;
      el.removeAttribute("title");
    }
    return el.dataset.tip;
  };
  const show = (el) => {
    hide();
    shown = el;
    el.classList.add("on");
    tip.textContent = text(el);
    tip.hidden = false;
    const at = el.getBoundingClientRect();
    const box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.left + at.width / 2 - box.width / 2), innerWidth - box.width - 8);
    const above = at.top - box.height - 8;
    tip.style.transform = `translate(${left}px,${above > 60 ? above : at.bottom + 8}px)`;
  };
  const hide = () => {
    if (shown) shown.classList.remove("on");
    shown = null;
    tip.hidden = true;
  };
  document.addEventListener("pointerover", (e) => {
    const el = e.target.closest("[title],[data-tip]");
    if (el !== shown) el ? show(el) : hide();
  });
  addEventListener("scroll", hide, { passive: true });

  // A field of things with tooltips is one stop of the keyboard; arrows walk in it.
  for (const field of $$(".field")) {
    let at = -1;
    field.addEventListener("keydown", (e) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
      if (e.key === "Escape") hide();
      const items = step ? $$("[title],[data-tip]", field) : [];
      if (!items.length) return;
      e.preventDefault();
      at = Math.min(Math.max(at + step, 0), items.length - 1);
      show(items[at]);
    });
    field.addEventListener("blur", hide);
  }

  // Charts: one crosshair through all of them.
  const holder = $("#arrival-data");
  if (holder) {
    const data = JSON.parse(holder.textContent);
    const plots = $$(".plot");
    const last = data.x.length - 1;
    const span = data.x[last] - data.x[0];
    const readouts = plots.map((p) => $$(".readout b", p.closest("figure")));
    const write = (v, unit) =>
      v === null ? "–" : unit ? v.toFixed(1) + nbsp + unit : Math.trunc(v).toLocaleString("en-US");
    let at = last;
    const read = (i, on) => {
      at = Math.min(Math.max(i, 0), last);
      plots.forEach((p, c) => {
        data.series[p.dataset.chart].forEach((values, s) => {
          readouts[c][s].textContent = write(values[at], p.dataset.unit);
        });
        const cross = $(".cross", p);
        cross.hidden = !on;
        cross.style.left = ((data.x[at] - data.x[0]) / span) * 100 + "%";
        let label = data.x[at].toLocaleString("en-US") + " pods";
        if (data.asked[last] > 0) label += `, ${data.asked[at].toFixed(0)}${nbsp}% GPU asked`;
        cross.firstChild.textContent = label;
        if (on) {
          const room = p.clientWidth * ((data.x[at] - data.x[0]) / span);
          const half = cross.firstChild.offsetWidth / 2;
          cross.firstChild.style.marginLeft = Math.max(0, half - room - 40) - Math.max(0, half + room - p.clientWidth) + "px";
        }
      });
      document.body.classList.toggle("reading", on);
    };
    for (const p of plots) {
      const point = (e) => {
        const box = p.getBoundingClientRect();
        const x = data.x[0] + ((e.clientX - box.left) / box.width) * span;
        let i = data.x.findIndex((v) => v >= x);
        if (i < 0) i = last;
        if (i > 0 && x - data.x[i - 1] < data.x[i] - x) i--;
        read(i, true);
      };
      p.addEventListener("pointermove", point);
      p.addEventListener("pointerdown", point);
      p.addEventListener("pointerleave", () => read(last, false));
      p.addEventListener("blur", () => read(last, false));
      p.addEventListener("keydown", (e) => {
        const step = { ArrowRight: 1, ArrowLeft: -1, PageUp: 16, PageDown: -16, Home: -at, End: last - at }[e.key];
        if (step === undefined) return;
        e.preventDefault();
        read(at + step, true);
      });
    }
  }

  // The table of pods.
  const table = $("#pod-table");
  if (table) {
    const rows = $$("tbody tr", table).map((tr) => ({ tr, kind: tr.dataset.kind, text: tr.textContent.toLowerCase() }));
    const search = $("#pod-search");
    const buttons = $$(".kinds button");
    let kind = "";
    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/);
      let n = 0;
      for (const row of rows) {
        const on = (!kind || row.kind === kind) && words.every((w) => row.text.includes(w));
        row.tr.hidden = !on;
        n += on;
      }
      $("#pod-count").textContent = `${n} of ${rows.length} rows`;
    };
    search.addEventListener("input", filter);
    for (const b of buttons)
      b.addEventListener("click", () => {
        kind = b.dataset.kind;
        for (const other of buttons) other.setAttribute("aria-pressed", other === b);
        filter();
      });
    $(".tools").hidden = false;
    filter();
  }
})();
