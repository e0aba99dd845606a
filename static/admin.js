// What the admins' pages do beyond HTML, htmx and app.js. Without scripts every form and link still works.
(() => {
  "use strict";
})();
