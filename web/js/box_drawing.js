// @ts-check
/** Draws the box of Subject Segmentation on the node's picture, in a dialog, as every renderer shows one. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
// @ts-ignore: served by ComfyUI
import { api } from "/scripts/api.js";
import { between, boxOfText, textOfBox } from "./box_maths.js";
import { addStyle, make } from "./dom.js";
import { asOneStep, keyOf, loadTexts } from "./node_views.js";
import { PACK } from "./pack.js";
import { isRecord, listOf, numberOf, ownProperty, textOf } from "./plain_values.js";
import { sourceOf } from "./value_source.js";

const NODE = "EchoGenSubjectSegmentation";
const STYLE = `
.echogen-box { border: 1px solid var(--border-color, #555); border-radius: 8px; padding: 12px;
  background: var(--comfy-menu-bg, #2a2a2a); color: var(--fg-color, #fff); font: 14px/20px sans-serif; }
.echogen-box::backdrop { background: #000a; }
.echogen-box p { margin: 0 0 8px; }
.echogen-box .picture { position: relative; overflow: hidden; cursor: crosshair; touch-action: none; user-select: none; }
.echogen-box .picture img { display: block; width: 100%; pointer-events: none; }
.echogen-box .picture div { position: absolute; box-sizing: border-box; border: 2px solid #fff; outline: 1px solid #000;
  box-shadow: 0 0 0 9999px #0007; pointer-events: none; }
.echogen-box .buttons { display: flex; gap: 8px; margin-top: 8px; }
.echogen-box button { padding: 6px 12px; border: 1px solid var(--border-color, #555); border-radius: 6px; cursor: pointer;
  background: var(--comfy-input-bg, #222); color: var(--input-text, #ddd); font: inherit; }
`;
/** @type {Record<string, string>} */
let texts = {};

/** The picture that the node last showed, and its size; null before a run. @param {any} node */
function lastPicture(node) {
  const output = node.graph && ownProperty(app.nodeOutputs, keyOf(node));
  const [image] = listOf(ownProperty(output, "images"));
  const [width, height] = listOf(ownProperty(output, "echogen_picture_size")).map(numberOf);
  if (!isRecord(image) || !(width > 0) || !(height > 0)) return null;
  const query = new URLSearchParams(["filename", "subfolder", "type"].map((name) => [name, textOf(image[name], 4096)]));
  return { address: api.apiURL(`/view?${query}`), width, height };
}

/** Opens the dialog. @param {any} node */
function open(node) {
  addStyle(document, "echogen-box-style", STYLE);
  const { widget, value } = sourceOf(node, "box");
  const shown = lastPicture(node);
  const dialog = make(document, "dialog", { className: "echogen-box" });
  const message = widget ? (shown ? texts.title : texts.first) : texts.linked;
  dialog.append(make(document, "p", { textContent: message }));
  const close = () => dialog.close();
  dialog.addEventListener("close", () => dialog.remove());
  for (const kind of ["keydown", "keyup", "paste"]) dialog.addEventListener(kind, (event) => event.stopPropagation());
  const buttons = make(document, "div", { className: "buttons" });
  if (widget && shown) {
    const area = drawingArea(shown, boxOfText(value, shown.width, shown.height));
    dialog.append(area.root);
    const keep = (/** @type {string} */ text) => {
      asOneStep(() => {
        widget.value = text;
        widget.callback?.(text);
      });
      node.setDirtyCanvas?.(true, true);
      close();
    };
    buttons.append(
      make(document, "button", { textContent: texts.use, onclick: () => keep(area.text()) }),
      make(document, "button", { textContent: texts.none, onclick: () => keep("") }),
    );
  }
  buttons.append(make(document, "button", { textContent: texts.cancel, onclick: close }));
  dialog.append(buttons);
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * A picture to drag a box on; text() is the box as the node stores it.
 * @param {{address: string, width: number, height: number}} picture
 * @param {import("./box_maths.js").Shares | null} before  the box to begin with
 */
function drawingArea({ address, width, height }, before) {
  const frame = make(document, "div", { hidden: true });
  // The caption below the picture is part of the file: it is cut off.
  const root = make(document, "div", { className: "picture" }, make(document, "img", { src: address, alt: "" }), frame);
  root.style.aspectRatio = `${width} / ${height}`;
  root.style.width = `min(80vw, ${(68 * width) / height}vh, 900px)`;
  let box = before;
  /** @type {import("./box_maths.js").Point | null} */
  let start = null;
  const draw = () => {
    frame.hidden = !box;
    for (const side of /** @type {const} */ (["left", "top", "width", "height"])) {
      frame.style[side] = `${100 * (box?.[side] ?? 0)}%`;
    }
  };
  const at = (/** @type {PointerEvent} */ event) => {
    const { left, top, width, height } = root.getBoundingClientRect();
    return { x: (event.clientX - left) / width, y: (event.clientY - top) / height };
  };
  root.addEventListener("pointerdown", (event) => {
    root.setPointerCapture(event.pointerId);
    start = at(event);
  });
  root.addEventListener("pointermove", (event) => {
    if (!start) return;
    box = between(start, at(event));
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) root.addEventListener(end, () => (start = null));
  draw();
  return { root, text: () => (box ? textOfBox(box, width, height) : "") };
}

app.registerExtension({
  name: `${PACK}.BoxDrawing`,
  async init() {
    texts = await loadTexts("echogen_box");
  },
  nodeCreated(/** @type {any} */ node) {
    if (node.comfyClass !== NODE) return;
    // Nodes 2.0 of 2025 shows a button's name, not its label.
    const button = node.addWidget("button", texts.draw || "Draw a box", "", () => open(node), { serialize: false });
    button.serialize = false;
  },
});
