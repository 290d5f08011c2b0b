// @ts-check
/** Draws the box of Subject Segmentation on the picture that is connected, in a dialog, as every renderer shows one. */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
// @ts-ignore: served by ComfyUI
import { api } from "/scripts/api.js";
import { between, boxOfText, lookOf, textOfBox } from "./box_maths.js";
import { addStyle, make } from "./dom.js";
import { asOneStep, loadTexts, outputOf } from "./node_views.js";
import { PACK } from "./pack.js";
import { listOf, numberOf, ownProperty, textOf } from "./plain_values.js";
import { sourceOf } from "./value_source.js";

const NODE = "EchoGenSubjectSegmentation";
/** Nodes that load a picture's file -> the widget that names it. */
const LOADERS = new Map([["EchoGenSamplePicture", "picture"], ["LoadImage", "image"]]);
const LOOKED_AT = 256; // pixels a side, to tell pictures apart
/** @typedef {{address: string, width: number, height: number, look: string}} Picture */
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

/** @param {string} filename @param {string} subfolder @param {string} type @param {Record<string, string>} [more] */
function addressOf(filename, subfolder, type, more = {}) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type, ...more })}`);
}

/** The address of the file that the connected node loads; "" for other nodes. @param {any} node */
function connectedFile(node) {
  const { provider } = sourceOf(node, "image");
  const name = LOADERS.get(textOf(provider?.type, 100));
  const value = provider && name ? textOf(sourceOf(provider, name).value, 4096) : "";
  const [, path, type] = /^(.*?)(?: \[(input|output|temp)\])?$/s.exec(value) ?? [];
  if (!path) return "";
  const at = path.lastIndexOf("/");
  // Transparent files show what the loaders read: colours also where nothing is to be seen.
  const more = /\.(png|webp)$/i.test(path) ? { channel: "rgb" } : undefined;
  return addressOf(path.slice(at + 1), path.slice(0, Math.max(0, at)), type ?? "input", more);
}

/** The connected picture, or else that of the last run; null if there is none. @param {any} node */
async function pictureOf(node) {
  const file = connectedFile(node);
  const picture = file ? await load(file).catch(() => null) : null;
  if (picture) return picture;
  const output = outputOf(node);
  const [filename, subfolder, type] = listOf(ownProperty(output, "echogen_picture")).map((part) => textOf(part, 4096));
  const [width, height] = listOf(ownProperty(output, "echogen_picture_size")).map(numberOf);
  if (!filename || !(width > 0) || !(height > 0)) return null;
  const last = await load(addressOf(filename, subfolder, type)).catch(() => null);
  return last && { ...last, width, height };
}

/** Rejects where that is no picture. @param {string} address @returns {Promise<Picture>} */
async function load(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${answer.status} for ${address}`);
  // The colours as they are in the file, which is what the server reads.
  const bitmap = await createImageBitmap(await answer.blob(), { colorSpaceConversion: "none" });
  const canvas = make(document, "canvas", { width: LOOKED_AT, height: LOOKED_AT });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, LOOKED_AT, LOOKED_AT);
  const { width, height } = bitmap;
  bitmap.close();
  return { address, width, height, look: lookOf(context.getImageData(0, 0, LOOKED_AT, LOOKED_AT).data, LOOKED_AT) };
}

/** Opens the dialog. @param {any} node */
async function open(node) {
  addStyle(document, "echogen-box-style", STYLE);
  const shown = await pictureOf(node);
  const { widget, value } = sourceOf(node, "box");
  const dialog = make(document, "dialog", { className: "echogen-box" });
  const message = widget ? (shown ? texts.title : texts.first) : texts.linked;
  dialog.append(make(document, "p", { textContent: message }));
  const close = () => dialog.close();
  dialog.addEventListener("close", () => dialog.remove());
  for (const kind of ["keydown", "keyup", "paste"]) dialog.addEventListener(kind, (event) => event.stopPropagation());
  const buttons = make(document, "div", { className: "buttons" });
  if (widget && shown) {
    const area = drawingArea(shown, boxOfText(value, shown.width, shown.height, shown.look));
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
 * @param {Picture} picture
 * @param {import("./box_maths.js").Shares | null} before  the box to begin with
 */
function drawingArea({ address, width, height, look }, before) {
  const frame = make(document, "div", { hidden: true });
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
  return { root, text: () => (box ? textOfBox(box, width, height, look) : "") };
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
