/** Graphs as the front end keeps them, as far as the pack reads them. */

/** An empty graph; a subgraph's definition where a root is given. */
export function graph(root) {
  const made = { nodes: [], links: new Map(), subgraphs: new Map() };
  made.rootGraph = root ?? made;
  made.getNodeById = (id) => made.nodes.find((node) => node.id === id);
  root?.subgraphs.set(root.subgraphs.size, made);
  return made;
}

/** A node with widgets, each with a socket of its own, and more sockets. */
export function node(where, type, widgets = {}, sockets = [], more = {}) {
  const told = [];
  const made = {
    id: where.nodes.length + 1,
    type,
    title: type,
    mode: 0,
    graph: where,
    told,
    widgets: Object.entries(widgets).map(([name, value]) => ({
      name,
      value,
      callback: (now) => told.push([name, now]),
    })),
    inputs: [
      ...sockets.map((name) => ({ name, type: name })),
      ...Object.keys(widgets).map((name) => ({ name, type: "FLOAT", widget: { name } })),
    ],
    outputs: [{ type: "FLOAT" }],
    getWidgetFromSlot: (slot) => made.widgets.find(({ name }) => name === slot.widget?.name),
    ...more,
  };
  where.nodes.push(made);
  return made;
}

/** A wire; from or to null is the subgraph's own end. */
export function connect(where, from, slot, to, name) {
  const target_slot = to ? to.inputs.findIndex((input) => input.name === name) : name;
  const id = where.links.size + 1;
  where.links.set(id, { id, origin_id: from?.id ?? -10, origin_slot: slot, target_id: to?.id ?? -20, target_slot });
  return id;
}

/** A subgraph whose input 0 is wired to the sampler's γ_t; the definition and the sampler in it. */
export function subgraphWithSampler(root) {
  const inner = graph(root);
  const sampler = node(inner, "EchoGenSampler", { gamma_t: 2, gamma_i: 3 }, ["guidance"]);
  connect(inner, null, 0, sampler, "gamma_t");
  return { inner, sampler };
}
