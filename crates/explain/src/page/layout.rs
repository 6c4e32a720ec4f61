//! The layout of a graph in layers, from left to right (Sugiyama, Tagawa, Toda: "Methods for visual understanding of
//! hierarchical system structures", 1981): columns by longest path, order within a column by the mean position of the
//! neighbors, and a dummy node in each column that an edge passes.

/// A graph with its layout. Positions are in units of one column and one row.
pub(super) struct Layout {
    /// Column and row of each node. Rows may be fractional; the smallest is 0.
    pub nodes: Vec<(f64, f64)>,
    /// The points between the ends of an edge, in the order of the given edges.
    pub bends: Vec<Vec<(f64, f64)>>,
}

/// Lays out a graph of `count` nodes in topological order with edges `(from, to)`, `from` < `to`.
pub(super) fn layout(count: usize, edges: &[(usize, usize)]) -> Layout {
    let columns = columns(count, edges);
    let mut cells = Cells::new(&columns, edges);
    cells.reduce_crossings();
    let mut rows = cells.rows();
    cells.straighten(&mut rows);
    let at = |cell: usize| (cells.columns[cell] as f64, rows[cell]);
    let bends = cells.chains.iter().map(|chain| chain[1..chain.len() - 1].iter().map(|&cell| at(cell)).collect());
    Layout { nodes: (0..count).map(at).collect(), bends: bends.collect() }
}

/// The column of each node: results come after all they are computed from, leaves right before their first use.
fn columns(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let is_leaf: Vec<bool> = (0..count).map(|node| edges.iter().all(|&(_, to)| to != node)).collect();
    let mut column = vec![0; count];
    for node in 0..count {
        for &(from, _) in edges.iter().filter(|&&(_, to)| to == node) {
            column[node] = column[node].max(column[from] + 1);
        }
    }
    for leaf in (0..count).filter(|&node| is_leaf[node]) {
        let first_use = edges.iter().filter(|&&(from, _)| from == leaf).map(|&(_, to)| column[to]).min();
        column[leaf] = first_use.map_or(0, |first| first - 1);
    }
    column
}

/// Nodes and dummy nodes in columns.
struct Cells {
    /// The column of each cell; the first cells are the nodes.
    columns: Vec<usize>,
    /// The cells of each column, from top to bottom.
    order: Vec<Vec<usize>>,
    /// The cells in neighboring columns that each cell is connected to.
    neighbors: Vec<Vec<usize>>,
    /// For each edge the cells that it passes, ends included.
    chains: Vec<Vec<usize>>,
}

impl Cells {
    fn new(nodes: &[usize], edges: &[(usize, usize)]) -> Self {
        let mut columns = nodes.to_vec();
        let mut chains = Vec::new();
        for &(from, to) in edges {
            let mut chain = vec![from];
            for column in nodes[from] + 1..nodes[to] {
                chain.push(columns.len());
                columns.push(column);
            }
            chain.push(to);
            chains.push(chain);
        }
        let mut neighbors = vec![Vec::new(); columns.len()];
        let mut order = vec![Vec::new(); columns.iter().max().map_or(0, |last| last + 1)];
        for pair in chains.iter().flat_map(|chain| chain.windows(2)) {
            neighbors[pair[0]].push(pair[1]);
            neighbors[pair[1]].push(pair[0]);
        }
        for (cell, &column) in columns.iter().enumerate() {
            order[column].push(cell);
        }
        Self { columns, order, neighbors, chains }
    }

    /// The mean of the positions of a cell's neighbors on one side, or its own.
    fn mean(&self, cell: usize, at: &[f64], side: impl Fn(usize) -> bool) -> f64 {
        let near: Vec<f64> =
            self.neighbors[cell].iter().filter(|&&other| side(self.columns[other])).map(|&other| at[other]).collect();
        if near.is_empty() { at[cell] } else { near.iter().sum::<f64>() / near.len() as f64 }
    }

    /// Sorts each column by the mean position of the neighbors on the left, then on the right, a few times.
    fn reduce_crossings(&mut self) {
        let mut at = vec![0.0; self.columns.len()];
        let place = |at: &mut Vec<f64>, column: &[usize]| {
            for (i, &cell) in column.iter().enumerate() {
                at[cell] = i as f64 - column.len() as f64 / 2.0;
            }
        };
        self.order.iter().for_each(|column| place(&mut at, column));
        for sweep in 0..12 {
            for i in 0..self.order.len() {
                let i = if sweep % 2 == 0 { i } else { self.order.len() - 1 - i };
                let mut column = self.order[i].clone();
                let mean =
                    |cell: usize| self.mean(cell, &at, |other| if sweep % 2 == 0 { other < i } else { other > i });
                let means: Vec<f64> = (0..self.columns.len()).map(mean).collect();
                // Stable, so that the layout is the same on every run.
                column.sort_by(|&a, &b| means[a].total_cmp(&means[b]));
                place(&mut at, &column);
                self.order[i] = column;
            }
        }
    }

    /// The row of each cell: near its neighbors, at least 1 from the cells above and below (0.6 from dummy nodes). Leaves
    /// make room for the other nodes, so that a chain of layers is straight.
    fn rows(&self) -> Vec<f64> {
        let nodes = self.columns.len() - self.chains.iter().map(|chain| chain.len() - 2).sum::<usize>();
        let mut weights: Vec<f64> = (0..self.columns.len()).map(|cell| if cell < nodes { 0.01 } else { 0.1 }).collect();
        for chain in &self.chains {
            weights[chain[chain.len() - 1]] = 1.0;
        }
        let gap = |a: usize, b: usize| if a < nodes && b < nodes { 1.0 } else { 0.6 };
        let mut at = vec![0.0; self.columns.len()];
        for column in &self.order {
            // The distance of each cell from the first.
            let mut offsets = vec![0.0; column.len()];
            for i in 1..column.len() {
                offsets[i] = offsets[i - 1] + gap(column[i - 1], column[i]);
            }
            for (&cell, offset) in column.iter().zip(&offsets) {
                at[cell] = offset - offsets[column.len() - 1] / 2.0;
            }
        }
        for _ in 0..24 {
            for column in &self.order {
                let mut offset = 0.0;
                let wanted = column.iter().enumerate().map(|(i, &cell)| {
                    offset += if i > 0 { gap(column[i - 1], cell) } else { 0.0 };
                    (self.pull(cell, &at, &weights) - offset, weights[cell], offset)
                });
                let wanted: Vec<(f64, f64, f64)> = wanted.collect();
                let placed = ascending(&wanted.iter().map(|&(row, weight, _)| (row, weight)).collect::<Vec<_>>());
                for ((&cell, row), (.., offset)) in column.iter().zip(placed).zip(wanted) {
                    at[cell] = row + offset;
                }
            }
        }
        let top = at.iter().copied().fold(f64::INFINITY, f64::min);
        at.iter().map(|row| row - top).collect()
    }

    /// The mean row of the neighbors of a cell, weighted.
    fn pull(&self, cell: usize, at: &[f64], weights: &[f64]) -> f64 {
        let near = &self.neighbors[cell];
        let total: f64 = near.iter().map(|&other| weights[other]).sum();
        let sum: f64 = near.iter().map(|&other| weights[other] * at[other]).sum();
        if near.is_empty() { at[cell] } else { sum / total }
    }
}

/// The ascending numbers that are nearest to the given ones, by the weighted sum of squares (isotonic regression by pooling
/// adjacent violators).
fn ascending(wanted: &[(f64, f64)]) -> Vec<f64> {
    // Runs of equal numbers: mean, weight, length.
    let mut runs: Vec<(f64, f64, usize)> = Vec::new();
    for &(row, weight) in wanted {
        runs.push((row, weight, 1));
        while let [.., (a, a_weight, a_length), (b, b_weight, b_length)] = runs[..]
            && a > b
        {
            let weight = a_weight + b_weight;
            runs.truncate(runs.len() - 2);
            runs.push(((a * a_weight + b * b_weight) / weight, weight, a_length + b_length));
        }
    }
    runs.into_iter().flat_map(|(row, _, length)| std::iter::repeat_n(row, length)).collect()
}

impl Cells {
    /// Makes long edges straight that are above, or below, everything else.
    fn straighten(&self, rows: &mut [f64]) {
        for chain in self.chains.iter().filter(|chain| chain.len() > 3) {
            let dummies = &chain[1..chain.len() - 1];
            let column = |cell: usize| &self.order[self.columns[cell]];
            let row = if dummies.iter().all(|&cell| column(cell).first() == Some(&cell)) {
                dummies.iter().map(|&cell| rows[cell]).fold(f64::INFINITY, f64::min)
            } else if dummies.iter().all(|&cell| column(cell).last() == Some(&cell)) {
                dummies.iter().map(|&cell| rows[cell]).fold(f64::NEG_INFINITY, f64::max)
            } else {
                continue;
            };
            for &cell in dummies {
                rows[cell] = row;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::layout;

    #[test]
    fn edges_lead_to_the_right_and_nodes_keep_their_distance() {
        // x, w → a; a → b; b, a → c, as with a residual.
        let edges = [(0, 2), (1, 2), (2, 3), (3, 4), (2, 4)];
        let found = layout(5, &edges);
        for &(from, to) in &edges {
            assert!(found.nodes[from].0 < found.nodes[to].0);
        }
        assert_eq!(found.bends.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 0, 0, 1]);
        assert!((found.nodes[0].1 - found.nodes[1].1).abs() >= 1.0, "x and w are in one column");
        assert!((found.bends[4][0].1 - found.nodes[3].1).abs() >= 0.6, "the residual passes b at a distance");
    }

    #[test]
    fn rows_are_moved_as_little_as_possible() {
        assert_eq!(super::ascending(&[(1.0, 1.0), (0.0, 1.0), (5.0, 1.0)]), [0.5, 0.5, 5.0]);
        assert_eq!(super::ascending(&[(3.0, 1.0), (0.0, 2.0), (-3.0, 3.0)]), [-1.0, -1.0, -1.0]);
    }

    #[test]
    fn a_chain_of_layers_is_straight() {
        // x, w → a; a, v, c → b.
        let found = layout(6, &[(0, 2), (1, 2), (2, 5), (3, 5), (4, 5)]);
        assert!((found.nodes[2].1 - found.nodes[5].1).abs() < 0.1, "{:?}", found.nodes);
    }

    #[test]
    fn a_leaf_stands_before_its_use() {
        // A chain 0 → 2 → 3 → 5 with the leaf 4 → 5.
        let found = layout(6, &[(0, 2), (1, 2), (2, 3), (3, 5), (4, 5)]);
        assert_eq!(found.nodes[4].0, found.nodes[3].0);
    }
}
