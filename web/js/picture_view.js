// @ts-check
/** The panel's picture: the latest one, one of its scales, or two under a slider: before on the left, after on the right. */

import { make, show } from "./dom.js";

/** @typedef {{picture: Blob | string, caption: string}} Shown  a picture or its URL, and a caption */

export const STYLE = `
.echogen-panel .stage { position: relative; flex: 1; min-width: 0; display: flex; align-items: center;
  justify-content: center; container-type: size; border: 1px solid var(--echogen-line); border-radius: 4px; }
.echogen-panel .stage .empty { padding: 0 12px; text-align: center; }
.echogen-panel .stage .box { position: relative; width: min(100cqw, 100cqh * var(--ratio)); aspect-ratio: var(--ratio); }
.echogen-panel .stage img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; }
.echogen-panel .stage .divider { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 2px #000; pointer-events: none; }
.echogen-panel .stage input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize; touch-action: none; }
.echogen-panel .stage .box:has(input:focus-visible) { outline: 2px solid currentColor; }
.echogen-panel .captions { position: absolute; inset: auto 0 0; display: flex; justify-content: space-between;
  align-items: end; gap: 4px; pointer-events: none; }
.echogen-panel .captions span { padding: 1px 4px; border-radius: 4px; background: var(--comfy-input-bg, #222); }
.echogen-panel .captions span:empty { visibility: hidden; }
`;

/** Shows at most two pictures, as large as fits. */
export class PictureView {
  /** @param {Record<string, string>} texts @param {Document} page */
  constructor(texts, page) {
    /** @type {Shown[]} */
    this.shown = [];
    this.images = [0, 1].map(() => make(page, "img", { draggable: false }));
    this.slider = make(page, "input", { type: "range", min: "0", max: "100", value: "50" });
    this.slider.title = this.slider.ariaLabel = texts.compare;
    this.slider.addEventListener("input", () => this.#divide());
    this.divider = make(page, "div", { className: "divider" });
    this.box = make(page, "div", { className: "box", hidden: true }, ...this.images, this.divider, this.slider);
    this.captions = [0, 1].map(() => make(page, "span"));
    this.empty = make(page, "div", { className: "empty", textContent: texts.no_picture });
    const captions = make(page, "div", { className: "captions" }, ...this.captions);
    this.root = make(page, "div", { className: "stage" }, this.empty, this.box, captions);
    const [{ style }, [first]] = [this.box, this.images];
    first.addEventListener("load", () => style.setProperty("--ratio", `${first.naturalWidth / first.naturalHeight}`));
  }

  /** @param {Shown[]} shown  none, one, or before and after */
  draw(shown) {
    const same = (/** @type {Shown} */ one, /** @type {Shown | undefined} */ other) =>
      one.picture === other?.picture && one.caption === other.caption;
    if (shown.length === this.shown.length && shown.every((one, at) => same(one, this.shown[at]))) return;
    const before = this.shown;
    this.shown = shown;
    this.box.hidden = shown.length === 0;
    this.empty.hidden = shown.length > 0;
    this.slider.hidden = this.divider.hidden = this.images[1].hidden = shown.length < 2;
    this.captions.forEach((caption, at) => (caption.textContent = shown[at]?.caption ?? ""));
    shown.forEach(({ picture, caption }, at) => {
      this.images[at].alt = caption;
      if (picture === before[at]?.picture) return;
      if (typeof picture === "string") this.images[at].src = picture;
      else show(this.images[at], picture);
    });
    this.#divide();
  }

  #divide() {
    this.divider.style.left = `${this.slider.value}%`;
    this.images[1].style.clipPath = `inset(0 0 0 ${this.slider.value}%)`;
  }
}
