// @ts-check
/**
 * Shows what a node says about its last run (nodes/notices.py) below the node's widgets, and of Reference Picture what
 * is seen before a run.
 */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
import { showAutoValues } from "./auto_values.js";
import { addView, loadTexts, outputOf } from "./node_views.js";
import { filled, listOf, ownProperty, sameItems, textOf } from "./plain_values.js";
import { addStyle, make } from "./dom.js";
import { PACK } from "./pack.js";
import { SamplePrompt } from "./sample_prompt.js";

/** The nodes that may say something. */
const NODES = new Set(
  ["EncodeText", "EncodeSemantic", "EncodeContent", "CutOutSubject", "DescribeSubject", "DetectSubject",
    "SegmentSubject", "SamplePicture", "SubjectSegmentation", "Sampler", "GammaSweep", "RankByLikeness",
    "EncodeBits", "EditPicture", "SubjectRegion"]
    .map((name) => `EchoGen${name}`),
);
const REFERENCE = "EchoGenSamplePicture";
const REGION = "EchoGenSubjectRegion";
const MAX_NOTICES = 20;
const MAX_LENGTH = 600; // characters
const MAX_HEIGHT = 140; // pixels; a longer text scrolls
const STYLE = `
.echogen-notices { max-height: ${MAX_HEIGHT}px; padding: 0; overflow-y: auto; font: 12px/16px sans-serif;
  user-select: text; overflow-wrap: anywhere; }
.echogen-notices p { margin: 0 0 4px; padding: 2px 6px; border-left: 3px solid var(--echogen-accent); }
.echogen-notices p.result { border-left-color: transparent; }
`;

/** @type {Record<string, string>} */
let labels = {};

/** A node's notices: a view without height until there are any. */
class Notices {
  /** @param {any} node */
  constructor(node) {
    this.node = node;
    this.prompts = node.comfyClass === REFERENCE ? new SamplePrompt() : null;
    /** @type {string[]} */
    this.shown = [];
    addStyle(document, "echogen-notices-style", STYLE);
    this.root = make(document, "div", { className: "echogen-notices", hidden: true });
    this.root.setAttribute("role", "status");
    this.height = 0;
  }

  draw() {
    if (this.node.comfyClass === REGION) showAutoValues(this.node, this.root, labels);
    const outlived = this.prompts?.outlived(this.node);
    const said = listOf(ownProperty(outputOf(this.node), "echogen_notices"));
    const notices = readable(outlived ? [filled(labels.sample_named, "subject", outlived), ...said] : said);
    const results = readable(listOf(ownProperty(outputOf(this.node), "echogen_results")));
    const lines = [
      ...notices.map((textContent) => ({ textContent, className: "" })),
      ...results.map((textContent) => ({ textContent, className: "result" })),
    ];
    const found = lines.map(({ textContent, className }) => `${className} ${textContent}`);
    if (!sameItems(found, this.shown)) {
      this.shown = found;
      this.root.replaceChildren(...lines.map((line) => make(document, "p", line)));
      this.root.hidden = !found.length;
    }
    this.#fit();
  }

  /** Gives the node the space that the notices take, and takes it back once they are gone. */
  #fit() {
    const content = this.root.hidden ? 0 : [...this.root.children].reduce((sum, p) => sum + p.scrollHeight + 4, 0);
    const height = Math.min(MAX_HEIGHT, content);
    if (height === this.height) return;
    const { node } = this;
    const needed = node.computeSize()[1];
    this.height = height;
    this.root.style.minHeight = `${height}px`;
    const change = node.computeSize()[1] - needed;
    node.setSize([node.size[0], Math.max(node.size[1], needed) + change]);
    node.setDirtyCanvas?.(true, true);
  }
}

/** The texts as shown: short, each once, not too many. @param {unknown[]} texts */
function readable(texts) {
  return [...new Set(texts.map((text) => textOf(text, MAX_LENGTH)))].filter(Boolean).slice(0, MAX_NOTICES);
}

app.registerExtension({
  name: `${PACK}.Notices`,
  async init() {
    labels = await loadTexts("echogen");
  },
  nodeCreated(/** @type {any} */ node) {
    if (NODES.has(node.comfyClass)) addView(new Notices(node), "notices", "");
  },
});
