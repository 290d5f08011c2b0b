// @ts-check
/**
 * Keeps our nodes copyable. Front ends up to 1.32 encode the clipboard as Latin-1 and fail on other letters, such as
 * the γ in a localised slot name; the next paste then inserts what was copied before. The localised name is only a
 * label, which the front end takes from the node's definition whenever the node is pasted or opened.
 */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
import { PACK } from "./pack.js";

const BEYOND_LATIN_1 = /[^\u0000-\u00ff]/;

app.registerExtension({
  name: `${PACK}.Clipboard`,
  nodeCreated(/** @type {any} */ node) {
    if (!node.comfyClass?.startsWith("EchoGen")) return;
    const before = node.onSerialize;
    node.onSerialize = function (/** @type {any} */ saved) {
      before?.apply(this, arguments);
      for (const sockets of /** @type {const} */ (["inputs", "outputs"])) {
        if (!Array.isArray(saved[sockets])) continue; // a malformed file
        saved[sockets] = saved[sockets].map((/** @type {any} */ socket) => {
          const { localized_name, ...rest } = socket ?? {};
          return typeof localized_name === "string" && BEYOND_LATIN_1.test(localized_name) ? rest : socket;
        });
      }
    };
  },
});
