// @ts-check
/**
 * Keeps our nodes copyable. Front ends up to 1.32 put copied nodes on the clipboard as Latin-1 alone and fail on any
 * other letter, such as the γ in a translated socket name; then the next paste brings what was copied before.
 * The name is only a label, made anew from the node's definition wherever the node is pasted or opened.
 */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";

const BEYOND_LATIN_1 = /[^\u0000-\u00ff]/;

app.registerExtension({
  name: "EchoGen.Clipboard",
  nodeCreated(/** @type {any} */ node) {
    if (!node.comfyClass?.startsWith("EchoGen")) return;
    const before = node.onSerialize;
    node.onSerialize = function (/** @type {any} */ saved) {
      before?.apply(this, arguments);
      for (const sockets of /** @type {const} */ (["inputs", "outputs"])) {
        if (!Array.isArray(saved[sockets])) continue; // as a file brought it
        saved[sockets] = saved[sockets].map((/** @type {any} */ socket) => {
          const { localized_name, ...rest } = socket ?? {};
          return typeof localized_name === "string" && BEYOND_LATIN_1.test(localized_name) ? rest : socket;
        });
      }
    };
  },
});
