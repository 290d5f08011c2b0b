// @ts-check
/** Helpers of all views to create elements and style sheets. */

const SVG = "http://www.w3.org/2000/svg";

/** Adds a style sheet once. @param {Document} page @param {string} id @param {string} css */
export function addStyle(page, id, css) {
  if (page.getElementById(id)) return;
  const style = page.createElement("style");
  style.id = id;
  style.textContent = css;
  page.head.append(style);
}

/**
 * An element with properties (as `className`, `title`) and children.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {Document} page @param {K} kind @param {Record<string, any>} [properties]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(page, kind, properties = {}, ...children) {
  const element = Object.assign(page.createElement(kind), properties);
  element.append(...children);
  return element;
}

/**
 * An SVG element with attributes and a text.
 * @param {Document} page @param {string} kind
 * @param {Record<string, string | number>} [attributes] @param {string} [text]
 */
export function shape(page, kind, attributes = {}, text = "") {
  const element = page.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.textContent = text;
  return element;
}

/**
 * Shows a picture, and revokes its object URL once it is loaded.
 * @param {HTMLImageElement} image @param {Blob} picture
 */
export function show(image, picture) {
  const address = URL.createObjectURL(picture);
  image.onload = image.onerror = () => URL.revokeObjectURL(address);
  image.src = address;
}
