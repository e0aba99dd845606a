// What the admins' pages do beyond HTML, htmx and app.js. Without scripts every form and link still works.
(() => {
  "use strict";

  // A search answers as one types. Leaving the field would ask once more, and take away what was selected since.
  document.addEventListener(
    "change",
    (event) => {
      if (event.target.matches(".filters input[type=search]")) event.stopPropagation();
    },
    true,
  );

  // data-selects-all         checks all boxes of its form
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-selects-all]")) return;
    for (const box of event.target.form.elements) {
      if (box.type === "checkbox" && box.name) box.checked = event.target.checked;
    }
  });

  // Enter on a box of a selection would do the first thing that can be done with all of it.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("input[type=checkbox]")) event.preventDefault();
  });

  // ---- The queue of requests -----------------------------------------------------------------------------------
  //
  // data-decided             a row that was decided just now: the focus goes on to what can be done next
  // data-undo-seconds="10"   is hidden once so many seconds are over
  // data-opens="id"          opens that dialog
  // data-key="a"             is pressed by that key, for the row with the focus (data-keys="off" turns them off)
  function queue(page) {
    const rows = () => [...page.querySelectorAll("tr[data-row]")];
    const currentRow = () => document.activeElement.closest("tr[data-row]");

    function focusRow(row) {
      if (!row.hasAttribute("tabindex")) row.tabIndex = -1;
      row.focus();
    }

    // Taking back: what came last is what the key takes back first, from wherever the focus is.
    const offers = [];
    function watchUndo() {
      for (const form of page.querySelectorAll("[data-undo-seconds]")) {
        if (offers.includes(form)) continue;
        offers.push(form);
        setTimeout(() => {
          const row = form.closest("tr[data-row]");
          if (row && form.contains(document.activeElement)) focusRow(row);
          form.hidden = true;
        }, 1000 * Number(form.dataset.undoSeconds));
      }
    }
    watchUndo();

    // What is half done elsewhere is carried over a swap: a note that is typed, a row that is ticked, a reason that is
    // begun in a row with its whole form. A row that comes along stays as it is while somebody writes in it.
    const defaultOf = (field) =>
      field.matches("select")
        ? ([...field.options].find((option) => option.defaultSelected) || field.options[0]).value
        : field.defaultValue;
    const isChanged = (field) => field.value !== defaultOf(field) || field.checked !== field.defaultChecked;
    const fields = ":is(tr[data-row], #selection-reason) :is(input, textarea, select)[id]";
    const changed = () => [...page.querySelectorAll(fields)].filter(isChanged);
    let halfDone = [];
    document.addEventListener("htmx:beforeSwap", (event) => {
      const sent = event.detail.requestConfig.elt.closest("form");
      halfDone = changed().filter((field) => field.form !== sent);
    });
    // A way out of the page asks first whether what is written may go.
    addEventListener("beforeunload", (event) => {
      if (changed().some((field) => field.matches("textarea, input:not([type=checkbox])"))) event.preventDefault();
    });
    document.addEventListener("htmx:oobBeforeSwap", (event) => {
      const form = event.detail.target.querySelector(".queue-form");
      if (form && [...form.elements].some((field) => halfDone.includes(field))) event.detail.shouldSwap = false;
    });
    // At once after the swap, so that no key is pressed in between.
    document.addEventListener("htmx:afterSwap", (event) => {
      const isList = event.detail.target.id === "queue";
      for (const old of halfDone) {
        const field = document.getElementById(old.id);
        if (field && field !== old) {
          field.value = old.value;
          if (old.checked) field.checked = true;
          const folded = field.closest("details");
          if (folded) folded.open = true;
        } else if (isList && !field) {
          keepOpen(old);
        }
      }
      halfDone = [];
      const { written } = event.detail.requestConfig;
      const here = written && (written.isConnected ? written : document.getElementById(written.id));
      if (here && here !== document.activeElement) here.focus();
    });
    function keepOpen(field) {
      const old = field.closest("tr[data-row]");
      const row = old && field.closest(".queue-form") && document.getElementById(old.id);
      if (!row || row === old || !row.querySelector("[data-key=r]")) return;
      row.replaceWith(old);
      htmx.process(old);
    }

    // Where the answer comes late, the focus has gone on by itself, into a field perhaps: there it stays.
    let isWaitedFor = false;
    document.addEventListener("htmx:beforeSwap", (event) => {
      const here = document.activeElement;
      isWaitedFor = here === document.body || (event.detail.target.contains(here) && !event.detail.requestConfig.written);
    });

    document.addEventListener("htmx:afterSettle", (event) => {
      watchUndo();
      const row = event.detail.elt;
      if (!isWaitedFor || !row.isConnected || !row.matches("tr[data-decided]")) return;
      const later = rows().slice(rows().indexOf(row) + 1);
      // The row and not its button: a key that is held, or pressed once more, decides on nobody else.
      focusRow(later.find((each) => each.querySelector("[data-key=a], [data-key=r]")) || row);
    });

    const dialog = document.getElementById("keys");
    page.addEventListener("click", (event) => {
      if (!event.target.closest("[data-opens]")) return;
      event.preventDefault();
      dialog.showModal();
    });

    const press = (within, key) => {
      const target = within && within.querySelector(`[data-key="${key}"]`);
      if (target) target.click();
      return Boolean(target);
    };
    const step = (by) => {
      const all = rows();
      const at = all.indexOf(currentRow());
      const next = at < 0 ? all[0] : all[at + by];
      if (next) focusRow(next);
    };
    const undo = () => {
      const usable = offers.filter((form) => form.isConnected && !form.hidden);
      const row = currentRow();
      const own = row && usable.find((form) => row.contains(form));
      if (!press(own || usable.at(-1), "u")) htmx.trigger(document, "announce", { value: "There is nothing to undo." });
    };
    const keys = {
      j: () => step(1),
      k: () => step(-1),
      a: () => press(currentRow(), "a"),
      r: () => press(currentRow(), "r"),
      x: () => press(currentRow(), "x"),
      u: undo,
      "/": () => document.getElementById("filter-q").focus(),
      "?": () => dialog.showModal(),
    };
    document.addEventListener("keydown", (event) => {
      if (page.dataset.keys !== "on" || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
      const typing = "input:not([type=checkbox]), select, textarea, [contenteditable], dialog";
      if (event.target.closest(typing) || dialog.open || !Object.hasOwn(keys, event.key)) return;
      if (event.repeat && !["j", "k"].includes(event.key)) return;
      event.preventDefault();
      keys[event.key]();
    });
  }

  // ---- A part that asks for itself ---------------------------------------------------------------------------------
  //
  // data-while-visible       asks only while its page is seen
  // The focus stays on what has an id, also within a part that is kept through the swap (hx-preserve).
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.target.matches("[data-while-visible]")) event.preventDefault();
  });

  let focused = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target } = event.detail;
    focused = target.matches("[data-while-visible]") && target.contains(document.activeElement) && document.activeElement;
  });
  document.addEventListener("htmx:afterSwap", () => {
    const same = focused && focused.id && document.getElementById(focused.id);
    if (same && document.activeElement === document.body) same.focus({ preventScroll: true });
    focused = null;
  });

  const requests = document.querySelector(".queue-page");
  if (requests) queue(requests);
})();
