//! Columns as Go's tabwriter lays them out with runc's settings: at least 12 wide, 3 spaces between, the last ragged.

const MIN_WIDTH: usize = 12;
const PADDING: usize = 3;

/// Renders rows of equal length, a newline after each.
pub(super) fn render<const N: usize>(rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.clone().map(|cell| visible(&cell))).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        for (index, (width, cell)) in widths.iter().zip(row).enumerate() {
            text.push_str(cell);
            if index + 1 < N {
                let column = MIN_WIDTH.max(width + PADDING);
                text.extend(std::iter::repeat_n(' ', column - cell.chars().count()));
            }
        }
        text.push('\n');
    }
    text
}

/// A tab or newline in a path must not break the table, nor an escape sequence the terminal.
fn visible(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    for c in cell.chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}
