// @ts-check
/**
 * Finds where a widget's value comes from: the widget itself, one that a subgraph's node promotes, or a connected
 * input. Reads the graph; uses neither DOM nor app.
 */

/** @typedef {{name: string, value: any, options?: Record<string, any>, callback?: (value: any) => void}} Widget */
/** @typedef {{name: string, type?: unknown, widget?: {name: string}, widgetId?: unknown}} Slot */
/** @typedef {{origin_id: unknown, origin_slot: number, target_id: unknown, target_slot: number}} Link */
/**
 * @typedef {object} Graph
 * @property {string} [id]
 * @property {Map<unknown, Link>} [links]
 * @property {GraphNode[]} [nodes]
 * @property {Graph} [rootGraph]
 * @property {Map<unknown, Graph>} [subgraphs]  of the root graph: all of them
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
 * @property {Graph} [subgraph]  the graph inside, if the node is a subgraph
 * @property {Record<string, any>} [properties]  saved in the workflow file besides the widgets
 * @property {(slot: Slot) => Widget | undefined} [getWidgetFromSlot]
 * @property {(front: boolean, back?: boolean) => void} [setDirtyCanvas]
 */
/**
 * @typedef {object} Source
 * @property {any} value  the effective value; undefined where only a run can tell, or where several sources disagree
 * @property {Widget | null} widget  the widget to change; null if it can't be changed from this node
 * @property {GraphNode | null} provider  the other node that sets it, if any
 * @property {boolean} connected  whether anything other than the node itself sets it
 */
/**
 * The end of one path: a node, with its widget if that has the value. null: no value comes this way.
 * @typedef {{provider?: GraphNode | null, widget?: Widget, editable?: boolean} | null} End
 */
/** @typedef {Map<Graph, GraphNode>} Inside  the nodes by which subgraphs were entered */

const [INPUTS, OUTPUTS] = ["-10", "-20"]; // litegraph's ids for the two ends of a subgraph
const [MUTED, BYPASSED] = [2, 4];
const PRIMITIVE = "PrimitiveNode";
const PRIMITIVE_NODES = ["PrimitiveFloat", "PrimitiveInt"]; // output the value of their first widget
const MAX_STEPS = 50; // a longer path is circular
const MAX_ENDS = 256; // nested subgraphs, each used twice, have exponentially many

/**
 * The source of a node's widget, or of an input without one.
 * @param {GraphNode} node @param {string} name @returns {Source}
 */
export function sourceOf(node, name) {
  /** @type {End[]} */
  const ends = [];
  for (const end of endsOf(node, name, new Map(), 0)) if (ends.push(end) > MAX_ENDS) break;
  const values = new Set(ends.map((end) => end?.widget?.value));
  const only = ends.length === 1 ? ends[0] : null;
  return {
    value: values.size === 1 && ends.length <= MAX_ENDS ? [...values][0] : undefined,
    widget: (only?.editable && only.widget) || null,
    provider: (only?.provider !== node && only?.provider) || null,
    connected: ends.some((end) => end?.provider !== node),
  };
}

/**
 * The ends of all paths to a node's input. Where a path has no value, the node's own widget counts. A PrimitiveNode has
 * none either: whatever its mode, it writes into the connected widget before each run, and only into that.
 * @param {GraphNode} node
 * @param {string} name @param {Inside} inside @param {number} steps @returns {Generator<End>}
 */
function* endsOf(node, name, inside, steps) {
  const ownEnd = { provider: node, widget: node.widgets?.find((widget) => widget.name === name), editable: true };
  const slot = node.inputs?.findIndex((input) => (input?.widget?.name ?? input?.name) === name) ?? -1;
  if (slot < 0) return yield ownEnd;
  const written = setByPrimitive(node, slot);
  if (written) return yield written;
  for (const end of endsInto(node, slot, inside, steps)) yield end ?? ownEnd;
}

/**
 * The PrimitiveNode that writes into the widget of a slot.
 * @param {GraphNode} node @param {number} slot @returns {End}
 */
function setByPrimitive({ graph, id, inputs }, slot) {
  const link = inputs?.[slot]?.widget && graph && linkTo(graph, id, slot);
  const origin = link && graph.getNodeById?.(link.origin_id);
  return origin?.type === PRIMITIVE ? { provider: origin, widget: origin.widgets?.[0] } : null;
}

/**
 * The ends of the paths into a slot.
 * @param {GraphNode} node @param {number} slot @param {Inside} inside @param {number} steps
 * @param {unknown} [type]  requested by the target; the slot's own by default
 * @returns {Generator<End>}
 */
function* endsInto(node, slot, inside, steps, type = node.inputs?.[slot]?.type) {
  const { graph } = node;
  const link = graph && linkTo(graph, node.id, slot);
  if (link) yield* endsAlong(graph, link, inside, steps, type);
  else yield null;
}

/**
 * The ends of the paths along a link.
 * @param {Graph} graph @param {Link} link @param {Inside} inside @param {number} steps @param {unknown} type
 * @returns {Generator<End>}
 */
function* endsAlong(graph, link, inside, steps, type) {
  if (steps > MAX_STEPS) return yield {};
  if (String(link.origin_id) !== INPUTS) {
    return yield* endsOutOf(graph.getNodeById?.(link.origin_id), link.origin_slot, inside, steps + 1, type);
  }
  const entered = inside.get(graph);
  const hosts = entered ? [entered] : hostsOf(graph);
  if (!hosts.length) yield {};
  for (const host of hosts) {
    const ends = endsInto(host, link.origin_slot, inside, steps + 1);
    for (const end of ends) yield end ?? setByHost(host, link.origin_slot);
  }
}

/**
 * The value that a subgraph's node sets inside if its input has none. For a connected input that depends on the front
 * end: those with a widgetId for promoted widgets leave the widget inside alone, older ones overwrite it with theirs.
 * @param {GraphNode} host @param {number} slot @returns {End}
 */
function setByHost(host, slot) {
  const wired = host.graph && linkTo(host.graph, host.id, slot);
  if (wired && host.inputs?.[slot]?.widgetId !== undefined) return null;
  return setByPrimitive(host, slot) ?? hostWidget(host, slot);
}

/**
 * The widget that a subgraph's node has for one of its inputs.
 * @param {GraphNode} host @param {number} slot @returns {End}
 */
function hostWidget(host, slot) {
  const input = host.inputs?.[slot];
  const widget = input && host.getWidgetFromSlot?.(input);
  return widget ? { provider: host, widget, editable: true } : null;
}

/**
 * The ends of the paths out of a node's output, as far as they can be read from the graph.
 * @param {GraphNode | null | undefined} node @param {number} slot @param {Inside} inside @param {number} steps
 * @param {unknown} type @returns {Generator<End>}
 */
function* endsOutOf(node, slot, inside, steps, type) {
  if (!node) return yield {};
  if (node.mode === MUTED || node.type === PRIMITIVE) return yield null;
  if (node.mode === BYPASSED) return yield* endsInto(node, bypass(node, slot, type), inside, steps);
  if (node.subgraph) {
    const link = linkTo(node.subgraph, OUTPUTS, slot);
    if (!link) return yield null;
    return yield* endsAlong(node.subgraph, link, new Map(inside).set(node.subgraph, node), steps, type);
  }
  if (node.type === "Reroute") return yield* endsInto(node, 0, inside, steps, type);
  const [held] = PRIMITIVE_NODES.includes(node.type ?? "") && slot === 0 ? (node.widgets ?? []) : [];
  if (!held) return yield { provider: node };
  for (const end of endsOf(node, held.name, inside, steps)) yield { ...end, editable: false };
}

/** The input that a bypassed node passes on to a target of a type; -1 for none.
 *  @param {GraphNode} node @param {number} slot @param {unknown} type */
function bypass(node, slot, type) {
  const types = node.inputs?.map((input) => input?.type) ?? [];
  if (isAny(type)) return slot < types.length ? slot : 0;
  const outputType = node.outputs?.[slot]?.type;
  const passesOn = (/** @type {unknown} */ taken) => typesMatch(taken, outputType) && typesMatch(taken, type);
  if (slot < types.length && passesOn(types[slot])) return slot;
  return types.includes(type) ? types.indexOf(type) : types.findIndex(passesOn);
}

const isAny = (/** @type {unknown} */ type) => !type || type === "*";

/**
 * Whether two slots may be connected; a type may be a list, such as INT,FLOAT.
 * @param {unknown} one @param {unknown} other
 */
function typesMatch(one, other) {
  const [ones, others] = [one, other].map((type) => String(type).toLowerCase().split(","));
  return isAny(one) || isAny(other) || ones.some((type) => others.includes(type));
}

/** The link into a slot, from the graph, because what slots and nodes store differs between front ends.
 *  @param {Graph} graph @param {unknown} node @param {number} slot @returns {Link | undefined} */
function linkTo(graph, node, slot) {
  for (const link of graph.links?.values() ?? []) {
    if (link.target_slot === slot && String(link.target_id) === String(node)) return link;
  }
  return undefined;
}

/** All graphs of a workflow, from any of them. @param {Graph | undefined} graph @returns {Graph[]} */
function graphsBeside(graph) {
  const root = graph?.rootGraph ?? graph;
  return root ? [root, ...(root.subgraphs?.values() ?? [])] : [];
}

/** All nodes of a node's workflow, inside subgraphs as well. @param {GraphNode} node @returns {GraphNode[]} */
export const nodesBeside = (node) => graphsBeside(node.graph).flatMap(({ nodes }) => nodes ?? []);

/**
 * The nodes that instantiate a subgraph, themselves in a graph that is in use.
 * @param {Graph} subgraph @param {Set<Graph>} [asked]  those on the path to it: a subgraph within itself never runs
 * @returns {GraphNode[]}
 */
function hostsOf(subgraph, asked = new Set()) {
  const root = subgraph.rootGraph;
  if (!root || asked.has(subgraph)) return [];
  const within = new Set(asked).add(subgraph);
  const holding = graphsBeside(root).filter((graph) => graph.nodes?.some((node) => node.subgraph === subgraph));
  const used = holding.filter((graph) => graph === root || hostsOf(graph, within).length);
  return used.flatMap((graph) => graph.nodes ?? []).filter((node) => node.subgraph === subgraph);
}
