//! Tables as docker prints them: columns aligned by blanks, three between them, none ten or less wide; the last is ragged.

/// Rows under a heading.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

/// Blanks between columns, and the least width of a column with them.
const GAP: usize = 3;
const LEAST: usize = 10;

impl Table {
    /// A table with these headings.
    pub fn new<S: Into<String>>(headings: impl IntoIterator<Item = S>) -> Self {
        let mut table = Self::default();
        table.push(headings);
        table
    }

    /// Adds a row.
    pub fn push<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// All lines, each with its line end.
    pub fn render(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            // A column is as wide as the cells that another one follows.
            for (i, cell) in row.iter().enumerate().take(row.len().saturating_sub(1)) {
                if widths.len() <= i {
                    widths.resize(i + 1, LEAST);
                }
                widths[i] = widths[i].max(cell.chars().count() + GAP);
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            for (i, cell) in row.iter().enumerate() {
                text.push_str(cell);
                if i + 1 < row.len() {
                    let pad = widths[i] - cell.chars().count();
                    text.extend(std::iter::repeat_n(' ', pad));
                }
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn aligns_as_docker_does() {
        let mut table = Table::new(["REPOSITORY", "TAG", "SIZE"]);
        table.push(["debian", "12", "117MB"]);
        table.push(["localhost/a-long-one", "é", "4kB"]);
        assert_eq!(
            table.render(),
            "REPOSITORY             TAG       SIZE\n\
             debian                 12        117MB\n\
             localhost/a-long-one   é         4kB\n"
        );
    }
}
