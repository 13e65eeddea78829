//! Columns of text with elastic tab stops.
//!
//! **What.** Cells that end with a tab make columns; a column is as wide as its widest cell in neighbouring lines that
//! have it. What follows a line's last tab belongs to no column, so it is never padded. **Why.** kubectl's
//! descriptions look as they do because a line without a tab ends the columns above it. **Source of the semantics.**
//! Go's `text/tabwriter`; kubectl's settings of it: S: `cli-runtime/pkg/printers/tabwriter.go` (tables),
//! `kubectl/pkg/describe/describe.go`, `tabbedString` (descriptions).

/// How columns are set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tabs {
    width_min: usize,
    padding: usize,
}

impl Tabs {
    /// Of tables.
    pub(crate) const TABLE: Self = Self {
        width_min: 6,
        padding: 3,
    };
    /// Of descriptions.
    pub(crate) const DESCRIPTION: Self = Self {
        width_min: 0,
        padding: 2,
    };

    /// The text with its tabs replaced by blanks.
    pub(crate) fn align(self, text: &str) -> String {
        let lines: Vec<Vec<&str>> = text
            .split('\n')
            .map(|line| line.split('\t').collect())
            .collect();
        let widths = self.widths(&lines);
        let mut aligned = String::with_capacity(text.len() * 2);
        for (index, (cells, widths)) in lines.iter().zip(&widths).enumerate() {
            if index > 0 {
                aligned.push('\n');
            }
            for (column, cell) in cells.iter().enumerate() {
                aligned.push_str(cell);
                let width = widths.get(column).copied().unwrap_or(0);
                let blanks = width.saturating_sub(cell.chars().count());
                aligned.extend(std::iter::repeat_n(' ', blanks));
            }
        }
        aligned
    }

    /// The widths of each line's cells, the last one's left out.
    fn widths(self, lines: &[Vec<&str>]) -> Vec<Vec<usize>> {
        let mut widths = vec![Vec::new(); lines.len()];
        let mut having: Vec<usize> = (0..lines.len()).collect();
        for column in 0.. {
            having.retain(|line| lines[*line].len() > column + 1);
            if having.is_empty() {
                break;
            }
            for neighbours in having.chunk_by(|line, next| line + 1 == *next) {
                let cells = neighbours.iter().map(|line| lines[*line][column]);
                let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
                let width = self.width_min.max(widest + self.padding);
                for line in neighbours {
                    widths[*line].push(width);
                }
            }
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tabs: Tabs, text: &str, expected: &str) {
        assert_eq!(tabs.align(text), expected);
    }

    #[test]
    fn the_last_cell_is_not_padded() {
        check(Tabs::TABLE, "NAME\tAGE\na\t4s\n", "NAME   AGE\na      4s\n");
        check(Tabs::TABLE, "A\tB\n", "A     B\n");
        check(Tabs::DESCRIPTION, "Name:\t\n", "Name:  \n");
    }

    #[test]
    fn a_line_without_the_column_ends_it() {
        check(
            Tabs::DESCRIPTION,
            "Name:\tx\nIPs:\n  IP:\ty\nLonger:\tz\n",
            "Name:  x\nIPs:\n  IP:    y\nLonger:  z\n",
        );
        check(
            Tabs::DESCRIPTION,
            "a\tb\tc\nlonger\td\n",
            "a       b  c\nlonger  d\n",
        );
    }

    #[test]
    fn width_counts_characters() {
        check(Tabs::DESCRIPTION, "ä\tx\nbc\ty\n", "ä   x\nbc  y\n");
    }

    #[test]
    fn many_tabs_are_no_danger() {
        let tabs = "\t".repeat(100_000);
        assert_eq!(Tabs::DESCRIPTION.align(&tabs).len(), 200_000);
    }
}
