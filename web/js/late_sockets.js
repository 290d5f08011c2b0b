// @ts-check
/**
 * Sockets that came with a later version lie behind all others. The front end puts sockets before the slots of widgets,
 * whatever their order in the schema, and subgraphs name slots by their place: saved ones would be wired wrongly.
 */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
import { PACK } from "./pack.js";

const NODES = new Set(["EchoGenSampler", "EchoGenGammaSweep"]);
const LATE = new Set(["edit", "regions", "negative"]);

app.registerExtension({
  name: `${PACK}.LateSockets`,
  nodeCreated(/** @type {any} */ node) {
    if (!NODES.has(node.comfyClass)) return;
    const place = (/** @type {{name: string}} */ { name }) => Number(LATE.has(name));
    node.inputs?.sort((/** @type {any} */ one, /** @type {any} */ other) => place(one) - place(other));
  },
});
