//! A directed graph in layers from left to right, after Sugiyama: circles are opened, nodes stand behind all that
//! leads to them, and the order within a layer keeps crossings few. Pure, and the same for the same graph.

/// Rounds that each order the layers once from the left and once from the right.
const ROUNDS: usize = 6;

/// Where each node stands and which points each edge passes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Layout {
    pub(super) nodes: Vec<Cell>,
    /// For each edge the cells between its ends, in its direction.
    pub(super) bends: Vec<Vec<Cell>>,
    pub(super) layers: usize,
    /// Rows of the highest layer.
    pub(super) rows: f64,
}

/// A place in the grid. Rows are in halves, so that a layer stands in the middle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cell {
    pub(super) layer: usize,
    pub(super) row: f64,
}

/// Lays out so many nodes. Edges are pairs of their indices; one from a node to itself is no line.
pub(super) fn lay_out(nodes: usize, edges: &[(usize, usize)]) -> Layout {
    let downward = without_circles(nodes, edges);
    let layer_of = layers(nodes, &downward);
    let mut grid = Grid::new(nodes, &downward, &layer_of);
    grid.reduce_crossings();
    let rows_of = |layer: &Vec<usize>| layer.len();
    let rows = grid.layers.iter().map(rows_of).max().unwrap_or(0) as f64;
    let mut cells = vec![Cell::default(); grid.neighbours.len()];
    for (layer, members) in grid.layers.iter().enumerate() {
        let above = (rows - members.len() as f64) / 2.0;
        for (position, member) in members.iter().enumerate() {
            cells[*member] = Cell {
                layer,
                row: above + position as f64,
            };
        }
    }
    let bends = grid.chains.iter().zip(edges).zip(&downward);
    let bends = bends.map(|((chain, edge), downward)| {
        let mut bends: Vec<Cell> = chain.iter().map(|dummy| cells[*dummy]).collect();
        if edge != downward {
            bends.reverse();
        }
        bends
    });
    Layout {
        bends: bends.collect(),
        layers: grid.layers.len(),
        rows,
        nodes: {
            cells.truncate(nodes);
            cells
        },
    }
}

/// The same edges, of which those that close a circle are turned round.
fn without_circles(nodes: usize, edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    #[derive(Clone, Copy, PartialEq)]
    enum Visit {
        Not,
        Open,
        Done,
    }
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); nodes];
    let mut is_reached = vec![false; nodes];
    for (index, (from, to)) in edges.iter().enumerate() {
        below[*from].push(index);
        is_reached[*to] = true;
    }
    let mut visits = vec![Visit::Not; nodes];
    let mut is_turned = vec![false; edges.len()];
    // What nothing leads to is a beginning; circles without one begin anywhere.
    let beginnings = (0..nodes).filter(|node| !is_reached[*node]);
    for start in beginnings.chain(0..nodes) {
        if visits[start] != Visit::Not {
            continue;
        }
        visits[start] = Visit::Open;
        let mut path = vec![(start, 0)];
        while let Some((node, next)) = path.last_mut() {
            let Some(edge) = below[*node].get(*next) else {
                visits[*node] = Visit::Done;
                path.pop();
                continue;
            };
            *next += 1;
            let to = edges[*edge].1;
            match visits[to] {
                Visit::Open => is_turned[*edge] = true,
                Visit::Done => {}
                Visit::Not => {
                    visits[to] = Visit::Open;
                    path.push((to, 0));
                }
            }
        }
    }
    let turned = |((from, to), is_turned): (&(usize, usize), bool)| {
        if is_turned {
            (*to, *from)
        } else {
            (*from, *to)
        }
    };
    edges.iter().zip(is_turned).map(turned).collect()
}

/// Each node one behind the last that leads to it; beginnings right before what they lead to.
fn layers(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut waits_for = vec![0_usize; nodes];
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); nodes];
    for (from, to) in edges.iter().filter(|(from, to)| from != to) {
        waits_for[*to] += 1;
        below[*from].push(*to);
    }
    let is_beginning: Vec<bool> = waits_for.iter().map(|waits| *waits == 0).collect();
    let mut layer_of = vec![0; nodes];
    let mut ready: Vec<usize> = (0..nodes).filter(|node| is_beginning[*node]).collect();
    while let Some(node) = ready.pop() {
        for to in &below[node] {
            layer_of[*to] = layer_of[*to].max(layer_of[node] + 1);
            waits_for[*to] -= 1;
            if waits_for[*to] == 0 {
                ready.push(*to);
            }
        }
    }
    for node in (0..nodes).filter(|node| is_beginning[*node]) {
        let nearest = below[node].iter().map(|to| layer_of[*to]).min();
        layer_of[node] = nearest.map_or(0, |nearest| nearest - 1);
    }
    layer_of
}

/// Nodes and, where an edge passes a layer, a dummy for it.
struct Grid {
    layers: Vec<Vec<usize>>,
    /// Of each node and dummy those in the layers before and after.
    neighbours: Vec<(Vec<usize>, Vec<usize>)>,
    /// The dummies of each edge.
    chains: Vec<Vec<usize>>,
}

impl Grid {
    fn new(nodes: usize, edges: &[(usize, usize)], layer_of: &[usize]) -> Self {
        let count = layer_of.iter().max().map_or(0, |last| last + 1);
        let mut grid = Self {
            layers: vec![Vec::new(); count],
            neighbours: vec![(Vec::new(), Vec::new()); nodes],
            chains: Vec::with_capacity(edges.len()),
        };
        for (node, layer) in layer_of.iter().enumerate() {
            grid.layers[*layer].push(node);
        }
        for (from, to) in edges {
            let mut chain = Vec::new();
            let mut last = *from;
            for layer in layer_of[*from] + 1..layer_of[*to] {
                let dummy = grid.neighbours.len();
                grid.neighbours.push((Vec::new(), Vec::new()));
                grid.layers[layer].push(dummy);
                grid.connect(last, dummy);
                chain.push(dummy);
                last = dummy;
            }
            if from != to {
                grid.connect(last, *to);
            }
            grid.chains.push(chain);
        }
        grid
    }

    fn connect(&mut self, from: usize, to: usize) {
        self.neighbours[from].1.push(to);
        self.neighbours[to].0.push(from);
    }

    /// Each member goes where its neighbours stand on average.
    fn reduce_crossings(&mut self) {
        let mut position = vec![0.0; self.neighbours.len()];
        for members in &self.layers {
            for (index, member) in members.iter().enumerate() {
                position[*member] = index as f64;
            }
        }
        for _ in 0..ROUNDS {
            for layer in 0..self.layers.len() {
                self.order(layer, &mut position, |(before, _)| before);
            }
            for layer in (0..self.layers.len()).rev() {
                self.order(layer, &mut position, |(_, after)| after);
            }
        }
    }

    fn order(
        &mut self,
        layer: usize,
        position: &mut [f64],
        side: impl Fn(&(Vec<usize>, Vec<usize>)) -> &Vec<usize>,
    ) {
        let neighbours = &self.neighbours;
        let wanted = |member: usize, position: &[f64]| {
            let beside = side(&neighbours[member]);
            if beside.is_empty() {
                return position[member];
            }
            let sum: f64 = beside.iter().map(|other| position[*other]).sum();
            sum / beside.len() as f64
        };
        let members = &mut self.layers[layer];
        let mut keyed: Vec<(f64, usize)> = members
            .iter()
            .map(|member| (wanted(*member, position), *member))
            .collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        *members = keyed.into_iter().map(|(_, member)| member).collect();
        for (index, member) in members.iter().enumerate() {
            position[*member] = index as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layers_of(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
        let layout = lay_out(nodes, edges);
        layout.nodes.iter().map(|cell| cell.layer).collect()
    }

    #[test]
    fn what_is_led_to_stands_behind_it() {
        assert_eq!(layers_of(3, &[(0, 1), (1, 2)]), [0, 1, 2]);
        assert_eq!(layers_of(3, &[(0, 1), (1, 2), (0, 2)]), [0, 1, 2]);
        // A beginning stands right before what it leads to.
        assert_eq!(layers_of(4, &[(0, 1), (1, 2), (3, 2)]), [0, 1, 2, 1]);
        // A circle is opened, and a node that leads to itself stays where it is.
        assert_eq!(layers_of(3, &[(0, 1), (1, 2), (2, 1), (2, 2)]), [0, 1, 2]);
        assert_eq!(layers_of(2, &[]), [0, 0]);
        assert_eq!(lay_out(0, &[]), Layout::default());
    }

    #[test]
    fn an_edge_over_a_layer_bends_in_its_own_direction() {
        let layout = lay_out(4, &[(0, 1), (1, 2), (2, 3), (0, 3), (3, 0)]);
        let layers = |edge: usize| -> Vec<usize> {
            layout.bends[edge].iter().map(|cell| cell.layer).collect()
        };
        assert_eq!(layers(0), [0; 0]);
        assert_eq!(layers(3), [1, 2]);
        assert_eq!(layers(4), [2, 1], "the way back");
    }

    #[test]
    fn neighbours_stand_in_one_order() {
        let layout = lay_out(6, &[(0, 5), (1, 4), (2, 3)]);
        let row = |node: usize| layout.nodes[node].row;
        for (from, to) in [(0, 5), (1, 4), (2, 3)] {
            assert!((row(from) - row(to)).abs() < f64::EPSILON, "{layout:?}");
        }
    }

    proptest! {
        #[test]
        fn any_graph_has_a_place_for_each_node_and_no_two_share_one(
            edges in prop::collection::vec((0_usize..20, 0_usize..20), 0..60)
        ) {
            let layout = lay_out(20, &edges);
            let bends = layout.bends.iter().flatten();
            let mut cells: Vec<(usize, u64)> = layout
                .nodes
                .iter()
                .chain(bends)
                .map(|cell| (cell.layer, cell.row.to_bits()))
                .collect();
            let all = cells.len();
            cells.sort_unstable();
            cells.dedup();
            prop_assert_eq!(cells.len(), all);
            prop_assert_eq!(layout.nodes.len(), 20);
            prop_assert_eq!(layout.bends.len(), edges.len());
            prop_assert!(layout.nodes.iter().all(|cell| cell.layer < layout.layers));
        }
    }
}
