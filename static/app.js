// What every page does beyond HTML and htmx. All of it is a betterment: without scripts each form and link still works.
//
// data-focus       takes the focus when it comes with the page or a swap (error summaries carry it)
// data-announce    its text is read out politely after a swap ("2 requests left")
// data-mends="id"  a verdict on that field as one types: the error that was told of it before goes
// data-code        a one-time code: what is pasted is cleaned of spaces and dashes
// data-copy="id"   copies the text of that element
// data-print       prints the page
// data-most        how much a form takes, in words
(() => {
  "use strict";

  const byId = (id) => document.getElementById(id);
  const SLOW_AFTER = 300; // milliseconds before anything moves: quick answers do not flicker
  const STILL_SLOW_AFTER = 8000; // milliseconds before words are said about a slow network

  document.documentElement.classList.add("scripts");

  // ---- Saying things ---------------------------------------------------------------------------------------------

  /** Has screen readers say the words. Emptied first, so that the same words are said again. */
  function announce(words) {
    const place = byId("announce");
    place.textContent = "";
    setTimeout(() => (place.textContent = words), 100);
  }

  let tells = ""; // "slow" or "offline": the notice says no more than that, and goes by itself when it is over

  /** Shows the notice above the page; retry is what its button does, or null for none. */
  function tellNetwork(words, retry, passing = "") {
    tells = passing;
    byId("network-words").textContent = words;
    byId("network-notice").hidden = false;
    byId("network-log-in").hidden = true;
    const button = byId("network-retry");
    button.hidden = !retry;
    button.onclick = retry;
    announce(words);
  }

  function clearNetwork() {
    byId("network-notice").hidden = true;
  }

  // ---- Focus -----------------------------------------------------------------------------------------------------

  function focusOn(element) {
    if (!element.hasAttribute("tabindex") && !element.matches("a[href], button, input, select, textarea, summary")) {
      element.tabIndex = -1;
    }
    element.focus();
  }

  /** Marks the page's title as a form's errors come and go, as the first load does. */
  function markTitle() {
    const plain = document.title.replace(/^Error: /, "");
    document.title = document.querySelector(".error-summary") ? "Error: " + plain : plain;
  }

  /** Takes away the error that was told of a field before its new verdict, and those of fields that it has hidden. */
  function mend(verdict) {
    mendField(byId(verdict.dataset.mends));
  }

  function mendField(mended) {
    const form = mended.closest("form");
    if (!form) return;
    for (const link of form.querySelectorAll(".error-summary a[href^='#']")) {
      const field = byId(link.hash.slice(1));
      const place = field?.closest(".field");
      if (!place || (!place.contains(mended) && field.getClientRects().length)) continue;
      place.classList.remove("field-in-error");
      place.querySelector(".field-error")?.remove();
      place.querySelectorAll("[aria-invalid]").forEach((input) => input.removeAttribute("aria-invalid"));
      link.closest("li").remove();
    }
    const summary = form.querySelector(".error-summary");
    if (summary && !summary.querySelector("li")) summary.remove();
    markTitle();
  }

  // A choice has no verdict: another one is enough. Capture: the robot check tells nobody above it that it is done.
  document.addEventListener("change", (event) => {
    if (event.target.matches("[type=radio], [type=file]")) mendField(event.target);
  });
  document.addEventListener("verified", (event) => mendField(event.target), true);

  // A link of an error summary leads to the field's first thing that can be used: the robot check's box, a radio.
  document.addEventListener("click", (event) => {
    const link = event.target.closest(".error-summary a[href^='#']");
    const field = link && byId(link.hash.slice(1));
    if (!field) return;
    event.preventDefault();
    const usable = "input:not([type=hidden]), select, textarea, button";
    const target = field.matches(usable) ? field : field.querySelector(usable) || field;
    const label = document.querySelector(`label[for="${CSS.escape(field.id)}"]`);
    (target.closest("fieldset") || label || field).scrollIntoView();
    target.focus({ preventScroll: true });
  });

  // ---- Under way -------------------------------------------------------------------------------------------------

  const busy = new Map(); // element → what ends it

  function disable(button) {
    // aria-disabled, not disabled: the focus stays where it is, and the button's own name and value are still sent.
    button.setAttribute("aria-disabled", "true");
    return () => button.removeAttribute("aria-disabled");
  }

  function begin(element) {
    if (busy.has(element)) return;
    const buttons = element.matches("button")
      ? [element]
      : [...element.querySelectorAll("button[type=submit], button:not([type])")];
    const enable = element.matches("form, button") ? buttons.map(disable) : [];
    element.setAttribute("aria-busy", "true");
    const slow = setTimeout(() => {
      element.classList.add("busy-slow");
      byId("busy-bar").hidden = false;
    }, SLOW_AFTER);
    const stillSlow = setTimeout(() => {
      tellNetwork("This is taking longer than usual. We are still waiting for an answer.", null, "slow");
    }, STILL_SLOW_AFTER);
    busy.set(element, () => {
      clearTimeout(slow);
      clearTimeout(stillSlow);
      element.removeAttribute("aria-busy");
      element.classList.remove("busy-slow");
      enable.forEach((undo) => undo());
    });
  }

  function end(element) {
    const undo = busy.get(element);
    if (!undo) return;
    undo();
    if (tells === "slow") clearNetwork();
    busy.delete(element);
    if (busy.size === 0) byId("busy-bar").hidden = true;
  }

  // A button that is under way is not pressed twice. Capture: before htmx and before the browser send anything.
  document.addEventListener(
    "click",
    (event) => {
      if (event.target.closest("[aria-disabled=true]")) {
        event.preventDefault();
        event.stopImmediatePropagation();
      }
    },
    true,
  );
  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      if (busy.has(form) && form.method === "post") {
        event.preventDefault();
        event.stopImmediatePropagation();
      }
    },
    true,
  );

  // Plain forms: htmx's own are cancelled by the time this runs, and have their events below.
  document.addEventListener("submit", (event) => {
    if (!event.defaultPrevented && event.target.method === "post") begin(event.target);
  });

  // Back from the browser's cache: nothing is under way any more.
  addEventListener("pageshow", (event) => {
    if (event.persisted) [...busy.keys()].forEach(end);
    clearNetwork();
  });

  // What the browser filled in before htmx was there (autofill, Back) is checked as if it had been typed.
  addEventListener("load", () => {
    for (const field of document.querySelectorAll("input[hx-post]")) {
      if (field.value) field.dispatchEvent(new Event("change", { bubbles: true }));
    }
  });

  // ---- htmx ------------------------------------------------------------------------------------------------------

  /** Whether the person waits for it: a form or button was pressed. A check as one types, or a poll, is quiet. */
  function isPressed(detail) {
    const cause = detail.requestConfig && detail.requestConfig.triggeringEvent;
    return Boolean(cause && (cause.type === "submit" || cause.type === "click"));
  }

  // What asked is in requestConfig: detail.elt is another element once a swap has taken the asking one away.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!isPressed(event.detail)) return;
    clearNetwork(); // what went wrong last time
    begin(event.detail.requestConfig.elt);
  });

  document.addEventListener("htmx:afterRequest", (event) => {
    end(event.detail.requestConfig.elt);
  });

  /** Asks once more for what was pressed; null where nothing was. */
  function retryOf(detail) {
    if (!isPressed(detail)) return null;
    const { elt, triggeringEvent: cause } = detail.requestConfig;
    return () => {
      clearNetwork();
      if (cause.type === "submit") elt.requestSubmit(cause.submitter || undefined);
      else elt.click();
    };
  }

  function lost(event, words) {
    end(event.detail.requestConfig.elt);
    const retry = retryOf(event.detail);
    if (retry) tellNetwork(words, retry); // else the next key stroke or poll asks again
  }

  const WRITTEN = "textarea, input:not([type=hidden], [type=radio], [type=checkbox])";

  /** Whether an answer leads away to log in, and would take along what is written in the form that was sent or another. */
  function losesWords({ xhr, requestConfig }) {
    const to = xhr.getResponseHeader("HX-Redirect");
    if (!to || new URL(to, location.href).pathname !== byId("network-log-in").pathname) return false;
    const sent = requestConfig.verb === "post" && requestConfig.elt.closest("form");
    return [...document.querySelectorAll(WRITTEN)].some((field) =>
      field.form && field.form === sent ? field.value : field.form?.method === "post" && field.value !== field.defaultValue,
    );
  }

  document.addEventListener("htmx:beforeOnLoad", (event) => {
    if (!losesWords(event.detail)) return;
    event.preventDefault();
    tellNetwork(
      "You are not logged in any more, so nothing was sent. What you typed is still here: log in, then try again.",
      retryOf(event.detail),
    );
    byId("network-log-in").hidden = false;
  });

  document.addEventListener("htmx:sendError", (event) =>
    lost(event, "We could not reach the portal. Nothing was sent, and what you typed is still here."),
  );
  document.addEventListener("htmx:timeout", (event) =>
    lost(event, "The portal did not answer in time. What you typed is still here."),
  );

  /** When to try again, by the answer itself. */
  function pause(xhr) {
    const minutes = Math.ceil(Number(xhr.getResponseHeader("Retry-After")) / 60);
    if (!minutes) return "a few minutes";
    return minutes === 1 ? "1 minute" : `${minutes} minutes`;
  }

  document.addEventListener("htmx:responseError", (event) => {
    if (!isPressed(event.detail)) return;
    const { xhr, requestConfig } = event.detail;
    const { most } = requestConfig.elt.dataset;
    const words = {
      400: "This page is out of date, and nothing was changed. Load it again, then try once more.",
      403: "You may not do this, and nothing was changed.",
      404: "This is no longer here, and nothing was changed. Load the page again.",
      409: "Somebody else was faster, and nothing was changed. Load the page again to see how it stands.",
      413: `That is ${most ? `larger than ${most}` : "too large"}, and nothing was changed.`,
      429: `That was too often in a short time, and nothing was changed. Try again in ${pause(xhr)}.`,
    };
    tellNetwork(words[xhr.status] || "Something went wrong at our end. Please try again in a few minutes.", null);
  });

  document.addEventListener("htmx:afterSettle", (event) => {
    const fresh = event.detail.elt;
    // outerHTML swaps report the new element; deleted ones are no longer in the page.
    if (!fresh.isConnected) return;
    const within = (selector) => (fresh.matches(selector) ? fresh : fresh.querySelector(selector));
    const verdict = within("[data-mends]");
    if (verdict) mend(verdict);
    markTitle();
    const said = within("[data-announce]");
    if (said) announce(said.dataset.announce || said.textContent.trim());
    const target = within(".error-summary") || within("[data-focus]");
    if (event.detail.requestConfig.written || !fresh.firstChild) return;
    if (target) focusOn(target);
    else if (document.activeElement === document.body && wasInside) focusOn(fresh);
    wasInside = false;
  });

  // The focus was in what is about to be replaced: put it back into what comes, rather than to the page's top. Where
  // the answer came so late that somebody writes in another form by now, it stays there.
  let wasInside = false;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, requestConfig } = event.detail;
    const here = document.activeElement;
    wasInside = target.contains(here);
    const isElsewhere = here.matches(WRITTEN) && here.form !== requestConfig.elt.closest("form");
    requestConfig.written = isElsewhere ? here : null;
  });

  document.addEventListener("announce", (event) => announce(event.detail.value || ""));

  // ---- Small things ----------------------------------------------------------------------------------------------

  document.addEventListener("paste", (event) => {
    const input = event.target.closest && event.target.closest("input[data-code]");
    if (!input) return;
    const pasted = event.clipboardData.getData("text");
    const clean = input.dataset.code === "digits" ? pasted.replace(/\D/g, "") : pasted.trim();
    if (!clean) return;
    event.preventDefault();
    input.setRangeText(clean, input.selectionStart, input.selectionEnd, "end");
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });

  async function copy(button) {
    const source = byId(button.dataset.copy);
    const words = button.textContent;
    try {
      await navigator.clipboard.writeText(("value" in source ? source.value : source.innerText).trim());
      button.textContent = "Copied";
      announce("Copied");
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Press Ctrl+C";
      announce("Copying is not allowed here. The text is selected: press Control C.");
    }
    setTimeout(() => (button.textContent = words), 3000);
  }

  document.addEventListener("click", (event) => {
    const copier = event.target.closest("[data-copy]");
    if (copier) copy(copier);
    if (event.target.closest("[data-print]")) print();
  });

  addEventListener("offline", () => {
    if (!tells && !byId("network-notice").hidden) return; // It says already that something was not sent.
    tellNetwork("You are offline. What you typed is still here.", null, "offline");
  });
  addEventListener("online", () => {
    if (tells === "offline") clearNetwork();
  });

  // A help text that a link points at is opened (#no-email).
  function openHelp() {
    const target = location.hash && byId(location.hash.slice(1));
    const details = target && (target.closest("details") || target.querySelector(":scope > details"));
    if (details) details.open = true;
  }
  addEventListener("hashchange", openHelp);
  openHelp();

  const first = document.querySelector(".error-summary") || document.querySelector("[data-focus]");
  if (first) focusOn(first);
})();
