// @ts-check
/**
 * Puts our texts in the page's language back where the front end has dropped them: 1.32 reads the packs' texts, then
 * loads its own language over them. Before nodes are registered, as their names and labels are read then.
 */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
import { readJson } from "./node_views.js";
import { PACK } from "./pack.js";
import { isRecord, ownProperty } from "./plain_values.js";

const CHECK_MS = 20;
const CHECKS = 250; // the language is a file on the server: without it there is nothing to put back
const KNOWN = `nodeDefs.${PACK}Sampler.display_name`;

/** The front end's translations (vue-i18n's global composer); undefined where it keeps them elsewhere. */
function translations() {
  const page = /** @type {any} */ (document.getElementById("vue-app"))?.__vue_app__;
  const found = page?._context?.provides?.[page.__VUE_I18N_SYMBOL__]?.global;
  return typeof found?.mergeLocaleMessage === "function" && typeof found.te === "function" ? found : undefined;
}

/** Waits until the page speaks a language. @param {any} i18n @param {string} language @returns {Promise<boolean>} */
async function isSpoken(i18n, language) {
  for (let check = 0; check < CHECKS; check++) {
    if (i18n.locale?.value === language) return true;
    await new Promise((done) => setTimeout(done, CHECK_MS));
  }
  return false;
}

/** What is ours among a language's texts. @param {Record<string, any>} texts */
function ours(texts) {
  const isOurs = (/** @type {[string, any]} */ [name]) => name.startsWith(PACK);
  const nodes = ownProperty(texts, "nodeDefs");
  return { nodeDefs: Object.fromEntries(Object.entries(isRecord(nodes) ? nodes : {}).filter(isOurs)) };
}

app.registerExtension({
  name: `${PACK}.OwnLanguage`,
  async init() {
    const language = app.extensionManager?.setting?.get("Comfy.Locale") ?? "en";
    const i18n = language === "en" ? undefined : translations();
    if (!i18n || !(await isSpoken(i18n, language)) || i18n.te(KNOWN, language)) return;
    try {
      const texts = ownProperty(await readJson("/i18n"), language);
      if (isRecord(texts)) i18n.mergeLocaleMessage(language, ours(texts));
    } catch (error) {
      console.warn("EchoGen: can't read the texts in this language, so the nodes have English names.", error);
    }
  },
});
