// The robot check: the widget, and the worker that solves its puzzle. Both come from this site alone.
import "./vendor/altcha-3.2.2/altcha.min.js";

const worker = new URL("./vendor/altcha-3.2.2/pbkdf2.js", import.meta.url);

globalThis.$altcha.algorithms.set("PBKDF2/SHA-256", () => new Worker(worker, { type: "module" }));
