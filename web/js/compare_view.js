// @ts-check
/** Shows one picture enlarged, or two under a slider: before on the left, after on the right. */

import { make, show } from "./dom.js";
import { fitted } from "./pins.js";

/** @typedef {{picture: Blob | string, caption: string}} Shown  a picture or its URL, and a caption */

/** Longest side of the view, in pixels: two and a half times nano's picture. */
export const MAX_SIDE = 320;

/** The enlarged picture, or the comparison. */
export class CompareView {
  /** @param {Record<string, string>} texts @param {Document} page */
  constructor(texts, page) {
    this.page = page;
    /** @type {Shown[]} */
    this.shown = [];
    this.images = [0, 1].map(() => make(page, "img", { alt: "", draggable: false }));
    this.slider = make(page, "input", { type: "range", min: "0", max: "100", value: "50" });
    this.slider.title = this.slider.ariaLabel = texts.compare;
    this.slider.addEventListener("input", () => this.#divide());
    this.divider = make(page, "div", { className: "divider" });
    this.box = make(page, "div", { className: "box" }, ...this.images, this.divider, this.slider);
    this.captions = [0, 1].map(() => make(page, "span"));
    const captions = make(page, "div", { className: "captions" }, ...this.captions);
    this.root = make(page, "div", { className: "stage", hidden: true }, this.box, captions);
    for (const image of this.images) image.addEventListener("load", () => this.#fit());
  }

  /** @param {Shown[]} shown  none, one, or before and after */
  draw(shown) {
    const same = (/** @type {Shown} */ one, /** @type {Shown | undefined} */ other) =>
      one.picture === other?.picture && one.caption === other.caption;
    if (shown.length === this.shown.length && shown.every((one, at) => same(one, this.shown[at]))) return;
    this.shown = shown;
    this.root.hidden = shown.length === 0;
    const two = shown.length === 2;
    this.slider.hidden = this.divider.hidden = this.images[1].hidden = !two;
    shown.forEach(({ picture, caption }, at) => {
      this.captions[at].textContent = caption;
      if (typeof picture === "string") this.images[at].src = picture;
      else show(this.images[at], picture);
    });
    if (!two) this.captions[1].textContent = "";
    this.#divide();
  }

  /** Sizes the box to the first picture; the second is laid over it. */
  #fit() {
    const { naturalWidth, naturalHeight } = this.images[0];
    if (!naturalWidth) return;
    const { width, height } = fitted(naturalWidth, naturalHeight, this.root.clientWidth || MAX_SIDE, MAX_SIDE);
    Object.assign(this.box.style, { width: `${width}px`, height: `${height}px` });
    this.box.classList.toggle("grown", width > naturalWidth);
  }

  #divide() {
    this.divider.style.left = `${this.slider.value}%`;
    this.images[1].style.clipPath = `inset(0 0 0 ${this.slider.value}%)`;
  }
}
