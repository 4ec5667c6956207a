// What the gallery does: routes, search, choosing, the viewer. One plain script, no build.
// Addresses: # all artworks, #NAME one, #NAME/3 a candidate, #NAME/zoom, #NAME/divider, #NAME/side.
(() => {
  "use strict";

  const $ = (selector, place = document) => place.querySelector(selector);
  const $$ = (selector, place = document) => [...place.querySelectorAll(selector)];
  const TABLE = JSON.parse($("#table").textContent);
  const cards = $$(".card");
  const articles = new Map($$("article.artwork").map((each) => [each.dataset.artwork, each]));
  const cardOf = new Map(cards.map((each) => [each.dataset.artwork, each]));
  const FINAL = "final";

  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const store = {
    // pages from the disk may share one storage: keys have the folder
    key: (name) => `bigart:${location.pathname}:${name}`,
    get(key, otherwise) {
      try { return JSON.parse(localStorage.getItem(key)) ?? otherwise; } catch { return otherwise; }
    },
    set(key, value) {
      try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* no storage */ }
    },
  };

  // Messages

  let hiding = 0;
  function say(text) {
    const status = $("#status");
    const place = $("dialog[open]") || document.body; // what is outside an open dialog cannot be seen
    if (status.parentNode !== place) place.append(status);
    status.textContent = text;
    status.classList.add("shown");
    clearTimeout(hiding);
    hiding = setTimeout(() => status.classList.remove("shown"), 5000);
  }

  async function copy(text, done) {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // not allowed for files in every browser
      const area = document.createElement("textarea");
      area.value = text;
      ($("dialog[open]") || document.body).append(area);
      area.select();
      const copied = document.execCommand("copy");
      area.remove();
      if (!copied) return say("The browser does not let the page copy: select the text and copy it.");
    }
    say(done);
  }

  // Choices: in the table (base), and now

  const base = {}, now = {}, fixed = {};
  for (const [name, article] of articles) {
    base[name] = now[name] = Number(article.dataset.choose);
    if (article.dataset.fixed) fixed[name] = article.dataset.fixed;
  }
  let served = false, undoable = null, past = [];

  function candidatesOf(name) {
    return $$(".candidates > li", articles.get(name)).length;
  }

  function changed() {
    return [...articles.keys()].filter((name) => now[name] !== base[name]);
  }

  function cells(name) {
    const found = JSON.parse(articles.get(name).dataset.cells);
    const columns = TABLE.columns.includes("choose") ? TABLE.columns : [...TABLE.columns, "choose"];
    if (now[name] !== base[name]) {
      while (found.length < columns.length) found.push("");
      found[columns.indexOf("choose")] = String(now[name]);
    }
    return found;
  }

  const written = (fields) =>
    fields.map((text) => (text.startsWith('"') ? `"${text.replaceAll('"', '""')}"` : text)).join("\t");

  function changedRows(withHeader) {
    const lacks = !TABLE.columns.includes("choose");
    const columns = lacks ? [...TABLE.columns, "choose"] : TABLE.columns;
    const rows = changed().map((name) => written(cells(name)));
    return (withHeader || lacks ? [written(columns), ...rows] : rows).join("\n") + "\n";
  }

  function showChoice(name) {
    const article = articles.get(name), choice = now[name], painted = Number(article.dataset.painted);
    for (const item of $$(".candidates > li", article)) {
      const is = Number(item.dataset.candidate) === choice;
      item.classList.toggle("chosen", is);
      $("button", item).setAttribute("aria-pressed", is);
    }
    $("[data-chosen]", article).textContent = choice || "?";
    $("[data-row]", article).textContent = written(cells(name));
    const outdated = $("[data-outdated]", article);
    outdated.hidden = !painted || painted === choice;
    outdated.textContent =
      `The final picture is still that of candidate ${painted}. The command “snakemake gallery --cores 8” paints it again.`;
    const state = $(".state", cardOf.get(name)), differs = now[name] !== base[name];
    state.dataset.usual ??= state.textContent;
    state.classList.toggle("changed", differs || (painted > 0 && painted !== choice));
    state.textContent = differs || (painted && painted !== choice) ? `${choice} chosen` : state.dataset.usual;
    if (!painted && candidatesOf(name)) {
      const address = $(`[data-candidate="${choice}"] img`, article)?.getAttribute("src");
      for (const picture of [$("img", cardOf.get(name)), $("[data-hero] img", article)]) {
        if (address && picture && picture.getAttribute("src") !== address) picture.src = address;
      }
      const hero = $("[data-hero]", article);
      if (hero) hero.href = `#${name}/${choice}`;
    }
    showTray();
    showViewerChoice();
  }

  function showTray() {
    const names = changed(), tray = $("#tray");
    const waiting = [...articles.keys()].filter((name) => {
      const painted = Number(articles.get(name).dataset.painted);
      return painted && painted !== now[name];
    });
    const count = (many, one) => `${many} ${many === 1 ? one : `${one}s`}`;
    $("#copy-rows").hidden = $("#download-rows").hidden = served;
    if (served) {
      tray.hidden = !undoable && !waiting.length;
      $("#undo").disabled = !undoable;
      $("#tray-text").textContent = waiting.length
        ? `Choices are in ${TABLE.table}. “snakemake gallery --cores 8” paints ${count(waiting.length, "artwork")} again.`
        : `Choices are in ${TABLE.table}.`;
    } else {
      tray.hidden = !names.length && !past.length;
      $("#undo").disabled = !past.length;
      $("#copy-rows").disabled = $("#download-rows").disabled = !names.length;
      $("#tray-text").textContent = names.length
        ? `${count(names.length, "choice")} changed, not yet in ${TABLE.table}. `
        : "The choices are those of the table again.";
      $("#tray-more").textContent = names.length
        ? "Put the rows there, or open this page with “python workflow/scripts/choose.py”." : "";
    }
    document.body.style.paddingBottom = tray.hidden ? "" : "6rem";
  }

  function remember() {
    store.set(store.key("choices"), Object.fromEntries(changed().map((name) => [name, now[name]])));
    store.set(store.key("past"), past);
  }

  async function ask(path, body) {
    const options = body && {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    };
    const answer = await fetch(`api/${path}`, { cache: "no-store", ...options });
    const content = await answer.json();
    if (!answer.ok) throw new Error(content.error || `The server answers ${answer.status}.`);
    return content;
  }

  function take(state) {
    for (const [name, choice] of Object.entries(state.choices || {})) {
      if (articles.has(name)) now[name] = base[name] = choice === "auto" ? Number(articles.get(name).dataset.best) : choice;
    }
    for (const name of Object.keys(fixed)) delete fixed[name];
    Object.assign(fixed, state.fixed || {});
    undoable = state.undo || null;
    const wrote = Object.entries(state.choices || {}).some(
      ([name, choice]) => articles.has(name) && String(choice) !== articles.get(name).dataset.stated);
    if (wrote && !TABLE.columns.includes("choose")) TABLE.columns.push("choose");
    for (const [name, article] of articles) {
      const cell = TABLE.columns.indexOf("choose"), known = JSON.parse(article.dataset.cells);
      if (cell >= 0 && state.choices && name in state.choices && !(name in fixed)) {
        const before = known[cell] || article.dataset.stated, choice = state.choices[name];
        if (before !== choice && Number(before) !== choice) {
          while (known.length <= cell) known.push("");
          known[cell] = String(choice);
          article.dataset.cells = JSON.stringify(known);
        }
      }
      showChoice(name);
    }
  }

  async function choose(name, choice) {
    const count = candidatesOf(name);
    if (!count || choice > count) return;
    if (fixed[name]) return say(fixed[name]);
    if (now[name] === choice) return say(`Candidate ${choice} is chosen already.`);
    if (served) {
      try {
        take(await ask("choose", { artwork: name, choose: choice }));
        say(`Candidate ${choice} is in the table.`);
      } catch (error) {
        say(`Not written: ${error.message}`);
      }
      return;
    }
    past.push({ artwork: name, choose: now[name] });
    now[name] = choice;
    remember();
    showChoice(name);
    say(`Candidate ${choice} is chosen.`);
  }

  async function undo() {
    if (served) {
      if (!undoable) return say("There is nothing to undo.");
      try {
        const { artwork, choose: choice } = undoable;
        take(await ask("undo", {}));
        say(choice === "auto" ? `${artwork}: the best is chosen again.` : `${artwork}: candidate ${choice} again.`);
      } catch (error) {
        say(`Not undone: ${error.message}`);
      }
      return;
    }
    const last = past.pop();
    if (!last) return say("There is nothing to undo.");
    if (articles.has(last.artwork)) {
      now[last.artwork] = last.choose;
      showChoice(last.artwork);
      say(`${last.artwork}: candidate ${last.choose} again.`);
    }
    remember();
    showTray();
  }

  async function begin() {
    if (location.protocol.startsWith("http")) {
      try {
        const state = await ask("state");
        served = "choices" in state;
        if (served) take(state);
      } catch { /* another server, which cannot write */ }
    }
    if (!served) {
      past = store.get(store.key("past"), []).filter((each) => articles.has(each.artwork));
      for (const [name, choice] of Object.entries(store.get(store.key("choices"), {}))) {
        if (articles.has(name) && choice <= candidatesOf(name)) now[name] = choice;
      }
      if (!changed().length) past = [];
    }
    for (const name of articles.keys()) showChoice(name);
  }

  // Search

  const words = new Map(cards.map((card) => [
    card, `${card.textContent} ${card.dataset.more}`.toLowerCase().replace(/\s+/g, " "),
  ]));
  function visible() {
    return cards.filter((card) => !card.hidden).map((card) => card.dataset.artwork);
  }
  function search() {
    const wanted = $("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = $("#filter").value;
    for (const card of cards) {
      const name = card.dataset.artwork, painted = Number(articles.get(name).dataset.painted);
      const has = wanted.every((word) => words.get(card).includes(word));
      const is = { all: true, finished: painted > 0, candidates: !painted,
        changed: now[name] !== base[name] || (painted > 0 && painted !== now[name]) }[kind];
      card.hidden = !(has && is);
    }
    const count = visible().length;
    $("#count").textContent =
      count === cards.length ? `${count} ${count === 1 ? "artwork" : "artworks"}` : `${count} of ${cards.length}`;
    $("#nothing").hidden = count > 0;
  }

  // Routes

  let shown = "", mode = "", from = null, scroll = 0, inside = false;

  let address = null, before = null; // now, and where one came from

  function route() {
    let next = location.hash.slice(1);
    try { next = decodeURIComponent(next); } catch { /* not an address of this page */ }
    if (next === address) return;
    before = address, address = next;
    const [name, what = "", detail = ""] = address.split("/");
    const article = articles.get(name);
    if (name !== shown || !article || before === null) {
      if (!shown) scroll = scrollY;
      const former = shown;
      shown = article ? name : "";
      document.documentElement.dataset.route = shown ? "artwork" : "";
      $("#index").hidden = Boolean(shown);
      $("[data-index]").hidden = Boolean(shown);
      $("[data-artwork-only]").hidden = !shown;
      for (const [each, element] of articles) element.hidden = each !== shown;
      document.title = shown ? `${shown}: BIG.art` : "Gallery: BIG.art";
      if (shown) {
        scrollTo(0, 0);
        neighbours();
        if (former !== shown) $("h2", article).focus({ preventScroll: true });
      } else {
        scrollTo(0, scroll);
        if (former) $("a", cardOf.get(former)).focus({ preventScroll: true });
      }
    }
    const count = shown ? candidatesOf(shown) : 0;
    const finished = shown && article.dataset.final !== "null";
    if (/^\d+$/.test(what) && Number(what) >= 1 && Number(what) <= count) openViewer("candidate", Number(what));
    else if (finished && ["zoom", "divider", "side"].includes(what)) openViewer(what, detail);
    else closeViewer();
  }

  function neighbours() {
    let names = visible();
    if (!names.includes(shown)) names = [...articles.keys()];
    const place = names.indexOf(shown);
    $("#place").textContent = `${place + 1} of ${names.length}`;
    for (const [id, name] of [["#previous", names[place - 1]], ["#next", names[place + 1]]]) {
      const link = $(id);
      link.setAttribute("aria-disabled", !name);
      if (name) link.href = `#${name}`;
      else link.removeAttribute("href");
    }
  }

  const go = (to) => { location.hash = to; route(); };
  // inside the viewer the way back leads out of it
  const swap = (to) => { location.replace(`#${to}`); route(); };

  // The viewer

  const dialog = $("#viewer"), panes = $("#panes");
  let viewers = [], leader = null, final = null, candidate = 0, divider = 0.5, pair = ["", FINAL], opener = null;
  let inch = store.get("bigart:inch", 96); // CSS pixels to the inch of this screen

  function openViewer(next, detail) {
    if (!dialog.open) {
      inside = before === shown; // then the way out is the browser's way back
      opener = document.activeElement;
      dialog.showModal();
    }
    const article = articles.get(shown), same = mode === next && from === shown;
    dialog.dataset.mode = next;
    dialog.setAttribute("aria-label", `${shown}: ${next}`);
    for (const button of $$("[data-mode]", dialog)) {
      button.setAttribute("aria-pressed", button.dataset.mode === next);
    }
    if (next === "candidate") {
      candidate = detail;
      clearPanes();
      const pane = makePane(), picture = document.createElement("img");
      picture.src = $(`[data-candidate="${candidate}"] img`, article).getAttribute("src");
      picture.alt = `Candidate ${candidate}: ${$("h2", article).textContent}`;
      pane.append(picture);
      panes.style.gridTemplate = "1fr / 1fr";
      mode = next, from = shown;
      return showViewerChoice();
    }
    final = JSON.parse(article.dataset.final);
    if (next === "divider") {
      const names = [...final.stages.map((stage) => stage.name), FINAL];
      if (detail && names.includes(detail)) pair = [detail, FINAL];
      if (!names.includes(pair[0])) pair[0] = names.at(-2) || FINAL;
      if (!names.includes(pair[1])) pair[1] = FINAL;
      for (const [id, chosen] of [["#left", pair[0]], ["#right", pair[1]]]) {
        $(id).replaceChildren(...names.map((name) => new Option(titleOf(name), name, false, name === chosen)));
      }
    }
    if (same && next !== "divider") return;
    const place = viewers.length && from === shown ? whereabouts(viewers[0]) : null;
    clearPanes();
    mode = next, from = shown;
    if (next === "zoom") addViewer(makePane(), [FINAL]);
    if (next === "side") for (const name of [...final.stages.map((stage) => stage.name), FINAL]) addViewer(makePane(titleOf(name)), [name]);
    if (next === "divider") addDivider();
    arrange();
    if (place) for (const viewer of viewers) viewer.addOnceHandler("open", () => goTo(viewer, place));
  }

  function closeViewer() {
    if (!dialog.open) return;
    clearPanes();
    mode = "", from = null;
    dialog.close();
    if (opener?.isConnected && !opener.closest("[hidden]")) opener.focus({ preventScroll: true });
  }

  function titleOf(name) {
    if (name === FINAL) return `${final.width} px`;
    return final.stages.find((stage) => stage.name === name).title;
  }

  function sourceOf(name) {
    if (name !== FINAL) return { type: "image", url: `${shown}/final/${name}.jpg` };
    return {
      Image: {
        xmlns: "http://schemas.microsoft.com/deepzoom/2008", Url: `${shown}/final/tiles_files/`,
        Format: "jpg", Overlap: "1", TileSize: "1024",
        Size: { Width: String(final.width), Height: String(final.height) },
      },
    };
  }

  function makePane(title) {
    const pane = document.createElement("figure");
    pane.className = "pane";
    pane.style.margin = 0;
    if (title) {
      const caption = document.createElement("figcaption");
      caption.textContent = title;
      pane.append(caption);
    }
    panes.append(pane);
    return pane;
  }

  function clearPanes() {
    for (const viewer of viewers) viewer.destroy();
    viewers = [], leader = null;
    panes.replaceChildren();
  }

  function addViewer(pane, names) {
    const element = document.createElement("div");
    element.className = "osd";
    element.setAttribute("role", "img");
    element.setAttribute("aria-label", `${shown}, ${names.map(titleOf).join(" and ")}`);
    pane.prepend(element);
    const viewer = OpenSeadragon({
      element,
      tileSources: names.map((name) => ({
        tileSource: sourceOf(name), ...(name === FINAL && mode !== "zoom" ? final.place : { x: 0, y: 0, width: 1 }),
      })),
      drawer: "canvas", // the other one cannot read files from the disk
      showNavigationControl: false,
      showNavigator: mode === "zoom" && innerWidth > 700,
      navigatorPosition: "TOP_RIGHT",
      navigatorWidth: `${Math.round(150 * Math.min(1, final.width / final.height))}px`,
      navigatorHeight: `${Math.round(150 * Math.min(1, final.height / final.width))}px`,
      navigatorMaintainSizeRatio: false,
      navigatorBackground: "transparent",
      navigatorBorderColor: "#8886",
      navigatorDisplayRegionColor: "#f0a070",
      navigatorOpacity: 1,
      navigatorAutoFade: false,
      keyboardNavEnabled: false,
      animationTime: still.matches ? 0 : 0.5,
      springStiffness: 9,
      zoomPerScroll: 1.25,
      minZoomImageRatio: 0.8,
      visibilityRatio: 0.4,
      immediateRender: false,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsTouch: { flickEnabled: true },
    });
    viewers.push(viewer);
    leader ??= viewer;
    for (const event of ["canvas-press", "canvas-scroll", "canvas-enter", "canvas-pinch"]) {
      viewer.addHandler(event, () => { leader = viewer; });
    }
    viewer.addHandler("viewport-change", () => {
      if (viewer !== leader) return;
      follow();
      showZoom();
    });
    viewer.addHandler("open", () => {
      // the smallest stage, too, can be enlarged as far as the final picture
      viewer.viewport.maxZoomLevel = (8 * final.width) / viewer.viewport.getContainerSize().x;
      showZoom();
    });
    viewer.addHandler("resize", () => setTimeout(showZoom));
    return viewer;
  }

  function whereabouts(viewer) {
    return { zoom: viewer.viewport.getZoom(true), center: viewer.viewport.getCenter(true) };
  }

  function goTo(viewer, place) {
    viewer.viewport.zoomTo(place.zoom, null, true);
    viewer.viewport.panTo(place.center, true);
  }

  function follow() {
    const place = whereabouts(leader);
    for (const viewer of viewers) if (viewer !== leader && viewer.isOpen()) goTo(viewer, place);
  }

  // as large as they can be side by side
  function arrange() {
    const count = viewers.length, box = panes.getBoundingClientRect();
    let best = 1, size = 0;
    for (let columns = 1; columns <= count; columns++) {
      const side = Math.min(box.width / columns, box.height / Math.ceil(count / columns));
      if (side > size * 1.001) best = columns, size = side;
    }
    panes.style.gridTemplate =
      `repeat(${Math.ceil(count / best)}, minmax(0, 1fr)) / repeat(${best}, minmax(0, 1fr))`;
  }

  // The divider: the right picture lies on the left one, cut off where the divider stands

  function addDivider() {
    const pane = makePane(), viewer = addViewer(pane, pair);
    const handle = document.createElement("div");
    handle.className = "divider";
    handle.tabIndex = 0;
    handle.setAttribute("role", "slider");
    handle.setAttribute("aria-label", "Divider");
    handle.setAttribute("aria-valuemin", "0");
    handle.setAttribute("aria-valuemax", "100");
    const names = pair.map((name, side) => {
      const label = document.createElement("span");
      label.className = `side-name ${side ? "right" : ""}`;
      label.textContent = titleOf(name);
      return label;
    });
    pane.append(handle, ...names);
    const move = (share) => {
      divider = Math.min(1, Math.max(0, share));
      handle.style.left = `${divider * 100}%`;
      handle.setAttribute("aria-valuenow", Math.round(divider * 100));
      cut();
    };
    const cut = () => {
      const item = viewer.world.getItemAt(1);
      if (!item) return;
      const size = item.getContentSize(), x = divider * pane.clientWidth;
      const point = viewer.viewport.pointFromPixel(new OpenSeadragon.Point(x, 0), true);
      const start = Math.min(size.x, Math.max(0, item.viewportToImageCoordinates(point, true).x));
      item.setOpacity(start >= size.x ? 0 : 1);
      item.setClip(new OpenSeadragon.Rect(start, 0, Math.max(size.x - start, 1e-6), size.y));
    };
    handle.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      handle.focus();
      handle.setPointerCapture(event.pointerId);
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const box = pane.getBoundingClientRect();
      move((event.clientX - box.left) / box.width);
    });
    handle.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      move(divider + step);
    });
    viewer.addHandler("viewport-change", cut);
    viewer.addHandler("open", cut);
    viewer.addHandler("resize", () => setTimeout(cut));
    viewer.world.addHandler("add-item", cut);
    move(divider);
  }

  // Zoom: what a pixel of the picture measures here, and what a centimetre of the print does

  function scale() { // CSS pixels to a pixel of the final picture
    const viewport = leader.viewport;
    return viewport.getZoom(true) * unit();
  }

  function unit() { // the same at a zoom of 1, where a stage is as wide as its pane
    return (leader.viewport.getContainerSize().x * (mode === "zoom" ? 1 : final.place.width)) / final.width;
  }

  function zoomTo(wanted) {
    const viewport = leader.viewport;
    viewport.zoomTo(wanted / unit());
    viewport.applyConstraints();
  }

  const actual = () => 1 / devicePixelRatio;
  const printed = () => inch / final.dpi;
  const near = (a, b) => Math.abs(a / b - 1) < 0.01;

  function showZoom() {
    if (!leader?.isOpen() || !final) return;
    const here = scale();
    const share = (here / actual()) * 100;
    $("#zoom-state").textContent = `${share < 10 ? share.toFixed(1) : Math.round(share)} %`;
    $("[data-do='actual']").setAttribute("aria-pressed", near(here, actual()));
    $("[data-do='print']").setAttribute("aria-pressed", Boolean(final.dpi) && near(here, printed()));
    const home = leader.viewport.getHomeZoom() * unit();
    $("[data-do='whole']").setAttribute("aria-pressed", near(here, home));
    if (leader.navigator) leader.navigator.element.style.visibility = here > home * 1.01 ? "" : "hidden";
    $("[data-do='print']").disabled = !final.dpi;
    $(".scales").hidden = $("#print-note").hidden = $("#calibrate").hidden = !final.dpi;
    if (!final.dpi) return;
    bar("#scale-cm", (here * final.dpi) / 2.54, "cm");
    bar("#scale-inch", here * final.dpi, "in");
    const times = (here * final.dpi) / inch;
    $("#print-note").textContent = near(times, 1)
      ? "As large as in print."
      : `${times >= 10 ? times.toFixed(0) : times.toPrecision(2)} times the print, ` +
        `which is ${(final.width / final.dpi * 2.54).toFixed(1)} × ${(final.height / final.dpi * 2.54).toFixed(1)} cm, ` +
        `${(final.width / final.dpi).toFixed(1)} × ${(final.height / final.dpi).toFixed(1)} in`;
  }

  function bar(id, unit, name) {
    const lengths = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];
    const room = $(id).clientWidth || 110;
    const length = lengths.filter((each) => each * unit <= room).at(-1) ?? lengths[0];
    $(`${id} i`).style.width = `${length * unit}px`;
    $(`${id} b`).textContent = `${length} ${name}`;
  }

  function showInch() {
    document.documentElement.style.setProperty("--inch", inch);
    $("#screen").value = inch;
  }

  function showViewerChoice() {
    if (mode !== "candidate" || from !== shown) return;
    const button = $("[data-do='choose']"), is = now[shown] === candidate;
    $("#candidate-state").textContent = `${candidate} of ${candidatesOf(shown)}`;
    button.textContent = is ? "Chosen" : `Choose ${candidate}`;
    button.setAttribute("aria-pressed", is);
    button.disabled = Boolean(fixed[shown]);
  }

  function step(by) {
    const count = candidatesOf(shown);
    swap(`${shown}/${((candidate - 1 + by + count) % count) + 1}`);
  }

  const actions = {
    close: () => (inside ? history.back() : go(shown)),
    in: () => { leader.viewport.zoomBy(1.5); leader.viewport.applyConstraints(); },
    out: () => { leader.viewport.zoomBy(1 / 1.5); leader.viewport.applyConstraints(); },
    whole: () => leader.viewport.goHome(),
    actual: () => zoomTo(actual()),
    print: () => final.dpi && zoomTo(printed()),
    before: () => step(-1),
    after: () => step(1),
    choose: () => choose(shown, candidate),
  };

  function pan(x, y) {
    leader.viewport.panBy(new OpenSeadragon.Point(x, y).divide(5 * leader.viewport.getZoom()));
    leader.viewport.applyConstraints();
  }

  // Keys

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function viewerKey(key) {
    if (mode === "candidate") {
      if (key === "ArrowLeft") return step(-1);
      if (key === "ArrowRight") return step(1);
      if (/^[1-9]$/.test(key) && Number(key) <= candidatesOf(shown)) {
        swap(`${shown}/${key}`);
        return choose(shown, Number(key));
      }
      if (key === "c") return choose(shown, candidate);
      return false;
    }
    if (ARROWS[key]) return pan(...ARROWS[key]);
    const names = { "+": "in", "=": "in", "-": "out", 0: "whole", p: "print" };
    if (names[key]) return actions[names[key]]();
    if (key === "z") return near(scale(), actual()) ? actions.whole() : actions.actual();
    if (key === "d") return swap(`${shown}/divider`);
    if (key === "s") return swap(`${shown}/side`);
    return false;
  }

  function artworkKey(key) {
    if (key === "ArrowLeft" || key === "ArrowRight") {
      const link = $(key === "ArrowLeft" ? "#previous" : "#next");
      return link.href ? go(link.hash.slice(1)) : undefined;
    }
    if (/^[1-9]$/.test(key)) return choose(shown, Number(key));
    if (key === "Escape") return go("");
    const finished = articles.get(shown).dataset.final !== "null";
    const what = { z: "zoom", "+": "zoom", d: "divider", s: "side" }[key];
    if (what) return finished ? go(`${shown}/${what}`) : go(`${shown}/${now[shown]}`);
    return false;
  }

  function indexKey(key) {
    if (!ARROWS[key]) return false;
    const links = cards.filter((card) => !card.hidden).map((card) => $("a", card));
    const place = links.indexOf(document.activeElement);
    if (!links.length) return false;
    if (place < 0) return key === "ArrowUp" ? false : links[0].focus();
    const top = links[0].getBoundingClientRect().top;
    const columns = links.filter((link) => Math.abs(link.getBoundingClientRect().top - top) < 4).length;
    const [x, y] = ARROWS[key];
    links[place + x + y * columns]?.focus();
  }

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("#keys").open) return;
    const typing = event.target.closest?.("input, select, textarea, pre");
    if (typing) {
      if (event.key === "Escape" && typing.id === "search") {
        typing.value = "";
        search();
        typing.blur();
      }
      return;
    }
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    let done = false;
    if (key === "u") done = undo();
    else if (key === "?") done = $("#keys").showModal();
    else if (key === "/" && !shown) done = $("#search").focus();
    else if (dialog.open) done = key === "Escape" ? false : viewerKey(key);
    else done = shown ? artworkKey(key) : indexKey(key);
    if (done !== false) event.preventDefault();
  });

  // Clicks

  document.addEventListener("click", (event) => {
    const target = event.target.closest("button, a");
    if (!target) return;
    const article = target.closest("article");
    if (target.matches(".choose")) choose(article.dataset.artwork, Number(target.parentNode.dataset.candidate));
    else if (target.matches("[data-copy-row]")) copy($("[data-row]", article).textContent, "The row is copied.");
    else if (target.matches("[data-skip]")) { event.preventDefault(); $("#main").focus(); }
    else if (target.dataset.mode) swap(`${shown}/${target.dataset.mode}`);
    else if (target.dataset.do && (mode === "candidate" || leader || target.dataset.do === "close")) actions[target.dataset.do]();
  });
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); actions.close(); });
  dialog.addEventListener("close", () => { // the browser may close it by itself
    if (!mode) return;
    clearPanes();
    mode = "", from = null;
    go(shown);
  });
  $("#undo").addEventListener("click", undo);
  $("#copy-rows").addEventListener("click", () => copy(changedRows(false), "The changed rows are copied."));
  $("#download-rows").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([changedRows(true)], { type: "text/tab-separated-values" }));
    link.download = "changed-rows.tsv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  $("#keys-button").addEventListener("click", () => $("#keys").showModal());
  for (const [id, side] of [["#left", 0], ["#right", 1]]) {
    $(id).addEventListener("change", (event) => { pair[side] = event.target.value; openViewer("divider", ""); });
  }
  $("#screen").addEventListener("input", (event) => {
    inch = Number(event.target.value);
    store.set("bigart:inch", inch);
    showInch();
    showZoom();
  });
  $("#search").addEventListener("input", search);
  $("#filter").addEventListener("change", search);
  $("[data-index]").addEventListener("submit", (event) => event.preventDefault());
  $("#theme").addEventListener("click", () => {
    const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const next = { "": dark ? "light" : "dark", light: dark ? "" : "dark", dark: dark ? "light" : "" };
    root.dataset.theme = next[root.dataset.theme || ""];
    try { localStorage.setItem("bigart:theme", root.dataset.theme); } catch { /* no storage */ }
    showTheme();
  });
  function showTheme() {
    const name = document.documentElement.dataset.theme;
    $("#theme").setAttribute("aria-label", `Colours: ${name || "as the system"}`);
  }
  addEventListener("resize", () => { if (viewers.length) arrange(); });
  addEventListener("hashchange", route);

  showTheme();
  showInch();
  search();
  begin().then(() => document.documentElement.dataset.ready = served ? "served" : "alone");
  route();
})();
