// @ts-check
/**
 * Where the value of a node's widget comes from: the widget itself, one that a subgraph's node shows in its place, or
 * a wire. Reads the graph, knows no page and no app.
 */

/** @typedef {{name: string, value: any, callback?: (value: any) => void}} Widget */
/** @typedef {{name: string, type?: unknown, widget?: {name: string}, widgetId?: unknown}} Slot */
/** @typedef {{origin_id: unknown, origin_slot: number, target_id: unknown, target_slot: number}} Link */
/**
 * @typedef {object} Graph
 * @property {string} [id]
 * @property {Map<unknown, Link>} [links]
 * @property {GraphNode[]} [nodes]
 * @property {Graph} [rootGraph]
 * @property {Map<unknown, Graph>} [subgraphs]  of the root graph: all that there are
 * @property {(id: any) => GraphNode | null | undefined} [getNodeById]
 */
/**
 * @typedef {object} GraphNode
 * @property {number | string} [id]
 * @property {string} [type]
 * @property {string} [title]
 * @property {number} [mode]
 * @property {Widget[]} [widgets]
 * @property {Slot[]} [inputs]
 * @property {{type?: unknown}[]} [outputs]
 * @property {Graph} [graph]
 * @property {Graph} [subgraph]  what is inside, where the node is one
 * @property {Record<string, any>} [properties]  what the workflow file keeps of a node besides its widgets
 * @property {(slot: Slot) => Widget | undefined} [getWidgetFromSlot]
 * @property {(slot: number) => GraphNode | null} [getInputNode]
 * @property {(front: boolean, back?: boolean) => void} [setDirtyCanvas]
 */
/**
 * @typedef {object} Source
 * @property {any} value  what counts; undefined where only a run can tell, or where several places disagree
 * @property {Widget | null} widget  what to change; null where that is not for this node
 * @property {GraphNode | null} holder  the other node that sets it, where it is one
 * @property {boolean} linked  whether anything but the node itself sets it
 */
/**
 * Where one way ends: at a node, at its widget where that has the value. null: nothing comes that way.
 * @typedef {{holder?: GraphNode | null, widget?: Widget, free?: boolean} | null} End
 */
/** @typedef {Map<Graph, GraphNode>} Inside  the nodes through which subgraphs were entered */

const [INPUTS, OUTPUTS] = ["-10", "-20"]; // litegraph's numbers for the two ends of a subgraph
const [MUTED, BYPASSED] = [2, 4];
const PRIMITIVE = "PrimitiveNode";
const HOLDERS = ["PrimitiveFloat", "PrimitiveInt"]; // hand on their first widget
const FARTHEST = 50; // steps; a longer way goes in a circle
const MOST_ENDS = 256; // subgraphs within subgraphs, twice each, have more than can be gone to

/**
 * What counts for a node's widget, or for a socket without one.
 * @param {GraphNode} node @param {string} name @returns {Source}
 */
export function sourceOf(node, name) {
  /** @type {End[]} */
  const ends = [];
  for (const end of endsOf(node, name, new Map(), 0)) if (ends.push(end) > MOST_ENDS) break;
  const values = new Set(ends.map((end) => end?.widget?.value));
  const only = ends.length === 1 ? ends[0] : null;
  return {
    value: values.size === 1 && ends.length <= MOST_ENDS ? [...values][0] : undefined,
    widget: (only?.free && only.widget) || null,
    holder: (only?.holder !== node && only?.holder) || null,
    linked: ends.some((end) => end?.holder !== node),
  };
}

/**
 * A way that ends in nothing leaves the node's own widget. A PrimitiveNode hands nothing on either: whatever its mode,
 * it writes into the widget behind its wire before each run, and into that alone.
 * @param {GraphNode} node
 * @param {string} name @param {Inside} inside @param {number} steps @returns {Generator<End>}
 */
function* endsOf(node, name, inside, steps) {
  const own = { holder: node, widget: node.widgets?.find((widget) => widget.name === name), free: true };
  const slot = node.inputs?.findIndex((input) => (input?.widget?.name ?? input?.name) === name) ?? -1;
  if (slot < 0) return yield own;
  const written = writtenInto(node, slot);
  if (written) return yield written;
  for (const end of into(node, slot, inside, steps)) yield end ?? own;
}

/**
 * What a PrimitiveNode writes into the widget of a slot.
 * @param {GraphNode} node @param {number} slot @returns {End}
 */
function writtenInto({ graph, id, inputs }, slot) {
  const link = inputs?.[slot]?.widget && graph && linkTo(graph, id, slot);
  const origin = link && graph.getNodeById?.(link.origin_id);
  return origin?.type === PRIMITIVE ? { holder: origin, widget: origin.widgets?.[0] } : null;
}

/**
 * What comes into a slot.
 * @param {GraphNode} node @param {number} slot @param {Inside} inside @param {number} steps
 * @param {unknown} [type]  that is asked for; the slot's own where left out
 * @returns {Generator<End>}
 */
function* into(node, slot, inside, steps, type = node.inputs?.[slot]?.type) {
  const { graph } = node;
  const link = graph && linkTo(graph, node.id, slot);
  if (link) yield* along(graph, link, inside, steps, type);
  else yield null;
}

/**
 * Up a wire.
 * @param {Graph} graph @param {Link} link @param {Inside} inside @param {number} steps @param {unknown} type
 * @returns {Generator<End>}
 */
function* along(graph, link, inside, steps, type) {
  if (steps > FARTHEST) return yield {};
  if (String(link.origin_id) !== INPUTS) {
    return yield* outOf(graph.getNodeById?.(link.origin_id), link.origin_slot, inside, steps + 1, type);
  }
  const entered = inside.get(graph);
  const hosts = entered ? [entered] : hostsOf(graph);
  if (!hosts.length) yield {};
  for (const host of hosts) {
    for (const end of into(host, link.origin_slot, inside, steps + 1)) yield end ?? setBy(host, link.origin_slot);
  }
}

/**
 * What a subgraph's node sets inside where its input brings nothing. With a wire into the input that depends on the
 * front end: those that know its widgets by a widgetId leave the widget inside alone, older ones write what they show
 * into it.
 * @param {GraphNode} host @param {number} slot @returns {End}
 */
function setBy(host, slot) {
  const wired = host.graph && linkTo(host.graph, host.id, slot);
  if (wired && host.inputs?.[slot]?.widgetId !== undefined) return null;
  return writtenInto(host, slot) ?? shownBy(host, slot);
}

/**
 * The widget that a subgraph's node shows for one of its inputs.
 * @param {GraphNode} host @param {number} slot @returns {End}
 */
function shownBy(host, slot) {
  const input = host.inputs?.[slot];
  const widget = input && host.getWidgetFromSlot?.(input);
  return widget ? { holder: host, widget, free: true } : null;
}

/**
 * What a node hands on, where that can be read from it.
 * @param {GraphNode | null | undefined} node @param {number} slot @param {Inside} inside @param {number} steps
 * @param {unknown} type @returns {Generator<End>}
 */
function* outOf(node, slot, inside, steps, type) {
  if (!node) return yield {};
  if (node.mode === MUTED || node.type === PRIMITIVE) return yield null;
  if (node.mode === BYPASSED) return yield* into(node, bypass(node, slot, type), inside, steps);
  if (node.subgraph) {
    const link = linkTo(node.subgraph, OUTPUTS, slot);
    if (!link) return yield null;
    return yield* along(node.subgraph, link, new Map(inside).set(node.subgraph, node), steps, type);
  }
  if (node.type === "Reroute") return yield* into(node, 0, inside, steps, type);
  const [held] = HOLDERS.includes(node.type ?? "") && slot === 0 ? (node.widgets ?? []) : [];
  if (!held) return yield { holder: node };
  for (const end of endsOf(node, held.name, inside, steps)) yield { ...end, free: false };
}

/** The input that a bypassed node hands on to one that asks for a type; -1 for none.
 *  @param {GraphNode} node @param {number} slot @param {unknown} type */
function bypass(node, slot, type) {
  const types = node.inputs?.map((input) => input?.type) ?? [];
  if (isAny(type)) return slot < types.length ? slot : 0;
  const given = node.outputs?.[slot]?.type;
  const hands = (/** @type {unknown} */ taken) => meet(taken, given) && meet(taken, type);
  if (slot < types.length && hands(types[slot])) return slot;
  return types.includes(type) ? types.indexOf(type) : types.findIndex(hands);
}

const isAny = (/** @type {unknown} */ type) => !type || type === "*";

/** Whether two slots may be wired; a type may be a list, as INT,FLOAT. @param {unknown} one @param {unknown} other */
function meet(one, other) {
  const [ones, others] = [one, other].map((type) => String(type).toLowerCase().split(","));
  return isAny(one) || isAny(other) || ones.some((type) => others.includes(type));
}

/** The wire into a slot. Read from the graph: what slots and nodes say of it differs between front ends.
 *  @param {Graph} graph @param {unknown} node @param {number} slot @returns {Link | undefined} */
function linkTo(graph, node, slot) {
  for (const link of graph.links?.values() ?? []) {
    if (link.target_slot === slot && String(link.target_id) === String(node)) return link;
  }
  return undefined;
}

/**
 * The nodes that a subgraph runs as, where they are in use themselves.
 * @param {Graph} subgraph @param {Set<Graph>} [asked]  those on the way from it: one within itself runs as nothing
 * @returns {GraphNode[]}
 */
function hostsOf(subgraph, asked = new Set()) {
  const root = subgraph.rootGraph;
  if (!root || asked.has(subgraph)) return [];
  const within = new Set(asked).add(subgraph);
  const graphs = [root, ...(root.subgraphs?.values() ?? [])];
  const holding = graphs.filter((graph) => graph.nodes?.some((node) => node.subgraph === subgraph));
  const used = holding.filter((graph) => graph === root || hostsOf(graph, within).length);
  return used.flatMap((graph) => graph.nodes ?? []).filter((node) => node.subgraph === subgraph);
}
