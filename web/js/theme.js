// @ts-check
/**
 * The look of all views in nodes. Text and controls have the two colours that every palette of ComfyUI pairs for its
 * own fields, `--input-text` on `--comfy-input-bg`, so that they are readable in all of them, on a node of any colour.
 * The accent stands out on dark fields alone: what it marks also has an edge in the colour of text.
 */

/** Text on the accent, which marks what is on, and on the colour of an error: pairs that no palette changes. */
const [ACCENT, ON_ACCENT, ERROR, ON_ERROR] = ["#ffb02e", "#1c1c1f", "#b3261e", "#fff"];
const SECOND = "#4f8fe0"; // of two curves

/** A style sheet without specificity, so that any view's own sheet may say otherwise. */
export const THEME = `
:where(.echogen-view) { --echogen-accent: ${ACCENT}; --echogen-second: ${SECOND}; --echogen-line: var(--border-color, #4e4e4e);
  box-sizing: border-box; width: 100%; padding: 4px; border-radius: 6px; font: 12px sans-serif;
  color: var(--input-text, #ddd); background: var(--comfy-input-bg, #222); }
.echogen-view [hidden] { display: none !important; }
:where(.echogen-view) :where(button, select) { min-width: 0; padding: 3px 6px; font: inherit; color: inherit;
  background: inherit; border: 1px solid var(--echogen-line); border-radius: 4px; cursor: pointer; }
:where(.echogen-view) :where(select) { background: var(--comfy-input-bg, #222); }
:where(.echogen-view) :where(button, select):where(:hover:enabled) { border-color: currentColor; }
:where(.echogen-view) :where(button, select):disabled { cursor: not-allowed; border-style: dashed; }
:where(.echogen-view) :where(button)[aria-pressed="true"] { border-color: currentColor;
  box-shadow: inset 0 0 0 2px var(--echogen-accent); }
:where(.echogen-view) :where(button, select, input, svg):focus-visible { outline: 2px solid currentColor; }
:where(.echogen-view) :where(text) { fill: currentColor; user-select: none; }
.echogen-view .on-accent { color: ${ON_ACCENT}; background: var(--echogen-accent); }
.echogen-view .on-error { padding: 1px 6px; border-radius: 4px; color: ${ON_ERROR}; background: ${ERROR}; }
`;
