// @ts-check
/**
 * Lets the mask editor, and pasting from another node, change the picture of Reference Picture: both write to the
 * widget called "image", while saved workflows call the node's widget "picture".
 */

// @ts-ignore: served by ComfyUI
import { app } from "/scripts/app.js";
import { PACK } from "./pack.js";

const NODE = "EchoGenSamplePicture";

app.registerExtension({
  name: `${PACK}.ReferencePicture`,
  nodeCreated(/** @type {any} */ node) {
    if (node.comfyClass !== NODE) return;
    const picture = node.widgets?.find((/** @type {any} */ { name }) => name === "picture");
    if (picture) node.addCustomWidget(forwarding(node, picture));
    const { onSelected } = node;
    node.onSelected = function () {
      onSelected?.call(this);
      // Pasting goes to this one, and Nodes 2.0 of 2025 leaves it at the node of the last click on the canvas.
      if (app.canvas) app.canvas.current_node = this;
    };
  },
});

/** A widget that is neither seen nor saved, and passes on what is written to it. @param {any} node @param {any} picture */
function forwarding(node, picture) {
  const widget = {
    name: "image",
    type: "text",
    value: "", // never a picture: the mask editor would open that one
    hidden: true,
    serialize: false,
    options: { hidden: true, serialize: false, canvasOnly: true },
    computeSize: () => [0, -4],
    callback(/** @type {unknown} */ value) {
      if (typeof value !== "string" || !value) return;
      const [old, { values }] = [picture.value, picture.options ?? {}];
      if (Array.isArray(values) && !values.includes(value)) values.push(value); // Nodes 2.0 shows those alone
      picture.value = value;
      picture.callback?.(value);
      node.onWidgetChanged?.(picture.name, value, old, picture);
      const own = node.widgets.find((/** @type {any} */ { name }) => name === "image");
      if (own) own.value = "";
    },
  };
  return widget;
}
